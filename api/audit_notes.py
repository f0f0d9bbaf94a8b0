"""Notes of what was done at counters, held to the hashes in the centre's log.

The log holds who wrote which revision of a note when, and the hash of its text; the text goes into the export
beside it. A text that was changed afterwards, a note that was taken away and one that nobody wrote are found.
What a restore lost is told of by the log itself: such texts are gone, and counted apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter

from api.actions import text_hash
from api.audit_finding import Finding, names_of
from api.database import Connection
from api.errors import ExportRefused
from api.log import Kind

NOTES: Final = "notes"
_SELECT: Final = (
    "SELECT log_index, action_id, revision, counter, day, kind, content, struck, actor FROM counter_actions "
    "WHERE log_index < %s ORDER BY log_index, action_id, revision"
)


@dataclass(frozen=True, slots=True)
class ExportedNote:
    """One revision of a note.

    Attributes:
        entry: The entry of the centre's log that tells of it.
        day: When the thing was done, as ISO writes it.
        what: Kind of what was done.
        struck: Whether the note no longer holds.
    """

    entry: int
    action: str
    revision: int
    counter: str
    day: str
    what: str
    text: str
    struck: bool
    actor: str

    def leaf(self) -> dict[str, Any]:
        """Return what the log must say of it."""
        return {
            "action": self.action,
            "revision": self.revision,
            "counter": self.counter,
            "day": self.day,
            "what": self.what,
            "text_sha256": text_hash(UUID(self.action), self.revision, self.text),
            "struck": self.struck,
            "actor": self.actor,
        }


_MANY: Final = TypeAdapter(list[ExportedNote])


def kept_notes(connection: Connection, size: int) -> list[dict[str, Any]]:
    """Return every revision of every note below a size of the log, as an export holds it."""
    return [
        asdict(ExportedNote(row[0], str(row[1]), row[2], row[3], row[4].isoformat(), *row[5:]))
        for row in connection.execute(_SELECT, (size,))
    ]


def parse_notes(document: Any) -> tuple[ExportedNote, ...]:  # noqa: ANN401 - any JSON
    """Read the notes of an export.

    Raises:
        ExportRefused: These are none.
    """
    try:
        found = tuple(_MANY.validate_json(json.dumps(document), strict=True))
        for note in found:
            note.leaf()
    except ValueError as error:
        raise ExportRefused(f"the export holds something else than notes: {error}") from error
    return found


def notes(leaves: Sequence[Mapping[str, Any]], found: Iterable[ExportedNote]) -> Finding:
    """Hold notes to the log.

    Args:
        leaves: The centre's log as of the export.
        found: What the export holds.
    """
    told = {index: leaf for index, leaf in enumerate(leaves) if leaf["kind"] == Kind.COUNTER_ACTION}
    lost = _lost(leaves)
    given = tuple(found)
    true = {
        note.entry: note for note in reversed(given) if note.entry in told and _is(note, told[note.entry])
    }
    changed: list[str] = []
    invented: list[str] = []
    seen = set(true)
    for note in given:
        if true.get(note.entry) is note:
            continue
        name = f"note {note.action} revision {note.revision}"
        (changed if note.entry in told and note.entry not in seen else invented).append(name)
        seen.add(note.entry)
    seen &= told.keys()
    dropped = [f"entry {index}" for index in told if index not in seen and index not in lost]
    wrong = [
        f"{len(names)} {what}: {names_of(names)}"
        for what, names in (
            ("are not what was logged", changed),
            ("are in the log and not in the export", dropped),
            ("are in no entry of the log", invented),
        )
        if names
    ]
    if wrong:
        return Finding(NOTES, False, "; ".join(wrong))
    gone = sum(index not in seen for index in told)
    detail = f"{len(seen)} revisions of notes on counters, each with the text whose hash the log holds"
    return Finding(
        NOTES, True, detail + (f" ({gone} lost in a restore that the log tells of)" if gone else "")
    )


def _is(note: ExportedNote, leaf: Mapping[str, Any]) -> bool:
    return all(leaf.get(key) == value for key, value in note.leaf().items())


def _lost(leaves: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the entries that were put back from kept leaves after a restore, which hold no texts."""
    recovered = (leaf for leaf in leaves if leaf["kind"] == Kind.LOG_RECOVERED)
    return {index for leaf in recovered for index in range(leaf["from_size"], leaf["size"])}
