"""Logs that forked: the evidence is kept once, told in the centre's log, and shown on the edge's log."""

from __future__ import annotations

import hashlib
from typing import Final
from uuid import UUID

import structlog

from api.database import Database
from api.log import Kind, append
from api.log_part import Part

MOST_FORKS: Final = 100
"""Kept of one edge: one that misbehaves without end does not fill the disk."""
_log: Final = structlog.get_logger("api.log_forks")


class Forked(Exception):  # noqa: N818 - named for what happened, and never leaves the taking of a part
    """A log does not continue the one that is kept."""

    def __init__(self, edge: UUID, kept: bytes, reason: str) -> None:
        """Keep which log, its newest note, and what differs."""
        super().__init__(reason)
        self.edge = edge
        self.kept = kept
        self.reason = reason


def keep_evidence(database: Database, fork: Forked, part: Part, body: bytes) -> None:
    """Keep both notes and what was sent, once; the alarm stays on the edge's log."""
    with database.transaction() as connection:
        kept = connection.execute(
            "INSERT INTO edge_log_forks (edge_id, size, reason, kept_note, sent_note, sent_body, "
            "evidence_sha256) SELECT %s, %s, %s, %s, %s, %s, %s "
            "WHERE (SELECT count(*) FROM edge_log_forks WHERE edge_id = %s) < %s "
            "ON CONFLICT DO NOTHING RETURNING number",
            (
                *(fork.edge, part.size, fork.reason, fork.kept, part.checkpoint, body),
                *(hashlib.sha256(part.checkpoint).digest(), fork.edge, MOST_FORKS),
            ),
        ).fetchone()
        if kept is None:
            return
        connection.execute(
            "UPDATE edge_logs SET forked_at = coalesce(forked_at, clock_timestamp()) WHERE edge_id = %s",
            (fork.edge,),
        )
        append(
            connection,
            Kind.EDGE_FORKED,
            {
                "edge": fork.edge,
                "size": part.size,
                "reason": fork.reason,
                "kept": fork.kept.decode(),
                "sent": part.checkpoint.decode(),
            },
        )
    _log.error("an edge's log forked", edge=str(fork.edge), size=part.size, reason=fork.reason)
