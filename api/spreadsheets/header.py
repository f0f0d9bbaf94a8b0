"""The header of a table: which columns there are, wherever it stands and however it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from api.errors import TableRefused
from api.spreadsheets.cells import CellError, CellValue, folded, text_of
from api.spreadsheets.faults import letter_of

HEAD_ROWS: Final = 30
"""The header stands in one of the first rows: titles and dates of the report may come before."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a table may have.

    Attributes:
        name: What the program calls it.
        titles: How offices write it; case, marks and punctuation do not count.
        required: Whether a table without it is refused.
    """

    name: str
    titles: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class Header:
    """A header that was found.

    Attributes:
        last: Index of its last row among those that were looked at.
        names: Name of each column by position; None where it is none of ours and stays unread.
        titles: What stands in the file.
    """

    last: int
    names: tuple[str | None, ...]
    titles: tuple[str, ...]

    @property
    def known(self) -> int:
        """How many columns are ours."""
        return sum(name is not None for name in self.names)


def find_header(rows: Sequence[Sequence[CellValue]], columns: Sequence[Column]) -> Header | None:
    """Find the header among the first rows of a table.

    Titles may be merged over two rows, the upper one naming the factor: then the lower one counts where it
    has a title, and the upper one elsewhere.

    Args:
        rows: The first rows.
        columns: What may be there.

    Returns:
        The row, or pair of rows, with most of our columns; None where no row has every required one.

    Raises:
        TableRefused: A column stands there twice.
    """
    names = {folded(title): column.name for column in columns for title in (column.name, *column.titles)}
    required = {column.name for column in columns if column.required}
    best: Header | None = None
    for index in range(min(len(rows), HEAD_ROWS)):
        single = _texts(rows[index])
        readings = [(index, single)]
        if index:
            readings.append((index, _merged(_texts(rows[index - 1]), single, names)))
        for last, titles in readings:
            found = Header(last, tuple(names.get(folded(title)) for title in titles), tuple(titles))
            if required <= set(found.names) and (best is None or found.known > best.known):
                best = found
    if best is not None:
        _refuse_doubles(best)
    return best


def _texts(row: Sequence[CellValue]) -> list[str]:
    texts = []
    for value in row:
        try:
            texts.append(text_of(value))
        except CellError:
            texts.append("")
    while texts and not texts[-1]:
        texts.pop()
    return texts


def _merged(upper: list[str], lower: list[str], names: dict[str, str]) -> list[str]:
    width = max(len(upper), len(lower))
    upper, lower = (part + [""] * (width - len(part)) for part in (upper, lower))
    return [low if folded(low) in names or not up else up for up, low in zip(upper, lower, strict=True)]


def _refuse_doubles(header: Header) -> None:
    seen: dict[str, int] = {}
    for position, name in enumerate(header.names):
        if name is None:
            continue
        if name in seen:
            raise TableRefused(
                "The columns {first} and {second} are both '{title}': remove one of them.",
                first=letter_of(seen[name]),
                second=letter_of(position),
                title=header.titles[position],
            )
        seen[name] = position
