"""What was imported and planned, as lists: files of the tree and of transactions, sampling plans."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from api.database import Connection, Database
from api.organisation.tree import Tree


@dataclass(frozen=True, slots=True)
class KeptFile:
    """An import of the tree or of transactions.

    Attributes:
        kind: `tree` or `transactions`.
        log_index: Its entry in the centre's log.
    """

    import_id: UUID
    kind: str
    file_name: str
    rows_read: int
    kept: int
    refused: int
    actor: str
    imported_at: datetime
    log_index: int


@dataclass(frozen=True, slots=True)
class PlanLine:
    """A sampling plan in a list.

    Attributes:
        last: The last day whose transactions are in the frame.
        wanted: Transactions that are drawn, over all units.
        seed: None until it is drawn.
        plan_index: Entry of the plan in the centre's log; `draw_index` that of the draw.
    """

    name: str
    first: date
    last: date
    units: int
    eligible: int
    wanted: int
    planned_by: str
    planned_at: datetime
    plan_index: int
    seed: str | None
    drawn_at: datetime | None
    draw_index: int | None


def kept_files(database: Database, *, most: int = 100) -> tuple[KeptFile, ...]:
    """Return the newest imports of the tree and of transactions, the newest first."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT import_id, kind, file_name, rows_read, kept, refused, actor, imported_at, log_index "
            "FROM organisation_imports ORDER BY imported_at DESC, import_id LIMIT %s",
            (most,),
        ).fetchall()
    return tuple(KeptFile(*row) for row in rows)


def plan_lines(connection: Connection) -> tuple[PlanLine, ...]:
    """Return every sampling plan, the newest first."""
    rows = connection.execute(
        "SELECT p.name, p.first_day, p.until_day, count(s.unit), coalesce(sum(s.eligible), 0)::bigint, "
        "coalesce(sum(s.wanted), 0)::bigint, p.planned_by, p.planned_at, p.plan_index, p.seed, p.drawn_at, "
        "p.draw_index FROM sampling_plans p LEFT JOIN sampling_strata s USING (plan_id) "
        "GROUP BY p.plan_id ORDER BY p.planned_at DESC, p.name"
    ).fetchall()
    return tuple(PlanLine(row[0], row[1], row[2] - timedelta(days=1), *row[3:]) for row in rows)


def counters_below(tree: Tree) -> Counter[str]:
    """Return how many counters stand at or below each node of a day's tree."""
    found: Counter[str] = Counter()
    for unit in tree.counters.values():
        found.update(node.code for node in tree.path(unit))
    return found
