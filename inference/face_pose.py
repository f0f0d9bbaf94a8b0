"""How a head is held, from five landmarks: turned, bent or tilted, in degrees.

A camera far away against the depth of a face sees it in scaled orthographic projection, so
ratios of distances on the face give angles without knowing camera or size. The nose stands
out of the plane of eyes and mouth: a turned head moves it towards one eye, a bent one
towards the mouth. The proportions are those of an average adult; a person's own differ by
what corresponds to about 10 degrees, so the limits that use these angles are wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from models.face_detectors import Landmarks

_POINTS: Final = 5
_NOSE_OUT: Final = 0.45
"""How far the tip of the nose stands before the eyes, in distances of the eyes."""
_NOSE_DOWN: Final = 0.56
"""Where the tip of the nose lies on the way from the eyes to the mouth, head straight."""
_NOSE_OUT_OF_HEIGHT: Final = 0.43
"""How far the tip of the nose stands before the eyes, in distances from eyes to mouth."""


@dataclass(frozen=True, slots=True)
class HeadPose:
    """How a head is held, degrees; all 0 for a face that looks straight into the camera.

    Attributes:
        yaw: Turn about the vertical; positive towards the picture's right.
        pitch: Bend; positive down, negative up.
        roll: Tilt towards a shoulder; positive clockwise in the picture.
    """

    yaw: float
    pitch: float
    roll: float


def head_pose(landmarks: Landmarks) -> HeadPose | None:
    """Estimate how a head is held.

    Args:
        landmarks: Five points (x, y) in pixels, as `Box.landmarks` orders them.

    Returns:
        The angles; None where the points are no face: eyes or eyes and mouth in one place, or
        points that are missing or not finite.
    """
    if len(landmarks) != _POINTS or not all(math.isfinite(value) for point in landmarks for value in point):
        return None
    (left_x, left_y), (right_x, right_y), nose, mouth_left, mouth_right = landmarks
    across_x, across_y = right_x - left_x, right_y - left_y
    eyes = math.hypot(across_x, across_y)
    if eyes < 1.0:
        return None
    middle = ((left_x + right_x) / 2, (left_y + right_y) / 2)
    mouth = ((mouth_left[0] + mouth_right[0]) / 2, (mouth_left[1] + mouth_right[1]) / 2)
    unit = (across_x / eyes, across_y / eyes)

    def upright(point: tuple[float, float]) -> tuple[float, float]:
        """Turn a point about the middle of the eyes until the eyes are level."""
        x, y = point[0] - middle[0], point[1] - middle[1]
        return x * unit[0] + y * unit[1], y * unit[0] - x * unit[1]

    nose_x, nose_y = upright(nose)
    _, mouth_y = upright(mouth)
    if abs(mouth_y) < 1.0:
        return None
    turned = math.atan2(nose_x, _NOSE_OUT * eyes)
    bent = math.atan((nose_y / mouth_y - _NOSE_DOWN) / _NOSE_OUT_OF_HEIGHT)
    tilted = math.atan2(across_y, across_x)
    if not all(map(math.isfinite, (turned, bent, tilted))):  # far enough apart to overflow
        return None
    return HeadPose(math.degrees(turned), math.degrees(bent), math.degrees(tilted))
