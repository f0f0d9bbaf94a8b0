"""Face detectors behind one interface."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from models import centerface, face_ssd, yunet
from models.card import ModelCard, Task
from models.centerface import CenterFace
from models.errors import ModelFileMissing, UnknownModel
from models.face_boxes import Box, Landmarks, checked_image
from models.face_ssd import FaceSsd
from models.yunet import YuNet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.registry import Registry

__all__ = [
    "Box",
    "Choice",
    "FaceDetector",
    "Landmarks",
    "checked_image",
    "choose_face_detector",
    "load_face_detector",
]

LIKE_F1: Final = 0.03
"""Detectors whose F1 lies at most so far below the best present one's count as alike: cost decides."""
_NETWORKS: Final[dict[str, type[CenterFace | FaceSsd | YuNet]]] = {
    centerface.NAME: CenterFace,
    face_ssd.NAME: FaceSsd,
    yunet.NAME: YuNet,
}
_log = logging.getLogger(__name__)


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
class Choice:
    """The detector that was chosen among those present, and why.

    Attributes:
        card: The chosen one.
        ranked: All present ones, the chosen one first.
        reason: One sentence of figures.
    """

    card: ModelCard
    ranked: tuple[ModelCard, ...]
    reason: str


def choose_face_detector(registry: Registry) -> Choice:
    """Choose among the detectors whose files are present, by the figures on their cards.

    Of those whose F1 lies at most `LIKE_F1` below the best present one's, the cheapest is taken;
    the others follow, those alike by cost, the rest by F1. A card without figures comes last.

    Raises:
        ModelFileMissing: No detector is present.
    """
    present = [
        card
        for card in registry.cards(Task.FACE_DETECTION)
        if card.name in _NETWORKS and registry.find(card) is not None
    ]
    if not present:
        raise ModelFileMissing(
            "No face detector is here. Run 'hailong models verify' to see how their files come here."
        )
    best = max(_f1(card) for card in present)
    ranked = tuple(sorted(present, key=lambda card: _rank(card, best)))
    return Choice(ranked[0], ranked, _reason(ranked, best))


def _f1(card: ModelCard) -> float:
    return 0.0 if card.merit is None else card.merit.f1


def _rank(card: ModelCard, best_f1: float) -> tuple[bool, float, float]:
    cost = float("inf") if card.merit is None else card.merit.cpu_ms
    alike = _f1(card) >= best_f1 - LIKE_F1
    return not alike, cost if alike else -_f1(card), cost


def _reason(ranked: tuple[ModelCard, ...], best_f1: float) -> str:
    chosen = ranked[0]
    if len(ranked) == 1:
        return f"{chosen.key} is the only face detector present"
    if chosen.merit is None:
        return f"{chosen.key}: no card of a present face detector states figures"
    others = ", ".join(card.key for card in ranked[1:])
    return (
        f"{chosen.key}: F1 {chosen.merit.f1:.3f} "
        f"(best present {best_f1:.3f}; {LIKE_F1} less counts as alike), "
        f"{chosen.merit.cpu_ms:g} ms a picture; also present: {others}"
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
        name: A detector's name, or an exact `name@version`; None takes what
            `choose_face_detector` chooses, and logs why.
        threshold: Smallest score to report; None takes the detector's own measured default.
        longest_px: Working size; None takes the detector's own default.
        threads: Threads inside one operator, 1 or 2.

    Raises:
        UnknownModel: The name is not a face detector.
        ModelFileMissing: Its file is nowhere.
        ModelHashMismatch: Its file is not the one the card describes.
    """
    if name is None:
        choice = choose_face_detector(registry)
        _log.info("face detector chosen: %s", choice.reason)
        name = choice.card.key
    elif registry.versions(name)[0].name not in _NETWORKS:
        raise UnknownModel(f"'{name}' is not a face detector. Face detectors are: {', '.join(_NETWORKS)}.")
    file = registry.locate(name)
    network = _NETWORKS[file.card.name]
    return network.load(file, threshold=threshold, longest_px=longest_px, threads=threads)
