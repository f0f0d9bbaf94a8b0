"""Face detectors behind one interface: CenterFace and YuNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import cv2
import numpy as np
import onnx

from models.errors import InputError, UnknownModel
from models.session import ModelSession, open_session

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from models.registry import ModelFile, Registry

_STRIDE: Final = 32
"""Both networks halve their input five times: sizes must be multiples of this."""
_CENTERFACE_THRESHOLD: Final = 0.35
_CENTERFACE_LONGEST_PX: Final = 320
_YUNET_THRESHOLD: Final = 0.6
_YUNET_LONGEST_PX: Final = 640


Landmarks: TypeAlias = tuple[tuple[float, float], ...]
"""Points of one face."""


@dataclass(frozen=True, slots=True)
class Box:
    """A face in an image.

    Attributes:
        x1: Left edge, pixels of the image given to the detector.
        y1: Upper edge.
        x2: Right edge.
        y2: Lower edge.
        score: The detector's own score, 0 to 1 (not a calibrated probability).
        landmarks: Five points (x, y) in pixels of that image: the eye on the picture's left, the eye
            on its right, the tip of the nose, the corner of the mouth on the left, the one on the
            right; None where the detector gives none.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    score: float
    landmarks: Landmarks | None = None

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y2 - self.y1


class FaceDetector(Protocol):
    """Anything that finds faces in a BGR image."""

    @property
    def name(self) -> str:
        """Name on the model card."""

    @property
    def version(self) -> str:
        """Version on the model card."""

    @property
    def sha256(self) -> str:
        """Hash of the verified model file."""

    @property
    def threshold(self) -> float:
        """Smallest score that is reported."""

    def detect(self, image: NDArray[np.uint8]) -> tuple[Box, ...]:
        """Return the faces of an image, best first, clipped to the image."""

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """How an image was laid into a network's input: scaled evenly, filled to the right and below."""

    width: int
    height: int
    scale: float


def _fit(image: NDArray[np.uint8], longest_px: int, fixed: tuple[int, int] | None) -> _Fit:
    height, width = image.shape[:2]
    if fixed is not None:
        return _Fit(fixed[0], fixed[1], min(fixed[0] / width, fixed[1] / height))
    scale = min(1.0, longest_px / max(height, width))
    scaled_w, scaled_h = max(1, round(width * scale)), max(1, round(height * scale))
    return _Fit(-(-scaled_w // _STRIDE) * _STRIDE, -(-scaled_h // _STRIDE) * _STRIDE, scale)


def _blob(image: NDArray[np.uint8], fit: _Fit) -> NDArray[np.float32]:
    """Scale, fill with black and turn to float32 NCHW."""
    height, width = image.shape[:2]
    scaled_w = min(fit.width, max(1, round(width * fit.scale)))
    scaled_h = min(fit.height, max(1, round(height * fit.scale)))
    canvas = np.zeros((fit.height, fit.width, 3), np.float32)
    if (scaled_w, scaled_h) == (width, height):
        canvas[:scaled_h, :scaled_w] = image
    else:
        shrinking = fit.scale < 1.0
        canvas[:scaled_h, :scaled_w] = cv2.resize(
            image, (scaled_w, scaled_h), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        )
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])


def checked_image(image: object) -> NDArray[np.uint8]:
    """Return the image if it is uint8 BGR of shape (height, width, 3) with at least one pixel.

    Raises:
        InputError: It is anything else.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:  # noqa: PLR2004 - three axes, three colours
        shape, kind = getattr(image, "shape", None), getattr(image, "dtype", type(image).__name__)
        raise InputError(
            f"An image must be uint8 of shape (height, width, 3) in BGR order, not {kind} {shape}."
        )
    if image.shape[0] == 0 or image.shape[1] == 0:
        raise InputError("An image must have at least one pixel: check the seat zone and the crop.")
    return image


def _suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32], overlap: float) -> list[int]:
    """Return the rows to keep, best first, after greedy non-maximum suppression."""
    order = np.argsort(-scores, kind="stable")
    areas = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        corner_1 = np.maximum(boxes[best, :2], boxes[rest, :2])
        corner_2 = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.prod(np.maximum(corner_2 - corner_1, 0), axis=1)
        union = areas[best] + areas[rest] - shared
        order = rest[shared <= overlap * np.maximum(union, 1e-6)]
    return kept


def _boxes(
    corners: NDArray[np.float32],
    scores: NDArray[np.float32],
    *,
    fit: _Fit,
    image: NDArray[np.uint8],
    overlap: float,
) -> tuple[Box, ...]:
    """Suppress doubles, scale back to the image and clip."""
    if not len(scores):
        return ()
    height, width = image.shape[:2]
    found = []
    for row in _suppress(corners, scores, overlap):
        x1, y1, x2, y2 = (float(value) / fit.scale for value in corners[row])
        x1, x2 = max(0.0, x1), min(float(width), x2)
        y1, y2 = max(0.0, y1), min(float(height), y2)
        if x2 > x1 and y2 > y1:
            found.append(Box(x1, y1, x2, y2, min(1.0, float(scores[row]))))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class CenterFace:
    """CenterFace at a bounded working size.

    Attributes:
        threshold: Smallest score that is reported.
        longest_px: The image's longer side is shrunk to this (never enlarged).
    """

    name: str
    version: str
    sha256: str
    threshold: float
    longest_px: int
    session: ModelSession

    @classmethod
    def load(
        cls,
        file: ModelFile,
        *,
        threshold: float | None = None,
        longest_px: int | None = None,
        threads: int = 1,
    ) -> CenterFace:
        """Open the network of a verified file; what is None takes the measured default."""
        network = _with_free_size(file.path)
        return cls(
            *file.version_of(),
            _CENTERFACE_THRESHOLD if threshold is None else threshold,
            _CENTERFACE_LONGEST_PX if longest_px is None else longest_px,
            open_session(network, threads=threads),
        )

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""
        return self.name, self.version, self.sha256

    def detect(self, image: NDArray[np.uint8]) -> tuple[Box, ...]:
        """Return the faces of a BGR image, best first.

        Raises:
            InputError: The image is not uint8 BGR.
        """
        fit = _fit(checked_image(image), self.longest_px, None)
        # The network was trained on RGB.
        heat, scale, offset, _ = self.session.run(
            {self.session.input_names[0]: np.ascontiguousarray(_blob(image, fit)[:, ::-1])}
        )
        rows, columns = np.nonzero(heat[0, 0] > self.threshold)
        cell = 4.0
        heights = np.exp(scale[0, 0, rows, columns]) * cell
        widths = np.exp(scale[0, 1, rows, columns]) * cell
        centre_y = (rows + offset[0, 0, rows, columns] + 0.5) * cell
        centre_x = (columns + offset[0, 1, rows, columns] + 0.5) * cell
        corners = np.stack(
            [centre_x - widths / 2, centre_y - heights / 2, centre_x + widths / 2, centre_y + heights / 2],
            axis=1,
        ).astype(np.float32)
        return _boxes(corners, heat[0, 0, rows, columns], fit=fit, image=image, overlap=0.3)


def _with_free_size(path: Path) -> bytes:
    """Return the published network with free image size and constant weights.

    The file fixes a 32 x 32 input though every layer is convolutional, and lists its weights
    among the inputs, which keeps ONNX Runtime from folding them.
    """
    network: onnx.ModelProto = onnx.load(str(path))
    graph = network.graph
    weights = {weight.name for weight in graph.initializer}
    images = [entry for entry in graph.input if entry.name not in weights]
    del graph.input[:]
    graph.input.extend(images)
    for entry in graph.input:
        for axis, label in ((0, "batch"), (2, "height"), (3, "width")):
            entry.type.tensor_type.shape.dim[axis].dim_param = label
    for entry in graph.output:
        for axis, label in ((0, "batch"), (2, "rows"), (3, "columns")):
            entry.type.tensor_type.shape.dim[axis].dim_param = label
    del graph.value_info[:]
    published: bytes = network.SerializeToString()
    return published


@dataclass(frozen=True, slots=True)
class YuNet:
    """YuNet, either file: fixed 640 x 640 (letterboxed) or free size.

    Attributes:
        threshold: Smallest score that is reported.
        longest_px: For the free-size file, the image's longer side is shrunk to this.
        fixed: (width, height) the file demands, or None.
    """

    name: str
    version: str
    sha256: str
    threshold: float
    longest_px: int
    fixed: tuple[int, int] | None
    session: ModelSession

    @classmethod
    def load(
        cls,
        file: ModelFile,
        *,
        threshold: float | None = None,
        longest_px: int | None = None,
        threads: int = 1,
    ) -> YuNet:
        """Open the network of a verified file; what is None takes the measured default."""
        session = open_session(file.path, threads=threads)
        height, width = session.input_shapes[0][2:4]
        fixed = (width, height) if isinstance(width, int) and isinstance(height, int) else None
        return cls(
            *file.version_of(),
            _YUNET_THRESHOLD if threshold is None else threshold,
            _YUNET_LONGEST_PX if longest_px is None else longest_px,
            fixed,
            session,
        )

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""
        return self.name, self.version, self.sha256

    def detect(self, image: NDArray[np.uint8]) -> tuple[Box, ...]:
        """Return the faces of a BGR image, best first.

        Raises:
            InputError: The image is not uint8 BGR.
        """
        fit = _fit(checked_image(image), self.longest_px, self.fixed)
        outputs = dict(
            zip(
                self.session.output_names,
                self.session.run({self.session.input_names[0]: _blob(image, fit)}),
                strict=True,
            )
        )
        corners, scores = [], []
        for stride in (8, 16, 32):
            certainty = np.sqrt(
                np.clip(outputs[f"cls_{stride}"][0, :, 0], 0, 1)
                * np.clip(outputs[f"obj_{stride}"][0, :, 0], 0, 1)
            )
            cells = np.flatnonzero(certainty >= self.threshold)
            rows, columns = np.divmod(cells, fit.width // stride)
            shift = outputs[f"bbox_{stride}"][0, cells]
            centre_x, centre_y = (columns + shift[:, 0]) * stride, (rows + shift[:, 1]) * stride
            half_w, half_h = np.exp(shift[:, 2]) * stride / 2, np.exp(shift[:, 3]) * stride / 2
            corners.append(
                np.stack([centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h], axis=1)
            )
            scores.append(certainty[cells])
        return _boxes(
            np.concatenate(corners).astype(np.float32),
            np.concatenate(scores),
            fit=fit,
            image=image,
            overlap=0.3,
        )


def load_face_detector(
    registry: Registry,
    name: str | None = None,
    threshold: float | None = None,
    *,
    longest_px: int | None = None,
    threads: int = 1,
) -> FaceDetector:
    """Load a face detector by name, or the best one whose file is present.

    Args:
        registry: Where files are looked up.
        name: `centerface`, `yunet` or an exact `name@version`; None takes YuNet where it was
            imported, else CenterFace.
        threshold: Smallest score to report; None takes the detector's own measured default.
        longest_px: Working size; None takes the detector's own default.
        threads: Threads inside one operator, 1 or 2.

    Raises:
        UnknownModel: The name is not a face detector.
        ModelFileMissing: Its file is nowhere.
        ModelHashMismatch: Its file is not the one the card describes.
    """
    if name is None:
        present = any(registry.find(card) is not None for card in registry.versions("yunet"))
        name = "yunet" if present else "centerface"
    file = registry.locate(name)
    match file.card.name:
        case "centerface":
            return CenterFace.load(file, threshold=threshold, longest_px=longest_px, threads=threads)
        case "yunet":
            return YuNet.load(file, threshold=threshold, longest_px=longest_px, threads=threads)
        case _:
            raise UnknownModel(f"'{name}' is not a face detector. Face detectors are: centerface, yunet.")
