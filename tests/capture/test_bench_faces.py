"""The benchmark of faces measures every detector that is there, and reads its long session for real."""

from __future__ import annotations

from typing import Any

import pytest

from capture.bench_faces import REFERENCE, measure_faces
from models.card import Task
from models.registry import Registry
from setup.layout import ROOT


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    return measure_faces(ROOT / "samples" / "satisfied.mp4", "test", frames=48, rounds=1)


def test_every_part_is_a_ratio_to_one_reference(measured: dict[str, Any]) -> None:
    assert measured["reference"] == REFERENCE
    assert measured["ratio"][REFERENCE] == 1.0
    assert set(measured["ratio"]) == set(measured["cpu_ms"])
    assert min(measured["cpu_ms"].values()) > 0.0
    assert measured["ratio"]["tracker"] < measured["ratio"]["expression, one network"] < 1.0


def test_each_detector_that_is_here_is_measured_at_both_sizes(measured: dict[str, Any]) -> None:
    registry = Registry.default()
    present = [card.key for card in registry.cards(Task.FACE_DETECTION) if registry.find(card) is not None]
    assert present
    expected = {f"detector {key}, {size}" for key in present for size in ("seat", "whole picture")}
    assert {part for part in measured["cpu_ms"] if part.startswith("detector")} == expected


def test_the_long_session_is_read_at_the_default_rates(measured: dict[str, Any]) -> None:
    session = measured["session"]
    assert (session["frames"], session["media_s"]) == (48, 4.0)
    assert session["calls"] == {"expression": 16, "face detection": 16}, "four a second of the capture time"
    assert session["face_s"] == 4.0
    assert session["real_time_factor"] > 0.0
