"""Measure what masks leave over in recordings; nothing is fitted here."""

from __future__ import annotations

import csv
import math
import tempfile
import time
from collections import Counter
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import cv2
import numpy as np

from inference.anonymise import Request, anonymise
from inference.evaluation_detection import FaceTableError
from inference.masks import INK, region_of
from inference.recording_reader import RecordingReader, Shot, opened_recording
from inference.tracking import intersection_over_union
from models.face_detectors import Box, load_face_detector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from models.face_detectors import FaceDetector
    from models.registry import Registry

COUNTED_PX: Final = 24
"""Smaller faces do not count: nobody is recognised in them."""
_SURE: Final = 0.6
LEFT: Final = 0.01
"""Share of a face's pixels that may look like before: coding smears, and grey meets grey by chance."""
_ALIKE: Final = 16
_SAME_PLACE: Final = 0.3
_WITNESS_PX: Final = 640
_COLUMNS: Final = ("frame", "x1", "y1", "x2", "y2")


def evaluate_video(
    video: Path,
    registry: Registry,
    progress: Callable[[int, int], None],
    *,
    truth: Path | None = None,
    result: Path | None = None,
    style: Literal["mask", "drawing"] = "mask",
    detector: str | None = None,
) -> dict[str, Any]:
    """Anonymise a recording and look for what is left of its faces.

    The faces are those of the table, or those that a witness is sure of (score from 0.6) in the original.
    A face of at least 24 px leaks in a frame when more than 1 % of the pixels of its box look as before
    (within 16 of 255, pixels that were mask-grey before left out), or when the witness is sure of a
    face in the result at the same place. The witness is YuNet where its file is present; else CenterFace
    at 640 px, which is not independent of the masks, and the figures say so.

    Args:
        video: The recording.
        registry: Where detectors are looked up.
        progress: Told how many steps are done, of how many.
        truth: CSV with the columns frame (from 0), x1, y1, x2, y2 in pixels of the upright picture.
        result: A recording anonymised elsewhere, with the same frames; None makes one and removes it.
        style: Of the masks that are made.
        detector: Name of the detector that masks; None as `hailong anonymise` does.

    Raises:
        FaceTableError: The table cannot be used.
        MediaError: A recording cannot be used.
        ModelError: A detector is missing or wrong.
    """
    known = None if truth is None else read_faces(truth)
    witness, present = _witness(registry)
    made: dict[str, Any] | None = None
    with tempfile.TemporaryDirectory() as folder:
        if result is None:
            result = Path(folder) / "result.mkv"
            started = time.process_time()
            request = Request(video, result, style=style)
            made = anonymise(request, registry, progress, detector=detector).figures
            made["cpu_ms_per_frame"] = round(1000 * (time.process_time() - started) / made["frames"], 1)
        tally: Counter[str] = Counter()
        bare_s = 0.0
        bare = load_face_detector(registry, detector or "centerface", longest_px=_WITNESS_PX)
        for number, (before, after) in enumerate(zip_longest(_pictures(video), _pictures(result))):
            if before is None or after is None:
                raise FaceTableError(
                    f"{video} and {result} have different numbers of frames (they part at {number})."
                )
            if number % 10 == 0:
                started = time.process_time()
                bare.detect(before)
                bare_s += time.process_time() - started
                tally["bare"] += 1
            faces = (
                [box for box in witness.detect(before) if box.score >= _SURE]
                if known is None
                else known.get(number, [])
            )
            _judge([face for face in faces if face.height >= COUNTED_PX], before, after, witness, tally)
    bare_ms = 1000 * bare_s / max(1, tally["bare"])
    figures: dict[str, Any] = {
        "video": str(video),
        "frames": tally["frames"],
        "faces": tally["faces"],
        "frames_with_faces": tally["with_faces"],
        "leaked_frames": tally["leaked"],
        "leaked_frames_upper_95": upper_95(tally["leaked"], tally["with_faces"]),
        "uncovered_faces": tally["uncovered"],
        "found_again": tally["found_again"],
        "witness": dict(zip(("name", "version", "sha256"), witness.version_of(), strict=True)),
        "witness_independent": present
        and all(witness.name not in mask["name"] for mask in ([] if made is None else made["detectors"])),
        "truth": "table" if known is not None else "witness",
        "bare_detector_cpu_ms": round(bare_ms, 1),
        "attack": None,
    }
    if made is not None:
        figures |= {
            "painted_share": made["painted_share"],
            "whole_frame_share": round(made["covered_whole"] / made["frames"], 4),
            "by_reason": made["by_reason"],
            "cpu_ms_per_frame": made["cpu_ms_per_frame"],
            "ratio_to_bare_detector": round(made["cpu_ms_per_frame"] / bare_ms, 2) if bare_ms else None,
        }
    return figures


def read_faces(truth: Path) -> dict[int, list[Box]]:
    """Read the faces of a recording by frame.

    Raises:
        FaceTableError: A column or a number is missing or wrong; the message names file and line.
    """
    faces: dict[int, list[Box]] = {}
    try:
        with truth.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise FaceTableError(
                    f"The table {truth} has no column '{missing[0]}': it needs {', '.join(_COLUMNS)}."
                )
            for line, row in enumerate(reader, 2):
                try:
                    number = int(row["frame"])
                    corners = [float(row[column]) for column in _COLUMNS[1:]]
                except (TypeError, ValueError) as error:
                    raise FaceTableError(
                        f"{truth}, line {line}: frame and corners must be numbers."
                    ) from error
                if (
                    not all(map(math.isfinite, corners))
                    or corners[2] <= corners[0]
                    or corners[3] <= corners[1]
                ):
                    raise FaceTableError(f"{truth}, line {line}: x2 must lie behind x1 and y2 below y1.")
                faces.setdefault(number, []).append(Box(corners[0], corners[1], corners[2], corners[3], 1.0))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FaceTableError(f"The table {truth} cannot be read: {error}. Check --truth.") from error
    if not faces:
        raise FaceTableError(f"The table {truth} names no face.")
    return faces


def left_over(before: NDArray[np.uint8], after: NDArray[np.uint8], face: Box) -> float:
    """Return the share of a face's pixels that look as before.

    Args:
        before: BGR picture with the face.
        after: The same, anonymised, of the same size.
        face: Where the face is.
    """
    region = region_of(face, before.shape[1], before.shape[0])
    if region is None:
        return 0.0
    rows, columns = slice(region.y1, region.y2), slice(region.x1, region.x2)
    clear = before[rows, columns].astype(np.int16)
    alike = (np.abs(after[rows, columns].astype(np.int16) - clear) <= _ALIKE).all(axis=2)
    grey = (np.abs(clear - INK[0]) <= 2 * _ALIKE).all(axis=2)
    return float((alike & ~grey).mean())


def upper_95(count: int, of: int) -> float | None:
    """Return the exact upper bound of a share (one side, 95 %; Clopper and Pearson); None of nothing.

    Without a single case it is about three divided by how many were looked at.
    """
    if of == 0:
        return None
    if count >= of:
        return 1.0
    low, high = count / of, 1.0
    for _ in range(60):
        share = (low + high) / 2
        at_most = sum(
            math.exp(
                math.lgamma(of + 1)
                - math.lgamma(number + 1)
                - math.lgamma(of - number + 1)
                + number * math.log(share)
                + (of - number) * math.log1p(-share)
            )
            for number in range(count + 1)
        )
        low, high = (share, high) if at_most > 0.05 else (low, share)  # noqa: PLR2004 - 95 %
    return round(high, 4)


def _judge(
    faces: Sequence[Box],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    witness: FaceDetector,
    tally: Counter[str],
) -> None:
    """Count what is left of the faces of one frame."""
    tally["frames"] += 1
    if not faces:
        return
    height, width = before.shape[:2]
    shown = after[:height, :width]  # the result is even in both directions, its source may not be
    if shown.shape != before.shape:
        shown = cv2.resize(after, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    again = [box for box in witness.detect(np.ascontiguousarray(shown)) if box.score >= _SURE]
    uncovered = sum(left_over(before, shown, face) > LEFT for face in faces)
    found = sum(any(intersection_over_union(face, box) > _SAME_PLACE for box in again) for face in faces)
    tally["faces"] += len(faces)
    tally["with_faces"] += 1
    tally["uncovered"] += uncovered
    tally["found_again"] += found
    tally["leaked"] += bool(uncovered or found)


def _pictures(path: Path) -> Iterator[NDArray[np.uint8]]:
    with opened_recording(path) as (reader, video):
        for item in RecordingReader(reader, video).items((video,)):
            if isinstance(item, Shot) and item.image is not None:
                yield item.image


def _witness(registry: Registry) -> tuple[FaceDetector, bool]:
    present = any(registry.find(card) is not None for card in registry.versions("yunet"))
    name = "yunet" if present else "centerface"
    return load_face_detector(registry, name, 0.5, longest_px=_WITNESS_PX), present
