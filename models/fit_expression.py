"""Fit the calibration of the expression network: `python -m models.fit_expression`.

A developer's and a site's tool, not part of the running program; it needs scikit-learn (the
extra `dev`). The published figures come from folds in which no person is in both halves.

    python -m models.fit_expression --out FILE.toml PACK.npz=WEIGHT ...
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from models.expression import SECOND_NAME, ExpressionModel, load_expression_model, summed_by_class
from models.expression_scores import FacePack, read_pack, score
from models.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.registry import ModelFile

FLOOR: Final = -14.0
STRENGTH: Final = 0.01
"""Inverse strength of the quadratic penalty on the coefficients."""
FOLDS: Final = 5
_SEED: Final = 20260101


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, report on unseen people, write the calibration file."""
    parser = argparse.ArgumentParser(prog="python -m models.fit_expression", description=__doc__)
    parser.add_argument("packs", nargs="+", metavar="PACK.npz=WEIGHT")
    parser.add_argument("--out", type=Path, required=True, help="calibration file to write")
    parser.add_argument("--calibration-version", required=True, help="its version, a lower-case code")
    parser.add_argument("--fitted-on", required=True, help="one line: which faces, by what right")
    parser.add_argument("--single", action="store_true", help="for the first network alone")
    chosen = parser.parse_args(arguments)
    registry = Registry.default()
    model = load_expression_model(registry, calibrated=False, second=not chosen.single)
    names, packs, weights = [], [], []
    for entry in chosen.packs:
        path, _, weight = entry.rpartition("=")
        names.append(Path(path).name)
        packs.append(read_pack(Path(path)))
        weights.append(float(weight))
    logs = [_logs(model, pack, name) for pack, name in zip(packs, names, strict=True)]
    features = np.maximum(np.concatenate(logs), FLOOR)
    classes = np.concatenate([pack.classes for pack in packs])
    emphasis = np.concatenate(
        [np.full(len(pack.classes), weight) for pack, weight in zip(packs, weights, strict=True)]
    )
    source = np.concatenate([np.full(len(pack.classes), index) for index, pack in enumerate(packs)])
    unseen = _unseen(features, classes, emphasis, _people(packs))
    for index, name in enumerate(names):
        here = source == index
        own = logs[index][:, : len(model.labels)]
        before = score(summed_by_class(own, model.labels), classes[here])
        after = score(unseen[here], classes[here])
        sys.stderr.write(
            f"{name}: {int(here.sum())} faces\n  before {asdict(before)}\n  after  {asdict(after)}\n"
        )
    head = _head().fit(features, classes, sample_weight=emphasis)
    second = None if chosen.single else registry.locate(SECOND_NAME)
    chosen.out.write_text(
        _toml(model, second, head, chosen.calibration_version, chosen.fitted_on), encoding="utf-8"
    )
    sys.stderr.write(f"wrote {chosen.out} (sha256 {hashlib.sha256(chosen.out.read_bytes()).hexdigest()})\n")
    return 0


def _head() -> LogisticRegression:
    return LogisticRegression(C=STRENGTH, max_iter=5_000, tol=1e-8)


def _logs(model: ExpressionModel, pack: FacePack, name: str) -> NDArray[np.float64]:
    sys.stderr.write(f"reading {len(pack.images)} faces of {name}\n")
    return model.log_probabilities(pack.images)


def _people(packs: Sequence[FacePack]) -> NDArray[np.int64]:
    """Number people across packs; where a pack knows none, each face counts as a person."""
    numbers, offset = [], 0
    for pack in packs:
        own = pack.persons if pack.persons.max() > 0 else np.arange(len(pack.classes))
        numbers.append(own + offset)
        offset += int(own.max()) + 1
    return np.concatenate(numbers)


def _unseen(
    features: NDArray[np.float64],
    classes: NDArray[np.int64],
    emphasis: NDArray[np.float64],
    people: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return probabilities for every face from heads that never saw its person."""
    unseen = np.zeros((len(classes), 3))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=_SEED)
    for seen, held_out in folds.split(features, classes, people):
        head = _head().fit(features[seen], classes[seen], sample_weight=emphasis[seen])
        unseen[held_out] = head.predict_proba(features[held_out])
    return unseen


def _toml(
    model: ExpressionModel, second: ModelFile | None, head: LogisticRegression, version: str, fitted_on: str
) -> str:
    rows = ",\n".join("    [" + ", ".join(f"{value:.5f}" for value in row) + "]" for row in head.coef_)
    names = model.labels + (() if second is None else second.card.labels)
    beside = (
        ""
        if second is None
        else f'second_network = "{second.card.name}"\nsecond_sha256 = "{second.sha256}"\n'
    )
    labels = ", ".join(f'"{label}"' for label in names)
    intercepts = ", ".join(f"{value:.5f}" for value in head.intercept_)
    return f"""version = "{version}"
network = "{model.name}"
network_sha256 = "{model.sha256}"
{beside}labels = [{labels}]
floor = {FLOOR}
# One row a class: negative, neutral, positive. One column a label, over log-probabilities
# averaged over a face and its mirror image.
coefficients = [
{rows},
]
intercepts = [{intercepts}]
fitted_on = "{fitted_on}"
method = "multinomial logistic regression, quadratic penalty (C = {STRENGTH}), seed {_SEED}"
"""


if __name__ == "__main__":
    sys.exit(main())
