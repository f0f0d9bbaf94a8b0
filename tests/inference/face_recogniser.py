"""A face recogniser that attacks anonymised pictures; nothing of the product may hold one.

The weights are face-api's, out of the npm package that set-up fetches for the expression
network: a residual network trained to tell people apart (128 numbers a face) and a landmark
network to turn and size the faces as it expects them. Both are laid into graphs in memory
for the length of a test; none is written anywhere, has a card or can be loaded by name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.session import open_session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

CHIP_PX: Final = 150
EMBEDDING: Final = 128
_LANDMARK_PX: Final = 112
_MEAN_RGB: Final = (122.782, 117.001, 104.298)
_BATCH: Final = 16
_RIGHT_EYE, _LEFT_EYE, _SUBNASAL = slice(36, 42), slice(42, 48), 33
_FRAME: Final = np.array([[47.7, 47.1], [100.3, 47.1], [73.5, 87.8]], np.float32)
"""Where the recogniser expects both eyes and the base of the nose in a chip of 150 px."""


class Recogniser:
    """Embeds faces, so that a distance tells whether two pictures show one person.

    Args:
        package: The unpacked `@vladmandic/face-api`.
    """

    def __init__(self, package: Path) -> None:
        """Lay both networks into memory."""
        self._recognition = open_session(_recognition(_weights(package / "model", "face_recognition_model")))
        self._landmarks = open_session(_landmarks(_weights(package / "model", "face_landmark_68_model")))

    def alignment(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the similarity that turns a square BGR picture of a face into a chip (2 x 3)."""
        small = cv2.resize(picture, (_LANDMARK_PX, _LANDMARK_PX), interpolation=cv2.INTER_LINEAR)
        rgb = cv2.cvtColor(small, cv2.COLOR_BGR2RGB).astype(np.float32)
        (found,) = self._landmarks.run({"pictures": rgb[None]})
        points = found[0].reshape(68, 2) * np.float32(picture.shape[0])
        own = np.stack([points[_RIGHT_EYE].mean(0), points[_LEFT_EYE].mean(0), points[_SUBNASAL]])
        return _similarity(own, _FRAME)

    def embed(self, chips: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed BGR chips of 150 px, each as itself and mirrored; the mean is returned.

        Chips that are alike to the byte are embedded once, so that their distance is nothing at all.
        """
        number: dict[bytes, int] = {}
        which = [number.setdefault(one.tobytes(), len(number)) for one in chips]
        single = [chips[which.index(place)] for place in range(len(number))]
        rows: list[NDArray[np.float32]] = []
        for first in range(0, len(single), _BATCH):
            rgb = np.stack([one[:, :, ::-1] for one in single[first : first + _BATCH]]).astype(np.float32)
            both = np.concatenate([rgb, rgb[:, :, ::-1]])
            (found,) = self._recognition.run({"pictures": both})
            rows.append((found[: len(rgb)] + found[len(rgb) :]) * np.float32(0.5))
        embeddings: NDArray[np.float32] = np.concatenate(rows)[which].astype(np.float32)
        return embeddings


def chip(
    picture: NDArray[np.uint8], alignment: NDArray[np.float32], *, zoom: float = 1.0
) -> NDArray[np.uint8]:
    """Cut the chip of a face out of a picture; below 1 the zoom takes in more around the face."""
    middle = (CHIP_PX - 1) / 2
    matrix = alignment * np.float32(zoom)
    matrix[:, 2] += np.float32(middle * (1 - zoom))
    cut: NDArray[np.uint8] = cv2.warpAffine(  # type: ignore[assignment]  # the stubs widen the type
        picture, matrix, (CHIP_PX, CHIP_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return cut


def _similarity(own: NDArray[np.float32], wanted: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fit turn, size and shift by least squares."""
    rows, right = [], []
    for (x, y), (u, v) in zip(own, wanted, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        right += [u, v]
    a, b, c, d = np.linalg.lstsq(np.array(rows, np.float64), np.array(right, np.float64), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]], np.float32)


def _weights(folder: Path, name: str) -> dict[str, NDArray[np.float32]]:
    """Read one network of face-api: bytes of a shard back to float32."""
    groups = json.loads((folder / f"{name}-weights_manifest.json").read_text(encoding="utf-8"))
    weights: dict[str, NDArray[np.float32]] = {}
    for group in groups:
        shard, position = b"".join((folder / path).read_bytes() for path in group["paths"]), 0
        for entry in group["weights"]:
            count, quantised = int(np.prod(entry["shape"])), entry.get("quantization")
            if quantised is None:
                values = np.frombuffer(shard, "<f4", count, position).astype(np.float32)
                position += 4 * count
            else:
                steps = np.frombuffer(shard, np.uint8, count, position).astype(np.float32)
                values = steps * np.float32(quantised["scale"]) + np.float32(quantised["min"])
                position += count
            weights[entry["name"]] = values.reshape(entry["shape"])
        assert position == len(shard), name
    return weights


class _Graph:
    """Collects nodes and constants; each result is named by its number."""

    def __init__(
        self, weights: dict[str, NDArray[np.float32]], mean_rgb: Sequence[float], scale: float
    ) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        shifted = self.node("Sub", "pictures", np.asarray(mean_rgb, np.float32).reshape(1, 1, 1, 3))
        scaled = self.node("Div", shifted, np.asarray(scale, np.float32))
        self.start = self.node("Transpose", scaled, perm=[0, 3, 1, 2])

    def node(self, kind: str, *inputs: str | NDArray[Any], name: str = "", **attributes: Any) -> str:
        sources = []
        for value in inputs:
            if isinstance(value, str):
                sources.append(value)
            else:
                self.constants.append(
                    numpy_helper.from_array(np.ascontiguousarray(value), f"c{len(self.constants)}")
                )
                sources.append(self.constants[-1].name)
        output = name or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, sources, [output], **attributes))
        return output

    def model(self, side_px: int, width: int) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "attack",
            [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", side_px, side_px, 3])],
            [helper.make_tensor_value_info("found", TensorProto.FLOAT, ["n", width])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        serialised: bytes = model.SerializeToString(deterministic=True)
        return serialised


def _recognition(weights: dict[str, NDArray[np.float32]]) -> bytes:
    """The recognition network: 29 convolutions, each followed by a scale and an offset."""
    graph = _Graph(weights, _MEAN_RGB, 256.0)

    def layer(x: str, name: str, stride: int = 1, *, relu: bool = True) -> str:
        filters = weights[f"{name}/conv/filters"]
        y = graph.node(
            "Conv",
            x,
            filters.transpose(3, 2, 0, 1),
            weights[f"{name}/conv/bias"],
            kernel_shape=list(filters.shape[:2]),
            strides=[stride, stride],
            auto_pad="SAME_UPPER" if stride == 1 else "VALID",
        )
        y = graph.node("Mul", y, weights[f"{name}/scale/weights"].reshape(1, -1, 1, 1))
        y = graph.node("Add", y, weights[f"{name}/scale/biases"].reshape(1, -1, 1, 1))
        return graph.node("Relu", y) if relu else y

    def block(x: str, name: str) -> str:
        y = layer(layer(x, f"{name}/conv1"), f"{name}/conv2", relu=False)
        return graph.node("Relu", graph.node("Add", y, x))

    def halved(x: str, name: str, side: int, channels: int) -> tuple[str, int, int]:
        y = layer(layer(x, f"{name}/conv1", 2), f"{name}/conv2", relu=False)
        pooled = graph.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        more = side // 2 - ((side - 3) // 2 + 1)
        if more:
            y = graph.node("Pad", y, np.array([0, 0, 0, 0, 0, 0, more, more], np.int64))
        wide = weights[f"{name}/conv1/conv/filters"].shape[3]
        if wide > channels:
            pooled = graph.node("Pad", pooled, np.array([0, 0, 0, 0, 0, wide - channels, 0, 0], np.int64))
        return graph.node("Relu", graph.node("Add", y, pooled)), side // 2, wide

    side, channels = ((CHIP_PX - 7) // 2 + 1 - 3) // 2 + 1, 32
    x = graph.node("MaxPool", layer(graph.start, "conv32_down", 2), kernel_shape=[3, 3], strides=[2, 2])
    for group, blocks in (("conv32", 3), ("conv64", 3), ("conv128", 2), ("conv256", 2)):
        if group != "conv32":
            x, side, channels = halved(x, f"{group}_down", side, channels)
        for number in range(1, blocks + 1):
            x = block(x, f"{group}_{number}")
    x, _, _ = halved(x, "conv256_down_out", side, channels)
    flat = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    graph.node("MatMul", flat, weights["fc"], name="found")
    return graph.model(CHIP_PX, EMBEDDING)


def _landmarks(weights: dict[str, NDArray[np.float32]]) -> bytes:
    """The landmark network: four dense blocks of separable convolutions, 68 places in 0 to 1."""
    graph = _Graph(weights, _MEAN_RGB, 255.0)

    def convolution(x: str, filters: NDArray[np.float32], stride: int, *bias: NDArray[np.float32]) -> str:
        size, groups = filters.shape[0], 1
        if len(bias) == 0:
            filters, groups = filters.transpose(0, 1, 3, 2), filters.shape[2]
        return graph.node(
            "Conv",
            x,
            filters.transpose(3, 2, 0, 1),
            *bias,
            kernel_shape=[size, size],
            strides=[stride, stride],
            auto_pad="SAME_UPPER",
            group=groups,
        )

    def layer(x: str, name: str, stride: int) -> str:
        bias = weights[f"{name}/bias"]
        if f"{name}/filters" in weights:
            return convolution(x, weights[f"{name}/filters"], stride, bias)
        spread = convolution(x, weights[f"{name}/depthwise_filter"], stride)
        return convolution(spread, weights[f"{name}/pointwise_filter"], 1, bias)

    x = graph.start
    for number in range(4):
        total = x = graph.node("Relu", layer(x, f"dense{number}/conv0", 2))
        for inner in range(1, 4):
            total = graph.node("Add", total, layer(x, f"dense{number}/conv{inner}", 1))
            x = graph.node("Relu", total)
    pooled = graph.node("AveragePool", x, kernel_shape=[7, 7], strides=[2, 2])
    graph.node("Gemm", graph.node("Flatten", pooled), weights["fc/weights"], weights["fc/bias"], name="found")
    return graph.model(_LANDMARK_PX, 136)
