"""Where the citizen's face is between two detections: the detected patch, found again nearby.

Normalised cross-correlation of a thumbnail costs a hundredth of a detection. The patch is
always the one of the last detection, so the box cannot drift; it dies with the next
detection, with the first poor match or after a bounded time. It is a grey thumbnail of one
face, lives in memory only, and exists only where more is read than detected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from inference.errors import SettingError
from models.face_detectors import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NS: Final = 1_000_000_000
_MIN_PX: Final = 8
"""A thumbnail with a shorter side than this matches anything."""
_MIN_CONTRAST: Final = 2.0
"""Standard deviation of grey below which a patch has nothing to be found by."""


@dataclass(frozen=True, slots=True)
class FollowConfig:
    """How a face is followed.

    Attributes:
        patch_px: Height of the thumbnail that is looked for, pixels.
        reach: How far the face may have moved since it was seen last, in heights of its box.
        min_match: Smallest normalised cross-correlation, -1 to 1, that is the same face.
        max_age_s: Seconds after a detection for which its face is followed, at most.
    """

    patch_px: int = 32
    reach: float = 0.35
    min_match: float = 0.8
    max_age_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse limits under which anything is followed, or nothing."""
        if self.patch_px < _MIN_PX:
            raise SettingError(
                f"patch_px is {self.patch_px}; it needs at least {_MIN_PX}. Use 32 if in doubt."
            )
        if not 0.0 < self.reach <= 1.0:
            raise SettingError(
                f"reach is {self.reach}; it must be above 0 and at most 1. Use 0.35 if in doubt."
            )
        if not 0.0 < self.min_match < 1.0:
            raise SettingError(f"min_match is {self.min_match}; it must lie between 0 and 1.")
        if not 0.0 < self.max_age_s <= 5.0:  # noqa: PLR2004 - whoever sits there may be another by then
            raise SettingError(f"max_age_s is {self.max_age_s}; it must be above 0 and at most 5 seconds.")


@dataclass(frozen=True, slots=True)
class _Anchor:
    """What a detection left to be found again; the thumbnail is the only pixels kept."""

    thumbnail: NDArray[np.uint8]
    place: _Place
    step: int
    detected_ns: int
    shape: tuple[int, int]
    box: Box


@dataclass(frozen=True, slots=True)
class _Place:
    """A part of a picture in whole pixels."""

    x1: int
    y1: int
    x2: int
    y2: int


class Follower:
    """Follows one face from its detection to the next one."""

    def __init__(self, config: FollowConfig | None = None) -> None:
        """Start with no face."""
        self._config = config or FollowConfig()
        self._anchor: _Anchor | None = None
        self._at = (0.0, 0.0)

    @property
    def following(self) -> bool:
        """Whether there is a face to follow."""
        return self._anchor is not None

    def clear(self) -> None:
        """Forget the face."""
        self._anchor = None

    def start(self, pixels: NDArray[np.uint8], box: Box, captured_ns: int) -> None:
        """Take the face of a detection; a face without contrast cannot be followed."""
        self.clear()
        step = max(1, round(box.height / self._config.patch_px))
        height, width = pixels.shape[:2]
        place = _Place(
            max(0, round(box.x1)),
            max(0, round(box.y1)),
            min(width, round(box.x2)),
            min(height, round(box.y2)),
        )
        thumbnail = _thumbnail(pixels, place, step)
        if min(thumbnail.shape) < _MIN_PX or thumbnail.std() < _MIN_CONTRAST:
            return
        self._anchor = _Anchor(thumbnail, place, step, captured_ns, (height, width), box)
        self._at = (place.x1, place.y1)

    def find(self, pixels: NDArray[np.uint8], captured_ns: int) -> Box | None:
        """Return where the face is now, with the size and score of its detection.

        None means that it is lost: nothing is found any more until the next `start`.
        """
        anchor = self._anchor
        if anchor is None:
            return None
        height, width = pixels.shape[:2]
        age_ns = captured_ns - anchor.detected_ns
        if not 0 <= age_ns <= self._config.max_age_s * _NS or (height, width) != anchor.shape:
            self.clear()
            return None
        reach = round(self._config.reach * anchor.box.height)
        x, y = round(self._at[0]), round(self._at[1])
        window = _Place(
            max(0, x - reach),
            max(0, y - reach),
            min(width, x + anchor.place.x2 - anchor.place.x1 + reach),
            min(height, y + anchor.place.y2 - anchor.place.y1 + reach),
        )
        found = self._peak(anchor, _thumbnail(pixels, window, anchor.step))
        if found is None:
            self.clear()
            return None
        self._at = (window.x1 + found[0] * anchor.step, window.y1 + found[1] * anchor.step)
        return _moved(anchor.box, self._at[0] - anchor.place.x1, self._at[1] - anchor.place.y1)

    def _peak(self, anchor: _Anchor, view: NDArray[np.uint8]) -> tuple[float, float] | None:
        """Return the column and row of the thumbnail in a view of its own scale; None if it is not there."""
        if any(seen < wanted for seen, wanted in zip(view.shape, anchor.thumbnail.shape, strict=True)):
            return None
        match = np.asarray(cv2.matchTemplate(view, anchor.thumbnail, cv2.TM_CCOEFF_NORMED), np.float32)
        _, best, _, (column, row) = cv2.minMaxLoc(match)
        if best < self._config.min_match:
            return None
        return column + _between(match[row], column), row + _between(match[:, column], row)


def _thumbnail(pixels: NDArray[np.uint8], place: _Place, step: int) -> NDArray[np.uint8]:
    """Return a part of a picture in grey, `step` times smaller; what is left over is dropped.

    Whole steps keep the scale of patch and view exactly equal.
    """
    columns, rows = max(0, place.x2 - place.x1) // step, max(0, place.y2 - place.y1) // step
    if columns < 1 or rows < 1:
        return np.zeros((0, 0), np.uint8)
    part = pixels[place.y1 : place.y1 + rows * step, place.x1 : place.x1 + columns * step]
    small = part if step == 1 else cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)


def _between(scores: NDArray[np.float32], best: int) -> float:
    """Return how far the peak of a parabola through three scores lies from the best one."""
    if not 0 < best < len(scores) - 1:
        return 0.0
    before, at, after = (float(score) for score in scores[best - 1 : best + 2])
    bend = before - 2 * at + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _moved(box: Box, across: float, down: float) -> Box:
    landmarks = box.landmarks and tuple((x + across, y + down) for x, y in box.landmarks)
    return Box(box.x1 + across, box.y1 + down, box.x2 + across, box.y2 + down, box.score, landmarks)
