"""Who sits at the seat: one face or none, and since when there are two.

A second face holds the reading at once, even where the detector may be wrong: that costs
a few readings, and so does one that the detector has just lost sight of. It ends the
session only when it is sure and stays, or comes back again and again, since that cannot be
taken back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from inference.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from inference.tracking import Track
    from models.face_detectors import Box

_NS: Final = 1_000_000_000
_MISSED: Final = 1
"""Detections in a row without the second face that do not end its stretch."""
_HITS: Final = 2
"""Detections from which a track is more than a flash of the detector."""
_CITIZENS_KEPT: Final = 64
"""Latest tracks of the citizen that are remembered."""
_PIECE_NS: Final = _NS // 2
"""What one detection stands for, at most."""


@dataclass(frozen=True, slots=True)
class SeatConfig:
    """When a face is the citizen's, and when there are two.

    Attributes:
        second_face_height: A face in the seat at least this share of the largest one's height
            is a second person at the seat; a smaller one is somebody behind.
        seated_height: A face smaller than this share of the citizen's usual height is not the citizen;
            nor is, at first, one as much larger that is not the citizen's own track.
        settle_s: Seconds after which such a larger face is: whoever leans in before the camera has left.
        hold_s: Seconds for which a second face that is not found any more still holds the reading.
        revoke_after_s: Seconds of capture time for which a second face stays before it is sustained.
        revoke_total_s: Seconds of a second face within `revoke_within_s`, in pieces, that are sustained too.
        revoke_within_s: Over how many seconds those are added up.
        revoke_detections: Detections that must have found it by then.
        second_face_score: Detector's score that both faces then need.
        double_share: Two boxes of which one covers this share of the other are one face found twice.
        stall_s: A stretch ends when nothing was detected for longer.
        neighbour_s: Seconds outside the seat from which a face is a neighbour's: after somebody else has
            sat in the seat, it is not read there.
    """

    second_face_height: float = 0.4
    seated_height: float = 0.6
    settle_s: float = 5.0
    hold_s: float = 1.0
    revoke_after_s: float = 1.0
    revoke_total_s: float = 2.0
    revoke_within_s: float = 10.0
    revoke_detections: int = 3
    second_face_score: float = 0.5
    double_share: float = 0.5
    stall_s: float = 1.5
    neighbour_s: float = 2.0

    def __post_init__(self) -> None:
        """Refuse limits that end sessions by chance or never."""
        if not 0.0 < self.revoke_after_s <= 60.0:  # noqa: PLR2004 - a minute of two people is no chance
            raise SettingError(
                f"revoke_after_s is {self.revoke_after_s}; a second face ends a session after more than "
                "0 and at most 60 seconds. Use 1.0 if in doubt."
            )
        if not 0.0 < self.revoke_total_s <= self.revoke_within_s <= 60.0:  # noqa: PLR2004 - as above
            raise SettingError(
                f"revoke_total_s is {self.revoke_total_s} within {self.revoke_within_s} (revoke_within_s); "
                "the first is above 0, the second at least that and at most 60. Use 2.0 and 10.0 if in doubt."
            )
        for name, share in (
            ("second_face_height", self.second_face_height),
            ("seated_height", self.seated_height),
            ("second_face_score", self.second_face_score),
            ("double_share", self.double_share),
        ):
            if not 0.0 < share <= 1.0:
                raise SettingError(f"{name} is {share}; it is a share above 0 and at most 1.")
        for name, seconds in (
            ("settle_s", self.settle_s),
            ("hold_s", self.hold_s),
            ("stall_s", self.stall_s),
            ("neighbour_s", self.neighbour_s),
        ):
            if not 0.0 <= seconds <= 60.0:  # noqa: PLR2004 - as above
                raise SettingError(f"{name} is {seconds}; it is a time from 0 to 60 seconds.")
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
        second_face: Whether a second face of like size was at the seat, or had been there just before.
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
        self._citizens: deque[int] = deque(maxlen=_CITIZENS_KEPT)
        self._usual_px: float | None = None
        self._held = _Stretch(missed_s=1.0)
        self._sure = _Stretch(missed_s=self._config.stall_s)
        self._often = _Pieces(self._config.revoke_within_s)
        self._lately: dict[int, Track] = {}
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

    def take(
        self, present: Sequence[Track], now_ns: int, *, neighbours: Collection[int] = frozenset()
    ) -> Occupancy:
        """Take the tracks that one detection found at the seat.

        Args:
            present: Those tracks.
            now_ns: When it was, capture time.
            neighbours: Numbers of tracks that stayed beside the seat before.
        """
        if not present:
            self._count(near=(), now_ns=now_ns)
            return Occupancy((), None, second_face=False)
        largest = max(present, key=lambda track: track.box.height)
        floor_px = self._config.second_face_height * largest.box.height
        # Whoever leans in before the camera makes the citizen small beside them, and nobody behind.
        near = [track for track in present if track.box.height >= floor_px or track.track_id == self._citizen]
        self._faces_max = max(self._faces_max, len(near))
        self._count(near, now_ns)
        second = self._lost_sight(near, now_ns) or len(near) > 1
        moved_in = largest.track_id in neighbours and self._taken_before(largest)
        citizen = None if second or moved_in else self._seated(largest, now_ns)
        return Occupancy(tuple(present), citizen, second)

    def clear(self) -> None:
        """Let nothing reach across a hole in the time line; what was sustained stays so."""
        self._citizen = None
        self._lately = {}
        self._held.end()
        self._sure.end()
        self._often.end()

    def scale(self, ratio: float) -> None:
        """Take a frame of another size: what is known of the citizen's size in pixels grows by `ratio`."""
        if self._usual_px is not None:
            self._usual_px *= ratio

    def _taken_before(self, track: Track) -> bool:
        """Tell whether somebody sat here, and never this track: then people have changed places."""
        return self._usual_px is not None and track.track_id not in self._citizens

    def _seated(self, largest: Track, now_ns: int) -> Track | None:
        """Return the only face of its size if it may be the citizen's."""
        height_px = largest.box.height
        if largest.track_id != self._citizen:
            if self._usual_px is not None and height_px < self._config.seated_height * self._usual_px:
                return None  # somebody behind an empty chair
            close = self._usual_px is not None and height_px * self._config.seated_height > self._usual_px
            if close and now_ns - largest.first_ns < self._config.settle_s * _NS:
                return None  # somebody between the citizen and the camera
            self._citizen = largest.track_id
            self._citizens.append(largest.track_id)
        # A slow mean: the citizen may lean back, a smaller stranger may not creep in.
        self._usual_px = height_px if self._usual_px is None else 0.95 * self._usual_px + 0.05 * height_px
        return largest

    def _lost_sight(self, near: Sequence[Track], now_ns: int) -> bool:
        """Tell whether a face that was at another place just now may still be there, unseen.

        Detectors lose a face for single detections. Two that they find in turn and never together would
        else be read in turn. A track that was found only once does not count: it may have been a flash.
        """
        since_ns = now_ns - self._config.hold_s * _NS
        here = {track.track_id for track in near}
        unseen = [
            track
            for number, track in self._lately.items()
            if number not in here and track.seen_ns >= since_ns
        ]
        self._lately = {track.track_id: track for track in (*unseen, *near)}
        return any(
            track.hits >= _HITS and _covered(track.box, other.box) < self._config.double_share
            for track in unseen
            for other in near
        )

    def _count(self, near: Sequence[Track], now_ns: int) -> None:
        self._held.take(present=len(near) > 1, now_ns=now_ns)
        sure = [
            track
            for track in near
            if track.box.score >= self._config.second_face_score and track.hits >= _HITS
        ]
        apart = self._apart(sure)
        self._sure.take(present=apart, now_ns=now_ns)
        self._often.take(present=apart, now_ns=now_ns)
        self._sustained = (
            self._sustained
            or (
                self._sure.length_s >= self._config.revoke_after_s
                and self._sure.found >= self._config.revoke_detections
            )
            or (
                self._often.total_s >= self._config.revoke_total_s
                and self._often.found >= self._config.revoke_detections
            )
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


class _Pieces:
    """How long something was there in the last seconds, all its pieces together."""

    def __init__(self, within_s: float) -> None:
        self._within_ns = within_s * _NS
        self._pieces: deque[tuple[int, int]] = deque()
        self._before_ns: int | None = None

    @property
    def total_s(self) -> float:
        return sum(length_ns for _, length_ns in self._pieces) / _NS

    @property
    def found(self) -> int:
        return len(self._pieces)

    def take(self, *, present: bool, now_ns: int) -> None:
        """Take a detection: what it found was there since the one before, for half a second at most."""
        before_ns, self._before_ns = self._before_ns, now_ns
        while self._pieces and now_ns - self._pieces[0][0] > self._within_ns:
            self._pieces.popleft()
        if present:
            since_ns = 0 if before_ns is None else now_ns - before_ns
            self._pieces.append((now_ns, min(since_ns, _PIECE_NS)))

    def end(self) -> None:
        self._pieces.clear()
        self._before_ns = None


def _covered(a: Box, b: Box) -> float:
    """Return the shared part of two boxes as a share of the smaller one, 0 to 1."""
    shared = max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1)) * max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))
    smaller = min(a.width * a.height, b.width * b.height)
    return shared / smaller if smaller > 0 else 0.0
