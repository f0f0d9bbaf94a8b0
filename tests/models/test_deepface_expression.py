"""The deepface adapter: with a stand-in of the library, and with the library where it is installed.

The library's own weights cannot be had here; its network is stood in for by one of the same shape.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from models import deepface_expression
from models.deepface_expression import HOME_VARIABLE, LABELS, WEIGHTS, DeepFaceExpression
from models.errors import CardError, LibraryMissing, ModelHashMismatch, OutputError, UnknownModel
from models.expression_readers import load_expression_reader
from models.registry import MODELS_DIR_VARIABLE, Registry
from tests.models.small_networks import mean_network, put

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# Grey speaks for happy: a white face is happy, a black one neutral.
WEIGHTS_OF = np.array([[0, 0, 0, 6, 0, 0, 0]])
BIAS = np.array([0, 0, 0, -3, 0, 0, 1.0])
STAND_IN = mean_network(("n", 48, 48, 1), WEIGHTS_OF, BIAS, softmax=True)
PRESENT = all(importlib.util.find_spec(name) for name in ("deepface", "werkzeug"))


def expected(light: float) -> NDArray[np.float64]:
    powers = np.exp(WEIGHTS_OF[0] * light + BIAS)
    return np.asarray(powers / powers.sum())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(MODELS_DIR_VARIABLE, str(tmp_path / "models"))
    # Set first, so that what the adapter puts there is taken back after the test.
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("DEEPFACE_BACKEND_ENGINE", "onnx")
    drop(tmp_path / "models")
    return tmp_path / "models"


def drop(folder: Path, content: bytes = STAND_IN, labels: Sequence[str] = LABELS) -> None:
    put(folder, content, "", name="deepface", file="facial_expression_model_weights.onnx", labels=labels)


class StandIn(ModuleType):
    """A library that does what deepface 0.0.103 does to a crop when its detector is skipped."""

    def __init__(self) -> None:
        super().__init__("deepface.DeepFace")
        self.model: Any = None
        self.asked: list[dict[str, Any]] = []

    def build_model(self, *, task: str, model_name: str) -> StandIn:
        assert (task, model_name) == ("facial_attribute", "Emotion")
        return self

    def analyze(self, picture: NDArray[np.uint8], **settings: Any) -> list[dict[str, Any]]:
        self.asked.append(settings)
        light = np.full((1, 48, 48, 1), picture.mean() / 255, np.float32)
        shares = self.model.run(None, {self.model.get_inputs()[0].name: light})[0][0]
        return [{"emotion": {label: 100 * float(share) for label, share in zip(LABELS, shares, strict=True)}}]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(deepface_expression, "_installed", lambda _name: True)
    monkeypatch.setitem(sys.modules, "deepface", ModuleType("deepface"))
    monkeypatch.setitem(sys.modules, "deepface.DeepFace", stand_in)
    monkeypatch.setitem(sys.modules, "deepface.modules", ModuleType("deepface.modules"))
    monkeypatch.setitem(sys.modules, "deepface.modules.modeling", stand_in)
    return stand_in


def test_the_librarys_emotions_become_three_classes(folder: Path, library: StandIn, tmp_path: Path) -> None:
    reader = load_expression_reader(Registry.default(), "deepface")
    white, black = reader.predict([np.full((60, 50, 3), light, np.uint8) for light in (255, 0)])
    for read, light in ((white, 1.0), (black, 0.0)):
        shares = expected(light)
        assert read.raw == pytest.approx(tuple(shares), abs=1e-6)
        assert read.positive == pytest.approx(shares[3], abs=1e-6)
        assert read.neutral == pytest.approx(shares[5] + shares[6], abs=1e-6)
        assert read.negative + read.neutral + read.positive == pytest.approx(1.0)
    assert (tmp_path / "home" / WEIGHTS).read_bytes() == STAND_IN
    assert library.asked[-1] == {
        "actions": ["emotion"],
        "detector_backend": "skip",
        "enforce_detection": False,
        "align": False,
        "silent": True,
    }
    assert reader.versions()[0][:2] == ("deepface", "1")
    assert reader.predict([]) == ()


def test_another_file_where_the_library_looks_is_refused(
    folder: Path, library: StandIn, tmp_path: Path
) -> None:
    target = tmp_path / "home" / WEIGHTS
    target.parent.mkdir(parents=True)
    target.write_bytes(b"another")
    with pytest.raises(ModelHashMismatch, match="not the file of deepface@1"):
        load_expression_reader(Registry.default(), "deepface")
    assert target.read_bytes() == b"another"


def test_without_a_home_of_its_own_the_library_lives_beside_the_models(
    folder: Path, library: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, "")
    load_expression_reader(Registry.default(), "deepface")
    assert (folder / "deepface-home" / WEIGHTS).is_file()


@pytest.mark.parametrize(
    ("content", "labels", "error", "named"),
    [
        (mean_network(("n", 64, 64, 1), WEIGHTS_OF, BIAS), LABELS, OutputError, "48, 48, 1"),
        (mean_network(("n", 48, 48, 1), WEIGHTS_OF[:, :6], BIAS[:6]), LABELS, OutputError, r"\(2, 6\)"),
        (mean_network(("n", 48, 48, 1), WEIGHTS_OF * np.nan, BIAS), LABELS, OutputError, "not finite"),
        (STAND_IN, LABELS[::-1], CardError, "in its order"),
    ],
    ids=["input", "outputs", "nan", "labels"],
)
def test_a_file_that_is_not_the_librarys_is_refused_before_it_is_placed(  # noqa: PLR0917 - one row of the table
    folder: Path, library: StandIn, content: bytes, labels: Sequence[str], error: type[Exception], named: str
) -> None:
    drop(folder, content, labels)
    with pytest.raises(error, match=named):
        load_expression_reader(Registry.default(), "deepface")
    assert not (folder.parent / "home").exists()


def test_a_library_that_answers_something_else_is_refused(
    folder: Path, library: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "analyze", lambda *_args, **_settings: [{"emotion": {"happy": 100.0}}])
    with pytest.raises(OutputError, match="instead of angry"):
        load_expression_reader(Registry.default(), "deepface")


def test_an_absent_library_is_said_with_the_way_to_install_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepface_expression, "_installed", lambda name: name != "deepface")
    with pytest.raises(LibraryMissing, match=r"deepface not installed.*hailong\[deepface\]"):
        load_expression_reader(Registry.default(), "deepface")


def test_without_a_card_the_name_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_DIR_VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(UnknownModel, match=r"NAME\.card\.toml"):
        load_expression_reader(Registry.default(), "deepface")


@pytest.mark.skipif(not PRESENT, reason="the optional library deepface (extra 'deepface') is not installed")
@pytest.mark.filterwarnings("ignore")  # the library's own, at its import
def test_the_real_library_reads_a_network_of_its_shape(folder: Path) -> None:
    reader = load_expression_reader(Registry.default(), "deepface")
    assert isinstance(reader, DeepFaceExpression)
    assert "tensorflow" not in sys.modules
    assert "torch" not in sys.modules
    # Square, as a session's crops are: the library pads others with black bars.
    crops = [np.full((60, 60, 3), light, np.uint8) for light in (255, 128, 51)]
    for read, light in zip(reader.predict(crops), (1.0, 128 / 255, 0.2), strict=True):
        assert read.raw == pytest.approx(tuple(expected(light)), abs=1e-3)
    noise = np.random.default_rng(1).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    for crop in (noise, np.zeros((1, 1, 3), np.uint8), np.zeros((300, 20, 3), np.uint8)):
        (read,) = reader.predict([crop])
        assert sum(read.raw) == pytest.approx(1.0)
