"""Measure expression networks on labelled faces."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from inference.expression_cost import cost_of
from inference.face_conditions import conditions
from models.calibration import CLASSES, Features, head_features
from models.errors import InputError
from models.expression import NAME, ExpressionModel, load_expression_model
from models.expression_readers import load_expression_reader
from models.expression_scores import (
    FacePack,
    abstention_curve,
    class_recalls,
    confusion,
    read_pack,
    reliability,
    score,
)
from models.head_fitting import folds_by_person, unseen_probabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.expression_reading import ExpressionNetwork
    from models.registry import Registry

_BATCH: Final = 32
_KEPT: Final = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
_SEED: Final = 20260101
_FLOOR: Final = -14.0
_STRENGTH: Final = 0.1
"""As `models.fit_expression` fits the shipped head."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is measured beside the plain figures.

    Attributes:
        model: Name of the network; None for our own pair.
        folds: Whether a head is also fitted on the pack itself, tested on people it never saw.
        conditions: Whether small, dark, blurred and covered faces are measured as well.
    """

    model: str | None = None
    folds: bool = False
    conditions: bool = False


def evaluate_expression(
    npz: Path, registry: Registry, progress: Callable[[int, int], None], asked: Asked | None = None
) -> dict[str, Any]:
    """Measure an expression network on a face pack, before and after its calibration.

    `raw` is the network alone, one reading a face, its probabilities summed by class (predicted
    surprise is neutral). `calibrated` is what the product uses: for our own pair two mirrored
    readings, a second network and the shipped head. Faces truly surprised are left out.

    Args:
        npz: The pack; `models.expression_scores.read_pack` says what it holds.
        registry: Where the networks are looked up.
        progress: Told how many readings are done, of how many.
        asked: The network, and what else is measured.

    Returns:
        The figures that `docs/models.md` describes under *Evaluation*.

    Raises:
        InputError: The pack is unreadable or not one, or has too few people for folds.
        ModelError: The network is missing or wrong.
    """
    asked = asked or Asked()
    pack = read_pack(npz)
    network = load_expression_reader(registry, asked.model)
    hard = conditions() if asked.conditions else ()
    chosen = [[index for index, crop in enumerate(pack.images) if each.fits(crop)] for each in hard]
    total = 2 * len(pack.images) + sum(len(indices) for indices in chosen)
    done = 0

    def read(reader: ExpressionNetwork, faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        nonlocal done
        parts = []
        for start in range(0, len(faces), _BATCH):
            parts.append(reader.log_probabilities(faces[start : start + _BATCH]))
            done += len(parts[-1])
            progress(done, total)
        return np.concatenate(parts)

    started = time.perf_counter()
    logs = read(network, pack.images)
    calibrated = network.classes(logs)
    cost_s = time.perf_counter() - started
    bare = _bare(registry, asked.model)
    raw = bare.classes(read(bare, pack.images))
    figures: dict[str, Any] = {
        "raw": _figures(raw, pack.classes),
        "calibrated": _figures(calibrated, pack.classes),
        "n": len(pack.images),
        "people": _people(pack),
        "ms_per_face": round(1000 * cost_s / len(pack.images), 3),
        "models": [_version(found) for found in network.versions()],
        "abstention": _abstention(network, calibrated, pack.classes),
        "cost": cost_of(network, registry, pack.images),
    }
    if asked.folds:
        figures["folds"] = _folds(network, logs, pack)
    if hard:
        figures["conditions"] = {
            each.name: _under(
                network.classes(read(network, [each.apply(pack.images[index]) for index in indices])),
                pack.classes[indices],
                _bound(network),
            )
            for each, indices in zip(hard, chosen, strict=True)
            if indices
        }
    return figures


def _bare(registry: Registry, model: str | None) -> ExpressionNetwork:
    """Return the network alone: without head, and for our pair without second network and mirror."""
    if model is None or model.partition("@")[0] == NAME:
        return load_expression_model(registry, calibrated=False, mirrored=False)
    return load_expression_reader(registry, model, calibrated=False)


def _figures(probabilities: NDArray[np.float64], classes: NDArray[np.int64]) -> dict[str, Any]:
    return {
        **_scores(probabilities, classes),
        "recall": dict(
            zip(CLASSES, (_rounded(share) for share in class_recalls(probabilities, classes)), strict=True)
        ),
        # One row a true class, one column a likeliest class.
        "confusion": confusion(probabilities, classes).tolist(),
        "reliability": [
            {
                "above": each.above,
                "faces": each.faces,
                "confidence": _rounded(each.confidence),
                "accuracy": _rounded(each.accuracy),
            }
            for each in reliability(probabilities, classes)
        ],
    }


def _scores(probabilities: NDArray[np.float64], classes: NDArray[np.int64]) -> dict[str, float | None]:
    found = score(probabilities, classes)
    return {
        "accuracy3": _rounded(found.accuracy3),
        "auc_positive_negative": _rounded(found.auc_positive_negative),
        "ece": _rounded(found.ece),
        "neutral_recall": _rounded(found.neutral_recall),
    }


def _bound(network: ExpressionNetwork) -> float | None:
    return None if network.calibration is None else network.calibration.abstain_below


def _abstention(
    network: ExpressionNetwork, probabilities: NDArray[np.float64], classes: NDArray[np.int64]
) -> dict[str, Any]:
    bound = _bound(network)
    kept = probabilities.max(axis=1) >= (0.0 if bound is None else bound)
    right = probabilities.argmax(axis=1) == classes
    return {
        "below": bound,
        "kept": _rounded(float(kept.mean())),
        "accuracy_of_kept": _rounded(float(right[kept].mean())) if kept.any() else None,
        # What is kept leans to what is easy to see: averages over it do, too.
        "kept_by_class": {
            name: _rounded(float(kept[classes == number].mean())) if (classes == number).any() else None
            for number, name in enumerate(CLASSES)
        },
        "curve": [
            {"kept": _rounded(share), "accuracy": _rounded(accuracy)}
            for share, accuracy in abstention_curve(probabilities, classes, _KEPT)
        ],
    }


def _under(
    probabilities: NDArray[np.float64], classes: NDArray[np.int64], bound: float | None
) -> dict[str, float | int | None]:
    kept = probabilities.max(axis=1) >= (0.0 if bound is None else bound)
    right = probabilities.argmax(axis=1) == classes
    return {
        "n": len(classes),
        **_scores(probabilities, classes),
        "kept": _rounded(float(kept.mean())),
        "accuracy_of_kept": _rounded(float(right[kept].mean())) if kept.any() else None,
    }


def _folds(network: ExpressionNetwork, logs: NDArray[np.float64], pack: FacePack) -> dict[str, Any]:
    """Fit the head's method on some people of the pack and test it on the others, five times."""
    labels = _labels(network)
    features = head_features(logs, labels, Features.LABELS_AND_ODDS, _FLOOR)
    folds = folds_by_person(pack.classes, pack.persons, seed=_SEED)
    if any(len(np.unique(pack.classes[folds != fold])) < len(np.unique(pack.classes)) for fold in set(folds)):
        raise InputError(
            "A class is found with too few people to be dealt into five folds: leave out --folds."
        )
    unseen = unseen_probabilities(features, pack.classes, np.ones(len(folds)), folds, strength=_STRENGTH)
    return {
        "folds": len(set(folds.tolist())),
        "people": _people(pack),
        "numbers": 3 * (features.shape[1] + 1),
        **_figures(unseen, pack.classes),
    }


def _labels(network: ExpressionNetwork) -> tuple[tuple[str, ...], ...]:
    if isinstance(network, ExpressionModel):
        return tuple(part for part in (network.labels, network.second_labels) if part)
    return (network.labels,)


def _people(pack: FacePack) -> int | None:
    """Return how many people a pack shows; None where it does not say who they are."""
    people = len(np.unique(pack.persons))
    return None if people == 1 else people


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _version(version: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("name", "version", "sha256"), version, strict=True))
