"""Nobody is recognised on an anonymised picture: a real face recogniser tries, and blur shows its teeth.

The attack is given more than a thief would have: it knows where the face is and how it is turned (from
the clear picture), and it may compare with clear pictures of everybody or with pictures that were
anonymised in the same way, whichever tells more.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import cv2
import numpy as np
import pytest
from structlog.testing import capture_logs

from inference.anonymizer import Anonymizer, AnonymizerConfig, Doubt
from models.card import Task
from models.face_detectors import load_face_detector
from models.registry import Registry
from setup.layout import ROOT
from tests.inference.face_recogniser import Recogniser, chip

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.face_detectors import Box, FaceDetector

    Picture = NDArray[np.uint8]

_CLEAR: Final = 0.90
"""Below this the recogniser itself is too weak for its failures to mean anything."""
_BAR: Final = 4.0
"""Rank-1 that an opaque mask may reach, in multiples of chance: 2 % of 200 people."""
_TELLING: Final = re.compile(
    r"face_?(recog|embed|match|ident|net\b)|(^|\.)tests\.|recogniser|arcface|sface|embedding", re.IGNORECASE
)
_DEFACE: Final = "as deface paints it"
"""Shown beside ours and held to nothing: it blurs so far that this attack hardly gains by it."""
_SIDE_PX: Final = 160
_AT: Final = (150, 240)
"""Row and column of the picture in the frame."""


class Broken:
    """A detector that fails, so that the whole picture has to be covered."""

    name, version, sha256, threshold = "broken", "1", "0" * 64, 0.0

    def detect(self, image: Picture) -> tuple[Box, ...]:
        raise RuntimeError

    def version_of(self) -> tuple[str, str, str]:
        return self.name, self.version, self.sha256


@dataclass(frozen=True, slots=True)
class People:
    """Pictures of people in frames of a camera: of each person one probe, the rest is known to the attack."""

    frames: list[Picture]
    owner: NDArray[np.intp]
    probe: NDArray[np.bool_]

    @property
    def count(self) -> int:
        return int(self.owner.max()) + 1


def gathered(pack: Path, *, people: int, known: int | None, seed: int) -> People:
    """Take those of whom there are the most pictures, by that number alone."""
    with np.load(pack) as faces:
        images, person = faces["images"], faces["person"]
    names, counts = np.unique(person, return_counts=True)
    chosen = names[np.argsort(-counts, kind="stable")][:people]
    assert counts[np.isin(names, chosen)].min() >= 2
    patches = np.random.default_rng(seed).integers(60, 220, (9, 16, 3), dtype=np.uint8)
    room = cv2.resize(patches, (640, 360), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    frames, owner, probe = [], [], []
    for number, name in enumerate(chosen):
        own = np.flatnonzero(person == name)
        for place, index in enumerate(own[: None if known is None else 1 + known]):
            frame = room.copy()
            face = cv2.resize(images[index], (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_CUBIC)
            frame[_AT[0] : _AT[0] + _SIDE_PX, _AT[1] : _AT[1] + _SIDE_PX] = face[:, :, None]
            frames.append(frame)
            owner.append(number)
            probe.append(place == 0)
    return People(frames, np.array(owner), np.array(probe))


def masked_alone(
    frames: Sequence[Picture], detector: FaceDetector, style: Literal["mask", "drawing"] = "mask"
) -> list[Picture]:
    """Anonymise each frame as the first of a stream: nothing is known from an earlier one."""
    found = []
    for frame in frames:
        anonymizer = Anonymizer(detector, AnonymizerConfig(style=style))
        found.append(anonymizer.anonymize(frame, 0))
        assert anonymizer.doubt is None
    return found


def covered_whole(frames: Sequence[Picture]) -> list[Picture]:
    """Anonymise the frames as one stream whose detector fails."""
    anonymizer = Anonymizer(Broken())
    with capture_logs() as said:
        found = [anonymizer.anonymize(frame, number) for number, frame in enumerate(frames)]
    assert [entry["event"] for entry in said] == ["anonymizer_detector_failed"]
    assert anonymizer.doubt is Doubt.DETECTOR_FAILED
    return found


def blurred(frame: Picture, masked: Picture, sigma: float) -> Picture:
    """Blur what the mask would have covered, and nothing else."""
    soft = cv2.GaussianBlur(frame, (0, 0), sigma)
    where = (masked != frame).any(axis=2, keepdims=True)
    return np.where(where, soft, frame).astype(np.uint8)


def as_deface(frame: Picture, detector: FaceDetector) -> Picture:
    """Blur as `deface` 1.5.0 does by default: an ellipse, each pixel the mean of half the box around it."""
    shown = frame.copy()
    for box in detector.detect(frame):
        if box.score < 0.2:
            continue
        wide, high = 0.3 * box.width, 0.3 * box.height
        x1, y1 = max(0, round(int(box.x1) - wide)), max(0, round(int(box.y1) - high))
        x2, y2 = min(639, round(int(box.x2) + wide)), min(359, round(int(box.y2) + high))
        part = shown[y1:y2, x1:x2]
        soft = cv2.blur(part, ((x2 - x1) // 2, (y2 - y1) // 2))
        where = np.zeros(part.shape[:2], np.uint8)
        middle = ((x2 - x1) // 2, (y2 - y1) // 2)
        cv2.ellipse(where, middle, middle, 0, 0, 360, 1, -1)
        shown[y1:y2, x1:x2] = np.where(where[:, :, None] == 1, soft, part)
    return shown


def rank_one(people: People, probes: NDArray[np.float32], known: NDArray[np.float32]) -> float:
    """Share of probes whose nearest known picture is of the same person; a draw counts as its chance."""
    owners = people.owner[~people.probe]
    hits = 0.0
    for owner, probe in zip(people.owner[people.probe], probes, strict=True):
        distance = ((known - probe) ** 2).sum(axis=1)
        nearest = np.array([distance[owners == one].min() for one in range(people.count)])
        drawn = nearest <= nearest.min() + 1e-6
        hits += drawn[owner] / drawn.sum()
    return hits / people.count


@dataclass(frozen=True, slots=True)
class Row:
    """How often people are recognised: by clear pictures and by pictures anonymised in the same way."""

    name: str
    by_clear: float
    by_alike: float

    @property
    def worst(self) -> float:
        return max(self.by_clear, self.by_alike)


def attacked(people: People, package: Path, sigmas: Sequence[float]) -> dict[str, Row]:
    """Attack each way to anonymise, and print a table."""
    detector = load_face_detector(
        Registry.default(), "centerface", threshold=AnonymizerConfig().max_threshold
    )
    recogniser = Recogniser(package)
    rows, columns = (slice(start, start + _SIDE_PX) for start in _AT)
    shift = np.array([[0, 0, _AT[1]], [0, 0, _AT[0]]], np.float32)
    places = []
    for frame in people.frames:
        place = recogniser.alignment(np.ascontiguousarray(frame[rows, columns]))
        place[:, 2] -= place[:, :2] @ shift[:, 2]
        places.append(place)
    masked = masked_alone(people.frames, detector)
    missed = sum(bool((one == other).all()) for one, other in zip(people.frames, masked, strict=True))
    whole = covered_whole(people.frames)

    def embedded(pictures: Sequence[Picture], zoom: float) -> NDArray[np.float32]:
        return recogniser.embed(
            [chip(picture, place, zoom=zoom) for picture, place in zip(pictures, places, strict=True)]
        )

    clear = {zoom: embedded(people.frames, zoom) for zoom in (1.0, 0.5)}
    table: dict[str, Row] = {}

    def attack(name: str, pictures: Sequence[Picture], zoom: float = 1.0) -> None:
        found = embedded(pictures, zoom)
        by_clear = rank_one(people, found[people.probe], clear[zoom][~people.probe])
        by_alike = rank_one(people, found[people.probe], found[~people.probe])
        table[name] = Row(name, by_clear, by_alike)

    same = rank_one(people, clear[1.0][people.probe], clear[1.0][~people.probe])
    table["clear"] = Row("clear", same, same)
    attack("opaque mask", masked)
    attack("opaque mask, twice as much around it", masked, 0.5)
    drawn = masked_alone(people.frames, detector, "drawing")
    assert any((one != other).any() for one, other in zip(drawn, masked, strict=True))
    attack("opaque mask with a drawing on it", drawn)
    attack("whole picture covered", whole)
    attack(_DEFACE, [as_deface(frame, detector) for frame in people.frames])
    for sigma in sigmas:
        pictures = [blurred(frame, cover, sigma) for frame, cover in zip(people.frames, masked, strict=True)]
        attack(f"Gaussian blur, sigma {sigma:g} px", pictures)
    title = (
        f"{people.count} people, {len(people.frames)} pictures, chance {1 / people.count:.1%}, not found by "
        f"the detector {missed}; rank-1 by clear pictures / by pictures made alike:"
    )
    lines = [f"  {row.name:37} {row.by_clear:6.1%} {row.by_alike:6.1%}" for row in table.values()]
    print("\n".join(["", title, *lines]))  # noqa: T201 - the table is what the test is run with -s for
    return table


def judge(people: People, table: dict[str, Row]) -> None:
    """Hold the masks to the bar, and show that the bar can be missed."""
    assert table["clear"].worst >= _CLEAR
    bar = _BAR / people.count
    for name, row in table.items():
        if "blur" in name:
            assert row.worst > bar, name
        elif name not in {"clear", _DEFACE}:
            assert row.worst <= bar, name


def test_nobody_is_recognised_behind_a_mask_but_behind_blur(shared: Path, npm: Path, seed: int) -> None:
    people = gathered(shared / "data" / "faces" / "dev_named_people.npz", people=100, known=1, seed=seed)
    judge(people, attacked(people, npm / "face-api", (8.0,)))


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_nobody_of_two_hundred_is_recognised_by_all_their_pictures(
    shared: Path, npm: Path, seed: int
) -> None:
    people = gathered(shared / "data" / "faces" / "dev_named_people.npz", people=200, known=None, seed=seed)
    judge(people, attacked(people, npm / "face-api", (4.0, 8.0, 12.0)))


_VOICE_ENCODER = "models/convert_voice_encoder.py"
"""Groups the turns of one recording for the evaluation of one microphone; it sees no face."""


def test_the_product_holds_no_face_recogniser() -> None:
    """Neither a module nor a card: what tells people apart by their faces exists in this test alone."""
    own = ast.parse((ROOT / "tests" / "inference" / "face_recogniser.py").read_text("utf-8"))
    assert _telling(own), "the search finds what it is for"
    modules = [ROOT / "hailong.py"]
    for package in ("api", "capture", "consent", "inference", "models", "setup"):
        modules += sorted((ROOT / package).rglob("*.py"))
    found = {
        str(module.relative_to(ROOT)): telling
        for module in modules
        if (telling := _telling(ast.parse(module.read_text("utf-8"), str(module))))
    }
    found.pop(_VOICE_ENCODER)
    assert found == {}
    assert {task.value for task in Task} == {
        "face-detection",
        "expression",
        "voice-activity",
        "transcription",
        "text-sentiment",
        "diarisation",
    }
    cards = [card for card in Registry.default().cards() if card.task is not Task.DIARISATION]
    assert cards
    for card in cards:
        assert not re.search(r"embed|identity|face.recog", f"{card.summary} {card.outputs}".lower()), (
            card.name
        )
        assert not _TELLING.search(f"{card.name} {card.file.name}"), card.name


def _telling(tree: ast.AST) -> set[str]:
    """Return what a module imports, defines or loads that could tell faces apart."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                names.update(alias.name for alias in node.names)
                names.add(getattr(node, "module", None) or "")
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Constant(value=str(text)) if " " not in text:
                names.add(text)
    return {name for name in names if _TELLING.search(name)}
