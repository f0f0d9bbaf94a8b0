"""Notes on counters in an audit: what the log holds the hash of is what stands there, no more and no less."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.actions import ActionKind, CounterAction, Draft, actions_of, note_action, revise_action
from api.audit import verify
from api.audit_finding import Finding
from api.audit_folder import NOTES
from api.audit_notes import ExportedNote, notes, parse_notes
from api.database import Database
from api.errors import ExportRefused
from api.log import Kind
from tests.api.audited_centre import COUNTER, TODAY, AuditedCentre
from tests.api.senders import Edge

WORDS = ("Thêm ghế chờ", "Thêm ghế chờ và quạt", "Bảng hướng dẫn mới")


@pytest.fixture
def centre(database: Database, edge: Edge, quick_folder: Path, seed: int) -> Iterator[AuditedCentre]:
    """A centre with two notes, one of them changed once: three revisions."""
    made = AuditedCentre(database, edge, quick_folder, seed)
    first = _write(database, WORDS[0])
    draft = Draft(TODAY, ActionKind.ROOM, WORDS[1])
    revise_action(database, COUNTER, first.action_id, 1, draft, actor="lan", today=TODAY)
    _write(database, WORDS[2])
    yield made
    made.store.close()


def _write(database: Database, text: str) -> CounterAction:
    return note_action(database, COUNTER, Draft(TODAY, ActionKind.ROOM, text), actor="lan", today=TODAY)


def _found(folder: Path) -> Finding:
    (found,) = [item for item in verify(folder).findings if item.check == "notes"]
    return found


def test_every_text_is_held_to_the_log(centre: AuditedCentre) -> None:
    folder, _ = centre.export()
    texts = [item["text"] for item in json.loads((folder / NOTES).read_text("utf-8"))]
    assert texts == list(WORDS)
    found = _found(folder)
    assert found.ok, found.detail
    assert found.detail.startswith("3 revisions of notes")
    assert all(item.ok for item in verify(folder).findings)


CHANGED = "1 are not what was logged"
ADD = (
    "INSERT INTO counter_actions (action_id, revision, counter, day, kind, content, struck, actor, "
    "log_index) SELECT gen_random_uuid(), 1, counter, day, kind, 'Đã tập huấn', struck, actor, {entry} "
    "FROM counter_actions WHERE revision = 2"
)


@pytest.mark.parametrize(
    ("tamper", "detail"),
    [
        ("UPDATE counter_actions SET content = 'Ghế chờ' WHERE revision = 2", CHANGED),
        ("UPDATE counter_actions SET struck = true WHERE revision = 2", CHANGED),
        ("UPDATE counter_actions SET actor = 'minh' WHERE revision = 2", CHANGED),
        ("UPDATE counter_actions SET day = day - 30 WHERE revision = 2", CHANGED),
        ("UPDATE counter_actions SET kind = 'hours' WHERE revision = 2", CHANGED),
        ("UPDATE counter_actions SET counter = 'counter-2' WHERE revision = 2", CHANGED),
        ("DELETE FROM counter_actions WHERE revision = 2", "1 are in the log and not in the export"),
        (ADD.format(entry=0), "1 are in no entry of the log"),
        (ADD.format(entry="log_index"), "1 are in no entry of the log"),
    ],
)
def test_what_was_changed_in_the_tables_is_found(centre: AuditedCentre, tamper: str, detail: str) -> None:
    """The centre itself exports what it changed, so the digests of the files agree."""
    with centre.database.transaction() as connection:
        assert connection.execute(tamper).rowcount == 1
    folder, _ = centre.export()
    report = verify(folder)
    assert [item.check for item in report.findings if not item.ok] == ["notes"]
    assert detail in _found(folder).detail


def _as_leaves(folder: Path, database: Database) -> tuple[list[dict[str, Any]], list[ExportedNote]]:
    with database.transaction() as connection:
        rows = connection.execute("SELECT body FROM central_log ORDER BY idx").fetchall()
    found = parse_notes(json.loads((folder / NOTES).read_text("utf-8")))
    return [json.loads(bytes(row[0])) for row in rows], list(found)


def test_what_a_restore_lost_is_said_and_is_no_fault(centre: AuditedCentre) -> None:
    """Kept leaves are put back after a restore; they hold no texts."""
    folder, _ = centre.export()
    leaves, found = _as_leaves(folder, centre.database)
    last = found.pop()
    assert not notes(leaves, found).ok
    for first, told in ((last.entry, True), (last.entry + 1, False)):
        leaf = {"kind": Kind.LOG_RECOVERED, "from_size": first, "size": len(leaves)}
        finding = notes([*leaves, leaf], found)
        assert finding.ok is told
        assert ("1 lost in a restore" in finding.detail) is told


@pytest.mark.parametrize(
    "change",
    [
        lambda document: {"notes": document},
        lambda document: [{**document[0], "text": None}],
        lambda document: [{**document[0], "entry": "1"}],
        lambda document: [{**document[0], "action": "x"}],
        lambda document: [{"entry": document[0]["entry"]}],
    ],
)
def test_something_else_than_notes_is_refused(centre: AuditedCentre, change: Callable[[Any], Any]) -> None:
    folder, _ = centre.export()
    document = json.loads((folder / NOTES).read_text("utf-8"))
    with pytest.raises(ExportRefused, match="something else than notes"):
        parse_notes(change(document))


def test_notes_are_read_back_for_people_as_they_were_exported(centre: AuditedCentre) -> None:
    shown = {note.text for action in actions_of(centre.database, COUNTER) for note in action.history}
    folder, _ = centre.export()
    assert shown == {note.text for note in parse_notes(json.loads((folder / NOTES).read_text("utf-8")))}
