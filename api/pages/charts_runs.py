"""Released days or weeks of a place as SVG: each with its interval, what changed since when, what was done.

A run of several days is a line as long as they are. A change is told by the levels before and after it, and
by a shade over the days that may be the one; a level is a line over the days that it stands on.
"""

from __future__ import annotations

import functools
import textwrap
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from api.pages.drawing import GRID, LINE, OTHER, QUIET, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RUNS_SIZES: Final = {"wide": (9.6, 3.6), "narrow": (4.3, 3.4)}
_MOST_LABELS: Final = {"wide": 12, "narrow": 5}
_LINE_LETTERS: Final = {"wide": 120, "narrow": 42}
"""Letters that a line below the axis has room for."""
_INDENT: Final = "\N{NO-BREAK SPACE}" * 4
"""Browsers drop plain spaces at the beginning of a line."""
_PALE: Final = "#8bb9d8"
_SHADE: Final = "#f6e3d3"


@dataclass(frozen=True, slots=True)
class RunDot:
    """A run with its printed share, 0 to 100."""

    first: date
    last: date
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LevelLine:
    """A level between two changes, 0 to 100."""

    first: date
    last: date
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RunsChart:
    """What the chart shows.

    Attributes:
        spans: First and last day that may be the one of a change.
        marks: Days on which something was done.
    """

    title: str
    description: str
    axis: str
    dots: tuple[RunDot, ...]
    levels: tuple[LevelLine, ...]
    spans: tuple[tuple[date, date], ...]
    marks: tuple[date, ...]
    span_text: str
    marks_text: str
    empty: str


@functools.lru_cache(maxsize=128)
def runs_svg(chart: RunsChart, size: str) -> bytes:
    """Draw runs; the same chart gives the same bytes.

    Args:
        chart: What to show.
        size: A key of RUNS_SIZES.
    """

    def draw(figure: Figure) -> None:
        _draw(figure.add_subplot(), chart, size)

    return svg_of(RUNS_SIZES[size], chart.title, chart.description, draw)


def _at(day: date) -> float:
    return float(day.toordinal())


def _draw(axes: Axes, chart: RunsChart, size: str) -> None:
    for first, last in chart.spans:
        axes.axvspan(_at(first), _at(last) + 1, color=_SHADE, linewidth=0, zorder=1)
    for level in chart.levels:
        ends = [_at(level.first), _at(level.last) + 1]
        axes.fill_between(ends, level.low, level.high, color="#fbf1e8", linewidth=0, zorder=1.5)
        axes.plot(ends, [level.value] * 2, color=OTHER, linewidth=1.6, zorder=4)
    for dot in chart.dots:
        middle = (_at(dot.first) + _at(dot.last) + 1) / 2
        axes.vlines(middle, dot.low, dot.high, color=_PALE, linewidth=1.2, zorder=3)
        axes.plot([middle], [dot.value], color=LINE, marker="o", markersize=3.6, zorder=5)
        if dot.last - dot.first > timedelta(days=3):
            axes.hlines(dot.value, _at(dot.first), _at(dot.last) + 1, color=LINE, linewidth=1.3, zorder=5)
    _dress(axes, chart, size)
    bottom = axes.get_ylim()[0]
    for day in chart.marks:
        axes.axvline(_at(day) + 0.5, color=OTHER, linewidth=1.0, linestyle=(0, (2, 2)), zorder=2)
        axes.plot([_at(day) + 0.5], [bottom], marker="^", markersize=8, color=OTHER, clip_on=False, zorder=6)
    words = [f"▲ {chart.marks_text}"] if chart.marks else []
    words += [f"■ {chart.span_text}"] if chart.spans else []
    if words:
        axes.set_xlabel(_legend(words, size), color=OTHER, loc="left")
    if not chart.dots:
        axes.text(sum(axes.get_xlim()) / 2, sum(axes.get_ylim()) / 2, chart.empty, ha="center", color=QUIET)


def _legend(words: list[str], size: str) -> str:
    """Return what marks and shades mean, in lines that the chart's width holds: what is longer is cut off."""
    lines = words if size == "narrow" else ["   ".join(words)]
    return "\n".join(textwrap.fill(line, _LINE_LETTERS[size], subsequent_indent=_INDENT) for line in lines)


def _dress(axes: Axes, chart: RunsChart, size: str) -> None:
    days = [dot.first for dot in chart.dots] or [date(2026, 1, 1)]
    last = max((dot.last for dot in chart.dots), default=days[0])
    room = max(1.0, (_at(last) - _at(days[0])) / 60)  # the first date stands beside the scale's lowest number
    axes.set_xlim(_at(days[0]) - room * (3 if size == "narrow" else 1.5), _at(last) + 1 + room)
    lowest = min((dot.low for dot in chart.dots), default=0.0)
    axes.set_ylim(max(0.0, lowest // 10 * 10), 101)
    ticks = _ticks(days[0], last, _MOST_LABELS[size])
    axes.set_xticks([_at(day) for day in ticks], [f"{day.day}/{day.month}" for day in ticks])
    axes.set_ylabel(chart.axis)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _ticks(first: date, last: date, most: int) -> list[date]:
    """Return Mondays for some weeks, first days of months for longer."""
    monday = first + timedelta(days=-first.weekday() % 7)
    mondays = [monday + timedelta(days=7 * at) for at in range((last - monday).days // 7 + 1)]
    if len(mondays) <= most:
        return mondays
    months = sorted({day.replace(day=1) for day in mondays if day.replace(day=1) >= first})
    step = max(1, -(-len(months) // most))
    if len(months) < most // 2:
        step = -(-len(mondays) // most)
        return mondays[::step]
    return months[::step]
