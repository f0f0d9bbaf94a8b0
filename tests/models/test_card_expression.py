from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from models.bundles import import_bundle
from models.card import read_card
from models.card_expression import CardExpression, laid_in
from models.card_text import card_document
from models.convert import drawn_picture
from models.errors import (
    BundleError,
    CalibrationError,
    CardError,
    InputError,
    ModelHashMismatch,
    OutputError,
    UnknownModel,
)
from models.expression import ExpressionModel, load_expression_model
from models.expression_readers import load_expression_reader
from models.registry import MODELS_DIR_VARIABLE, Registry
from tests.models.small_networks import THREE, card_text, mean_network, put

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

IMAGE = """[image]
width = 16
height = 12
colour = "rgb"
layout = "nhwc"
scale = 0.00392156862745098
output = "logits"
"""
# Red speaks for negative, green for neutral, blue for positive.
RED_GREEN_BLUE = mean_network(("n", 12, 16, 3), np.eye(3) * 4, np.zeros(3))
SHARES = np.exp([4.0, 0.0, 0.0]) / np.exp([4.0, 0.0, 0.0]).sum()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(MODELS_DIR_VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


def colour(red: int, green: int, blue: int) -> NDArray[np.uint8]:
    """Return a picture of one colour as the camera gives it: BGR."""
    return np.full((30, 20, 3), (blue, green, red), np.uint8)


def test_a_network_dropped_with_its_card_reads_faces(folder: Path) -> None:
    put(folder, RED_GREEN_BLUE, IMAGE)
    network = load_expression_reader(Registry.default(), "my-net")
    red, green, blue = network.predict([colour(255, 0, 0), colour(0, 255, 0), colour(0, 0, 255)])
    assert (red.negative, green.neutral, blue.positive) == pytest.approx((SHARES[0],) * 3)
    assert red.raw == pytest.approx(tuple(SHARES))
    assert network.versions()[0][:2] == ("my-net", "1")
    assert (red.arousal, red.uncertain, red.sufficient) == (None, False, True)


@pytest.mark.parametrize(
    ("colours", "layout", "shape"),
    [
        ("rgb", "nhwc", ("n", 12, 16, 3)),
        ("bgr", "nhwc", ("n", 12, 16, 3)),
        ("rgb", "nchw", ("n", 3, 12, 16)),
        ("bgr", "nchw", ("n", 3, 12, 16)),
    ],
)
def test_colour_and_layout_are_as_the_card_says(folder: Path, colours: str, layout: str, shape: Any) -> None:
    order = np.eye(3) * 4 if colours == "rgb" else np.eye(3)[::-1] * 4
    image = IMAGE.replace('"rgb"', f'"{colours}"').replace('"nhwc"', f'"{layout}"')
    put(folder, mean_network(shape, order, np.zeros(3)), image)
    (red,) = load_expression_reader(Registry.default(), "my-net").predict([colour(255, 0, 0)])
    assert red.negative == pytest.approx(SHARES[0], abs=1e-6)


def test_pixels_are_scaled_shifted_and_divided() -> None:
    text = IMAGE + "\nmean = [0.5, 0.25, 0.0]\nstd = [0.5, 1.0, 2.0]"
    card = card_of(text)
    assert card.image is not None
    picture = laid_in(colour(255, 51, 102), card.image)
    assert picture.shape == (12, 16, 3)
    assert picture[0, 0] == pytest.approx((1.0, -0.05, 0.2), abs=1e-6)


def card_of(image: str, **changes: Any) -> Any:
    from models.card import parse_card  # noqa: PLC0415 - beside its only use

    return parse_card(card_text(RED_GREEN_BLUE, image, **changes), "here")


@pytest.mark.parametrize("kind", ["logits", "probabilities", "log-probabilities"])
def test_each_kind_of_output_gives_the_same_probabilities(folder: Path, kind: str) -> None:
    # A constant network: its bias is what the kind of output calls for.
    shares = np.array([0.2, 0.3, 0.5])
    bias = {"logits": np.log(shares) + 7, "probabilities": shares, "log-probabilities": np.log(shares)}[kind]
    put(
        folder, mean_network(("n", 12, 16, 3), np.zeros((3, 3)), bias), IMAGE.replace('"logits"', f'"{kind}"')
    )
    (read,) = load_expression_reader(Registry.default(), "my-net").predict([colour(9, 9, 9)])
    assert (read.negative, read.neutral, read.positive) == pytest.approx(tuple(shares), abs=1e-5)


@pytest.mark.parametrize(
    "labels",
    [
        ("Anger", "Neutral", "Happiness"),
        ("contempt", "surprise", "joy"),
        ("sadness", "calm", "smile"),
        ("FEAR", "surprised", "happy"),
    ],
    ids=lambda labels: labels[0].lower(),
)
def test_the_usual_names_of_labels_are_known(folder: Path, labels: tuple[str, ...]) -> None:
    put(folder, RED_GREEN_BLUE, IMAGE, labels=labels)
    reader = load_expression_reader(Registry.default(), "my-net")
    red, green, blue = reader.predict([colour(255, 0, 0), colour(0, 255, 0), colour(0, 0, 255)])
    assert min(red.negative, green.neutral, blue.positive) > 0.9


def test_valence_and_arousal_come_from_their_own_output(folder: Path) -> None:
    content = mean_network(("n", 12, 16, 3), np.eye(3) * 4, np.zeros(3), affect=True)
    image = IMAGE + (
        '\n[image.valence]\noutput = "affect"\nindex = 1\n[image.arousal]\noutput = "affect"\nindex = 5'
    )
    put(folder, content, image)
    (read,) = load_expression_reader(Registry.default(), "my-net").predict([colour(0, 102, 204)])
    assert read.valence == pytest.approx(0.4, abs=1e-6)
    assert read.arousal == pytest.approx(0.8, abs=1e-6)


def test_valence_and_arousal_may_stand_behind_the_classes_and_are_cut_off(folder: Path) -> None:
    weights = np.concatenate([np.eye(3) * 4, np.array([[3.0, 0], [0, 0], [0, -0.5]])], axis=1)
    content = mean_network(("n", 12, 16, 3), weights, np.zeros(5))
    put(folder, content, IMAGE + "\n[image.valence]\nindex = 3\n[image.arousal]\nindex = 4")
    (read,) = load_expression_reader(Registry.default(), "my-net").predict([colour(255, 0, 255)])
    assert read.valence == 1.0
    assert read.arousal == pytest.approx(-0.5)
    assert len(read.raw) == 3


@pytest.mark.parametrize(
    ("content", "image", "labels", "error", "named"),
    [
        (RED_GREEN_BLUE, "", THREE, CardError, r"\[image\]"),
        (RED_GREEN_BLUE, IMAGE, ("angry", "bored", "happy"), CardError, "bored"),
        (RED_GREEN_BLUE, IMAGE, (), CardError, "no class"),
        (RED_GREEN_BLUE, IMAGE, ("happy", "happy", "sad"), CardError, "twice"),
        (RED_GREEN_BLUE, IMAGE, ("happy", "sad"), OutputError, r"\(4, 3\)"),
        (RED_GREEN_BLUE, IMAGE, ("happy", "sad", "neutral", "angry"), OutputError, "names 4 labels"),
        (RED_GREEN_BLUE, IMAGE + '\nclass_output = "other"', THREE, CardError, "'other'"),
        (RED_GREEN_BLUE, IMAGE + "\n[image.arousal]\nindex = 3", THREE, OutputError, "column 3"),
        (RED_GREEN_BLUE, IMAGE.replace('"logits"', '"probabilities"'), THREE, OutputError, "sum to 1"),
        (
            mean_network(("n", 12, 16, 3), np.full((3, 3), np.nan), np.zeros(3)),
            IMAGE,
            THREE,
            OutputError,
            "not finite",
        ),
    ],
    ids=["no-image", "label", "no-labels", "twice", "few", "many", "output", "column", "kind", "nan"],
)
def test_a_card_that_does_not_fit_its_network_is_refused_at_load(  # noqa: PLR0917 - one row of the table
    folder: Path, content: bytes, image: str, labels: tuple[str, ...], error: type[Exception], named: str
) -> None:
    put(folder, content, image, labels=labels)
    with pytest.raises(error, match=named):
        load_expression_reader(Registry.default(), "my-net")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("width = 16", "width = 0", "image.width"),
        ("width = 16", "width = 5000", "image.width"),
        ('colour = "rgb"', 'colour = "cmyk"', "image.colour"),
        ('layout = "nhwc"', 'layout = "flat"', "image.layout"),
        ('output = "logits"', 'output = "votes"', "image.output"),
        ('output = "logits"', "", "image.output"),
        ("scale = 0.00392156862745098", "scale = 0", "image.scale"),
        ("scale = 0.00392156862745098", "mean = [1, 2]", "mean needs one number, or 3"),
        ("scale = 0.00392156862745098", "std = [0.0]", "image.std"),
        ("scale = 0.00392156862745098", "mean = [nan]", "image.mean"),
        ("scale = 0.00392156862745098", "gamma = 2", "image.gamma"),
    ],
)
def test_a_wrong_image_part_is_refused_by_key(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = tmp_path / "card.toml"
    path.write_text(card_text(RED_GREEN_BLUE, IMAGE.replace(old, new, 1)), encoding="utf-8")
    with pytest.raises(CardError) as caught:
        read_card(path)
    assert named in str(caught.value)


def test_a_file_that_is_not_the_cards_is_refused(folder: Path) -> None:
    put(folder, RED_GREEN_BLUE, IMAGE)
    (folder / "my-net.onnx").write_bytes(b"another")
    with pytest.raises(ModelHashMismatch):
        load_expression_reader(Registry.default(), "my-net")


@pytest.mark.parametrize("name", ["face-api-expression", "mini-xception", "yunet"])
def test_a_card_may_not_take_the_name_of_a_model_of_ours(folder: Path, name: str) -> None:
    put(folder, RED_GREEN_BLUE, IMAGE, name=name, file="mine.onnx")
    with pytest.raises(CardError, match=f"{name}@1 takes the name"):
        Registry.default()


def test_a_card_may_not_take_the_file_of_a_model_of_ours(folder: Path) -> None:
    put(folder, RED_GREEN_BLUE, IMAGE, file="mini-xception-25.10.3.onnx")
    with pytest.raises(CardError, match="takes the name"):
        Registry.default()


def test_an_unknown_name_and_a_model_for_something_else_are_refused(folder: Path) -> None:
    put(folder, RED_GREEN_BLUE, IMAGE, name="finder", task="face-detection")
    registry = Registry.default()
    for name in ("nobody", "finder", "silero-vad"):
        with pytest.raises(UnknownModel, match=r"card\.toml"):
            load_expression_reader(registry, name)


def test_no_name_and_the_default_name_take_our_own_pair() -> None:
    for name in (None, "face-api-expression"):
        assert isinstance(load_expression_reader(Registry.default(), name), ExpressionModel)


@pytest.mark.parametrize(
    ("name", "columns"), [("face-api-expression", slice(0, 7)), ("mini-xception", slice(7, 14))]
)
def test_our_networks_read_the_same_by_their_cards_alone(name: str, columns: slice) -> None:
    registry = Registry.default()
    crops = [np.ascontiguousarray(drawn_picture("lattice", number)[:, :, ::-1]) for number in range(3)]
    pair = load_expression_model(registry, calibrated=False, second=True).log_probabilities(crops)
    alone = CardExpression.load(registry.locate(name), None).log_probabilities(crops)
    assert alone == pytest.approx(pair[:, columns], abs=1e-4)


def test_a_users_calibration_lies_beside_the_card(folder: Path) -> None:
    put(folder, RED_GREEN_BLUE, IMAGE)
    card = folder / "my-net.card.toml"
    link = '[calibration]\nfile = "my-net-1.toml"\nversion = "m1"\n'
    card.write_text(card.read_text(encoding="utf-8") + link, encoding="utf-8")
    with pytest.raises(CalibrationError, match="in no folder of models"):
        load_expression_reader(Registry.default(), "my-net")
    sha256 = Registry.default().locate("my-net").sha256
    (folder / "my-net-1.toml").write_text(
        f"""version = "m1"
network = "my-net"
network_sha256 = "{sha256}"
labels = ["negative", "neutral", "positive"]
floor = -14.0
abstain_below = 0.8
coefficients = [[0, 0, 0.5], [0, 0.5, 0], [0.5, 0, 0]]
intercepts = [0, 0, 0]
fitted_on = "nothing"
method = "by hand"
""",
        encoding="utf-8",
    )
    network = load_expression_reader(Registry.default(), "my-net")
    assert network.version_of()[1] == "1-m1"
    (read,) = network.predict([colour(255, 0, 0)])
    assert read.positive > read.negative  # the head turns them round
    assert read.uncertain
    assert not read.sufficient
    bare = load_expression_reader(Registry.default(), "my-net", calibrated=False)
    assert bare.predict([colour(255, 0, 0)])[0].negative > 0.9


@pytest.mark.parametrize("kind", ["zip", "directory"])
def test_a_bundle_brings_its_card_along(folder: Path, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    put(source, RED_GREEN_BLUE, IMAGE)
    bundle = source
    if kind == "zip":
        bundle = tmp_path / "b.zip"
        with zipfile.ZipFile(bundle, "w") as archive:
            archive.write(source / "my-net.onnx", "deep/any name.onnx")
            archive.write(source / "my-net.card.toml", "../../card.toml")
    for _ in range(2):  # the second time everything is there already
        (imported,) = import_bundle(bundle, folder, Registry.default().cards())
        assert imported.card.key == "my-net@1"
    assert sorted(path.name for path in folder.iterdir()) == ["my-net.onnx", "my-net@1.card.toml"]
    assert load_expression_reader(Registry.default(), "my-net").labels == THREE


def test_a_bundle_with_a_shadowing_card_or_without_the_cards_file_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    put(tmp_path / "shadow", RED_GREEN_BLUE, IMAGE, name="centerface", file="mine.onnx")
    with pytest.raises(CardError, match="centerface@1 takes the name"):
        import_bundle(tmp_path / "shadow", folder, Registry.default().cards())
    put(tmp_path / "alone", RED_GREEN_BLUE, IMAGE)
    (tmp_path / "alone" / "my-net.onnx").write_bytes(b"another")
    with pytest.raises(BundleError, match="no model"):
        import_bundle(tmp_path / "alone", folder, Registry.default().cards())
    put(tmp_path / "alone", RED_GREEN_BLUE + b"\x00", IMAGE, name="other")
    with pytest.raises(BundleError, match="card of my-net@1"):
        import_bundle(tmp_path / "alone", folder, Registry.default().cards())
    assert not list(folder.glob("my-net*"))


@pytest.mark.parametrize("count", [0, 1, 33])
def test_batches_of_any_size_in_any_order_read_alike(folder: Path, seed: int, count: int) -> None:
    put(folder, RED_GREEN_BLUE, IMAGE)
    network = load_expression_reader(Registry.default(), "my-net")
    rng = np.random.default_rng(seed)
    crops = [rng.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8) for number in range(count)]
    forward = [read.positive for read in network.predict(crops)]
    backward = [read.positive for read in network.predict(crops[::-1])]
    assert len(forward) == count
    assert forward == pytest.approx(backward[::-1], abs=1e-6)
    assert network.log_probabilities(crops).shape == (count, 3)


def test_what_is_no_crop_is_refused_by_a_cards_network(folder: Path) -> None:
    put(folder, RED_GREEN_BLUE, IMAGE)
    with pytest.raises(InputError):
        load_expression_reader(Registry.default(), "my-net").predict([np.zeros((4, 4), np.uint8)])


def test_a_users_card_with_a_calibration_of_its_own_can_be_shown(folder: Path) -> None:
    put(folder, RED_GREEN_BLUE, IMAGE)
    card = folder / "my-net.card.toml"
    link = '[calibration]\nfile = "my-net-1.toml"\nversion = "m1"\n'
    card.write_text(card.read_text(encoding="utf-8") + link, encoding="utf-8")
    (known,) = Registry.default().versions("my-net")
    assert card_document(known)["calibration"] == {"file": "my-net-1.toml", "version": "m1"}
