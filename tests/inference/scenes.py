"""Short scenes at a counter, put together at test time from the sample sessions' rendered heads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Final

import av
import cv2
import numpy as np

from inference.identity_scores import Labelled
from inference.media import Frame
from models.face_detectors import Box
from setup.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

WIDTH: Final = 640
HEIGHT: Final = 360
HZ: Final = 12
NS: Final = 1_000_000_000
T0: Final = 1_700_000_000 * NS
_SAMPLES: Final = ROOT / "samples"
_HEAD: Final = (slice(30, 290), slice(212, 432))
"""Rows and columns of a sample's head with hair and neck."""
_FACE_PX: Final = 180
"""Height of the face within it."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a scene.

    Attributes:
        name: Who it is.
        session: The sample session whose head it is.
        x: Where the face is, share of the width, from the first to the last moment.
        height: Height of the face, share of the frame's.
        y: Share of the height.
        during_s: When the person is there.
        x_to: Where the face moves to within `moving_s`; None stays.
        moving_s: When it moves.
    """

    name: str
    session: str
    x: float
    height: float
    y: float = 0.45
    during_s: tuple[float, float] = (0.0, 1e9)
    x_to: float | None = None
    moving_s: tuple[float, float] = (0.0, 1.0)

    def place(self, at_s: float) -> tuple[float, float, float] | None:
        """Return centre and height of the face in pixels; None while the person is away."""
        if not self.during_s[0] <= at_s < self.during_s[1]:
            return None
        begin, end = self.moving_s
        done = 0.0 if self.x_to is None else min(1.0, max(0.0, (at_s - begin) / (end - begin)))
        x = self.x + done * ((self.x if self.x_to is None else self.x_to) - self.x)
        return x * WIDTH, self.y * HEIGHT, self.height * HEIGHT


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame and who is where in it."""

    frame: Frame
    people: tuple[tuple[str, Labelled], ...]


def play(people: tuple[Person, ...], seconds: float) -> Iterator[Moment]:
    """Show people in the sample sessions' empty room; later ones stand in front."""
    for number in range(int(seconds * HZ)):
        picture = _frames("nobody")[number % 100].copy()
        seen = []
        for index, person in enumerate(people):
            place = person.place(number / HZ)
            if place is None:
                continue
            _paste(picture, _frames(person.session)[number % 100][_HEAD], *place)
            x, y, height = place
            box = Box(x - 0.36 * height, y - height / 2, x + 0.36 * height, y + height / 2, 1.0)
            seen.append((person.name, Labelled(index, box)))
        yield Moment(Frame(picture, T0 + number * NS // HZ, number), tuple(seen))


@cache
def _frames(session: str) -> tuple[NDArray[np.uint8], ...]:
    with av.open(str(_SAMPLES / f"{session}.mp4")) as container:
        pictures = islice(container.decode(video=0), 100)
        return tuple(np.asarray(picture.to_ndarray(format="bgr24"), np.uint8) for picture in pictures)


def _paste(picture: NDArray[np.uint8], head: NDArray[np.uint8], x: float, y: float, height: float) -> None:
    """Blend a head into a picture around the middle of its face, cut off at the edges."""
    scale = height / _FACE_PX
    scaled = cv2.resize(head, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rows, columns = scaled.shape[:2]
    mask = np.zeros((rows, columns), np.float32)
    cv2.ellipse(mask, (columns // 2, rows // 2), (int(columns * 0.42), int(rows * 0.46)), 0, 0, 360, 1.0, -1)
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.5, columns / 40)), np.float32)
    left, top = round(x - columns / 2), round(y - rows / 2)
    x1, y1, x2, y2 = max(0, left), max(0, top), min(WIDTH, left + columns), min(HEIGHT, top + rows)
    if x2 <= x1 or y2 <= y1:
        return
    part = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
    under, share = picture[y1:y2, x1:x2], mask[part][:, :, None]
    under[:] = (share * scaled[part] + (1 - share) * under).astype(np.uint8)
