"""Set-up of the expression network: from face-api's published weights to ONNX.

The weights are quantised to bytes in the published shard; they are turned back to float32
and laid into a graph that we write ourselves. The result must give what the original
network gave on drawn pictures (`expression_recorded.json`), else nothing is installed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import TensorProto, helper

from models.bundles import write_whole
from models.errors import ConversionError
from models.face_api import GraphBuilder, model_folder, read_weights
from models.session import open_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SIDE_PX: Final = 112
MEAN_RGB: Final = (122.782, 117.001, 104.298)
LABELS: Final = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
LOGIT_TOLERANCE: Final = 1e-3
"""Largest accepted difference of a log-probability from the original's."""
_BLOCKS: Final = 4
_LAYERS: Final = 4
_NETWORK: Final = "face_expression_model"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How closely a converted network follows the original on the recorded pictures."""

    pictures: int
    largest_log_difference: float


def convert_expression(package: Path) -> bytes:
    """Convert the expression network of an unpacked `@vladmandic/face-api` package.

    The bytes depend on the weights alone, so their hash can be pinned.

    Args:
        package: The unpacked package, or its `model` folder.

    Returns:
        A serialised ONNX network: `pictures` (n, 112, 112, 3) float32 RGB 0-255 to
        `log_probabilities` (n, 7) in the order of `LABELS`.

    Raises:
        ConversionError: Files are missing or not what the converter knows.
    """
    return _graph(read_weights(model_folder(package), _NETWORK))


def compare_with_original(network: bytes | Path) -> Agreement:
    """Run a converted network on the drawn pictures and compare with the original's record.

    Raises:
        ConversionError: A log-probability differs by more than `LOGIT_TOLERANCE`.
    """
    record = json.loads((resources.files("models") / "expression_recorded.json").read_text(encoding="utf-8"))
    session = open_session(network)
    worst = 0.0
    for entry in record["recorded"]:
        picture = drawn_picture(entry["kind"], entry["variant"])
        if int(picture.sum()) != entry["pixel_sum"]:
            raise ConversionError(
                f"The drawn picture {entry['kind']} {entry['variant']} differs from the recorded one: "
                "models/convert.py and expression_recorded.json do not belong together. Reinstall hailong."
            )
        logits = np.asarray(entry["logits"], np.float64)
        expected = logits - np.logaddexp.reduce(logits)
        (found,) = session.run({session.input_names[0]: picture[None].astype(np.float32)})
        worst = max(worst, float(np.max(np.abs(found[0] - expected))))
    if not worst <= LOGIT_TOLERANCE:
        raise ConversionError(
            f"The converted expression network differs from the original by {worst:.2g} in a log-probability "
            f"(allowed: {LOGIT_TOLERANCE:g}). It was not installed; check the package that it came from."
        )
    return Agreement(pictures=len(record["recorded"]), largest_log_difference=worst)


def install_expression(package: Path, folder: Path, file_name: str, *, sha256: str) -> tuple[Path, Agreement]:
    """Convert, compare and write the expression network into a model folder, atomically.

    Raises:
        ConversionError: The conversion failed, disagrees with the original, or does not give
            the file that the card pins.
    """
    network = convert_expression(package)
    agreement = compare_with_original(network)
    found = hashlib.sha256(network).hexdigest()
    if found != sha256:
        raise ConversionError(
            f"The converted expression network has SHA-256 {found}, its card demands {sha256}. It was not "
            "installed; use the versions of onnx, numpy and face-api that requirements/ pins."
        )
    target = folder / file_name
    write_whole(target, network)
    return target, agreement


def drawn_picture(kind: str, variant: int) -> NDArray[np.uint8]:
    """Draw a test picture from whole-number formulas, alike in every language.

    Args:
        kind: `lattice`, `flat` or `drawn-face`.
        variant: Number of the variant.

    Returns:
        RGB, uint8, shape (112, 112, 3).
    """
    y, x, c = np.meshgrid(np.arange(SIDE_PX), np.arange(SIDE_PX), np.arange(3), indexing="ij")
    if kind == "lattice":
        shade = (
            x * (3 + variant) + y * (5 + 2 * variant) + c * (17 + variant) + ((x * y * (variant + 1)) >> 4)
        ) % 256
    elif kind == "flat":
        shade = (variant * 85 + c * 20 * variant) % 256
    else:
        shade = _drawn_face(variant, x, y, c)
    picture: NDArray[np.uint8] = shade.astype(np.uint8)
    return picture


def _drawn_face(
    mouth: int, x: NDArray[np.int64], y: NDArray[np.int64], c: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Draw a disc with two eyes and a mouth that is flat (0), drooping (1) or smiling (2)."""

    def disc(centre_x: int, centre_y: int, radius: int) -> NDArray[np.bool_]:
        return (x - centre_x) ** 2 + (y - centre_y) ** 2 <= radius**2

    shade = np.where(disc(56, 58, 46), np.array([205, 170, 150])[c], np.array([70, 80, 95])[c])
    shade = np.where(disc(38, 46, 6) | disc(74, 46, 6), 30 + 10 * c, shade)
    bow = np.array([0, 1, -1])[mouth] * ((x - 56) ** 2 // 64)
    lips = (np.abs(x - 56) <= 20) & (np.abs(y - (84 + bow)) <= 3)  # noqa: PLR2004 - drawing
    teeth = 2
    drawn: NDArray[np.int64] = np.where(lips, 235 if mouth == teeth else 60 + 40 * (c == 0), shade)
    return drawn


class _Builder(GraphBuilder):
    """Adds the blocks of the expression network."""

    def block(self, source: str, number: int) -> str:
        """Add one dense block: each layer sees the sum of all before it."""
        prefix = f"dense{number}"
        if number == 0:
            opening = self.convolution(
                source,
                f"{prefix}/conv0",
                self.weight(f"{prefix}/conv0/filters"),
                f"{prefix}/conv0/bias",
                stride=2,
            )
        else:
            opening = self.separable(source, f"{prefix}/conv0", 2)
        total = self.node("Relu", [opening], f"{prefix}/relu0")
        active = total
        for layer in range(1, _LAYERS):
            fresh = self.separable(active, f"{prefix}/conv{layer}", 1)
            total = self.node("Add", [total, fresh], f"{prefix}/sum{layer}")
            active = self.node("Relu", [total], f"{prefix}/relu{layer}")
        return active


def _graph(weights: Mapping[str, NDArray[np.float32]]) -> bytes:
    build = _Builder(weights)
    mean = build.constant("mean_rgb", np.asarray(MEAN_RGB, np.float32).reshape(1, 1, 1, 3))
    full = build.constant("full_scale", np.asarray(255.0, np.float32))
    shifted = build.node("Sub", ["pictures", mean], "shifted")
    scaled = build.node("Div", [shifted, full], "scaled")
    flow = build.node("Transpose", [scaled], "channels_first", perm=[0, 3, 1, 2])
    for number in range(_BLOCKS):
        flow = build.block(flow, number)
    pooled = build.node("AveragePool", [flow], "pooled", kernel_shape=[7, 7], strides=[2, 2])
    flat = build.node("Flatten", [pooled], "flat", axis=1)
    logits = build.node(
        "Gemm",
        [
            flat,
            build.constant("fc.weights", build.weight("fc/weights")),
            build.constant("fc.bias", build.weight("fc/bias")),
        ],
        "logits",
    )
    build.node("LogSoftmax", [logits], "log_probabilities", axis=1)
    return build.network(
        "face_expression",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", SIDE_PX, SIDE_PX, 3])],
        [helper.make_tensor_value_info("log_probabilities", TensorProto.FLOAT, ["n", len(LABELS)])],
    )
