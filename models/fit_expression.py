"""Fit the calibration of the expression networks: `python -m models.fit_expression`.

A developer's and a site's tool, not part of the running program. The published figures come from
folds in which no person is in both halves.

    python -m models.fit_expression --out FILE.toml PACK.npz=WEIGHT ...
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from models.calibration import Features, head_features
from models.expression import SECOND_NAME, ExpressionModel, load_expression_model
from models.expression_reading import summed_by_class
from models.expression_scores import FacePack, abstention_bound, read_pack, score
from models.head_fitting import Head, fit_head, folds_by_person, unseen_probabilities
from models.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.registry import ModelFile

FLOOR: Final = -14.0
STRENGTH: Final = 0.1
"""Inverse strength of the quadratic penalty on the coefficients, features brought to one scale."""
KEPT_ACCURACY: Final = 0.90
"""What faces that are not uncertain must reach on unseen people, over packs of equal weight."""
SEED: Final = 20260101


@dataclass(frozen=True, slots=True, eq=False)
class _Mix:
    """Faces of all packs together."""

    features: NDArray[np.float64]
    classes: NDArray[np.int64]
    weights: NDArray[np.float64]
    source: NDArray[np.int64]
    persons: NDArray[np.int64]


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
    mix = _mix(model, packs, logs, weights)
    folds = folds_by_person(mix.classes, mix.persons, seed=SEED)
    unseen = unseen_probabilities(mix.features, mix.classes, mix.weights, folds, strength=STRENGTH)
    for index, name in enumerate(names):
        here = mix.source == index
        own = logs[index][:, : len(model.labels)]
        before = score(summed_by_class(own, model.labels), mix.classes[here])
        after = score(unseen[here], mix.classes[here])
        sys.stderr.write(
            f"{name}: {int(here.sum())} faces\n  before {asdict(before)}\n  after  {asdict(after)}\n"
        )
    _tell_left_out(mix, names)
    shares = np.array([1.0 / (mix.source == index).sum() for index in range(len(names))])[mix.source]
    bound = abstention_bound(unseen, mix.classes, shares, KEPT_ACCURACY)
    for index, name in enumerate(names):
        kept = (unseen.max(axis=1) >= bound.below) & (mix.source == index)
        right = (unseen[kept].argmax(axis=1) == mix.classes[kept]).mean()
        sys.stderr.write(f"{name}: kept {kept.sum() / (mix.source == index).sum():.3f}, right {right:.3f}\n")
    head = fit_head(mix.features, mix.classes, mix.weights, strength=STRENGTH)
    second = None if chosen.single else registry.locate(SECOND_NAME)
    abstention = (
        f"abstain_below = {bound.below:.2f}\nkept = {bound.kept:.3f}\nkept_accuracy = {bound.accuracy:.3f}"
    )
    chosen.out.write_text(
        _toml(
            model,
            second,
            head,
            version=chosen.calibration_version,
            fitted_on=chosen.fitted_on,
            abstention=abstention,
        ),
        encoding="utf-8",
    )
    sys.stderr.write(f"wrote {chosen.out} (sha256 {hashlib.sha256(chosen.out.read_bytes()).hexdigest()})\n")
    return 0


def expression_features(model: ExpressionModel, logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the head of a pair, or of one network, sees of its log-probabilities."""
    networks = tuple(part for part in (model.labels, model.second_labels) if part)
    return head_features(logs, networks, Features.LABELS_AND_ODDS, FLOOR)


def _mix(
    model: ExpressionModel,
    packs: Sequence[FacePack],
    logs: Sequence[NDArray[np.float64]],
    weights: Sequence[float],
) -> _Mix:
    sizes = [len(pack.classes) for pack in packs]
    emphasis = np.repeat(weights, sizes)
    return _Mix(
        features=expression_features(model, np.concatenate(logs)),
        classes=np.concatenate([pack.classes for pack in packs]),
        # A mean of 1, so that the penalty means the same whatever numbers were given.
        weights=emphasis * len(emphasis) / emphasis.sum(),
        source=np.repeat(np.arange(len(packs)), sizes),
        persons=_people(packs),
    )


def _tell_left_out(mix: _Mix, names: Sequence[str]) -> None:
    """Say how a head does on a pack of which it saw nothing."""
    for index, name in enumerate(names):
        here = mix.source == index
        if here.all():
            continue
        head = fit_head(mix.features[~here], mix.classes[~here], mix.weights[~here], strength=STRENGTH)
        found = score(head.apply(mix.features[here]), mix.classes[here])
        sys.stderr.write(f"{name} with a head of the other packs: {asdict(found)}\n")


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


def _toml(
    model: ExpressionModel,
    second: ModelFile | None,
    head: Head,
    *,
    version: str,
    fitted_on: str,
    abstention: str,
) -> str:
    rows = ",\n".join("    [" + ", ".join(f"{value:.5f}" for value in row) + "]" for row in head.coefficients)
    names = model.labels + (() if second is None else second.card.labels)
    beside = (
        ""
        if second is None
        else f'second_network = "{second.card.name}"\nsecond_sha256 = "{second.sha256}"\n'
        f"second_labels = {len(second.card.labels)}\n"
    )
    labels = ", ".join(f'"{label}"' for label in names)
    intercepts = ", ".join(f"{value:.5f}" for value in head.intercepts)
    return f"""version = "{version}"
network = "{model.name}"
network_sha256 = "{model.sha256}"
{beside}labels = [{labels}]
floor = {FLOOR}
features = "{Features.LABELS_AND_ODDS.value}"
# A face is uncertain where its likeliest class is less probable; shares on unseen people, packs equal.
{abstention}
# One row a class: negative, neutral, positive. One column a label, over log-probabilities averaged
# over a face and its mirror image; behind them each network's log-odds of positive and of neutral.
coefficients = [
{rows},
]
intercepts = [{intercepts}]
fitted_on = "{fitted_on}"
method = "multinomial regression, quadratic penalty (C = {STRENGTH}, one scale), folds of seed {SEED}"
"""


if __name__ == "__main__":
    sys.exit(main())
