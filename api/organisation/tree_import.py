"""Import of the tree: areas, units and the places of counters, with the days on which they begin and end.

A row with a new first day ends what the code stood for until then. A row with a known first day corrects
it. Nothing is deleted: figures of an earlier day go on using the tree of that day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final
from uuid import UUID

from uuid6 import uuid7

from api import log
from api.database import Connection, Database
from api.organisation.tree import BEGINNING, OPEN, UNIT_LEVEL, Node, levels_of, rebuild_paths
from api.spreadsheets.cells import CellValue, code_of, day_of, text_of
from api.spreadsheets.faults import Fault, Reason, shortened
from api.spreadsheets.header import Column
from api.spreadsheets.row_cells import RowCells, in_order, lines_of
from api.spreadsheets.tables import Row, Table, open_table

COLUMNS: Final = (
    Column("code", ("mã",), required=True),
    Column("level", ("cấp",), required=True),
    Column("name_vi", ("tên", "tên tiếng việt")),
    Column("name_en", ("tên tiếng anh", "name")),
    Column("parent", ("trực thuộc", "mã cấp trên")),
    Column("valid_from", ("từ ngày", "from")),
    Column("valid_until", ("đến ngày", "until")),
    Column("successor", ("kế tiếp", "mã kế tiếp")),
)
COUNTER_LEVEL: Final = "counter"
"""What stands in the column `level` of a counter; its parent is the unit where it stands."""
TREE_LOCK: Final = 0x74_72_65_65
"""Held while the tree changes."""


@dataclass(frozen=True, slots=True)
class OrganisationImport:
    """What became of a file; in a trial, and where no row was good, it has no id and no entry in the log."""

    import_id: UUID | None
    file_sha256: str
    rows_read: int
    kept: int
    refused: int
    faults: tuple[Fault, ...]
    log_index: int | None


@dataclass(frozen=True, slots=True)
class _Given:
    """A row that is sound by itself; `node.level` is COUNTER_LEVEL for a counter."""

    row: Row
    node: Node


def import_tree(
    database: Database, path: Path, *, actor: str, trial: bool = False, file_name: str = ""
) -> OrganisationImport:
    """Take the rows of a file that fit the tree; a row whose parent is refused is refused, too.

    Raises:
        TableRefused: It is no table of the tree.
        DatabaseUnavailable: Ask again later; nothing was kept.
    """
    with (
        open_table(path, COLUMNS) as table,
        database.transaction() as connection,
        connection.transaction(force_rollback=trial),
    ):
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (TREE_LOCK,))
        change = _Change(connection, table)
        read = 0
        faults: list[Fault] = []
        for found in table:
            read += 1
            faults += [found] if isinstance(found, Fault) else change.read(found)
        faults += change.fit()
        refused = lines_of(faults)
        import_id, index = None, None
        if change.given and not trial:
            change.write()
            rebuild_paths(connection)
            import_id, index = record_import(
                connection,
                kind="tree",
                name=shortened(file_name or path.name),
                sha256=table.facts.sha256,
                rows=(read, len(change.given), refused),
                actor=actor,
            )
    return OrganisationImport(
        import_id,
        table.facts.sha256.hex(),
        read,
        len(change.given),
        refused,
        in_order(faults),
        index,
    )


def record_import(
    connection: Connection, *, kind: str, name: str, sha256: bytes, rows: tuple[int, int, int], actor: str
) -> tuple[UUID, int]:
    """Log an import and keep what it was: `rows` are those read, kept and refused. Return id and entry."""
    import_id = UUID(bytes=uuid7().bytes)
    read, kept, refused = rows
    body = {"import": import_id, "what": kind, "file_sha256": sha256.hex(), "actor": actor}
    index = log.append(
        connection,
        log.Kind.ORGANISATION_IMPORT,
        {**body, "rows_read": read, "kept": kept, "refused": refused},
    )
    connection.execute(
        "INSERT INTO organisation_imports (import_id, kind, file_name, file_sha256, rows_read, kept, "
        "refused, actor, log_index) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (import_id, kind, name, sha256, read, kept, refused, actor, index),
    )
    return import_id, index


class _Change:
    """The tree as it is, and the rows of a file on their way into it."""

    def __init__(self, connection: Connection, table: Table) -> None:
        self._connection = connection
        self._table = table
        self._ranks = {level.code: level.rank for level in levels_of(connection)}
        self._ranks[COUNTER_LEVEL] = max(self._ranks.values()) + 1
        self._nodes = _by_code(
            Node(*row)
            for row in connection.execute(
                "SELECT code, level, name_vi, name_en, parent, valid_from, valid_until, successor "
                "FROM organisation_nodes"
            )
        )
        self._placed = _by_code(
            Node(row[0], COUNTER_LEVEL, "", "", row[1], row[2], row[3], None)
            for row in connection.execute(
                "SELECT counter, unit, valid_from, valid_until FROM counter_placements"
            )
        )
        self._counters = {row[0] for row in connection.execute("SELECT code FROM counters")}
        self._lines: dict[tuple[bool, str, date], int] = {}
        self.given: list[_Given] = []

    def read(self, row: Row) -> list[Fault]:
        """Take a row that is sound by itself, or say what is wrong with it."""
        cells = RowCells(self._table, row)
        code, level = cells.get("code", code_of, needed=True), cells.get("level", code_of, needed=True)
        is_counter = level == COUNTER_LEVEL
        name = cells.get("name_vi", text_of, needed=level is not None and not is_counter) or ""
        name_en = cells.get("name_en", text_of) or name
        parent, successor = cells.get("parent", code_of, needed=is_counter), cells.get("successor", code_of)
        first = cells.get("valid_from", self._day) or BEGINNING
        until = cells.get("valid_until", self._day) or OPEN
        if level is not None and level not in self._ranks:
            cells.refuse("level", Reason.UNKNOWN_LEVEL)
        if is_counter and code is not None and code not in self._counters:
            cells.refuse("code", Reason.UNKNOWN_COUNTER)
        if until <= first:
            cells.refuse("valid_until", Reason.ENDS_BEFORE_IT_BEGINS)
        key = (is_counter, code or "", first)
        if key in self._lines:
            cells.refuse("code", Reason.GIVEN_TWICE, str(self._lines[key]))
        if not cells.faults and code is not None and level is not None:
            self._lines[key] = row.line
            self.given.append(_Given(row, Node(code, level, name, name_en, parent, first, until, successor)))
        return cells.faults

    def _day(self, value: CellValue) -> date:
        return day_of(value, today=OPEN, epoch_1904=self._table.epoch_1904, earliest=BEGINNING)

    def fit(self) -> list[Fault]:
        """Take out of `given` what does not fit the tree that the rest makes, and say why."""
        faults: list[Fault] = []
        while True:
            nodes, overlapping = _joined(
                self._nodes, [item for item in self.given if item.node.level != COUNTER_LEVEL]
            )
            placed, misplaced = _joined(
                self._placed, [item for item in self.given if item.node.level == COUNTER_LEVEL]
            )
            wrong = {
                id(item): (item, "valid_from", Reason.DAYS_OVERLAP) for item in (*overlapping, *misplaced)
            }
            for item in self.given:
                reason = self._parent_fault(_as_joined(item.node, nodes, placed), nodes)
                if id(item) not in wrong and reason is not None:
                    wrong[id(item)] = (item, "parent", reason)
                elif id(item) not in wrong and item.node.successor not in {None, *nodes}:
                    wrong[id(item)] = (item, "successor", Reason.UNKNOWN_SUCCESSOR)
            if not wrong:
                return faults
            faults += [self._table.fault(item.row, column, reason) for item, column, reason in wrong.values()]
            self.given = [item for item in self.given if id(item) not in wrong]

    def write(self) -> None:
        """Write what fits."""
        nodes, _ = _joined(self._nodes, [item for item in self.given if item.node.level != COUNTER_LEVEL])
        placed, _ = _joined(self._placed, [item for item in self.given if item.node.level == COUNTER_LEVEL])
        changed = {item.node.code for item in self.given if item.node.level != COUNTER_LEVEL}
        moved = {item.node.code for item in self.given if item.node.level == COUNTER_LEVEL}
        self._connection.execute("DELETE FROM organisation_nodes WHERE code = ANY(%s)", (list(changed),))
        self._connection.execute("DELETE FROM counter_placements WHERE counter = ANY(%s)", (list(moved),))
        with self._connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO organisation_nodes (code, level, name_vi, name_en, parent, valid_from, "
                "valid_until, successor) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        *(node.code, node.level, node.name_vi, node.name_en, node.parent),
                        *(node.valid_from, node.valid_until, node.successor),
                    )
                    for code in sorted(changed)
                    for node in nodes[code]
                ],
            )
            cursor.executemany(
                "INSERT INTO counter_placements (counter, unit, valid_from, valid_until) "
                "VALUES (%s, %s, %s, %s)",
                [
                    (node.code, node.parent, node.valid_from, node.valid_until)
                    for code in sorted(moved)
                    for node in placed[code]
                ],
            )

    def _parent_fault(self, node: Node, nodes: dict[str, list[Node]]) -> Reason | None:
        if node.parent is None:
            return None
        if node.level == COUNTER_LEVEL and any(
            above.level != UNIT_LEVEL for above in nodes.get(node.parent, ())
        ):
            return Reason.UNKNOWN_UNIT
        since = node.valid_from
        for above in nodes.get(node.parent, ()):
            if above.valid_from <= since < above.valid_until:
                if self._ranks[above.level] >= self._ranks[node.level]:
                    return Reason.PARENT_NOT_ABOVE
                since = above.valid_until
        return None if since >= node.valid_until else Reason.UNKNOWN_PARENT


def _as_joined(node: Node, nodes: dict[str, list[Node]], placed: dict[str, list[Node]]) -> Node:
    """Return a node as the joined tree has it: a later version may end it earlier than its row says."""
    versions = (placed if node.level == COUNTER_LEVEL else nodes).get(node.code, [])
    return next((version for version in versions if version.valid_from == node.valid_from), node)


def _by_code(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in nodes:
        found.setdefault(node.code, []).append(node)
    for versions in found.values():
        versions.sort(key=lambda node: node.valid_from)
    return found


def _joined(
    old: dict[str, list[Node]], given: Sequence[_Given]
) -> tuple[dict[str, list[Node]], list[_Given]]:
    """Return what codes stand for after rows were taken in, and the rows that overlap something else."""
    found = {code: list(versions) for code, versions in old.items()}
    wrong: list[_Given] = []
    for item in sorted(given, key=lambda one: (one.node.code, one.node.valid_from)):
        node = item.node
        versions = [before for before in found.get(node.code, []) if before.valid_from != node.valid_from]
        earlier = [before for before in versions if before.valid_from < node.valid_from]
        later = [after for after in versions if after.valid_from > node.valid_from]
        if later and later[0].valid_from < node.valid_until:
            if node.valid_until != OPEN:
                wrong.append(item)
                continue
            node = replace(node, valid_until=later[0].valid_from)
        if earlier and earlier[-1].valid_until > node.valid_from:
            earlier[-1] = replace(earlier[-1], valid_until=node.valid_from)
        found[node.code] = [*earlier, node, *later]
    return found, wrong
