"""The days of a month as an SVG image: signal with its interval, level so far, and the tallies of the chart.

Text stays text, the same data gives the same bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from api.disclosure import points
from api.pages.drawing import BAND, GRID, LINE, OTHER, QUIET, svg_of
from api.schema import next_month
from api.statistics.change_points import Change, Charted, Point
from api.trends import Day

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZES: Final = {"wide": (9.6, 3.5), "narrow": (4.3, 3.3)}
"""Inches at 72 points: two drawings, so that letters stay readable on a phone."""
TALLY_SIZES: Final = {"wide": (9.6, 4.9), "narrow": (4.3, 4.9)}
"""The same with the tallies below."""


@dataclass(frozen=True, slots=True)
class Tallies:
    """The part of a control chart that a month shows.

    Attributes:
        limit: Of the tallies, in standard deviations.
    """

    points: tuple[Point, ...]
    changes: tuple[Change, ...]
    limit: float


def tallies_of(charted: Charted, first: date, limit: float) -> Tallies | None:
    """Cut a chart to one month; None where no day of it was judged."""
    until = next_month(first)
    inside = tuple(
        point for point in charted.points if first <= point.day < until and point.level is not None
    )
    changes = tuple(change for change in charted.changes if first <= change.noticed < until)
    return Tallies(inside, changes, limit) if inside else None


def trend_svg(
    first: date,
    days: Sequence[Day],
    size: str,
    gettext: Callable[[str], str],
    tallies: Tallies | None = None,
) -> bytes:
    """Draw the daily means of a month with their interval band.

    Args:
        first: First day of the month.
        days: Days of the month; only shown days with a mean are drawn.
        size: A key of SIZES.
        gettext: Translates the texts.
        tallies: Level so far and the CUSUM below, where days were judged.
    """
    drawn = tuple(day for day in days if day.mean is not None)
    words = _Words(
        gettext("Daily mean of the uncalibrated signal with its 95% interval"),
        gettext("The table beside the chart lists every shown day.")
        if drawn
        else gettext("No day with enough sessions yet"),
        gettext("Day of the month"),
        gettext("Uncalibrated signal (0–100)"),  # noqa: RUF001 - the dash of a range
        gettext("No day with enough sessions yet"),
        gettext("Tally (CUSUM)"),
    )
    return _svg(first, drawn, size, words, tallies)


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    description: str
    days: str
    signal: str
    empty: str
    tally: str


@functools.lru_cache(maxsize=128)
def _svg(first: date, drawn: tuple[Day, ...], size: str, words: _Words, tallies: Tallies | None) -> bytes:
    def draw(figure: Figure) -> None:
        if tallies is None:
            axes = below = figure.add_subplot()
        else:
            axes, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1.25]})
            _draw_tallies(below, tallies, words)
        for run in _runs(drawn):
            _draw_run(axes, run)
        _dress(axes, first, words, narrow=size == "narrow", empty=not drawn)
        if tallies is not None:
            _draw_level(axes, tallies)
            _bare(below)
        below.set_xlabel(words.days)

    return svg_of((SIZES if tallies is None else TALLY_SIZES)[size], words.title, words.description, draw)


def _runs(days: Sequence[Day]) -> Iterator[list[Day]]:
    """Split days where one or more are missing: a line over a gap would claim something."""
    run: list[Day] = []
    for day in days:
        if run and (day.day - run[-1].day).days > 1:
            yield run
            run = []
        run.append(day)
    if run:
        yield run


def _draw_run(axes: Axes, run: list[Day]) -> None:
    means = [day.mean for day in run if day.mean is not None]
    x = [float(day.day.day) for day in run]
    # Coordinates can be read back: they tell no more than the table does.
    low, high, value = (
        [float(points(getattr(mean, name), mean.n)) for mean in means] for name in ("low", "high", "value")
    )
    axes.fill_between(x, low, high, color=BAND, linewidth=0, zorder=2)
    axes.vlines(x, low, high, color="#8bb9d8", linewidth=1.2, zorder=3)
    axes.plot(x, value, color=LINE, linewidth=1.8, marker="o", markersize=4.5, zorder=4)


def _draw_level(axes: Axes, tallies: Tallies) -> None:
    """Draw the level that each day was compared with, and where a new one began."""
    x = [point.day.day for point in tallies.points]
    level = [round((point.level or 0.0) * 100) for point in tallies.points]
    axes.step(x, level, where="mid", color=OTHER, linewidth=1.2, linestyle=(0, (4, 2)), zorder=3)
    for change in tallies.changes:
        if change.since.month == change.noticed.month:
            axes.axvline(change.since.day - 0.5, color=OTHER, linewidth=1.2, zorder=2)


def _draw_tallies(axes: Axes, tallies: Tallies, words: _Words) -> None:
    x = [point.day.day for point in tallies.points]
    axes.plot(
        x, [round(point.up, 1) for point in tallies.points], color=LINE, linewidth=1.5, marker="^", ms=4
    )
    axes.plot(
        x, [-round(point.down, 1) for point in tallies.points], color=OTHER, linewidth=1.5, marker="v", ms=4
    )
    reach = max(tallies.limit, *(max(point.up, point.down) for point in tallies.points)) * 1.15
    axes.set_ylim(-reach, reach)
    for sign in (-1, 1):
        axes.axhline(sign * tallies.limit, color=QUIET, linewidth=1.0, linestyle=(0, (3, 3)))
    axes.set_yticks([-tallies.limit, 0, tallies.limit])
    axes.set_ylabel(words.tally)


def _bare(axes: Axes) -> None:
    axes.grid(axis="y", color=GRID, linewidth=0.8, zorder=0)
    axes.tick_params(length=0)
    axes.tick_params(which="minor", length=2, color=GRID)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _dress(axes: Axes, first: date, words: _Words, *, narrow: bool, empty: bool) -> None:
    length = (next_month(first) - first).days
    axes.set_xlim(0.4, length + 0.6)
    axes.set_ylim(0, 100)
    axes.set_yticks(range(0, 101, 25))
    axes.set_xticks([1, 8, 15, 22, 29] if narrow else [1, *range(5, length + 1, 5)])
    axes.set_xticks(range(1, length + 1), minor=True)
    axes.set_ylabel(words.signal)
    _bare(axes)
    if empty:
        axes.text((length + 1) / 2, 50, words.empty, ha="center", va="center", color=QUIET)
