from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.convert_detectors import compare_with_original, convert_face_ssd, install_face_ssd
from models.errors import ConversionError
from models.face_ssd import anchors, decoded
from models.registry import Registry
from models.session import open_session

if TYPE_CHECKING:
    from pathlib import Path

NETWORK = "ssd_mobilenetv1_model"


@pytest.fixture(scope="module")
def network(npm: Path) -> bytes:
    return convert_face_ssd(npm / "face-api")


@pytest.fixture
def package(npm: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "package" / "model"
    folder.mkdir(parents=True)
    for name in (f"{NETWORK}-weights_manifest.json", f"{NETWORK}.bin"):
        shutil.copy(npm / "face-api" / "model" / name, folder / name)
    return tmp_path / "package"


def pinned() -> str:
    (card,) = Registry([]).versions("face-api-ssd")
    return card.file.sha256


def test_the_conversion_repeats_byte_for_byte_and_gives_the_pinned_file(
    network: bytes, package: Path
) -> None:
    assert hashlib.sha256(network).hexdigest() == pinned()
    assert convert_face_ssd(package / "model") == network


def test_the_conversion_finds_on_drawn_pictures_what_the_original_found(network: bytes) -> None:
    agreement = compare_with_original(network)
    assert agreement.pictures == 3
    assert agreement.largest_score_difference < 2e-4
    assert agreement.largest_corner_difference_px < 0.1


def test_one_weight_changed_is_noticed(network: bytes) -> None:
    changed = onnx.load_from_string(network)
    name = "Prediction/BoxPredictor_0/ClassPredictor.bias"
    (bias,) = (weight for weight in changed.graph.initializer if weight.name == name)
    values = numpy_helper.to_array(bias).copy()
    values[0] += 0.05
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    with pytest.raises(ConversionError, match="differs from the original"):
        compare_with_original(changed.SerializeToString())


def test_a_harmed_or_foreign_package_installs_nothing(package: Path, tmp_path: Path) -> None:
    shard = package / "model" / f"{NETWORK}.bin"
    content = shard.read_bytes()
    harmed = bytearray(content)
    harmed[2_000_000] ^= 0x80
    for written, said in (
        (bytes(harmed), "differs from the original|SHA-256"),
        (content[:-1], "cannot|not a weight"),
    ):
        shard.write_bytes(written)
        with pytest.raises(ConversionError, match=said):
            install_face_ssd(package, tmp_path / "models", "network.onnx", sha256=pinned())
    # The table of anchors ends the shard: other anchors than the adapter's grids are noticed.
    shard.write_bytes(content[:-16] + b"\0" * 16)
    with pytest.raises(ConversionError, match="anchors"):
        install_face_ssd(package, tmp_path / "models", "network.onnx", sha256=pinned())
    shard.unlink()
    with pytest.raises(ConversionError, match="npm pack"):
        install_face_ssd(package, tmp_path / "models", "network.onnx", sha256=pinned())
    assert not (tmp_path / "models").exists()


def test_an_installed_detector_is_the_pinned_one(package: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="f" * 64):
        install_face_ssd(package, tmp_path / "models", "network.onnx", sha256="f" * 64)
    assert not (tmp_path / "models").exists()
    target, _ = install_face_ssd(package, tmp_path / "models", "network.onnx", sha256=pinned())
    assert hashlib.sha256(target.read_bytes()).hexdigest() == pinned()


@pytest.mark.parametrize(("width", "height"), [(512, 512), (320, 192), (640, 384), (32, 32), (96, 1024)])
def test_there_is_an_anchor_for_every_row_of_any_size(network: bytes, width: int, height: int) -> None:
    shifts, scores = open_session(network).run({"pictures": np.zeros((1, 3, height, width), np.float32)})
    assert anchors(width, height).shape == shifts.shape[1:] == (scores.shape[1], 4)
    assert np.isfinite(shifts).all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_a_shift_of_nothing_gives_the_anchor() -> None:
    places = anchors(512, 512)
    assert len(places) == 5118
    corners = decoded(np.zeros((5118, 4), np.float32), places)
    assert corners[0] == pytest.approx([8 - 25.6, 8 - 25.6, 8 + 25.6, 8 + 25.6])
    moved = decoded(np.array([[10.0, 0, 0, 5 * np.log(2)]], np.float32), places[:1])
    # One height down, twice as wide.
    assert moved[0] == pytest.approx([8 - 51.2, 8 + 51.2 - 25.6, 8 + 51.2, 8 + 51.2 + 25.6], abs=1e-4)
