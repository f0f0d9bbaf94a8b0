"""Which box of this detection is which face of the last one: overlap and distance, nothing else.

No look of a face is kept or compared, so a track says "the same place a moment later",
never "the same person". Counter events end sessions, not tracks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.face_detectors import Box

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TrackingConfig:
    """When two boxes are one face.

    Attributes:
        min_overlap: Intersection over union from which they may be.
        max_distance: Distance of their centres up to which they may be, in heights of the box.
        max_scale: Ratio of their heights up to which they may be.
        expire_s: A face not found for longer is forgotten.
    """

    min_overlap: float = 0.25
    max_distance: float = 0.6
    max_scale: float = 1.6
    expire_s: float = 1.5


@dataclass(frozen=True, slots=True)
class Track:
    """A face followed through detections.

    Attributes:
        track_id: Number within this tracker, from 1.
        box: Where it was found last, pixels of the frame.
        first_ns: Capture time of its first detection.
        seen_ns: Capture time of its last detection.
        hits: Detections so far.
    """

    track_id: int
    box: Box
    first_ns: int
    seen_ns: int
    hits: int


class FaceTracker:
    """Follows faces from detection to detection."""

    def __init__(self, config: TrackingConfig | None = None) -> None:
        """Start with no face."""
        self._config = config or TrackingConfig()
        self._tracks: list[Track] = []
        self._made = 0

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Every face not yet forgotten."""
        return tuple(self._tracks)

    def update(self, boxes: Sequence[Box], captured_ns: int) -> tuple[Track, ...]:
        """Take the boxes of one detection; return their tracks in the order of the boxes."""
        limit_ns = captured_ns - int(self._config.expire_s * _NS)
        known = [track for track in self._tracks if track.seen_ns >= limit_ns]
        likely = sorted(
            (
                (likeness, old, new)
                for old, track in enumerate(known)
                for new, box in enumerate(boxes)
                if (likeness := self._likeness(track.box, box)) is not None
            ),
            key=lambda pair: -pair[0],
        )
        of_box: dict[int, int] = {}
        for _, old, new in likely:
            if new not in of_box and old not in of_box.values():
                of_box[new] = old
        found = [
            self._follow(known[of_box[new]], box, captured_ns)
            if new in of_box
            else self._begin(box, captured_ns)
            for new, box in enumerate(boxes)
        ]
        missed = [track for old, track in enumerate(known) if old not in of_box.values()]
        self._tracks = found + missed
        return tuple(found)

    def clear(self) -> None:
        """Forget every face; numbers go on."""
        self._tracks = []

    def _likeness(self, old: Box, new: Box) -> float | None:
        size = max(old.height, new.height, 1.0)
        if size > self._config.max_scale * max(min(old.height, new.height), 1e-6):
            return None
        overlap = intersection_over_union(old, new)
        distance = math.hypot(old.x1 + old.x2 - new.x1 - new.x2, old.y1 + old.y2 - new.y1 - new.y2) / 2 / size
        if overlap < self._config.min_overlap and distance > self._config.max_distance:
            return None
        return overlap - distance

    def _begin(self, box: Box, captured_ns: int) -> Track:
        self._made += 1
        return Track(self._made, box, captured_ns, captured_ns, 1)

    @staticmethod
    def _follow(track: Track, box: Box, captured_ns: int) -> Track:
        return Track(track.track_id, box, track.first_ns, captured_ns, track.hits + 1)


def intersection_over_union(a: Box, b: Box) -> float:
    """Return the shared part of two boxes, 0 to 1."""
    shared = max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1)) * max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))
    union = a.width * a.height + b.width * b.height - shared
    return shared / union if union > 0 else 0.0
