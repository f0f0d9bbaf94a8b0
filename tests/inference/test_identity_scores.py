from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.identity_scores import Labelled, best_pairing, score_identities
from models.face_detectors import Box


def at(number: int, place: int, *, off: float = 0.0) -> Labelled:
    x = 100.0 * place + off
    return Labelled(number, Box(x, 0, x + 80, 100, 0.9))


@given(rows=st.integers(1, 5), columns=st.integers(1, 5), seed=st.integers(0, 10_000), whole=st.booleans())
def test_the_pairing_is_the_best_of_all(rows: int, columns: int, seed: int, whole: bool) -> None:  # noqa: FBT001 - drawn
    worth = np.random.default_rng(seed).normal(size=(rows, columns)) * 3
    if whole:
        worth = np.round(worth)  # many ties
    pairs = best_pairing(worth)
    assert len(pairs) == len({row for row, _ in pairs}) == len({column for _, column in pairs})
    assert len(pairs) == min(rows, columns)
    small, wide = (worth, worth.T)[rows > columns], max(rows, columns)
    best = max(
        sum(small[row, column] for row, column in enumerate(order))
        for order in permutations(range(wide), min(rows, columns))
    )
    assert sum(worth[row, column] for row, column in pairs) == pytest.approx(best)


def test_a_person_followed_all_the_way() -> None:
    scores = score_identities([([at(7, 0)], [at(1, 0, off=5)])] * 10)
    assert scores.figures() == {
        "recall": 1.0,
        "precision": 1.0,
        "idf1": 1.0,
        "identity_switches": 0,
        "fragments": 0,
        "identities_per_person": 1.0,
        "people": 1,
        "people_found": 1,
        "boxes": 10,
    }


def test_a_switch_half_way() -> None:
    frames = [([at(7, 0)], [at(1, 0)])] * 6 + [([at(7, 0)], [at(2, 0)])] * 4
    scores = score_identities(frames)
    assert (scores.switches, scores.fragments, scores.identities) == (1, 0, 2)
    # The longer track is the person's: 6 of 10 boxes on either side.
    assert scores.idf1 == pytest.approx(0.6)


def test_two_people_who_change_places_under_the_tracker() -> None:
    before, after = (
        ([at(1, 0), at(2, 1)], [at(11, 0), at(12, 1)]),
        ([at(1, 1), at(2, 0)], [at(11, 0), at(12, 1)]),
    )
    scores = score_identities([before] * 5 + [after] * 5)
    assert (scores.switches, scores.found, scores.people_found, scores.identities) == (2, 20, 2, 4)
    assert scores.idf1 == pytest.approx(0.5)


def test_found_again_is_a_fragment_and_leaving_is_none() -> None:
    frames = [
        ([at(1, 0)], [at(5, 0)]),
        ([at(1, 0)], []),
        ([at(1, 0)], [at(5, 0)]),
        ([], []),
        ([at(1, 0)], [at(5, 0)]),
    ]
    scores = score_identities(frames)
    assert (scores.fragments, scores.switches, scores.found, scores.boxes) == (1, 0, 3, 4)


def test_whoever_is_still_found_keeps_the_track() -> None:
    # Both tracks overlap the person; the new one fits better.
    first = ([at(1, 0)], [at(5, 0, off=10)])
    both = ([at(1, 0)], [at(6, 0), at(5, 0, off=10)])
    assert score_identities([first, both]).switches == 0
    assert score_identities([first, both]).tracked == 3


def test_false_boxes_cost_precision_only() -> None:
    scores = score_identities([([at(1, 0)], [at(5, 0), at(6, 3)])] * 4)
    assert (scores.figures()["precision"], scores.figures()["recall"]) == (0.5, 1.0)
    assert scores.idf1 == pytest.approx(2 * 4 / (4 + 8))


def test_nothing_gives_no_figure() -> None:
    figures = score_identities([([], [])]).figures()
    assert (figures["recall"], figures["precision"], figures["idf1"]) == (None, None, None)
