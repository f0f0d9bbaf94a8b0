"""Opaque paint over faces: nothing of what lies under it is left to sharpen or to match."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from inference.zones import Region, frame_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from models.face_detectors import Box

INK: Final = (48, 48, 48)
"""The one colour of every mask, BGR."""


def grown(box: Box, share: float) -> Box:
    """Return a box that reaches a share of its longer side further on every side."""
    more = share * max(box.width, box.height)
    return replace(box, x1=box.x1 - more, y1=box.y1 - more, x2=box.x2 + more, y2=box.y2 + more)


def region_of(box: Box, width: int, height: int) -> Region | None:
    """Return the whole pixels that a box touches in a picture of this size; None where it lies outside."""
    x1, y1 = max(0, math.floor(box.x1)), max(0, math.floor(box.y1))
    x2, y2 = min(width, math.ceil(box.x2)), min(height, math.ceil(box.y2))
    return Region(x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def mask_boxes(image: NDArray[np.uint8], boxes: Iterable[Box]) -> NDArray[np.uint8]:
    """Return a copy with each box painted over, rounded outwards."""
    height, width = frame_size(image)
    masked = image.copy()
    for box in boxes:
        region = region_of(box, width, height)
        if region is not None:
            masked[region.y1 : region.y2, region.x1 : region.x2] = INK
    return masked


def covered_whole(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture of the same size in which nothing is left."""
    return np.full_like(image, INK[0])


def painted(width: int, height: int, boxes: Iterable[Box]) -> NDArray[np.bool_]:
    """Return which pixels of a picture of this size masks over these boxes paint, shape (height, width)."""
    where = np.zeros((height, width), np.bool_)
    for box in boxes:
        region = region_of(box, width, height)
        if region is not None:
            where[region.y1 : region.y2, region.x1 : region.x2] = True
    return where
