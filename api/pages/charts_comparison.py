"""Charts of comparisons: dots with intervals, never ranked, and the reliability diagram."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.disclosure import nearly_unanimous, points
from api.pages.drawing import GRID, INK, LINE, OTHER, QUIET, svg_of
from api.statistics.reliability import Bin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTHS: Final = {"wide": 9.6, "narrow": 4.3}
"""Inches of 72 points: two drawings, so that letters stay readable on a phone."""
_ROW: Final = 0.62
_SECOND: Final = 0.24
Gettext = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Dot:
    """A share with its interval, 0 to 100 as printed; no value where only a bound is printed."""

    value: float | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """A place with one or two dots; the second is drawn as a hollow square."""

    label: str
    first: Dot | None
    second: Dot | None


def rows_svg(
    rows: Sequence[Row], size: str, *, title: str, first: str, second: str, axis: str, table: str
) -> bytes:
    """Draw places below each other, each with its name above its dots.

    Args:
        rows: In the order of the table beside the chart.
        size: A key of WIDTHS.
        title: What the chart is.
        first: Meaning of the filled dot.
        second: Meaning of the hollow square.
        axis: Name of the axis.
        table: Where the same stands as a table.
    """

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            y = -float(place)
            _dot(axes, row.first, y, LINE, "o")
            _dot(axes, row.second, y - _SECOND, OTHER, "s")
            axes.text(_left(rows), y + 0.22, row.label, ha="left", va="bottom", color=INK)
        axes.set_ylim(-len(rows) + 0.35, 0.75)
        axes.set_xlim(_left(rows), 101)
        axes.set_yticks([])
        axes.set_xlabel(axis)
        axes.grid(axis="x", color=GRID, linewidth=0.8, zorder=0)
        axes.tick_params(length=0)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        for label, colour, marker, fill in ((first, LINE, "o", LINE), (second, OTHER, "s", "white")):
            axes.plot([], [], marker=marker, color=colour, markerfacecolor=fill, linestyle="-", label=label)
        figure.legend(loc="outside upper left", ncols=2 if size == "wide" else 1, frameon=False)

    height = 1.25 + _ROW * max(1, len(rows)) + (0.0 if size == "wide" else 0.25)
    return svg_of((WIDTHS[size], height), title, table, draw)


def reliability_svg(bins: Sequence[Bin], size: str, gettext: Gettext) -> bytes:
    """Draw calibrated scores against held-out ballots, with the line on which they agree.

    Args:
        bins: By rising score.
        size: A key of WIDTHS.
        gettext: Translates the texts.
    """

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot(
            [0, 100], [0, 100], color=QUIET, linestyle="--", linewidth=1, label=gettext("exactly right")
        )
        for number, item in enumerate(bins):
            x, value, low, high = (
                float(points(each, item.n)) for each in (item.score, item.share, item.low, item.high)
            )
            axes.vlines(x, low, high, color="#8bb9d8", linewidth=2.5, zorder=3)
            axes.plot(
                [x],
                # Where nearly all said the same the bin is a bound, and its dot is left out.
                [float("nan") if nearly_unanimous(item.n, round(item.share * item.n)) else value],
                color=LINE,
                marker="o",
                linestyle="none",
                zorder=4,
                label=gettext("ballots of a bin, 95% interval") if number == 0 else None,
            )
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.set_xlabel(gettext("Calibrated score (0–100)"))  # noqa: RUF001 - the dash of a range
        axes.set_ylabel(gettext("Satisfied ballots (%)"))
        axes.grid(color=GRID, linewidth=0.8, zorder=0)
        axes.tick_params(length=0)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        figure.legend(loc="outside upper left", ncols=2 if size == "wide" else 1, frameon=False)

    height = 4.6 if size == "wide" else 4.2
    width = 6.4 if size == "wide" else WIDTHS["narrow"]
    return svg_of(
        (width, height),
        gettext("Reliability diagram"),
        gettext("The table beside the chart lists every bin."),
        draw,
    )


def _left(rows: Sequence[Row]) -> float:
    lows = [dot.low for row in rows for dot in (row.first, row.second) if dot is not None]
    return float(max(0, min([*lows, 90]) // 10 * 10 - 2))


def _dot(axes: Axes, dot: Dot | None, y: float, colour: str, marker: str) -> None:
    if dot is None:
        return
    axes.hlines(y, dot.low, dot.high, color=colour, linewidth=2, alpha=0.7, zorder=3)
    if dot.value is not None:
        fill = colour if marker == "o" else "white"
        axes.plot([dot.value], [y], marker=marker, markersize=7, color=colour, markerfacecolor=fill, zorder=4)
