from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from consent.purpose import Purpose
from inference.media import AudioChunk, Frame


def test_units_know_their_purpose() -> None:
    assert Frame.purpose is Purpose.IMAGE
    assert AudioChunk.purpose is Purpose.VOICE


@pytest.mark.parametrize(
    ("samples", "rate_hz", "duration_ns"),
    [(16_000, 16_000, 1_000_000_000), (512, 16_000, 32_000_000), (0, 16_000, 0), (441, 44_100, 10_000_000)],
)
def test_duration_of_a_chunk(samples: int, rate_hz: int, duration_ns: int) -> None:
    chunk = AudioChunk(np.zeros((2, samples), np.int16), rate_hz, 0, 0)
    assert chunk.duration_ns == duration_ns


def test_units_are_frozen_and_hold_nothing_else() -> None:
    frame = Frame(np.zeros((2, 2, 3), np.uint8), 1, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame.captured_ns = 2  # type: ignore[misc]  # that is the test
    assert not hasattr(frame, "__dict__")
    assert {item.name for item in dataclasses.fields(Frame)} == {"pixels", "captured_ns", "index", "segment"}
