"""face-api's SSD: faces from six grids of anchors, without landmarks.

The published network demands 512 x 512. Its anchors are regular grids, so it also reads other
sizes, which costs what they cost; at 512 x 512 it gives what the original gives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.face_boxes import checked_image, fit_input, input_blob, scaled_boxes
from models.session import ModelSession, open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.face_boxes import Box
    from models.registry import ModelFile

NAME: Final = "face-api-ssd"
TRAINED_PX: Final = 512
"""Side of the picture that the anchors' shares refer to."""
_THRESHOLD: Final = 0.3
_LONGEST_PX: Final = 640
_OVERLAP: Final = 0.5
_FINEST_PX: Final = 16
_LEVELS: Final = 6
_THIRD: Final = 0.3333  # as in that library: the boxes were learned against it
_SMALLEST: Final = 0.2
_LARGEST: Final = 0.95


@dataclass(frozen=True, slots=True)
class FaceSsd:
    """face-api's SSD on MobileNet.

    Attributes:
        threshold: Smallest score that is reported.
        longest_px: The image's longer side is shrunk to this (never enlarged).
    """

    name: str
    version: str
    sha256: str
    threshold: float
    longest_px: int
    session: ModelSession

    @classmethod
    def load(
        cls,
        file: ModelFile,
        *,
        threshold: float | None = None,
        longest_px: int | None = None,
        threads: int = 1,
    ) -> FaceSsd:
        """Open the network of a verified file; what is None takes the measured default."""
        return cls(
            *file.version_of(),
            _THRESHOLD if threshold is None else threshold,
            _LONGEST_PX if longest_px is None else longest_px,
            open_session(file.path, threads=threads),
        )

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""
        return self.name, self.version, self.sha256

    def detect(self, image: NDArray[np.uint8]) -> tuple[Box, ...]:
        """Return the faces of a BGR image, best first; they carry no landmarks.

        Raises:
            InputError: The image is not uint8 BGR.
        """
        fit = fit_input(checked_image(image), self.longest_px, None)
        shifts, scores = self.session.run({self.session.input_names[0]: input_blob(image, fit)})
        sure = np.flatnonzero(scores[0] >= self.threshold)
        places = anchors(fit.width, fit.height)[sure]
        return scaled_boxes(
            decoded(shifts[0, sure], places), scores[0, sure], fit=fit, image=image, overlap=_OVERLAP
        )


def anchors(width: int, height: int) -> NDArray[np.float32]:
    """Lay the grids of anchors over a picture, in the order of the network's outputs.

    Source: the SSD paper's scales and aspect ratios with the reduced finest level of TensorFlow's
    object detection library; compared at set-up with the table that face-api publishes.

    Args:
        width: Of the network's input, in pixels.
        height: The same.

    Returns:
        Centre x, centre y, width and height in pixels, shape (n, 4).
    """
    levels = []
    for level in range(_LEVELS):
        step_px = _FINEST_PX << level
        rows, columns = math.ceil(height / step_px), math.ceil(width / step_px)
        sizes = _shapes(level) * TRAINED_PX
        grid = np.empty((rows, columns, len(sizes), 4), np.float64)
        grid[..., 0] = ((np.arange(columns) + 0.5) * step_px)[None, :, None]
        grid[..., 1] = ((np.arange(rows) + 0.5) * step_px)[:, None, None]
        grid[..., 2:] = sizes
        levels.append(grid.reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)


def _shapes(level: int) -> NDArray[np.float64]:
    """Return width and height of the anchors of one level, as shares of the trained picture."""
    scale = _scale(level)
    pairs = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
    if level:
        between = math.sqrt(scale * _scale(level + 1))
        pairs = [(scale, 1.0), (between, 1.0), (scale, 2.0), (scale, 0.5), (scale, 3.0), (scale, _THIRD)]
    return np.array([(share * math.sqrt(ratio), share / math.sqrt(ratio)) for share, ratio in pairs])


def _scale(level: int) -> float:
    return 1.0 if level == _LEVELS else _SMALLEST + (_LARGEST - _SMALLEST) * level / (_LEVELS - 1)


def decoded(shifts: NDArray[np.float32], places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move and stretch anchors by what the network says.

    Args:
        shifts: y, x, height and width of each, coded as in SSD (variances 0.1 and 0.2), shape (n, 4).
        places: Anchors as `anchors` gives them, shape (n, 4).

    Returns:
        Corners x1, y1, x2, y2 in pixels, shape (n, 4).
    """
    centres = places[:, :2] + shifts[:, 1::-1] / 10 * places[:, 2:]
    halves = np.exp(shifts[:, :1:-1] / 5) * places[:, 2:] / 2
    return np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)
