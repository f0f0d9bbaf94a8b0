"""Annotated pictures of an inspected session: SVG with the masked picture inside and the boxes drawn over it.

Roles are told by the stroke and by words, not by colour alone.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from inference.svg import drawing, element, path, rectangle, text, text_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.face_moments import Glance
    from inference.inspection import KeptPicture
    from inference.inspection_words import Words
    from inference.tracking import Track
    from inference.zones import SeatZone

WIDTH: Final = 960.0
_HEAD: Final = 34.0
_FOOT: Final = 30.0
_LABEL: Final = 15.0
_NS: Final = 1_000_000_000


class _Role(Enum):
    """Stroke of a box: colour, width, dashes."""

    CITIZEN = ("#3dff8f", 4.0, "none")
    OTHER = ("#ffab00", 4.0, "14 7")
    BYSTANDER = ("#ffffff", 2.5, "3 5")


@dataclass(frozen=True, slots=True)
class _Place:
    """A label's rectangle."""

    x: float
    y: float
    width: float
    height: float

    def meets(self, other: _Place) -> bool:
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


def clock(ns: int) -> str:
    """Return a time since the start as minutes and seconds."""
    seconds = max(0, ns) // _NS
    return f"{seconds // 60:02}:{seconds % 60:02}"


def annotated(
    picture: KeptPicture, *, started_ns: int, zone: SeatZone, words: Words, label: str | None
) -> str:
    """Return a picture as SVG: the masked picture, the seat, boxes with track, role and reading.

    Args:
        picture: What was kept.
        started_ns: Capture time of the session's start.
        zone: The seat.
        words: Language.
        label: What the recording says of itself, written below; None for nothing.
    """
    glance = picture.glance
    height = WIDTH * glance.height / glance.width
    at, sight = clock(glance.captured_ns - started_ns), _sight(picture, words)
    parts = [
        element(
            "image",
            href=f"data:image/jpeg;base64,{base64.b64encode(picture.jpeg).decode()}",
            x=0,
            y=_HEAD,
            width=WIDTH,
            height=height,
            preserveAspectRatio="none",
        ),
        *_seat(zone, height, words),
    ]
    taken: list[_Place] = []
    scale = WIDTH / glance.width
    for track in sorted(glance.tracks, key=lambda found: found.box.y1):
        parts += _face(track, picture, scale, words, taken)
    parts += [
        text((10, 23), f"{at}  ·  {words.occasions[picture.occasion]}  ·  {sight}", size=16, font_weight=600),
        text((10, _HEAD + height + 20), label or words.not_calibrated, size=_small(label), fill="#333"),
    ]
    told = f"{picture_told(picture, started_ns, words)} {label or ''}".strip()
    return drawing(WIDTH, _HEAD + height + _FOOT, parts, title=f"{at} {sight}", description=told)


def picture_told(picture: KeptPicture, started_ns: int, words: Words) -> str:
    """Return what a picture shows, in words."""
    return words.picture_told.format(
        occasion=words.occasions[picture.occasion],
        at=clock(picture.glance.captured_ns - started_ns),
        sight=_sight(picture, words),
        faces=len(picture.glance.tracks),
        seated=len(picture.glance.seated),
    )


def _sight(picture: KeptPicture, words: Words) -> str:
    sight = words.sights[picture.sight]
    if picture.glance.rejection is not None:
        sight += f": {words.of_rejection(picture.glance.rejection)}"
    if picture.trouble is not None:
        sight += f" · {words.camera}: {words.of_trouble(picture.trouble)}"
    if picture.doubt is not None:
        sight += f" · {words.of_doubt(picture.doubt)}"
    return sight


def _small(label: str | None) -> float:
    """Return a size at which a long label fits one line."""
    return 13.0 if label is None else min(13.0, (WIDTH - 20) / text_width(label, 1.0))


def _seat(zone: SeatZone, height: float, words: Words) -> list[str]:
    corners = [(x * WIDTH, _HEAD + y * height) for x, y in zone.seat]
    inside = [(min(max(x, 2), WIDTH - 2), min(max(y, _HEAD + 2), _HEAD + height - 2)) for x, y in corners]
    left, low = min(inside)[0], max(y for _, y in inside)
    return [
        path(inside, closed=True, fill="none", stroke="#000", stroke_width=4, stroke_opacity=0.6),
        path(inside, closed=True, fill="none", stroke="#fff", stroke_width=1.6, stroke_dasharray="10 6"),
        *_tag(_Place(left + 4, low - 26, text_width(words.seat, _LABEL) + 14, 22), words.seat),
    ]


def _face(
    track: Track, picture: KeptPicture, scale: float, words: Words, taken: list[_Place]
) -> Sequence[str]:
    role, name = _role(track, picture.glance, words)
    colour, width, dashes = role.value
    box = track.box
    x, y = box.x1 * scale, _HEAD + box.y1 * scale
    wide, high = box.width * scale, box.height * scale
    calls = picture.calls.get(track.track_id, 0)
    label = f"#{track.track_id} {name} · {words.calls.format(calls)}"
    if role is _Role.CITIZEN and picture.glance.valence is not None:
        label += f" · {picture.glance.valence:+.2f}"
        label += f" ({picture.glance.confidence or 0:.0%})"
    return [
        rectangle(
            (x, y), wide, high, fill="none", stroke="#000", stroke_width=width + 3, stroke_opacity=0.55
        ),
        rectangle(
            (x, y), wide, high, fill="none", stroke=colour, stroke_width=width, stroke_dasharray=dashes
        ),
        *_tag(_free(x, y, text_width(label, _LABEL) + 12, taken), label),
    ]


def _role(track: Track, glance: Glance, words: Words) -> tuple[_Role, str]:
    if track.track_id == glance.citizen:
        return _Role.CITIZEN, words.citizen
    if track.track_id in glance.seated:
        return _Role.OTHER, words.other
    return _Role.BYSTANDER, words.bystander


def _free(x: float, y: float, width: float, taken: list[_Place]) -> _Place:
    """Return a place for a label above its box, moved down until it covers no other label."""
    place = _Place(min(max(2.0, x), WIDTH - width - 2), max(_HEAD + 2, y - 27), width, 23.0)
    while any(place.meets(other) for other in taken):
        place = _Place(place.x, place.y + 25, place.width, place.height)
    taken.append(place)
    return place


def _tag(place: _Place, words: str) -> list[str]:
    return [
        rectangle((place.x, place.y), place.width, place.height, fill="#000", fill_opacity=0.82, rx=3),
        text((place.x + 6, place.y + place.height - 6.5), words, size=_LABEL, fill="#fff"),
    ]
