"""CenterFace: faces and five landmarks from a heat map, without anchors.

Decoding follows the authors' own (https://github.com/Star-Clouds/CenterFace, MIT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
from onnx import numpy_helper

from models.face_boxes import checked_image, fit_input, input_blob, scaled_boxes
from models.session import ModelSession, open_session

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from models.face_boxes import Box
    from models.registry import ModelFile

NAME: Final = "centerface"
_THRESHOLD: Final = 0.35
_LONGEST_PX: Final = 320
_CELL_PX: Final = 4
"""Size of a cell of the heat map, in pixels of the input."""
_OVERLAP: Final = 0.3


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
        network = _adapted(file.path)
        return cls(
            *file.version_of(),
            _THRESHOLD if threshold is None else threshold,
            _LONGEST_PX if longest_px is None else longest_px,
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
        fit = fit_input(checked_image(image), self.longest_px, None)
        heat, scale, offset, points = self.session.run({self.session.input_names[0]: input_blob(image, fit)})
        rows, columns = np.nonzero(heat[0, 0] >= self.threshold)
        heights, widths = np.exp(scale[0, :, rows, columns].T) * _CELL_PX
        shift_y, shift_x = offset[0, :, rows, columns].T
        top = (rows + shift_y + 0.5) * _CELL_PX - heights / 2
        left = (columns + shift_x + 0.5) * _CELL_PX - widths / 2
        # Ten numbers a face: y and x of each point, as shares of the box.
        shares = points[0, :, rows, columns].reshape(-1, 5, 2)
        landmarks = np.stack(
            [
                left[:, None] + shares[:, :, 1] * widths[:, None],
                top[:, None] + shares[:, :, 0] * heights[:, None],
            ],
            axis=2,
        )
        return scaled_boxes(
            np.stack([left, top, left + widths, top + heights], axis=1).astype(np.float32),
            heat[0, 0, rows, columns],
            fit=fit,
            image=image,
            overlap=_OVERLAP,
            landmarks=landmarks.astype(np.float32),
        )


def _adapted(path: Path) -> bytes:
    """Return the published network with free image size, constant weights and BGR input.

    The file fixes a 32 x 32 input though every layer is convolutional, and lists its weights
    among the inputs, which keeps ONNX Runtime from folding them. It was trained on RGB: turning
    its first filters round spares turning every picture.
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
    first = next(node for node in graph.node if graph.input[0].name in node.input)
    filters = next(weight for weight in graph.initializer if weight.name == first.input[1])
    turned = np.ascontiguousarray(numpy_helper.to_array(filters)[:, ::-1])
    filters.CopyFrom(numpy_helper.from_array(turned, filters.name))
    published: bytes = network.SerializeToString()
    return published
