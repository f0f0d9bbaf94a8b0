"""What reading a face leaves behind: numbers in order of time, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.face_quality import Rejection
    from inference.tracking import Track


@dataclass(frozen=True, slots=True)
class FaceMoment:
    """One reading of the citizen's face, or the mean of neighbouring ones.

    Attributes:
        captured_ns: Capture time.
        valence: Probability of a positive less that of a negative expression, -1 to 1.
        confidence: Probability of the likeliest class, 0 to 1.
        arousal: How excited the face looks, -1 to 1; None where the network does not tell.
    """

    captured_ns: int
    valence: float
    confidence: float
    arousal: float | None = None


@dataclass(frozen=True, slots=True)
class FaceEvidence:
    """What the faces of one session gave; nothing in it tells who they were.

    Attributes:
        moments: Readings of the citizen's face, in order of capture.
        face_s: Seconds in which that face passed the gates and was read.
        uncertain: Readings whose likeliest class the calibration does not vouch for. They count by their
            low confidence: left out, a session would lean to what is easy to see.
        discarded: Readings taken back, since the camera's next look showed that it no longer saw.
        frames: Frames seen.
        detections: Times the detector ran.
        followed: Readings between two detections, on a face that was followed from the first.
        faces_in_zone_max: Most faces at the seat at once.
        second_face_s: Longest unbroken stretch with a second face at the seat, seconds.
        expression_calls: Faces shown to the expression network.
        calls_by_track: The same by track, the latest tracks only; a bystander's stays 0.
        rejections: Faces at the seat that were not read, by reason.
    """

    moments: tuple[FaceMoment, ...] = ()
    face_s: float = 0.0
    uncertain: int = 0
    discarded: int = 0
    frames: int = 0
    detections: int = 0
    followed: int = 0
    faces_in_zone_max: int = 0
    second_face_s: float = 0.0
    expression_calls: int = 0
    calls_by_track: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    rejections: Mapping[Rejection, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Glance:
    """What the last detection saw: places and numbers, no picture, nothing of the detection before.

    A face that is followed until the next detection changes what was read of it, not where it is.

    Attributes:
        captured_ns: Capture time of the frame.
        width: Its width, pixels.
        height: Its height, pixels.
        tracks: Every face that was found, in pixels of that frame.
        seated: Numbers of the tracks at the seat.
        citizen: Number of the one face that may be read; None when there is none or doubt.
        second_face: Whether a second face at the seat holds the reading.
        rejection: Why the citizen's face was not read; None when it was, or was not due.
        valence: What was read, -1 to 1; None when nothing was.
        confidence: Probability of the likeliest class, 0 to 1; None when nothing was read.
    """

    captured_ns: int
    width: int
    height: int
    tracks: tuple[Track, ...]
    seated: tuple[int, ...]
    citizen: int | None
    second_face: bool
    rejection: Rejection | None = None
    valence: float | None = None
    confidence: float | None = None


class Moments:
    """Readings in bounded memory: when full, neighbours become one and later ones are paired alike.

    Args:
        limit: Readings kept, at most; an even number.
    """

    def __init__(self, limit: int) -> None:
        """Start with none."""
        self._limit = limit
        self._kept: list[FaceMoment] = []
        self._open: list[FaceMoment] = []
        self._each = 1

    def add(self, moment: FaceMoment) -> None:
        """Take a reading that is later than every one before."""
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
        """Return them in the order they came."""
        return (*self._kept, _mean(self._open)) if self._open else tuple(self._kept)


def _mean(moments: Sequence[FaceMoment]) -> FaceMoment:
    count = len(moments)
    known = [moment.arousal for moment in moments if moment.arousal is not None]
    return FaceMoment(
        sum(moment.captured_ns for moment in moments) // count,
        sum(moment.valence for moment in moments) / count,
        sum(moment.confidence for moment in moments) / count,
        sum(known) / len(known) if known else None,
    )
