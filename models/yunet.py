"""YuNet: faces and five landmarks from three grids, in a few milliseconds.

Decoding follows OpenCV's `FaceDetectorYN` (Apache-2.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.face_boxes import checked_image, fit_input, input_blob, scaled_boxes
from models.session import ModelSession, open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.face_boxes import Box
    from models.registry import ModelFile

NAME: Final = "yunet"
_THRESHOLD: Final = 0.6
_LONGEST_PX: Final = 640
_STRIDES: Final = (8, 16, 32)
_OVERLAP: Final = 0.3


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
            _THRESHOLD if threshold is None else threshold,
            _LONGEST_PX if longest_px is None else longest_px,
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
        fit = fit_input(checked_image(image), self.longest_px, self.fixed)
        found = self.session.run({self.session.input_names[0]: input_blob(image, fit)})
        outputs = dict(zip(self.session.output_names, found, strict=True))
        corners, scores, landmarks = [], [], []
        for stride in _STRIDES:
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
            places = np.stack([columns, rows], axis=1)[:, None]
            landmarks.append((outputs[f"kps_{stride}"][0, cells].reshape(-1, 5, 2) + places) * stride)
        return scaled_boxes(
            np.concatenate(corners).astype(np.float32),
            np.concatenate(scores),
            fit=fit,
            image=image,
            overlap=_OVERLAP,
            landmarks=np.concatenate(landmarks).astype(np.float32),
        )
