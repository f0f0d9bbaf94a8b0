"""Platt's calibration: a logistic curve over the log-odds of the score, fitted to ballots.

P(satisfied) = 1 / (1 + exp(-(slope · logit(score) + offset))). Over log-odds a score that is right already
stays as it is (slope 1, offset 0). The ballots' 0 and 1 are drawn in by Platt's prior, so that scores
which part few ballots perfectly do not become certainties.

Source: J. Platt, Probabilistic outputs for support vector machines (1999).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from api.statistics.errors import CalibrationInvalid
from api.statistics.wilson import Values

EDGE: Final = 1e-3
"""Scores nearer to 0 or 1 than this count as this: the log-odds stay finite."""

_STEPS: Final = 100
_DONE: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Platt:
    """A logistic curve.

    Attributes:
        slope: Steepness over the log-odds; never below 0.
        offset: Log-odds of a satisfied visit at a score of one half.
    """

    slope: float
    offset: float

    def apply(self, scores: npt.ArrayLike) -> Values:
        """Return the probability of a satisfied visit for scores of 0 to 1."""
        return _logistic(self.slope * _log_odds(scores) + self.offset)


def fit_platt(scores: Values, satisfied: Values) -> Platt:
    """Fit the curve by Newton's method.

    A slope below 0 would call low scores satisfied: it is set to 0, and the curve says the same for
    every score.

    Args:
        scores: Raw scores, 0 to 1.
        satisfied: Ballots of the same visits, 0 or 1.

    Raises:
        CalibrationInvalid: the fit does not settle.
    """
    positive = float(np.sum(satisfied))
    negative = satisfied.size - positive
    target = np.where(satisfied > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    mean = float(np.mean(target))
    flat = Platt(0.0, float(np.log(mean / (1 - mean))))
    x = _log_odds(scores)
    if float(np.ptp(x)) < EDGE:
        return flat
    slope, offset = 0.0, flat.offset
    loss = _loss(slope * x + offset, target)
    for _ in range(_STEPS):
        step_slope, step_offset = _newton(x, target, slope, offset)
        size, better = 1.0, False
        while size > _DONE and not better:
            there = slope + size * step_slope, offset + size * step_offset
            new_loss = _loss(there[0] * x + there[1], target)
            better = new_loss < loss - _DONE * max(1.0, loss)
            if better:
                slope, offset, loss = *there, new_loss
            size /= 2
        if not better:
            return Platt(slope, offset) if slope > 0 else flat
    raise CalibrationInvalid(
        f"The logistic curve over {satisfied.size} ballots does not settle: look for scores of another "
        "kind among them."
    )


def _newton(x: Values, target: Values, slope: float, offset: float) -> tuple[float, float]:
    """Return Newton's step of both parameters."""
    chance = _logistic(slope * x + offset)
    weight = np.maximum(chance * (1 - chance), _DONE)
    rest = target - chance
    aa, ab, bb = float(np.sum(weight * x * x)), float(np.sum(weight * x)), float(np.sum(weight))
    ga, gb = float(np.sum(rest * x)), float(np.sum(rest))
    determinant = aa * bb - ab * ab
    return (bb * ga - ab * gb) / determinant, (aa * gb - ab * ga) / determinant


def _loss(log_odds: Values, target: Values) -> float:
    """Return the cross-entropy; written so that large log-odds do not overflow."""
    return float(np.sum(np.logaddexp(0.0, log_odds) - target * log_odds))


def _log_odds(scores: npt.ArrayLike) -> Values:
    inside = np.clip(np.asarray(scores, dtype=np.float64), EDGE, 1 - EDGE)
    result: Values = np.log(inside / (1 - inside))
    return result


def _logistic(log_odds: Values) -> Values:
    result: Values = 0.5 * (1 + np.tanh(0.5 * log_odds))
    return result
