"""Labelled face packs, and how well three-class probabilities fit them."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

LABELS: Final = ("anger", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""Labels of a pack; whole-number labels count along this list."""
NEGATIVE, NEUTRAL, POSITIVE, LEFT_OUT = 0, 1, 2, -1
_CLASS: Final = {
    "anger": NEGATIVE,
    "contempt": NEGATIVE,
    "disgust": NEGATIVE,
    "fear": NEGATIVE,
    "happy": POSITIVE,
    "neutral": NEUTRAL,
    "sad": NEGATIVE,
    # True surprise is neither: it is left out. Predicted surprise counts as neutral.
    "surprise": LEFT_OUT,
}
_BINS: Final = 10
_KEYS: Final = ("images", "labels", "person")
_GREY_AXES, _COLOUR_AXES, _COLOURS = 3, 4, 3


@dataclass(frozen=True, slots=True, eq=False)
class FacePack:
    """Face crops with one of three classes each; true surprise is already left out.

    Attributes:
        images: BGR crops, uint8, each (height, width, 3).
        classes: 0 negative, 1 neutral, 2 positive, shape (n,).
        persons: Number of the person on each crop; unknown persons all have the same.
    """

    images: tuple[NDArray[np.uint8], ...]
    classes: NDArray[np.int64]
    persons: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scores:
    """How well probabilities of three classes fit.

    Attributes:
        accuracy3: Share of faces whose likeliest class is the true one.
        auc_positive_negative: Chance that a positive face has a larger
            positive / (positive + negative) than a negative one; None where a class is missing.
        ece: Expected calibration error over ten equal bins of the likeliest class's probability.
        neutral_recall: Share of neutral faces called neutral; None where there are none.
    """

    accuracy3: float
    auc_positive_negative: float | None
    ece: float
    neutral_recall: float | None


def read_pack(path: Path) -> FacePack:
    """Read a pack: `images` (n, h, w) grey or (n, h, w, 3) RGB, `labels`, `person`.

    Args:
        path: An NPZ file. Labels are words of `LABELS`, or whole numbers counted along it.

    Raises:
        InputError: The file is no such pack; the message names what is wrong.
    """
    images, labels, persons = _arrays(path)
    if (
        images.dtype != np.uint8
        or images.ndim not in {_GREY_AXES, _COLOUR_AXES}
        or (images.ndim == _COLOUR_AXES and images.shape[3] != _COLOURS)
        or 0 in images.shape[1:]
    ):
        raise InputError(
            f"{path}: 'images' must be uint8 of shape (n, height, width) or (n, height, width, 3), "
            f"not {images.dtype} {images.shape}."
        )
    if labels.shape != (len(images),) or persons.shape != (len(images),):
        raise InputError(
            f"{path}: 'images', 'labels' and 'person' must have one entry a face, "
            f"not {len(images)}, {labels.shape} and {persons.shape}."
        )
    classes = np.array([_CLASS[word] for word in _words(path, labels)], np.int64)
    kept = np.flatnonzero(classes != LEFT_OUT)
    if not kept.size:
        raise InputError(f"{path} holds no face with a positive, neutral or negative label.")
    crops = tuple(_bgr(images[index]) for index in kept)
    _, numbers = np.unique(persons[kept], return_inverse=True)
    return FacePack(crops, classes[kept], numbers.astype(np.int64))


def score(probabilities: NDArray[np.float64], classes: NDArray[np.int64]) -> Scores:
    """Score probabilities of negative, neutral, positive against true classes.

    Args:
        probabilities: Shape (n, 3), rows sum to 1.
        classes: Shape (n,).
    """
    chosen = probabilities.argmax(axis=1)
    neutral = classes == NEUTRAL
    return Scores(
        accuracy3=float((chosen == classes).mean()),
        auc_positive_negative=_auc(probabilities, classes),
        ece=calibration_error(probabilities, classes),
        neutral_recall=float((chosen[neutral] == NEUTRAL).mean()) if neutral.any() else None,
    )


@dataclass(frozen=True, slots=True)
class Bound:
    """From which confidence on faces are named.

    Attributes:
        below: Faces whose likeliest class is less probable than this are uncertain.
        kept: Share of faces that are not.
        accuracy: Share of those that are right.
    """

    below: float
    kept: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Faces whose likeliest class has a probability in one tenth.

    Attributes:
        above: Lower edge of the tenth.
        faces: How many there are.
        confidence: Their mean probability of the likeliest class.
        accuracy: The share that was right.
    """

    above: float
    faces: int
    confidence: float
    accuracy: float


def abstention_bound(
    probabilities: NDArray[np.float64],
    classes: NDArray[np.int64],
    weights: NDArray[np.float64],
    accuracy: float,
) -> Bound:
    """Return the lowest bound, in hundredths, at which the faces kept are right often enough.

    Args:
        probabilities: Of people whom the head never saw, shape (n, 3).
        classes: Shape (n,).
        weights: How much each face counts, shape (n,).
        accuracy: Share of kept faces that must be right; where no bound reaches it, the highest is taken.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == classes
    found = Bound(0.0, 1.0, 0.0)
    for hundredth in range(34, 100):
        kept = confidence >= hundredth / 100
        if not kept.any():
            break
        share = float(weights[kept].sum() / weights.sum())
        found = Bound(hundredth / 100, share, float((weights * right)[kept].sum() / weights[kept].sum()))
        if found.accuracy >= accuracy:
            break
    return found


def class_recalls(
    probabilities: NDArray[np.float64], classes: NDArray[np.int64]
) -> tuple[float | None, float | None, float | None]:
    """Return the share of each class that is found: negative, neutral, positive; None where it is absent."""
    chosen = probabilities.argmax(axis=1)
    shares = [
        float((chosen[classes == number] == number).mean()) if (classes == number).any() else None
        for number in (NEGATIVE, NEUTRAL, POSITIVE)
    ]
    return shares[0], shares[1], shares[2]


def confusion(probabilities: NDArray[np.float64], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count faces by true class (row) and likeliest class (column), shape (3, 3)."""
    counts = np.zeros((3, 3), np.int64)
    np.add.at(counts, (classes, probabilities.argmax(axis=1)), 1)
    return counts


def reliability(probabilities: NDArray[np.float64], classes: NDArray[np.int64]) -> tuple[ReliabilityBin, ...]:
    """Return the bins that the expected calibration error is made of; empty ones are left out."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == classes
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return tuple(
        ReliabilityBin(
            above=int(number) / _BINS,
            faces=int((bins == number).sum()),
            confidence=float(confidence[bins == number].mean()),
            accuracy=float(right[bins == number].mean()),
        )
        for number in np.unique(bins)
    )


def abstention_curve(
    probabilities: NDArray[np.float64], classes: NDArray[np.int64], shares: Sequence[float]
) -> tuple[tuple[float, float], ...]:
    """Return pairs (share kept, accuracy of what is kept), the least confident faces left out first."""
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    right = (probabilities.argmax(axis=1) == classes)[order]
    counts = [max(1, round(share * len(right))) for share in shares]
    return tuple((count / len(right), float(right[:count].mean())) for count in counts)


def calibration_error(probabilities: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    """Return the expected calibration error over ten equal bins of confidence."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == classes
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = [
        (bins == number).mean() * abs(confidence[bins == number].mean() - right[bins == number].mean())
        for number in np.unique(bins)
    ]
    return float(sum(gaps))


def _auc(probabilities: NDArray[np.float64], classes: NDArray[np.int64]) -> float | None:
    """Compare every positive face with every negative one by rank; ties count half."""
    positive, negative = classes == POSITIVE, classes == NEGATIVE
    if not positive.any() or not negative.any():
        return None
    both = probabilities[:, POSITIVE] + probabilities[:, NEGATIVE]
    lean = probabilities[:, POSITIVE] / np.maximum(both, np.finfo(np.float64).tiny)
    low = np.sort(lean[negative])
    below = np.searchsorted(low, lean[positive], side="left")
    not_above = np.searchsorted(low, lean[positive], side="right")
    return float((below + not_above).mean() / 2 / low.size)


def _arrays(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.generic], NDArray[np.generic]]:
    if not path.is_file():
        raise InputError(f"There is no face pack at {path}: check the path.")
    try:
        with path.open("rb") as stream:
            content = np.load(stream, allow_pickle=False)
            found = {} if isinstance(content, np.ndarray) else {key: content[key] for key in content.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is not an NPZ file of plain arrays that can be read: {error}.") from error
    missing = [key for key in _KEYS if key not in found]
    if missing:
        raise InputError(
            f"{path} has no '{missing[0]}': a face pack is an NPZ file with the arrays {', '.join(_KEYS)}."
        )
    return found["images"], found["labels"], found["person"]


def _words(path: Path, labels: NDArray[np.generic]) -> list[str]:
    """Turn labels into words of `LABELS`."""
    if np.issubdtype(labels.dtype, np.integer):
        numbers = labels.astype(np.int64)
        if numbers.size and (numbers.min() < 0 or numbers.max() >= len(LABELS)):
            raise InputError(
                f"{path}: whole-number labels must be 0 to {len(LABELS) - 1} ({', '.join(LABELS)}), "
                f"not {numbers.min()} to {numbers.max()}."
            )
        return [LABELS[number] for number in numbers]
    words = [str(word) for word in labels.tolist()]
    unknown = sorted(set(words) - set(LABELS))
    if unknown:
        raise InputError(f"{path}: unknown label '{unknown[0]}'. Known are {', '.join(LABELS)}.")
    return words


def _bgr(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey or RGB crop as BGR."""
    if image.ndim == _GREY_AXES - 1:
        return np.repeat(image[:, :, None], _COLOURS, axis=2)
    return np.ascontiguousarray(image[:, :, ::-1])
