"""Permitted frames in, the citizen's expression over time out.

Only the face in the citizen's seat is read. Masks are burned in first; the detector
sees the seat and a margin around it; the expression network sees one face alone, and
nobody's while a second face is in the seat. Frames are never kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

import cv2

from inference.errors import SettingError
from inference.face_moments import FaceEvidence, FaceMoment, Glance, Moments
from inference.face_quality import GateConfig, Rejection, crop_face, reject
from inference.following import FollowConfig, Follower
from inference.seat import Seat, SeatConfig
from inference.tracking import FaceTracker, Track, TrackingConfig
from inference.zones import SeatZone, frame_size
from models.face_detectors import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from consent.gate import Permitted
    from inference.media import Frame
    from models.expression import Expression
    from models.face_detectors import FaceDetector

_NS: Final = 1_000_000_000
_MAX_HZ: Final = 120.0
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
        read_hz: Readings of the expression in a second, at most. Above `detect_hz` the citizen's
            face is followed between detections.
        detect_px: The longer side of what the detector sees, at most.
        max_moments: Readings kept; beyond it neighbours are averaged, so memory stays bounded.
        gates: When a face is readable.
        seat: Who is the citizen, and when a second face ends the reading.
        tracking: When two boxes are one face.
        following: How a face is followed between detections.
    """

    detect_hz: float = 4.0
    read_hz: float = 4.0
    detect_px: int = 320
    max_moments: int = 2048
    gates: GateConfig = field(default_factory=GateConfig)
    seat: SeatConfig = field(default_factory=SeatConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    following: FollowConfig = field(default_factory=FollowConfig)

    def __post_init__(self) -> None:
        """Refuse rates that cannot work."""
        for name, rate_hz in (("detect_hz", self.detect_hz), ("read_hz", self.read_hz)):
            if not 0.0 < rate_hz <= _MAX_HZ:
                raise SettingError(f"{name} is {rate_hz}; it must be above 0 and at most {_MAX_HZ} a second.")
        if self.max_moments < _MIN_MOMENTS:
            raise SettingError(f"max_moments is {self.max_moments}; it needs at least {_MIN_MOMENTS}.")


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
        self._seat = Seat(self._config.seat)
        self._follower = Follower(self._config.following)
        self._moments = Moments(self._config.max_moments)
        self._calls: dict[int, int] = {}
        self._rejections: Counter[Rejection] = Counter()
        self._citizen: Track | None = None
        self._frames = self._detections = self._followed = self._expression_calls = 0
        self._face_s = 0.0
        self._segment = 0
        self._detected_ns: int | None = None
        self._shown_ns: int | None = None
        self._read_ns: int | None = None
        self._glance: Glance | None = None

    @property
    def second_face_s(self) -> float:
        """Longest unbroken stretch with a second face at the seat so far, seconds."""
        return self._seat.second_face_s

    @property
    def accompanied(self) -> bool:
        """Whether a second face was at the seat for a sustained stretch: nothing is read from then on."""
        return self._seat.sustained

    @property
    def glance(self) -> Glance | None:
        """What the last detection saw; None before the first."""
        return self._glance

    def see(self, frame: Permitted[Frame]) -> None:
        """Take the next permitted frame; most are dropped unread, at the configured rates.

        Raises:
            NotPermitted: The lease ended meanwhile.
            FrameError: The frame is not uint8 BGR.
        """
        picture = frame.open()
        frame_size(picture.pixels)
        self._frames += 1
        if self._seat.sustained:
            return
        now = picture.captured_ns
        if picture.segment != self._segment or (self._detected_ns is not None and now < self._detected_ns):
            self._break(picture.segment)
        detecting = _due(self._detected_ns, now, self._config.detect_hz)
        reading = _due(self._shown_ns, now, self._config.read_hz)
        if detecting:
            self._detect(self._zone.burn(picture.pixels), now, reading=reading)
        elif reading and self._follower.following:
            self._follow(self._zone.burn(picture.pixels), now)

    def _detect(self, pixels: NDArray[np.uint8], now: int, *, reading: bool) -> None:
        """Look for faces; read the citizen's if it is due, and keep hold of it for what follows."""
        height, width = pixels.shape[:2]
        tracks = self._tracker.update(self._find(pixels), now)
        self._detections += 1
        self._detected_ns = now
        self._number(tracks)
        seen = self._seat.take([track for track in tracks if self._zone.holds(track.box, width, height)], now)
        self._citizen = seen.citizen
        self._follower.clear()
        self._glance = Glance(
            now,
            width,
            height,
            tracks,
            tuple(track.track_id for track in seen.seated),
            None if seen.citizen is None else seen.citizen.track_id,
            seen.second_face,
        )
        if seen.citizen is None:
            return
        if reading and not self._read(pixels, seen.citizen, now):
            return
        if self._config.read_hz > self._config.detect_hz:
            self._follower.start(pixels, seen.citizen.box, now)

    def _follow(self, pixels: NDArray[np.uint8], now: int) -> None:
        """Read the citizen's face where it went since the last detection; a lost face is not read."""
        box = self._follower.find(pixels, now)
        if box is None or self._citizen is None:
            return
        if not self._zone.holds(box, pixels.shape[1], pixels.shape[0]):
            self._follower.clear()  # the citizen rises or leaves: the next detection decides
            return
        self._followed += 1
        if not self._read(pixels, replace(self._citizen, box=box), now):
            self._follower.clear()

    def evidence(self) -> FaceEvidence:
        """Return what was read so far."""
        return FaceEvidence(
            moments=self._moments.all(),
            face_s=self._face_s,
            frames=self._frames,
            detections=self._detections,
            followed=self._followed,
            faces_in_zone_max=self._seat.faces_max,
            second_face_s=self._seat.second_face_s,
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
        self._seat.clear()
        self._follower.clear()
        self._citizen = None
        self._detected_ns = self._shown_ns = self._read_ns = None

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

    def _number(self, tracks: Sequence[Track]) -> None:
        """Count the calls of every track from 0; the oldest tracks are forgotten."""
        for track in tracks:
            self._calls.setdefault(track.track_id, 0)
        while len(self._calls) > _TRACKS_KEPT:
            del self._calls[next(iter(self._calls))]

    def _read(self, pixels: NDArray[np.uint8], track: Track, now: int) -> bool:
        """Show a face to the network if it passes the gates; tell whether it did."""
        crop = crop_face(pixels, track.box)
        reason = Rejection.CUT_OFF if crop is None else reject(crop, track.box, self._config.gates)
        if crop is None or reason is not None:
            self._shown_ns = None
            self._refuse(reason or Rejection.CUT_OFF)
            return False
        self._expression_calls += 1
        self._calls[track.track_id] += 1
        self._shown_ns = now
        (expression,) = self._expression.predict([crop.pixels])
        if not expression.sufficient:
            self._refuse(Rejection.INSUFFICIENT)
            return True
        usual_s = 1.0 / self._config.read_hz
        since_s = usual_s if self._read_ns is None else (now - self._read_ns) / _NS
        self._face_s += min(since_s, 2 * usual_s)
        self._read_ns = now
        self._moments.add(FaceMoment(now, expression.valence, expression.confidence, expression.arousal))
        if self._glance is not None:
            self._glance = replace(self._glance, valence=expression.valence, confidence=expression.confidence)
        return True

    def _refuse(self, reason: Rejection) -> None:
        self._rejections[reason] += 1
        self._read_ns = None
        if self._glance is not None:
            self._glance = replace(self._glance, rejection=reason)


def _due(last_ns: int | None, now_ns: int, rate_hz: float) -> bool:
    """Tell whether a rate allows the next one; half a millisecond early is on time."""
    return last_ns is None or now_ns - last_ns >= _NS / rate_hz - 500_000
