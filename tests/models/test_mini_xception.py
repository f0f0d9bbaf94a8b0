from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.errors import ConversionError
from models.mini_xception import (
    LABELS,
    compare_with_keras,
    convert_mini_xception,
    grey_picture,
    install_mini_xception,
    published_weights,
)
from models.registry import Registry
from models.session import open_session

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def network() -> bytes:
    return convert_mini_xception(published_weights())


def pinned() -> str:
    (card,) = Registry([]).versions("mini-xception")
    assert card.labels == LABELS
    return card.file.sha256


def test_the_conversion_repeats_byte_for_byte_and_gives_the_pinned_file(network: bytes) -> None:
    assert convert_mini_xception(published_weights()) == network
    assert hashlib.sha256(network).hexdigest() == pinned()


def test_the_conversion_reads_pictures_as_keras_does(network: bytes) -> None:
    agreement = compare_with_keras(network)
    assert agreement.pictures == 8
    assert agreement.largest_log_difference < 1e-4


@pytest.mark.parametrize("name", ["conv2d_7/bias", "batch_normalization_9/moving_mean"])
def test_one_weight_changed_is_noticed(network: bytes, name: str) -> None:
    changed = onnx.load_from_string(network)
    (weight,) = (item for item in changed.graph.initializer if item.name == name)
    values = numpy_helper.to_array(weight).copy()
    values[1] += 0.05
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    with pytest.raises(ConversionError, match="differs from Keras"):
        compare_with_keras(changed.SerializeToString())


def test_weights_other_than_the_published_ones_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "weights.hdf5"
    shutil.copy(published_weights(), other)
    with other.open("r+b") as stream:
        stream.seek(40_000)
        stream.write(b"\1")
    with pytest.raises(ConversionError, match="SHA-256"):
        convert_mini_xception(other)
    with pytest.raises(ConversionError, match="cannot be read"):
        convert_mini_xception(tmp_path / "absent.hdf5")


def test_a_file_other_than_the_pinned_one_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="f" * 64):
        install_mini_xception(published_weights(), tmp_path / "models", "network.onnx", sha256="f" * 64)
    assert not (tmp_path / "models").exists()
    target, _ = install_mini_xception(
        published_weights(), tmp_path / "models", "network.onnx", sha256=pinned()
    )
    assert hashlib.sha256(target.read_bytes()).hexdigest() == pinned()


def test_each_picture_of_a_batch_is_read_alone(network: bytes) -> None:
    session = open_session(network)
    pictures = np.stack([grey_picture("drawn-face", mouth) for mouth in range(3)]).astype(np.float32)
    (together,) = session.run({session.input_names[0]: pictures})
    assert together.shape == (3, len(LABELS))
    assert np.exp(together).sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    for row, picture in zip(together, pictures, strict=True):
        (alone,) = session.run({session.input_names[0]: picture[None]})
        assert alone[0] == pytest.approx(row, abs=1e-4)
