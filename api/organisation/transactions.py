"""Who was eligible: completed transactions by unit, procedure and day, with digests to draw samples from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final
from uuid import UUID

from api.database import Connection, Database
from api.organisation.digests import open_digests
from api.organisation.places import places_of
from api.organisation.tree import Period, unit_spans
from api.organisation.tree_import import OrganisationImport, record_import
from api.spreadsheets.cells import CellValue, code_of, count_of, day_of, transaction_of
from api.spreadsheets.faults import Fault, Reason, shortened
from api.spreadsheets.header import Column
from api.spreadsheets.row_cells import RowCells, in_order, lines_of
from api.spreadsheets.tables import Row, Table, open_table
from api.trends import local_today

COLUMNS: Final = (
    Column("unit", ("đơn vị", "mã đơn vị"), required=True),
    Column("day", ("ngày", "ngày trả kết quả", "date"), required=True),
    Column("procedure", ("thủ tục", "mã thủ tục")),
    Column("completed", ("số hồ sơ đã trả", "đã giải quyết", "số lượng")),
    Column("transaction", ("mã hồ sơ", "số hồ sơ", "mã số hồ sơ", "số biên nhận", "transaction number")),
)
NO_PROCEDURE: Final = ""
_LOCK: Final = 0x74_72_61_6E
_ROWS_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True, order=True)
class _Cell:
    """What a count is about."""

    unit: str
    procedure: str
    day: date


def import_transactions(
    database: Database,
    path: Path,
    *,
    actor: str,
    data_folder: Path,
    trial: bool = False,
    file_name: str = "",
    today: date | None = None,
) -> OrganisationImport:
    """Take completed transactions, by count or one by one.

    A row with `completed` sets the count of a unit, procedure and day. A row with `transaction` names one,
    adds one to that count, and can be drawn for a sample.

    Raises:
        TableRefused: It is no table of transactions.
        KeysUnusable: The key of the digests is missing.
        DatabaseUnavailable: Ask again later; nothing was kept.
    """
    with (
        open_table(path, COLUMNS) as table,
        database.transaction() as connection,
        connection.transaction(force_rollback=trial),
    ):
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        taking = _Taking(connection, table, data_folder, today or local_today())
        for found in table:
            taking.take(found)
        taking.refuse_known()
        kept, refused = len(taking.counts) + len(taking.named), lines_of(taking.faults)
        import_id, index = None, None
        if kept and not trial:
            import_id, index = record_import(
                connection,
                kind="transactions",
                name=shortened(file_name or path.name),
                sha256=table.facts.sha256,
                rows=(taking.read, kept, refused),
                actor=actor,
            )
            taking.write(import_id)
    return OrganisationImport(
        import_id, table.facts.sha256.hex(), taking.read, kept, refused, in_order(taking.faults), index
    )


class _Taking:
    """Rows on their way into the database."""

    def __init__(self, connection: Connection, table: Table, data_folder: Path, today: date) -> None:
        self._connection = connection
        self._table = table
        self._today = today
        self._places = places_of(connection)
        self._digests = open_digests(connection, data_folder)
        self._lines: dict[bytes | _Cell, int] = {}
        self.read = 0
        self.faults: list[Fault] = []
        self.counts: dict[_Cell, int] = {}
        self.named: dict[bytes, tuple[_Cell, Row]] = {}

    def take(self, found: Row | Fault) -> None:
        """Take a row, or note what is wrong with it."""
        self.read += 1
        if isinstance(found, Fault):
            self.faults.append(found)
            return
        cells = RowCells(self._table, found)
        unit = cells.get("unit", code_of, needed=True)
        day = cells.get("day", self._day, needed=True)
        procedure = cells.get("procedure", code_of) or NO_PROCEDURE
        transaction = cells.get("transaction", transaction_of)
        count = cells.get("completed", count_of, needed=cells.is_empty("transaction"))
        if unit is not None and day is not None and not self._places.has_unit(unit, day):
            cells.refuse("unit", Reason.UNKNOWN_UNIT)
        if not cells.faults and unit is not None and day is not None:
            cell = _Cell(unit, procedure, day)
            key = cell if transaction is None else self._digests.digest(transaction)
            if key in self._lines:
                column, reason = ("completed", Reason.GIVEN_TWICE)
                if isinstance(key, bytes):
                    column, reason = ("transaction", Reason.TRANSACTION_TWICE)
                cells.refuse(column, reason, str(self._lines[key]))
            else:
                self._lines[key] = found.line
                if isinstance(key, bytes):
                    self.named[key] = (cell, found)
                elif count is not None:
                    self.counts[cell] = count
        self.faults += cells.faults

    def refuse_known(self) -> None:
        """Take out the transactions that were imported before."""
        digests = list(self.named)
        for start in range(0, len(digests), _ROWS_AT_ONCE):
            for (digest,) in self._connection.execute(
                "SELECT digest FROM transaction_digests WHERE digest = ANY(%s)",
                (digests[start : start + _ROWS_AT_ONCE],),
            ):
                _, row = self.named.pop(bytes(digest))
                self.faults.append(self._table.fault(row, "transaction", Reason.TRANSACTION_KNOWN))

    def write(self, import_id: UUID) -> None:
        """Write what is good."""
        added = Counter(cell for cell, _ in self.named.values())
        with self._connection.cursor() as cursor:
            for cells, sum_up in ((self.counts, "0"), (added, "kept.completed")):
                cursor.executemany(
                    "INSERT INTO completed_transactions AS kept "  # noqa: S608 - constants of this loop
                    "(unit, procedure, day, completed, import_id) VALUES (%s, %s, %s, %s, %s) "
                    "ON CONFLICT (unit, procedure, day) DO UPDATE "
                    f"SET completed = {sum_up} + excluded.completed, import_id = excluded.import_id",
                    [
                        (cell.unit, cell.procedure, cell.day, count, import_id)
                        for cell, count in sorted(cells.items())
                    ],
                )
            with cursor.copy(
                "COPY transaction_digests (digest, unit, procedure, day, import_id) FROM STDIN"
            ) as copy:
                for digest, (cell, _) in self.named.items():
                    copy.write_row((digest, cell.unit, cell.procedure, cell.day, import_id))

    def _day(self, value: CellValue) -> date:
        return day_of(value, today=self._today, epoch_1904=self._table.epoch_1904)


def completed_by_unit(connection: Connection, node: str, period: Period) -> Mapping[str, int]:
    """Return how many transactions each unit of a node completed while it was below that node.

    Units of which nothing was imported are left out: unknown is not none.
    """
    spans = unit_spans(connection, node, period)
    rows = connection.execute(
        "SELECT c.unit, sum(c.completed)::bigint FROM unnest(%s::text[], %s::date[], %s::date[]) "
        "AS s(unit, first, until) JOIN completed_transactions c ON c.unit = s.unit "
        "AND c.day >= s.first AND c.day < s.until GROUP BY c.unit ORDER BY c.unit",
        ([s.unit for s in spans], [s.first for s in spans], [s.until for s in spans]),
    ).fetchall()
    return {row[0]: int(row[1]) for row in rows}
