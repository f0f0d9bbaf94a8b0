"""Pictures without faces, for whatever a person or a file could see.

Faces are painted over with one opaque colour: nothing of them is left to sharpen or to
match, unlike blur. When in doubt the whole picture is painted over: before the first
detection, when the detector fails or is late, when it finds more faces than it should,
when something moves where no known face explains it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
import structlog

from inference.errors import SettingError
from inference.tracking import intersection_over_union
from inference.zones import frame_size
from models.face_detectors import Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from models.face_detectors import FaceDetector

_log = structlog.get_logger(__name__)
_NS: Final = 1_000_000_000
_INK: Final = (48, 48, 48)
_LOOK: Final = (64, 36)
"""Width and height at which pictures are compared for motion."""


class Doubt(StrEnum):
    """Why a whole picture was painted over."""

    NEVER_DETECTED = "never_detected"
    DETECTOR_LATE = "detector_late"
    DETECTOR_FAILED = "detector_failed"
    TOO_MANY_FACES = "too_many_faces"
    MOTION_WITHOUT_FACE = "motion_without_face"


@dataclass(frozen=True, slots=True)
class AnonymizerConfig:
    """How much is painted over.

    Attributes:
        grow: Share of the box's longer side added on every side: hair, ears, chin.
        grow_per_s: The same, more for every second since the face was found.
        hold_s: A face stays covered this long after it was found last.
        late_s: Time since the last detection from which nothing is believed.
        detect_hz: Detections in a second of capture time; above the frame rate, one a frame.
        max_faces: More faces than this are a crowd that one detector does not find in full.
        max_threshold: A detector that keeps back scores above this is refused. What is enough to
            measure a face is too little to hide one: a mask too many costs nothing.
        motion_step: Change of grey, 0 to 255, that counts as motion.
        motion_share: Share of the picture that moves outside the covered people from which it counts.
    """

    grow: float = 0.35
    grow_per_s: float = 0.5
    hold_s: float = 1.0
    late_s: float = 0.5
    detect_hz: float = 1000.0
    max_faces: int = 8
    max_threshold: float = 0.15
    motion_step: float = 18.0
    motion_share: float = 0.006

    def __post_init__(self) -> None:
        """Refuse what would uncover a face."""
        if self.grow < 0 or self.grow_per_s < 0 or self.hold_s < 0:
            raise SettingError("grow, grow_per_s and hold_s cannot be negative: masks only grow.")
        if not self.late_s * self.detect_hz >= 1.0:
            raise SettingError(
                f"With detect_hz {self.detect_hz} a detection is older than late_s ({self.late_s} s) before "
                "the next is due, and every picture would be covered. Raise one of them."
            )


@dataclass(frozen=True, slots=True)
class _Held:
    box: Box
    seen_ns: int


class Anonymizer:
    """Covers the faces of one stream of pictures.

    Args:
        detector: Runs on the whole picture, not on the seat alone, with a low threshold.
        config: How much is painted over.

    Raises:
        SettingError: The detector keeps back faces that it is not sure of.
    """

    def __init__(self, detector: FaceDetector, config: AnonymizerConfig | None = None) -> None:
        """Start without a detection: the first picture is believed only after one."""
        self._detector = detector
        self._config = config or AnonymizerConfig()
        if detector.threshold > self._config.max_threshold:
            raise SettingError(
                f"The detector {detector.name} reports faces from a score of {detector.threshold:g}, and "
                f"masks need less certain ones too. Load it with threshold={self._config.max_threshold:g}."
            )
        self._held: list[_Held] = []
        self._detected_ns: int | None = None
        self._failed = False
        self._look: NDArray[np.float32] | None = None
        self._crowded = False
        self._moved_ns: int | None = None
        self._doubt: Doubt | None = Doubt.NEVER_DETECTED

    @property
    def doubt(self) -> Doubt | None:
        """Why the last picture was painted over as a whole; None when it was not."""
        return self._doubt

    def anonymize(self, image: NDArray[np.uint8], captured_ns: int) -> NDArray[np.uint8]:
        """Return a copy of a picture in which nobody can be recognised.

        Args:
            image: BGR, uint8.
            captured_ns: Its capture time.

        Raises:
            FrameError: The picture is not uint8 BGR.
        """
        frame_size(image)
        if self._detected_ns is not None and captured_ns < self._detected_ns:
            self._held, self._detected_ns, self._look = [], None, None  # the clock jumped: start again
        if self._due(captured_ns):
            self._detect(image, captured_ns)
        covered = self._covered(captured_ns)
        moved = self._motion(image, covered)
        self._doubt = self._doubts(captured_ns, moved=moved)
        if self._doubt is not None:
            return np.full_like(image, _INK[0])
        return mask_boxes(image, covered)

    def _due(self, now_ns: int) -> bool:
        period_ns = _NS / self._config.detect_hz
        return self._detected_ns is None or self._failed or now_ns - self._detected_ns >= period_ns - 500_000

    def _detect(self, image: NDArray[np.uint8], now_ns: int) -> None:
        try:
            boxes = self._detector.detect(image)
        except Exception:  # noqa: BLE001 - whatever a detector fails with, the picture is covered
            if not self._failed:
                _log.exception("anonymizer_detector_failed")
            self._failed = True
            return
        self._failed = False
        self._detected_ns = now_ns
        self._crowded = len(boxes) > self._config.max_faces
        limit_ns = now_ns - int(self._config.hold_s * _NS)
        # An old place stays covered beside the new one, unless the new box lies on it.
        missed = [
            held
            for held in self._held
            if held.seen_ns >= limit_ns and all(intersection_over_union(held.box, box) < 0.5 for box in boxes)  # noqa: PLR2004 - half shared is the same place
        ]
        kept = max(0, 4 * self._config.max_faces - len(boxes))
        self._held = [_Held(box, now_ns) for box in boxes] + missed[:kept]

    def _covered(self, now_ns: int) -> list[Box]:
        return [
            grown(
                held.box,
                self._config.grow + self._config.grow_per_s * (now_ns - held.seen_ns) / _NS,
            )
            for held in self._held
            if now_ns - held.seen_ns <= self._config.hold_s * _NS
        ]

    def _motion(self, image: NDArray[np.uint8], covered: Sequence[Box]) -> bool:
        """Tell whether something moved where no covered person explains it."""
        height, width = image.shape[:2]
        small = cv2.resize(image, _LOOK, interpolation=cv2.INTER_AREA)
        look = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
        before, self._look = self._look, look
        if before is None:
            return False
        moving = np.abs(look - before) > self._config.motion_step
        for box in covered:  # a face explains itself and the body below it
            size = box.width
            x1 = max(0, math.floor((box.x1 - size) / width * _LOOK[0]))
            x2 = max(0, math.ceil((box.x2 + size) / width * _LOOK[0]))
            y1 = max(0, math.floor(box.y1 / height * _LOOK[1]))
            moving[y1:, x1:x2] = False
        return float(moving.mean()) > self._config.motion_share

    def _doubts(self, now_ns: int, *, moved: bool) -> Doubt | None:
        if moved:
            self._moved_ns = now_ns
        if self._failed:
            return Doubt.DETECTOR_FAILED
        if self._detected_ns is None:
            return Doubt.NEVER_DETECTED
        if now_ns - self._detected_ns > self._config.late_s * _NS:
            return Doubt.DETECTOR_LATE
        if self._crowded:
            return Doubt.TOO_MANY_FACES
        if self._moved_ns is not None and 0 <= now_ns - self._moved_ns <= self._config.late_s * _NS:
            return Doubt.MOTION_WITHOUT_FACE
        return None


def grown(box: Box, share: float) -> Box:
    """Return a box that reaches a share of its longer side further on every side."""
    more = share * max(box.width, box.height)
    return Box(box.x1 - more, box.y1 - more, box.x2 + more, box.y2 + more, box.score)


def mask_boxes(image: NDArray[np.uint8], boxes: Iterable[Box]) -> NDArray[np.uint8]:
    """Return a copy with each box painted over, rounded outwards."""
    height, width = frame_size(image)
    masked = image.copy()
    for box in boxes:
        x1, y1 = max(0, math.floor(box.x1)), max(0, math.floor(box.y1))
        x2, y2 = min(width, math.ceil(box.x2)), min(height, math.ceil(box.y2))
        if x2 > x1 and y2 > y1:
            masked[y1:y2, x1:x2] = _INK
    return masked
