"""Measure face detectors on labelled pictures; nothing is fitted here."""

from __future__ import annotations

import csv
import statistics
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from models.face_detectors import Box, load_face_detector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.registry import Registry

WORKING_PX: Final = 640
"""Pictures are brought to this longer side before detection; all heights are in these pixels."""
COUNTED_PX: Final = 40
"""Faces and detections below this height do not count in the headline figures."""
OVERLAP: Final = 0.5
"""Smallest intersection over union of a detection and the face it finds."""
_EDGES_PX: Final = (0, 24, 40, 80, 100_000)
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


@dataclass(slots=True)
class Tally:
    """Counts of one range of heights: faces by their own height, detections by theirs."""

    faces: int = 0
    found: int = 0
    detections: int = 0
    right: int = 0

    def figures(self) -> dict[str, float | int | None]:
        """Return recall, precision and what they rest on."""
        return {
            "recall": round(self.found / self.faces, 4) if self.faces else None,
            "precision": round(self.right / self.detections, 4) if self.detections else None,
            "faces": self.faces,
            "detections": self.detections,
        }


@dataclass(slots=True)
class _Sheet:
    """All counts of one evaluation."""

    overall: Tally = field(default_factory=Tally)
    ranges: list[Tally] = field(default_factory=lambda: [Tally() for _ in pairwise(_EDGES_PX)])

    def add(self, faces: NDArray[np.float64], boxes: Sequence[Box], pairs: dict[int, int]) -> None:
        """Count one picture; `pairs` leads from a detection to the face it found."""
        found = set(pairs.values())
        for index, (_, top, _, bottom) in enumerate(faces):
            tally = self.ranges[_range(bottom - top)]
            tally.faces += 1
            tally.found += index in found
            if bottom - top >= COUNTED_PX:
                self.overall.faces += 1
                self.overall.found += index in found
        for index, box in enumerate(boxes):
            tally = self.ranges[_range(box.height)]
            tally.detections += 1
            tally.right += index in pairs
            if box.height >= COUNTED_PX:
                self.overall.detections += 1
                self.overall.right += index in pairs


def evaluate_detection(
    images: Path,
    truth: Path,
    registry: Registry,
    progress: Callable[[int, int], None],
    *,
    detector: str | None = None,
    threshold: float | None = None,
) -> dict[str, Any]:
    """Measure a face detector on labelled pictures.

    Each picture is brought back to its original shape at a longer side of 640 px, and all heights
    are in those pixels. Detections are taken best first; each finds the not yet found face with
    which it shares the largest intersection over union, if that is at least 0.5. The headline
    recall counts faces of at least 40 px, the headline precision detections of at least 40 px
    (one that finds a face of any size is right). `by_height` gives every range.

    Args:
        images: Folder of pictures.
        truth: Table of faces; `read_truth` says what it holds.
        registry: Where the detector is looked up.
        progress: Told how many pictures are done, of how many.
        detector: Name of the detector; None takes the best one present.
        threshold: Smallest score that counts; None takes the detector's own default.

    Raises:
        FaceTableError: The folder or the table cannot be used.
        ModelError: The detector is missing or wrong.
    """
    pictures = read_truth(images, truth)
    chosen = load_face_detector(registry, detector, threshold, longest_px=WORKING_PX)
    sheet, costs_ms = _Sheet(), []
    for number, picture in enumerate(pictures, 1):
        image, scale = _restored(picture)
        started = time.perf_counter()
        boxes = chosen.detect(image)
        costs_ms.append(1000 * (time.perf_counter() - started))
        faces = np.asarray(picture.faces, np.float64).reshape(-1, 4) * scale
        sheet.add(faces, boxes, matched(faces, boxes))
        progress(number, len(pictures))
    return {
        "detector": dict(zip(("name", "version", "sha256"), chosen.version_of(), strict=True)),
        **sheet.overall.figures(),
        "by_height": {
            _label(low, high): tally.figures()
            for (low, high), tally in zip(pairwise(_EDGES_PX), sheet.ranges, strict=True)
        },
        "pictures": len(pictures),
        "ms": round(statistics.median(costs_ms), 2),
        "threshold": chosen.threshold,
    }


def matched(faces: NDArray[np.float64], boxes: Sequence[Box]) -> dict[int, int]:
    """Pair detections with faces, best detection first, each face at most once.

    Args:
        faces: Corners, shape (n, 4).
        boxes: Detections.

    Returns:
        Index of a detection to index of the face it found.
    """
    pairs: dict[int, int] = {}
    free = np.ones(len(faces), bool)
    for index in sorted(range(len(boxes)), key=lambda number: -boxes[number].score):
        box = boxes[index]
        width = np.minimum(faces[:, 2], box.x2) - np.maximum(faces[:, 0], box.x1)
        height = np.minimum(faces[:, 3], box.y2) - np.maximum(faces[:, 1], box.y1)
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        areas = (faces[:, 2] - faces[:, 0]) * (faces[:, 3] - faces[:, 1])
        overlap = np.where(free, shared / (areas + box.width * box.height - shared), 0.0)
        best = int(overlap.argmax()) if len(faces) else -1
        if best >= 0 and overlap[best] >= OVERLAP:
            pairs[index] = best
            free[best] = False
    return pairs


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


def _restored(picture: Picture) -> tuple[NDArray[np.uint8], float]:
    """Read a picture and undo its stretching; also return working pixels per original pixel."""
    stored = cv2.imread(str(picture.path), cv2.IMREAD_COLOR)
    if stored is None:
        raise FaceTableError(f"The picture {picture.path} cannot be read: replace or remove it.")
    width, height = picture.size
    scale = WORKING_PX / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(stored, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False), scale


def _range(height_px: float) -> int:
    return next(index for index, (_, high) in enumerate(pairwise(_EDGES_PX)) if height_px < high)


def _label(low: int, high: int) -> str:
    return f"{low}+" if high == _EDGES_PX[-1] else f"{low}-{high}"
