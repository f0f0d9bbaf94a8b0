"""Who stays beside the seat: an officer, somebody in the queue. They do not become the citizen by moving.

A track that was found outside the seat for a while belongs to somebody who has a place of their own.
When it moves into the seat after somebody else has sat there, people have changed places, and the
one who was asked is not the one who sits there now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from inference.tracking import Track

_NS: Final = 1_000_000_000
_PIECE_NS: Final = _NS // 2
"""What one detection stands for, at most."""
_TRACKS_KEPT: Final = 64


class Neighbours:
    """Remembers which tracks have stayed outside the seat.

    Args:
        stay_s: Seconds outside the seat, all together, from which a track is a neighbour's.
    """

    def __init__(self, stay_s: float) -> None:
        """Know nobody."""
        self._stay_ns = stay_s * _NS
        self._outside_ns: dict[int, int] = {}
        self._before_ns: int | None = None

    def take(self, outside: Sequence[Track], now_ns: int) -> None:
        """Take the tracks that one detection found outside the seat."""
        since_ns = 0 if self._before_ns is None else min(now_ns - self._before_ns, _PIECE_NS)
        self._before_ns = now_ns
        for track in outside:
            if track.hits > 1:  # a first sight tells nothing of the time before
                self._outside_ns[track.track_id] = self._outside_ns.get(track.track_id, 0) + since_ns
        while len(self._outside_ns) > _TRACKS_KEPT:
            del self._outside_ns[next(iter(self._outside_ns))]

    def among(self, tracks: Sequence[Track]) -> Collection[int]:
        """Return the numbers of those tracks that are neighbours'."""
        return {
            track.track_id for track in tracks if self._outside_ns.get(track.track_id, 0) >= self._stay_ns
        }

    def clear(self) -> None:
        """Forget everybody: nothing reaches across a hole in the time line."""
        self._outside_ns = {}
        self._before_ns = None
