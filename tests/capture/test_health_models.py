"""Health names the networks that really run: the best face detector that is present, and what reads faces."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from capture.monitor import EdgeParts, health
from capture.outbox import Outbox
from inference.perception import Perception
from models.face_detectors import choose_face_detector
from models.registry import MODELS_DIR_VARIABLE, Registry

YUNET = "face_detection_yunet_2026may.onnx"


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of models that an administrator imported; empty."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv(MODELS_DIR_VARIABLE, str(folder))
    return folder


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox.sqlite")
    yield opened
    opened.close()


def shown(outbox: Outbox) -> list[tuple[str, str, str]]:
    perception = Perception.load(Registry.default())
    try:
        edge = EdgeParts({}, {}, outbox, None, perception, erasure=SimpleNamespace(trouble=None))  # type: ignore[arg-type]  # what health asks of it, and no more
        return [(found["name"], found["version"], found["sha256"]) for found in health(edge)["models"]]
    finally:
        perception.close()


def chosen() -> tuple[str, str, str]:
    card = choose_face_detector(Registry.default()).card
    return card.name, card.version, card.file.sha256


def test_the_best_present_detector_is_the_one_that_runs(bundle: Path, outbox: Outbox) -> None:
    models = shown(outbox)
    assert models[0] == chosen()
    assert {name for name, _, _ in models} >= {
        "face-api-expression",
        "mini-xception",
        "silero-vad",
        "viet-asr",
    }


def test_a_better_one_that_is_imported_is_taken_and_named(bundle: Path, outbox: Outbox, shared: Path) -> None:
    before = shown(outbox)[0]
    shutil.copyfile(shared / "models" / YUNET, bundle / YUNET)
    after = shown(outbox)[0]
    assert after == chosen()
    assert (before[0], after[0]) == ("centerface", "yunet")
