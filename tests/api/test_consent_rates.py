"""Rates, intervals and patterns, and what an observer's sums leave out."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from api.coercion import Flag, flags, stop_flags
from api.consent_rates import Counts, by_counter, shown_days, sum_days
from api.consents import DayCounts, Patterns
from api.disclosure import Disclosure
from api.interval import share_of

TODAY = date(2026, 11, 20)
WATCHED = Disclosure(10, TODAY)


def day(back: int, given: int, refused: int, counter: str = "a", **more: int) -> DayCounts:
    counts = {"offered": given + refused, "shown": given + refused, "deferred": 0, "withdrawn": 0}
    counts |= {"accompanied": 0, "unasked": 0, "second_face": 0}
    counts |= {"slots": given, "lost": 0, "gaps": 0, "gap_ms": 0, "consented_ms": 60_000 * given}
    counts |= more
    return DayCounts(counter, TODAY - timedelta(days=back), given=given, refused=refused, **counts)


@pytest.mark.parametrize(
    ("part", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_of_a_share_is_wilsons(part: int, n: int, low: float, high: float) -> None:
    """The last row is the example of Newcombe (1998), method 3."""
    found = share_of(part, n)
    assert found is not None
    assert (found.value, found.n) == (part / n, n)
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)
    assert share_of(0, 0) is None


def test_sums_and_shares_of_days() -> None:
    found = sum_days([day(1, 8, 2, deferred=2, offered=12, lost=1), day(0, 1, 0, gap_ms=54_000, gaps=2)])
    assert (found.offered, found.answered, found.silent, found.days, found.hidden_days) == (13, 11, 2, 2, 0)
    assert found.given_share is not None
    assert found.given_share.value == pytest.approx(9 / 11)
    assert found.refused_share is not None
    assert found.refused_share.value == pytest.approx(2 / 11)
    assert found.complete_share is not None
    assert found.complete_share.value == pytest.approx(8 / 9)
    assert found.covered_share == pytest.approx(0.9)
    nothing = sum_days([])
    assert (nothing.given_share, nothing.silent_share, nothing.covered_share) == (None, None, None)


def test_an_observers_sums_are_made_of_shown_days_only() -> None:
    days = [day(2, 9, 1), day(1, 9, 0), day(0, 50, 0)]
    found = sum_days(days, WATCHED)
    assert (found.given, found.refused, found.days, found.hidden_days) == (9, 1, 1, 2)
    grouped = by_counter([*days, day(3, 4, 4, "b")], WATCHED)
    assert list(grouped) == ["a", "b"]
    assert (grouped["a"].days, grouped["b"].days) == (1, 0)


def pattern(**changed: int) -> Patterns:
    calm = {"decided": 30, "given": 20, "quick": 1, "several": 30, "all_yes": 15, "largest_burst": 2}
    return Patterns("a", **(calm | changed))


@pytest.mark.parametrize(
    ("found", "raised"),
    [
        (pattern(), ()),
        (pattern(quick=6), (Flag.QUICK,)),
        (pattern(quick=5), ()),
        (pattern(decided=9, given=5, quick=9), ()),
        (pattern(given=30, all_yes=30), (Flag.ALL_YES,)),
        (pattern(given=29, all_yes=30), ()),
        (pattern(given=30, all_yes=29), ()),
        (pattern(decided=9, given=9, several=9, all_yes=9), ()),
        (pattern(largest_burst=4), (Flag.BURST,)),
        (pattern(largest_burst=3), ()),
    ],
)
def test_flags_follow_their_rules(found: Patterns, raised: tuple[Flag, ...]) -> None:
    assert flags(found) == raised


def test_a_service_without_a_question_is_in_no_rate_of_answers() -> None:
    """Ten services: six answers, two silences, two in which a child was there before an answer."""
    found = sum_days([day(1, 4, 2, offered=10, deferred=2, accompanied=3, unasked=2, second_face=1)])
    assert (found.offered, found.asked, found.answered, found.silent) == (10, 8, 6, 2)
    assert found.silent_share is not None
    assert found.silent_share.value == pytest.approx(2 / 8)
    assert found.accompanied_share is not None
    assert found.accompanied_share.value == pytest.approx(3 / 10)
    assert found.second_face_share is not None
    assert found.second_face_share.value == pytest.approx(1 / 4)
    nothing = sum_days([])
    assert (nothing.accompanied_share, nothing.second_face_share) == (None, None)


def test_an_observer_sees_stops_of_shown_days_only() -> None:
    days = [day(2, 9, 1, accompanied=1), day(1, 9, 0, accompanied=7), day(0, 50, 0, second_face=3)]
    assert [item.accompanied for item in shown_days(days, WATCHED)] == [1]
    assert sum_days(days, WATCHED).accompanied == 1
    assert sum_days(days).accompanied == 8


def counter(offered: int, accompanied: int, slots: int = 100, second_face: int = 0) -> Counts:
    return Counts(offered=offered, accompanied=accompanied, slots=slots, second_face=second_face)


@pytest.mark.parametrize(
    ("own", "others", "raised"),
    [
        (counter(100, 20), counter(400, 16), (Flag.CHILD,)),
        (counter(100, 10), counter(400, 16), ()),
        (counter(10, 4), counter(400, 0), ()),
        (counter(10, 5), counter(400, 0), (Flag.CHILD,)),
        (counter(10, 10), counter(9, 0), ()),
        (counter(100, 0, second_face=12), counter(400, 0, slots=400, second_face=4), (Flag.SECOND_FACE,)),
        (counter(100, 20, second_face=12), counter(400, 4, slots=400), (Flag.CHILD, Flag.SECOND_FACE)),
        (counter(100, 60), counter(100, 60), ()),
        (counter(0, 0, slots=0), counter(100, 5), ()),
    ],
)
def test_a_counter_far_above_the_others_is_flagged(
    own: Counts, others: Counts, raised: tuple[Flag, ...]
) -> None:
    """At 20 of 100 the interval begins at 13.3 %, at 10 of 100 at 5.5 %; twice the others' share is 8 %."""
    assert stop_flags({"a": own, "b": others}) == ({"a": raised} if raised else {})
    assert stop_flags({"a": own}) == {}, "one counter alone is above nobody"
