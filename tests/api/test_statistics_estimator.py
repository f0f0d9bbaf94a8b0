"""The estimator: exact values, what it refuses, and what must hold for all sums."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.interval import share_of
from api.statistics import prediction_powered
from api.statistics.errors import SumsInvalid
from api.statistics.estimator import (
    Estimated,
    Guard,
    Method,
    Pairs,
    Passive,
    Stratum,
    UncalibratedSignal,
    Unrepresented,
    estimate,
)
from api.statistics.mover import combined
from api.statistics.prediction_powered import PairSums, ScoreSums, tuned
from api.statistics.synthetic_visits import Telling, Visits, draw_pairs
from api.statistics.wilson import wilson

Ballots = list[bool]


def _month(
    seed: int, visits: Visits
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return draw_pairs(np.random.default_rng(seed), visits)


def _one(pairs: Pairs, passive: Passive | None = None) -> Estimated:
    found = estimate([Stratum("all", 1.0, pairs, passive or Passive())])
    assert isinstance(found, Estimated)
    return found


def _estimated(seed: int, visits: Visits) -> Estimated:
    y, f, g = _month(seed, visits)
    return _one(Pairs.of((y > 0).tolist(), f.tolist()), Passive.of(g.tolist()))


@pytest.mark.parametrize(
    ("share", "n", "low", "high"),
    [
        (0.5, 10, 0.236593090512564, 0.763406909487436),
        (1.0, 6, 0.609665714338484, 1.0),
        (0.0, 6, 0.0, 0.390334285661516),
    ],
)
def test_wilson_gives_known_ends(share: float, n: float, low: float, high: float) -> None:
    found = wilson(share, n)

    assert (float(found[0]), float(found[1])) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(("share", "n"), [(0.95, 47.5), (0.8, 30.0), (0.02, 210.25)])
def test_wilsons_ends_are_where_the_share_is_196_standard_errors_away(share: float, n: float) -> None:
    for end in map(float, wilson(share, n)):
        assert abs(share - end) / math.sqrt(end * (1 - end) / n) == pytest.approx(1.959963984540054)


def test_an_interval_of_whole_counts_is_the_same_interval() -> None:
    found = share_of(27, 30)

    assert found is not None
    assert (found.low, found.high) == tuple(float(end) for end in wilson(0.9, 30))


def test_the_worked_example_by_hand() -> None:
    # 40 ballots, 30 satisfied; scores .9 for 28 of these and .3 for the others; of 400 others 280 have .9.
    ballots = [True] * 30 + [False] * 10
    scores = [0.9] * 28 + [0.3] * 12
    found = _one(Pairs.of(ballots, scores), Passive.of([0.9] * 280 + [0.3] * 120))

    # var f = .36·.21·40/39, cov = .6·(.7-.75·.7)·40/39: λ = cov/(1.1·var f) is above 1, so it is cut
    assert found.lambda_ == 1.0
    assert found.value == pytest.approx(0.75)
    residual = (28 * 0.1**2 + 2 * 0.7**2 + 10 * 0.3**2 - 40 * 0.03**2) / 38
    squared_error = residual / 40 + 0.36 * 0.21 * 400 / 399 / 400
    assert found.n_eff == pytest.approx(min(160.0, 0.75 * 0.25 * 40 / 39 / squared_error))
    assert (found.low, found.high) == tuple(float(end) for end in wilson(found.value, found.n_eff))
    assert (found.method, found.strata[0].guard) == (Method.PREDICTION_POWERED, None)


@pytest.mark.parametrize(
    ("pairs", "passive", "guard"),
    [
        (Pairs.of([True] * 24 + [False] * 16), Passive(), Guard.NO_SCORES),
        (Pairs.of([True] * 20 + [False] * 9, [0.9] * 20 + [0.1] * 9), "alike", Guard.FEW_BALLOTS),
        (Pairs.of([True] * 58 + [False] * 2, [0.9] * 58 + [0.1] * 2), "alike", Guard.FEW_OF_A_CLASS),
        (Pairs.of([True] * 56 + [False] * 4, [0.9] * 56 + [0.1] * 4), "alike", Guard.FEW_OF_A_CLASS),
        (Pairs.of([True] * 40 + [False] * 20, [0.9] * 40 + [0.1] * 20), "few", Guard.FEW_SCORES),
        (Pairs.of([True] * 40 + [False] * 20, [0.2, 0.8] * 30), "alike", Guard.WEAK_SCORES),
        (Pairs.of([True] * 40 + [False] * 20, [0.5] * 60), "alike", Guard.WEAK_SCORES),
        (
            Pairs.of([True] * 40 + [False] * 20, [0.6] * 24 + [0.4] * 16 + [0.6] * 8 + [0.4] * 12),
            "alike",
            Guard.LITTLE_GAIN,
        ),
    ],
)
def test_a_guard_keeps_the_scores_out_and_says_why(
    pairs: Pairs, passive: Passive | str, guard: Guard
) -> None:
    if isinstance(passive, str):
        share = pairs.score / pairs.n
        size = 29 if passive == "few" else 600
        passive = Passive(size, share * size, pairs.score_squared / pairs.n * size)
    found = _one(pairs, passive)

    assert found.strata[0].guard is guard
    assert (found.value, found.n_eff, found.lambda_) == (pairs.satisfied / pairs.n, pairs.n, 0.0)
    assert (found.low, found.high) == tuple(float(end) for end in wilson(found.value, pairs.n))
    assert found.method is Method.WILSON
    assert passive.n == found.N


def test_a_class_is_counted_by_what_the_estimate_expects_too(seed: int) -> None:
    y = [True] * 54 + [False] * 6
    f = [0.9] * 54 + [0.1] * 6
    helped = _one(Pairs.of(y, f), Passive.of([0.9] * 540 + [0.1] * 60))
    refused = _one(Pairs.of(y, f), Passive.of([0.9] * 580 + [0.1] * 20))

    assert helped.strata[0].guard is None
    assert refused.strata[0].guard is Guard.FEW_OF_A_CLASS
    assert refused.value == 0.9


def test_strata_estimated_at_once_are_each_what_the_formula_gives_for_it_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    strata = []
    for number in range(40):
        y, f, g = draw_pairs(rng, Visits(0.75, int(rng.integers(10, 200)), int(rng.integers(20, 400)), 0.9))
        pairs, passive = Pairs.of((y > 0).tolist(), f.tolist()), Passive.of(g.tolist())
        plain = number % 3 == 0
        ballots = Pairs(pairs.n, pairs.satisfied) if plain else pairs
        strata.append(Stratum(str(number), 1 / 40, ballots, Passive() if plain else passive))
    found = estimate(strata)
    assert isinstance(found, Estimated)

    assert len({part.guard for part in found.strata}) >= 3  # used ones, plain ones, refused ones
    for stratum, part in zip(strata, found.strata, strict=True):
        b, s = stratum.ballots, stratum.passive
        one = tuned(
            PairSums(b.n, b.satisfied, b.score, b.score_squared, b.product),
            ScoreSums(s.n, s.score, s.score_squared),
        )
        low, high = wilson(one.value, one.n_eff)
        expected = (float(one.value), float(one.n_eff), float(low), float(high))
        assert (part.value, part.n_eff, part.low, part.high) == expected  # to the last digit
        assert part.lambda_ == (float(one.lambda_) if bool(one.used) else 0.0)
        assert (part.guard is None) == bool(one.used)
        alone = _one(b, s)
        assert (alone.value, alone.low, alone.high) == (part.value, part.low, part.high)


def test_good_scores_narrow_the_interval_and_useless_ones_leave_it(seed: int) -> None:
    good, useless = (_estimated(seed, Visits(0.7, 200, 2000, auc)) for auc in (0.95, 0.5))

    assert good.high - good.low < 0.75 * (useless.high - useless.low)
    assert useless.strata[0].guard in {Guard.WEAK_SCORES, Guard.LITTLE_GAIN}


def test_without_ballots_there_is_no_share_of_satisfied() -> None:
    found = estimate([Stratum("consented", 0.6, Pairs(0, 0), Passive(40, 30.0, 24.0)), _refused(0, 0)])

    assert found == UncalibratedSignal(mean_score=0.75, n=40)
    assert not hasattr(found, "value")


def _refused(n: int, satisfied: int) -> Stratum:
    return Stratum("refused", 0.4, Pairs(n, satisfied))


def test_a_stratum_that_left_no_ballot_is_not_guessed() -> None:
    assert estimate([Stratum("consented", 0.6, Pairs(50, 45)), _refused(0, 0)]) == Unrepresented(
        missing=("refused",), weight=0.4, n=50
    )


def test_nothing_at_all_is_no_figure() -> None:
    assert estimate([Stratum("all", 1.0, Pairs(0, 0))]) == Unrepresented(("all",), 1.0, 0)


def test_a_stratum_nobody_is_in_does_not_matter() -> None:
    alone = _one(Pairs(50, 45))
    found = estimate([Stratum("all", 1.0, Pairs(50, 45)), Stratum("none", 0.0, Pairs(3, 0))])

    assert found == alone


def test_two_strata_are_put_together_by_their_share_of_the_visits() -> None:
    found = estimate([Stratum("consented", 0.6, Pairs(50, 45)), _refused(20, 10)])

    assert isinstance(found, Estimated)
    assert found.value == pytest.approx(0.6 * 0.9 + 0.4 * 0.5)
    (low_1, high_1), (low_0, high_0) = wilson(0.9, 50), wilson(0.5, 20)
    assert found.low == pytest.approx(0.74 - math.hypot(0.6 * (0.9 - low_1), 0.4 * (0.5 - low_0)))
    assert found.high == pytest.approx(0.74 + math.hypot(0.6 * (high_1 - 0.9), 0.4 * (high_0 - 0.5)))
    assert found.n_eff == pytest.approx(1 / (0.36 / 50 + 0.16 / 20))
    assert (found.n, found.N, found.method) == (70, 0, Method.STRATIFIED_WILSON)


def test_strata_of_six_equal_ballots_are_not_exact() -> None:
    found = estimate([Stratum("consented", 0.6, Pairs(6, 6)), _refused(6, 6)])

    assert isinstance(found, Estimated)
    assert found.value == 1.0
    assert found.low < 0.8


def test_weights_counted_over_few_visits_widen_the_interval() -> None:
    strata = [Stratum("consented", 0.6, Pairs(500, 475)), Stratum("refused", 0.4, Pairs(400, 160))]
    exact, counted = estimate(strata), estimate(strata, visits=100)

    assert isinstance(exact, Estimated)
    assert isinstance(counted, Estimated)
    assert counted.value == exact.value
    between = 1.96**2 * (0.6 * (0.95 - 0.73) ** 2 + 0.4 * (0.4 - 0.73) ** 2) / 100
    assert counted.high - counted.value == pytest.approx(
        math.sqrt((exact.high - exact.value) ** 2 + between), rel=1e-4
    )


@pytest.mark.parametrize(
    ("strata", "visits", "said"),
    [
        ([], None, "sum to 0"),
        ([Stratum("all", 0.9, Pairs(9, 8))], None, "sum to 0.9"),
        ([Stratum("a", 1.5, Pairs(9, 8)), Stratum("b", -0.5, Pairs(9, 8))], None, "share of all visits"),
        ([Stratum("all", 1.0, Pairs(9, 8))], 0, "no visits"),
    ],
)
def test_wrong_weights_are_refused(strata: list[Stratum], visits: int | None, said: str) -> None:
    with pytest.raises(SumsInvalid, match=said):
        estimate(strata, visits)


@pytest.mark.parametrize(
    "sums",
    [
        (3, 4),
        (-1, 0),
        (3, -1),
        (3, 2, 3.5, 3.0, 2.0),
        (3, 2, 2.0, 2.5, 1.0),
        (3, 2, 2.0, 1.5, 2.5),
        (3, 2, -1.0),
    ],
)
def test_sums_that_no_ballots_have_are_refused(sums: tuple[float, ...]) -> None:
    with pytest.raises(SumsInvalid):
        Pairs(*sums)  # type: ignore[arg-type]  # counts and sums in one tuple


def test_a_ballot_without_its_score_is_refused() -> None:
    with pytest.raises(SumsInvalid, match="3 ballots and 2 scores"):
        Pairs.of([True, True, False], [0.9, 0.4])


def test_sums_add_up() -> None:
    y, f = [True, False, True, True], [0.9, 0.2, 0.75, 0.5]

    assert Pairs.of(y[:1], f[:1]) + Pairs.of(y[1:], f[1:]) == Pairs.of(y, f)
    assert Passive.of(f[:3]) + Passive.of(f[3:]) == Passive.of(f)


_chances = st.floats(0.0, 1.0).map(lambda value: round(value, 6))
_pairs = st.lists(st.tuples(st.booleans(), _chances), min_size=1, max_size=80)
_scores = st.lists(_chances, max_size=120)


@given(_pairs, _scores)
def test_every_figure_lies_in_its_interval_and_on_the_scale(
    pairs: list[tuple[bool, float]], scores: list[float]
) -> None:
    found = _one(Pairs.of(*_apart(pairs)), Passive.of(scores))

    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.n <= found.n_eff <= 4 * found.n
    assert 0 <= found.lambda_ <= 1
    if found.lambda_ == 0:
        plain = share_of(sum(y for y, _ in pairs), len(pairs))
        assert plain is not None
        assert (found.value, found.low, found.high) == (plain.value, plain.low, plain.high)


@given(_pairs, _scores)
def test_the_order_of_visits_does_not_matter(pairs: list[tuple[bool, float]], scores: list[float]) -> None:
    forth = _one(Pairs.of(*_apart(pairs)), Passive.of(scores))
    back = _one(Pairs.of(*_apart(pairs[::-1])), Passive.of(scores[::-1]))

    assert forth == back


@given(st.integers(1, 400), st.integers(0, 399), st.floats(1.0, 4.0))
def test_more_ballots_of_the_same_share_narrow_the_interval(n: int, part: int, gain: float) -> None:
    share = min(part, n) / n
    low, high = wilson(share, n)
    sharper_low, sharper_high = wilson(share, n * gain)

    assert sharper_low >= low - 1e-12
    assert sharper_high <= high + 1e-12


@given(st.integers(1, 300), st.integers(1, 300))
def test_one_more_satisfied_ballot_never_lowers_the_figure(n: int, part: int) -> None:
    less, more = _one(Pairs(n, min(part, n) - 1)), _one(Pairs(n, min(part, n)))

    assert less.value < more.value
    assert less.low <= more.low
    assert less.high <= more.high


@given(
    st.lists(st.tuples(st.floats(0.01, 1.0), st.integers(1, 60), st.integers(0, 60)), min_size=1, max_size=5)
)
def test_strata_together_stay_within_their_ends(kinds: list[tuple[float, int, int]]) -> None:
    total = sum(weight for weight, _, _ in kinds)
    weights = np.array([weight / total for weight, _, _ in kinds])
    shares = np.array([min(part, n) / n for _, n, part in kinds])
    lows, highs = wilson(shares, [n for _, n, _ in kinds])
    value, low, high = combined(weights, shares, lows, highs, math.inf)

    assert low <= value + 1e-12
    assert value <= high + 1e-12
    # the strata are independent: together they are surer than the sum of their ends
    assert low >= float(np.sum(weights * lows)) - 1e-12
    assert high <= float(np.sum(weights * highs)) + 1e-12


@pytest.mark.parametrize("factor", [0.5, 0.9])
def test_stretching_weak_scores_changes_nothing(factor: float, seed: int) -> None:
    """Only the order and spacing of scores counts: λ takes up any factor while it is within 0 and 1."""
    y, f, g = _month(seed, Visits(0.6, 300, 3000, 0.8, Telling.OVERCONFIDENT))

    def sums(scores: npt.NDArray[np.float64]) -> PairSums:
        return PairSums(300, y.sum(), scores.sum(), (scores**2).sum(), (scores * y).sum())

    whole = tuned(sums(f), ScoreSums(3000, g.sum(), (g**2).sum()))
    small = factor * f + 0.02
    others = factor * g + 0.02
    part = tuned(sums(small), ScoreSums(3000, others.sum(), (others**2).sum()))
    if float(whole.lambda_) / factor < 1:
        assert float(part.value) == pytest.approx(float(whole.value), abs=1e-10)
        assert float(part.n_eff) == pytest.approx(float(whole.n_eff), rel=1e-9)
    else:
        assert float(part.lambda_) == 1.0


def test_many_months_at_once_are_each_month_by_itself(seed: int) -> None:
    months = [_month(seed + k, Visits(0.75, 90, 500, 0.9)) for k in range(6)]
    y, f, g = (np.stack(values) for values in zip(*months, strict=True))
    together = tuned(
        PairSums(90, y.sum(1), f.sum(1), (f * f).sum(1), (f * y).sum(1)),
        ScoreSums(500, g.sum(1), (g * g).sum(1)),
    )

    for k, (own_y, own_f, own_g) in enumerate(months):
        one = _one(Pairs.of((own_y > 0).tolist(), own_f.tolist()), Passive.of(own_g.tolist()))
        assert one.value == pytest.approx(float(together.value[k]), abs=1e-12)
        assert one.n_eff == pytest.approx(float(together.n_eff[k]), rel=1e-9)


def test_a_ballot_never_counts_for_more_than_four() -> None:
    y = [True] * 60 + [False] * 40
    found = _one(Pairs.of(y, [1.0 if kind else 0.0 for kind in y]), Passive(100_000, 60_000.0, 60_000.0))

    assert found.n_eff == prediction_powered.MOST_GAIN * 100


def _apart(pairs: list[tuple[bool, float]]) -> tuple[list[bool], list[float]]:
    return [y for y, _ in pairs], [f for _, f in pairs]
