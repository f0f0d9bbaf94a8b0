"""The trend of a month as an SVG image: text stays text, the same data gives the same bytes."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from api.disclosure import points
from api.schema import next_month
from api.trends import Day

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK: Final = "#1b2733"
QUIET: Final = "#5b6875"
LINE: Final = "#0b5c8a"
BAND: Final = "#cfe3f1"
GRID: Final = "#e3e8ed"
SIZES: Final = {"wide": (9.6, 3.5), "narrow": (4.3, 3.3)}
"""Inches at 72 points: two drawings, so that letters stay readable on a phone."""
_LOCK: Final = threading.Lock()
_STYLE: Final[dict[Any, Any]] = {  # matplotlib types its keys as one literal of 300 names
    "svg.fonttype": "none",
    "svg.hashsalt": "hailong",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.5,
    "axes.edgecolor": GRID,
    "axes.labelcolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "text.color": INK,
}


def trend_svg(first: date, days: Sequence[Day], size: str, gettext: Callable[[str], str]) -> bytes:
    """Draw the daily means of a month with their interval band.

    Args:
        first: First day of the month.
        days: Days of the month; only shown days with a mean are drawn.
        size: A key of SIZES.
        gettext: Translates the texts.
    """
    import matplotlib as mpl  # noqa: PLC0415 - half a second that only a chart should cost
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    drawn = [day for day in days if day.mean is not None]
    title = gettext("Daily mean of the uncalibrated signal with its 95% interval")
    with _LOCK, mpl.rc_context(_STYLE):
        figure = Figure(figsize=SIZES[size], layout="constrained")
        axes = figure.add_subplot()
        for run in _runs(drawn):
            _draw_run(axes, run)
        _dress(axes, first, gettext, narrow=size == "narrow", empty=not drawn)
        output = io.BytesIO()
        figure.savefig(
            output, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None}
        )
    return _accessible(output.getvalue(), title, _describe(drawn, gettext))


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


def _dress(axes: Axes, first: date, gettext: Callable[[str], str], *, narrow: bool, empty: bool) -> None:
    length = (next_month(first) - first).days
    axes.set_xlim(0.4, length + 0.6)
    axes.set_ylim(0, 100)
    axes.set_yticks(range(0, 101, 25))
    axes.set_xticks([1, 8, 15, 22, 29] if narrow else [1, *range(5, length + 1, 5)])
    axes.set_xticks(range(1, length + 1), minor=True)
    axes.set_xlabel(gettext("Day of the month"))
    axes.set_ylabel(gettext("Uncalibrated signal (0–100)"))  # noqa: RUF001 - the dash of a range
    axes.grid(axis="y", color=GRID, linewidth=0.8, zorder=0)
    axes.tick_params(length=0)
    axes.tick_params(which="minor", length=2, color=GRID)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    if empty:
        axes.text(
            (length + 1) / 2,
            50,
            gettext("No day with enough sessions yet"),
            ha="center",
            va="center",
            color=QUIET,
        )


def _describe(days: Sequence[Day], gettext: Callable[[str], str]) -> str:
    if not days:
        return gettext("No day with enough sessions yet")
    return gettext("The table beside the chart lists every shown day.")


def _accessible(svg: bytes, title: str, description: str) -> bytes:
    """Name the drawing for screen readers, and use the reader's own fonts."""
    text = svg.decode("utf-8")
    start = text.index("<svg")
    end = text.index(">", start)
    named = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    text = f'{text[start:end]} role="img">{named}{text[end + 1 :]}'
    return text.replace("'DejaVu Sans'", "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans'").encode()
