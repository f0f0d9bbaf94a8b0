"""The course of released runs: days, weeks and months, what changed since when, and what is only chance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.textpath import TextPath

from api.actions_effect import effect_of
from api.index.breakdown import Dimension, Part
from api.index.course import (
    Found,
    Level,
    Run,
    Shift,
    Step,
    changes_of,
    factors_of,
    in_steps,
    level_of,
    runs_of,
)
from api.index.figures import Completeness, Figure, Line, Share, Versions, Weighting
from api.index.period import Period, Span
from api.index.reading import Reading, Standing
from api.pages.charts_runs import RUNS_SIZES, runs_svg
from api.pages.course_views import Followed, runs_chart
from api.pages.period_choice import choose_period
from api.statistics.change_dating import dated
from api.statistics.change_points import DayShare, DaysInvalid, Direction
from api.statistics.mover import difference
from api.statistics.wilson import wilson

MONDAY = date(2026, 6, 1)


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def made_of(*figures: tuple[int, int], first: int = 0) -> list[Run]:
    """Make runs of a day each on working days: ratings and satisfied ones."""
    found = []
    at = first
    for n, satisfied in figures:
        while day(at).weekday() > 4:
            at += 1
        found.append(Run(day(at), day(at), n, satisfied))
        at += 1
    return found


def simulated(
    rng: np.random.Generator, before: float, after: float, days: tuple[int, int], ballots: float
) -> tuple[list[Run], date]:
    """Draw working days, put them together within weeks as released days are; return them and the change."""
    drawn: list[Run] = []
    at, true = 0, MONDAY
    for number in range(sum(days)):
        while day(at).weekday() > 4:
            at += 1
        if number == days[0]:
            true = day(at)
        n = int(rng.poisson(ballots))
        drawn.append(Run(day(at), day(at), n, int(rng.binomial(n, before if number < days[0] else after))))
        at += 1
    found: list[Run] = []
    for run in drawn:
        fits = found and (found[-1].n < 10 or found[-1].bounded or (run.n < 10 and run.first.weekday() == 4))
        if fits:
            found[-1] += run
        else:
            found.append(run)
    return [run for run in found if not run.bounded and run.n >= 10], true


def test_weeks_end_on_sundays_and_with_their_month() -> None:
    runs = [
        Run(date(2026, 6, 22), date(2026, 6, 23), 20, 15),
        Run(date(2026, 6, 24), date(2026, 6, 28), 30, 25),
        Run(date(2026, 6, 29), date(2026, 6, 30), 12, 9),
        Run(date(2026, 7, 1), date(2026, 7, 5), 40, 30),
        Run(date(2026, 7, 6), date(2026, 7, 14), 50, 41),
        Run(date(2026, 7, 15), date(2026, 7, 19), 10, 8),
    ]
    assert in_steps(runs, Step.DAY) == tuple(runs)
    assert in_steps(runs, Step.WEEK) == (
        Run(date(2026, 6, 22), date(2026, 6, 28), 50, 40),
        Run(date(2026, 6, 29), date(2026, 6, 30), 12, 9),
        Run(date(2026, 7, 1), date(2026, 7, 5), 40, 30),
        # A run over two weeks brings them together.
        Run(date(2026, 7, 6), date(2026, 7, 19), 60, 49),
    )
    assert in_steps(runs, Step.MONTH) == (
        Run(date(2026, 6, 22), date(2026, 6, 30), 62, 49),
        Run(date(2026, 7, 1), date(2026, 7, 19), 100, 79),
    )


def test_a_level_is_wilsons_and_wider_where_days_vary_more() -> None:
    runs = made_of((20, 15), (30, 25))
    level = level_of(runs)
    assert level is not None
    low, high = map(float, wilson(0.8, 50))
    assert (level.first, level.last, level.value, level.low, level.high, level.n) == (
        day(0), day(1), 0.8, low, high, 50,
    )  # fmt: skip
    wider = level_of(runs, 1.5)
    assert wider is not None
    assert (wider.low, wider.high) == tuple(map(float, wilson(0.8, 50 / 1.5**2)))
    assert wider.low < level.low < level.high < wider.high
    assert level_of([]) is None
    assert level_of(made_of((20, 20), (30, 29))) is None, "all but one said the same"


def test_a_difference_takes_each_side_of_each_interval() -> None:
    mine = SimpleNamespace(value=0.7, low=0.6, high=0.78)
    other = SimpleNamespace(value=0.85, low=0.8, high=0.88)
    value, low, high = difference(mine, other)
    assert value == pytest.approx(-0.15)
    assert low == pytest.approx(-0.15 - (0.1**2 + 0.03**2) ** 0.5)
    assert high == pytest.approx(-0.15 + (0.08**2 + 0.05**2) ** 0.5)
    assert difference(mine, other, wider=2)[1] == pytest.approx(-0.15 - 2 * (0.1**2 + 0.03**2) ** 0.5)


def test_a_change_has_its_day_its_span_and_both_levels() -> None:
    found = changes_of(made_of(*[(30, 26)] * 25, *[(30, 21)] * 20))
    (shift,) = found.shifts
    first = made_of(*[(30, 26)] * 26)[-1].first
    assert shift.likely == first
    assert first - timedelta(days=4) < shift.earliest < first < shift.latest < first + timedelta(days=4)
    assert shift.direction is Direction.FELL
    # The levels are those of the days outside the span.
    assert (shift.before.n, shift.after.n) == (24 * 30, 19 * 30)
    assert (shift.before.value, shift.after.value) == (26 / 30, 21 / 30)
    assert shift.value == pytest.approx(-5 / 30)
    assert (shift.value, shift.low, shift.high) == difference(shift.after, shift.before)
    assert shift.before.last < shift.earliest < shift.latest <= shift.after.first
    assert found.judged
    assert found.runs == 45


def test_a_fall_and_a_recovery_are_two_changes_with_a_level_in_between() -> None:
    found = changes_of(made_of(*[(28, 24)] * 30, *[(28, 19)] * 20, *[(28, 25)] * 25))
    fell, rose = found.shifts
    assert (fell.direction, rose.direction) == (Direction.FELL, Direction.ROSE)
    assert fell.after == rose.before
    assert fell.after.value == pytest.approx(19 / 28)
    assert fell.latest < rose.earliest
    assert fell.latest <= fell.after.first < fell.after.last < rose.earliest


def test_a_run_of_several_days_may_hold_the_day_anywhere_inside() -> None:
    weeks = [Run(day(7 * at), day(7 * at + 6), 40, 36 if at < 12 else 26) for at in range(20)]
    mixed = [*weeks[:11], Run(day(77), day(83), 40, 31), *weeks[12:]]
    (shift,) = changes_of(mixed).shifts
    assert shift.earliest <= day(78), "in the week of both levels it may be any day but the first"
    assert shift.latest >= day(84)
    assert shift.before.last < shift.earliest
    assert shift.after.first > day(83)


@pytest.mark.parametrize(
    ("figures", "judged"),
    [([(30, 26), (30, 24), (30, 27)] * 15, True), ([(30, 26)] * 4, False), ([], False)],
)
def test_without_a_change_nothing_is_told(figures: Sequence[tuple[int, int]], judged: bool) -> None:  # noqa: FBT001 - one of pytest's values
    found = changes_of(made_of(*figures))
    assert found == Found((), judged, len(figures), found.spread)


def test_runs_that_are_bounds_are_left_out() -> None:
    plain = made_of(*[(30, 26)] * 20, *[(30, 20)] * 20)
    with_bounds = [*plain, Run(day(90), day(90), 30, 30), Run(day(91), day(91), 30, 29)]
    assert changes_of(with_bounds) == changes_of(plain)


def test_a_change_lies_between_two_figures() -> None:
    with pytest.raises(DaysInvalid, match="at least two"):
        dated([DayShare(MONDAY, 0.8, 30)])


def _tried(rng: np.random.Generator, times: int) -> tuple[int, int, int, int]:
    """Return how many changes were found, dated rightly, measured rightly, and told of for nothing."""
    found = spanned = measured = extra = 0
    for before, after, days, ballots in (
        (0.85, 0.70, (40, 30), 28.0),
        (0.75, 0.87, (40, 30), 28.0),
        (0.85, 0.73, (50, 40), 14.0),
        (0.90, 0.68, (60, 30), 8.0),
    ):
        for _ in range(times):
            runs, true = simulated(rng, before, after, days, ballots)
            told = changes_of(runs).shifts
            shifts = [item for item in told if (item.value > 0) == (after > before)]
            extra += max(0, len(told) - 1)
            if shifts:
                shift = min(shifts, key=lambda item: abs(item.likely - true))
                found += 1
                spanned += shift.earliest <= true <= shift.latest
                measured += shift.low <= after - before <= shift.high
    return found, spanned, measured, extra


@pytest.mark.parametrize(
    "times", [pytest.param(15, id="quick"), pytest.param(500, id="long", marks=pytest.mark.long)]
)
def test_spans_hold_the_day_and_intervals_the_difference(seed: int, times: int) -> None:
    rng = np.random.default_rng(seed)
    found, spanned, measured, extra = _tried(rng, times)
    all_of_them = 4 * times
    # Three standard deviations of 95 % below the measured 95 to 97 %.
    allowed = 3 * (0.95 * 0.05 / all_of_them) ** 0.5
    assert found >= 0.93 * all_of_them, found
    assert spanned / found >= 0.95 - allowed, spanned
    assert measured / found >= 0.93 - allowed, measured
    assert extra <= 0.12 * all_of_them


@pytest.mark.parametrize(
    "times", [pytest.param(6, id="quick"), pytest.param(300, id="long", marks=pytest.mark.long)]
)
def test_a_year_without_a_change_seldom_tells_of_one(seed: int, times: int) -> None:
    rng = np.random.default_rng(seed)
    told = [len(changes_of(simulated(rng, 0.85, 0.85, (250, 0), 28.0)[0]).shifts) for _ in range(times)]
    assert sum(told) <= 1.0 * times + 3 * times**0.5


def share_of_month(percent: float, n: int) -> Share:
    value = percent / 100
    return Share(value, value - 0.04, value + 0.03, n, round(value * n), 0, float(n), 0.0, "wilson")


def month(number: int, overall: Share, *, days: tuple[Part, ...] = (), **factors: Share) -> Reading:
    period = Period(date(2026, number, 1), Span.MONTH)
    figure = Figure(
        *("counter:c", period, Line(overall, {"kiosk": overall})),
        {name: Line(share) for name, share in factors.items()},
        Weighting.BALLOTS,
        Completeness(0, 0, 0, 0, 0, 0, 0, 0, 0),
        Versions(1, (), (), ()),
        *(1, 1),
        breakdowns={Dimension.DAYS: days} if days else {},
    )
    return Reading("counter:c", period, Standing.FIGURE, figure=figure)


def test_runs_are_the_released_days_and_else_the_month_as_it_is_printed() -> None:
    days = (Part("2026-03-01/2026-03-08", 20, 15), Part("2026-03-09/2026-03-31", 30, 20))
    silent = Reading("counter:c", Period(date(2026, 4, 1), Span.MONTH), Standing.NOTHING)
    weighted = replace(share_of_month(80, 50), satisfied=44)
    unanimous = Share(1.0, 0.9, 1.0, 30, 30, 0, 30.0, 0.0, "wilson")
    found = runs_of([month(2, weighted), month(3, weighted, days=days), silent, month(5, unanimous)])
    assert found == (
        Run(date(2026, 2, 1), date(2026, 2, 28), 50, 40),
        Run(date(2026, 3, 1), date(2026, 3, 8), 20, 15),
        Run(date(2026, 3, 9), date(2026, 3, 31), 30, 20),
        Run(date(2026, 5, 1), date(2026, 5, 31), 30, 30),
    )
    assert found[-1].bounded


def shift_on(day: date, days: int = 2) -> Shift:
    level = Level(day, day, 0.8, 0.7, 0.9, 100)
    apart = timedelta(days=days)
    return Shift(day, day - apart, day + apart, level, level, -0.1, -0.2, -0.05)


def test_the_factors_of_a_change_are_those_of_whole_months_outside_its_span() -> None:
    good, bad = share_of_month(90, 100), share_of_month(70, 200)
    months = [
        month(1, good, officer=share_of_month(10, 100), result=good),
        *(month(number, good, officer=good, result=good) for number in (2, 3, 4)),
        month(5, good, officer=share_of_month(80, 100), result=good),
        month(6, bad, officer=bad, result=good),
        month(7, bad, officer=bad, result=good),
    ]
    found = factors_of(months, [shift_on(date(2026, 5, 16))], 0)
    assert found is not None
    assert not found.mixed
    result, officer = sorted(found.factors, key=lambda item: -item.value)
    assert (result.factor, officer.factor) == ("result", "officer")
    assert (officer.before.n, officer.after.n) == (300, 400), "January is too long ago, May is mixed"
    assert officer.value == pytest.approx(-0.2)
    assert officer.high < 0 < result.high
    # Two differences at once: wider than one alone would be.
    _, low, high = difference(officer.after, officer.before)
    assert officer.low < low < high < officer.high
    mixed = factors_of(months[:5], [shift_on(date(2026, 5, 4))], 0)
    assert mixed is not None
    assert mixed.mixed
    assert mixed.factors[0].after.first == date(2026, 5, 1)
    assert factors_of(months[4:], [shift_on(date(2026, 5, 16))], 0) is None, "no month before"
    two = [shift_on(date(2026, 3, 16)), shift_on(date(2026, 5, 16))]
    later = factors_of(months, two, 1)
    assert later is not None
    assert later.factors[0].before.first == date(2026, 4, 1), "not beyond the change before it"


def test_a_factor_that_is_a_bound_is_not_subtracted() -> None:
    good, bad = share_of_month(90, 100), share_of_month(70, 200)
    unanimous = Share(1.0, 0.9, 1.0, 30, 30, 0, 30.0, 0.0, "wilson")
    months = [month(4, good, officer=good, result=unanimous), month(6, bad, officer=bad, result=bad)]
    found = factors_of(months, [shift_on(date(2026, 5, 16))], 0)
    assert found is not None
    assert [item.factor for item in found.factors] == ["officer"]


def test_an_action_is_held_against_the_days_since_the_last_change() -> None:
    plain = runs_of_days((28, 24), 40) + runs_of_days((28, 19), 12, 40) + runs_of_days((28, 25), 20, 52)
    found = changes_of(plain)
    noted = plain[51].first
    effect = effect_of((), noted, plain, found)
    assert effect is not None
    assert effect.by_days
    assert effect.before.value == pytest.approx(100 * 19 / 28, abs=1)
    assert effect.before.first >= found.shifts[0].latest, "not the good days ahead of the drop"
    assert effect.after.value == pytest.approx(100 * 25 / 28, abs=1)
    assert effect.after.first > noted > effect.before.last
    assert effect.low > 0
    assert (effect.difference, effect.low, effect.high) == pytest.approx(
        difference(effect.after, effect.before)
    )
    assert effect_of((), plain[-1].last, plain, found) is None, "nothing after it yet"
    assert effect_of((), noted, plain[:52], None) is None


@pytest.mark.parametrize("size", RUNS_SIZES)
@pytest.mark.parametrize("language", ["vi", "en"])
def test_no_line_of_a_chart_of_days_is_longer_than_the_chart(language: str, size: str) -> None:
    """What is longer is cut off. Measured in DejaVu Sans, the widest of the fonts that may be there."""
    runs = tuple(runs_of_days((28, 26), 15) + runs_of_days((28, 10), 15, 15))
    view = choose_period("2026-06", [MONDAY, date(2026, 7, 1)], [], date(2026, 8, 1), language)
    followed = Followed((), runs, changes_of(runs))
    drawn = runs_svg(runs_chart(followed, view, Step.DAY, [runs[20].first], language), size).decode()
    lines = re.findall(r"fill: #a04500\"[^>]*? (?:x=\"|transform=\"translate\()([\d.]+)[^>]*>([^<]+)<", drawn)
    assert len(lines) == {"wide": 1, "narrow": 3}[size], "what was done, and the days of a change"
    for left, text in lines:
        right = float(left) + TextPath((0, 0), text, size=10.5).get_extents().x1
        assert right < RUNS_SIZES[size][0] * 72, text


def runs_of_days(figure: tuple[int, int], count: int, start: int = 0) -> list[Run]:
    """Make runs of working days, `start` working days after the first."""
    return made_of(*[figure] * (start + count))[start:]
