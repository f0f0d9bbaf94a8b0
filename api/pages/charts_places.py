"""Dots with intervals, one row a place or factor, as SVG: what overlaps is drawn as overlapping.

Coordinates can be read back, so they are the printed figures and tell no more than the table.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.pages.drawing import BAND, GRID, INK, LINE, QUIET, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH: Final = {"wide": 9.6, "narrow": 4.3}
_ROW: Final = {"wide": 0.29, "narrow": 0.5}
_LETTERS: Final = {"wide": 40, "narrow": 38}
_TALLEST: Final = 60


@dataclass(frozen=True, slots=True)
class Dot:
    """One row: a printed figure with its interval, 0 to 100.

    Attributes:
        depth: How far the label is indented; what has others below it is drawn stronger.
        value: None where there is no figure: the row says `missing` instead.
        bound: `≥` or `≤` where the value is a bound, else empty.
    """

    label: str
    depth: int
    value: float | None = None
    low: float = 0.0
    high: float = 0.0
    bound: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class DotChart:
    """What a chart of dots shows.

    Attributes:
        axis: What the numbers are.
        whole: The figure of all together, drawn as a line with its interval as a band.
        open_marks: Draw rings instead of dots: scores, not shares.
    """

    title: str
    description: str
    axis: str
    dots: tuple[Dot, ...]
    whole: Dot | None = None
    open_marks: bool = False
    empty: str = ""


@functools.lru_cache(maxsize=128)
def dots_svg(chart: DotChart, size: str) -> bytes:
    """Draw rows of dots.

    Args:
        chart: What to show; the same chart gives the same bytes.
        size: `wide` or `narrow`.
    """
    rows = max(1, len(chart.dots))
    height = min(_TALLEST, 0.75 + rows * _ROW[size])

    def draw(figure: Figure) -> None:
        _draw(figure.add_subplot(), chart, narrow=size == "narrow")

    return svg_of((_WIDTH[size], height), chart.title, chart.description, draw)


def size_px(chart: DotChart, size: str) -> tuple[int, int]:
    """Return width and height in pixels, so that the page does not jump when the chart comes."""
    rows = max(1, len(chart.dots))
    return round(_WIDTH[size] * 72), round(min(_TALLEST, 0.75 + rows * _ROW[size]) * 72)


def _draw(axes: Axes, chart: DotChart, *, narrow: bool) -> None:
    low, high = _span(chart)
    axes.set_xlim(low, high)
    axes.set_ylim(max(1, len(chart.dots)) - 0.4, -0.75 if narrow else -0.6)
    axes.set_xlabel(chart.axis)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    if chart.whole is not None and chart.whole.value is not None:
        axes.axvspan(chart.whole.low, chart.whole.high, color=BAND, alpha=0.55, linewidth=0, zorder=1)
        axes.axvline(chart.whole.value, color=LINE, linewidth=1.1, linestyle=(0, (4, 3)), zorder=2)
    for at, dot in enumerate(chart.dots):
        _draw_dot(axes, dot, at, chart, from_left=low)
    if not chart.dots:
        axes.text((low + high) / 2, 0, chart.empty, ha="center", va="center", color=QUIET)
    _label(axes, chart, narrow=narrow, left=low)


def _draw_dot(axes: Axes, dot: Dot, at: int, chart: DotChart, *, from_left: float) -> None:
    if dot.value is None:
        axes.text(from_left, at, f"  {dot.missing}", va="center", ha="left", color=QUIET, fontsize=9)
        return
    top, open_mark = _is_strong(dot, chart), chart.open_marks
    axes.hlines(
        at, dot.low, dot.high, color=LINE if top else "#5f97bd", linewidth=2.4 if top else 1.5, zorder=3
    )
    axes.plot(
        [dot.value],
        [at],
        marker={"≥": ">", "≤": "<"}.get(dot.bound, "D" if open_mark else "o"),
        markersize=7 if top else 5.5,
        markerfacecolor="#ffffff" if open_mark else LINE,
        markeredgecolor=LINE,
        linestyle="none",
        zorder=4,
    )


def _label(axes: Axes, chart: DotChart, *, narrow: bool, left: float) -> None:
    shown = [_label_text(dot, "narrow" if narrow else "wide") for dot in chart.dots]
    if not narrow:
        axes.set_yticks(range(len(shown)), shown)
        for tick, dot in zip(axes.get_yticklabels(), chart.dots, strict=True):
            tick.set_color(INK)
            tick.set_fontweight("bold" if _is_tree(chart) and _is_strong(dot, chart) else "normal")
            tick.set_fontsize(10)
        return
    # On a phone the label stands above its own line: beside it there is no room.
    axes.set_yticks([])
    for at, (text, dot) in enumerate(zip(shown, chart.dots, strict=True)):
        weight = "bold" if _is_tree(chart) and _is_strong(dot, chart) else "normal"
        axes.text(left, at - 0.42, text, va="center", ha="left", color=INK, fontsize=9.5, fontweight=weight)


def _is_strong(dot: Dot, chart: DotChart) -> bool:
    """Tell whether a row is not one of the lowest, or whether there is only one depth."""
    lowest = max(item.depth for item in chart.dots)
    return dot.depth < lowest or lowest == 0


def _is_tree(chart: DotChart) -> bool:
    return any(dot.depth for dot in chart.dots)


def _label_text(dot: Dot, size: str) -> str:
    most = _LETTERS[size]
    text = dot.label if len(dot.label) <= most else f"{dot.label[: most - 1].rstrip()}…"
    return "\N{NO-BREAK SPACE}" * (3 * dot.depth) + text if size == "narrow" else text


def _span(chart: DotChart) -> tuple[float, float]:
    """Return the ends of the axis: where the intervals are, in steps of ten, not always 0 to 100."""
    known = [dot for dot in (*chart.dots, *((chart.whole,) if chart.whole else ())) if dot.value is not None]
    if not known:
        return 0.0, 100.0
    low = min(dot.low for dot in known) // 10 * 10
    high = -(-max(dot.high for dot in known) // 10) * 10
    return max(0.0, low - 2), min(102.0, max(high, low + 10) + 2)
