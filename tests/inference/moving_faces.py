"""Pictures with faces at known places, and a witness that looks for what a mask left over.

The faces are photographs of named people out of the evaluation data, laid into an invented room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from inference.masks import INK
from models.face_detectors import Box

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

NS: Final = 1_000_000_000
CHALK: Final = 176


def portraits(shared: Path, count: int) -> list[Picture]:
    """Return grey photographs of different people, 128 px."""
    with np.load(shared / "data" / "faces" / "dev_named_people.npz") as pack:
        images, person = pack["images"], pack["person"]
    _, first = np.unique(person, return_index=True)
    return [images[index] for index in first[:count]]


def room(width: int = 640, height: int = 360, *, seed: int = 5) -> Picture:
    """Return an invented room without anybody in it."""
    patches = np.random.default_rng(seed).integers(60, 220, (9, 16, 3), dtype=np.uint8)
    return cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def laid(picture: Picture, portrait: Picture, x: int, y: int, side: int, *, turns: int = 0) -> Box:
    """Lay a photograph into a picture, cut at its border; return where the face itself is."""
    photograph = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_CUBIC)
    photograph = np.ascontiguousarray(np.rot90(photograph, turns))
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = max(0, x), max(0, y), min(width, x + side), min(height, y + side)
    picture[y1:y2, x1:x2] = photograph[y1 - y : y2 - y, x1 - x : x2 - x, None]
    # The packs are cut to the face: eyes to chin lie in the inner three quarters.
    edge = side / 8
    return Box(
        max(0.0, x + edge),
        max(0.0, y + edge),
        min(float(width), x + side - edge),
        min(float(height), y + side - edge),
        1.0,
    )


def survives(masked: Picture, clear: Picture, face: Box) -> float:
    """Return the share of a face's pixels that are still those of the clear picture.

    Ink and the strokes of a drawing are nobody's pixels. A pixel that was that grey before is not counted.
    """
    rows, columns = slice(int(face.y1), int(np.ceil(face.y2))), slice(int(face.x1), int(np.ceil(face.x2)))
    left, before = masked[rows, columns].astype(int), clear[rows, columns].astype(int)
    invented = np.all((left == INK[0]) | (left == CHALK), axis=2)
    telling = np.any(np.abs(before - INK[0]) > 2, axis=2)
    return float((~invented & telling).mean())
