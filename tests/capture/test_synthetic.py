from __future__ import annotations

import threading
import time
import tracemalloc
from collections import Counter

import av
import numpy as np
import pytest

from capture.clock import STEP_NS
from capture.errors import SourceAddressError, SourceSilent, SourceUnavailable
from capture.live import LiveDevice, LivePolicy, LiveSource
from capture.source import MediaUnit, SourceState
from capture.synthetic import SyntheticSource, synthetic_camera
from consent.purpose import Purpose
from inference.media import AudioChunk, Frame

BOTH = frozenset({Purpose.IMAGE, Purpose.VOICE})
IMAGE = frozenset({Purpose.IMAGE})
COUNTER = (
    "testsrc2=size=160x120:rate=25:duration={0}[out0];sine=frequency=440:sample_rate=48000:duration={0}[out1]"
)
ENDLESS = "testsrc2=size=160x120:rate=25[out0];sine=frequency=440:sample_rate=48000[out1]"
START_NS = 1_795_000_000_000_000_000


def drain(source: SyntheticSource) -> list[MediaUnit]:
    device = source.open(BOTH)
    units = []
    while (unit := device.read()) is not None:
        units.append(unit)
    device.close()
    return units


def test_a_graph_gives_picture_and_sound_at_exact_times() -> None:
    units = drain(SyntheticSource(COUNTER.format(2), started_ns=START_NS))
    frames = [unit for unit in units if isinstance(unit, Frame)]
    chunks = [unit for unit in units if isinstance(unit, AudioChunk)]
    assert [frame.captured_ns - START_NS for frame in frames] == [i * 40_000_000 for i in range(50)]
    assert sum(chunk.samples.shape[1] for chunk in chunks) == 32_000
    assert abs(chunks[-1].captured_ns + chunks[-1].duration_ns - START_NS - 2_000_000_000) < 100_000


def test_the_same_graph_gives_the_same_pixels() -> None:
    first, second = (drain(SyntheticSource(COUNTER.format(0.4), started_ns=START_NS)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.captured_ns == other.captured_ns
        if isinstance(one, Frame) and isinstance(other, Frame):
            assert np.array_equal(one.pixels, other.pixels)


def test_a_graph_that_is_none_is_named() -> None:
    with pytest.raises(SourceAddressError, match="no-such-filter"):
        SyntheticSource("no-such-filter=1").open(BOTH)
    with pytest.raises(SourceUnavailable, match="lavfi:no-such-filter"):
        synthetic_camera("no-such-filter=1").open(BOTH)


def test_a_jump_of_the_timestamps_starts_a_segment() -> None:
    jump = "testsrc2=size=64x48:rate=10:duration=2,setpts='PTS+if(gte(N,10),2/TB,0)'[out0]"
    units = drain(SyntheticSource(jump, started_ns=START_NS))
    assert Counter(unit.segment for unit in units) == {0: 10, 1: 10}
    assert units[10].captured_ns - units[9].captured_ns == 2_100_000_000 > STEP_NS


def test_a_live_graph_runs_in_real_time_and_gives_what_is_new() -> None:
    source = synthetic_camera(ENDLESS)
    device = source.open(BOTH)
    kinds: Counter[str] = Counter()
    began_s = time.monotonic()
    while time.monotonic() - began_s < 1.2:
        unit = device.read()
        assert unit is not None
        assert unit.captured_ns <= time.time_ns() + 5_000_000
        kinds[type(unit).__name__] += 1
    assert source.health().state is SourceState.RUNNING
    device.close()
    assert source.health().state is SourceState.CLOSED
    # 30 pictures and 18 chunks in 1.2 s; a loaded machine may skip pictures, not invent them.
    assert 1 <= kinds["Frame"] <= 35
    assert 10 <= kinds["AudioChunk"] <= 22


def test_a_slow_reader_sees_the_newest_picture() -> None:
    source = synthetic_camera(ENDLESS)
    device = source.open(IMAGE)
    ages_ms = []
    for _ in range(4):
        time.sleep(0.3)
        unit = device.read()
        assert unit is not None
        ages_ms.append((time.time_ns() - unit.captured_ns) / 1e6)
    device.close()
    assert max(ages_ms) < 250
    assert source.health().frames_skipped > 5


def test_sound_that_nobody_takes_is_counted_and_bounded() -> None:
    source = synthetic_camera("sine=frequency=440:sample_rate=16000", LivePolicy(audio_queue_chunks=4))
    device = source.open(frozenset({Purpose.VOICE}))
    time.sleep(1.0)
    first = device.read()
    health = source.health()
    device.close()
    assert isinstance(first, AudioChunk)
    assert health.chunks_dropped > 0
    assert health.dropped_s == pytest.approx(health.chunks_dropped * 0.064)
    # The oldest were dropped, so the first one read is a later one.
    assert first.index >= 1


def test_interrupt_wakes_a_blocked_reader_and_nothing_more_is_decoded() -> None:
    source = synthetic_camera("testsrc2=size=64x48:rate=1")
    device = source.open(IMAGE)
    assert device.read() is not None
    got: list[MediaUnit | None] = []
    reader = threading.Thread(target=lambda: got.append(device.read()))
    reader.start()
    time.sleep(0.1)
    decoded = source.health().frames
    before_s = time.monotonic()
    device.interrupt()
    reader.join(5)
    assert got == [None]
    assert time.monotonic() - before_s < 0.5
    time.sleep(1.2)
    assert source.health().frames <= decoded + 1
    assert device.read() is None
    device.close()


def test_a_frozen_source_is_noticed() -> None:
    # The second picture is due after an hour.
    frozen = synthetic_camera(
        "testsrc2=size=64x48:rate=10,setpts='if(eq(N,0),0,3600/TB)'", LivePolicy(silence_limit_s=0.4)
    )
    device = frozen.open(IMAGE)
    assert device.read() is not None
    with pytest.raises(SourceSilent, match="gives no picture"):
        device.read()
    device.close()
    assert "gives no picture" in frozen.health().last_error


def test_nothing_is_read_before_the_source_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    plain = av.open

    def noting(*args: object, **options: object) -> object:
        opened.append(args)
        return plain(*args, **options)  # type: ignore[call-overload] # passes on whatever it gets

    monkeypatch.setattr(av, "open", noting)
    source = synthetic_camera(ENDLESS)
    time.sleep(0.1)
    assert opened == []
    device = source.open(IMAGE)
    opened_ns = time.time_ns()
    unit = device.read()
    device.close()
    assert len(opened) == 1
    assert unit is not None
    # No pre-roll: the first picture is not older than the opening.
    assert unit.captured_ns > opened_ns - 2_000_000_000
    assert unit.index == 0


def test_a_closed_device_leaves_no_thread() -> None:
    source = synthetic_camera(ENDLESS)
    for _ in range(3):
        device = source.open(BOTH)
        assert isinstance(device, LiveDevice)
        assert device.read() is not None
        device.close()
        assert not device._thread.is_alive()
    assert isinstance(source, LiveSource)


def test_memory_does_not_grow_over_a_long_stream() -> None:
    device = SyntheticSource(COUNTER.format(120)).open(BOTH)
    sizes = []
    tracemalloc.start()
    try:
        for number in range(1, 2001):
            if device.read() is None:
                break
            if number % 500 == 0:
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        device.close()
    assert len(sizes) == 4
    assert max(sizes[1:]) - min(sizes[1:]) < 300_000
