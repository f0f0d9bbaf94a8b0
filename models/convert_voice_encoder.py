"""Set-up of the voice encoder: from the weights in the `resemblyzer` package to ONNX.

The package publishes a torch checkpoint, which is a pickle. Nothing of it is unpickled: every
tensor is one contiguous run of little-endian float32, so the places of the tensors in that one
file (told apart by its hash) stand in `voice_encoder_recorded.json`. The same file holds what
torch gave on drawn spectra; a network that differs is not installed.

    python -m models.convert_voice_encoder [FOLDER]

installs it into a model folder, by default the one that set-up fills; `hailong models prepare` does so too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.bundles import write_whole
from models.errors import ConversionError, ModelError
from models.registry import Registry, prepared_folder
from models.session import open_session
from models.voice_encoder import EMBEDDING, FRAMES, MELS, NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

TOLERANCE: Final = 1e-4
"""Largest accepted difference of a coordinate from the original's; embeddings have length 1."""
_PACKAGE: Final = "resemblyzer"
_INSIDE: Final = "pretrained.pt"
INSTALL: Final = "'pip install --no-deps resemblyzer==0.1.4'"
_WANTED: Final = f"Install them with {INSTALL}."
_LAYERS: Final = 3
_HIDDEN: Final = 256
_OPSET: Final = 17
_IR: Final = 8
_TORCH_GATES: Final = (0, 3, 1, 2)
"""Torch orders the gates input, forget, cell, output; ONNX wants input, output, forget, cell."""


@dataclass(frozen=True, slots=True)
class EncoderAgreement:
    """How closely the converted encoder follows the original on drawn spectra."""

    spectra: int
    largest_difference: float


def encoder_present() -> bool:
    """Tell whether the package of the weights is installed."""
    return _packaged() is not None


def published_weights() -> Path:
    """Return the checkpoint of the installed `resemblyzer`, which is located and never imported.

    Raises:
        ConversionError: The package or its file is not there.
    """
    path = _packaged()
    if path is None:
        raise ConversionError(f"The weights of the voice encoder are not installed. {_WANTED}")
    return path


def _packaged() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(place) / _INSIDE
        if path.is_file():
            return path
    return None


def convert_voice_encoder(weights: Path) -> bytes:
    """Convert the encoder; the bytes depend on the weights alone, so their hash can be pinned.

    Args:
        weights: `pretrained.pt` of resemblyzer 0.1.4.

    Returns:
        A serialised ONNX network: `spectra` (n, 160, 40) float32 mel powers to `embeddings`
        (n, 256) float32 of length 1.

    Raises:
        ConversionError: The file is missing or another one.
    """
    record = _record()
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise ConversionError(
            f"The weights of the voice encoder cannot be read: {error}. {_WANTED}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != record["sha256"]:
        raise ConversionError(
            f"{weights} has SHA-256 {found}, the converter knows {record['sha256']}. {_WANTED}"
        )
    return encoder_graph(
        {
            name: np.frombuffer(content, "<f4", int(np.prod(shape)), place).reshape(shape)
            for name, (place, shape) in record["tensors"].items()
        }
    )


def encoder_graph(tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Lay the tensors of an encoder, under their torch names, into a network.

    Args:
        tensors: `lstm.weight_ih_l0` … `linear.bias`: three layers of 256 cells, 256 outputs.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, values: NDArray[Any]) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:  # noqa: ANN401 - ONNX attributes
        nodes.append(helper.make_node(kind, inputs, outputs, name=next(filter(None, outputs)), **attributes))
        return next(filter(None, outputs))

    flow = node("Transpose", ["spectra"], ["time_first"], perm=[1, 0, 2])
    direction = constant("direction", np.asarray([1], np.int64))
    last = constant("layer", np.asarray([0], np.int64))
    for layer in range(_LAYERS):
        weights = [
            constant(f"lstm{layer}.{kind}", _gates(tensors[f"lstm.weight_{kind}_l{layer}"])[None])
            for kind in ("ih", "hh")
        ]
        biases = [_gates(tensors[f"lstm.bias_{kind}_l{layer}"]) for kind in ("ih", "hh")]
        bias = constant(f"lstm{layer}.bias", np.concatenate(biases)[None])
        node("LSTM", [flow, *weights, bias], [f"steps{layer}", f"end{layer}"], hidden_size=_HIDDEN)
        flow = node("Squeeze", [f"steps{layer}", direction], [f"flow{layer}"])
    end = node("Squeeze", [f"end{_LAYERS - 1}", last], ["end"])
    linear = [constant(f"linear.{kind}", tensors[f"linear.{kind}"]) for kind in ("weight", "bias")]
    active = node("Relu", [node("Gemm", [end, *linear], ["linear"], transB=1)], ["active"])
    node("LpNormalization", [active], ["embeddings"], axis=1, p=2)
    graph = helper.make_graph(
        nodes,
        "voice_encoder",
        [helper.make_tensor_value_info("spectra", TensorProto.FLOAT, ["n", FRAMES, MELS])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", EMBEDDING])],
        constants,
    )
    network = helper.make_model(
        graph, producer_name="hailong", opset_imports=[helper.make_opsetid("", _OPSET)]
    )
    network.ir_version = _IR
    onnx.checker.check_model(network, full_check=True)
    serialised: bytes = network.SerializeToString(deterministic=True)
    return serialised


def compare_with_torch(network: bytes | Path) -> EncoderAgreement:
    """Run a converted encoder on the drawn spectra and compare with what torch gave.

    Raises:
        ConversionError: A coordinate differs by more than `TOLERANCE`.
    """
    session = open_session(network)
    recorded = _record()["recorded"]
    worst = 0.0
    for entry in recorded:
        (found,) = session.run({"spectra": drawn_spectrum(entry["variant"])[None]})
        worst = max(worst, float(np.max(np.abs(found[0] - np.asarray(entry["embedding"])))))
    if not worst <= TOLERANCE:
        raise ConversionError(
            f"The converted voice encoder differs from the original by {worst:.2g} in a coordinate "
            f"(allowed: {TOLERANCE:g}). It was not installed; check the package that it came from."
        )
    return EncoderAgreement(len(recorded), worst)


def install_voice_encoder(
    weights: Path, folder: Path, file_name: str, *, sha256: str
) -> tuple[Path, EncoderAgreement]:
    """Convert, compare and write the encoder into a model folder, atomically.

    Raises:
        ConversionError: The conversion failed, disagrees with the original, or does not give
            the file that the card pins.
    """
    network = convert_voice_encoder(weights)
    agreement = compare_with_torch(network)
    found = hashlib.sha256(network).hexdigest()
    if found != sha256:
        raise ConversionError(
            f"The converted voice encoder has SHA-256 {found}, its card demands {sha256}. It was not "
            "installed; use the versions of onnx and numpy that requirements/ pins."
        )
    target = folder / file_name
    write_whole(target, network)
    return target, agreement


def drawn_spectrum(variant: int) -> NDArray[np.float32]:
    """Draw a mel spectrum from whole-number formulas, alike in every language.

    Returns:
        float32, shape (160, 40): powers of 0 to about 0.01.
    """
    frame, mel = np.meshgrid(np.arange(FRAMES), np.arange(MELS), indexing="ij")
    shade = (frame * (3 + variant) + mel * (7 + 2 * variant) + (frame * mel >> (2 + variant % 3))) % 64
    return np.asarray(shade * shade, np.float32) / np.float32(400_000.0)


def _gates(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring the four gates of a layer, stacked along the first axis, into the order of ONNX."""
    parts = np.split(tensor, 4)
    return np.concatenate([parts[gate] for gate in _TORCH_GATES])


def _record() -> dict[str, Any]:
    text = (resources.files("models") / "voice_encoder_recorded.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def main() -> int:
    """Install the encoder; say where, or why not."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else prepared_folder()
    try:
        (card,) = Registry.default().versions(NAME)
        target, agreement = install_voice_encoder(
            published_weights(), folder, card.file.name, sha256=card.file.sha256
        )
    except (ModelError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(
        f"wrote {target}: {agreement.spectra} spectra read as by the original, largest difference "
        f"{agreement.largest_difference:.1e}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
