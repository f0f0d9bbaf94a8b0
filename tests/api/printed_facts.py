"""What a person reads off the files and pages of figures: one reader a medium, all giving the same facts."""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib import resources
from typing import Any, Final

import openpyxl  # type: ignore[import-untyped]  # it has no types of its own

from api.disclosure import FINE_FROM_N, share_text
from api.figure_table import OVERALL, TOGETHER
from api.index.period import Period
from api.pages.figure_words import CHANNEL_TEXT, FACTOR_TEXT
from api.pages.period_choice import period_text
from tests.api.pdf_text import pdf_lines

_FACTORS: Final = {text: code for code, text in FACTOR_TEXT.items()}
_CHANNELS: Final = {text: code for code, text in CHANNEL_TEXT.items()}
_SHARE: Final = re.compile(r"[≥≤]?\d+(?:\.\d)?")
_PLACE: Final = re.compile(r"/(?:places/(?P<place>[^?]+)|counters/(?P<counter>[^?]+))\?")
_WHOLE: Final = "Everywhere"


@dataclass(frozen=True, slots=True, order=True)
class About:
    """What a printed figure is about."""

    place: str
    period: str
    factor: str
    channel: str


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """A printed figure.

    Attributes:
        share: As printed, with its sign.
        n: Ballots.
    """

    about: About
    share: str
    n: int


def of_csv(data: bytes) -> frozenset[Fact]:
    """Read `/figures.csv`."""
    return frozenset(_rows(csv.DictReader(io.StringIO(data.decode("utf-8-sig")))))


def of_xlsx(data: bytes) -> frozenset[Fact]:
    """Read the first sheet of `/figures.xlsx`."""
    sheet = openpyxl.load_workbook(io.BytesIO(data)).worksheets[0]
    head, *rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    texts = [["" if value is None else str(value) for value in row] for row in rows]
    read = (dict(zip(map(str, head), row, strict=True)) for row in texts)
    return frozenset(_rows(row | {"share": _digits(row["share"], row["n"])} for row in read))


def of_json(period: str, places: Mapping[str, Mapping[str, Any]]) -> frozenset[Fact]:
    """Read figures as `hailong central index show --json` and the audit's export write them."""
    found = []
    for place, figure in places.items():
        lines = {OVERALL: figure["overall"], **figure["factors"]}
        for factor, line in lines.items():
            for channel, share in {TOGETHER: line["share"], **line["channels"]}.items():
                if share is not None:
                    about = About(place, period, factor, channel)
                    found.append(Fact(about, share["value"], share["n"]))
    return frozenset(found)


def parts_of_json(period: str, places: Mapping[str, Mapping[str, Any]]) -> frozenset[Fact]:
    """Read the breakdowns of such figures; the channel of a fact is `DIMENSION NAME`."""
    return frozenset(
        Fact(About(place, period, OVERALL, f"{dimension} {name}"), share_text(n, satisfied), n)
        for place, figure in places.items()
        for dimension, parts in figure.get("breakdowns", {}).items()
        for name, n, satisfied in parts
    )


def of_pdf(data: bytes, place: str, period: str, names: Mapping[str, str]) -> frozenset[Fact]:
    """Read the report of a place.

    Args:
        data: The report in English.
        place: What it is about.
        period: Its period, as the index writes it.
        names: Printed name of a unit or area -> its place.
    """
    words = tomllib.loads(resources.files("api").joinpath("printing/en.toml").read_text("utf-8"))
    factors = {text: code for code, text in words["factor_names"].items()}
    channels = {text: code for code, text in words["channel_names"].items()}
    found = []
    for line in pdf_lines(data):
        name, *rest = line
        if len(rest) == 5 and (name in names or name == _WHOLE):  # level, share, interval, n, consent
            about, value, n = About(names.get(name, "all"), period, OVERALL, TOGETHER), rest[1], rest[3]
        elif name == _WHOLE and len(rest) == 4:  # the whole has no level
            about, value, n = About("all", period, OVERALL, TOGETHER), rest[0], rest[2]
        elif name in factors and len(rest) == 3:
            about, value, n = About(place, period, factors[name], TOGETHER), rest[0], rest[2]
        elif name in channels and len(rest) == 6:
            about, value, n = About(place, period, OVERALL, channels[name]), rest[0], rest[2]
        else:
            continue
        if _SHARE.fullmatch(value):
            found.append(Fact(about, value, int(n)))
    return frozenset(found)


def of_list_page(text: str, period: str, channel: str = TOGETHER) -> frozenset[Fact]:
    """Read the list of places on the overview, in English."""
    return frozenset(_listed(_tables(text), period, channel))


def of_place_page(text: str, place: str, period: str, periods: Iterable[str]) -> frozenset[Fact]:
    """Read the page of a place or counter, in English: its course, factors, channels, and what is below it.

    Args:
        text: The page.
        place: What it is about.
        period: Its period.
        periods: Every period that may stand in the course.
    """
    worded = {period_text(Period.parse(name), "en"): name for name in periods}
    tables = _tables(text)
    found = list(_listed(tables, period, TOGETHER))
    for table in tables:
        for row in table.rows:
            value, n = _at(table, row, "Satisfied people, %"), _at(table, row, table.counted)
            if not _SHARE.fullmatch(value) or not n.isdecimal():
                continue
            if table.first == "Period":
                about = About(place, worded[row.name.split(" ●")[0]], OVERALL, TOGETHER)
            elif table.first == "Factor":
                about = About(place, period, _FACTORS[row.name], TOGETHER)
            elif table.first == "Channel":
                about = About(place, period, OVERALL, _CHANNELS[row.name])
            else:
                continue
            found.append(Fact(about, value, int(n)))
    return frozenset(found)


def _digits(share: str, n: str) -> str:
    """Return a number with the digits that its cell lost: 85.0 stands there as 85."""
    if not share:
        return ""
    return f"{float(share):.1f}" if int(n) >= FINE_FROM_N else f"{float(share):.0f}"


def _rows(rows: Iterable[Mapping[str, str]]) -> Iterator[Fact]:
    for row in rows:
        if row["share"]:
            about = About(row["place"], row["period"], row["factor"], row["channel"])
            yield Fact(about, row["sign"] + row["share"], int(row["n"]))


@dataclass(slots=True)
class _Row:
    name: str
    address: str
    cells: list[str]


@dataclass(slots=True)
class _Table:
    head: list[str]
    rows: list[_Row]

    @property
    def first(self) -> str:
        return self.head[0] if self.head else ""

    @property
    def counted(self) -> str:
        return "n" if "n" in self.head else "Ballots (n)"


def _at(table: _Table, row: _Row, title: str) -> str:
    place = table.head.index(title) - 1 if title in table.head else len(row.cells)
    return row.cells[place].strip() if place < len(row.cells) else ""


def _listed(tables: Sequence[_Table], period: str, channel: str) -> Iterator[Fact]:
    for table in tables:
        if table.first != "Unit or counter":
            continue
        for row in table.rows:
            value, n = _at(table, row, "Satisfied people, %"), _at(table, row, "Ballots (n)")
            address = _PLACE.match(row.address)
            if address is not None and _SHARE.fullmatch(value):
                place = address["place"] or f"counter:{address['counter']}"
                yield Fact(About(place, period, OVERALL, channel), value, int(n))


def _tables(text: str) -> list[_Table]:
    reader = _Reader()
    reader.feed(text)
    return reader.tables


class _Reader(HTMLParser):
    """Collects tables: titles of columns, and rows with their first cell's text and link."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[_Table] = []
        self._into: str | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "table":
            self.tables.append(_Table([], []))
        elif not self.tables:
            return
        elif tag == "th" and found.get("scope") == "col":
            self._into, self._text = "col", ""
        elif tag == "th":
            self.tables[-1].rows.append(_Row("", "", []))
            self._into, self._text = "row", ""
        elif tag == "td" and self.tables[-1].rows:
            self._into, self._text = "td", ""
        elif tag == "a" and self._into == "row":
            self.tables[-1].rows[-1].address = found.get("href") or ""

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"th", "td"} or self._into is None:
            return
        table = self.tables[-1]
        if self._into == "col":
            table.head.append(self._text.strip())
        elif self._into == "row":
            table.rows[-1].name = self._text.strip()
        else:
            table.rows[-1].cells.append(self._text)
        self._into = None
