from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models import convert_voice_encoder
from models.convert_voice_encoder import (
    compare_with_torch,
    drawn_spectrum,
    encoder_graph,
    install_voice_encoder,
    published_weights,
)
from models.convert_voice_encoder import (
    convert_voice_encoder as convert,
)
from models.errors import ConversionError, InputError
from models.registry import Registry
from models.session import open_session
from models.voice_activity import load_voice_activity
from models.voice_clusters import ClusterConfig, ClusterDiariser, grouped
from models.voice_encoder import EMBEDDING, PIECE, VoiceEncoder, mel_powers

RATE = 16_000


def tensors(seed: int) -> dict[str, NDArray[np.float32]]:
    """Random weights in the shape of the published encoder."""
    content = json.loads((resources.files("models") / "voice_encoder_recorded.json").read_text())
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 0.06, shape).astype(np.float32) for name, (_, shape) in content["tensors"].items()
    }


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-values)))


def by_hand(weights: dict[str, NDArray[np.float32]], spectrum: NDArray[np.float32]) -> NDArray[np.float64]:
    """The encoder step by step, with the gates in torch's order."""
    flow = spectrum.astype(np.float64)
    for layer in range(3):
        hidden = cell = np.zeros(256)
        steps = []
        for frame in flow:
            sums = (
                weights[f"lstm.weight_ih_l{layer}"] @ frame
                + weights[f"lstm.bias_ih_l{layer}"]
                + weights[f"lstm.weight_hh_l{layer}"] @ hidden
                + weights[f"lstm.bias_hh_l{layer}"]
            )
            enter, forget, fresh, leave = np.split(sums, 4)
            cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(fresh)
            hidden = sigmoid(leave) * np.tanh(cell)
            steps.append(hidden)
        flow = np.stack(steps)
    out = np.maximum(weights["linear.weight"] @ flow[-1] + weights["linear.bias"], 0.0)
    return np.asarray(out / np.linalg.norm(out))


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> VoiceEncoder:
    path = tmp_path_factory.mktemp("encoder") / "encoder.onnx"
    path.write_bytes(encoder_graph(tensors(3)))
    file: Any = SimpleNamespace(path=path, version_of=lambda: ("ge2e", "0", "x"))
    return VoiceEncoder(file)


def test_the_graph_computes_what_the_layers_say() -> None:
    weights = tensors(1)
    (found,) = open_session(encoder_graph(weights)).run({"spectra": drawn_spectrum(1)[None]})
    assert found.shape == (1, EMBEDDING)
    assert found[0] == pytest.approx(by_hand(weights, drawn_spectrum(1)), abs=1e-5)


def test_a_network_that_differs_from_the_original_is_refused() -> None:
    with pytest.raises(ConversionError, match="differs from the original"):
        compare_with_torch(encoder_graph(tensors(2)))


def test_another_file_is_never_read_as_weights(tmp_path: Path) -> None:
    other = tmp_path / "pretrained.pt"
    other.write_bytes(b"\x80\x02cos\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03.")
    with pytest.raises(ConversionError, match="has SHA-256"):
        convert(other)
    with pytest.raises(ConversionError, match="cannot be read"):
        convert(tmp_path / "nowhere.pt")


def test_the_converter_imports_nothing_that_unpickles() -> None:
    source = Path(convert_voice_encoder.__file__).read_text(encoding="utf-8")
    assert not any(f"import {name}" in source for name in ("pickle", "torch", "resemblyzer"))


def test_the_published_weights_give_the_file_of_the_card(tmp_path: Path) -> None:
    try:
        weights = published_weights()
    except ConversionError:
        pytest.skip("resemblyzer is not installed (an optional package)")
    (card,) = Registry.default().versions("ge2e")
    path, agreement = install_voice_encoder(weights, tmp_path, card.file.name, sha256=card.file.sha256)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card.file.sha256
    assert agreement.largest_difference < 1e-5


def test_mel_powers_are_those_of_librosa() -> None:
    n = np.arange(2 * RATE)
    sound = ((n * 37) % 1000 - 500) / 1000 * 0.2 * ((n // 400) % 7 / 7) + 0.1 * np.sin(
        2 * np.pi * 220 * n / RATE
    )
    found = mel_powers(sound.astype(np.float32))
    assert found.shape == (201, 40)
    # Every 50th frame and 8th band of librosa 0.11.0 on the same sound.
    expected = [
        [0.050359, 0.00054, 3e-05, 3e-06, 0.0],
        [0.002278, 0.069344, 0.00083, 0.011367, 0.000955],
        [0.001718, 0.046601, 0.00056, 0.007623, 0.000642],
        [0.001259, 0.02843, 0.000351, 0.004629, 0.000391],
        [0.042675, 0.003827, 0.000323, 0.000633, 5.8e-05],
    ]
    assert found[::50, ::8] == pytest.approx(np.array(expected), abs=1e-6)


def test_no_piece_gives_no_vector_and_a_piece_one_of_length_one(stand_in: VoiceEncoder) -> None:
    assert stand_in.vectors(np.zeros((0, PIECE), np.float32)).shape == (0, EMBEDDING)
    pieces = np.random.default_rng(1).normal(0, 0.1, (3, PIECE)).astype(np.float32)
    assert np.linalg.norm(stand_in.vectors(pieces), axis=1) == pytest.approx([1.0] * 3, abs=1e-5)


def voices(counts: list[int], seed: int, spread: float = 0.03) -> NDArray[np.float32]:
    """Vectors around as many centres as there are counts."""
    rng = np.random.default_rng(seed)
    centres = np.eye(64)[: len(counts)] + 0.2
    rows = np.concatenate(
        [centre + rng.normal(0, spread, (count, 64)) for centre, count in zip(centres, counts, strict=True)]
    )
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("counts", "most", "expected"),
    [([40], 2, 1), ([40, 30], 2, 2), ([40, 30, 20], 3, 3), ([40, 30, 20], 2, 2), ([60, 2], 2, 1)],
    ids=["one", "two", "three", "three-capped", "too-little"],
)
def test_as_many_voices_are_found_as_there_are_and_never_more_than_allowed(
    counts: list[int], most: int, expected: int, seed: int
) -> None:
    assert len(grouped(voices(counts, seed), ClusterConfig(most_voices=most))) == expected


@pytest.mark.parametrize(
    "sound", [np.zeros((2, 100), np.int16), np.zeros(100, np.float32)], ids=["two", "real"]
)
def test_other_sound_is_refused(stand_in: VoiceEncoder, sound: Any) -> None:
    with pytest.raises(InputError, match="int16"):
        ClusterDiariser(stand_in, load_voice_activity(Registry.default())).turns(sound)


def test_silence_and_a_moment_have_no_turns(stand_in: VoiceEncoder) -> None:
    diariser = ClusterDiariser(stand_in, load_voice_activity(Registry.default()))
    assert diariser.turns(np.zeros(3 * RATE, np.int16)) == ()
    assert diariser.turns(np.zeros(100, np.int16)) == ()
