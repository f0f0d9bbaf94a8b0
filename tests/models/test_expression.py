from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from models.convert import drawn_picture
from models.errors import InputError, ModelFileMissing, ModelHashMismatch
from models.expression import Expression, ExpressionModel, load_expression_model, summed_by_class
from models.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def model() -> ExpressionModel:
    return load_expression_model(Registry.default())


@pytest.fixture(scope="module")
def bare() -> ExpressionModel:
    return load_expression_model(Registry.default(), calibrated=False, mirrored=False)


def faces(count: int) -> list[NDArray[np.uint8]]:
    return [np.ascontiguousarray(drawn_picture("lattice", number)[:, :, ::-1]) for number in range(count)]


def test_probabilities_sum_to_one_for_crops_of_any_size(model: ExpressionModel, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [(1, 1), (24, 24), (48, 48), (112, 112), (300, 200)]
    crops = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    for read in model.predict(crops):
        assert read.negative + read.neutral + read.positive == pytest.approx(1.0)
        assert sum(read.raw) == pytest.approx(1.0)
        assert len(read.raw) == len(model.labels) == 7
        assert -1.0 <= read.valence <= 1.0
        assert 1 / 3 <= read.confidence <= 1.0


def test_the_raw_reading_is_that_of_the_recorded_original(bare: ExpressionModel) -> None:
    (read,) = bare.predict(faces(1))
    # First entry of models/expression_recorded.json, from the original network.
    expected = (0.0162812, 0.0206463, 0.9530388, 0.0005324, 0.0001035, 0.0089415, 0.0004564)
    assert read.raw == pytest.approx(expected, abs=2e-5)
    assert read.negative == pytest.approx(sum(expected[2:6]), abs=1e-4)
    assert read.neutral == pytest.approx(expected[0] + expected[6], abs=1e-4)
    assert read.positive == pytest.approx(expected[1], abs=1e-4)


def test_colour_order_matters(bare: ExpressionModel) -> None:
    (crop,) = faces(1)
    crop = crop.copy()
    crop[:, :, 0] //= 4
    one, other = bare.predict([crop, np.ascontiguousarray(crop[:, :, ::-1])])
    assert one.raw != pytest.approx(other.raw, abs=1e-3)


def test_a_face_and_its_mirror_image_read_alike(model: ExpressionModel, bare: ExpressionModel) -> None:
    crop = faces(4)[3]
    pair = [crop, np.ascontiguousarray(crop[:, ::-1])]
    one, other = model.predict(pair)
    assert one.raw == pytest.approx(other.raw, abs=1e-5)
    one, other = bare.predict(pair)
    assert one.raw != pytest.approx(other.raw, abs=1e-5)


def test_many_faces_read_as_each_alone(model: ExpressionModel) -> None:
    crops = faces(40)
    together = model.predict(crops)
    alone = [model.predict([crop])[0] for crop in crops]
    assert [read.negative for read in together] == pytest.approx([read.negative for read in alone], abs=1e-5)
    assert model.predict([]) == ()


def test_the_version_names_the_calibration(model: ExpressionModel, bare: ExpressionModel) -> None:
    assert model.version_of()[:2] == ("face-api-expression", "1.7.15-p2")
    assert [name for name, _, _ in model.versions()] == ["face-api-expression", "mini-xception"]
    assert bare.version_of()[:2] == ("face-api-expression", "1.7.15")
    assert model.version_of()[2] == bare.version_of()[2]


def without_second(folder: Path) -> Registry:
    file = Registry.default().locate("face-api-expression")
    (folder / file.card.file.name).symlink_to(file.path)
    return Registry([folder])


def test_a_missing_second_network_is_said_and_leaves_one_with_its_own_calibration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = without_second(tmp_path)
    alone = load_expression_model(registry)
    assert alone.version_of()[:2] == ("face-api-expression", "1.7.15-c2")
    assert alone.second is None
    assert "hailong models prepare" in caplog.text
    assert alone.log_probabilities(faces(2)).shape == (2, 7)
    with pytest.raises(ModelFileMissing, match="mini-xception"):
        load_expression_model(registry, second=True)


def test_a_wrong_second_network_is_refused(tmp_path: Path) -> None:
    registry = without_second(tmp_path)
    (card,) = registry.versions("mini-xception")
    (tmp_path / card.file.name).write_bytes(b"another network")
    with pytest.raises(ModelHashMismatch, match="mini-xception"):
        load_expression_model(registry)


def test_both_networks_count(model: ExpressionModel) -> None:
    assert model.calibration is not None
    once = load_expression_model(Registry.default(), calibrated=False, mirrored=False, second=True)
    shares = np.exp(once.log_probabilities(faces(1)))
    assert (shares[:, :7].sum(), shares[:, 7:].sum()) == pytest.approx((1.0, 1.0), abs=1e-4)
    logs = model.log_probabilities(faces(1))
    assert logs.shape == (1, 14)
    for columns in (slice(0, 7), slice(7, 14)):
        other = logs.copy()
        other[:, columns] = other[:, columns][:, ::-1]
        assert model.classes(other) != pytest.approx(model.classes(logs), abs=0.01)


@pytest.mark.parametrize(
    "crop",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float64), np.zeros((0, 4, 3), np.uint8), "face"],
)
def test_what_is_no_crop_is_refused(model: ExpressionModel, crop: Any) -> None:
    with pytest.raises(InputError):
        model.predict([crop])


def test_valence_and_confidence() -> None:
    read = Expression(negative=0.2, neutral=0.3, positive=0.5, raw=())
    assert read.valence == pytest.approx(0.3)
    assert read.confidence == 0.5


def test_labels_are_summed_by_class() -> None:
    shares = np.array([[0.1, 0.2, 0.7]])
    assert summed_by_class(np.log(shares), ("surprised", "neutral", "happy")) == pytest.approx(
        np.array([[0.0, 0.3, 0.7]])
    )
    assert summed_by_class(np.log(shares), ("sad", "angry", "fearful")) == pytest.approx(
        np.array([[1.0, 0, 0]])
    )


def test_calibration_helps_on_faces_of_named_people(
    model: ExpressionModel, bare: ExpressionModel, shared: Path
) -> None:
    with np.load(shared / "data" / "faces" / "dev_named_people.npz") as pack:
        kept = np.isin(pack["labels"], ["neutral", "happy", "sad", "anger"])
        chosen = np.flatnonzero(kept)[::8]
        images, labels = pack["images"][chosen], pack["labels"][chosen]
    truth = np.array([{"neutral": 1, "happy": 2}.get(str(label), 0) for label in labels])
    crops = [np.repeat(image[:, :, None], 3, axis=2) for image in images]
    right = {}
    for name, network in (("calibrated", model), ("bare", bare)):
        rows = np.array([(read.negative, read.neutral, read.positive) for read in network.predict(crops)])
        right[name] = float((rows.argmax(axis=1) == truth).mean())
    assert right["calibrated"] >= 0.80
    assert right["calibrated"] > right["bare"] + 0.02
