"""How a calibration head is fitted: weighted multinomial regression, and folds that keep people apart.

Newton's method in numpy: a head has a few dozen numbers and a few thousand faces, so each step
is one small linear system. A site can therefore fit its own head without another library; a test
compares the result with scikit-learn's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.calibration import softmax
from models.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES: Final = 3
FOLDS: Final = 5
_STEPS: Final = 60
_HALVINGS: Final = 30
_STILL: Final = 1e-9
_INTERCEPT_PENALTY: Final = 1e-6
"""Adding one number to all three intercepts changes nothing: this makes the system solvable."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A fitted head, for features as they are (not brought to one scale).

    Attributes:
        coefficients: Shape (3, features).
        intercepts: Shape (3,).
    """

    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]

    def apply(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities of negative, neutral and positive, shape (n, 3)."""
        return softmax(features @ self.coefficients.T + self.intercepts)


def fit_head(
    features: NDArray[np.float64],
    classes: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    strength: float,
) -> Head:
    """Fit a head; features are brought to one scale for the penalty, and back again in the result.

    Args:
        features: Shape (n, features), finite.
        classes: 0 negative, 1 neutral, 2 positive, shape (n,).
        weights: How much each face counts, shape (n,).
        strength: Inverse strength of the quadratic penalty on the coefficients.

    Raises:
        InputError: Nothing to fit on, or features that are not finite.
    """
    if len(classes) == 0 or not np.isfinite(features).all():
        raise InputError("A head needs at least one face, and features that are finite numbers.")
    middle, spread = features.mean(axis=0), features.std(axis=0) + _STILL
    scaled = np.concatenate([(features - middle) / spread, np.ones((len(features), 1))], axis=1)
    found = _newton(scaled, classes, weights, strength)
    coefficients = found[:, :-1] / spread
    return Head(coefficients, found[:, -1] - coefficients @ middle)


def unseen_probabilities(
    features: NDArray[np.float64],
    classes: NDArray[np.int64],
    weights: NDArray[np.float64],
    folds: NDArray[np.int64],
    *,
    strength: float,
) -> NDArray[np.float64]:
    """Return probabilities for every face from a head that never saw its fold, shape (n, 3)."""
    unseen = np.zeros((len(classes), CLASSES))
    for fold in np.unique(folds):
        inside = folds == fold
        head = fit_head(features[~inside], classes[~inside], weights[~inside], strength=strength)
        unseen[inside] = head.apply(features[inside])
    return unseen


def folds_by_person(
    classes: NDArray[np.int64], persons: NDArray[np.int64], *, seed: int, count: int = FOLDS
) -> NDArray[np.int64]:
    """Deal faces into folds so that nobody is in two, and classes are spread evenly.

    People are dealt in a shuffled order, those with most faces first; each goes to the fold where
    the shares of classes then lie closest together.

    Args:
        classes: Shape (n,).
        persons: Number of the person on each face. Where all are the same, people are unknown
            and each face counts as a person of its own.
        seed: For the shuffle.
        count: Folds.

    Raises:
        InputError: There are fewer people than folds.
    """
    if len(classes) == 0 or persons.min() == persons.max():
        persons = np.arange(len(classes))
    people, numbers = np.unique(persons, return_inverse=True)
    if len(people) < count:
        raise InputError(f"{count} folds need at least {count} people; there are {len(people)}.")
    held = np.zeros((len(people), CLASSES))
    np.add.at(held, (numbers, classes), 1.0)
    order = np.random.default_rng(seed).permutation(len(people))
    order = order[np.argsort(-held[order].sum(axis=1), kind="stable")]
    totals = np.maximum(held.sum(axis=0), 1.0)
    filled = np.zeros((count, CLASSES))
    chosen = np.zeros(len(people), np.int64)
    for person in order:
        # Only the fold that takes the person changes: the sum of squares grows least in the emptiest.
        growth = (((filled + held[person]) / totals) ** 2 - (filled / totals) ** 2).sum(axis=1)
        chosen[person] = int(growth.argmin())
        filled[chosen[person]] += held[person]
    return chosen[numbers]


def _newton(
    rows: NDArray[np.float64], classes: NDArray[np.int64], weights: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """Return the weights of each class, shape (3, columns); the last column is the intercept's."""
    width = rows.shape[1]
    truth = np.eye(CLASSES)[classes]
    penalty = np.full(width, 1.0 / strength)
    penalty[-1] = _INTERCEPT_PENALTY

    def loss(candidate: NDArray[np.float64]) -> float:
        scores = rows @ candidate.T
        top = scores.max(axis=1)
        spread = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
        missed = spread - scores[np.arange(len(rows)), classes]
        return float((weights * missed).sum() + 0.5 * (penalty * candidate * candidate).sum())

    found = np.zeros((CLASSES, width))
    now = loss(found)
    for _ in range(_STEPS):
        shares = softmax(rows @ found.T)
        slope = ((shares - truth) * weights[:, None]).T @ rows + penalty * found
        step = np.linalg.solve(_curvature(rows, shares, weights, penalty), slope.ravel()).reshape(found.shape)
        for _ in range(_HALVINGS):
            after = loss(found - step)
            if after <= now:
                break
            step = step / 2
        else:
            return found
        found = found - step
        if now - after <= _STILL * max(1.0, abs(now)):
            return found
        now = after
    return found


def _curvature(
    rows: NDArray[np.float64],
    shares: NDArray[np.float64],
    weights: NDArray[np.float64],
    penalty: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the matrix of second derivatives, class by class."""
    width = rows.shape[1]
    matrix = np.zeros((CLASSES * width, CLASSES * width))
    for one in range(CLASSES):
        for other in range(one, CLASSES):
            bend = weights * shares[:, one] * ((one == other) - shares[:, other])
            block = (rows * bend[:, None]).T @ rows
            matrix[one * width : (one + 1) * width, other * width : (other + 1) * width] = block
            matrix[other * width : (other + 1) * width, one * width : (one + 1) * width] = block.T
    matrix[np.diag_indices_from(matrix)] += np.tile(penalty, CLASSES)
    return matrix
