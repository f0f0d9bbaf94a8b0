"""What the pages of a place show of its course: the step, the chart with its changes, rows, and parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from api.disclosure import points
from api.index.course import Found, Run, Step, changes_of, factors_of, in_steps, runs_of
from api.index.figures import Figure
from api.index.period import Period, Span
from api.index.reading import Reading
from api.interval import share_of
from api.language import gettext_of
from api.pages.charts_runs import LevelLine, RunDot, RunsChart
from api.pages.course_words import (
    STEP_TEXT,
    PartTables,
    PlainShare,
    ShiftText,
    judged_text,
    part_tables,
    run_texts,
    shift_text,
)
from api.pages.period_choice import PeriodView
from api.pages.rendering import Pages

LOOK_BACK_MONTHS: Final = 13
"""Months over which changes are looked for, the page's own included."""
_SHOWN_MONTHS: Final = {Step.DAY: 3, Step.WEEK: LOOK_BACK_MONTHS, Step.MONTH: LOOK_BACK_MONTHS}
"""Most months on a chart, so that each run can be seen; a longer period shows all of its own in weeks."""


@dataclass(frozen=True, slots=True)
class Followed:
    """The released days of a place up to a period's end, with what changed.

    Attributes:
        months: Readings of the months, oldest first.
        runs: Of all of them.
    """

    months: tuple[Reading, ...]
    runs: tuple[Run, ...]
    found: Found


@dataclass(frozen=True, slots=True)
class StepLink:
    """Another step of the course."""

    step: Step
    text: str
    current: bool


@dataclass(frozen=True, slots=True)
class CourseView:
    """The course on a page.

    Attributes:
        steps: Day, week and month; none where no days are released.
        rows: Runs, the newest first; empty for months, which have the figures of their own.
        shifts: Changes, the newest first.
        judged: What is said where there are none.
    """

    step: Step
    steps: tuple[StepLink, ...]
    rows: tuple[PlainShare, ...]
    shifts: tuple[ShiftText, ...]
    judged: str
    parts: PartTables


def follow(pages: Pages, place: str, view: PeriodView) -> Followed:
    """Return the released days of a place in the thirteen months up to the end of a period."""
    last = view.period.months[-1]
    known = [month for month in pages.readings.months() if month <= last][-LOOK_BACK_MONTHS:]
    disclosure = pages.disclosure()
    months = tuple(
        pages.readings.read([place], Period(month, Span.MONTH), disclosure)[place] for month in sorted(known)
    )
    runs = runs_of(months)
    return Followed(months, runs, changes_of(runs))


def step_of(wanted: str, view: PeriodView, runs: Sequence[Run]) -> Step:
    """Return the step asked for; without a wish days for a month, weeks for a quarter, months for a year."""
    if not any(_in_days(runs)):
        return Step.MONTH
    if wanted in {step.value for step in Step}:
        return Step(wanted)
    return {Span.MONTH: Step.DAY, Span.QUARTER: Step.WEEK, Span.YEAR: Step.MONTH}[view.period.span]


def course_view(
    followed: Followed, view: PeriodView, wanted: str, figure: Figure | None, language: str
) -> CourseView:
    """Return the course of a place in words.

    Args:
        followed: Its released days.
        view: The period of the page.
        wanted: The step asked for.
        figure: The figure of the period, whose times of day and procedures are told.
        language: Of the texts.
    """
    gettext = gettext_of(language)
    step = step_of(wanted, view, followed.runs)
    shifts = followed.found.shifts
    texts = tuple(
        shift_text(shift, factors_of(followed.months, shifts, at), language, gettext)
        for at, shift in enumerate(shifts)
    )
    return CourseView(
        step,
        tuple(StepLink(item, STEP_TEXT[item], item is step) for item in Step)
        if any(_in_days(followed.runs))
        else (),
        () if step is Step.MONTH else run_texts(_shown(followed.runs, step, view), step, language),
        texts[::-1],
        judged_text(followed.found, followed.runs, gettext),
        part_tables(
            {} if figure is None else figure.breakdowns,
            0 if figure is None else figure.breakdowns_behind,
            language,
            gettext,
        ),
    )


def runs_chart(
    followed: Followed, view: PeriodView, step: Step, marks: Sequence[date], language: str
) -> RunsChart:
    """Return the chart of days or weeks.

    Args:
        followed: The released days.
        view: The period of the page.
        step: Day or week.
        marks: Days on which something was done.
        language: Of the texts.
    """
    gettext = gettext_of(language)
    runs = _shown(followed.runs, step, view)
    dots = tuple(dot for run in runs if (dot := _dot(run)) is not None)
    first = runs[0].first if runs else date.max
    last = runs[-1].last if runs else date.min
    levels = []
    for at, shift in enumerate(followed.found.shifts):
        both = (shift.before, shift.after) if at == 0 else (shift.after,)
        levels += [
            LevelLine(max(item.first, first), item.last, item.value * 100, item.low * 100, item.high * 100)
            for item in both
            if item.last >= first
        ]
    return RunsChart(
        gettext("Course of the ratings at the counter with 95% intervals"),
        gettext("The table beside the chart has the same figures."),
        gettext("Satisfied people, %"),
        dots,
        tuple(levels),
        tuple(
            (max(shift.earliest, first), shift.latest)
            for shift in followed.found.shifts
            if shift.latest >= first
        ),
        tuple(day for day in marks if first <= day <= last),
        gettext("days on which it may have changed; lines: the levels before and after"),
        gettext("something was done"),
        gettext("No figure was released yet"),
    )


def _in_days(runs: Sequence[Run]) -> list[bool]:
    """Tell which runs are shorter than their month."""
    return [run.first.day > 1 or (run.last + timedelta(days=1)).day > 1 for run in runs]


def _shown(runs: Sequence[Run], step: Step, view: PeriodView) -> tuple[Run, ...]:
    most = max(_SHOWN_MONTHS[step], len(view.period.months))
    months = sorted({run.month for run in runs})[-most:]
    return in_steps([run for run in runs if months and run.month >= months[0]], step)


def _dot(run: Run) -> RunDot | None:
    share = share_of(run.satisfied, run.n)
    if share is None or run.bounded:
        return None
    value, low, high = (float(points(item, run.n)) for item in (share.value, share.low, share.high))
    return RunDot(run.first, run.last, value, low, high)
