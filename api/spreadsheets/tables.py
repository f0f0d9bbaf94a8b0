"""A file with a table in it, CSV or XLSX: found header, rows as a stream, progress, what was odd."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

from api.errors import TableRefused
from api.spreadsheets.cells import CellValue, is_empty
from api.spreadsheets.csv_rows import DELIMITERS, CsvRows, RawRow
from api.spreadsheets.encodings import FileFacts, examine
from api.spreadsheets.faults import Fault, Reason, letter_of, shortened
from api.spreadsheets.header import HEAD_ROWS, Column, Header, find_header
from api.spreadsheets.xlsx_rows import OLD_EXCEL_HEAD, XLSX_HEAD, Sheet, Workbook

_EVERY_ROWS: Final = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        sheet: Number of the sheet, from 1; 1 in CSV.
        line: Line or row in the file, from 1.
        values: What stands in the columns of ours that the table has.
    """

    sheet: int
    line: int
    values: Mapping[str, CellValue]


@dataclass(slots=True)
class Table:
    """An open file; use it as a context and iterate it once.

    Attributes:
        facts: Hash, size and encoding.
        epoch_1904: Whether numbers of days count from 1904.
        columns: Names of ours that some sheet has; known before the first row.
        unread_sheets: Sheets without a header.
        sheet_name: Name of the sheet that is being read; empty in CSV.
    """

    facts: FileFacts
    epoch_1904: bool
    columns: frozenset[str]
    unread_sheets: tuple[str, ...]
    _parts: Sequence[_Part]
    _closers: Sequence[Callable[[], None]]
    _progress: Callable[[int], None] | None = None
    sheet_name: str = ""
    _header: Header | None = field(default=None)

    def __enter__(self) -> Self:
        """Keep it open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        for close in self._closers:
            close()

    def __iter__(self) -> Iterator[Row | Fault]:
        """Yield rows that hold something, and faults of rows that cannot be read as rows."""
        count = 0
        for part in self._parts:
            self._header, self.sheet_name = part.header, part.name
            for raw in part.rows:
                count += 1
                if self._progress is not None and count % _EVERY_ROWS == 0:
                    self._progress(count)
                if isinstance(raw, Fault):
                    yield raw
                    continue
                found = self._row(raw, part)
                if found is not None:
                    yield found
        if self._progress is not None:
            self._progress(count)

    def fault(self, row: Row, column: str, reason: Reason, detail: str = "") -> Fault:
        """Return the fault of a cell, or of the whole row where `column` is empty or not in the table."""
        assert self._header is not None  # noqa: S101 - rows come after a header
        if column not in row.values:
            return Fault(row.line, "", "", "", reason, detail, self.sheet_name)
        position = self._header.names.index(column)
        value = row.values[column]
        return Fault(
            row.line,
            letter_of(position),
            shortened(self._header.titles[position]),
            shortened(value),
            reason,
            detail,
            self.sheet_name,
        )

    def _row(self, raw: RawRow, part: _Part) -> Row | Fault | None:
        names, cells = part.header.names, raw.cells
        if len(cells) > len(names):
            for position in range(len(names), len(cells)):
                if not part.is_sheet and not is_empty(cells[position]):
                    value = shortened(cells[position])
                    return Fault(raw.line, letter_of(position), "", value, Reason.STRAY_CELL)
        values = {name: value for name, value in zip(names, cells, strict=False) if name is not None}
        if all(is_empty(value) for value in values.values()) and all(map(is_empty, cells)):
            return None
        if len(cells) < len(names):  # spreadsheets leave out empty cells at the end
            values |= {name: None for name in names[len(cells) :] if name is not None}
        return Row(part.number, raw.line, values)


@dataclass(frozen=True, slots=True)
class _Part:
    """One sheet, or the whole of a CSV file, after its header."""

    number: int
    name: str
    is_sheet: bool
    header: Header
    rows: Iterator[RawRow | Fault]


def open_table(
    path: Path, columns: Sequence[Column], *, progress: Callable[[int], None] | None = None
) -> Table:
    """Open a CSV or XLSX file and find its header.

    Args:
        path: The file; its content decides what it is, not its name.
        columns: What may be in it. Other columns stay unread: they are never kept or shown.
        progress: Told the number of rows read, every thousand and at the end.

    Raises:
        TableRefused: It is no such file, or has no header with every required column.
    """
    try:
        facts = examine(path)
    except OSError as error:
        raise TableRefused("The file cannot be read: {reason}.", reason=error.strerror) from error
    if facts.head.startswith(OLD_EXCEL_HEAD):
        raise TableRefused(
            "This is an old Excel file, or one with a password: save it as .xlsx without one and repeat."
        )
    if not facts.size:
        raise TableRefused("The file is empty.")
    if facts.head.startswith(XLSX_HEAD):
        return _open_workbook(path, facts, columns, progress)
    return _open_csv(path, facts, columns, progress)


def table_of(
    facts: FileFacts, columns: Sequence[Column], present: frozenset[str], rows: Iterator[RawRow | Fault]
) -> Table:
    """Return a table whose rows were read elsewhere.

    Args:
        facts: Of the file or body that they come from.
        columns: What each row has a cell for, in their order.
        present: Names of the columns that some row holds.
        rows: The rows.
    """
    names = tuple(column.name for column in columns)
    header = Header(-1, names, names)
    part = _Part(1, "", is_sheet=False, header=header, rows=rows)
    return Table(facts, epoch_1904=False, columns=present, unread_sheets=(), _parts=(part,), _closers=())


def _open_workbook(
    path: Path, facts: FileFacts, columns: Sequence[Column], progress: Callable[[int], None] | None
) -> Table:
    book = Workbook(path)
    parts, unread = [], []
    try:
        for sheet in book.sheets:
            rows = book.rows(sheet)
            head = list(itertools.islice(rows, HEAD_ROWS + 1))
            header = find_header([row.cells for row in head], columns)
            if header is not None:
                parts.append(_part_of(sheet, header, head, rows))
            elif any(not is_empty(cell) for row in head for cell in row.cells):
                unread.append(sheet.name)
        if not parts:
            raise _no_header(columns)
    except TableRefused:
        book.close()
        raise
    known = frozenset(name for part in parts for name in part.header.names if name is not None)
    return Table(facts, book.epoch_1904, known, tuple(unread), parts, (book.close,), progress)


def _part_of(sheet: Sheet, header: Header, head: Sequence[RawRow], rows: Iterator[RawRow]) -> _Part:
    return _Part(
        sheet.number, sheet.name, is_sheet=True, header=header,
        rows=itertools.chain(head[header.last + 1 :], rows),
    )  # fmt: skip


def _open_csv(
    path: Path, facts: FileFacts, columns: Sequence[Column], progress: Callable[[int], None] | None
) -> Table:
    best: tuple[Header, str, list[RawRow | Fault]] | None = None
    for delimiter in DELIMITERS:
        with _text(path, facts) as file:
            head = list(itertools.islice(CsvRows(file, delimiter), HEAD_ROWS + 1))
        header = find_header([row.cells if isinstance(row, RawRow) else () for row in head], columns)
        if header is not None and (best is None or header.known > best[0].known):
            best = (header, delimiter, head)
    if best is None:
        raise _no_header(columns)
    header, delimiter, head = best
    file = _text(path, facts)
    reader = CsvRows(file, delimiter)
    rows = iter(reader)
    # Row by row: only what comes after the header is read with its width.
    (*_, last) = itertools.islice(rows, header.last + 1)
    reader.width = len(last.cells) if isinstance(last, RawRow) else None
    names = tuple(name for name in header.names if name is not None)
    part = _Part(1, "", is_sheet=False, header=header, rows=rows)
    return Table(facts, epoch_1904=False, columns=frozenset(names), unread_sheets=(), _parts=(part,),
                 _closers=(file.close,), _progress=progress)  # fmt: skip


def _text(path: Path, facts: FileFacts) -> TextIO:
    return path.open("r", encoding=facts.encoding, errors="replace", newline="")


def _no_header(columns: Sequence[Column]) -> TableRefused:
    needed = ", ".join(column.name for column in columns if column.required)
    return TableRefused(
        "No header was found in the first {rows} rows: one row has to name at least the columns {columns}.",
        rows=HEAD_ROWS,
        columns=needed,
    )
