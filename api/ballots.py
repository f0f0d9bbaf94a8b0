"""Ballots: what citizens said themselves at the counter, two levels on four criteria."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from api.database import Connection
from inference.signal import Ballot, Criterion

_CRITERIA: Final = tuple(criterion.value for criterion in Criterion)
_COLUMNS: Final[dict[str, str]] = {
    "ballot_id": "uuid",
    "counter": "text",
    "cast_at": "timestamptz",
    "session_id": "uuid",
    **dict.fromkeys(_CRITERIA, "boolean"),
    "procedure": "text",
    "edge_id": "uuid",
    "seq": "bigint",
}
_INSERT: Final = (
    f"INSERT INTO ballots ({', '.join(_COLUMNS)}) SELECT * FROM "  # noqa: S608 - names are ours, values are bound
    f"unnest({', '.join(f'%s::{kind}[]' for kind in _COLUMNS.values())}) AS t({', '.join(_COLUMNS)}) "
    "ORDER BY t.ballot_id, t.seq ON CONFLICT (ballot_id) DO NOTHING RETURNING seq"
)


@dataclass(frozen=True, slots=True)
class NumberedBallot:
    """A valid ballot and its number in the edge's outbox."""

    seq: int
    ballot: Ballot


def insert_ballots(connection: Connection, edge_id: UUID, ballots: Sequence[NumberedBallot]) -> set[int]:
    """Insert ballots that are new and return their numbers; one that is known by its id stays as it was.

    The link to the session of a consent that is being erased, or was, is left out.
    """
    if not ballots:
        return set()
    sessions = [item.ballot.session_id for item in ballots if item.ballot.session_id is not None]
    erased = {
        row[0]
        for row in connection.execute(
            "SELECT session_id FROM erasures WHERE session_id = ANY(%s)", (sessions,)
        )
    }
    rows = [_row(item, edge_id, erased) for item in ballots]
    columns = [list(column) for column in zip(*rows, strict=True)]
    return {int(row[0]) for row in connection.execute(_INSERT, columns)}


def _row(item: NumberedBallot, edge_id: UUID, erased: set[UUID]) -> tuple[object, ...]:
    ballot = item.ballot
    return (
        ballot.ballot_id,
        ballot.counter,
        ballot.cast_at,
        None if ballot.session_id in erased else ballot.session_id,
        *(ballot.satisfied[Criterion(name)] for name in _CRITERIA),
        ballot.procedure,
        edge_id,
        item.seq,
    )
