"""Whether a mouth can be seen: a mask, a scarf or a hand before it leaves nothing to be read there.

No network tells: the expression head stays as sure behind a mask as before it, and covering the
mouth once more changes its answer as much behind a mask as on a bare face (both were measured).
So the picture is asked: by its five landmarks a face is laid into a patch of fixed places,
where a bare mouth is a dark line across and about as rich in edges as the eyes, and where the
jaw has the colour of the cheeks. Logarithms of light make this blind to shadows, dusk and skin.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.face_detectors import Landmarks

_NS: Final = 1_000_000_000
_POINTS: Final = 5
_SIDE_PX: Final = 64
_PLACES: Final = np.array(((20, 18), (44, 18), (32, 46)), np.float32)
"""Where both eyes and the middle of the mouth lie in the patch, (column, row)."""
_MIN_AREA: Final = 30.0
"""Smallest area of the triangle of these in the picture, square pixels: below it there is no face."""
_BEFORE_SHRINKING: Final = 0.45
_DARKEST: Final = 12.0
"""Added to grey before its logarithm: the noise of the dark does not count as contrast."""
_REACH_ROWS: Final = 5
_MOUTH_ROWS: Final = np.arange(42, 54)
_MOUTH_COLUMNS: Final = slice(25, 39)
_MOUTH: Final = (slice(42, 54), slice(20, 44))
_EYES: Final = (slice(12, 25), slice(12, 52))
_LEAST_LINE: Final = 0.01
_LEAST_EDGE: Final = 0.005
_SOBEL_GAIN: Final = 8.0
_UPPER: Final = (
    (slice(24, 32), slice(15, 22)),
    (slice(24, 32), slice(42, 49)),
    (slice(22, 30), slice(29, 35)),
    (slice(8, 14), slice(24, 40)),
)
"""Both cheeks, the bridge of the nose, the forehead."""
_LOWER: Final = (
    (slice(42, 54), slice(16, 23)),
    (slice(42, 54), slice(41, 48)),
    (slice(53, 59), slice(25, 39)),
)
"""Beside the mouth and the chin, without the lips."""
_NO_COLOUR: Final = 128.0
_LEAST_LIGHT: Final = 16.0


@dataclass(frozen=True, slots=True)
class MouthSight:
    """What can be seen where the mouth is.

    Attributes:
        structure: Contrast of the dark line across the mouth (natural logarithm of light) times the
            square of how rich in edges the mouth is beside the eyes; 0.03 to 0.4 for most bare
            mouths, below 0.012 for most masks.
        tint: How far the colour of the jaw lies from that of the cheeks, in shares of the light;
            0 in a grey picture.
    """

    structure: float
    tint: float


def mouth_sight(pixels: NDArray[np.uint8], landmarks: Landmarks) -> MouthSight | None:
    """Look at the place of the mouth.

    Args:
        pixels: BGR picture of the face, any size.
        landmarks: Five points (x, y) in pixels of it, as `Box.landmarks` orders them.

    Returns:
        What is seen there; None where the points are no face.
    """
    patch = _patch(pixels, landmarks)
    if patch is None:
        return None
    grey = np.asarray(cv2.cvtColor(patch, cv2.COLOR_BGR2GRAY), np.float32)
    light = np.log(np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), np.float32) + _DARKEST)
    profile = light[:, _MOUTH_COLUMNS].mean(axis=1)
    around = (profile[_MOUTH_ROWS - _REACH_ROWS] + profile[_MOUTH_ROWS + _REACH_ROWS]) / 2
    line = max(float((around - profile[_MOUTH_ROWS]).max()), _LEAST_LINE)
    edges = cv2.magnitude(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1))
    mouth, eyes = (float(edges[place].mean()) / _SOBEL_GAIN + _LEAST_EDGE for place in (_MOUTH, _EYES))
    return MouthSight(line * (mouth / eyes) ** 2, _tint(patch))


def _patch(pixels: NDArray[np.uint8], landmarks: Landmarks) -> NDArray[np.uint8] | None:
    """Lay a face into the patch, by its eyes and the middle of its mouth."""
    if len(landmarks) != _POINTS or not all(math.isfinite(value) for point in landmarks for value in point):
        return None
    points = np.array(landmarks, np.float32)
    seen = np.stack((points[0], points[1], (points[3] + points[4]) / 2))
    across, down = seen[1] - seen[0], seen[2] - seen[0]
    if abs(float(across[0] * down[1] - across[1] * down[0])) / 2 < _MIN_AREA:
        return None
    shrink = math.hypot(*across.tolist()) / float(_PLACES[1, 0] - _PLACES[0, 0])
    if shrink > 1.0:
        # What is finer than the patch would come out as noise of its own.
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), _BEFORE_SHRINKING * shrink), np.uint8)
    return np.asarray(
        cv2.warpAffine(
            pixels,
            cv2.getAffineTransform(seen, _PLACES),
            (_SIDE_PX, _SIDE_PX),
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )


def _tint(patch: NDArray[np.uint8]) -> float:
    light, red, blue = np.moveaxis(np.asarray(cv2.cvtColor(patch, cv2.COLOR_BGR2YCrCb), np.float32), 2, 0)
    shares = [(colour - _NO_COLOUR) / (light + _LEAST_LIGHT) for colour in (red, blue)]
    return math.hypot(*(_middle(share, _UPPER) - _middle(share, _LOWER) for share in shares))


def _middle(share: NDArray[np.float32], places: tuple[tuple[slice, slice], ...]) -> float:
    return float(np.median(np.concatenate([share[place].ravel() for place in places])))


class CoverHistory:
    """What was judged of one track lately: a mask stays on when a single picture looks bare.

    Args:
        span_s: How far back a judgement counts, seconds of capture time.
    """

    def __init__(self, span_s: float) -> None:
        """Start with nothing judged."""
        self._span_ns = round(span_s * _NS)
        self._track: int | None = None
        self._judged: deque[tuple[int, bool]] = deque()

    def take(self, track_id: int, now_ns: int, *, covered: bool) -> bool:
        """Add a judgement; tell whether the mouth counts as covered now.

        It does where this picture says so, or at least half of those of the span.
        """
        if track_id != self._track or (self._judged and now_ns < self._judged[-1][0]):
            self._judged.clear()
            self._track = track_id
        self._judged.append((now_ns, covered))
        while now_ns - self._judged[0][0] > self._span_ns:
            self._judged.popleft()
        return covered or 2 * sum(was for _, was in self._judged) >= len(self._judged)
