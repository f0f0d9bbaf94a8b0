from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from models.calibration import Features, head_features, read_calibration, shipped_calibration, softmax
from models.errors import CalibrationError
from models.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ("sad", "calm", "happy")
SHA256 = "a" * 64
FILE = f"""
version = "c9"
network = "toy"
network_sha256 = "{SHA256}"
labels = ["sad", "calm", "happy"]
floor = -2.0
coefficients = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
intercepts = [0.0, 0.0, 0.0]
fitted_on = "drawn numbers"
method = "by hand"
"""


def written(folder: Path, text: str = FILE) -> Path:
    path = folder / "toy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_identity_head_gives_the_networks_probabilities_back(tmp_path: Path) -> None:
    head = read_calibration(written(tmp_path), network_sha256=SHA256, labels=LABELS, version="c9")
    shares = np.array([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]])
    assert head.apply(np.log(shares)) == pytest.approx(shares)


def test_below_the_floor_nothing_changes(tmp_path: Path) -> None:
    head = read_calibration(written(tmp_path), network_sha256=SHA256, labels=LABELS)
    near, far = head.apply(np.array([[-2.0, -0.1, -2.0]])), head.apply(np.array([[-40.0, -0.1, -9.0]]))
    assert near == pytest.approx(far)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("floor = -2.0", "floor = 1.0", "floor"),
        ("floor = -2.0", "floor = -2.0\nceiling = 1", "ceiling"),
        ("[0.0, 0.0, 1.0]]", "[0.0, 0.0]]", "columns"),
        ("[0.0, 0.0, 1.0]]", "[0.0, 0.0, nan]]", "coefficients"),
        (", [0.0, 0.0, 1.0]]", "]", "coefficients"),
        ('"happy"]', '"joy"]', "columns"),
        ('version = "c9"', 'version = "c8"', "c9"),
        (SHA256, "b" * 64, "b" * 64),
        ("floor", f'second_sha256 = "{"c" * 64}"\nfloor', "c" * 64),
        ('version = "c9"', "version = ", "cannot be read"),
    ],
)
def test_a_calibration_of_something_else_is_refused(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = written(tmp_path, FILE.replace(old, new, 1))
    assert path.read_text(encoding="utf-8") != FILE
    with pytest.raises(CalibrationError) as caught:
        read_calibration(path, network_sha256=SHA256, labels=LABELS, version="c9")
    assert named in str(caught.value)
    assert str(path) in str(caught.value)


def test_odds_are_seen_beside_the_labels_where_the_file_says_so(tmp_path: Path) -> None:
    text = FILE.replace("floor", 'features = "labels+odds"\nfloor').replace(
        "[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]",
        "[[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0]]",
    )
    head = read_calibration(written(tmp_path, text), network_sha256=SHA256, labels=LABELS)
    shares = np.array([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]])
    # Odds of positive and of neutral against negative, as scores of their classes, give the shares back.
    assert head.apply(np.log(shares)) == pytest.approx(shares)
    with pytest.raises(CalibrationError, match="takes 5 columns"):
        read_calibration(
            written(tmp_path, FILE.replace("floor", 'features = "labels+odds"\nfloor')),
            network_sha256=SHA256,
            labels=LABELS,
        )


def test_each_networks_odds_are_its_own() -> None:
    logs = np.log(np.array([[0.2, 0.3, 0.5, 0.9, 0.1]]))
    seen = head_features(logs, (LABELS, ("happy", "sad")), Features.LABELS_AND_ODDS, -14.0)
    assert seen.shape == (1, 9)
    assert seen[0, 5:7] == pytest.approx([np.log(0.5 / 0.2), np.log(0.3 / 0.2)])
    assert seen[0, 7] == pytest.approx(np.log(0.9 / 0.1))
    assert seen[0, 8] == pytest.approx(-14.0 - np.log(0.1))  # no neutral label: the floor


def test_a_head_of_two_networks_is_read_for_both(tmp_path: Path) -> None:
    path = written(tmp_path, FILE.replace("floor", f'second_sha256 = "{"c" * 64}"\nfloor'))
    head = read_calibration(path, network_sha256=SHA256, labels=LABELS, second_sha256="c" * 64)
    assert head.coefficients.shape == (3, 3)
    with pytest.raises(CalibrationError, match="d" * 64):
        read_calibration(path, network_sha256=SHA256, labels=LABELS, second_sha256="d" * 64)


def test_every_calibration_that_a_card_names_belongs_to_its_networks() -> None:
    registry = Registry([])
    cards = {card.name: card for card in registry.cards() if card.calibration is not None}
    assert set(cards) == {"face-api-expression", "mini-xception"}
    first, second = cards["face-api-expression"], cards["mini-xception"]
    assert first.calibration is not None
    assert second.calibration is not None
    alone = read_calibration(
        shipped_calibration(first.calibration.file),
        network_sha256=first.file.sha256,
        labels=first.labels,
        version=first.calibration.version,
    )
    assert alone.coefficients.shape == (3, 9)
    pair = read_calibration(
        shipped_calibration(second.calibration.file),
        network_sha256=first.file.sha256,
        labels=first.labels + second.labels,
        version=second.calibration.version,
        second_sha256=second.file.sha256,
    )
    assert pair.coefficients.shape == (3, 18)
    assert [len(labels) for labels in pair.networks] == [7, 7]
    for head in (alone, pair):
        assert head.abstain_below is not None
        assert 0.5 < head.abstain_below < 0.9
        assert (
            head.coefficients.size + head.intercepts.size <= 60
        )  # a few dozen numbers, by right of the data


def test_softmax_survives_large_scores() -> None:
    assert softmax(np.array([[1000.0, 1000.0], [-1000.0, 0.0]])) == pytest.approx(
        np.array([[0.5, 0.5], [0, 1]])
    )
