"""Hard conditions laid over face crops: small, dark, bright, blurred, half covered.

They are simulated on pictures of people in good conditions. A real mask, a real dusk and a real
distance differ; glasses cannot be simulated at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

HEIGHTS_PX: Final = (64, 48, 32, 24)
"""Heights of a face that are measured, where the pack's own faces are larger."""
_DARK: Final = 0.25
_BRIGHT: Final = 1.8
_BLUR: Final = 1 / 24
_MASK_FROM: Final = 0.55
_CLOTH: Final = 205
_WHITE: Final = 255


@dataclass(frozen=True, slots=True)
class Condition:
    """One way in which a face is seen badly.

    Attributes:
        name: Its key in the figures.
        apply: Makes the picture from a BGR crop.
        height_px: For a size: faces of at most this height are left out, since nothing would change.
    """

    name: str
    apply: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    height_px: int | None = None

    def fits(self, crop: NDArray[np.uint8]) -> bool:
        """Tell whether the condition changes this crop."""
        return self.height_px is None or crop.shape[0] > self.height_px


def conditions() -> tuple[Condition, ...]:
    """Return every condition, in the order in which figures are shown."""
    sizes = tuple(Condition(f"height_{px}_px", _to_height(px), px) for px in HEIGHTS_PX)
    return (
        *sizes,
        Condition("dark", dark),
        Condition("bright", bright),
        Condition("blurred", blurred),
        Condition("mouth_covered", mouth_covered),
        Condition("left_half_covered", half_covered),
    )


def shrunk(crop: NDArray[np.uint8], height_px: int) -> NDArray[np.uint8]:
    """Return a crop at a smaller height, as a face further from the camera."""
    width = max(1, round(crop.shape[1] * height_px / crop.shape[0]))
    return np.asarray(cv2.resize(crop, (width, height_px), interpolation=cv2.INTER_AREA), np.uint8)


def dark(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a crop with a quarter of its light."""
    return (crop * _DARK).astype(np.uint8)


def bright(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a crop with 1.8 times its light; what is too bright becomes white."""
    return np.asarray(np.minimum(crop * _BRIGHT, _WHITE), np.uint8)


def blurred(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a crop out of focus: Gaussian, its sigma a 24th of the width."""
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), max(0.5, crop.shape[1] * _BLUR)), np.uint8)


def mouth_covered(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a crop whose lower 45 % are one light colour, as behind a medical mask."""
    covered = crop.copy()
    covered[int(crop.shape[0] * _MASK_FROM) :] = _CLOTH
    return covered


def half_covered(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a crop whose left half is one light colour, as behind a hand or a pillar."""
    covered = crop.copy()
    covered[:, : crop.shape[1] // 2] = _CLOTH
    return covered


def _to_height(height_px: int) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    return lambda crop: shrunk(crop, height_px)
