"""The estimator and the calibration against well-known packages."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from api.statistics.coverage_control import control_intervals, simulate_control
from api.statistics.estimator import Estimated, Method, Pairs, Passive, Stratum, estimate
from api.statistics.isotonic import _risen, _steps, fit_isotonic
from api.statistics.platt import fit_platt
from api.statistics.synthetic_visits import (
    Telling,
    Visits,
    draw,
    draw_pairs,
    portions_of_pairs,
    portions_of_scores,
)


@pytest.fixture(scope="module")
def reference() -> Any:
    """Return ppi-python, whose import takes long."""
    return importlib.import_module("ppi_py")


@pytest.mark.parametrize("telling", list(Telling))
@pytest.mark.parametrize("month", [(0.6, 60, 0.8), (0.8, 200, 0.92), (0.9, 300, 0.98)])
def test_the_value_is_that_of_the_reference_with_our_lambda(
    month: tuple[float, int, float], telling: Telling, seed: int, reference: Any
) -> None:
    p, n, auc = month
    y, f, g = draw_pairs(np.random.default_rng(seed), Visits(p, n, 10 * n, auc, telling))
    found = _estimate(y, f, g)

    assert found.method is Method.PREDICTION_POWERED
    theirs = float(reference.ppi_mean_pointestimate(y, f, g, lam=found.lambda_)[0])
    assert found.value == pytest.approx(theirs, abs=1e-12)


def test_lambda_is_the_references_but_for_what_it_takes_for_the_spread(seed: int, reference: Any) -> None:
    """ppi-python pools both spreads of the scores; with many scores and one calibration they are the same."""
    y, f, g = draw_pairs(np.random.default_rng(seed), Visits(0.8, 4000, 40_000, 0.86, Telling.OVERCONFIDENT))

    theirs = float(reference.ppi_mean_pointestimate(y, f, g)[0])
    assert _estimate(y, f, g).value == pytest.approx(theirs, abs=5e-4)


def test_the_control_fails_where_the_shares_are_high(seed: int, reference: Any) -> None:
    found = simulate_control(Visits(0.95, 30, 300, 0.86), 150, seed)

    assert found.coverage < 0.88


@pytest.mark.parametrize(
    "visits", [Visits(0.7, 30, 300, 0.86, Telling.TIMID), Visits(0.95, 300, 3000, 0.6)], ids=str
)
def test_many_months_a_call_are_the_references_intervals_of_the_months_that_ours_are_judged_by(
    visits: Visits, seed: int, reference: Any
) -> None:
    runs = 100
    ours = np.concatenate([np.stack(ends, axis=1) for ends in control_intervals(visits, runs, seed, runs)])
    generator = np.random.default_rng(seed)
    pairs = list(portions_of_pairs(generator, visits, runs))
    y, f = (np.concatenate([getattr(some, name) for some in pairs]) for name in ("satisfied", "told"))
    g = np.concatenate([told for _, told in portions_of_scores(generator, visits, runs)])
    sums, scores = draw(np.random.default_rng(seed), visits, runs)

    assert ours.shape == (runs, 2)
    for month in (0, 31, 32, 86, 87, 99):
        theirs = reference.ppi_mean_ci(*(row[month].astype(np.float64) for row in (y, f, g)), alpha=0.05)
        assert ours[month] == pytest.approx([float(end[0]) for end in theirs], abs=1e-12)
    np.testing.assert_array_equal(y.sum(axis=1), sums.satisfied)
    np.testing.assert_allclose((y * f).sum(axis=1, dtype=np.float64), np.asarray(sums.product))
    np.testing.assert_allclose(g.sum(axis=1, dtype=np.float64), np.asarray(scores.score))


def _estimate(
    y: npt.NDArray[np.float64], f: npt.NDArray[np.float64], g: npt.NDArray[np.float64]
) -> Estimated:
    pairs = Pairs.of((y > 0).tolist(), f.tolist())
    found = estimate([Stratum("all", 1.0, pairs, Passive.of(g.tolist()))])
    assert isinstance(found, Estimated)
    return found


@pytest.mark.parametrize("n", [1, 2, 30, 4000])
@pytest.mark.parametrize("decimals", [1, 6])
def test_pools_of_adjacent_violators_are_scikit_learns(n: int, decimals: int, seed: int) -> None:
    scores, ballots = _labels(n, seed, decimals)
    theirs = IsotonicRegression().fit(scores, ballots)
    pools = _risen(_steps(scores, ballots))
    ours = np.repeat([pool.share for pool in pools], [pool.ballots for pool in pools])

    np.testing.assert_allclose(ours, theirs.predict(np.sort(scores)), rtol=0, atol=1e-12)


def test_the_kept_curve_stays_near_scikit_learns_though_no_corner_is_a_score(seed: int) -> None:
    scores, ballots = _labels(4000, seed, 6)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, ballots)
    apart = np.abs(fit_isotonic(scores, ballots).apply(scores) - theirs.predict(scores))

    assert apart.mean() < 0.02
    assert float(np.quantile(apart, 0.95)) < 0.06


@pytest.mark.parametrize("n", [40, 300, 2999])
def test_platt_is_scikit_learns_logistic_regression_on_platts_targets(n: int, seed: int) -> None:
    scores, ballots = _labels(n, seed, 6)
    ours = fit_platt(scores, ballots)
    positive, negative = ballots.sum(), n - ballots.sum()
    target = np.where(ballots > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    x = np.log(scores / (1 - scores))[:, None]
    theirs = LogisticRegression(C=1e12, tol=1e-10, max_iter=1000).fit(
        np.vstack([x, x]),
        np.repeat([1, 0], n),
        sample_weight=np.concatenate([target, 1 - target]),
    )

    expected = [float(theirs.coef_[0, 0]), float(theirs.intercept_[0])]
    assert [ours.slope, ours.offset] == pytest.approx(expected, abs=1e-4)


def _labels(n: int, seed: int, decimals: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    ballots = (generator.random(n) < 0.8).astype(np.float64)
    odds = 1.2 * ballots + generator.standard_normal(n)
    scores: npt.NDArray[np.float64] = np.clip(1 / (1 + np.exp(-odds)), 0.01, 0.99).round(decimals)
    return scores, ballots
