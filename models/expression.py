"""The default reader of expressions: two networks and the calibration that joins them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from models.calibration import Calibration, read_calibration, shipped_calibration
from models.errors import ModelFileMissing, UnknownModel
from models.expression_reading import (
    Expression,
    checked_labels,
    checked_logs,
    expressions,
    summed_by_class,
)
from models.face_detectors import checked_image
from models.session import ModelSession, open_session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.registry import ModelFile, Registry

__all__ = ["NAME", "SECOND_NAME", "Expression", "ExpressionModel", "load_expression_model", "summed_by_class"]

NAME: Final = "face-api-expression"
SECOND_NAME: Final = "mini-xception"
SITE_CALIBRATION: Final = "expression-pair.site.toml"
"""A calibration of this name in a folder of models is used in place of the shipped one."""
SITE_CALIBRATION_ALONE: Final = "face-api-expression.site.toml"
"""The same for the first network alone."""
_SIDE_PX: Final = 112
_SECOND_SIDE_PX: Final = 64
_BATCH: Final = 32
_GREY: Final = 128

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExpressionModel:
    """The expression network with its calibration head, and where present a second network.

    Attributes:
        labels: The first network's labels, in order.
        calibration: The head, or None for the first network's own probabilities summed by class.
        mirrored: Whether each face is also read mirrored, and both readings averaged.
        second: The network that reads beside the first, or None. Only the head joins the two.
        second_version: Its name, version and hash.
        second_labels: Its labels, in order.
    """

    name: str
    version: str
    sha256: str
    labels: tuple[str, ...]
    calibration: Calibration | None
    mirrored: bool
    session: ModelSession
    second: ModelSession | None = None
    second_version: tuple[str, str, str] | None = None
    second_labels: tuple[str, ...] = ()

    @classmethod
    def load(
        cls,
        file: ModelFile,
        calibration: Calibration | None,
        *,
        mirrored: bool = True,
        threads: int = 1,
        second: ModelFile | None = None,
    ) -> ExpressionModel:
        """Open the network of a verified file, and the second network if its file is given."""
        labels = checked_labels(file.card)
        session = open_session(file.path, threads=threads)
        beside = None if second is None else open_session(second.path, threads=threads)
        model = cls(
            *file.version_of(),
            labels,
            calibration,
            mirrored,
            session,
            beside,
            None if second is None else second.version_of(),
            () if second is None else checked_labels(second.card),
        )
        # A damaged network is found here, not at the first citizen.
        model.predict([np.full((_SIDE_PX, _SIDE_PX, 3), _GREY, np.uint8)])
        return model

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them.

        The version ends in the calibration's, which pins the hash of every network it was fitted
        for: it tells whether a second network read along.
        """
        version = self.version if self.calibration is None else f"{self.version}-{self.calibration.version}"
        return self.name, version, self.sha256

    def versions(self) -> tuple[tuple[str, str, str], ...]:
        """Return name, version and hash of every network that reads."""
        return (
            (self.version_of(),) if self.second_version is None else (self.version_of(), self.second_version)
        )

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
        return expressions(
            self.classes(logs),
            logs[:, : len(self.labels)],
            abstain_below=None if self.calibration is None else self.calibration.abstain_below,
        )

    def log_probabilities(self, faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Return log-probabilities averaged over mirrored readings, shape (n, labels).

        With a second network its labels' columns follow the first's.
        """
        parts = [np.zeros((0, len(self.labels) + len(self.second_labels)))]
        for start in range(0, len(faces), _BATCH):
            crops = [checked_image(face) for face in faces[start : start + _BATCH]]
            pictures = np.stack([_picture(crop) for crop in crops])
            logs = self._run(self.session, pictures, self.labels, self.name)
            if self.second is not None:
                grey = np.stack([_grey_picture(crop) for crop in crops])
                beside = self._run(self.second, grey, self.second_labels, SECOND_NAME)
                logs = np.concatenate([logs, beside], axis=1)
            parts.append(logs)
        return np.concatenate(parts)

    def classes(self, log_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities of negative, neutral, positive from log-probabilities, shape (n, 3)."""
        if self.calibration is not None:
            return self.calibration.apply(log_probabilities)
        return summed_by_class(log_probabilities[:, : len(self.labels)], self.labels)

    def _run(
        self, session: ModelSession, pictures: NDArray[np.float32], labels: tuple[str, ...], name: str
    ) -> NDArray[np.float64]:
        # Both readings in one run cost a little less than two runs.
        both = np.concatenate([pictures, pictures[:, :, ::-1]]) if self.mirrored else pictures
        logs = session.run({session.input_names[0]: both})[0]
        read = checked_logs(logs, len(both), labels, name)
        return (read[: len(pictures)] + read[len(pictures) :]) / 2 if self.mirrored else read


def _picture(face: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale a BGR crop to the first network's RGB input."""
    scaled = cv2.resize(face, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    return scaled[:, :, ::-1].astype(np.float32)


def _grey_picture(face: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale a BGR crop to the second network's grey input."""
    grey = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)
    scaled = cv2.resize(grey, (_SECOND_SIDE_PX, _SECOND_SIDE_PX), interpolation=cv2.INTER_AREA)
    return scaled[:, :, None].astype(np.float32)


def load_expression_model(
    registry: Registry,
    calibrated: bool = True,  # noqa: FBT001, FBT002 - the contract's signature
    *,
    mirrored: bool = True,
    threads: int = 1,
    second: bool | None = None,
) -> ExpressionModel:
    """Load the best expression model that is present, with its shipped calibration or without.

    Args:
        registry: Where the files are looked up.
        calibrated: Whether to use the shipped calibration.
        mirrored: Whether each face is also read mirrored.
        threads: Threads of each network.
        second: Whether the second network reads along. None: where it is present and
            `calibrated`, since only the calibration joins the two; its absence is logged.

    Raises:
        ModelFileMissing: The network was not prepared: run 'hailong models prepare'.
        ModelHashMismatch: A file is not the one the card describes.
        CalibrationError: The calibration, or the site's own in a folder of models, does not belong to
            the networks.
    """
    file = registry.locate(NAME)
    beside = _second(registry, demanded=second is True) if second or (second is None and calibrated) else None
    calibration = None
    leading = file if beside is None else beside
    link = leading.card.calibration
    if calibrated and link is not None:
        own = _site_calibration(registry, paired=beside is not None)
        calibration = read_calibration(
            shipped_calibration(link.file) if own is None else own,
            network_sha256=file.sha256,
            labels=file.card.labels + (() if beside is None else beside.card.labels),
            version=link.version if own is None else None,
            second_sha256=None if beside is None else beside.sha256,
        )
    return ExpressionModel.load(file, calibration, mirrored=mirrored, threads=threads, second=beside)


def _site_calibration(registry: Registry, *, paired: bool) -> Path | None:
    """Find the calibration that a site fitted for itself; its version stands in every signal."""
    for folder in registry.folders:
        path = folder / (SITE_CALIBRATION if paired else SITE_CALIBRATION_ALONE)
        if path.is_file():
            _log.info("expression is read with this site's own calibration: %s", path)
            return path
    return None


def _second(registry: Registry, *, demanded: bool) -> ModelFile | None:
    """Find the second network; where it is missing and not demanded, say so and go on without."""
    try:
        return registry.locate(SECOND_NAME)
    except (ModelFileMissing, UnknownModel) as missing:
        if demanded:
            raise
        _log.warning("expression is read by one network, less well than by two: %s", missing)
        return None
