from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hailong import app
from inference.evaluation_expression import Asked, evaluate_expression
from inference.face_conditions import blurred, bright, conditions, dark, half_covered, mouth_covered, shrunk
from models.errors import InputError, UnknownModel
from models.expression import load_expression_model
from models.expression_scores import (
    abstention_bound,
    abstention_curve,
    class_recalls,
    confusion,
    read_pack,
    reliability,
    score,
)
from models.registry import MODELS_DIR_VARIABLE, Registry
from tests.models.small_networks import mean_network, put

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = (
    '[image]\nwidth = 8\nheight = 8\ncolour = "grey"\nlayout = "nhwc"\nscale = 0.00392156862745098\n'
    'output = "logits"\n'
)
# Dark is negative, middle neutral, bright positive.
BY_LIGHT = mean_network(("n", 8, 8, 1), np.array([[-20.0, 0.0, 20.0]]), np.array([5.0, 0.0, -15.0]))
LIGHT = {"sad": 10, "neutral": 128, "happy": 245}


def pack(folder: Path, words: list[str], persons: list[int], side: int = 40) -> Path:
    images = np.stack([np.full((side, side), LIGHT[word], np.uint8) for word in words])
    path = folder / "pack.npz"
    np.savez(path, images=images, labels=np.array(words), person=np.array(persons))
    return path


@pytest.fixture
def by_light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    put(tmp_path / "models", BY_LIGHT, IMAGE, name="by-light")
    monkeypatch.setenv(MODELS_DIR_VARIABLE, str(tmp_path / "models"))
    return Registry.default()


def test_a_users_network_is_measured_by_name(by_light: Registry, tmp_path: Path) -> None:
    words = ["sad", "neutral", "happy", "happy"] * 10
    steps: list[tuple[int, int]] = []
    figures = evaluate_expression(
        pack(tmp_path, words, [number // 4 for number in range(40)]),
        by_light,
        lambda done, total: steps.append((done, total)),
        Asked("by-light", folds=True, conditions=True),
    )
    for key in ("raw", "calibrated"):
        assert figures[key]["accuracy3"] == 1.0
        assert figures[key]["auc_positive_negative"] == 1.0
        assert figures[key]["recall"] == {"negative": 1.0, "neutral": 1.0, "positive": 1.0}
        assert figures[key]["confusion"] == [[10, 0, 0], [0, 10, 0], [0, 0, 20]]
        assert sum(each["faces"] for each in figures[key]["reliability"]) == 40
    assert (figures["n"], figures["people"]) == (40, 10)
    assert figures["models"] == [
        {"name": "by-light", "version": "1", "sha256": by_light.locate("by-light").sha256}
    ]
    assert figures["folds"]["accuracy3"] == 1.0
    assert (figures["folds"]["folds"], figures["folds"]["numbers"]) == (5, 18)
    # Faces of 40 px have nothing to lose at 64 and 48 px.
    assert list(figures["conditions"]) == [
        *("height_32_px", "height_24_px", "dark", "bright", "blurred", "mouth_covered", "left_half_covered")
    ]
    assert figures["conditions"]["height_24_px"]["accuracy3"] == 1.0
    # In the dark everything is black, and black is negative to this network.
    assert figures["conditions"]["dark"]["accuracy3"] == pytest.approx(0.25)
    assert figures["abstention"]["below"] is None
    assert figures["abstention"]["kept"] == 1.0
    assert figures["abstention"]["kept_by_class"] == {"negative": 1.0, "neutral": 1.0, "positive": 1.0}
    assert steps[-1] == (40 * 2 + 7 * 40,) * 2
    json.dumps(figures, allow_nan=False)


def test_our_own_pair_is_measured_part_by_part(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = ["sad", "neutral", "happy"] * 4
    path = tmp_path / "pack.npz"
    images = rng.integers(0, 256, (12, 50, 50), dtype=np.uint8)
    np.savez(path, images=images, labels=np.array(words), person=np.zeros(12, np.int64))
    figures = evaluate_expression(path, Registry.default(), lambda _done, _total: None)
    assert {"raw", "calibrated", "n", "ms_per_face", "models", "abstention", "cost"} <= set(figures)
    assert {"accuracy3", "auc_positive_negative", "ece", "neutral_recall"} <= set(figures["raw"])
    assert "folds" not in figures
    assert "conditions" not in figures
    assert figures["people"] is None
    cost = figures["cost"]
    assert set(cost["ratio"]) == {
        *("first_network_once", "first_network_mirrored", "both_networks_once"),
        *("both_networks_mirrored", "head", "whole"),
    }
    assert cost["ratio"]["first_network_once"] == 1.0
    assert cost["ratio"]["head"] < 1.0
    assert [found["name"] for found in figures["models"]] == ["face-api-expression", "mini-xception"]
    assert 0.0 < figures["abstention"]["below"] < 1.0


def test_folds_need_people(by_light: Registry, tmp_path: Path) -> None:
    few = pack(tmp_path, ["sad", "neutral", "happy"] * 2, [1, 1, 2, 2, 3, 3])
    with pytest.raises(InputError, match="at least 5 people"):
        evaluate_expression(few, by_light, lambda _done, _total: None, Asked("by-light", folds=True))
    lone = pack(tmp_path, ["sad"] + ["happy"] * 9, list(range(10)))
    with pytest.raises(InputError, match="leave out --folds"):
        evaluate_expression(lone, by_light, lambda _done, _total: None, Asked("by-light", folds=True))


def test_an_unknown_network_is_refused(by_light: Registry, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="nobody"):
        evaluate_expression(
            pack(tmp_path, ["sad"], [1]), by_light, lambda _done, _total: None, Asked("nobody")
        )


def test_the_command_prints_one_json_object(by_light: Registry, tmp_path: Path) -> None:
    words = ["sad", "neutral", "happy"] * 5
    path = pack(tmp_path, words, list(range(15)))
    asked = ["eval", "expression", "--npz", str(path), "--model", "by-light", "--folds", "--json"]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["folds"]["people"] == 15
    wrong = CliRunner().invoke(app, [*asked[:5], "nobody"])
    assert wrong.exit_code == 2
    assert "No expression network is called 'nobody'" in wrong.stderr


def test_conditions_change_what_they_say() -> None:
    crop = np.random.default_rng(2).integers(0, 256, (60, 48, 3), dtype=np.uint8)
    crop.setflags(write=False)  # a condition that wrote into its input would fail here
    assert shrunk(crop, 24).shape == (24, 19, 3)
    assert dark(crop).mean() == pytest.approx(crop.mean() / 4, abs=1)
    assert bright(crop).max() == 255
    assert bright(crop).mean() > crop.mean()
    assert blurred(crop).std() < crop.std() / 3
    assert (mouth_covered(crop)[33:] == 205).all()
    assert (mouth_covered(crop)[:33] == crop[:33]).all()
    assert (half_covered(crop)[:, :24] == 205).all()
    assert (half_covered(crop)[:, 24:] == crop[:, 24:]).all()
    for each in conditions():
        assert each.apply(crop).dtype == np.uint8
        assert each.apply(np.full((1, 1, 3), 9, np.uint8)).size > 0


TABLE: Any = np.array([[0.9, 0.1, 0.0], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3]])
TRUTH: Any = np.array([0, 1, 0, 2])


def test_recall_confusion_and_reliability_of_a_small_table() -> None:
    assert class_recalls(TABLE, TRUTH) == (0.5, 1.0, 0.0)
    assert class_recalls(TABLE[:2], TRUTH[:2]) == (1.0, 1.0, None)
    assert confusion(TABLE, TRUTH).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 0]]
    bins = reliability(TABLE, TRUTH)
    assert [(each.above, each.faces, each.accuracy) for each in bins] == [
        *((0.4, 1, 0.0), (0.6, 1, 1.0), (0.8, 1, 0.0), (0.9, 1, 1.0))
    ]


def test_abstention_leaves_the_least_confident_out() -> None:
    assert abstention_curve(TABLE, TRUTH, (1.0, 0.5, 0.25)) == ((1.0, 0.5), (0.5, 0.5), (0.25, 1.0))
    bound = abstention_bound(TABLE, TRUTH, np.ones(4), 0.6)
    assert (bound.below, bound.kept) == (0.41, 0.75)
    assert bound.accuracy == pytest.approx(2 / 3)
    # A face that weighs more counts more: the wrong one at 0.8 must go before 0.6 is reached.
    assert abstention_bound(TABLE, TRUTH, np.array([1, 1, 9, 1]), 0.6).below == 0.81
    assert abstention_bound(TABLE, TRUTH, np.ones(4), 0.0).kept == 1.0


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "every", "least"),
    [("named_people", 12, 0.78), ("fer2013_public", 24, 0.64), ("ck48", 5, 0.75)],
    ids=["named_people", "fer2013", "ck"],
)
def test_the_shipped_head_stays_calibrated_on_every_kind_of_picture(
    shared: Path, name: str, every: int, least: float
) -> None:
    """A part of each pack: the head has seen them, so this notices a broken head, no more."""
    pack = read_pack(shared / "data" / "faces" / f"dev_{name}.npz")
    crops, classes = pack.images[::every], pack.classes[::every]
    reads = load_expression_model(Registry.default()).predict(crops)
    found = score(np.array([(read.negative, read.neutral, read.positive) for read in reads]), classes)
    assert found.accuracy3 >= least
    assert found.ece <= 0.13  # about a hundred faces: the bins alone give some
    assert found.auc_positive_negative is not None
    assert found.auc_positive_negative >= 0.95
