"""The cells of one row, parsed one by one; what is wrong is gathered, so that all of it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from api.spreadsheets.cells import CellError, CellValue, is_empty
from api.spreadsheets.faults import Fault, Reason
from api.spreadsheets.tables import Row, Table

_T = TypeVar("_T")


class RowCells:
    """Reads the cells of a row.

    Args:
        table: The open file.
        row: One of its rows.

    Attributes:
        faults: What is wrong so far.
    """

    def __init__(self, table: Table, row: Row) -> None:
        """Begin without a fault."""
        self._table = table
        self._row = row
        self.faults: list[Fault] = []

    def get(self, name: str, parse: Callable[[CellValue], _T], *, needed: bool = False) -> _T | None:
        """Return what a cell means; None where it is empty or means nothing, which is then a fault.

        Args:
            name: Of the column.
            parse: Raises CellError for what it does not take.
            needed: Whether an empty cell is a fault, too.
        """
        value = self._row.values.get(name)
        if is_empty(value):
            if needed:
                self.refuse(name, Reason.MISSING)
            return None
        try:
            return parse(value)
        except CellError as error:
            self.refuse(name, error.reason, error.detail)
            return None

    def is_empty(self, name: str) -> bool:
        """Tell whether nothing stands in a cell."""
        return is_empty(self._row.values.get(name))

    def refuse(self, name: str, reason: Reason, detail: str = "") -> None:
        """Note what is wrong with a cell, or with the row where `name` is empty."""
        self.faults.append(self._table.fault(self._row, name, reason, detail))


def in_order(faults: list[Fault]) -> tuple[Fault, ...]:
    """Sort faults by sheet, line and column; those of a whole row come before those of its cells."""
    return tuple(sorted(faults, key=lambda fault: (fault.sheet, fault.line, len(fault.column), fault.column)))


def lines_of(faults: list[Fault]) -> int:
    """Return how many rows faults are about."""
    return len({(fault.sheet, fault.line) for fault in faults})
