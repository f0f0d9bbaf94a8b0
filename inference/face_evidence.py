"""Permitted frames in, the citizen's expression over time out.

Only the face in the citizen's seat is read. Masks are burned in first; the detector
sees the seat and a margin around it; the expression network sees one face alone, and
nobody's while a second face is in the seat. Frames are never kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

import cv2

from inference.errors import SettingError
from inference.face_quality import GateConfig, Rejection, crop_face, reject
from inference.tracking import FaceTracker, Track, TrackingConfig
from inference.zones import SeatZone, frame_size
from models.face_detectors import Box

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from consent.gate import Permitted
    from inference.media import Frame
    from models.expression import Expression
    from models.face_detectors import FaceDetector

_NS: Final = 1_000_000_000
_TRACKS_KEPT: Final = 64
_MIN_MOMENTS: Final = 16


class ExpressionReader(Protocol):
    """Anything that reads the expression of face crops."""

    def predict(self, faces: Sequence[NDArray[np.uint8]]) -> tuple[Expression, ...]:
        """Return one expression a crop, in order."""


@dataclass(frozen=True, slots=True)
class FaceConfig:
    """How faces are read.

    Attributes:
        detect_hz: Detections in a second of capture time, at most.
        read_hz: Readings of the expression in a second, at most; each follows a detection.
        detect_px: The longer side of what the detector sees, at most.
        second_face_height: A face in the seat at least this share of the largest one's height
            is a second person at the seat; a smaller one is somebody behind.
        seated_height: A face smaller than this share of the citizen's usual height is not the citizen.
        max_moments: Readings kept; beyond it neighbours are averaged, so memory stays bounded.
        gates: When a face is readable.
        tracking: When two boxes are one face.
    """

    detect_hz: float = 4.0
    read_hz: float = 4.0
    detect_px: int = 320
    second_face_height: float = 0.4
    seated_height: float = 0.6
    max_moments: int = 2048
    gates: GateConfig = field(default_factory=GateConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        """Refuse rates that cannot work."""
        if not 0.0 < self.read_hz <= self.detect_hz:
            raise SettingError(
                f"read_hz ({self.read_hz}) must be above 0 and at most detect_hz ({self.detect_hz}): "
                "an expression is read on a fresh detection only."
            )
        if self.max_moments < _MIN_MOMENTS:
            raise SettingError(f"max_moments is {self.max_moments}; it needs at least {_MIN_MOMENTS}.")


@dataclass(frozen=True, slots=True)
class FaceMoment:
    """One reading of the citizen's face, or the mean of neighbouring ones.

    Attributes:
        captured_ns: Capture time.
        valence: Probability of a positive less that of a negative expression, -1 to 1.
        confidence: Probability of the likeliest class, 0 to 1.
    """

    captured_ns: int
    valence: float
    confidence: float


@dataclass(frozen=True, slots=True)
class FaceEvidence:
    """What the faces of one session gave; nothing in it tells who they were.

    Attributes:
        moments: Readings of the citizen's face, in order of capture.
        face_s: Seconds in which that face passed the gates.
        frames: Frames seen.
        detections: Times the detector ran.
        faces_in_zone_max: Most faces at the seat at once.
        second_face_s: Longest unbroken stretch with a second face at the seat, seconds.
        expression_calls: Faces shown to the expression network.
        calls_by_track: The same by track, the latest tracks only; a bystander's stays 0.
        rejections: Faces at the seat that were not read, by reason.
    """

    moments: tuple[FaceMoment, ...] = ()
    face_s: float = 0.0
    frames: int = 0
    detections: int = 0
    faces_in_zone_max: int = 0
    second_face_s: float = 0.0
    expression_calls: int = 0
    calls_by_track: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    rejections: Mapping[Rejection, int] = field(default_factory=lambda: MappingProxyType({}))


class _Moments:
    """Readings in bounded memory: when full, neighbours become one and later ones are paired alike."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[FaceMoment] = []
        self._open: list[FaceMoment] = []
        self._each = 1

    def add(self, moment: FaceMoment) -> None:
        self._open.append(moment)
        if len(self._open) < self._each:
            return
        self._kept.append(_mean(self._open))
        self._open = []
        if len(self._kept) >= self._limit:
            pairs = zip(self._kept[::2], self._kept[1::2], strict=False)
            odd = self._kept[-1:] if len(self._kept) % 2 else []
            self._kept = [_mean(pair) for pair in pairs] + odd
            self._each *= 2

    def all(self) -> tuple[FaceMoment, ...]:
        return (*self._kept, _mean(self._open)) if self._open else tuple(self._kept)


def _mean(moments: Sequence[FaceMoment]) -> FaceMoment:
    count = len(moments)
    return FaceMoment(
        sum(moment.captured_ns for moment in moments) // count,
        sum(moment.valence for moment in moments) / count,
        sum(moment.confidence for moment in moments) / count,
    )


class FaceReader:
    """Reads the citizen's face in one session.

    Args:
        detector: Finds faces.
        expression: Reads the expression of a face.
        zone: The citizen's seat and the privacy masks.
        config: Rates and limits.
    """

    def __init__(
        self,
        detector: FaceDetector,
        expression: ExpressionReader,
        zone: SeatZone,
        config: FaceConfig | None = None,
    ) -> None:
        """Start with nothing seen."""
        self._detector = detector
        self._expression = expression
        self._zone = zone
        self._config = config or FaceConfig()
        self._reset()

    def _reset(self) -> None:
        self._tracker = FaceTracker(self._config.tracking)
        self._moments = _Moments(self._config.max_moments)
        self._calls: dict[int, int] = {}
        self._rejections: Counter[Rejection] = Counter()
        self._frames = self._detections = self._expression_calls = self._faces_max = 0
        self._face_s = self._second_s = 0.0
        self._segment = 0
        self._detected_ns: int | None = None
        self._read_ns: int | None = None
        self._second_since_ns: int | None = None
        self._second_seen_ns = 0
        self._seated: int | None = None
        self._usual_px: float | None = None

    @property
    def second_face_s(self) -> float:
        """Longest unbroken stretch with a second face at the seat so far, seconds."""
        return self._second_s

    def see(self, frame: Permitted[Frame]) -> None:
        """Take the next permitted frame; most are dropped unread, at the configured rates.

        Raises:
            NotPermitted: The lease ended meanwhile.
            FrameError: The frame is not uint8 BGR.
        """
        picture = frame.open()
        height, width = frame_size(picture.pixels)
        self._frames += 1
        now = picture.captured_ns
        if picture.segment != self._segment or (self._detected_ns is not None and now < self._detected_ns):
            self._break(picture.segment)
        if not _due(self._detected_ns, now, self._config.detect_hz):
            return
        pixels = self._zone.burn(picture.pixels)
        tracks = self._tracker.update(self._find(pixels), now)
        self._detections += 1
        present = [track for track in tracks if self._zone.holds(track.box, width, height)]
        citizen = self._citizen(tracks, present, now)
        if citizen is not None and _due(self._read_ns, now, self._config.read_hz):
            self._read(pixels, citizen, now)
        self._detected_ns = now

    def evidence(self) -> FaceEvidence:
        """Return what was read so far."""
        return FaceEvidence(
            moments=self._moments.all(),
            face_s=self._face_s,
            frames=self._frames,
            detections=self._detections,
            faces_in_zone_max=self._faces_max,
            second_face_s=self._second_s,
            expression_calls=self._expression_calls,
            calls_by_track=MappingProxyType(dict(self._calls)),
            rejections=MappingProxyType(dict(self._rejections)),
        )

    def purge(self) -> None:
        """Drop all evidence; the reader is as new."""
        self._reset()

    def _break(self, segment: int) -> None:
        """Let nothing reach across a hole in the time line."""
        self._segment = segment
        self._tracker.clear()
        self._detected_ns = self._read_ns = self._second_since_ns = self._seated = None

    def _find(self, pixels: NDArray[np.uint8]) -> list[Box]:
        """Detect in the seat and its margin, scaled down; return boxes in pixels of the frame."""
        height, width = pixels.shape[:2]
        region = self._zone.region(width, height)
        part = pixels[region.y1 : region.y2, region.x1 : region.x2]
        scale = min(1.0, self._config.detect_px / max(part.shape[:2]))
        if scale < 1.0:
            size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
            shrunk = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
            part = shrunk  # type: ignore[assignment]  # uint8 in, uint8 out, which the stub does not say
        across, down = (region.x2 - region.x1) / part.shape[1], (region.y2 - region.y1) / part.shape[0]
        return [
            Box(
                box.x1 * across + region.x1,
                box.y1 * down + region.y1,
                box.x2 * across + region.x1,
                box.y2 * down + region.y1,
                box.score,
                box.landmarks
                and tuple((x * across + region.x1, y * down + region.y1) for x, y in box.landmarks),
            )
            for box in self._detector.detect(part)
        ]

    def _citizen(self, tracks: Sequence[Track], present: Sequence[Track], now: int) -> Track | None:
        """Return the one face that may be read now; None when there is none or doubt."""
        for track in tracks:
            self._calls.setdefault(track.track_id, 0)
        while len(self._calls) > _TRACKS_KEPT:
            del self._calls[next(iter(self._calls))]
        if not present:
            self._count_second(counted=False, now=now)
            return None
        largest = max(present, key=lambda track: track.box.height)
        near = [
            track
            for track in present
            if track.box.height >= self._config.second_face_height * largest.box.height
        ]
        self._faces_max = max(self._faces_max, len(near))
        self._count_second(counted=len(near) > 1, now=now)
        if len(near) > 1:
            return None
        height_px = largest.box.height
        if largest.track_id != self._seated:
            if self._usual_px is not None and height_px < self._config.seated_height * self._usual_px:
                return None  # somebody behind an empty chair
            self._seated = largest.track_id
        # A slow mean: the citizen may lean back, a smaller stranger may not creep in.
        self._usual_px = height_px if self._usual_px is None else 0.95 * self._usual_px + 0.05 * height_px
        return largest

    def _count_second(self, *, counted: bool, now: int) -> None:
        """Measure the stretch with a second face; one detection without it ends nothing."""
        if counted:
            if self._second_since_ns is None:
                self._second_since_ns = now
            self._second_s = max(self._second_s, (now - self._second_since_ns) / _NS)
            self._second_seen_ns = now
        elif self._second_since_ns is not None and now - self._second_seen_ns > _NS:
            self._second_since_ns = None

    def _read(self, pixels: NDArray[np.uint8], track: Track, now: int) -> None:
        crop = crop_face(pixels, track.box)
        reason = Rejection.CUT_OFF if crop is None else reject(crop, track.box, self._config.gates)
        if crop is None or reason is not None:
            self._rejections[reason or Rejection.CUT_OFF] += 1
            self._read_ns = None
            return
        self._expression_calls += 1
        self._calls[track.track_id] += 1
        (expression,) = self._expression.predict([crop.pixels])
        usual_s = 1.0 / self._config.read_hz
        since_s = usual_s if self._read_ns is None else (now - self._read_ns) / _NS
        self._face_s += min(since_s, 2 * usual_s)
        self._read_ns = now
        self._moments.add(FaceMoment(now, expression.valence, expression.confidence))


def _due(last_ns: int | None, now_ns: int, rate_hz: float) -> bool:
    """Tell whether a rate allows the next one; half a millisecond early is on time."""
    return last_ns is None or now_ns - last_ns >= _NS / rate_hz - 500_000
