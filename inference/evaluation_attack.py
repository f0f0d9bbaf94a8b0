"""Try to tell people apart behind masks, with an attacking network that the user brings.

The product holds none. The faces of a pack are laid into frames, anonymised each for itself, and cut out
again where they were: the attack is told the place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from zipfile import BadZipFile

import cv2
import numpy as np

from inference.anonymizer import Anonymizer, AnonymizerConfig
from inference.evaluation_anonymizer import LEFT, left_over, upper_95
from inference.evaluation_detection import FaceTableError
from inference.face_search import load_face_searches
from models.face_detectors import Box
from models.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.registry import Registry

    Picture = NDArray[np.uint8]

_FRAME: Final = (360, 640)
_SIDE_PX: Final = 160
_AT: Final = (100, 240)
_EDGE_PX: Final = _SIDE_PX // 8
_FACE: Final = Box(
    _AT[1] + _EDGE_PX, _AT[0] + _EDGE_PX, _AT[1] + _SIDE_PX - _EDGE_PX, _AT[0] + _SIDE_PX - _EDGE_PX, 1.0
)
"""Packs are cut to the face: brows to chin lie in the inner three quarters."""
_BATCH: Final = 16
_PEOPLE: Final = 200


@dataclass(frozen=True, slots=True)
class _Attacker:
    """A network from faces to numbers: float32 RGB, 0 to 255, (n, side, side, 3) or (n, 3, side, side)."""

    path: Path

    def numbers(self, faces: Sequence[Picture]) -> NDArray[np.float32]:
        """Return one row of numbers a face; the nearer two rows, the more alike two faces."""
        session = open_session(self.path)
        shape = session.input_shapes[0]
        channels_first = shape[1] == 3  # noqa: PLR2004 - red, green, blue
        side = shape[2]
        if len(shape) != 4 or not isinstance(side, int):  # noqa: PLR2004 - pictures have four axes
            raise FaceTableError(
                f"{self.path} takes {shape}; an attacker takes (n, side, side, 3) or (n, 3, side, side)."
            )
        rows = []
        for first in range(0, len(faces), _BATCH):
            batch = np.stack(
                [cv2.resize(face, (side, side))[:, :, ::-1] for face in faces[first : first + _BATCH]]
            ).astype(np.float32)
            shown = batch.transpose(0, 3, 1, 2) if channels_first else batch
            rows.append(session.run({session.input_names[0]: np.ascontiguousarray(shown)})[0])
        return np.concatenate(rows).reshape(len(faces), -1)


def evaluate_pack(
    npz: Path,
    registry: Registry,
    progress: Callable[[int, int], None],
    *,
    attacker: Path | None = None,
    style: Literal["mask", "drawing"] = "mask",
    detector: str | None = None,
) -> dict[str, Any]:
    """Anonymise the faces of a pack one by one; count what stays visible and who is recognised.

    Args:
        npz: Pack with the arrays images (n, h, w) uint8 and person (n).
        registry: Where detectors are looked up.
        progress: Told how many faces are done, of how many.
        attacker: ONNX network of the user's own that tells faces apart; None leaves `attack` null.
        style: Of the masks.
        detector: Name of the detector that masks; None as `hailong anonymise` does.

    Raises:
        FaceTableError: The pack or the attacker cannot be used.
        ModelError: A detector is missing or wrong.
    """
    frames, owner, probe = _gathered(npz)
    searches = load_face_searches(registry, detector, slow=True)
    config = AnonymizerConfig(style=style)
    masked: list[Picture] = []
    leaked = whole = 0
    rows, columns = (slice(start, start + _SIDE_PX) for start in _AT)
    for number, frame in enumerate(frames, 1):
        anonymizer = Anonymizer.of(searches, config)
        shown = anonymizer.anonymize(frame, 0)
        whole += anonymizer.doubt is not None
        leaked += left_over(frame, shown, _FACE) > LEFT
        masked.append(shown)
        progress(number, len(frames))
    attack: dict[str, Any] | None = None
    if attacker is not None:
        network = _Attacker(attacker)
        clear = network.numbers([frame[rows, columns] for frame in frames])
        covered = network.numbers([frame[rows, columns] for frame in masked])
        attack = {
            "people": int(owner.max()) + 1,
            "chance": round(1 / (int(owner.max()) + 1), 4),
            "rank1_clear": rank_one(owner, probe, clear[probe], clear[~probe]),
            "rank1_by_clear": rank_one(owner, probe, covered[probe], clear[~probe]),
            "rank1_by_alike": rank_one(owner, probe, covered[probe], covered[~probe]),
        }
    return {
        "pack": str(npz),
        "faces": len(frames),
        "leaked_faces": leaked,
        "leaked_faces_upper_95": upper_95(leaked, len(frames)),
        "whole_frame_share": round(whole / len(frames), 4),
        "attack": attack,
    }


def rank_one(
    owner: NDArray[np.intp],
    probe: NDArray[np.bool_],
    probes: NDArray[np.float32],
    known: NDArray[np.float32],
) -> float:
    """Return the share of probes whose nearest known face is of the same person; a draw counts as chance."""
    owners = owner[~probe]
    hits = 0.0
    for own, row in zip(owner[probe], probes, strict=True):
        distance = ((known - row) ** 2).sum(axis=1)
        nearest = distance <= distance.min() + 1e-6
        people = np.unique(owners[nearest])
        hits += float(own in people) / len(people)
    return round(hits / int(probe.sum()), 4)


def _gathered(npz: Path) -> tuple[list[Picture], NDArray[np.intp], NDArray[np.bool_]]:
    """Lay the faces of those with the most pictures into frames; the first of each is the probe."""
    try:
        with np.load(npz, allow_pickle=False) as pack:
            images, person = pack["images"], pack["person"]
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise FaceTableError(
            f"{npz} cannot be read ({error}). It needs the arrays images and person."
        ) from error
    names, counts = np.unique(person, return_counts=True)
    chosen = [
        name for name in names[np.argsort(-counts, kind="stable")][:_PEOPLE] if (person == name).sum() > 1
    ]
    if len(chosen) < 2 or len(names) < 2:  # noqa: PLR2004 - nobody can be taken for another
        raise FaceTableError(f"{npz} needs at least two people with two pictures each in 'person'.")
    room = np.full((*_FRAME, 3), 128, np.uint8)
    frames, owner, probe = [], [], []
    for number, name in enumerate(chosen):
        for place, index in enumerate(np.flatnonzero(person == name)):
            face = cv2.resize(images[index], (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_CUBIC)
            frame = room.copy()
            frame[_AT[0] : _AT[0] + _SIDE_PX, _AT[1] : _AT[1] + _SIDE_PX] = (
                face if face.ndim == frame.ndim else face[:, :, None]
            )
            frames.append(frame)
            owner.append(number)
            probe.append(place == 0)
    return frames, np.array(owner), np.array(probe)
