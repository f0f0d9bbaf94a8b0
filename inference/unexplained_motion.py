"""Motion that no covered person explains: somebody may be there whom the detector does not find."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.face_detectors import Box

_LOOK: Final = (64, 36)
"""Width and height at which pictures are compared."""


class MotionWatch:
    """Compares each picture of a stream with the one before.

    Args:
        step: Change of grey, 0 to 255, that counts as motion.
        share: Share of the picture that moves outside the covered people from which it counts.
    """

    def __init__(self, *, step: float, share: float) -> None:
        """Start without a picture."""
        self._step = step
        self._share = share
        self._before: NDArray[np.float32] | None = None

    def forget(self) -> None:
        """Forget the last picture: the next one belongs to another stream."""
        self._before = None

    def unexplained(self, image: NDArray[np.uint8], covered: Sequence[Box]) -> bool:
        """Tell whether something moved since the last picture where no covered person explains it.

        Args:
            image: BGR, uint8.
            covered: Grown boxes, pixels of the image.
        """
        height, width = image.shape[:2]
        small = cv2.resize(image, _LOOK, interpolation=cv2.INTER_AREA)
        look = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
        before, self._before = self._before, look
        if before is None:
            return False
        moving = np.abs(look - before) > self._step
        for box in covered:  # a face explains itself and the body below it
            size = box.width
            x1 = max(0, math.floor((box.x1 - size) / width * _LOOK[0]))
            x2 = max(0, math.ceil((box.x2 + size) / width * _LOOK[0]))
            y1 = max(0, math.floor(box.y1 / height * _LOOK[1]))
            moving[y1:, x1:x2] = False
        return float(moving.mean()) > self._share
