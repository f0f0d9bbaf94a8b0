from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from capture.address import parse_address
from capture.camera import RtspCamera
from capture.errors import NoVideoTrack, SourceLost, SourceRefused, SourceUnavailable
from capture.live import LivePolicy
from capture.reconnect import Gap, ReconnectingSource, ReconnectPolicy
from capture.rtsp_server import RtspMediaServer
from capture.source import MediaDevice, MediaUnit, SourceHealth, SourceState
from consent.purpose import Purpose
from inference.media import Frame

IMAGE = frozenset({Purpose.IMAGE})
BOTH = frozenset({Purpose.IMAGE, Purpose.VOICE})
FAST = ReconnectPolicy(first_delay_s=0.001, max_delay_s=0.004, budget_s=5)


def frame(at_ns: int, index: int = 0, segment: int = 0) -> Frame:
    return Frame(np.zeros((1, 1, 3), np.uint8), at_ns, index, segment)


class Scripted:
    """A source whose devices follow a script: each is units and errors; an error may stand for opening."""

    def __init__(self, *devices: Iterable[MediaUnit | Exception] | Exception) -> None:
        self._devices = iter(devices)
        self.address = "rtsp://cam/1"
        self.offers = BOTH
        self.connects = 0
        self.open_now = 0

    def describe(self) -> str:
        return "scripted camera"

    def health(self) -> SourceHealth:
        return SourceHealth(state=SourceState.RUNNING)

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        return self.connect(purposes)

    def connect(self, purposes: frozenset[Purpose]) -> MediaDevice:
        self.connects += 1
        script = next(self._devices, None)
        if isinstance(script, Exception):
            raise script
        self.open_now += 1
        return ScriptedDevice(script or (), self)


class ScriptedDevice:
    def __init__(self, script: Iterable[MediaUnit | Exception], source: Scripted) -> None:
        self._script = iter(script)
        self._source = source
        self._open = True

    def read(self) -> MediaUnit | None:
        item = next(self._script, None)
        if isinstance(item, Exception):
            raise item
        return item

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        if self._open:
            self._source.open_now -= 1
        self._open = False


def drain(device: MediaDevice) -> list[MediaUnit]:
    units = []
    while (unit := device.read()) is not None:
        units.append(unit)
    return units


def test_a_lost_source_comes_back_in_a_new_segment() -> None:
    gaps: list[Gap] = []
    inner = Scripted(
        [frame(10, 0), frame(20, 1), frame(30, 2, 1), SourceLost("cable")],
        SourceUnavailable("still off"),
        [SourceLost("refused at the first read")],
        [frame(100, 0), frame(110, 1, 1)],
    )
    source = ReconnectingSource(inner, FAST, on_gap=gaps.append)
    device = source.open(IMAGE)
    units = drain(device)
    device.close()
    assert [(unit.captured_ns, unit.index, unit.segment) for unit in units] == [
        (10, 0, 0),
        (20, 1, 0),
        (30, 2, 1),
        (100, 3, 2),
        (110, 4, 3),
    ]
    assert gaps == [Gap(30, 100, "cable")]
    assert source.gaps == tuple(gaps)
    health = source.health()
    assert (health.reconnects, health.gap_s) == (1, 70 / 1e9)
    assert (inner.connects, inner.open_now) == (4, 0)


def test_a_source_that_is_not_there_yet_is_waited_for() -> None:
    inner = Scripted(SourceUnavailable("off"), SourceUnavailable("off"), [frame(5)])
    source = ReconnectingSource(inner, FAST)
    device = source.open(IMAGE)
    assert source.health().state is SourceState.WAITING
    first = device.read()
    assert first is not None
    assert (first.captured_ns, first.segment) == (5, 0)
    assert source.health().state is SourceState.RUNNING
    assert source.gaps == ()
    device.close()


@pytest.mark.parametrize("error", [SourceRefused("wrong password"), NoVideoTrack("no picture")])
def test_what_trying_again_cannot_mend_is_raised_at_once(error: Exception) -> None:
    inner = Scripted(error)
    with pytest.raises(type(error), match=str(error)):
        ReconnectingSource(inner, FAST).open(IMAGE)
    assert inner.connects == 1
    later = Scripted([frame(1), error])
    device = ReconnectingSource(later, FAST).open(IMAGE)
    assert device.read() is not None
    with pytest.raises(type(error), match=str(error)):
        device.read()
    device.close()
    assert (later.connects, later.open_now) == (1, 0)


def test_the_budget_ends_the_fight() -> None:
    inner = Scripted(*itertools.repeat(SourceUnavailable("off."), 10_000))
    policy = ReconnectPolicy(first_delay_s=0.01, max_delay_s=0.02, budget_s=0.2)
    device = ReconnectingSource(inner, policy).open(IMAGE)
    with pytest.raises(SourceUnavailable, match=r"off\. It did not come back within 0\.2 s"):
        device.read()
    device.close()
    assert inner.connects > 3


def test_a_source_that_flaps_spends_the_budget_too() -> None:
    flapping: list[list[MediaUnit | Exception]] = [[frame(n), SourceLost("flap.")] for n in range(10_000)]
    policy = ReconnectPolicy(first_delay_s=0.01, max_delay_s=0.02, budget_s=0.2)
    device = ReconnectingSource(Scripted(*flapping), policy).open(IMAGE)
    with pytest.raises(SourceLost, match="did not come back"):
        drain(device)
    device.close()


def test_waits_double_up_to_the_limit_and_vary(seed: int) -> None:
    policy = ReconnectPolicy()
    plain = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    one, other = (
        ReconnectingSource(Scripted(), policy, jitter=random.Random(seed + n))  # noqa: S311 - repeatable
        for n in range(2)
    )
    waits = [one.delay_s(attempt) for attempt in range(8)]
    assert waits == pytest.approx(plain, rel=0.2)
    assert waits != plain
    assert waits != [other.delay_s(attempt) for attempt in range(8)]
    assert one.delay_s(10_000) <= 6.0


def test_an_orderly_end_is_the_end() -> None:
    inner = Scripted([frame(1)], [frame(2)])
    device = ReconnectingSource(inner, FAST).open(IMAGE)
    assert [unit.captured_ns for unit in drain(device)] == [1]
    assert inner.connects == 1
    device.close()


def test_interrupt_ends_the_wait_for_a_source() -> None:
    policy = ReconnectPolicy(first_delay_s=30, max_delay_s=30)
    device = ReconnectingSource(Scripted(SourceUnavailable("off")), policy).open(IMAGE)
    got: list[MediaUnit | None] = []
    reader = threading.Thread(target=lambda: got.append(device.read()))
    reader.start()
    time.sleep(0.05)
    device.interrupt()
    reader.join(5)
    assert got == [None]
    device.close()


def camera(url: str) -> ReconnectingSource:
    limits = LivePolicy(silence_limit_s=1.0)
    return ReconnectingSource(RtspCamera(parse_address(url), limits), ReconnectPolicy(budget_s=60))


def read_until(device: MediaDevice, done: Callable[[MediaUnit], bool], limit_s: float = 30) -> MediaUnit:
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        unit = device.read()
        assert unit is not None
        if done(unit):
            return unit
    pytest.fail(f"not seen within {limit_s} s")


def test_a_killed_server_is_noticed_at_once_and_met_again(flash_clip: Path) -> None:
    first = RtspMediaServer({"counter": flash_clip})
    first.start()
    source = camera(first.url("counter"))
    device = source.open(BOTH)
    seen = read_until(device, lambda unit: isinstance(unit, Frame))
    assert seen.segment == 0
    killed_s = time.monotonic()
    first.kill()
    second = RtspMediaServer({"counter": flash_clip}, port=first.port)
    threading.Timer(0.5, second.start).start()
    back = read_until(device, lambda unit: unit.segment == 1)
    assert time.monotonic() - killed_s < 15
    device.close()
    second.stop()
    assert back.captured_ns > seen.captured_ns
    assert source.health().reconnects == 1
    (gap,) = source.gaps
    assert "broke off" in gap.reason
    assert 0 < source.health().gap_s < 15


def test_a_frozen_picture_beside_running_sound_is_noticed(flash_clip: Path) -> None:
    with RtspMediaServer({"counter": flash_clip}, loop=True) as server:
        source = camera(server.url("counter"))
        device = source.open(BOTH)
        read_until(device, lambda unit: isinstance(unit, Frame))
        with server.frozen("video"):
            frozen_s = time.monotonic()
            while source.health().state is not SourceState.WAITING and time.monotonic() - frozen_s < 20:
                unit = device.read()
                assert unit is not None
                if unit.segment > 0:
                    break
            noticed_s = time.monotonic() - frozen_s
        assert noticed_s > 0.8
        back = read_until(device, lambda unit: isinstance(unit, Frame) and unit.segment > 0)
        device.close()
    assert back.segment >= 1
    assert any("gives no picture" in gap.reason for gap in source.gaps)
