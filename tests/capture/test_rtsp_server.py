from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from capture.errors import MediaFileMissing, PortTaken, SourceLost
from capture.recording import RecordingSource
from capture.rtsp_server import RtspMediaServer
from capture.source import MediaDevice, MediaSource, SourceHealth
from capture.sources import open_source
from consent.purpose import Purpose
from inference.media import AudioChunk, Frame
from tests.capture.conftest import FLASHES_S

BOTH = frozenset({Purpose.IMAGE, Purpose.VOICE})
START_NS = 1_795_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    frames: tuple[tuple[int, float], ...]
    chunks: tuple[tuple[int, tuple[float, ...]], ...]
    samples: int
    segments: frozenset[int]
    youngest_ms: float
    health: SourceHealth

    def flashes_ns(self) -> list[int]:
        """Capture times at which the picture turned white."""
        lit = [(at, brightness > 128) for at, brightness in self.frames]
        return [at for (at, on), (_, before) in zip(lit[1:], lit, strict=False) if on and not before]

    def beeps_ns(self) -> list[int]:
        """Capture times at which the sound set in, to the millisecond."""
        levels = [(at + i * 1_000_000, level) for at, row in self.chunks for i, level in enumerate(row)]
        onsets: list[int] = []
        for at, level in levels:
            if level > 5_000 and (not onsets or at - onsets[-1] > 300_000_000):
                onsets.append(at)
        return onsets


def watch(source: MediaSource, device: MediaDevice | None = None) -> Seen:
    frames, chunks, segments = [], [], set()
    samples = 0
    youngest_ms = float("inf")
    device = device or source.open(BOTH)
    try:
        while (unit := device.read()) is not None:
            segments.add(unit.segment)
            youngest_ms = min(youngest_ms, (time.time_ns() - unit.captured_ns) / 1e6)
            if isinstance(unit, Frame):
                frames.append((unit.captured_ns, float(unit.pixels.mean())))
            elif isinstance(unit, AudioChunk):
                samples += unit.samples.shape[1]
                left = np.abs(unit.samples[0].astype(int))
                chunks.append(
                    (
                        unit.captured_ns,
                        tuple(map(float, left[: len(left) // 16 * 16].reshape(-1, 16).max(axis=1))),
                    )
                )
    finally:
        device.close()
    return Seen(tuple(frames), tuple(chunks), samples, frozenset(segments), youngest_ms, source.health())


def exhaust(device: MediaDevice) -> None:
    while device.read() is not None:
        pass


def content(path: Path) -> tuple[int, int]:
    """Count the pictures and the samples in the sound's packets, the lead-in included."""
    with av.open(str(path)) as container:
        kinds = [packet.stream.type for packet in container.demux() if packet.size]
    return kinds.count("video"), 1024 * kinds.count("audio")


@pytest.fixture(scope="module")
def flashes(flash_clip: Path) -> Seen:
    """What a client of the real server sees of the flash-and-beep clip."""
    with RtspMediaServer({"flash": flash_clip}) as server:
        return watch(open_source(server.url("flash")))


def test_everything_arrives(flashes: Seen, flash_clip: Path) -> None:
    assert (flashes.health.frames, flashes.samples) == content(flash_clip)
    assert flashes.segments == {0}
    assert (flashes.health.damaged, flashes.health.chunks_dropped) == (0, 0)


def test_nothing_comes_before_its_time(flashes: Seen) -> None:
    assert flashes.youngest_ms >= -1


def test_sound_and_picture_lie_together_in_a_file(flash_clip: Path) -> None:
    seen = watch(RecordingSource(flash_clip, started_ns=START_NS))
    expected = [START_NS + int(at * 1e9) for at in FLASHES_S]
    assert seen.flashes_ns() == expected
    assert len(seen.beeps_ns()) == len(expected)
    for beep, at in zip(seen.beeps_ns(), expected, strict=True):
        assert abs(beep - at) <= 40_000_000


def test_sound_and_picture_lie_together_over_rtsp(flashes: Seen) -> None:
    assert len(flashes.flashes_ns()) == len(flashes.beeps_ns()) >= 2
    for flash, beep in zip(flashes.flashes_ns(), flashes.beeps_ns(), strict=True):
        assert abs(flash - beep) <= 40_000_000
    steps = np.diff(flashes.flashes_ns())
    assert np.abs(steps - 1_000_000_000).max() <= 40_000_000


def test_sound_and_picture_lie_together_after_a_reconnect(flash_clip: Path) -> None:
    from capture.reconnect import ReconnectPolicy  # noqa: PLC0415 - only here

    first = RtspMediaServer({"flash": flash_clip})
    first.start()
    source = open_source(first.url("flash"), reconnect=ReconnectPolicy())
    device = source.open(BOTH)
    assert device.read() is not None
    first.kill()
    with RtspMediaServer({"flash": flash_clip}, port=first.port):
        seen = watch(source, device)
    assert max(seen.segments) == 1
    assert len(seen.flashes_ns()) == len(seen.beeps_ns()) >= 2
    for flash, beep in zip(seen.flashes_ns(), seen.beeps_ns(), strict=True):
        assert abs(flash - beep) <= 40_000_000


def test_clients_in_parallel_each_get_all_of_a_sample(shared: Path) -> None:
    files = {name: shared / "media" / "mini" / f"mini_{name}.mp4" for name in ("happy", "neg", "pii")}
    seen: dict[str, Seen] = {}
    with RtspMediaServer(files) as server:

        def follow(name: str, number: int) -> None:
            seen[f"{name} {number}"] = watch(open_source(server.url(name)))

        threads = [threading.Thread(target=follow, args=(name, n)) for name in files for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(server.plays) == 6
    assert len(seen) == 6
    for name, got in seen.items():
        assert (got.health.frames, got.samples) == content(files[name.split()[0]]), name
        assert got.segments == {0}, name


def test_a_looping_file_goes_on_without_a_break(shared: Path, flash_clip: Path) -> None:
    with RtspMediaServer({"flash": flash_clip}, loop=True) as server:
        source = open_source(server.url("flash"))
        device = source.open(BOTH)
        began_s = time.monotonic()
        segments, last_ns, first_ns = set(), 0, 0
        while time.monotonic() - began_s < 5.5:
            unit = device.read()
            assert unit is not None
            segments.add(unit.segment)
            first_ns = first_ns or unit.captured_ns
            last_ns = max(last_ns, unit.captured_ns)
        device.close()
    assert segments == {0}
    assert last_ns - first_ns > 4_200_000_000


def test_a_killed_server_is_a_loss_and_an_ended_one_is_not(flash_clip: Path, flashes: Seen) -> None:
    # `flashes` ended with None; a kill does not.
    assert flashes.health.last_error == ""
    server = RtspMediaServer({"flash": flash_clip})
    server.start()
    device = open_source(server.url("flash")).open(BOTH)
    assert device.read() is not None
    threading.Timer(0.3, server.kill).start()
    killed_s = time.monotonic() + 0.3
    with pytest.raises(SourceLost, match="broke off"):
        exhaust(device)
    assert time.monotonic() - killed_s < 2
    device.close()
    server.kill()


def test_a_taken_port_is_named(flash_clip: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = RtspMediaServer({"flash": flash_clip}, port=port)
        with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{port} .*choose another port"):
            server.start()


def test_a_missing_file_is_named_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(MediaFileMissing, match=r"absent\.mp4"):
        RtspMediaServer({"absent": tmp_path / "absent.mp4"})


def test_addresses_are_of_served_names_only(flash_clip: Path) -> None:
    server = RtspMediaServer({"a b": flash_clip}, port=8554)
    assert server.url("a b") == "rtsp://127.0.0.1:8554/a%20b"
    with pytest.raises(KeyError, match="'c' is not served; served are a b"):
        server.url("c")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("OPTIONS * RTSP/1.0", 200),
        ("DESCRIBE rtsp://x/../../etc/passwd RTSP/1.0", 404),
        ("DESCRIBE rtsp://x/ RTSP/1.0", 404),
        ("PLAY rtsp://x/flash RTSP/1.0", 454),
        ("RECORD rtsp://x/flash RTSP/1.0", 405),
        ("nonsense", 400),
    ],
)
def test_requests_out_of_order_are_answered(flash_clip: Path, request_line: str, status: int) -> None:
    with (
        RtspMediaServer({"flash": flash_clip}) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as client,
    ):
        client.sendall(f"{request_line}\r\nCSeq: 1\r\n\r\n".encode())
        assert client.recv(4096).startswith(f"RTSP/1.0 {status} ".encode())


def test_stopping_twice_and_serving_again(flash_clip: Path) -> None:
    server = RtspMediaServer({"flash": flash_clip})
    for _ in range(2):
        server.start()
        with socket.create_connection(("127.0.0.1", server.port), timeout=5):
            pass
        server.stop()
        server.stop()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)
