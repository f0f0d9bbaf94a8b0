"""Set-up of face-api's face detector: from the published weights to ONNX.

The weights are quantised to bytes in the published shards; they are turned back to float32 and
laid into a graph of our own with free picture size. The result must find on drawn pictures what
the original network found there (`face_ssd_recorded.json`), else nothing is installed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import TensorProto, helper

from models.bundles import write_whole
from models.convert import drawn_picture
from models.errors import ConversionError
from models.face_api import GraphBuilder, model_folder, read_weights
from models.face_ssd import TRAINED_PX, anchors, decoded
from models.session import open_session

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SCORE_TOLERANCE: Final = 5e-4
"""Largest accepted difference of a score from the original's."""
CORNER_TOLERANCE_PX: Final = 0.2
"""Largest accepted difference of a corner, pixels of 512."""
_ANCHOR_TOLERANCE_PX: Final = 0.01
_NETWORK: Final = "ssd_mobilenetv1_model"
_EPSILON: Final = 0.0010000000474974513
_HALVING: Final = {2, 4, 6, 12}
_LAYERS: Final = 13
_FINEST: Final = 11
"""The layer of MobileNet that carries the finest grid of anchors."""
_CLASSES: Final = 3
_FACE: Final = 1
_DRAWN_TIMES: Final = 4
"""Drawn pictures of 112 px are enlarged so many times; the rest of the 512 px is black."""


@dataclass(frozen=True, slots=True)
class DetectorAgreement:
    """How closely the converted detector follows the original on the recorded pictures."""

    pictures: int
    largest_score_difference: float
    largest_corner_difference_px: float


def convert_face_ssd(package: Path) -> bytes:
    """Convert the SSD of an unpacked `@vladmandic/face-api` package.

    The bytes depend on the weights alone, so their hash can be pinned.

    Args:
        package: The unpacked package, or its `model` folder.

    Returns:
        A serialised ONNX network: `pictures` (n, 3, height, width) float32 BGR 0-255, sizes multiples
        of 32, to `shifts` (n, anchors, 4) and `scores` (n, anchors).

    Raises:
        ConversionError: Files are missing or not what the converter knows.
    """
    weights = read_weights(model_folder(package), _NETWORK)
    build = _SsdBuilder(weights)
    corners = build.weight("Output/extra_dim")[0] * TRAINED_PX
    own = anchors(TRAINED_PX, TRAINED_PX)
    published = (
        np.concatenate([corners[:, :2] + corners[:, 2:], 2 * (corners[:, 2:] - corners[:, :2])], axis=1) / 2
    )
    if published.shape != own.shape or np.abs(published[:, [1, 0, 3, 2]] - own).max() > _ANCHOR_TOLERANCE_PX:
        raise ConversionError(
            "The anchors of face-api's detector are not the grids that models/face_ssd.py lays. "
            "Fetch @vladmandic/face-api 1.7.15 again."
        )
    return build.detector()


def compare_with_original(network: bytes | Path) -> DetectorAgreement:
    """Run a converted detector on the drawn pictures and compare with the original's record.

    Raises:
        ConversionError: A score or a corner differs by more than the tolerance.
    """
    record = json.loads((resources.files("models") / "face_ssd_recorded.json").read_text(encoding="utf-8"))
    session = open_session(network)
    places = anchors(TRAINED_PX, TRAINED_PX)
    worst_score = worst_px = 0.0
    for entry in record["recorded"]:
        picture = _drawn(entry["kind"], entry["variant"])
        if int(picture.sum()) != entry["pixel_sum"]:
            raise ConversionError(
                f"The drawn picture {entry['kind']} {entry['variant']} differs from the recorded one: "
                "models/convert.py and face_ssd_recorded.json do not belong together. Reinstall hailong."
            )
        blob = np.ascontiguousarray(picture[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32))
        shifts, scores = session.run({session.input_names[0]: blob})
        rows = np.asarray(entry["anchors"])
        # The original gives y1, x1, y2, x2 as shares.
        expected = np.asarray(entry["boxes"], np.float64)[:, [1, 0, 3, 2]] * TRAINED_PX
        found = decoded(shifts[0, rows], places[rows])
        worst_px = max(worst_px, float(np.abs(found - expected).max()))
        worst_score = max(worst_score, float(np.abs(scores[0, rows] - np.asarray(entry["scores"])).max()))
    if not (worst_score <= SCORE_TOLERANCE and worst_px <= CORNER_TOLERANCE_PX):
        raise ConversionError(
            f"The converted face detector differs from the original by {worst_score:.2g} in a score and "
            f"{worst_px:.2g} px in a corner (allowed: {SCORE_TOLERANCE:g}, {CORNER_TOLERANCE_PX:g} px). "
            "It was not installed; check the package that it came from."
        )
    return DetectorAgreement(len(record["recorded"]), worst_score, worst_px)


def install_face_ssd(
    package: Path, folder: Path, file_name: str, *, sha256: str
) -> tuple[Path, DetectorAgreement]:
    """Convert, compare and write the detector into a model folder, atomically.

    Raises:
        ConversionError: The conversion failed, disagrees with the original, or does not give
            the file that the card pins.
    """
    network = convert_face_ssd(package)
    agreement = compare_with_original(network)
    found = hashlib.sha256(network).hexdigest()
    if found != sha256:
        raise ConversionError(
            f"The converted face detector has SHA-256 {found}, its card demands {sha256}. It was not "
            "installed; use the versions of onnx, numpy and face-api that requirements/ pins."
        )
    target = folder / file_name
    write_whole(target, network)
    return target, agreement


def _drawn(kind: str, variant: int) -> NDArray[np.uint8]:
    """Draw an RGB picture of 512 x 512."""
    picture = np.zeros((TRAINED_PX, TRAINED_PX, 3), np.uint8)
    large = drawn_picture(kind, variant).repeat(_DRAWN_TIMES, axis=0).repeat(_DRAWN_TIMES, axis=1)
    picture[: large.shape[0], : large.shape[1]] = large
    return picture


class _SsdBuilder(GraphBuilder):
    """Adds the blocks of the SSD: MobileNet, four more halvings, a predictor for each grid."""

    def detector(self) -> bytes:
        """Lay all blocks and close the graph."""
        self.constant("none", np.asarray(0.0, np.float32))
        self.constant("six", np.asarray(6.0, np.float32))
        self.constant("half_scale", np.asarray(127.5, np.float32))
        self.constant("one", np.asarray(1.0, np.float32))
        flow = self.node("Div", ["pictures", "half_scale"], "scaled")
        flow = self.node("Sub", [flow, "one"], "centred")
        flow = self._plain(flow, "MobilenetV1/Conv2d_0_pointwise", 2, bgr=True)
        levels = []
        for number in range(1, _LAYERS + 1):
            flow = self._depthwise(
                flow, f"MobilenetV1/Conv2d_{number}_depthwise", 2 if number in _HALVING else 1
            )
            flow = self._plain(flow, f"MobilenetV1/Conv2d_{number}_pointwise", 1)
            if number == _FINEST:
                levels.append(flow)
        levels.append(flow)
        for number in range(0, 8, 2):
            flow = self._plain(flow, f"Prediction/Conv2d_{number}_pointwise", 1)
            flow = self._plain(flow, f"Prediction/Conv2d_{number + 1}_pointwise", 2)
            levels.append(flow)
        boxes, faces = zip(
            *(self._predictor(level, number) for number, level in enumerate(levels)), strict=True
        )
        self.node("Concat", list(boxes), "shifts", axis=1)
        self.node("Sigmoid", [self.node("Concat", list(faces), "certainties", axis=1)], "scores")
        value = helper.make_tensor_value_info
        return self.network(
            "face_ssd",
            [value("pictures", TensorProto.FLOAT, ["n", 3, "height", "width"])],
            [
                value("shifts", TensorProto.FLOAT, ["n", "anchors", 4]),
                value("scores", TensorProto.FLOAT, ["n", "anchors"]),
            ],
        )

    def _plain(self, source: str, name: str, stride: int, *, bgr: bool = False) -> str:
        filters = self.weight(f"{name}/weights")
        if bgr:  # the network was trained on RGB: its first filters are turned round
            filters = filters[:, :, ::-1]
        flow = self.convolution(source, name, filters, f"{name}/convolution_bn_offset", stride=stride)
        return self.node("Clip", [flow, "none", "six"], f"{name}.active")

    def _depthwise(self, source: str, name: str, stride: int) -> str:
        filters = self.weight(f"{name}/depthwise_weights")
        spread = filters.transpose(0, 1, 3, 2)
        flow = self.convolution(source, name, spread, None, stride=stride, groups=filters.shape[2])
        norm = f"{name}/BatchNorm"
        parts = [
            self.constant(f"{norm}.{part}", self.weight(f"{norm}/{part}"))
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        ]
        flow = self.node("BatchNormalization", [flow, *parts], norm, epsilon=_EPSILON)
        return self.node("Clip", [flow, "none", "six"], f"{name}.active")

    def _predictor(self, source: str, number: int) -> tuple[str, str]:
        """Return codes (n, anchors, 4) and the certainty of a face (n, anchors) of one grid."""
        prefix = f"Prediction/BoxPredictor_{number}"
        codes = f"{prefix}/BoxEncodingPredictor"
        classes = f"{prefix}/ClassPredictor"
        boxes = self._last(source, codes, self.weight(f"{codes}/weights"), self.weight(f"{codes}/biases"), 4)
        # Of background, face and a third class that nothing reads, only the face is kept.
        faces = self._last(
            source,
            classes,
            self.weight(f"{classes}/weights")[..., _FACE::_CLASSES],
            self.weight(f"{classes}/biases")[_FACE::_CLASSES],
            None,
        )
        return boxes, faces

    def _last(
        self, source: str, name: str, filters: NDArray[Any], bias: NDArray[Any], width: int | None
    ) -> str:
        inputs = [
            source,
            self.constant(f"{name}.filters", filters.transpose(3, 2, 0, 1)),
            self.constant(f"{name}.bias", bias),
        ]
        flow = self.node("Conv", inputs, name, kernel_shape=[1, 1])
        flow = self.node("Transpose", [flow], f"{name}.last", perm=[0, 2, 3, 1])
        rows = [0, -1] if width is None else [0, -1, width]
        return self.node(
            "Reshape", [flow, self.constant(f"{name}.rows", np.asarray(rows))], f"{name}.anchors"
        )
