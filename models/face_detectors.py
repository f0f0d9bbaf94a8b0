"""Face detectors behind one interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from models.centerface import CenterFace
from models.errors import UnknownModel
from models.face_boxes import Box, Landmarks, checked_image
from models.yunet import YuNet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.registry import Registry

__all__ = ["Box", "FaceDetector", "Landmarks", "checked_image", "load_face_detector"]


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
