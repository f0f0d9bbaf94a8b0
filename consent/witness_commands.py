"""`hailong witness`: run a witness on a machine of an oversight body."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from consent.checkpoint import peek
from consent.errors import LedgerError
from consent.signed_note import encode
from consent.witness import Evidence, WatchedLog, Witness
from consent.witness_server import serve

witness = typer.Typer(
    help="Cosign the log's checkpoints for an oversight body.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_Folder = Annotated[Path, typer.Argument(help="Folder of the witness: its keys and what it cosigned.")]
_Vkey = Annotated[str, typer.Argument(help="A key of the log, NAME+ID+BASE64, as its operator hands it out.")]


@witness.command()
def init(
    folder: _Folder,
    name: Annotated[str, typer.Option(help="Name of the witness, such as ombudsman.example/witness-1.")],
) -> None:
    """Make the keys of a new witness and print what the centre is told of it."""
    try:
        made = Witness.create(folder, name)
    except (LedgerError, OSError) as error:
        _fail(error)
    for vkey in made.vkeys:
        typer.echo(vkey)


@witness.command("add-log")
def add_log(folder: _Folder, vkey: _Vkey) -> None:
    """Follow a log, or accept another key of one (its old key stays until it is removed)."""
    try:
        origin = Witness(folder).add_log(vkey)
    except LedgerError as error:
        _fail(error)
    typer.echo(f"follows {origin}")


@witness.command("remove-key")
def remove_key(folder: _Folder, vkey: _Vkey) -> None:
    """Accept a key of a log no longer, after a rotation."""
    try:
        Witness(folder).remove_key(vkey)
    except LedgerError as error:
        _fail(error)
    typer.echo("removed")


@witness.command()
def run(
    folder: _Folder,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8090,
) -> None:
    """Cosign what is asked for, until stopped."""
    try:
        opened = Witness(folder)
    except LedgerError as error:
        _fail(error)
    serve(
        opened,
        host,
        port,
        started=lambda: typer.echo(f"witness {opened.name} is ready at http://{host}:{port}", err=True),
    )


@witness.command()
def show(
    folder: _Folder,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, notes included.")] = False,
) -> None:
    """Show the latest checkpoint of every log and the evidence against any; ends with 1 if there is some."""
    try:
        opened = Witness(folder)
        logs, evidence = opened.logs(), opened.evidence()
    except LedgerError as error:
        _fail(error)
    if as_json:
        document = {
            "name": opened.name,
            "vkeys": opened.vkeys,
            "logs": [_log_row(log) for log in logs],
            "evidence": [_evidence_row(item) for item in evidence],
        }
        typer.echo(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        for log in logs:
            row = _log_row(log)
            typer.echo(f"{log.origin}  size {log.size}  root {row['root']}  cosigned {row['cosigned_at']}")
        for item in evidence:
            typer.echo(
                f"EVIDENCE {item.kind}  {item.origin}  kept size {peek(item.kept).size}, refused size "
                f"{peek(item.offered).size}  {_time(item.seen_s)}"
            )
    if evidence:
        raise typer.Exit(1)


def _log_row(log: WatchedLog) -> dict[str, object]:
    return {
        "origin": log.origin,
        "vkeys": log.vkeys,
        "size": log.size,
        "root": encode(peek(log.note).root) if log.note else "none",
        "cosigned_at": "never" if log.cosigned_s is None else _time(log.cosigned_s),
        "note": log.note.decode(),
        "evidence": log.evidence,
    }


def _evidence_row(item: Evidence) -> dict[str, object]:
    return {
        "origin": item.origin,
        "kind": item.kind,
        "seen_at": _time(item.seen_s),
        "kept": item.kept.decode(),
        "offered": item.offered.decode(),
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _fail(error: Exception) -> NoReturn:
    typer.echo(str(error), err=True)
    raise typer.Exit(1) from error
