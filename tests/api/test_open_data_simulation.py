"""The interval of open data: exact coverage against what trying finds, and the failing control."""

from __future__ import annotations

import math

import numpy as np
import pytest

from api.statistics.coverage import SHARES, wilson_coverage
from api.statistics.open_data_simulation import (
    _held,
    _printed_ends,
    chances,
    noise_rows,
    published,
    table_of,
    unwidened,
)
from api.statistics.private_release import Mechanism, PrivateRow
from api.statistics.wilson import wilson


@pytest.mark.parametrize(("p", "n", "milli"), [(0.5, 4, 1000), (0.97, 7, 200), (0.85, 125, 1000)])
def test_the_chances_of_a_release_are_those_of_ballots_and_noise(p: float, n: int, milli: int) -> None:
    mechanism = Mechanism(milli)
    ratio = math.exp(-milli / 1000)
    plain = [0.0] * (n + 1)
    for satisfied in range(n + 1):
        ballots = math.comb(n, satisfied) * p**satisfied * (1 - p) ** (n - satisfied)
        for noise in range(-4000, 4001):
            chance = (1 - ratio) / (1 + ratio) * ratio ** abs(noise)
            plain[min(n, max(0, satisfied + noise))] += ballots * chance

    assert chances(p, mechanism, n) == pytest.approx(plain, abs=1e-12)
    assert sum(plain) == pytest.approx(1)


def test_the_interval_of_a_row_is_wilsons_and_the_noise() -> None:
    low, high = wilson(0.9, 200)
    assert PrivateRow("unit:a", 200, 180, 1.5).interval() == pytest.approx((low - 0.015, high + 0.015))
    assert PrivateRow("unit:a", 200, 200, 1.5).interval()[1] == 1.0
    assert PrivateRow("unit:a", 200, 0, 1.5).interval()[0] == 0.0


def test_with_next_to_no_noise_the_coverage_is_wilsons() -> None:
    mechanism = Mechanism(1_000_000)
    for p in SHARES:
        held = _held(p, mechanism, 200, _printed_ends(mechanism, 200, unwidened))
        assert held == pytest.approx(wilson_coverage(p, 200), abs=0.03)  # the print has one decimal


def test_what_is_published_holds_the_truth_and_wilsons_alone_would_not(seed: int) -> None:
    rows = noise_rows(600, np.random.default_rng(seed))
    exported = [row for row in rows if row.exported]

    assert {(row.epsilon, row.n) for row in exported} >= {(1.0, 125), (1.0, 500), (0.5, 250)}
    assert {(row.epsilon, row.n) for row in rows if not row.exported} == {(1.0, 100), (0.5, 100), (0.5, 125)}
    for row in rows:
        error = math.sqrt(row.reckoned * (1 - row.reckoned) / 600)
        assert row.drawn == pytest.approx(row.reckoned, abs=4.5 * error), row
        assert row.passes
        assert 0.96 < row.least <= row.most <= 1
        assert row.wider > 1
    assert min(row.unwidened for row in exported) < 0.85
    assert len(table_of(rows)) == len(rows) + 2


def test_a_row_that_leaves_fails_with_an_interval_that_leaves_the_noise_out() -> None:
    mechanism = Mechanism(500)
    ends = {make: _printed_ends(mechanism, 250, make) for make in (published, unwidened)}

    assert min(_held(p, mechanism, 250, ends[published]) for p in SHARES) > 0.97
    assert min(_held(p, mechanism, 250, ends[unwidened]) for p in SHARES) < 0.85
