"""Tiny ONNX networks that stand for ones that users bring, and the cards that describe them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

THREE = ("negative", "neutral", "positive")


def mean_network(
    shape: tuple[int | str, ...],
    weights: NDArray[np.floating],
    bias: NDArray[np.floating],
    *,
    softmax: bool = False,
    affect: bool = False,
) -> bytes:
    """Return a network that weighs the mean of each colour.

    Args:
        shape: Input shape, (n, h, w, c) or (n, c, h, w).
        weights: Shape (c, outputs).
        bias: Shape (outputs,).
        softmax: Whether probabilities are given instead of logits.
        affect: Whether a second output `affect` of two numbers, the mean colour twice, follows.
    """
    spatial = [1, 2] if shape[3] == weights.shape[0] else [2, 3]
    tensors = [
        numpy_helper.from_array(np.asarray(spatial, np.int64), "axes"),
        numpy_helper.from_array(np.asarray(weights, np.float32), "weights"),
        numpy_helper.from_array(np.asarray(bias, np.float32), "bias"),
    ]
    last = "logits" if softmax else "classes"
    nodes = [
        helper.make_node("ReduceMean", ["picture", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["weighed"]),
        helper.make_node("Add", ["weighed", "bias"], [last]),
    ]
    outputs = [helper.make_tensor_value_info("classes", TensorProto.FLOAT, ["n", weights.shape[1]])]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["classes"], axis=1))
    if affect:
        nodes.append(helper.make_node("Concat", ["mean", "mean"], ["affect"], axis=1))
        outputs.append(
            helper.make_tensor_value_info("affect", TensorProto.FLOAT, ["n", 2 * weights.shape[0]])
        )
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, list(shape))],
        outputs,
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def card_text(content: bytes, image: str, *, name: str = "my-net", **changes: Any) -> str:
    """Return a card for a network, its `[image]` part given as TOML lines."""
    labels = changes.get("labels", THREE)
    return f"""
task = "{changes.get("task", "expression")}"
name = "{name}"
version = "1"
summary = "a stand-in"
licence = "MIT"
inputs = "face"
outputs = "classes"
labels = [{", ".join(f'"{label}"' for label in labels)}]
limits = ["none"]
{image}
[file]
name = "{changes.get("file", f"{name}.onnx")}"
sha256 = "{hashlib.sha256(content).hexdigest()}"
origin = "bundle"

[training]
data = "none"
rights = "ours"
"""


def put(folder: Path, content: bytes, image: str, *, name: str = "my-net", **changes: Any) -> None:
    """Drop a network and its card into a model folder, as a user does."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / changes.get("file", f"{name}.onnx")).write_bytes(content)
    (folder / f"{name}.card.toml").write_text(
        card_text(content, image, name=name, **changes), encoding="utf-8"
    )
