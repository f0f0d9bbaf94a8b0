"""`hailong consent`: look at the consent log of an edge and check it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn
from uuid import UUID

import typer

from consent.errors import ConsentError
from consent.event import Event, LoggedEvent
from consent.ledger import fold, read_log, verify_file
from consent.record import ConsentRecord
from consent.state import State

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
    typer.echo(f"{len(records)} consents", err=True)


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
def verify(data: _Data = Path("hailong-edge"), *, as_json: _Json = False) -> None:
    """Check every entry of the log against the one before it and the kept head."""
    try:
        report = verify_file(_path(data))
    except ConsentError as error:
        _fail(str(error))
    if as_json:
        document = {
            "ok": report.ok,
            "entries": report.entries,
            "head": report.head,
            "broken_index": report.broken_index,
            "reason": report.reason,
        }
        typer.echo(json.dumps(document))
    elif report.ok:
        typer.echo(f"The log is whole: {report.entries} entries, head {report.head}.")
    else:
        typer.echo(
            f"The log is broken at entry {report.broken_index}: {report.reason}. Keep the folder as it is, "
            "tell the privacy officer, and restore the log from a backup.",
            err=True,
        )
    if not report.ok:
        raise typer.Exit(1)


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
