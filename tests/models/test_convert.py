from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.convert import compare_with_original, convert_expression, drawn_picture, install_expression
from models.errors import ConversionError
from models.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "face_expression_model-weights_manifest.json"
SHARD = "face_expression_model.bin"


@pytest.fixture
def package(npm: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "package" / "model"
    folder.mkdir(parents=True)
    for name in (MANIFEST, SHARD):
        shutil.copy(npm / "face-api" / "model" / name, folder / name)
    return tmp_path / "package"


def pinned() -> str:
    (card,) = Registry([]).versions("face-api-expression")
    return card.file.sha256


def test_the_conversion_repeats_byte_for_byte_and_gives_the_pinned_file(package: Path) -> None:
    first, second = convert_expression(package), convert_expression(package / "model")
    assert first == second
    assert hashlib.sha256(first).hexdigest() == pinned()


def test_the_conversion_reads_pictures_as_the_original_network_does(package: Path) -> None:
    agreement = compare_with_original(convert_expression(package))
    assert agreement.pictures == 7
    assert agreement.largest_log_difference < 1e-4


def test_one_weight_changed_is_noticed(package: Path) -> None:
    network = onnx.load_from_string(convert_expression(package))
    (bias,) = (weight for weight in network.graph.initializer if weight.name == "fc.bias")
    values = numpy_helper.to_array(bias).copy()
    values[1] += 0.01
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    with pytest.raises(ConversionError, match="differs from the original"):
        compare_with_original(network.SerializeToString())


def test_an_installed_network_is_where_it_was_wanted(package: Path, tmp_path: Path) -> None:
    target, _ = install_expression(package, tmp_path / "models", "network.onnx", sha256=pinned())
    assert hashlib.sha256(target.read_bytes()).hexdigest() == pinned()
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["network.onnx"]


def test_a_file_other_than_the_pinned_one_is_not_installed(package: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="f" * 64):
        install_expression(package, tmp_path / "models", "network.onnx", sha256="f" * 64)
    assert not (tmp_path / "models").exists()


def _shorten(folder: Path) -> None:
    (folder / SHARD).write_bytes((folder / SHARD).read_bytes()[:-1])


def _lengthen(folder: Path) -> None:
    (folder / SHARD).write_bytes((folder / SHARD).read_bytes() + b"\0")


def _edit(folder: Path, **changes: Any) -> None:
    groups = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    groups[0]["weights"][0].update(changes)
    (folder / MANIFEST).write_text(json.dumps(groups), encoding="utf-8")


def _rename_weight(folder: Path) -> None:
    _edit(folder, name="dense0/other")


def _requantise(folder: Path) -> None:
    _edit(folder, quantization={"dtype": "uint16", "scale": 1.0, "min": 0.0})


def _spoil(folder: Path) -> None:
    (folder / MANIFEST).write_text("{", encoding="utf-8")


def _remove(folder: Path) -> None:
    (folder / SHARD).unlink()


@pytest.mark.parametrize("harm", [_shorten, _lengthen, _rename_weight, _requantise, _spoil, _remove])
def test_a_harmed_package_is_refused(package: Path, harm: Any) -> None:
    harm(package / "model")
    with pytest.raises(ConversionError):
        convert_expression(package)


def test_drawn_pictures_differ_from_one_another() -> None:
    pictures = [drawn_picture("drawn-face", mouth) for mouth in range(3)]
    assert all(picture.shape == (112, 112, 3) and picture.dtype == np.uint8 for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == 3
