"""The course of a figure over months (quarters, years) as SVG: dots with interval bands, gaps stay gaps."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.pages.drawing import BAND, GRID, LINE, OTHER, QUIET, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZES: Final = {"wide": (9.6, 3.4), "narrow": (4.3, 3.2)}
_MOST_LABELS: Final = {"wide": 13, "narrow": 5}


@dataclass(frozen=True, slots=True)
class CoursePoint:
    """One period with its printed figure.

    Attributes:
        label: Short text below the axis.
        value: 0 to 100; None where nothing is shown.
        number: Position on the axis; periods without any release leave a gap.
    """

    number: int
    label: str
    value: float | None = None
    low: float = 0.0
    high: float = 0.0
    current: bool = False


@dataclass(frozen=True, slots=True)
class Course:
    """What a chart of the course shows.

    Attributes:
        marks: Positions at which something was done, below the axis.
    """

    title: str
    description: str
    axis: str
    points: tuple[CoursePoint, ...]
    marks: tuple[float, ...] = ()
    marks_text: str = ""
    empty: str = ""


@functools.lru_cache(maxsize=128)
def course_svg(course: Course, size: str) -> bytes:
    """Draw a course.

    Args:
        course: What to show; the same course gives the same bytes.
        size: A key of SIZES.
    """

    def draw(figure: Figure) -> None:
        _draw(figure.add_subplot(), course, size)

    return svg_of(SIZES[size], course.title, course.description, draw)


def _draw(axes: Axes, course: Course, size: str) -> None:
    known = [point for point in course.points if point.value is not None]
    for run in _runs(known):
        _draw_run(axes, run)
    numbers = [point.number for point in course.points] or [0]
    axes.set_xlim(min(numbers) - 0.6, max(numbers) + 0.6)
    lowest = min((point.low for point in known), default=0.0)
    axes.set_ylim(max(0.0, lowest // 10 * 10 - 10), 101)
    step = -(-len(course.points) // _MOST_LABELS[size])
    labelled = [point for at, point in enumerate(reversed(course.points)) if at % step == 0]
    axes.set_xticks([point.number for point in labelled], [point.label for point in labelled])
    axes.set_ylabel(course.axis)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    bottom = axes.get_ylim()[0]
    for at in course.marks:
        axes.axvline(at, color=OTHER, linewidth=1.0, linestyle=(0, (2, 2)), zorder=2)
        axes.plot([at], [bottom], marker="^", markersize=8, color=OTHER, clip_on=False, zorder=5)
    if course.marks:
        axes.set_xlabel(f"▲ {course.marks_text}", color=OTHER, loc="left")
    if not known:
        axes.text(sum(axes.get_xlim()) / 2, sum(axes.get_ylim()) / 2, course.empty, ha="center", color=QUIET)


def _draw_run(axes: Axes, run: list[CoursePoint]) -> None:
    x = [point.number for point in run]
    low, high = [point.low for point in run], [point.high for point in run]
    value = [point.value for point in run if point.value is not None]
    axes.fill_between(x, low, high, color=BAND, linewidth=0, zorder=2)
    axes.vlines(x, low, high, color="#8bb9d8", linewidth=1.4, zorder=3)
    axes.plot(x, value, color=LINE, linewidth=1.5, marker="o", markersize=5, zorder=4)
    for point in run:
        if point.current and point.value is not None:
            axes.plot(
                [point.number], [point.value], marker="o", markersize=10, markerfacecolor="none",
                markeredgecolor=LINE, markeredgewidth=1.6, zorder=5,
            )  # fmt: skip


def _runs(points: list[CoursePoint]) -> Iterator[list[CoursePoint]]:
    run: list[CoursePoint] = []
    for point in points:
        if run and point.number - run[-1].number > 1:
            yield run
            run = []
        run.append(point)
    if run:
        yield run
