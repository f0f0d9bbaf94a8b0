"""What an expression network says of one face, and what every such network can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from models.errors import CardError, OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.calibration import Calibration
    from models.card import ModelCard

NEGATIVE, NEUTRAL, POSITIVE = 0, 1, 2
_NAMES: Final = {
    NEGATIVE: (
        *(
            "negative",
            "anger",
            "angry",
            "contempt",
            "contemptuous",
            "disgust",
            "disgusted",
            "fear",
            "fearful",
        ),
        *("afraid", "scared", "sad", "sadness", "unhappy"),
    ),
    # A surprised face at a counter is neither praise nor complaint.
    NEUTRAL: ("neutral", "neutrality", "calm", "surprise", "surprised"),
    POSITIVE: ("positive", "happy", "happiness", "joy", "smile", "smiling"),
}
CLASS_OF: Final = {name: number for number, names in _NAMES.items() for name in names}
"""Class of each label that a card may use, in lower case."""


@dataclass(frozen=True, slots=True)
class Expression:
    """What one face shows.

    Attributes:
        negative: Probability of an unpleasant expression, 0 to 1.
        neutral: Probability of a neutral one (surprise included).
        positive: Probability of a smile or laugh. The three sum to 1.
        raw: The (first) network's own probabilities in the order of its card's labels.
        arousal: How excited the face is, -1 to 1, from a network that has such an output; else None.
        direct_valence: Pleasantness, -1 to 1, from a network that has such an output; else None.
        uncertain: Whether the calibration abstains: its likeliest class is less probable than the
            bound that was chosen on people it never saw.
    """

    negative: float
    neutral: float
    positive: float
    raw: tuple[float, ...]
    arousal: float | None = None
    direct_valence: float | None = None
    uncertain: bool = False

    @property
    def valence(self) -> float:
        """Pleasantness, -1 to 1: the network's own where it has one, else positive less negative."""
        return self.positive - self.negative if self.direct_valence is None else self.direct_valence

    @property
    def confidence(self) -> float:
        """Probability of the likeliest class."""
        return max(self.negative, self.neutral, self.positive)

    @property
    def sufficient(self) -> bool:
        """Whether the face says enough to name a class."""
        return not self.uncertain


class ExpressionNetwork(Protocol):
    """Anything that reads expressions: our own pair, a network of a card, another library's."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the (first) network, in order."""

    @property
    def calibration(self) -> Calibration | None:
        """The head, or None where the network's own probabilities are summed by class."""

    def predict(self, faces: Sequence[NDArray[np.uint8]]) -> tuple[Expression, ...]:
        """Return one expression a BGR crop, in order."""

    def log_probabilities(self, faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Return the log-probabilities that a calibration takes, shape (n, labels)."""

    def classes(self, log_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities of negative, neutral, positive, shape (n, 3)."""

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""

    def versions(self) -> tuple[tuple[str, str, str], ...]:
        """Return name, version and hash of every network that reads."""


def class_of(label: str) -> int | None:
    """Return the class of a label, however it is written; None where it has none."""
    return CLASS_OF.get(label.strip().lower())


def checked_labels(card: ModelCard) -> tuple[str, ...]:
    """Return the labels of a card if each has a class.

    Raises:
        CardError: There are none, one is given twice, or one has no class.
    """
    unknown = [label for label in card.labels if class_of(label) is None]
    if unknown or not card.labels:
        raise CardError(
            f"The card of {card.key} has labels that have no class here: {unknown or 'none'}. "
            f"Known labels are {', '.join(CLASS_OF)}."
        )
    if len(set(card.labels)) != len(card.labels):
        raise CardError(f"The card of {card.key} gives a label twice: {', '.join(card.labels)}. Correct it.")
    return card.labels


def checked_logs(
    logs: NDArray[np.floating], rows: int, labels: Sequence[str], name: str
) -> NDArray[np.float64]:
    """Return a network's log-probabilities if they are finite and have one column a label.

    Raises:
        OutputError: Another shape than the card's labels need, or numbers that are none.
    """
    if logs.shape != (rows, len(labels)):
        raise OutputError(
            f"{name} gives an output of shape {logs.shape} for {rows} faces; its card names {len(labels)} "
            f"labels, so it must be {(rows, len(labels))}. Correct the card or take the right file."
        )
    if not np.isfinite(logs).all():
        raise OutputError(
            f"{name} gives numbers that are not finite: its weights are damaged, or its card states another "
            "range of pixels or kind of output than it has. It is not used."
        )
    return logs.astype(np.float64)


def summed_by_class(log_probabilities: NDArray[np.float64], labels: Sequence[str]) -> NDArray[np.float64]:
    """Add a network's own probabilities up to negative, neutral and positive, shape (n, 3)."""
    # Shifted first: a network may be so sure that every other probability is 0 in floating point.
    shares = np.exp(log_probabilities - log_probabilities.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    classes = np.zeros((len(shares), 3))
    for column, label in enumerate(labels):
        number = class_of(label)
        if number is None:
            raise CardError(f"'{label}' has no class. Known labels are {', '.join(CLASS_OF)}.")
        classes[:, number] += shares[:, column]
    return classes


def class_odds(
    log_probabilities: NDArray[np.float64], labels: Sequence[str], floor: float
) -> NDArray[np.float64]:
    """Return log-odds of positive and of neutral against negative, shape (n, 2).

    Args:
        log_probabilities: Shape (n, labels).
        labels: The network's labels.
        floor: Smallest logarithm of a class's probability that is looked at.
    """
    shares = summed_by_class(log_probabilities, labels)
    logs = np.maximum(np.log(np.maximum(shares, np.finfo(np.float64).tiny)), floor)
    return logs[:, [POSITIVE, NEUTRAL]] - logs[:, [NEGATIVE]]


def expressions(
    classes: NDArray[np.float64],
    logs: NDArray[np.float64],
    *,
    abstain_below: float | None = None,
    arousal: NDArray[np.float64] | None = None,
    valence: NDArray[np.float64] | None = None,
) -> tuple[Expression, ...]:
    """Put readings together, one a row.

    Args:
        classes: Probabilities of negative, neutral, positive, shape (n, 3).
        logs: The (first) network's log-probabilities, shape (n, labels).
        abstain_below: A face is uncertain where its likeliest class is less probable than this.
        arousal: The network's own arousal, shape (n,).
        valence: The network's own valence, shape (n,).
    """
    raw = np.exp(logs - logs.max(axis=1, keepdims=True))
    raw /= raw.sum(axis=1, keepdims=True)
    return tuple(
        Expression(
            negative=float(row[NEGATIVE]),
            neutral=float(row[NEUTRAL]),
            positive=float(row[POSITIVE]),
            raw=tuple(float(value) for value in raw[index]),
            arousal=None if arousal is None else float(arousal[index]),
            direct_valence=None if valence is None else float(valence[index]),
            uncertain=abstain_below is not None and float(row.max()) < abstain_below,
        )
        for index, row in enumerate(classes)
    )
