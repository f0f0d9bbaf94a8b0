"""Covers before mouths, drawn at test time by the landmarks of a bare face; none of them is a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.face_detectors import Landmarks

CLOTHS: Final = {
    "blue": (210, 185, 140),
    "white": (225, 225, 225),
    "black": (40, 40, 40),
    "skin": (140, 165, 200),
}
_MASK: Final = (
    *((-0.95, 0.52), (-0.5, 0.45), (0.0, 0.36), (0.5, 0.45), (0.95, 0.52), (0.92, 1.0)),
    *((0.6, 1.45), (0.25, 1.6), (-0.25, 1.6), (-0.6, 1.45), (-0.92, 1.0)),
)
"""Corners of a mask: across in distances of the eyes, down from the eyes (0) to the mouth (1)."""
_FINGERS: Final = (0.82, 0.98, 1.14, 1.3)


def masked(
    picture: NDArray[np.uint8], landmarks: Landmarks, cloth: str, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a picture whose face wears a surgical mask with pleats, round shading and noise."""
    at, eyes = _places(landmarks)
    corners = np.array([at(*corner) for corner in _MASK])
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    across = (columns - corners[:, 0].mean()) / (np.ptp(corners[:, 0]) / 2)
    down = (rows - corners[:, 1].min()) / np.ptp(corners[:, 1])
    light = 1.05 - 0.28 * across**2 + rng.uniform(-0.2, 0.2) * across - 0.2 * down
    for place in (0.36, 0.5, 0.64):
        light -= rng.uniform(0.06, 0.16) * np.exp(-(((down - place - 0.04 * across**2) / 0.02) ** 2))
    paint = np.multiply.outer(light, np.array(CLOTHS[cloth], np.float32))
    return _laid(picture, corners, paint + rng.normal(0.0, 3.0, light.shape)[:, :, None], eyes)


def behind_hand(
    picture: NDArray[np.uint8], landmarks: Landmarks, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a picture whose face holds four fingers of its own colour before the mouth."""
    at, eyes = _places(landmarks)
    covered = picture
    x, y = (round(value) for value in at(0.4, 0.5))
    reach = max(1, round(eyes * 0.1))
    skin = picture[y - reach : y + reach, x - reach : x + reach].reshape(-1, 3).mean(axis=0)
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    for down in _FINGERS:
        root, tip = at(1.4, down), at(-rng.uniform(0.4, 0.75), down)
        along = tip - root
        part = ((columns - root[0]) * along[0] + (rows - root[1]) * along[1]) / float(along @ along)
        part = np.clip(part, 0.0, 1.0)
        off = np.hypot(columns - root[0] - part * along[0], rows - root[1] - part * along[1]) / (0.1 * eyes)
        share = np.clip((1.06 - off) / 0.1, 0.0, 1.0)[:, :, None]
        paint = np.multiply.outer(1.06 - 0.33 * np.minimum(off, 1.1) ** 3, skin)
        covered = np.clip(share * paint + (1 - share) * covered, 0, 255).astype(np.uint8)
    return covered


def bearded(picture: NDArray[np.uint8], landmarks: Landmarks, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture whose face wears a dark beard around a free mouth."""
    at, eyes = _places(landmarks)
    jaw = np.array(
        [at(*corner) for corner in ((-0.85, 0.75), (0.0, 0.79), (0.85, 0.75), (0.5, 1.6), (-0.5, 1.6))]
    )
    hair = np.clip(45 + rng.normal(0.0, 14.0, picture.shape[:2]), 0, 255)[:, :, None].repeat(3, axis=2)
    full = _laid(picture, jaw, hair, eyes)
    free = np.zeros(picture.shape[:2], np.uint8)
    x, y = (round(value) for value in at(0.0, 1.0))
    cv2.ellipse(free, (x, y), (round(eyes * 0.4), round(eyes * 0.15)), 0, 0, 360, 255, -1)
    return np.where(free[:, :, None] > 0, picture, full)


class _Places:
    """Turns places on a face into pixels."""

    def __init__(self, landmarks: Landmarks) -> None:
        points = np.array(landmarks)
        self.origin = (points[0] + points[1]) / 2
        self.down = (points[3] + points[4]) / 2 - self.origin
        self.across = points[1] - points[0]

    def __call__(self, across: float, down: float) -> NDArray[np.float64]:
        return np.asarray(self.origin + across * self.across + down * self.down)


def _places(landmarks: Landmarks) -> tuple[_Places, float]:
    places = _Places(landmarks)
    return places, float(np.hypot(*places.across))


def _laid(
    picture: NDArray[np.uint8], corners: NDArray[np.float64], paint: NDArray[np.floating], eyes: float
) -> NDArray[np.uint8]:
    area = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(area, [np.round(corners).astype(np.int32)], 255, cv2.LINE_AA)
    share = np.asarray(cv2.GaussianBlur(area, (0, 0), max(0.5, eyes * 0.012)), np.float32)[:, :, None] / 255
    return np.clip(share * paint + (1 - share) * picture, 0, 255).astype(np.uint8)
