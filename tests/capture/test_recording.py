from __future__ import annotations

import itertools
import random
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Discard

from capture.errors import (
    BrokenMedia,
    CaptureError,
    MediaFileMissing,
    NoAudioTrack,
    NoVideoTrack,
)
from capture.recording import PulledDevice, RecordingSource
from capture.source import EmptyDevice, MediaDevice, MediaUnit, SourceState
from consent.purpose import Purpose
from inference.media import AudioChunk, Frame

BOTH = frozenset({Purpose.IMAGE, Purpose.VOICE})
IMAGE = frozenset({Purpose.IMAGE})
VOICE = frozenset({Purpose.VOICE})
START_NS = 1_795_000_000_000_000_000


def drain(device: MediaDevice) -> tuple[list[Frame], list[AudioChunk]]:
    frames: list[Frame] = []
    chunks: list[AudioChunk] = []
    try:
        while (unit := device.read()) is not None:
            if isinstance(unit, Frame):
                frames.append(unit)
            else:
                chunks.append(unit)
    finally:
        device.close()
    return frames, chunks


def truth(path: Path) -> tuple[int, int]:
    """Count the frames and samples that FFmpeg decodes."""
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    return frames, samples


def test_every_frame_and_sample_arrives(flash_clip: Path) -> None:
    frames, chunks = drain(RecordingSource(flash_clip, started_ns=START_NS).open(BOTH))
    assert (len(frames), sum(chunk.samples.shape[1] for chunk in chunks)) == truth(flash_clip)
    assert [frame.captured_ns for frame in frames] == [START_NS + i * 40_000_000 for i in range(100)]
    assert [frame.index for frame in frames] == list(range(100))
    assert {frame.segment for frame in frames} | {chunk.segment for chunk in chunks} == {0}


@pytest.mark.parametrize("name", ["mini/mini_happy", "nobody"])
def test_every_frame_and_sample_of_a_sample_session_arrives(shared: Path, name: str) -> None:
    path = shared / "media" / f"{name}.mp4"
    frames, chunks = drain(RecordingSource(path).open(BOTH))
    assert (len(frames), sum(chunk.samples.shape[1] for chunk in chunks)) == truth(path)


def test_sound_runs_without_a_hole(flash_clip: Path) -> None:
    _, chunks = drain(RecordingSource(flash_clip, started_ns=START_NS).open(VOICE))
    assert chunks[0].captured_ns == START_NS
    for before, after in itertools.pairwise(chunks):
        assert abs(after.captured_ns - before.captured_ns - before.duration_ns) < 1_000
    assert {chunk.duration_ns for chunk in chunks[:-1]} == {64_000_000}


def test_units_have_the_promised_shape(flash_clip: Path) -> None:
    frames, chunks = drain(RecordingSource(flash_clip).open(BOTH))
    frame, chunk = frames[0], chunks[0]
    assert frame.pixels.shape == (120, 160, 3)
    assert frame.pixels.dtype == np.dtype("uint8")
    assert chunk.samples.shape == (2, 1024)
    assert chunk.samples.dtype == np.dtype("int16")
    assert chunk.sample_rate_hz == 16_000
    with pytest.raises(ValueError, match="read-only"):
        frame.pixels[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        chunk.samples[0, 0] = 1


def test_pixels_are_blue_green_red(tmp_path: Path) -> None:
    path = tmp_path / "red.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        red = np.zeros((64, 64, 3), np.uint8)
        red[..., 0] = 255
        out.mux(stream.encode(av.VideoFrame.from_ndarray(red, format="rgb24")))
        out.mux(stream.encode(None))
    frames, _ = drain(RecordingSource(path).open(IMAGE))
    blue, green, red_value = frames[0].pixels.reshape(-1, 3).mean(axis=0)
    assert red_value > 200
    assert max(blue, green) < 40


def test_units_come_in_time_order(flash_clip: Path) -> None:
    device = RecordingSource(flash_clip, started_ns=START_NS).open(BOTH)
    latest_ns = 0
    while (unit := device.read()) is not None:
        # The decoder holds two pictures back to bring B-frames in order.
        assert unit.captured_ns > latest_ns - 200_000_000
        latest_ns = max(latest_ns, unit.captured_ns)
    device.close()


def test_channels_stay_apart(flash_clip: Path) -> None:
    _, chunks = drain(RecordingSource(flash_clip).open(VOICE))
    samples = np.concatenate([chunk.samples for chunk in chunks], axis=1).astype(float)
    left, right = np.sqrt((samples**2).mean(axis=1))
    assert left > 1_000
    assert right < left / 50


def test_other_rates_and_mono_become_16_khz(tmp_path: Path) -> None:
    path = tmp_path / "mono.wav"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=44_100, layout="mono")
        tone = (np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100) * 10_000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate = 44_100
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    _, chunks = drain(RecordingSource(path).open(VOICE))
    samples = np.concatenate([chunk.samples for chunk in chunks], axis=1)
    assert samples.shape == (1, 16_000)
    peak_hz = np.abs(np.fft.rfft(samples[0])).argmax()
    assert peak_hz == 440


@pytest.mark.parametrize(
    ("purposes", "kind", "discarded"), [(IMAGE, Frame, "audio"), (VOICE, AudioChunk, "video")]
)
def test_what_is_not_permitted_is_discarded_undecoded(
    flash_clip: Path, purposes: frozenset[Purpose], kind: type, discarded: str
) -> None:
    source = RecordingSource(flash_clip)
    device = source.open(purposes)
    assert isinstance(device, PulledDevice)
    streams = {stream.type: stream.discard for stream in device._container.streams}
    assert [name for name, discard in streams.items() if discard is Discard.all] == [discarded]
    units = []
    while (unit := device.read()) is not None:
        units.append(type(unit))
    device.close()
    assert set(units) == {kind}
    assert (source.health().frames, source.health().chunks) == (
        (len(units), 0) if kind is Frame else (0, len(units))
    )


@pytest.mark.parametrize("purposes", [frozenset(), frozenset({Purpose.QUOTES})])
def test_without_a_purpose_nothing_is_opened(
    flash_clip: Path, purposes: frozenset[Purpose], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(av, "open", lambda *_, **__: pytest.fail("opened"))
    device = RecordingSource(flash_clip).open(purposes)
    assert isinstance(device, EmptyDevice)
    assert device.read() is None


def test_a_paced_recording_takes_its_time(flash_clip: Path) -> None:
    device = RecordingSource(flash_clip, paced=True).open(BOTH)
    began_s = time.monotonic()
    while (unit := device.read()) is not None and unit.captured_ns < time.time_ns() + 1:
        if time.monotonic() - began_s > 1:
            break
    reached = unit
    device.close()
    assert reached is not None
    # A unit never comes before its time, give or take the clock's grain.
    assert reached.captured_ns <= time.time_ns() + 5_000_000


def test_interrupt_wakes_a_paced_reader(flash_clip: Path) -> None:
    device = RecordingSource(flash_clip, paced=True).open(IMAGE)
    device.read()
    got: list[MediaUnit | None] = []

    def read_on() -> None:
        while (unit := device.read()) is not None:
            pass
        got.append(unit)

    reader = threading.Thread(target=read_on)
    reader.start()
    time.sleep(0.2)
    device.interrupt()
    reader.join(5)
    assert got == [None]
    assert device.read() is None
    device.close()
    device.close()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaFileMissing, match=r"no file .*absent\.mp4"):
        RecordingSource(tmp_path / "absent.mp4").open(BOTH)


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(BrokenMedia, match="is a folder"):
        RecordingSource(tmp_path).open(BOTH)


def test_a_recording_without_sound_says_so(tmp_path: Path, flash_clip: Path) -> None:
    silent = remux(flash_clip, tmp_path / "silent.mp4", "video")
    with pytest.raises(NoAudioTrack, match="has no sound"):
        RecordingSource(silent).open(BOTH)
    frames, chunks = drain(RecordingSource(silent, missing_track_ok=True).open(BOTH))
    assert (len(frames), len(chunks)) == (100, 0)
    assert len(drain(RecordingSource(silent).open(IMAGE))[0]) == 100


def test_a_recording_without_a_picture_says_so(tmp_path: Path, flash_clip: Path) -> None:
    blind = remux(flash_clip, tmp_path / "blind.mp4", "audio")
    with pytest.raises(NoVideoTrack, match="has no picture"):
        RecordingSource(blind).open(BOTH)
    assert drain(RecordingSource(blind).open(VOICE))[1]


def remux(source: Path, target: Path, kind: str) -> Path:
    with av.open(str(source)) as inp, av.open(str(target), "w") as out:
        stream = next(s for s in inp.streams if s.type == kind)
        copy = out.add_stream_from_template(stream)
        for packet in inp.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    return target


def faststart(source: Path, target: Path) -> Path:
    with av.open(str(source)) as inp, av.open(str(target), "w", options={"movflags": "faststart"}) as out:
        copies = {s.index: out.add_stream_from_template(s) for s in inp.streams}
        for packet in inp.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream_index]
                out.mux(packet)
    return target


def broken(kind: str, clip: Path, folder: Path, seed: int) -> Path:
    path = folder / f"{kind}.mp4"
    whole = clip.read_bytes()
    rng = random.Random(seed)  # noqa: S311 - repeatable damage, no secret
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("Xin chào.\n" * 1000, encoding="utf-8")
        case "noise":
            path.write_bytes(rng.randbytes(50_000))
        case "noise behind a true beginning":
            path.write_bytes(whole[:64] + rng.randbytes(50_000))
        case "cut, index at the end":
            path.write_bytes(whole[: len(whole) // 2])
        case "cut, index first":
            path.write_bytes(faststart(clip, folder / "fast.mp4").read_bytes()[: len(whole) * 2 // 3])
        case _:
            raise AssertionError(kind)
    return path


@pytest.mark.parametrize(
    "kind",
    ["empty", "text", "noise", "noise behind a true beginning", "cut, index at the end", "cut, index first"],
)
def test_broken_files_end_in_a_typed_error(kind: str, flash_clip: Path, tmp_path: Path, seed: int) -> None:
    source = RecordingSource(broken(kind, flash_clip, tmp_path, seed))
    with pytest.raises(BrokenMedia, match=r"(?i)record|copy|give an mp4"):
        drain(source.open(BOTH))
    assert source.health().state in {SourceState.FAILED, SourceState.CLOSED}


def test_fuzzed_files_never_crash_or_hang(flash_clip: Path, tmp_path: Path, seed: int) -> None:
    whole = faststart(flash_clip, tmp_path / "fast.mp4").read_bytes()
    rng = random.Random(seed)  # noqa: S311 - repeatable damage, no secret
    outcomes: set[str] = set()
    for number in range(40):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 20, 400))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        if rng.random() < 0.3:
            damaged = damaged[: rng.randrange(1, len(damaged))]
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(damaged)
        try:
            drain(RecordingSource(path).open(BOTH))
            outcomes.add("read")
        except CaptureError as error:
            outcomes.add(type(error).__name__)
    assert "read" in outcomes
    assert "BrokenMedia" in outcomes
