"""Months, quarters and years: the only windows of the index, so that no two of them overlap by parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from api.index.errors import IndexRefused
from api.schema import next_month

_TEXT: Final = re.compile(r"(?P<year>[0-9]{4})(?:-(?:(?P<month>0[1-9]|1[0-2])|Q(?P<quarter>[1-4])))?")


class Span(StrEnum):
    """How long a period is."""

    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


_MONTHS: Final = {Span.MONTH: 1, Span.QUARTER: 3, Span.YEAR: 12}


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A calendar month, quarter or year of Viet Nam."""

    first: date
    span: Span

    @classmethod
    def holding(cls, day: date, span: Span) -> Period:
        """Return the period that a day is in."""
        month = 1 if span is Span.YEAR else day.month - (day.month - 1) % _MONTHS[span]
        return cls(date(day.year, month, 1), span)

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read `2026-11`, `2026-Q4` or `2026`.

        Raises:
            IndexRefused: It is none of these.
        """
        found = _TEXT.fullmatch(text)
        if found is None or int(found["year"]) == 0:
            raise IndexRefused(f"{text!r} is no period: write 2026-11, 2026-Q4 or 2026")
        year = int(found["year"])
        if found["month"]:
            return cls(date(year, int(found["month"]), 1), Span.MONTH)
        if found["quarter"]:
            return cls(date(year, 3 * int(found["quarter"]) - 2, 1), Span.QUARTER)
        return cls(date(year, 1, 1), Span.YEAR)

    @property
    def months(self) -> tuple[date, ...]:
        """First days of its months."""
        found = [self.first]
        while len(found) < _MONTHS[self.span]:
            found.append(next_month(found[-1]))
        return tuple(found)

    def __str__(self) -> str:
        """Return it as `parse` reads it."""
        if self.span is Span.MONTH:
            return f"{self.first:%Y-%m}"
        if self.span is Span.QUARTER:
            return f"{self.first:%Y}-Q{(self.first.month + 2) // 3}"
        return f"{self.first:%Y}"
