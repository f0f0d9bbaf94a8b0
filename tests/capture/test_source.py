from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from capture.camera import RtspCamera, UsbCamera
from capture.errors import SourceLost, SourceUnavailable
from capture.live import LiveSource
from capture.microphone import Microphone
from capture.reconnect import ReconnectingSource, ReconnectPolicy
from capture.recording import RecordingSource
from capture.source import EmptyDevice, MediaDevice, MediaUnit, SourceHealth, SourceState
from capture.sources import MergedDevice, PairedSource, open_source
from consent.gate import Device, Source
from consent.purpose import Purpose
from inference.media import AudioChunk, Frame

IMAGE, VOICE = frozenset({Purpose.IMAGE}), frozenset({Purpose.VOICE})
BOTH = IMAGE | VOICE


def frame(at_ns: int, index: int = 0) -> Frame:
    return Frame(np.zeros((1, 1, 3), np.uint8), at_ns, index)


def chunk(at_ns: int, index: int = 0) -> AudioChunk:
    return AudioChunk(np.zeros((1, 16), np.int16), 16_000, at_ns, index)


class FakeDevice:
    """Gives what it is told; blocks at the end until interrupted if it `hangs`."""

    def __init__(self, units: Iterable[MediaUnit | Exception], *, hangs: bool = False) -> None:
        self._units = iter(units)
        self._hangs = hangs
        self._stop = threading.Event()
        self.closed = 0

    def read(self) -> MediaUnit | None:
        unit = next(self._units, None)
        if isinstance(unit, Exception):
            raise unit
        if unit is None and self._hangs:
            self._stop.wait(30)
        return unit

    def interrupt(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self.closed += 1
        self._stop.set()


class FakeSource:
    """Opens fake devices and notes with which purposes."""

    def __init__(self, make: Callable[[], MediaDevice], name: str = "fake") -> None:
        self.address = name
        self.offers = BOTH
        self.opened: list[frozenset[Purpose]] = []
        self._make = make

    def describe(self) -> str:
        return self.address

    def health(self) -> SourceHealth:
        return SourceHealth(state=SourceState.RUNNING)

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        self.opened.append(purposes)
        return self._make()


def drain(device: MediaDevice) -> list[MediaUnit]:
    units = []
    while (unit := device.read()) is not None:
        units.append(unit)
    return units


@pytest.mark.parametrize(
    ("address", "kind", "description"),
    [
        ("rtsp://u:p@cam/1", RtspCamera, "RTSP camera rtsp://cam/1"),
        ("v4l2:/dev/video0", UsbCamera, "USB camera v4l2:/dev/video0"),
        ("alsa:hw:0", Microphone, "microphone alsa:hw:0"),
        ("session.mp4", RecordingSource, "recording session.mp4"),
        ("lavfi:testsrc2", LiveSource, "synthetic camera lavfi:testsrc2"),
    ],
)
def test_an_address_gives_its_source(address: str, kind: type, description: str) -> None:
    source = open_source(address)
    assert isinstance(source, kind)
    assert source.describe() == description
    assert source.health() == SourceHealth()


def test_live_sources_reconnect_when_asked_to() -> None:
    source = open_source("rtsp://u:p@cam/1", reconnect=ReconnectPolicy())
    assert isinstance(source, ReconnectingSource)
    assert source.describe() == "RTSP camera rtsp://cam/1, reconnecting"
    assert isinstance(open_source("session.mp4", reconnect=ReconnectPolicy()), RecordingSource)


def test_sources_are_what_the_gate_opens() -> None:
    source: Source[MediaUnit] = open_source("lavfi:testsrc2")
    device: Device[MediaUnit] = source.open(frozenset())
    assert device.read() is None


@pytest.mark.parametrize(
    "address", ["rtsp://127.0.0.1:1/x", "v4l2:/dev/video9", "alsa:hw:0", "absent.mp4", "lavfi:testsrc2"]
)
@pytest.mark.parametrize("purposes", [frozenset(), frozenset({Purpose.QUOTES})])
def test_without_a_purpose_no_source_opens_anything(address: str, purposes: frozenset[Purpose]) -> None:
    # None of these could be opened, so an attempt would raise.
    device = open_source(address).open(purposes)
    assert isinstance(device, EmptyDevice)
    assert device.read() is None
    device.interrupt()
    device.close()


@pytest.mark.parametrize(("address", "purposes"), [("v4l2:/dev/video9", VOICE), ("alsa:hw:9", IMAGE)])
def test_a_device_is_not_opened_for_what_it_cannot_serve(address: str, purposes: frozenset[Purpose]) -> None:
    assert isinstance(open_source(address).open(purposes), EmptyDevice)


@pytest.mark.parametrize(
    ("purposes", "camera_opened", "microphone_opened"),
    [(BOTH, [IMAGE], [VOICE]), (IMAGE, [IMAGE], []), (VOICE, [], [VOICE]), (frozenset(), [], [])],
)
def test_a_pair_opens_only_what_is_permitted(
    purposes: frozenset[Purpose],
    camera_opened: list[frozenset[Purpose]],
    microphone_opened: list[frozenset[Purpose]],
) -> None:
    camera = FakeSource(lambda: FakeDevice([frame(1)]), "camera")
    microphone = FakeSource(lambda: FakeDevice([chunk(2)]), "microphone")
    pair = PairedSource(camera, microphone)
    device = pair.open(purposes)
    units = drain(device)
    device.close()
    assert (camera.opened, microphone.opened) == (camera_opened, microphone_opened)
    assert {unit.purpose for unit in units} == purposes
    assert pair.address == "camera + microphone"
    assert pair.offers == BOTH


def test_a_pair_that_cannot_open_one_closes_the_other() -> None:
    def missing() -> MediaDevice:
        raise SourceUnavailable("no microphone")

    opened = FakeDevice([])
    pair = PairedSource(FakeSource(lambda: opened), FakeSource(missing))
    with pytest.raises(SourceUnavailable, match="no microphone"):
        pair.open(BOTH)
    assert opened.closed == 1


def test_merged_units_come_in_time_order_from_each_device() -> None:
    camera = FakeDevice([frame(at, at) for at in range(0, 100, 7)])
    microphone = FakeDevice([chunk(at, at) for at in range(3, 100, 5)])
    device = MergedDevice([camera, microphone])
    units = drain(device)
    device.close()
    assert [u.captured_ns for u in units if isinstance(u, Frame)] == list(range(0, 100, 7))
    assert [u.captured_ns for u in units if isinstance(u, AudioChunk)] == list(range(3, 100, 5))
    assert (camera.closed, microphone.closed) == (1, 1)


def test_a_failing_part_fails_the_merge_after_what_came_before() -> None:
    device = MergedDevice([FakeDevice([frame(1), SourceLost("gone")]), FakeDevice([], hangs=True)])
    first = device.read()
    assert isinstance(first, Frame)
    with pytest.raises(SourceLost, match="gone"):
        device.read()
    device.close()


def test_interrupting_a_merge_wakes_its_reader_and_discards() -> None:
    device = MergedDevice([FakeDevice([], hangs=True), FakeDevice([], hangs=True)])
    got: list[MediaUnit | None] = []
    reader = threading.Thread(target=lambda: got.append(device.read()))
    reader.start()
    time.sleep(0.05)
    device.interrupt()
    reader.join(5)
    assert got == [None]
    device.close()


def test_the_health_of_a_pair_is_the_worse_state() -> None:
    camera = FakeSource(lambda: FakeDevice([]))
    microphone = open_source("alsa:hw:9")
    assert PairedSource(camera, microphone).health().state is SourceState.RUNNING
