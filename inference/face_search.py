"""Several looks for faces at one picture, for masks: what any look finds is covered.

A detector that measures wants to be right; one that hides wants to miss nobody. The same
network finds other faces at another size and in the mirror, and another network finds yet others.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from inference.tracking import intersection_over_union
from models.face_detectors import Box, load_face_detector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.face_detectors import FaceDetector, Landmarks
    from models.registry import Registry

FAST_PX: Final = 320
SLOW_PX: Final = 640
MASK_THRESHOLD: Final = 0.15
"""Far below what is sure enough to measure: a mask too many costs nothing."""
_SAME: Final = 0.3


@dataclass(frozen=True, slots=True)
class Look:
    """One way of looking at a picture.

    Attributes:
        detector: What looks.
        mirrored: Left and right are swapped before.
        quarter_turns: The picture is turned by so many quarters before, against the clock.
    """

    detector: FaceDetector
    mirrored: bool = False
    quarter_turns: int = 0

    def detect(self, image: NDArray[np.uint8]) -> tuple[Box, ...]:
        """Return the faces of a BGR image, in pixels of the image as it was given."""
        height, width = image.shape[:2]
        seen = np.rot90(image, self.quarter_turns)
        if self.mirrored:
            seen = seen[:, ::-1]
        boxes = self.detector.detect(np.ascontiguousarray(seen))
        if self.mirrored:
            boxes = tuple(_mirrored(box, seen.shape[1]) for box in boxes)
        return tuple(_turned_back(box, self.quarter_turns % 4, width, height) for box in boxes)


class FaceSearch:
    """The faces that any of several looks finds; itself a detector.

    Args:
        looks: At least one.
    """

    def __init__(self, looks: Sequence[Look]) -> None:
        """Name the networks that look."""
        self._looks = tuple(looks)
        networks = {look.detector.version_of(): None for look in self._looks}
        names, versions, hashes = zip(*networks, strict=True)
        self.name = "+".join(dict.fromkeys(names))
        self.version = "+".join(versions)
        self.sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        self.threshold = max(look.detector.threshold for look in self._looks)

    @property
    def looks(self) -> int:
        """How often a picture is looked at."""
        return len(self._looks)

    def version_of(self) -> tuple[str, str, str]:
        """Return names, versions and the hash of the file (of the files' hashes if there are several)."""
        return self.name, self.version, self.sha256

    def detect(self, image: NDArray[np.uint8]) -> tuple[Box, ...]:
        """Return the faces of a BGR image, best first; finds that overlap become one that holds them all.

        Raises:
            InputError: The image is not uint8 BGR.
        """
        return joined([box for look in self._looks for box in look.detect(image)])


def joined(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """Join boxes that overlap (from 0.3) into boxes that hold them, best first.

    Landmarks are those of the best find that has any.
    """
    found: list[Box] = []
    for box in sorted(boxes, key=lambda one: -one.score):
        for place, known in enumerate(found):
            if intersection_over_union(known, box) > _SAME:
                found[place] = Box(
                    min(known.x1, box.x1),
                    min(known.y1, box.y1),
                    max(known.x2, box.x2),
                    max(known.y2, box.y2),
                    known.score,
                    known.landmarks or box.landmarks,
                )
                break
        else:
            found.append(box)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class FaceSearches:
    """What looks for faces to hide.

    Attributes:
        always: For every picture.
        closer: For the first picture, and then a few times a second.
    """

    always: FaceDetector
    closer: FaceDetector


def load_face_searches(
    registry: Registry, name: str | None = None, *, slow: bool, threads: int = 1
) -> FaceSearches:
    """Load what looks for faces to hide.

    Args:
        registry: Where model files are looked up.
        name: Detector to look with; None takes CenterFace, and YuNet for the closer look where its
            file is present.
        slow: Look at two sizes at every picture, as for files; else at the smaller one, as quickly as
            a live picture needs.
        threads: Threads of each network.

    Raises:
        UnknownModel: The name is not a face detector.
        ModelFileMissing: Its file is nowhere.
        ModelHashMismatch: A file is there, but not the one the card describes.
    """
    main = name or "centerface"

    def look(network: str, longest_px: int) -> Look:
        return Look(
            load_face_detector(registry, network, MASK_THRESHOLD, longest_px=longest_px, threads=threads)
        )

    near, far = look(main, FAST_PX), look(main, SLOW_PX)
    closer = [replace(far, mirrored=True)] if slow else [far, replace(far, mirrored=True)]
    # Somebody lying on the counter, or a camera that was hung the wrong way round.
    closer += [replace(near, quarter_turns=turns) for turns in (1, 2, 3)]
    if name is None and any(registry.find(card) is not None for card in registry.versions("yunet")):
        closer.append(look("yunet", SLOW_PX))
    return FaceSearches(FaceSearch([near, far] if slow else [near]), FaceSearch(closer))


def _mirrored(box: Box, width: int) -> Box:
    points = box.landmarks
    if points is not None:
        left, right, nose, mouth_left, mouth_right = ((width - x, y) for x, y in points)
        points = (right, left, nose, mouth_right, mouth_left)
    return replace(box, x1=width - box.x2, x2=width - box.x1, landmarks=points)


def _turned_back(box: Box, quarters: int, width: int, height: int) -> Box:
    """Bring a box of a picture turned against the clock back to the picture of this size."""
    if quarters == 0:
        return box

    def back(x: float, y: float) -> tuple[float, float]:
        if quarters == 1:
            return width - y, x
        if quarters == 2:  # noqa: PLR2004 - half a turn
            return width - x, height - y
        return y, height - x

    (xa, ya), (xb, yb) = back(box.x1, box.y1), back(box.x2, box.y2)
    points: Landmarks | None = None
    if box.landmarks is not None:
        points = tuple(back(x, y) for x, y in box.landmarks)
    return Box(min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb), box.score, points)
