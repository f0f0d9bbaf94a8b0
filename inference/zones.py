"""Where the citizen sits, and what must never be looked at.

All polygons are normalised: x and y run from 0 to 1 over the frame, so one zone fits
every resolution of one camera. Privacy masks are burned in before anything else
reads a frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import cv2
import numpy as np

from inference.errors import FrameError, ZoneError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Point: TypeAlias = tuple[float, float]
Polygon: TypeAlias = tuple[Point, ...]

DEFAULT_SEAT: Final[Polygon] = ((0.22, 0.0), (0.78, 0.0), (0.78, 1.0), (0.22, 1.0))
"""The middle of a camera that faces the chair: whoever stands at either side is not read."""
_MIN_POINTS: Final = 3
_MIN_SEAT_AREA: Final = 0.01
_RASTER: Final = 128


class Rectangle(Protocol):
    """Anything with corners in pixels: a detector's box, a track's box."""

    @property
    def x1(self) -> float:
        """Left edge."""

    @property
    def y1(self) -> float:
        """Upper edge."""

    @property
    def x2(self) -> float:
        """Right edge."""

    @property
    def y2(self) -> float:
        """Lower edge."""


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of whole pixels: x1 and y1 inside, x2 and y2 just outside."""

    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True, slots=True)
class SeatZone:
    """The citizen's seat in one camera's picture.

    A face belongs to the seat when the centre of its box lies in the polygon and the box
    is at least `min_face_height` high: who sits at a counter is near, who waits behind is
    small. Nothing outside the polygon's bounds plus `margin` is shown to any network.

    Attributes:
        seat: The polygon.
        privacy_masks: Polygons painted black before anything reads the frame.
        min_face_height: Smallest height of the citizen's face, as a share of the frame's height.
        margin: Share of the frame around the seat's bounds that the detector also sees, so
            that a face at the edge is found whole.

    Raises:
        ZoneError: A polygon cannot be used.
    """

    seat: Polygon = DEFAULT_SEAT
    privacy_masks: tuple[Polygon, ...] = ()
    min_face_height: float = 0.12
    margin: float = 0.12

    def __post_init__(self) -> None:
        """Refuse what cannot be used."""
        _check_polygon("seat zone", self.seat)
        if abs(_area(self.seat)) < _MIN_SEAT_AREA:
            raise ZoneError(
                f"The seat zone covers {abs(_area(self.seat)):.2%} of the picture; it needs at least "
                f"{_MIN_SEAT_AREA:.0%}. Draw it around the place where the citizen's head moves."
            )
        for number, mask in enumerate(self.privacy_masks, start=1):
            _check_polygon(f"privacy mask {number}", mask)
        if not 0.0 <= self.min_face_height < 1.0:
            raise ZoneError(
                f"min_face_height is {self.min_face_height}; it is a share of the frame's height, "
                "from 0 to less than 1. Use 0.12 if in doubt."
            )
        if not 0.0 <= self.margin <= 1.0:
            raise ZoneError(
                f"The margin is {self.margin}; it is a share of the frame, from 0 to 1. Use 0.12 if in doubt."
            )
        if self.privacy_masks and self._covered():
            raise ZoneError(
                "The privacy masks cover the whole seat zone, so no face could ever be read. "
                "Make a mask smaller or move the seat zone."
            )

    def burn(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the frame with the privacy masks painted black; a copy if there are any.

        Raises:
            FrameError: The frame is not uint8 of shape (height, width, 3).
        """
        height, width = frame_size(pixels)
        if not self.privacy_masks:
            return pixels
        burned = pixels.copy()
        for mask in self.privacy_masks:
            # fillPoly paints the border too: rounding never uncovers a pixel of the polygon.
            cv2.fillPoly(burned, [_pixels(mask, width, height)], (0, 0, 0))
        return burned

    def region(self, width: int, height: int) -> Region:
        """Return the part of a frame of this size that the detector sees."""
        xs, ys = [x for x, _ in self.seat], [y for _, y in self.seat]
        return Region(
            x1=max(0, math.floor((min(xs) - self.margin) * width)),
            y1=max(0, math.floor((min(ys) - self.margin) * height)),
            x2=min(width, math.ceil((max(xs) + self.margin) * width)),
            y2=min(height, math.ceil((max(ys) + self.margin) * height)),
        )

    def holds(self, box: Rectangle, width: int, height: int) -> bool:
        """Tell whether a face belongs to the seat in a frame of this size."""
        if box.y2 - box.y1 < self.min_face_height * height:
            return False
        centre = ((box.x1 + box.x2) / 2 / width, (box.y1 + box.y2) / 2 / height)
        return _inside(self.seat, centre)

    def _covered(self) -> bool:
        canvas = np.zeros((_RASTER, _RASTER), np.uint8)
        cv2.fillPoly(canvas, [_pixels(self.seat, _RASTER, _RASTER)], 1)
        for mask in self.privacy_masks:
            cv2.fillPoly(canvas, [_pixels(mask, _RASTER, _RASTER)], 0)
        return not bool(canvas.any())


def frame_size(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """Return height and width of a BGR frame.

    Raises:
        FrameError: The array is not uint8 of shape (height, width, 3) with at least one pixel.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:  # noqa: PLR2004 - three axes, three colours
        raise FrameError(
            f"A picture of type {pixels.dtype} and shape {pixels.shape} arrived; readers take uint8 BGR of "
            "shape (height, width, 3). Let the source convert it before it passes the gate."
        )
    return int(pixels.shape[0]), int(pixels.shape[1])


def _pixels(polygon: Polygon, width: int, height: int) -> NDArray[np.int32]:
    corners = [(round(x * (width - 1)), round(y * (height - 1))) for x, y in polygon]
    return np.array(corners, np.int32)


def _area(polygon: Polygon) -> float:
    """Return the signed area of a polygon (shoelace)."""
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise((*polygon, polygon[0]))) / 2


def _inside(polygon: Polygon, point: Point) -> bool:
    """Tell whether a point lies in a polygon, its border included."""
    corners = np.array(polygon, np.float32).reshape(-1, 1, 2)
    return cv2.pointPolygonTest(corners, (float(point[0]), float(point[1])), measureDist=False) >= 0


def _check_polygon(name: str, polygon: Polygon) -> None:
    if len(polygon) < _MIN_POINTS:
        raise ZoneError(f"The {name} has {len(polygon)} points; a polygon needs at least {_MIN_POINTS}.")
    for number, (x, y) in enumerate(polygon, start=1):
        if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):  # also refuses NaN
            raise ZoneError(
                f"Point {number} of the {name} is ({x}, {y}); coordinates are shares of the frame, "
                "from 0 to 1. Divide pixels by the frame's width and height."
            )
    if _area(polygon) == 0.0:
        raise ZoneError(f"The {name} has no area: its points lie on one line. Draw at least a triangle.")
    if _crosses_itself(polygon):
        raise ZoneError(f"The {name} crosses itself. List its corners in order around the edge.")


def _crosses_itself(polygon: Polygon) -> bool:
    edges = list(pairwise((*polygon, polygon[0])))
    count = len(edges)
    return any(
        _cross(*edges[i], *edges[j])
        for i in range(count)
        for j in range(i + 2, count)
        if (i, j) != (0, count - 1)
    )


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
