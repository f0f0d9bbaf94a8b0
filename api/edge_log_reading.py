"""What an edge gets back of its own log: the entries that its data folder lost, and where its outbox was.

A data folder that was restored from an old backup has a true prefix of the log that is kept here. The edge
proves who it is as with everything it sends, and checks what it gets against the checkpoint that it signed
itself: nothing here has to be believed.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from uuid import UUID

from api.authorization import Action
from api.database import Database
from api.edge_signature import authenticate
from api.errors import Refused

MOST_ENTRIES: Final = 500
MOST_BYTES: Final = 2 * 1024 * 1024
_ENVELOPE: Final = {"edge", "origin", "first_index"}
_LARGEST_INDEX: Final = 2**53


@dataclass(frozen=True, slots=True)
class Rest:
    """Entries of a log from an index on, as many as fit one answer.

    Attributes:
        size: Entries that are kept here; 0 when nothing of this log came yet.
        checkpoint: The note of that size, as the edge signed it; empty when nothing came yet.
        high_water: The highest number of the edge's outbox that is committed here.
    """

    first_index: int
    entries: tuple[str, ...]
    size: int
    checkpoint: str
    high_water: int


def read_rest(database: Database, body: bytes, signature: str | None) -> Rest:
    """Return what is kept of the asking edge's log from an index on.

    Raises:
        Refused: 401 for a wrong signature, 409 when another log is kept of this edge, 422 for another body.
        DatabaseUnavailable: Ask again later.
    """
    edge, origin, first = _parse(body)
    with database.transaction() as connection:
        # Only the enrolled key is believed.
        high_water = authenticate(connection, edge, Action.READ_OWN_LOG, body, signature).high_water
        kept = connection.execute(
            "SELECT edge_id, origin, size, note FROM edge_logs WHERE sender_id = %s FOR SHARE", (edge,)
        ).fetchone()
        if kept is None:
            return Rest(first, (), 0, "", high_water)
        owner, kept_origin, size, note = kept
        if kept_origin != origin:
            raise Refused(
                HTTPStatus.CONFLICT,
                "log-forked",
                "another log is kept of this edge: keep its data folder as it is for the privacy officer",
            )
        rows = connection.execute(
            "SELECT body FROM edge_log_entries WHERE edge_id = %s AND idx >= %s ORDER BY idx LIMIT %s",
            (owner, first, MOST_ENTRIES),
        )
        entries: list[str] = []
        length = 0
        for (leaf,) in rows:
            length += len(leaf)
            if entries and length > MOST_BYTES:
                break
            entries.append(bytes(leaf).decode())
    return Rest(first, tuple(entries), size, bytes(note).decode(), high_water)


def _parse(body: bytes) -> tuple[UUID, str, int]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict) and set(document) == _ENVELOPE:
        origin, first = document["origin"], document["first_index"]
        whole = isinstance(first, int) and not isinstance(first, bool) and 0 <= first <= _LARGEST_INDEX
        if whole and isinstance(origin, str):
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                return UUID(document["edge"]), origin, first
    raise Refused(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "bad-envelope",
        "the question for a log is an object with exactly edge, origin and first_index",
    )
