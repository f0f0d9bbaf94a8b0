"""Rows of an XLSX workbook, read as a stream; formulas and errors are told from values."""

from __future__ import annotations

import itertools
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import openpyxl  # type: ignore[import-untyped]  # it has no types of its own
from openpyxl.utils.datetime import CALENDAR_MAC_1904  # type: ignore[import-untyped]  # as above

from api.errors import TableRefused
from api.spreadsheets.cells import BrokenCell, CellValue, Formula
from api.spreadsheets.csv_rows import RawRow

XLSX_HEAD: Final = b"PK\x03\x04"
OLD_EXCEL_HEAD: Final = b"\xd0\xcf\x11\xe0"
"""Excel before 2007, and newer workbooks with a password."""
_LARGEST_UNPACKED: Final = 2 << 30
_SMALL_UNPACKED: Final = 32 << 20
_MOST_TIMES: Final = 50
"""Sheets of ballots unpack to 13 to 20 times their size; what was made to fill the memory, to a thousand."""
MOST_ROWS: Final = 1 << 20
"""Of a sheet, as the format has it: a row may name any number, and the reader counts up to it."""
_ROWS_AT_ONCE: Final = 500
_DAMAGED: Final = "The workbook is damaged: open it in the spreadsheet program, save it anew and repeat."
_TOO_LARGE: Final = "The workbook is too large: split it into several."
_SWELLS: Final = "The workbook holds far more than its size says: copy its values into a new one and repeat."


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet of a workbook; `number` counts from 1."""

    number: int
    name: str


class Workbook:
    """An open workbook.

    Args:
        path: An XLSX file.

    Raises:
        TableRefused: It is none, or unpacks to more than 2 GiB or than its size bears.
    """

    def __init__(self, path: Path) -> None:
        """Open it; rows are read later."""
        try:
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(item.file_size for item in archive.infolist())
        except (zipfile.BadZipFile, OSError) as error:
            raise TableRefused(_DAMAGED) from error
        if unpacked > _LARGEST_UNPACKED:
            raise TableRefused(_TOO_LARGE)
        if unpacked > max(_SMALL_UNPACKED, _MOST_TIMES * path.stat().st_size):
            raise TableRefused(_SWELLS)
        self._file = path.open("rb")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of styles and validations, which are of no interest here
                # Of an open file the reader does not ask for the ending of its name: uploads have none.
                self._book = openpyxl.load_workbook(self._file, read_only=True, keep_links=False)
        except Exception as error:  # the reader raises whatever it stumbles over
            self._file.close()
            raise TableRefused(_DAMAGED) from error
        self.epoch_1904 = self._book.epoch == CALENDAR_MAC_1904
        self.sheets = tuple(
            Sheet(number, str(sheet.title)) for number, sheet in enumerate(self._book.worksheets, 1)
        )

    def close(self) -> None:
        """Close the file."""
        self._book.close()
        self._file.close()

    def rows(self, sheet: Sheet) -> Iterator[RawRow]:
        """Yield the rows of a sheet that hold something.

        Raises:
            TableRefused: The sheet is damaged, or has more rows than a sheet can have.
        """
        found = self._book.worksheets[sheet.number - 1]
        found.reset_dimensions()  # some programs write a wrong size, which would cut columns off
        cells = enumerate(found.rows, 1)
        while True:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # as above
                    part = [
                        RawRow(line, tuple(map(_value, row)))
                        for line, row in itertools.islice(cells, _ROWS_AT_ONCE)
                    ]
            except Exception as error:  # as above
                raise TableRefused(_DAMAGED) from error
            if not part:
                return
            if part[-1].line > MOST_ROWS:
                raise TableRefused(_TOO_LARGE)
            yield from part


def _value(cell: Any) -> CellValue:  # noqa: ANN401 - the library has no types
    value: CellValue = cell.value
    if value is None or cell.data_type in {"n", "s"}:
        return value
    if cell.data_type == "f":
        return Formula(value if isinstance(value, str) else "=")
    if cell.data_type == "e":
        return BrokenCell(value)
    return value
