from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.calibration import shipped_calibration
from models.convert import drawn_picture
from models.errors import (
    CalibrationError,
    CardError,
    InputError,
    ModelFileMissing,
    ModelHashMismatch,
    OutputError,
)
from models.expression import (
    SITE_CALIBRATION,
    Expression,
    ExpressionModel,
    load_expression_model,
    summed_by_class,
)
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


def test_a_sites_own_calibration_takes_the_shipped_ones_place(tmp_path: Path, caplog: Any) -> None:
    shipped = shipped_calibration("expression-pair-2.toml").read_text(encoding="utf-8")
    own = tmp_path / SITE_CALIBRATION
    own.write_text(shipped.replace('version = "p2"', 'version = "site1"'), encoding="utf-8")
    registry = Registry([tmp_path, *Registry.default().folders])
    caplog.set_level("INFO")
    model = load_expression_model(registry)
    assert model.version_of()[1] == "1.7.15-site1"
    assert str(own) in caplog.text
    own.write_text(shipped.replace("08f86d9a", "00000000"), encoding="utf-8")
    with pytest.raises(CalibrationError, match="Fit it again"):
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


def odd_crops() -> dict[str, NDArray[np.uint8]]:
    noise = np.random.default_rng(5).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    return {
        "pixel": np.full((1, 1, 3), 77, np.uint8),
        "huge": np.full((1600, 1400, 3), 90, np.uint8),
        "wide": noise[:3],
        "tall": np.ascontiguousarray(noise[:, :2]),
        "constant": np.full((64, 64, 3), 128, np.uint8),
        "black": np.zeros((64, 64, 3), np.uint8),
        "white": np.full((64, 64, 3), 255, np.uint8),
        "slice": noise[::2, ::-1],
        "noise": noise,
    }


@pytest.mark.parametrize("name", odd_crops())
def test_odd_crops_give_finite_probabilities_alone_as_in_a_batch(model: ExpressionModel, name: str) -> None:
    crops = odd_crops()
    (alone,) = model.predict([crops[name]])
    together = dict(zip(crops, model.predict(list(crops.values())), strict=True))[name]
    for read in (alone, together):
        shares = (read.negative, read.neutral, read.positive)
        assert np.isfinite(shares).all()
        assert min(shares) >= 0.0
        assert sum(shares) == pytest.approx(1.0)
    assert together.positive == pytest.approx(alone.positive, abs=1e-5)


@pytest.mark.parametrize("count", [0, 1, 33])
def test_the_order_of_faces_changes_nothing(model: ExpressionModel, count: int) -> None:
    crops = faces(count)
    forward = [read.negative for read in model.predict(crops)]
    backward = [read.negative for read in model.predict(crops[::-1])]
    assert forward == pytest.approx(backward[::-1], abs=1e-5)
    assert model.log_probabilities(crops).shape == (count, 14)


def test_a_symmetric_picture_reads_the_same_once_and_mirrored(bare: ExpressionModel) -> None:
    crop = faces(1)[0]
    symmetric = np.ascontiguousarray(np.concatenate([crop, crop[:, ::-1]], axis=1))
    mirrored = load_expression_model(Registry.default(), calibrated=False)
    once, both = bare.predict([symmetric]), mirrored.predict([symmetric])
    assert once[0].raw == pytest.approx(both[0].raw, abs=1e-5)


def test_damaged_weights_are_refused_at_load(tmp_path: Path) -> None:
    file = Registry.default().locate("face-api-expression")
    network = onnx.load(file.path)
    for index, tensor in enumerate(network.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            network.graph.initializer[index].CopyFrom(
                numpy_helper.from_array(np.full_like(values, np.nan), tensor.name)
            )
    path = tmp_path / "damaged.onnx"
    path.write_bytes(network.SerializeToString())
    with pytest.raises(OutputError, match="not finite"):
        ExpressionModel.load(replace(file, path=path), None)


@pytest.mark.parametrize("labels", [("happy", "sad"), ("happy", "sad", "neutral")])
def test_labels_that_are_not_the_networks_are_refused_at_load(labels: tuple[str, ...]) -> None:
    file = Registry.default().locate("face-api-expression")
    card = file.card.model_copy(update={"labels": labels})
    with pytest.raises(OutputError, match=f"names {len(labels)} labels"):
        ExpressionModel.load(replace(file, card=card), None)
    with pytest.raises(CardError, match="bored"):
        ExpressionModel.load(
            replace(file, card=file.card.model_copy(update={"labels": ("bored", *file.card.labels[1:])})),
            None,
        )


def test_an_unsure_face_says_so(model: ExpressionModel) -> None:
    assert model.calibration is not None
    bound = model.calibration.abstain_below
    assert bound is not None
    reads = model.predict([*faces(20), *odd_crops().values()])
    assert {read.uncertain for read in reads} == {True, False}
    for read in reads:
        assert read.uncertain == (read.confidence < bound)
        assert read.sufficient is not read.uncertain


def test_an_expression_can_be_made_of_its_classes_alone() -> None:
    read = Expression(negative=0.2, neutral=0.3, positive=0.5, raw=())
    assert (read.arousal, read.direct_valence, read.uncertain, read.sufficient) == (None, None, False, True)
    assert replace(read, direct_valence=-0.4).valence == -0.4


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
