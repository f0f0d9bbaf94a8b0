"""Calibration: what is learned, when it may be used, and that it can be stored and made again."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.statistics.calibration import ISOTONIC_FROM, Calibration, Kind, fit
from api.statistics.errors import CalibrationInvalid
from api.statistics.isotonic import FEWEST_A_STEP, Isotonic, fit_isotonic
from api.statistics.platt import Platt
from api.statistics.reliability import FEWEST_LABELS, MOST_ERROR, Gate, reliability

_DAY = date(2026, 3, 1)
Values = npt.NDArray[np.float64]


def _labels(n: int, seed: int, *, broken: bool = False) -> tuple[Values, Values]:
    """Scores whose log-odds are half of what they should be; broken ones fall again at the upper end."""
    generator = np.random.default_rng(seed)
    chance = generator.uniform(0.55, 0.98, n)
    ballots = (generator.random(n) < chance).astype(np.float64)
    odds = np.log(chance / (1 - chance))
    scores = 1 / (1 + np.exp(-(odds - 1) / 2))
    if broken:
        scores = np.where(chance > 0.85, 1 - scores, scores)
    return scores, ballots


@pytest.mark.parametrize(("n", "kind"), [(ISOTONIC_FROM - 1, Kind.PLATT), (ISOTONIC_FROM, Kind.ISOTONIC)])
def test_the_number_of_labels_chooses_the_curve(n: int, kind: Kind, seed: int) -> None:
    found = fit("judge 1", _DAY, *_labels(n, seed))

    assert (found.kind, found.n, found.model, found.until) == (kind, n, "judge 1", _DAY)


def test_platt_finds_the_stretch_and_shift_of_the_scores(seed: int) -> None:
    found = fit("judge 1", _DAY, *_labels(2999, seed))

    assert isinstance(found.curve, Platt)
    assert found.curve.slope == pytest.approx(2, abs=0.35)
    assert found.curve.offset == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("n", [2500, 6000])
def test_calibrated_scores_are_near_the_ballots_and_open_the_gate(n: int, seed: int) -> None:
    scores, ballots = _labels(n, seed)
    found = fit("judge 1", _DAY, scores, ballots)

    assert found.usable
    assert found.reliability.ece is not None
    assert found.reliability.ece <= MOST_ERROR
    assert float(np.mean(np.abs(scores - ballots.mean()))) > 0.1
    assert float(np.mean(found.apply_all(scores))) == pytest.approx(float(ballots.mean()), abs=0.01)


def test_scores_no_rising_curve_can_mend_close_the_gate(seed: int) -> None:
    found = fit("judge 1", _DAY, *_labels(2999, seed, broken=True))
    raw = reliability(*_labels(2999, seed, broken=True))

    assert raw.gate is Gate.CLOSED
    assert found.reliability.ece is not None
    assert found.reliability.ece < (raw.ece or 0)


def test_few_labels_are_not_judged_at_all(seed: int) -> None:
    found = fit("judge 1", _DAY, *_labels(FEWEST_LABELS - 1, seed))

    assert (found.reliability.gate, found.reliability.ece, found.reliability.bins) == (Gate.TOO_FEW, None, ())
    assert not found.usable
    assert 0 < found.apply(0.5) < 1


def test_the_error_is_the_mean_distance_of_the_bins() -> None:
    scores = np.repeat([0.5, 0.6, 0.7, 0.8, 0.9], 200)
    shares = (0.5, 0.62, 0.7, 0.85, 0.9)
    ballots = np.concatenate([np.arange(200) < share * 200 for share in shares]).astype(np.float64)
    found = reliability(scores, ballots)

    assert found.ece == pytest.approx((0.02 + 0.05) / 5)
    assert found.gate is Gate.OPEN
    assert [item.n for item in found.bins] == [200] * 5
    assert [item.score for item in found.bins] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9])
    assert [item.share for item in found.bins] == pytest.approx(list(shares))
    assert all(item.low < item.share < item.high for item in found.bins)


@pytest.mark.parametrize(("off", "gate"), [(0.029, Gate.OPEN), (0.035, Gate.CLOSED)])
def test_the_gate_closes_above_three_points(off: float, gate: Gate) -> None:
    scores = np.repeat([0.5, 0.6, 0.7, 0.8, 0.9], 1000)
    ballots = np.concatenate([np.arange(1000) < (score + off) * 1000 for score in (0.5, 0.6, 0.7, 0.8, 0.9)])

    assert reliability(scores, ballots.astype(np.float64)).gate is gate


def test_a_ballot_does_not_judge_the_curve_that_it_bent(seed: int) -> None:
    """Scores without any meaning: a curve judged on its own ballots would look right."""
    generator = np.random.default_rng(seed)
    scores, ballots = generator.random(4000), (generator.random(4000) < 0.7).astype(np.float64)
    found = fit("judge 1", _DAY, scores, ballots)
    own = reliability(found.apply_all(scores), ballots)

    assert found.reliability.ece is not None
    assert own.ece is not None
    assert own.ece < 0.5 * found.reliability.ece


def test_scores_that_fall_with_satisfaction_say_the_same_for_all(seed: int) -> None:
    scores, ballots = _labels(600, seed)
    found = fit("judge 1", _DAY, 1 - scores, ballots)

    assert isinstance(found.curve, Platt)
    assert found.curve.slope == 0
    assert found.apply(0.2) == found.apply(0.9) == pytest.approx(float(ballots.mean()), abs=0.003)


@pytest.mark.parametrize("n", [1, 40, 1200, 3500])
def test_a_stored_calibration_gives_the_same_scores_to_the_last_digit(n: int, seed: int) -> None:
    scores, ballots = _labels(n, seed)
    found = fit("judge 1", _DAY, scores, ballots)
    again = Calibration.from_json(found.to_json())

    assert again == found
    assert again.to_json() == found.to_json()
    assert [again.apply(score) for score in scores[:50].tolist()] == found.apply_all(scores[:50]).tolist()
    assert fit("judge 1", _DAY, scores, ballots) == found


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda found: found.update(format=2), "format 2"),
        (lambda found: found.pop("curve"), "cannot be read"),
        (lambda found: found["reliability"].update(gate="ajar"), "ajar"),
        (lambda found: found["curve"].update(shares=[0.5]), "as many shares"),
    ],
)
def test_a_damaged_calibration_is_refused(damage: object, said: str, seed: int) -> None:
    found = json.loads(fit("judge 1", _DAY, *_labels(3000, seed)).to_json())
    assert callable(damage)
    damage(found)

    with pytest.raises(ValueError, match=said):
        Calibration.from_json(json.dumps(found))


@pytest.mark.parametrize(
    ("scores", "ballots"), [([], []), ([0.5], [1, 0]), ([1.5], [1]), ([0.5], [0.5]), ([float("nan")], [1])]
)
def test_wrong_labels_are_refused(scores: list[float], ballots: list[float]) -> None:
    with pytest.raises(CalibrationInvalid):
        fit("judge 1", _DAY, scores, ballots)


@pytest.mark.parametrize(("scores", "shares"), [((0.1, 0.1), (0.2, 0.3)), ((0.1, 0.2), (0.3, 0.2)), ((), ())])
def test_corners_that_do_not_rise_are_refused(scores: tuple[float, ...], shares: tuple[float, ...]) -> None:
    with pytest.raises(CalibrationInvalid):
        Isotonic(scores, shares)


@pytest.mark.parametrize("n", [200, ISOTONIC_FROM])
def test_each_step_stands_on_ten_ballots_that_differ_and_on_nobody_s_score(n: int, seed: int) -> None:
    scores, ballots = _labels(n, seed)
    curve = fit_isotonic(scores, ballots)

    assert len(curve.scores) > 3
    assert not set(curve.scores) & set(scores.tolist())
    for share in set(curve.shares):
        places = [place for place, of in zip(curve.scores, curve.shares, strict=True) if of == share]
        assert 0 < share < 1
        # The ballots between the midpoints to the neighbouring steps are more than the step's own fewest.
        below = [place for place, of in zip(curve.scores, curve.shares, strict=True) if of < share]
        above = [place for place, of in zip(curve.scores, curve.shares, strict=True) if of > share]
        low, high = max(below, default=-1), min(above, default=2)
        assert np.sum((scores > low) & (scores < high)) >= FEWEST_A_STEP, places


@pytest.mark.parametrize(
    ("ballots", "places", "shares"),
    [
        ([1] + [0] * 9 + [1] * 9 + [0], (0.0475, 0.1475), (0.1, 0.9)),
        ([0] * 10 + [1] * 10, (0.0475, 0.1475), (0.5, 0.5)),  # each half would be unanimous
        ([1] + [0] * 9 + [1] * 4 + [0], (0.0725,), (1 / 3,)),  # fifteen ballots have one corner
        ([1] + [0] * 9 + [1] * 19 + [0], (0.0475, 0.1475, 0.2475), (0.1, 0.95, 0.95)),
        ([0] * 5 + [1] * 4, (0.0425,), (5 / 11,)),  # fewer than ten in all: two are added
        ([1] * 30, (0.0475, 0.2475), (31 / 32, 31 / 32)),
    ],
)
def test_steps_of_a_few_are_put_together(
    ballots: list[int], places: tuple[float, ...], shares: tuple[float, ...]
) -> None:
    scores = np.array([0.0025 + place * 0.01 for place in range(len(ballots))])
    curve = fit_isotonic(scores, np.array(ballots, dtype=np.float64))
    assert curve.scores == pytest.approx(places)
    assert curve.shares == pytest.approx(shares)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60),
    st.lists(st.floats(0, 1), min_size=2, max_size=10),
)
def test_a_higher_score_never_means_less(labels: list[tuple[float, bool]], places: list[float]) -> None:
    found = fit("judge 1", _DAY, [score for score, _ in labels], [kind for _, kind in labels])
    chances = found.apply_all(sorted(places))

    assert np.all(np.diff(chances) >= 0)
    assert np.all((chances >= 0) & (chances <= 1))
