"""Who sits at the seat: one face or none, and since when there are two.

A second face holds the reading at once, even where the detector may be wrong: that costs
a few readings. It ends the session's image purpose only when it is sure and stays, since
that cannot be taken back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from inference.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.tracking import Track
    from models.face_detectors import Box

_NS: Final = 1_000_000_000
_MISSED: Final = 1
"""Detections in a row without the second face that do not end its stretch."""
_HITS: Final = 2
"""Detections from which a track is more than a flash of the detector."""


@dataclass(frozen=True, slots=True)
class SeatConfig:
    """When a face is the citizen's, and when there are two.

    Attributes:
        second_face_height: A face in the seat at least this share of the largest one's height
            is a second person at the seat; a smaller one is somebody behind.
        seated_height: A face smaller than this share of the citizen's usual height is not the citizen.
        revoke_after_s: Seconds of capture time for which a second face stays before it is sustained.
        revoke_detections: Detections that must have found it by then.
        second_face_score: Detector's score that both faces then need.
        double_share: Two boxes of which one covers this share of the other are one face found twice.
        stall_s: A stretch ends when nothing was detected for longer.
    """

    second_face_height: float = 0.4
    seated_height: float = 0.6
    revoke_after_s: float = 1.0
    revoke_detections: int = 3
    second_face_score: float = 0.5
    double_share: float = 0.5
    stall_s: float = 1.5

    def __post_init__(self) -> None:
        """Refuse limits that end sessions by chance or never."""
        if not 0.0 < self.revoke_after_s <= 60.0:  # noqa: PLR2004 - a minute of two people is no chance
            raise SettingError(
                f"revoke_after_s is {self.revoke_after_s}; a second face ends a session after more than "
                "0 and at most 60 seconds. Use 1.0 if in doubt."
            )
        if self.revoke_detections < _HITS:
            raise SettingError(
                f"revoke_detections is {self.revoke_detections}; it needs at least {_HITS}, or a single "
                "flash of the detector ends a session."
            )


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Who was at the seat in one detection.

    Attributes:
        seated: Every track at the seat, whatever its size.
        citizen: The one face that may be read; None when there is none or doubt.
        second_face: Whether a second face of like size was at the seat.
    """

    seated: tuple[Track, ...]
    citizen: Track | None
    second_face: bool


class Seat:
    """Follows who sits at one seat from detection to detection."""

    def __init__(self, config: SeatConfig | None = None) -> None:
        """Start with an empty seat."""
        self._config = config or SeatConfig()
        self._citizen: int | None = None
        self._usual_px: float | None = None
        self._held = _Stretch(missed_s=1.0)
        self._sure = _Stretch(missed_s=self._config.stall_s)
        self._faces_max = 0
        self._sustained = False

    @property
    def faces_max(self) -> int:
        """Most faces of like size at the seat at once."""
        return self._faces_max

    @property
    def second_face_s(self) -> float:
        """Longest unbroken stretch with a second face so far, seconds."""
        return self._held.longest_s

    @property
    def sustained(self) -> bool:
        """Whether a second face was sure and stayed; once true, always true."""
        return self._sustained

    def take(self, present: Sequence[Track], now_ns: int) -> Occupancy:
        """Take the tracks that one detection found at the seat."""
        if not present:
            self._count(near=(), now_ns=now_ns)
            return Occupancy((), None, second_face=False)
        largest = max(present, key=lambda track: track.box.height)
        floor_px = self._config.second_face_height * largest.box.height
        near = [track for track in present if track.box.height >= floor_px]
        self._faces_max = max(self._faces_max, len(near))
        self._count(near, now_ns)
        second = len(near) > 1
        citizen = None if second else self._seated(largest)
        return Occupancy(tuple(present), citizen, second)

    def clear(self) -> None:
        """Let nothing reach across a hole in the time line; what was sustained stays so."""
        self._citizen = None
        self._held.end()
        self._sure.end()

    def scale(self, ratio: float) -> None:
        """Take a frame of another size: what is known of the citizen's size in pixels grows by `ratio`."""
        if self._usual_px is not None:
            self._usual_px *= ratio

    def _seated(self, largest: Track) -> Track | None:
        """Return the only face of its size if it may be the citizen's."""
        height_px = largest.box.height
        if largest.track_id != self._citizen:
            if self._usual_px is not None and height_px < self._config.seated_height * self._usual_px:
                return None  # somebody behind an empty chair
            self._citizen = largest.track_id
        # A slow mean: the citizen may lean back, a smaller stranger may not creep in.
        self._usual_px = height_px if self._usual_px is None else 0.95 * self._usual_px + 0.05 * height_px
        return largest

    def _count(self, near: Sequence[Track], now_ns: int) -> None:
        self._held.take(present=len(near) > 1, now_ns=now_ns)
        sure = [
            track
            for track in near
            if track.box.score >= self._config.second_face_score and track.hits >= _HITS
        ]
        self._sure.take(present=self._apart(sure), now_ns=now_ns)
        self._sustained = self._sustained or (
            self._sure.length_s >= self._config.revoke_after_s
            and self._sure.found >= self._config.revoke_detections
        )

    def _apart(self, tracks: Sequence[Track]) -> bool:
        """Tell whether two of the faces are at two places: a double box of one face is one face."""
        return any(
            _covered(one.box, other.box) < self._config.double_share
            for number, one in enumerate(tracks)
            for other in tracks[number + 1 :]
        )


class _Stretch:
    """How long something has lasted, forgiving one missed detection."""

    def __init__(self, missed_s: float) -> None:
        self._missed_ns = missed_s * _NS
        self._since_ns: int | None = None
        self._seen_ns = self._missed = 0
        self.found = 0
        self.longest_s = 0.0

    @property
    def length_s(self) -> float:
        """Length of the stretch so far; 0 outside one."""
        return 0.0 if self._since_ns is None else (self._seen_ns - self._since_ns) / _NS

    def take(self, *, present: bool, now_ns: int) -> None:
        if self._since_ns is not None and now_ns - self._seen_ns > self._missed_ns:
            self.end()
        if not present:
            self._missed += 1
            if self._missed > _MISSED:
                self.end()
            return
        if self._since_ns is None:
            self._since_ns = now_ns
        self._seen_ns, self._missed = now_ns, 0
        self.found += 1
        self.longest_s = max(self.longest_s, self.length_s)

    def end(self) -> None:
        self._since_ns = None
        self._seen_ns = self._missed = self.found = 0


def _covered(a: Box, b: Box) -> float:
    """Return the shared part of two boxes as a share of the smaller one, 0 to 1."""
    shared = max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1)) * max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))
    smaller = min(a.width * a.height, b.width * b.height)
    return shared / smaller if smaller > 0 else 0.0
