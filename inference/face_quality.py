"""When a face is good enough to be read; every refusal has a reason that is counted.

Pose is judged by five landmarks where the detector gives them, and by the shape of its box
in any case. The limits are wide: on labelled faces a turned head is read hardly worse, and
mirror symmetry was tried and refused laughing, tilted, readable faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from inference.errors import SettingError
from inference.face_pose import head_pose
from inference.mouth_cover import mouth_sight

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.face_detectors import Box

_LOOK_PX: Final = 64
"""Faces are compared at this side at most, so that the limits hold at every distance."""


class Rejection(StrEnum):
    """Why a face was not read."""

    TOO_SMALL = "too_small"
    CUT_OFF = "cut_off"
    NOT_FRONTAL = "not_frontal"
    """The shape of its box is no frontal face's."""
    TURNED_AWAY = "turned_away"
    BENT = "bent"
    """Bent far down or up."""
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    FLAT = "flat"
    BLURRED = "blurred"
    MOUTH_COVERED = "mouth_covered"
    """By a mask, a scarf or a hand."""
    CAMERA = "camera"
    """The camera is covered, out of focus, frozen or moved: what looks like a face there is not read."""


@dataclass(frozen=True, slots=True)
class GateConfig:
    """Limits of a readable face.

    Attributes:
        min_side_px: Smallest side of the square crop, pixels of the original frame.
        max_cut: Share of the crop's side by which the box may leave the frame.
        min_aspect: Smallest width of the box over its height; detectors that clip their boxes
            make a face cut by the frame's side narrow.
        max_aspect: Largest width over height; a face bent far down or turned away is wide.
        max_yaw: Largest turn to either side, degrees, as `face_pose` estimates it.
        max_pitch: Largest bend down or up, degrees. A tilt towards a shoulder is no reason.
        min_brightness: Darkest mean grey, 0 to 255.
        max_brightness: Brightest mean grey.
        min_contrast: Smallest standard deviation of grey.
        min_sharpness: Smallest share of fine detail in the face's variance: in-focus faces
            measure 0.28 to 1.0, the same faces blurred by a 64th of their width 0.04 to 0.14,
            by a 32nd 0.007 to 0.03.
        min_mouth: Least structure where the mouth is, as `mouth_cover` measures it.
        max_tint: Largest difference of colour between jaw and cheeks, as measured there.
        cover_span_s: A mouth also counts as covered where it was in half of the pictures of so many
            seconds: a mask stays on when one picture of it looks bare.
    """

    min_side_px: int = 48
    max_cut: float = 0.15
    min_aspect: float = 0.55
    max_aspect: float = 1.1
    max_yaw: float = 40.0
    max_pitch: float = 30.0
    min_brightness: float = 35.0
    max_brightness: float = 225.0
    min_contrast: float = 10.0
    min_sharpness: float = 0.02
    min_mouth: float = 0.012
    max_tint: float = 0.3
    cover_span_s: float = 3.0

    def __post_init__(self) -> None:
        """Refuse limits that no face can meet."""
        if self.min_side_px < 1:
            raise SettingError(f"min_side_px is {self.min_side_px}; use 48, or any number from 1.")
        for name, angle in (("yaw", self.max_yaw), ("pitch", self.max_pitch)):
            if not 0.0 < angle <= 90.0:  # noqa: PLR2004 - degrees: beyond it the face is out of sight
                raise SettingError(f"max_{name} is {angle}; it must be above 0 and at most 90 degrees.")
        for name, low, high in (
            ("aspect", self.min_aspect, self.max_aspect),
            ("brightness", self.min_brightness, self.max_brightness),
        ):
            if not low < high:
                raise SettingError(f"min_{name} ({low}) must be below max_{name} ({high}).")


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """A square around a face, margin 0, clipped to the frame.

    Attributes:
        pixels: BGR view into the frame; never empty.
        side_px: Side of the square before clipping.
        cut: Share of that side that lay outside the frame, the larger of both axes.
        left_px: Column of the frame at which the pixels begin.
        top_px: Row of the frame at which they begin.
    """

    pixels: NDArray[np.uint8]
    side_px: float
    cut: float
    left_px: int = 0
    top_px: int = 0


def crop_face(image: NDArray[np.uint8], box: Box) -> FaceCrop | None:
    """Return the square on a box, or None when nothing of it lies in the image."""
    height, width = image.shape[:2]
    side = max(box.width, box.height)
    left, top = (box.x1 + box.x2 - side) / 2, (box.y1 + box.y2 - side) / 2
    x1, y1 = max(0, round(left)), max(0, round(top))
    x2, y2 = min(width, round(left + side)), min(height, round(top + side))
    if x2 <= x1 or y2 <= y1:
        return None
    # The box itself counts: a square that leaves the frame beside a narrow face cuts nothing of it.
    cut_x = max(0.0, -left, left + side - width) - (side - box.width) / 2
    cut_y = max(0.0, -top, top + side - height) - (side - box.height) / 2
    return FaceCrop(image[y1:y2, x1:x2], side, max(0.0, cut_x, cut_y) / side, x1, y1)


def reject(crop: FaceCrop, box: Box, config: GateConfig) -> Rejection | None:
    """Return why a face is not to be read, or None when it may be."""
    if crop.side_px < config.min_side_px:
        return Rejection.TOO_SMALL
    if crop.cut > config.max_cut:
        return Rejection.CUT_OFF
    if not config.min_aspect <= box.width / box.height <= config.max_aspect:
        return Rejection.NOT_FRONTAL
    return (
        _reject_pose(box, config)
        or _reject_light(_grey(crop), config)
        or (Rejection.MOUTH_COVERED if mouth_covered(crop, box, config) else None)
    )


def mouth_covered(crop: FaceCrop, box: Box, config: GateConfig) -> bool:
    """Tell whether something hides the mouth; without landmarks nobody can tell, and it counts as bare."""
    if box.landmarks is None:
        return False
    landmarks = tuple((x - crop.left_px, y - crop.top_px) for x, y in box.landmarks)
    sight = mouth_sight(crop.pixels, landmarks)
    return sight is not None and (sight.structure < config.min_mouth or sight.tint > config.max_tint)


def _reject_pose(box: Box, config: GateConfig) -> Rejection | None:
    """Judge how the head is held; landmarks that are no face say nothing, the box has been judged."""
    pose = None if box.landmarks is None else head_pose(box.landmarks)
    if pose is None:
        return None
    if abs(pose.yaw) > config.max_yaw:
        return Rejection.TURNED_AWAY
    return Rejection.BENT if abs(pose.pitch) > config.max_pitch else None


def _reject_light(grey: NDArray[np.float32], config: GateConfig) -> Rejection | None:
    mean = float(grey.mean())
    if mean < config.min_brightness:
        return Rejection.TOO_DARK
    if mean > config.max_brightness:
        return Rejection.TOO_BRIGHT
    if float(grey.std()) < config.min_contrast:
        return Rejection.FLAT
    return Rejection.BLURRED if _sharpness(grey) < config.min_sharpness else None


def _grey(crop: FaceCrop) -> NDArray[np.float32]:
    grey = cv2.cvtColor(crop.pixels, cv2.COLOR_BGR2GRAY)
    side = min(_LOOK_PX, *grey.shape)
    return cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)


def _sharpness(grey: NDArray[np.float32]) -> float:
    """Return the variance of the Laplacian over the variance of the face: free of contrast."""
    return float(cv2.Laplacian(grey, cv2.CV_32F).var()) / max(float(grey.var()), 1.0)
