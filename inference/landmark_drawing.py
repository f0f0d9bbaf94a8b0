"""A plain face drawn on a mask: an installer sees where a head is turned, and nobody sees whose it is.

The five landmarks of a detector say how wide somebody's eyes stand and how long the nose is. None of
that is drawn. They are brought down to three angles in steps of 15 degrees, and the same invented face
is turned by those: two people who hold their heads alike have the same drawing to the pixel. It shows the
turn of the head; where the eyes look cannot be read from five points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from inference.masks import region_of
from inference.zones import frame_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from models.face_detectors import Box, Landmarks

_STEP_DEG: Final = 15
_YAW_DEG: Final = 45
_PITCH_DEG: Final = 30
_NOSE_OUT: Final = 0.6
"""How far the tip of the nose stands out, in distances of the eyes."""
_NOSE_DOWN: Final = 0.58
"""Where the tip of the nose lies between eyes (0) and mouth (1) when a head is upright."""
_EYES_TO_MOUTH: Final = 1.05
"""Distance of mouth and eyes, in distances of the eyes."""
_CHALK: Final = (176, 176, 176)
_SIZE: Final = 0.36
"""Distance of the drawn eyes, as a share of the box's shorter side."""
_POINTS: Final = 5

_STROKES: Final[tuple[tuple[tuple[float, float, float], ...], ...]] = (
    ((-0.72, -0.5, 0.0), (-0.5, -0.56, 0.05), (-0.28, -0.5, 0.1)),
    ((0.28, -0.5, 0.1), (0.5, -0.56, 0.05), (0.72, -0.5, 0.0)),
    ((0.0, -0.4, 0.2), (0.0, 0.1, _NOSE_OUT), (-0.14, 0.16, 0.3)),
    ((-0.36, 0.55, 0.1), (0.0, 0.6, 0.2), (0.36, 0.55, 0.1)),
)
"""The invented face: both eyes, nose, mouth. Right, down and towards the viewer, in distances of the eyes."""


@dataclass(frozen=True, slots=True)
class Pose:
    """How a head is turned, in steps of 15 degrees.

    Attributes:
        yaw_deg: To the right side of the picture; at most 45 either way.
        pitch_deg: Downwards; at most 30 either way.
        roll_deg: Clockwise in the picture, -180 to 165.
    """

    yaw_deg: int
    pitch_deg: int
    roll_deg: int


def pose_of(landmarks: Landmarks) -> Pose | None:
    """Tell roughly how a head is turned.

    Args:
        landmarks: Five points as on a `Box`.

    Returns:
        None where the points cannot be a face.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (_POINTS, 2) or not np.isfinite(points).all():
        return None
    left, right, nose, mouth_left, mouth_right = points
    eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
    across = right - left
    apart = float(np.hypot(*across))
    if apart < 1.0:
        return None
    across /= apart
    down = np.array([-across[1], across[0]])
    length = float((mouth - eyes) @ down)
    if length <= 0.2 * apart:  # a mouth above the eyes, or beside them
        return None
    yaw = math.atan(float((nose - eyes) @ across) / apart / _NOSE_OUT)
    lowered = float((nose - eyes) @ down) / length - _NOSE_DOWN
    pitch = math.atan(lowered * _EYES_TO_MOUTH / _NOSE_OUT)
    roll = math.atan2(across[1], across[0])
    return Pose(_stepped(yaw, _YAW_DEG), _stepped(pitch, _PITCH_DEG), _turned(roll))


def draw_faces(masked: NDArray[np.uint8], faces: Iterable[Box]) -> NDArray[np.uint8]:
    """Return a copy of a masked picture with a plain face on each mask that has landmarks.

    Args:
        masked: BGR, uint8, faces painted over.
        faces: The boxes as they were found, not grown: strokes stay inside them.
    """
    height, width = frame_size(masked)
    drawn = masked.copy()
    for face in faces:
        region = region_of(face, width, height)
        pose = pose_of(face.landmarks) if face.landmarks is not None else None
        if region is None or pose is None:
            continue
        middle = ((face.x1 + face.x2) / 2 - region.x1, (face.y1 + face.y2) / 2 - region.y1)
        # Drawing into this view cannot leave the box.
        _draw(drawn[region.y1 : region.y2, region.x1 : region.x2], pose, middle, min(face.width, face.height))
    return drawn


def _draw(paper: NDArray[np.uint8], pose: Pose, middle: tuple[float, float], side_px: float) -> None:
    yaw, pitch, roll = (math.radians(angle) for angle in (pose.yaw_deg, pose.pitch_deg, pose.roll_deg))
    thick = max(1, round(side_px / 40))
    for stroke in _STROKES:
        corners = []
        for x, y, z in stroke:
            turned_x, near = x * math.cos(yaw) + z * math.sin(yaw), z * math.cos(yaw) - x * math.sin(yaw)
            turned_y = y * math.cos(pitch) + near * math.sin(pitch)
            across = turned_x * math.cos(roll) - turned_y * math.sin(roll)
            below = turned_x * math.sin(roll) + turned_y * math.cos(roll)
            corners.append(
                (round(middle[0] + _SIZE * side_px * across), round(middle[1] + _SIZE * side_px * below))
            )
        cv2.polylines(paper, [np.array(corners, np.int32)], isClosed=False, color=_CHALK, thickness=thick)


def _stepped(angle_rad: float, limit_deg: int) -> int:
    return max(-limit_deg, min(limit_deg, round(math.degrees(angle_rad) / _STEP_DEG) * _STEP_DEG))


def _turned(angle_rad: float) -> int:
    return (round(math.degrees(angle_rad) / _STEP_DEG) * _STEP_DEG + 180) % 360 - 180
