"""Behind the swap the citizen's channel comes first, whatever the wiring."""

from __future__ import annotations

import numpy as np
import pytest

from capture.channels import SwappedChannels
from capture.source import MediaDevice, MediaUnit, SourceHealth
from consent.purpose import Purpose
from inference.media import AudioChunk, Frame


class Units:
    """A source and its own device."""

    address = "fake:units"
    offers = frozenset({Purpose.IMAGE, Purpose.VOICE})

    def __init__(self, *units: MediaUnit) -> None:
        self._left = list(units)
        self.calls: list[str] = []

    def describe(self) -> str:
        return "units"

    def health(self) -> SourceHealth:
        return SourceHealth(reconnects=3)

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        self.calls.append(" ".join(sorted(purposes)))
        return self

    def read(self) -> MediaUnit | None:
        return self._left.pop(0) if self._left else None

    def interrupt(self) -> None:
        self.calls.append("interrupt")

    def close(self) -> None:
        self.calls.append("close")


def chunk(*channels: list[int]) -> AudioChunk:
    return AudioChunk(np.array(channels, np.int16), 16_000, captured_ns=7, index=0)


def test_two_channels_change_places_and_nothing_else_does() -> None:
    frame = Frame(np.zeros((2, 2, 3), np.uint8), 5, 0)
    source = Units(chunk([1, 2], [3, 4]), frame, chunk([5, 6]))
    device = SwappedChannels(source).open(frozenset({Purpose.IMAGE, Purpose.VOICE}))
    swapped = device.read()
    assert isinstance(swapped, AudioChunk)
    assert swapped.samples.tolist() == [[3, 4], [1, 2]]
    assert (swapped.captured_ns, swapped.sample_rate_hz) == (7, 16_000)
    with pytest.raises(ValueError, match="read-only"):
        swapped.samples[0, 0] = 9
    assert device.read() is frame
    single = device.read()
    assert isinstance(single, AudioChunk)
    assert single.samples.tolist() == [[5, 6]]
    assert device.read() is None


def test_it_is_otherwise_the_source_itself() -> None:
    source = Units()
    swapped = SwappedChannels(source)
    assert (swapped.address, swapped.offers) == (source.address, source.offers)
    assert swapped.health().reconnects == 3
    assert swapped.describe() == "units, channels swapped"
    device = swapped.open(frozenset({Purpose.VOICE}))
    device.interrupt()
    device.close()
    assert source.calls == ["voice", "interrupt", "close"]
