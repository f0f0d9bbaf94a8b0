"""What is painted over in every picture of a recording, with later pictures known.

A live picture has only its past. In a recording a face that is found late is also covered before, and
a gap between two finds of one face is covered from the one place to the other.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from inference.anonymizer import AnonymizerConfig, Cover, Doubt
from inference.masks import grown
from inference.tracking import FaceTracker, TrackingConfig, intersection_over_union
from models.face_detectors import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_NS: Final = 1_000_000_000
_SAME: Final = 0.5
"""From this overlap two boxes are one place, as in the anonymizer."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One picture of a recording.

    Attributes:
        at_ns: Its time in the recording.
        checksum: Of its pixels: another picture than the one that was looked at is covered whole.
        size: Height and width.
        cover: What has to be painted over.
    """

    at_ns: int
    checksum: int
    size: tuple[int, int]
    cover: Cover


def checksum_of(image: NDArray[np.uint8]) -> int:
    """Return a check sum of a picture's pixels."""
    return zlib.crc32(np.ascontiguousarray(image).data)


def with_hindsight(pictures: Sequence[Planned], config: AnonymizerConfig) -> list[Planned]:
    """Cover faces before they are found and between two finds, and doubt before it arose.

    Args:
        pictures: In the order of the recording, as an `Anonymizer` covered them one by one.
        config: How long a face is held, and how far its mask grows meanwhile.
    """
    more: list[list[Box]] = [[] for _ in pictures]
    _bridge(pictures, config, more)
    doubts = _look_back(pictures, config, more)
    return [
        replace(picture, cover=replace(picture.cover, boxes=(*picture.cover.boxes, *boxes), doubt=doubt))
        for picture, boxes, doubt in zip(pictures, more, doubts, strict=True)
    ]


def _bridge(pictures: Sequence[Planned], config: AnonymizerConfig, more: list[list[Box]]) -> None:
    """Cover all from one find of a face to the next, in the pictures between."""
    tracker = FaceTracker(TrackingConfig(min_overlap=0.0, max_distance=3.0, expire_s=config.hold_s))
    last: dict[int, tuple[int, Box]] = {}
    for number, picture in enumerate(pictures):
        if number and (picture.size, True) != (
            pictures[number - 1].size,
            picture.at_ns >= pictures[number - 1].at_ns,
        ):
            tracker.clear()
        for track in tracker.update(picture.cover.faces, picture.at_ns):
            first, before = last.get(track.track_id, (number, track.box))
            hull = grown(_hull(before, track.box), config.grow)
            for between in range(first + 1, number):
                more[between].append(hull)
            last[track.track_id] = (number, track.box)


def _look_back(
    pictures: Sequence[Planned], config: AnonymizerConfig, more: list[list[Box]]
) -> list[Doubt | None]:
    """Hold faces backwards in time, as the anonymizer holds them forwards; return the doubts."""
    doubts: list[Doubt | None] = [picture.cover.doubt for picture in pictures]
    held: list[tuple[Box, int]] = []
    size: tuple[int, int] | None = None
    moved_ns: int | None = None
    for number in range(len(pictures) - 1, -1, -1):
        picture = pictures[number]
        later_ns = pictures[number + 1].at_ns if number + 1 < len(pictures) else picture.at_ns
        if picture.size != size or picture.at_ns > later_ns:
            size, held, moved_ns = picture.size, [], None
        faces = picture.cover.faces
        held = [
            (box, seen_ns)
            for box, seen_ns in held
            if seen_ns - picture.at_ns <= config.hold_s * _NS
            and all(intersection_over_union(box, face) < _SAME for face in faces)
        ]
        more[number] += [
            grown(box, config.grow + config.grow_per_s * (seen_ns - picture.at_ns) / _NS)
            for box, seen_ns in held
        ]
        held = [(face, picture.at_ns) for face in faces] + held[: max(0, 4 * config.max_faces - len(faces))]
        if picture.cover.doubt is Doubt.MOTION_WITHOUT_FACE:
            moved_ns = picture.at_ns
        elif (
            moved_ns is not None
            and moved_ns - picture.at_ns <= config.late_s * _NS
            and doubts[number] is None
        ):
            doubts[number] = Doubt.MOTION_WITHOUT_FACE
    return doubts


def _hull(one: Box, other: Box) -> Box:
    return Box(
        min(one.x1, other.x1),
        min(one.y1, other.y1),
        max(one.x2, other.x2),
        max(one.y2, other.y2),
        min(one.score, other.score),
    )
