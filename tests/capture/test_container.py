"""Media in the forms that cameras, telephones and editors leave them in."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from capture.recording import RecordingSource
from consent.purpose import Purpose
from inference.media import AudioChunk, Frame

BOTH = frozenset({Purpose.IMAGE, Purpose.VOICE})
START_NS = 1_795_000_000_000_000_000


def film(
    path: Path,
    shown_ms: Sequence[int] = (),
    *,
    size: tuple[int, int] = (160, 120),
    frames_per_s: int = 1000,
    rate_hz: int = 16_000,
    layout: str = "stereo",
    length_s: float = 2.0,
) -> Path:
    """Write pictures whose upper half is white at the given times, over a tone on the first channel."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[: size[1] // 2] = 255
    with av.open(str(path), "w") as out:
        video = (
            out.add_stream("libx264", rate=frames_per_s, options={"preset": "ultrafast"})
            if shown_ms
            else None
        )
        audio = out.add_stream("aac", rate=rate_hz)
        audio.layout = layout
        if video is not None:
            video.width, video.height, video.pix_fmt = *size, "yuv420p"
            for at_ms in shown_ms:
                picture = av.VideoFrame.from_ndarray(pixels, format="bgr24")
                picture.pts, picture.time_base = at_ms, Fraction(1, 1000)
                out.mux(video.encode(picture))
            out.mux(video.encode(None))
        tone = np.sin(2 * np.pi * 440 * np.arange(int(length_s * rate_hz)) / rate_hz).astype(np.float32)
        wave = np.zeros((len(audio.layout.channels), tone.shape[0]), np.float32)
        wave[0] = tone / 2
        for start in range(0, tone.shape[0], 1024):
            part = np.ascontiguousarray(wave[:, start : start + 1024])
            piece = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            piece.sample_rate, piece.pts, piece.time_base = rate_hz, start, Fraction(1, rate_hz)
            out.mux(audio.encode(piece))
        out.mux(audio.encode(None))
    return path


def turned(path: Path, quarter_turns: int) -> Path:
    """Write the matrix of a telephone held on its side into the header of an MP4."""
    data = bytearray(path.read_bytes())
    matrix = data.find(b"tkhd") + 44
    one = 1 << 16
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter_turns]
    assert struct.unpack(">i", data[matrix : matrix + 4]) == (one,)
    rows = (cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = struct.pack(">9i", *rows)
    path.write_bytes(data)
    return path


def read(path: Path) -> tuple[list[Frame], list[AudioChunk]]:
    device = RecordingSource(path, started_ns=START_NS, missing_track_ok=True).open(BOTH)
    frames: list[Frame] = []
    chunks: list[AudioChunk] = []
    while (unit := device.read()) is not None:
        (frames if isinstance(unit, Frame) else chunks).append(unit)  # type: ignore[arg-type]  # one of both
    device.close()
    return frames, chunks


def bright(pixels: NDArray[np.uint8]) -> str:
    """Name the side of a picture that is white."""
    height, width = pixels.shape[:2]
    sides = {
        "top": pixels[: height // 2],
        "bottom": pixels[height // 2 :],
        "left": pixels[:, : width // 2],
        "right": pixels[:, width // 2 :],
    }
    return max(sides, key=lambda side: float(sides[side].mean()))


@pytest.mark.parametrize(
    ("quarter_turns", "shape", "side"),
    [
        (0, (120, 160, 3), "top"),
        (1, (160, 120, 3), "right"),
        (2, (120, 160, 3), "bottom"),
        (3, (160, 120, 3), "left"),
    ],
)
def test_a_recording_is_turned_as_it_says(
    tmp_path: Path, quarter_turns: int, shape: tuple[int, ...], side: str
) -> None:
    frames, _ = read(turned(film(tmp_path / "telephone.mp4", range(0, 1000, 100)), quarter_turns))
    assert len(frames) == 10
    for frame in frames:
        assert frame.pixels.shape == shape
        assert bright(frame.pixels) == side
        assert frame.pixels.flags.c_contiguous
        assert not frame.pixels.flags.writeable


@pytest.mark.parametrize(
    ("shown_ms", "frames_per_s"),
    [
        pytest.param(list(range(0, 2000, 200)), 5, id="five a second"),
        pytest.param([0, 1000, 2000, 3000], 1, id="one a second"),
        pytest.param([0, 20, 40, 300, 310, 700, 1100, 1500], 1000, id="at any time"),
        pytest.param([0], 25, id="one picture"),
    ],
)
def test_pictures_keep_their_own_times(tmp_path: Path, shown_ms: list[int], frames_per_s: int) -> None:
    frames, _ = read(film(tmp_path / "uneven.mkv", shown_ms, frames_per_s=frames_per_s))
    assert [round((frame.captured_ns - START_NS) / 1e6) for frame in frames] == shown_ms
    assert {frame.segment for frame in frames} == {0}


@pytest.mark.parametrize("size", [(3840, 2160), (90, 160), (1920, 200)])
def test_every_size_is_read(tmp_path: Path, size: tuple[int, int]) -> None:
    frames, _ = read(film(tmp_path / "size.mp4", [0, 100], size=size))
    assert {frame.pixels.shape for frame in frames} == {(size[1], size[0], 3)}


@pytest.mark.parametrize(
    ("layout", "rate_hz", "channels"),
    [
        ("mono", 8_000, 1),
        ("mono", 44_100, 1),
        ("stereo", 44_100, 2),
        ("stereo", 48_000, 2),
        ("5.1", 48_000, 2),
    ],
)
def test_every_kind_of_sound_becomes_one_kind(
    tmp_path: Path, layout: str, rate_hz: int, channels: int
) -> None:
    _, chunks = read(film(tmp_path / "sound.mp4", rate_hz=rate_hz, layout=layout))
    assert {(chunk.samples.shape[0], chunk.sample_rate_hz) for chunk in chunks} == {(channels, 16_000)}
    heard = np.concatenate([chunk.samples for chunk in chunks], axis=1).astype(np.float64)
    assert heard.shape[1] / 16_000 == pytest.approx(2.0, abs=0.3)
    spectrum = np.abs(np.fft.rfft(heard[0]))
    assert np.fft.rfftfreq(heard.shape[1], 1 / 16_000)[spectrum.argmax()] == pytest.approx(440, abs=2)
    if channels == 2:
        assert np.abs(heard[1]).mean() < 0.01 * np.abs(heard[0]).mean(), (
            "channels are microphones: never mixed"
        )


def test_a_third_of_a_second_is_a_recording(tmp_path: Path) -> None:
    frames, chunks = read(film(tmp_path / "short.mp4", [0, 100, 200], length_s=0.3))
    assert len(frames) == 3
    assert sum(chunk.samples.shape[1] for chunk in chunks) / 16_000 == pytest.approx(0.3, abs=0.2)
