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
from typing import TYPE_CHECKING, Final, Literal, Self

import structlog

from inference.errors import SettingError
from inference.face_search import joined
from inference.landmark_drawing import draw_faces
from inference.masks import covered_whole, grown, mask_boxes
from inference.tracking import intersection_over_union
from inference.unexplained_motion import MotionWatch
from inference.zones import frame_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from inference.face_search import FaceSearches
    from inference.zones import SeatZone
    from models.face_detectors import Box, FaceDetector

_log = structlog.get_logger(__name__)
_NS: Final = 1_000_000_000


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
        style: `mask` for the bare mask, `drawing` for a plain face on it that shows how the head is
            turned and is the same for everybody.
        closer_hz: How often in a second of capture time the closer look is taken, where there is one.
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
    style: Literal["mask", "drawing"] = "mask"
    closer_hz: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what would uncover a face."""
        if self.grow < 0 or self.grow_per_s < 0 or self.hold_s < 0:
            raise SettingError("grow, grow_per_s and hold_s cannot be negative: masks only grow.")
        if not self.late_s * self.detect_hz >= 1.0:
            raise SettingError(
                f"With detect_hz {self.detect_hz} a detection is older than late_s ({self.late_s} s) before "
                "the next is due, and every picture would be covered. Raise one of them."
            )
        if self.style not in {"mask", "drawing"}:
            raise SettingError(f"There is no style '{self.style}': take 'mask' or 'drawing'.")
        if not self.hold_s * self.closer_hz >= 1.0:
            raise SettingError(
                f"With closer_hz {self.closer_hz} a face that only the closer look finds is uncovered after "
                f"hold_s ({self.hold_s} s), before the next look. Raise one of them."
            )


@dataclass(frozen=True, slots=True)
class Cover:
    """What has to be painted over in one picture.

    Attributes:
        boxes: Grown boxes.
        faces: The faces of the newest detection, as they were found.
        doubt: Why the whole picture has to be; None where the boxes are enough.
    """

    boxes: tuple[Box, ...]
    faces: tuple[Box, ...]
    doubt: Doubt | None


@dataclass(frozen=True, slots=True)
class _Held:
    box: Box
    seen_ns: int


class Anonymizer:
    """Covers the faces of one stream of pictures.

    The product makes it by `of`, from all looks that masks take; a single detector misses more faces.

    Args:
        detector: Runs on the whole picture, not on the seat alone, with a low threshold.
        config: How much is painted over.
        zone: Its privacy masks are painted before anything reads the picture.
        closer: Looks more closely, at the first picture and `closer_hz` times a second.

    Raises:
        SettingError: A detector keeps back faces that it is not sure of.
    """

    def __init__(
        self,
        detector: FaceDetector,
        config: AnonymizerConfig | None = None,
        *,
        zone: SeatZone | None = None,
        closer: FaceDetector | None = None,
    ) -> None:
        """Start without a detection: the first picture is believed only after one."""
        self._detector = detector
        self._closer = closer
        self._config = config or AnonymizerConfig()
        for one in (detector,) if closer is None else (detector, closer):
            if one.threshold > self._config.max_threshold:
                raise SettingError(
                    f"The detector {one.name} reports faces from a score of {one.threshold:g}, and "
                    "masks need less certain ones too. Load it with "
                    f"threshold={self._config.max_threshold:g}."
                )
        self._zone = zone
        self._size: tuple[int, int] | None = None
        self._held: list[_Held] = []
        self._detected_ns: int | None = None
        self._closer_ns: int | None = None
        self._failed = False
        self._motion = MotionWatch(step=self._config.motion_step, share=self._config.motion_share)
        self._crowded = False
        self._moved_ns: int | None = None
        self._doubt: Doubt | None = Doubt.NEVER_DETECTED

    @classmethod
    def of(
        cls, searches: FaceSearches, config: AnonymizerConfig | None = None, *, zone: SeatZone | None = None
    ) -> Self:
        """Return one that takes every look there is for masks.

        Args:
            searches: What looks, as `load_face_searches` gives it.
            config: How much is painted over.
            zone: As for the class.

        Raises:
            SettingError: A detector keeps back faces that it is not sure of.
        """
        return cls(searches.always, config, zone=zone, closer=searches.closer)

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
        return self.paint(image, self.cover(image, captured_ns))

    def cover(self, image: NDArray[np.uint8], captured_ns: int) -> Cover:
        """Tell what has to be painted over in the next picture of the stream.

        Args:
            image: BGR, uint8.
            captured_ns: Its capture time.

        Raises:
            FrameError: The picture is not uint8 BGR.
        """
        size = frame_size(image)
        if self._zone is not None:
            image = self._zone.burn(image)
        jumped = self._detected_ns is not None and captured_ns < self._detected_ns
        if jumped or size != self._size:  # places and times of before mean nothing now: start again
            self._size, self._held, self._detected_ns, self._closer_ns = size, [], None, None
            self._crowded, self._moved_ns = False, None
            self._motion.forget()
        if self._due(captured_ns):
            self._detect(image, captured_ns)
        boxes = self._covered(captured_ns)
        if self._motion.unexplained(image, boxes):
            self._moved_ns = captured_ns
        self._doubt = self._doubts(captured_ns)
        faces = tuple(held.box for held in self._held if held.seen_ns == self._detected_ns)
        return Cover(tuple(boxes), faces, self._doubt)

    def paint(self, image: NDArray[np.uint8], cover: Cover) -> NDArray[np.uint8]:
        """Return a copy of a picture with what a cover names painted over, privacy masks too.

        Raises:
            FrameError: The picture is not uint8 BGR.
        """
        frame_size(image)
        if cover.doubt is not None:
            return covered_whole(image)
        masked = mask_boxes(image if self._zone is None else self._zone.burn(image), cover.boxes)
        return draw_faces(masked, cover.faces) if self._config.style == "drawing" else masked

    def _due(self, now_ns: int) -> bool:
        period_ns = _NS / self._config.detect_hz
        return self._detected_ns is None or self._failed or now_ns - self._detected_ns >= period_ns - 500_000

    def _find(self, image: NDArray[np.uint8], now_ns: int) -> tuple[Box, ...]:
        boxes = self._detector.detect(image)
        if self._closer is not None and (
            self._closer_ns is None or now_ns - self._closer_ns >= _NS / self._config.closer_hz - 500_000
        ):
            boxes = joined([*boxes, *self._closer.detect(image)])
            self._closer_ns = now_ns
        for box in boxes:
            if (
                not all(map(math.isfinite, (box.x1, box.y1, box.x2, box.y2)))
                or box.x2 < box.x1
                or box.y2 < box.y1
            ):
                raise ValueError(f"{self._detector.name} found a face without a place: {box}.")
        return boxes

    def _detect(self, image: NDArray[np.uint8], now_ns: int) -> None:
        try:
            boxes = self._find(image, now_ns)
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

    def _doubts(self, now_ns: int) -> Doubt | None:
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
