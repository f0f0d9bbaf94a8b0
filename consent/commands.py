"""`hailong consent`: look at the consent log of an edge and check it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn
from uuid import UUID

import typer

from consent.errors import ConsentError
from consent.event import Event, LoggedEvent
from consent.forms import Form, exported
from consent.jsonld import can_check
from consent.life import fold
from consent.notice import QUOTES_NOTICE, NoticeShelf
from consent.pseudonym import PseudonymKey
from consent.record import ConsentRecord
from consent.speech import ASKED, readings
from consent.state import State
from consent.verification import read_log, verify_file

_LOG: Final = "consent.sqlite"

consent = typer.Typer(help="Inspect and verify the consent log.", no_args_is_help=True)
_Data = Annotated[
    Path,
    typer.Option("--data", "-d", help="Data folder of the edge (data_dir in edge.toml), or the log itself."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@consent.command("list")
def list_records(
    data: _Data = Path("hailong-edge"),
    state: Annotated[State | None, typer.Option(help="Only records in this state.")] = None,
    *,
    as_json: _Json = False,
) -> None:
    """List the consents: when, where, what was asked and what became of it."""
    records = [(record, now) for record, now in _records(_events(data)) if state is None or now is state]
    if as_json:
        typer.echo(json.dumps([_row(record, now) for record, now in records], ensure_ascii=False))
        return
    for record, now in records:
        row = _row(record, now)
        answers = " ".join(f"{purpose}={answer}" for purpose, answer in row["answers"].items())
        typer.echo(f"{row['record']}  {row['offered_at']}  {row['counter']:<12} {now:<11} {answers}")
    typer.echo("1 consent" if len(records) == 1 else f"{len(records)} consents", err=True)


@consent.command()
def show(
    record: Annotated[str, typer.Argument(help="Id of the consent record.")],
    data: _Data = Path("hailong-edge"),
) -> None:
    """Print one consent with its events as JSON."""
    found = tuple(item for item in _events(data) if str(item.event.record_id) == record.lower())
    if not found:
        _fail(f"the log holds no consent {record}. `hailong consent list` shows what there is.")
    ((current, state),) = _records(found)
    document = {
        "state": state.value,
        "record": json.loads(current.canonical()),
        "events": [
            {"index": item.index, "digest": item.digest} | _without_record(item.event.canonical())
            for item in found
        ],
    }
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


@consent.command()
def verify(
    data: _Data = Path("hailong-edge"),
    key: Annotated[
        list[str] | None,
        typer.Option(help="Public key that must have signed the log, handed to you apart (C2SP text)."),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="Checkpoint of this log that was kept elsewhere; it must still be contained."),
    ] = None,
    *,
    as_json: _Json = False,
) -> None:
    """Check every entry, the tree over them, the order of steps, the signatures and the kept head."""
    try:
        known = [path.read_bytes() for path in checkpoint or []]
        report = verify_file(_path(data), keys=key or [], known=known)
    except (ConsentError, OSError) as error:
        _fail(str(error))
    if as_json:
        document = {
            "ok": report.ok,
            "entries": report.entries,
            "root": report.root,
            "signed_by": report.signed_by,
            "broken_index": report.broken_index,
            "reason": report.reason,
        }
        typer.echo(json.dumps(document))
    elif report.ok:
        signed = f"signed by {', '.join(report.signed_by)}" if report.signed_by else "signed by nobody"
        typer.echo(f"The log is whole: {_entries(report.entries)}, root {report.root}, {signed}.")
        if not key and not checkpoint:
            typer.echo(
                "Checked against itself only: whoever holds the key could have written it anew. Name a key "
                "you were given apart with --key, and a checkpoint a witness keeps with --checkpoint.",
                err=True,
            )
    else:
        typer.echo(
            f"The log is broken at entry {report.broken_index}: {report.reason}. Keep the folder as it is, "
            "tell the privacy officer, and restore the log from a backup.",
            err=True,
        )
    if not report.ok:
        raise typer.Exit(1)


@consent.command()
def export(
    record: Annotated[UUID, typer.Argument(help="Id of the consent record.")],
    out: Annotated[Path, typer.Option(help="File to write; an existing one is not replaced.")],
    form: Annotated[Form, typer.Option("--format", help="Linked data, plain JSON, or paper.")] = Form.JSONLD,
    language: Annotated[str, typer.Option(help="Language of the paper: vi or en.")] = "vi",
    data: _Data = Path("hailong-edge"),
) -> None:
    """Write one consent as one document: record, events, proofs, erasure."""
    try:
        made = exported(_path(data), record, form, language)
        with out.open("xb") as stream:
            stream.write(made)
    except FileExistsError:
        _fail(f"{out} exists and is not replaced: name another file with --out")
    except (ConsentError, OSError) as error:
        _fail(str(error))
    if form is Form.JSONLD and not can_check():
        typer.echo("Not checked by the shapes: install hailong[audit] for that.", err=True)


@consent.command()
def notices(
    *,
    spoken: Annotated[
        bool, typer.Option("--spoken", help="Print what is read out, for the synthesiser of the set-up.")
    ] = False,
) -> None:
    """List the published notices: version, language, since when, and the hash of what is shown."""
    shelf = NoticeShelf.load()
    if spoken:
        typer.echo(json.dumps([asdict(item) for item in readings(shelf)], ensure_ascii=False))
        return
    for notice in shelf.published():
        plain, with_quotes = ASKED
        reference = notice.reference(with_quotes if notice.notice_id == QUOTES_NOTICE else plain)
        since = notice.in_force_from.isoformat()
        typer.echo(f"{notice.notice_id} {notice.version} {notice.language}  {since}  {reference.sha256}")


@consent.command()
def pseudonym(
    key: Annotated[Path, typer.Option(help="The agency's key file; keep it apart from the records.")],
    number: Annotated[str | None, typer.Argument(help="Transaction number; asked for when left out.")] = None,
    *,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make the key file first.")] = False,
) -> None:
    """Print the pseudonym under which records keep a transaction, to find them by `list --json`."""
    try:
        held = PseudonymKey.make(key) if new_key else PseudonymKey.load(key)
        typer.echo(held.pseudonym(number or typer.prompt("Transaction number")))
    except (ConsentError, ValueError) as error:
        _fail(str(error))


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number} entries"


def _path(data: Path) -> Path:
    return data / _LOG if data.is_dir() or not data.suffix else data


def _events(data: Path) -> tuple[LoggedEvent, ...]:
    try:
        return read_log(_path(data))
    except ConsentError as error:
        _fail(str(error))


def _records(events: tuple[LoggedEvent, ...]) -> list[tuple[ConsentRecord, State]]:
    lives: dict[UUID, list[Event]] = {}
    for item in events:
        lives.setdefault(item.event.record_id, []).append(item.event)
    return [fold(record_id, life) for record_id, life in lives.items()]


def _row(record: ConsentRecord, state: State) -> dict[str, Any]:
    """Return one line of the list, as it is printed with `--json`."""
    return {
        "record": str(record.record_id),
        "session": str(record.session_id),
        "counter": record.counter,
        "pseudonym": record.subject_pseudonym,
        "state": state.value,
        "offered_at": record.offered_at.isoformat(timespec="seconds"),
        "notice": f"{record.notice.notice_id} {record.notice.version} {record.notice.language}",
        "dwell_ms": record.dwell_ms,
        "answers": {item.purpose.value: item.answer.value for item in record.decisions},
    }


def _without_record(body: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(body)
    document.pop("record")  # printed once, above the events
    return document


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)
