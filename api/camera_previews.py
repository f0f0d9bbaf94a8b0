"""Looks through a camera without a citizen, as the logs of the edges tell of them: who, where, how long."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from api.database import Database

_SELECT = """
    SELECT begun.edge_id, e.name AS edge, begun.idx,
           begun.told ->> 'counter' AS counter, begun.told ->> 'operator' AS operator,
           (begun.told ->> 'at')::timestamptz AS started_at, (begun.told ->> 'limit_s')::int AS limit_s,
           (over.told ->> 'at')::timestamptz AS ended_at, over.told ->> 'ended_by' AS ended_by,
           (over.told ->> 'frames')::bigint AS frames
    FROM (SELECT edge_id, idx, convert_from(body, 'UTF8')::jsonb AS told FROM edge_log_entries
          WHERE kind = 'maintenance-started') AS begun
    JOIN edge_logs l ON l.edge_id = begun.edge_id JOIN edges e ON e.id = l.sender_id
    LEFT JOIN (SELECT edge_id, convert_from(body, 'UTF8')::jsonb AS told FROM edge_log_entries
               WHERE kind = 'maintenance-ended') AS over
      ON over.edge_id = begun.edge_id
     AND over.told ->> 'maintenance_id' = begun.told ->> 'maintenance_id'
    ORDER BY started_at DESC, begun.idx DESC LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class CameraPreview:
    """One preview of a camera.

    Attributes:
        idx: Its first entry in the edge's log.
        limit_s: Longest time it could last.
        ended_at: None while it runs, or where its program was killed and not started since.
        ended_by: Why it ended, as `consent.entry.MaintenanceEnd` names it.
        frames: Masked pictures that were shown; None where nobody knows.
    """

    edge_id: UUID
    edge: str
    idx: int
    counter: str
    operator: str
    started_at: datetime
    limit_s: int
    ended_at: datetime | None
    ended_by: str | None
    frames: int | None


def camera_previews(database: Database, *, limit: int = 100) -> tuple[CameraPreview, ...]:
    """Return the previews of all edges, the newest first."""
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=class_row(CameraPreview))
        return tuple(cursor.execute(_SELECT, (limit,)))
