"""Which face of a picture may be read now: the citizen's, or nobody's.

Everything between a frame and the expression network: masks, the seat, detection, tracks,
gates, and following between detections. What reads expressions and what measures tracking
stand on this same code.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import cv2

from inference.face_moments import Glance
from inference.face_quality import Rejection, crop_face, reject
from inference.following import Follower
from inference.mouth_cover import CoverHistory
from inference.neighbours import Neighbours
from inference.seat import Seat
from inference.tracking import FaceTracker, Track
from inference.zones import SeatZone, frame_size
from models.face_detectors import Box

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from inference.face_config import FaceConfig
    from inference.media import Frame
    from models.face_detectors import FaceDetector

_NS: Final = 1_000_000_000
_TRACKS_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class ReadableFace:
    """The citizen's face in one frame; it passed every gate.

    Attributes:
        pixels: BGR view into the frame, a square on the face.
        track_id: Number of its track.
        captured_ns: Capture time of the frame.
    """

    pixels: NDArray[np.uint8]
    track_id: int
    captured_ns: int


class CitizenWatch:
    """Watches one seat; takes frames at any rate and names a face to read when one is due.

    Args:
        detector: Finds faces.
        zone: The citizen's seat and the privacy masks.
        config: Rates and limits.
    """

    def __init__(self, detector: FaceDetector, zone: SeatZone, config: FaceConfig) -> None:
        """Start with nothing seen."""
        self._detector = detector
        self._zone = zone
        self._config = config
        self._tracker = FaceTracker(config.tracking)
        self._seat = Seat(config.seat)
        self._neighbours = Neighbours(config.seat.neighbour_s)
        self._follower = Follower(config.following)
        self._covers = CoverHistory(config.gates.cover_span_s)
        self._calls: dict[int, int] = {}
        self._rejections: Counter[Rejection] = Counter()
        self._citizen: Track | None = None
        self._segment = 0
        self._size: tuple[int, int] | None = None
        self._detected_ns: int | None = None
        self._shown_ns: int | None = None
        self._glance: Glance | None = None
        self._readable = True
        self.frames = 0
        """Frames taken."""
        self.detections = 0
        """Times the detector ran."""
        self.without = 0
        """Times it found nobody who may be read."""
        self.followed = 0
        """Times the face was found again between detections."""

    @property
    def seat(self) -> Seat:
        """Who sat there, and whether a second face stayed."""
        return self._seat

    @property
    def glance(self) -> Glance | None:
        """What the last detection saw; None before the first."""
        return self._glance

    @property
    def calls_by_track(self) -> Mapping[int, int]:
        """Faces named to be read, by track, the latest tracks only."""
        return MappingProxyType(dict(self._calls))

    @property
    def rejections(self) -> Mapping[Rejection, int]:
        """Faces of the citizen that were refused, by reason."""
        return MappingProxyType(dict(self._rejections))

    def look(self, picture: Frame, *, readable: bool = True) -> ReadableFace | None:
        """Take the next frame; return the face that may be read, if one is due and fit.

        Args:
            picture: The frame.
            readable: Whether the camera sees; where it does not, faces are found and none is read.

        Raises:
            FrameError: The frame is not uint8 BGR.
        """
        height, width = frame_size(picture.pixels)
        self.frames += 1
        self._readable = readable
        if self._seat.sustained:
            return None
        now = picture.captured_ns
        if picture.segment != self._segment or (self._detected_ns is not None and now < self._detected_ns):
            self._break(picture.segment)
        if self._size != (height, width):
            if self._size is not None:
                self._seat.scale(height / self._size[0])
                self._break(picture.segment)
            self._size = height, width
        reading = _due(self._shown_ns, now, self._config.read_hz)
        if _due(self._detected_ns, now, self._config.detect_hz):
            return self._detect(self._zone.burn(picture.pixels), now, reading=reading)
        if reading and self._follower.following:
            return self._follow(self._zone.burn(picture.pixels), now)
        return None

    def _refuse(self, reason: Rejection) -> None:
        """Count a face that was not read."""
        self._rejections[reason] += 1
        if self._glance is not None:
            self._glance = replace(self._glance, rejection=reason)

    def note(self, valence: float, confidence: float) -> None:
        """Show in the glance what was read of the face."""
        if self._glance is not None:
            self._glance = replace(self._glance, valence=valence, confidence=confidence)

    def _break(self, segment: int) -> None:
        """Let nothing reach across a hole in the time line."""
        self._segment = segment
        self._tracker.clear()
        self._seat.clear()
        self._neighbours.clear()
        self._follower.clear()
        self._citizen = None
        self._detected_ns = self._shown_ns = None

    def _detect(self, pixels: NDArray[np.uint8], now: int, *, reading: bool) -> ReadableFace | None:
        """Look for faces, and keep hold of the citizen's for what follows."""
        height, width = pixels.shape[:2]
        tracks = self._tracker.update(self._find(pixels), now)
        self.detections += 1
        self._detected_ns = now
        self._number(tracks)
        present = [track for track in tracks if self._zone.holds(track.box, width, height)]
        self._neighbours.take([track for track in tracks if track not in present], now)
        seen = self._seat.take(present, now, neighbours=self._neighbours.among(present))
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
            self.without += 1
            return None
        face = self._fit(pixels, seen.citizen, now) if reading else None
        if (face is not None or not reading) and self._config.read_hz > self._config.detect_hz:
            self._follower.start(pixels, seen.citizen.box, now)
        return face

    def _follow(self, pixels: NDArray[np.uint8], now: int) -> ReadableFace | None:
        """Find the citizen's face where it went since the last detection; a lost face is not read."""
        box = self._follower.find(pixels, now)
        if box is None or self._citizen is None:
            return None
        self.followed += 1
        # Where the citizen rises or leaves, or the face is unfit, the next detection decides.
        inside = self._zone.holds(box, pixels.shape[1], pixels.shape[0])
        face = self._fit(pixels, replace(self._citizen, box=box), now) if inside else None
        if face is None:
            self._follower.clear()
        return face

    def _fit(self, pixels: NDArray[np.uint8], track: Track, now: int) -> ReadableFace | None:
        """Return the face if it passes the gates; an unfit one is tried again at the next detection."""
        crop = crop_face(pixels, track.box)
        reason = Rejection.CUT_OFF if crop is None else reject(crop, track.box, self._config.gates)
        if reason in {None, Rejection.MOUTH_COVERED}:
            covered = self._covers.take(track.track_id, now, covered=reason is not None)
            reason = Rejection.MOUTH_COVERED if covered else None
        if not self._readable:
            reason = Rejection.CAMERA
        if crop is None or reason is not None:
            self._shown_ns = None
            self._refuse(reason or Rejection.CUT_OFF)
            return None
        self._shown_ns = now
        self._calls[track.track_id] += 1
        return ReadableFace(crop.pixels, track.track_id, now)

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


def _due(last_ns: int | None, now_ns: int, rate_hz: float) -> bool:
    """Tell whether a rate allows the next one; half a millisecond early is on time."""
    return last_ns is None or now_ns - last_ns >= _NS / rate_hz - 500_000
