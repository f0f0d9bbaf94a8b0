"""The control that must fail: ppi-python's `ppi_mean_ci` on the very months that our intervals are judged by.

It makes Wald's interval around the prediction-powered share. Months are given to it as coordinates of one
mean, each with a λ of its own (`lam_optim_mode="element"`): the same arithmetic as a call a month, in half
the time.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from api.statistics.coverage import LOWEST, borders, wilson_coverage
from api.statistics.errors import SimulationRefused
from api.statistics.synthetic_visits import Visits, portions_of_pairs, portions_of_scores
from api.statistics.wilson import Values

_AT_ONCE: Final = 32
"""Months a call: with more, their covariances with each other, which nobody wants, take the time."""


@dataclass(frozen=True, slots=True)
class ControlCell:
    """The intervals of `ppi_mean_ci` on one kind of month.

    Attributes:
        visits: What the months were like.
        runs: Months judged.
        coverage: Share of intervals that held the truth, as counted.
        width: Their mean width.
    """

    visits: Visits
    runs: int
    coverage: float
    width: float

    @property
    def error(self) -> float:
        """Standard error of the coverage that the number of runs leaves."""
        return math.sqrt(self.coverage * (1 - self.coverage) / self.runs)

    @property
    def passes(self) -> bool:
        """Whether the cell meets the bar of coverage that ours are held to."""
        exact = wilson_coverage(self.visits.p, self.visits.n)
        lowest, highest = borders(exact, self.error)
        return lowest <= self.coverage <= highest

    @property
    def surely_low(self) -> bool:
        """Whether it covers too little by more than three standard errors."""
        return self.coverage + 3 * self.error < LOWEST


def simulate_control(visits: Visits, runs: int, seed: int, judged: int | None = None) -> ControlCell:
    """Draw the months that `simulate_cell` draws of the same seed, and judge the control's intervals.

    Args:
        visits: What the months are like.
        runs: Months.
        seed: Seed of this cell.
        judged: How many of them are judged, from the first; all by default.

    Raises:
        SimulationRefused: no runs, or ppi-python is not installed.
    """
    if runs < 1 or judged == 0:
        raise SimulationRefused("A simulation needs at least one run a cell.")
    held, width = 0, 0.0
    judged = runs if judged is None else min(judged, runs)
    for low, high in control_intervals(visits, runs, seed, judged):
        held += int(np.sum((low <= visits.p) & (visits.p <= high)))
        width += float(np.sum(high - low))
    return ControlCell(visits, judged, held / judged, width / judged)


def control_intervals(visits: Visits, runs: int, seed: int, judged: int) -> Iterator[tuple[Values, Values]]:
    """Yield the ends of the control's intervals for the first months of a cell, some at a time.

    Raises:
        SimulationRefused: ppi-python is not installed.
    """
    ppi_mean_ci = _reference().ppi_mean_ci
    generator = np.random.default_rng(seed)
    pairs = list(portions_of_pairs(generator, visits, runs))
    satisfied = np.concatenate([some.satisfied for some in pairs]).astype(np.float64)
    told = np.concatenate([some.told for some in pairs]).astype(np.float64)
    for months, others in portions_of_scores(generator, visits, runs):
        last = min(months.stop, judged)
        for start in range(months.start, last, _AT_ONCE):
            stop = min(last, start + _AT_ONCE)
            alone = others[start - months.start : stop - months.start].astype(np.float64)
            low, high = ppi_mean_ci(
                satisfied[start:stop].T,
                told[start:stop].T,
                alone.T,
                alpha=0.05,
                lam_optim_mode="element",
            )
            yield low, high
        if last == judged:
            return


def _reference() -> Any:  # noqa: ANN401 - the package carries no types
    try:
        return importlib.import_module("ppi_py")  # a package of the developers only
    except ModuleNotFoundError as error:
        raise SimulationRefused(
            "The control needs the package ppi-python, which only developers have: pip install ppi-python"
        ) from error
