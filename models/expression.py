"""Facial expression as three calibrated probabilities: negative, neutral, positive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from models.calibration import Calibration, read_calibration, shipped_calibration
from models.errors import CardError
from models.face_detectors import checked_image
from models.session import ModelSession, open_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.registry import ModelFile, Registry

NAME: Final = "face-api-expression"
_SIDE_PX: Final = 112
_BATCH: Final = 32
_RAW_CLASS: Final = {
    "neutral": 1,
    "happy": 2,
    "sad": 0,
    "angry": 0,
    "fearful": 0,
    "disgusted": 0,
    # A surprised face at a counter is neither praise nor complaint.
    "surprised": 1,
}


@dataclass(frozen=True, slots=True)
class Expression:
    """What one face shows.

    Attributes:
        negative: Probability of an unpleasant expression, 0 to 1.
        neutral: Probability of a neutral one (surprise included).
        positive: Probability of a smile or laugh. The three sum to 1.
        raw: The network's own probabilities in the order of its card's labels.
    """

    negative: float
    neutral: float
    positive: float
    raw: tuple[float, ...]

    @property
    def valence(self) -> float:
        """Pleasantness, -1 to 1."""
        return self.positive - self.negative

    @property
    def confidence(self) -> float:
        """Probability of the likeliest class."""
        return max(self.negative, self.neutral, self.positive)


@dataclass(frozen=True, slots=True)
class ExpressionModel:
    """The expression network with its calibration head.

    Attributes:
        labels: The network's labels, in order.
        calibration: The head, or None for the network's own probabilities summed by class.
        mirrored: Whether each face is also read mirrored, and both readings averaged.
    """

    name: str
    version: str
    sha256: str
    labels: tuple[str, ...]
    calibration: Calibration | None
    mirrored: bool
    session: ModelSession

    @classmethod
    def load(
        cls, file: ModelFile, calibration: Calibration | None, *, mirrored: bool = True, threads: int = 1
    ) -> ExpressionModel:
        """Open the network of a verified file."""
        unknown = [label for label in file.card.labels if label not in _RAW_CLASS]
        if unknown or not file.card.labels:
            raise CardError(
                f"The card of {file.card.key} has labels that have no class here: {unknown or 'none'}. "
                f"Known labels are {', '.join(_RAW_CLASS)}."
            )
        session = open_session(file.path, threads=threads)
        return cls(*file.version_of(), file.card.labels, calibration, mirrored, session)

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them (the calibration's version included)."""
        version = self.version if self.calibration is None else f"{self.version}-{self.calibration.version}"
        return self.name, version, self.sha256

    def predict(self, faces: Sequence[NDArray[np.uint8]]) -> tuple[Expression, ...]:
        """Read the expressions of face crops.

        Args:
            faces: BGR crops, uint8, any size; a square on the detector's box with no margin
                reads best.

        Returns:
            One expression a crop, in order.

        Raises:
            InputError: A crop is not uint8 BGR.
        """
        if not faces:
            return ()
        logs = self.log_probabilities(faces)
        classes = self.classes(logs)
        raw = np.exp(logs)
        raw /= raw.sum(axis=1, keepdims=True)
        return tuple(
            Expression(
                negative=float(row[0]),
                neutral=float(row[1]),
                positive=float(row[2]),
                raw=tuple(float(value) for value in own),
            )
            for row, own in zip(classes, raw, strict=True)
        )

    def log_probabilities(self, faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Return the network's log-probabilities, shape (n, labels), averaged over mirrored readings."""
        parts = []
        for start in range(0, len(faces), _BATCH):
            pictures = np.stack([_picture(face) for face in faces[start : start + _BATCH]])
            logs = self._run(pictures)
            if self.mirrored:
                logs = (logs + self._run(np.ascontiguousarray(pictures[:, :, ::-1]))) / 2
            parts.append(logs)
        return np.concatenate(parts)

    def classes(self, log_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities of negative, neutral, positive from log-probabilities, shape (n, 3)."""
        if self.calibration is not None:
            return self.calibration.apply(log_probabilities)
        return summed_by_class(log_probabilities, self.labels)

    def _run(self, pictures: NDArray[np.float32]) -> NDArray[np.float64]:
        (logs,) = self.session.run({self.session.input_names[0]: pictures})
        return logs.astype(np.float64)


def summed_by_class(log_probabilities: NDArray[np.float64], labels: Sequence[str]) -> NDArray[np.float64]:
    """Add the network's own probabilities up to negative, neutral and positive, shape (n, 3)."""
    shares = np.exp(log_probabilities)
    shares /= shares.sum(axis=1, keepdims=True)
    classes = np.zeros((len(shares), 3))
    for column, label in enumerate(labels):
        classes[:, _RAW_CLASS[label]] += shares[:, column]
    return classes


def _picture(face: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale a BGR crop to the network's RGB input."""
    scaled = cv2.resize(checked_image(face), (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    return scaled[:, :, ::-1].astype(np.float32)


def load_expression_model(
    registry: Registry,
    calibrated: bool = True,  # noqa: FBT001, FBT002 - the contract's signature
    *,
    mirrored: bool = True,
    threads: int = 1,
) -> ExpressionModel:
    """Load the expression network, with its shipped calibration or without.

    Raises:
        ModelFileMissing: The network was not prepared: run 'hailong models prepare'.
        ModelHashMismatch: The file is not the one the card describes.
        CalibrationError: The calibration does not belong to the network.
    """
    file = registry.locate(NAME)
    calibration = None
    if calibrated and file.card.calibration is not None:
        calibration = read_calibration(
            shipped_calibration(file.card.calibration.file),
            network_sha256=file.sha256,
            labels=file.card.labels,
            version=file.card.calibration.version,
        )
    return ExpressionModel.load(file, calibration, mirrored=mirrored, threads=threads)
