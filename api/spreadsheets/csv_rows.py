"""Rows of a CSV file, line by line: a stray quotation mark costs its own line and no other one."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TextIO

from api.spreadsheets.cells import CellValue, Formula
from api.spreadsheets.faults import Fault, Reason, shortened

DELIMITERS: Final = (",", ";", "\t", "|")
_LONGEST_LINE: Final = 1 << 17
_MOST_JOINED: Final = 12
"""Lines that one quoted cell may span: Excel writes a title with line breaks so."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in a file; `line` is where it begins, from 1."""

    line: int
    cells: tuple[CellValue, ...]


class CsvRows:
    """Reads rows one after the other in little memory.

    A quoted cell may go on over lines only when the whole then has the width of the header, and none of
    the lines it swallows is a row by itself. Otherwise only the line with the open quote is refused.

    Args:
        file: Opened with newline="".
        delimiter: What stands between cells.
        width: Columns of the header; None while it is being looked for.
    """

    def __init__(self, file: TextIO, delimiter: str, width: int | None = None) -> None:
        """Begin before the first line."""
        self._file = file
        self._delimiter = delimiter
        self._pending: deque[tuple[int, str | None]] = deque()
        self._line = 0
        self.width = width

    def __iter__(self) -> Iterator[RawRow | Fault]:
        """Yield rows, and a fault for each line that is none."""
        while (found := self._next()) is not None:
            line, text = found
            if text is None:
                yield Fault(line, "", "", "", Reason.ROW_TOO_LONG)
                continue
            if line == 1 and text.lower().startswith("sep="):
                continue
            try:
                yield RawRow(line, self._cells(text))
            except csv.Error as error:
                unclosed = "unexpected end of data" in str(error)
                joined = self._joined(text) if unclosed else None
                if joined is None:
                    reason = Reason.UNCLOSED_QUOTE if unclosed else Reason.BAD_QUOTES
                    yield Fault(line, "", "", shortened(text.strip()), reason)
                else:
                    yield RawRow(line, joined)

    def _next(self) -> tuple[int, str | None] | None:
        return self._pending.popleft() if self._pending else self._read()

    def _read(self) -> tuple[int, str | None] | None:
        text = self._file.readline(_LONGEST_LINE)
        if not text:
            return None
        self._line += 1
        if len(text) == _LONGEST_LINE and text[-1] not in "\r\n":
            while (more := self._file.readline(_LONGEST_LINE)) and more[-1] not in "\r\n":
                pass
            return self._line, None
        return self._line, text

    def _cells(self, text: str) -> tuple[CellValue, ...]:
        if '"' in text:
            (row,) = csv.reader([text], delimiter=self._delimiter, strict=True)
        else:
            row = text.rstrip("\r\n").split(self._delimiter)
        return tuple(Formula(cell) if cell[:1] == "=" else cell for cell in row)

    def _joined(self, text: str) -> tuple[CellValue, ...] | None:
        """Return the row that a cell with line breaks makes with the lines after it, if it makes one."""
        while len(self._pending) < _MOST_JOINED and (more := self._read()) is not None:
            self._pending.append(more)
        whole = text
        for count, (_, line) in enumerate(self._pending, 1):
            if line is None or self._is_row(line):
                return None
            whole += line
            try:
                (row,) = csv.reader([whole], delimiter=self._delimiter, strict=True)
            except csv.Error:
                continue
            if self.width is not None and len(row) != self.width:
                return None
            for _ in range(count):
                self._pending.popleft()
            return tuple(Formula(cell) if cell[:1] == "=" else cell for cell in row)
        return None

    def _is_row(self, line: str) -> bool:
        if self.width is None:
            return False
        try:
            return len(self._cells(line)) == self.width
        except csv.Error:
            return False
