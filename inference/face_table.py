"""Labelled pictures of faces: a folder and a table of boxes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

_COLUMNS: Final = ("image", "orig_w", "orig_h", "x1", "y1", "x2", "y2")
_PICTURES: Final = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


class FaceTableError(ValueError):
    """Pictures or their table of faces cannot be used; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One labelled picture.

    Attributes:
        path: Its file.
        size: Width and height of the original, in pixels; the file may be stretched.
        faces: Corners (x1, y1, x2, y2) in pixels of the original.
    """

    path: Path
    size: tuple[float, float]
    faces: tuple[tuple[float, float, float, float], ...]


def read_truth(images: Path, truth: Path) -> list[Picture]:
    """Read the labelled pictures of a folder.

    Args:
        images: Folder of pictures.
        truth: CSV with the columns image, orig_w, orig_h, x1, y1, x2, y2 in original pixels,
            one line a face. Pictures that it does not name are not looked at.

    Raises:
        FaceTableError: A folder, file, column or number is missing or wrong.
    """
    if not images.is_dir():
        raise FaceTableError(f"There is no folder of pictures at {images}: check --images.")
    present = {path.name: path for path in images.iterdir() if path.suffix.lower() in _PICTURES}
    if not present:
        raise FaceTableError(f"The folder {images} holds no picture ({', '.join(sorted(_PICTURES))}).")
    sizes: dict[str, tuple[float, float]] = {}
    faces: dict[str, list[tuple[float, float, float, float]]] = {}
    try:
        with truth.open(encoding="utf-8-sig", newline="") as stream:
            for line, (name, size, corners) in enumerate(_rows(truth, csv.DictReader(stream)), 2):
                if name not in present:
                    raise FaceTableError(f"{truth}, line {line}: there is no picture {name} in {images}.")
                sizes[name] = size
                faces.setdefault(name, []).append(corners)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FaceTableError(f"The table {truth} cannot be read: {error}. Check --gt.") from error
    if not faces:
        raise FaceTableError(f"The table {truth} names no face.")
    return [Picture(present[name], sizes[name], tuple(faces[name])) for name in sorted(faces)]


def _rows(
    truth: Path, reader: csv.DictReader[str]
) -> Iterable[tuple[str, tuple[float, float], tuple[float, float, float, float]]]:
    missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise FaceTableError(
            f"The table {truth} has no column '{missing[0]}': it needs {', '.join(_COLUMNS)}."
        )
    for line, row in enumerate(reader, 2):
        try:
            width, height, x1, y1, x2, y2 = (float(row[column]) for column in _COLUMNS[1:])
        except (TypeError, ValueError) as error:
            raise FaceTableError(f"{truth}, line {line}: sizes and corners must be numbers.") from error
        if not (np.isfinite([width, height, x1, y1, x2, y2]).all() and min(width, height) > 0):
            raise FaceTableError(f"{truth}, line {line}: sizes must be positive and corners finite.")
        if x2 <= x1 or y2 <= y1:
            raise FaceTableError(f"{truth}, line {line}: x2 must lie behind x1 and y2 below y1.")
        yield row["image"], (width, height), (x1, y1, x2, y2)


def restored(picture: Picture, longest_px: int) -> tuple[NDArray[np.uint8], float]:
    """Read a picture and undo its stretching; also return working pixels per original pixel."""
    stored = cv2.imread(str(picture.path), cv2.IMREAD_COLOR)
    if stored is None:
        raise FaceTableError(f"The picture {picture.path} cannot be read: replace or remove it.")
    width, height = picture.size
    scale = longest_px / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(stored, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False), scale
