"""Boxes and landmarks of faces, and how pictures are laid into a detector's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import cv2
import numpy as np

from models.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRIDE: Final = 32
"""The detectors halve their input five times: sizes must be multiples of this."""

Landmarks: TypeAlias = tuple[tuple[float, float], ...]
"""Points of one face."""


@dataclass(frozen=True, slots=True)
class Box:
    """A face in an image.

    Attributes:
        x1: Left edge, pixels of the image given to the detector.
        y1: Upper edge.
        x2: Right edge.
        y2: Lower edge.
        score: The detector's own score, 0 to 1 (not a calibrated probability).
        landmarks: Five points (x, y) in pixels of that image: the eye on the picture's left, the eye
            on its right, the tip of the nose, the corner of the mouth on the left, the one on the
            right; None where the detector gives none.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    score: float
    landmarks: Landmarks | None = None

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y2 - self.y1


@dataclass(frozen=True, slots=True)
class Fit:
    """How an image was laid into a network's input: scaled evenly, filled to the right and below."""

    width: int
    height: int
    scale: float


def fit_input(image: NDArray[np.uint8], longest_px: int, fixed: tuple[int, int] | None) -> Fit:
    """Lay an image into a network's input.

    Args:
        image: Shape (height, width, 3).
        longest_px: Where the input's size is free, the longer side is shrunk to this (never enlarged).
        fixed: (width, height) the network demands, or None.
    """
    height, width = image.shape[:2]
    if fixed is not None:
        return Fit(fixed[0], fixed[1], min(fixed[0] / width, fixed[1] / height))
    scale = min(1.0, longest_px / max(height, width))
    scaled_w, scaled_h = max(1, round(width * scale)), max(1, round(height * scale))
    return Fit(-(-scaled_w // STRIDE) * STRIDE, -(-scaled_h // STRIDE) * STRIDE, scale)


def input_blob(image: NDArray[np.uint8], fit: Fit) -> NDArray[np.float32]:
    """Scale, fill with black and turn to float32 NCHW."""
    height, width = image.shape[:2]
    scaled_w = min(fit.width, max(1, round(width * fit.scale)))
    scaled_h = min(fit.height, max(1, round(height * fit.scale)))
    canvas = np.zeros((fit.height, fit.width, 3), np.float32)
    if (scaled_w, scaled_h) == (width, height):
        canvas[:scaled_h, :scaled_w] = image
    else:
        shrinking = fit.scale < 1.0
        canvas[:scaled_h, :scaled_w] = cv2.resize(
            image, (scaled_w, scaled_h), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        )
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])


def checked_image(image: object) -> NDArray[np.uint8]:
    """Return the image if it is uint8 BGR of shape (height, width, 3) with at least one pixel.

    Raises:
        InputError: It is anything else.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:  # noqa: PLR2004 - three axes, three colours
        shape, kind = getattr(image, "shape", None), getattr(image, "dtype", type(image).__name__)
        raise InputError(
            f"An image must be uint8 of shape (height, width, 3) in BGR order, not {kind} {shape}."
        )
    if image.shape[0] == 0 or image.shape[1] == 0:
        raise InputError("An image must have at least one pixel: check the seat zone and the crop.")
    return image


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32], overlap: float) -> list[int]:
    """Return the rows to keep, best first, after greedy non-maximum suppression."""
    order = np.argsort(-scores, kind="stable")
    areas = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        corner_1 = np.maximum(boxes[best, :2], boxes[rest, :2])
        corner_2 = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.prod(np.maximum(corner_2 - corner_1, 0), axis=1)
        union = areas[best] + areas[rest] - shared
        order = rest[shared <= overlap * np.maximum(union, 1e-6)]
    return kept


def scaled_boxes(
    corners: NDArray[np.float32],
    scores: NDArray[np.float32],
    *,
    fit: Fit,
    image: NDArray[np.uint8],
    overlap: float,
    landmarks: NDArray[np.float32] | None = None,
) -> tuple[Box, ...]:
    """Suppress doubles, scale back to the image and clip.

    Args:
        corners: (n, 4), in pixels of the network's input.
        scores: (n,).
        fit: How the image was laid into that input.
        image: The image.
        overlap: Largest intersection over union of two faces.
        landmarks: (n, 5, 2), in pixels of the input. They are not clipped: the eye of a face that
            the image cuts off may lie outside.

    Returns:
        Faces, best first. A box that is not finite or lies outside the image is left out.
    """
    sound = np.isfinite(corners).all(axis=1) & np.isfinite(scores)
    if landmarks is not None:
        sound &= np.isfinite(landmarks).all(axis=(1, 2))
        landmarks = landmarks[sound]
    corners, scores = corners[sound], scores[sound]
    height, width = image.shape[:2]
    found = []
    for row in suppress(corners, scores, overlap):
        x1, y1, x2, y2 = (float(value) / fit.scale for value in corners[row])
        x1, x2 = max(0.0, x1), min(float(width), x2)
        y1, y2 = max(0.0, y1), min(float(height), y2)
        if x2 > x1 and y2 > y1:
            points = None if landmarks is None else _scaled_points(landmarks[row], fit.scale)
            found.append(Box(x1, y1, x2, y2, min(1.0, float(scores[row])), points))
    return tuple(found)


def _scaled_points(points: NDArray[np.float32], scale: float) -> Landmarks:
    return tuple((float(x) / scale, float(y) / scale) for x, y in points)
