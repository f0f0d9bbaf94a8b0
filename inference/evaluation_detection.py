"""Measure face detectors on labelled pictures; nothing is fitted here."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from inference.face_table import FaceTableError, Picture, read_truth, restored
from inference.picture_conditions import Condition, worsened
from models.errors import ModelFileMissing
from models.face_detectors import Box, FaceDetector, choose_face_detector, load_face_detector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.registry import Registry

__all__ = ["FaceTableError", "Picture", "evaluate_detection", "matched", "read_truth"]

EVERY: Final = "all"
"""Name that stands for every detector whose file is present."""
WORKING_PX: Final = 640
"""Pictures are brought to this longer side before detection; all heights are in these pixels."""
COUNTED_PX: Final = 40
"""Faces and detections below this height do not count in the headline figures."""
OVERLAP: Final = 0.5
"""Smallest intersection over union of a detection and the face it finds."""
CURVE: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Thresholds of a curve."""
_EDGES_PX: Final = (0, 24, 40, 80, 100_000)
_FRAME: Final = (640, 360)
_TIMED: Final = 15


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
    curve: bool = False,
    conditions: bool = False,
) -> dict[str, Any]:
    """Measure one face detector, or every one that is present, on labelled pictures.

    Each picture is brought back to its original shape at a longer side of 640 px, and all heights
    are in those pixels. Detections are taken best first; each finds the not yet found face with
    which it shares the largest intersection over union, if that is at least 0.5. The headline
    recall counts faces of at least 40 px, the headline precision detections of at least 40 px
    (one that finds a face of any size is right). `by_height` gives every range.

    Args:
        images: Folder of pictures.
        truth: Table of faces; `read_truth` says what it holds.
        registry: Where detectors are looked up.
        progress: Told how many pictures are done, of how many.
        detector: Name of the detector; None takes the best one present, `all` every one present,
            as `detectors` by `name@version`, in the order of choice.
        threshold: Smallest score that counts; None takes the detector's own default.
        curve: Also give recall and precision at the thresholds of `CURVE`.
        conditions: Also measure every picture under each condition of `Condition`.

    Raises:
        FaceTableError: The folder or the table cannot be used.
        ModelError: A detector is missing or wrong.
    """
    pictures = read_truth(images, truth)
    ranks = _ranks(registry)
    names = list(ranks) if detector == EVERY else [detector]
    looks: list[Condition | None] = [None, *(Condition if conditions else ())]
    total, done = len(names) * len(looks) * len(pictures), 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    reports: dict[str, dict[str, Any]] = {}
    for name in names:
        chosen = load_face_detector(registry, name, threshold, longest_px=WORKING_PX)
        key = f"{chosen.name}@{chosen.version}"
        lowest = min(chosen.threshold, *CURVE) if curve else chosen.threshold
        searching = load_face_detector(registry, key, lowest, longest_px=WORKING_PX)
        report = _report(chosen, _Search(pictures, searching, step), looks, curve=curve)
        reports[key] = {**report, "rank": ranks.get(key)}
    if detector != EVERY:
        return next(iter(reports.values()))
    choice = choose_face_detector(registry)
    return {"detectors": reports, "chosen": choice.card.key, "reason": choice.reason}


@dataclass(frozen=True, slots=True)
class _Search:
    """One detector over all pictures."""

    pictures: Sequence[Picture]
    detector: FaceDetector
    step: Callable[[], None]

    def under(
        self, condition: Condition | None
    ) -> Iterator[tuple[NDArray[np.float64], tuple[Box, ...], float]]:
        """Yield faces, detections and milliseconds of each picture."""
        for number, picture in enumerate(self.pictures):
            image, scale = restored(picture, WORKING_PX)
            faces = np.asarray(picture.faces, np.float64).reshape(-1, 4) * scale
            if condition is not None:
                image = worsened(image, condition, faces, seed=number)
            started = time.perf_counter()
            boxes = self.detector.detect(image)
            cost_ms = 1000 * (time.perf_counter() - started)
            self.step()
            yield faces, boxes, cost_ms


def _report(
    chosen: FaceDetector, search: _Search, looks: Sequence[Condition | None], *, curve: bool
) -> dict[str, Any]:
    plain, *worse = looks
    found = list(search.under(plain))
    sheet = _sheet(found, chosen.threshold)
    report: dict[str, Any] = {
        "detector": dict(zip(("name", "version", "sha256"), chosen.version_of(), strict=True)),
        **sheet.overall.figures(),
        "by_height": {
            _label(low, high): tally.figures()
            for (low, high), tally in zip(pairwise(_EDGES_PX), sheet.ranges, strict=True)
        },
        "pictures": len(found),
        "ms": round(statistics.median(cost_ms for _, _, cost_ms in found), 2),
        "cpu_ms_640x360": _frame_cost_ms(chosen, search.pictures),
        "threshold": chosen.threshold,
    }
    if curve:
        report["curve"] = [
            {"threshold": threshold, **_sheet(found, threshold).overall.figures()} for threshold in CURVE
        ]
    if worse:
        report["by_condition"] = {
            str(condition): _sheet(search.under(condition), chosen.threshold).overall.figures()
            for condition in worse
        }
    return report


def _sheet(found: Iterable[tuple[NDArray[np.float64], tuple[Box, ...], float]], threshold: float) -> _Sheet:
    """Count what has at least a score; suppression goes from the best down, so this equals a new search."""
    sheet = _Sheet()
    for faces, boxes, _ in found:
        sure = [box for box in boxes if box.score >= threshold]
        sheet.add(faces, sure, matched(faces, sure))
    return sheet


def _frame_cost_ms(detector: FaceDetector, pictures: Sequence[Picture]) -> float:
    """Return the median processor time of this thread for a 640 x 360 picture."""
    costs = []
    for picture in pictures[:_TIMED]:
        frame = cv2.resize(restored(picture, WORKING_PX)[0], _FRAME).astype(np.uint8, copy=False)
        detector.detect(frame)
        started = time.thread_time()
        detector.detect(frame)
        costs.append(1000 * (time.thread_time() - started))
    return round(statistics.median(costs), 2)


def _ranks(registry: Registry) -> dict[str, int]:
    """Return the present detectors in the order in which they would be chosen, from 1."""
    try:
        ranked = choose_face_detector(registry).ranked
    except ModelFileMissing:
        return {}
    return {card.key: rank for rank, card in enumerate(ranked, 1)}


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


def _range(height_px: float) -> int:
    return next(index for index, (_, high) in enumerate(pairwise(_EDGES_PX)) if height_px < high)


def _label(low: int, high: int) -> str:
    return f"{low}+" if high == _EDGES_PX[-1] else f"{low}-{high}"
