"""Measure expression networks on labelled faces; nothing is fitted here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.expression import ExpressionModel, load_expression_model
from models.expression_scores import Scores, read_pack, score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.registry import Registry

_BATCH: Final = 32


def evaluate_expression(
    npz: Path, registry: Registry, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Measure the shipped expression network on a face pack, raw and calibrated.

    `raw` is the network alone, one reading a face, its probabilities summed by class (predicted
    surprise is neutral). `calibrated` is what the product uses: two mirrored readings and the
    shipped calibration. Faces truly surprised are left out.

    Args:
        npz: The pack; `models.expression_scores.read_pack` says what it holds.
        registry: Where the network is looked up.
        progress: Told how many readings are done, of how many.

    Raises:
        InputError: The pack is unreadable or not one.
        ModelError: The network is missing or wrong.
    """
    pack = read_pack(npz)
    shipped = load_expression_model(registry)
    bare = load_expression_model(registry, calibrated=False, mirrored=False)
    total = 2 * len(pack.images)
    calibrated, cost_s = _classes(shipped, pack.images, lambda done: progress(done, total))
    raw, _ = _classes(bare, pack.images, lambda done: progress(len(pack.images) + done, total))
    return {
        "raw": _as_dict(score(raw, pack.classes)),
        "calibrated": _as_dict(score(calibrated, pack.classes)),
        "n": len(pack.images),
        "ms_per_face": round(1000 * cost_s / len(pack.images), 3),
        "models": [_version(found) for found in shipped.versions()],
    }


def _classes(
    model: ExpressionModel, images: Sequence[NDArray[np.uint8]], progress: Callable[[int], None]
) -> tuple[NDArray[np.float64], float]:
    """Return probabilities of three classes and the seconds they took."""
    rows: list[tuple[float, float, float]] = []
    started = time.perf_counter()
    for start in range(0, len(images), _BATCH):
        rows += [
            (face.negative, face.neutral, face.positive)
            for face in model.predict(images[start : start + _BATCH])
        ]
        progress(len(rows))
    return np.asarray(rows), time.perf_counter() - started


def _as_dict(scores: Scores) -> dict[str, float | None]:
    return {
        "accuracy3": _rounded(scores.accuracy3),
        "auc_positive_negative": _rounded(scores.auc_positive_negative),
        "ece": _rounded(scores.ece),
        "neutral_recall": _rounded(scores.neutral_recall),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _version(version: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("name", "version", "sha256"), version, strict=True))
