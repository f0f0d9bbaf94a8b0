"""Whole sessions with the real networks: who may not be read gives no figure, and no call either.

Each scene goes the way of a counter: consent, gate, session, signal. The real people of the same
kind of scene are in `tests/test_staff_never_scored.py` and `tests/test_real_recordings.py`.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capture.consent_script import ConsentScript
from capture.cost import DETECTION, EXPRESSION, CpuMeter
from capture.recording import RecordingSource
from capture.replay import Replayed, replay, replay_counter
from capture.source import EmptyDevice, MediaDevice, MediaUnit, SourceHealth
from consent.purpose import Purpose
from consent.state import State
from inference.media import Frame
from inference.perception import Perception
from models.registry import Registry
from setup.layout import ROOT

GIVEN = ConsentScript(decision="given", purposes=frozenset({Purpose.IMAGE}), decides_after_s=0)
IMAGE = frozenset({Purpose.IMAGE})
Pixels = NDArray[np.uint8]


class Shown:
    """A camera in whose picture a scene is played; the pictures are a sample's, changed."""

    address = "scene:"
    offers = IMAGE

    def __init__(
        self, sample: str, change: Callable[[Pixels, int], Pixels] = lambda pixels, _: pixels
    ) -> None:
        self._recording = RecordingSource(ROOT / "samples" / sample)
        self._change = change

    def describe(self) -> str:
        return "a scene"

    def health(self) -> SourceHealth:
        return self._recording.health()

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        return _Changed(self._recording.open(purposes), self._change)


class _Changed(EmptyDevice):
    def __init__(self, device: MediaDevice, change: Callable[[Pixels, int], Pixels]) -> None:
        self._device = device
        self._change = change

    def read(self) -> MediaUnit | None:
        unit = self._device.read()
        if not isinstance(unit, Frame):
            return unit
        return replace(unit, pixels=self._change(unit.pixels, unit.index))

    def close(self) -> None:
        self._device.close()


@pytest.fixture(scope="module")
def perception() -> Iterator[Perception]:
    loaded = Perception.load(Registry.default())
    yield loaded
    loaded.close()


def served(scene: Shown, perception: Perception, **settings: Any) -> tuple[Replayed, Tally[str]]:
    """Serve one session; return what came of it and the calls of the networks."""
    meter = CpuMeter()
    counter = type(replay_counter()).model_validate(replay_counter().model_dump() | settings)
    done = replay(
        Path("scene"), GIVEN, meter.perception(perception), counter=counter, software="test", source=scene
    )
    return done, Tally(meter.calls)


def moved(share: float) -> Callable[[Pixels, int], Pixels]:
    """Move everything to the right by a share of the width; the left edge's wall fills what comes free."""

    def change(pixels: Pixels, _: int) -> Pixels:
        step = round(share * pixels.shape[1])
        if step > 0:
            edge = np.repeat(pixels[:, :1], step, axis=1)
            return np.concatenate((edge, pixels[:, :-step]), axis=1)
        edge = np.repeat(pixels[:, -1:], -step, axis=1)
        return np.concatenate((pixels[:, -step:], edge), axis=1)

    return change


LEFT, RIGHT = (
    [(0.0, 0.0), (0.3, 0.0), (0.3, 1.0), (0.0, 1.0)],
    [(0.7, 0.0), (1.0, 0.0), (1.0, 1.0), (0.7, 1.0)],
)


def test_an_empty_seat_gives_no_signal_and_no_reading(perception: Perception) -> None:
    done, calls = served(Shown("nobody.mp4"), perception)
    assert (done.consent, done.signal, done.error) == (State.COMPLETED, None, None)
    assert calls[DETECTION] > 40
    assert calls[EXPRESSION] == 0


@pytest.mark.parametrize(
    ("seat", "share"),
    [(None, -0.4), (None, 0.4), (LEFT, 0.3), (RIGHT, -0.3)],
    ids=["officer left of the seat", "officer right of it", "seat left, face right", "seat right, face left"],
)
def test_who_sits_beside_the_seat_is_not_read(
    perception: Perception, seat: list[tuple[float, float]] | None, share: float
) -> None:
    """The one person in the picture is not in the citizen's chair: an officer, or seats that were swapped."""
    done, calls = served(Shown("neutral.mp4", moved(share)), perception, seat_zone=seat)
    assert (done.consent, done.signal, done.error) == (State.COMPLETED, None, None)
    assert calls[DETECTION] > 80
    assert calls[EXPRESSION] == 0


@pytest.mark.parametrize(
    ("seat", "share"), [(None, 0.0), (LEFT, -0.35), (RIGHT, 0.35)], ids=["middle", "left", "right"]
)
def test_who_sits_in_the_seat_is_read_wherever_it_is(
    perception: Perception, seat: list[tuple[float, float]] | None, share: float
) -> None:
    """The control of the test above: the same person, in the chair."""
    done, calls = served(Shown("neutral.mp4", moved(share)), perception, seat_zone=seat)
    assert done.signal is not None
    assert done.signal.quality.face_s > 5.0
    assert calls[EXPRESSION] > 60


def test_a_bystander_adds_no_call(perception: Perception) -> None:
    """Somebody comes into the picture after three seconds; the same number of faces is read as before."""
    done, calls = served(Shown("bystander.mp4"), perception)
    assert done.signal is not None
    assert calls[EXPRESSION] == calls[DETECTION], "one face a detection, though two are there"
    assert 28.0 < done.signal.quality.face_s <= 32.75, "of 32.5 s"


def test_a_masked_seat_gives_nothing(perception: Perception) -> None:
    """The camera is turned so that the chair's occupant sits behind a privacy mask."""
    mask = [(0.25, 0.0), (0.8, 0.0), (0.8, 0.9), (0.25, 0.9)]
    done, calls = served(Shown("neutral.mp4"), perception, privacy_masks=[mask])
    assert (done.signal, calls[EXPRESSION]) == (None, 0)


@pytest.mark.parametrize("size", [1.0, 0.75, 0.6], ids=["like size", "smaller", "a child's"])
def test_a_second_face_at_the_seat_ends_the_session(perception: Perception, size: float) -> None:
    """From the fourth second somebody sits beside the citizen, within the seat: no figure may come of it."""

    def joined(pixels: Pixels, index: int) -> Pixels:
        height, width = pixels.shape[:2]
        scene = np.repeat(pixels[:, :1], width, axis=1).copy()
        citizen = pixels[::2, ::2]
        low, left = height - citizen.shape[0], width // 2 - citizen.shape[1] * 3 // 4
        scene[low:, left : left + citizen.shape[1]] = citizen
        if index >= 4 * 12:
            rows = np.linspace(0, height - 1, round(height / 2 * size)).astype(int)
            columns = np.linspace(width * 0.3, width * 0.7, round(width * 0.2 * size)).astype(int)
            child = pixels[rows][:, columns]
            at = width // 2 + width // 32
            scene[height - child.shape[0] :, at : at + child.shape[1]] = child
        return scene

    done, calls = served(Shown("satisfied.mp4", joined), perception)
    assert done.signal is None
    assert done.consent is State.REVOKED
    assert 0 < calls[EXPRESSION] < 40, "the citizen was read until the second face came, and never after"
