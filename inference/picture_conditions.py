"""Pictures made worse on purpose, as cameras, links and citizens do it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DARKNESS: Final = 0.3
_NOISE: Final = 20.0
_BLUR_PX: Final = 2.0
_JPEG_QUALITY: Final = 20
_COVERED_SHARE: Final = 0.45
_COVER_BGR: Final = (190, 170, 150)


class Condition(StrEnum):
    """What was done to a picture."""

    DARK = "dark"
    """Every value times 0.3."""
    NOISE = "noise"
    """Gaussian noise of 20 grey levels in every value."""
    BLUR = "blur"
    """Gaussian blur of sigma 2 px."""
    JPEG = "jpeg"
    """JPEG of quality 20."""
    GREY = "grey"
    """No colour."""
    COVERED = "lower_face_covered"
    """The lower 45 % of every labelled face painted light blue: the place of a medical mask."""


def worsened(
    image: NDArray[np.uint8], condition: Condition, faces: NDArray[np.float64], seed: int
) -> NDArray[np.uint8]:
    """Return the picture under a condition.

    Args:
        image: BGR, uint8; it is not changed.
        condition: What to do.
        faces: Corners of the labelled faces in pixels of the image, shape (n, 4).
        seed: Of the noise.
    """
    match condition:
        case Condition.DARK:
            changed = np.rint(image * _DARKNESS)
        case Condition.NOISE:
            noise = np.random.default_rng(seed).normal(0.0, _NOISE, image.shape)
            changed = np.clip(np.rint(image + noise), 0, 255)
        case Condition.BLUR:
            changed = cv2.GaussianBlur(image, (0, 0), _BLUR_PX)
        case Condition.JPEG:
            _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            changed = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        case Condition.GREY:
            changed = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        case _:
            changed = image.copy()
            for x1, y1, x2, y2 in faces:
                top = y2 - _COVERED_SHARE * (y2 - y1)
                left, upper, right, lower = (max(0, round(float(edge))) for edge in (x1, top, x2, y2))
                changed[upper:lower, left:right] = _COVER_BGR
    return np.asarray(changed).astype(np.uint8)
