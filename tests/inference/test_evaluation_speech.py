from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from inference.evaluation_speech import (
    ManifestError,
    SoundUnreadableError,
    load_sound,
    read_manifest,
)


def write_sound(path: Path, length_s: float, *, rate_hz: int = 16_000, channels: int = 1) -> None:
    layout = "mono" if channels == 1 else "stereo"
    codec = {".wav": "pcm_s16le", ".flac": "flac", ".mp3": "mp3"}[path.suffix]
    shape = "s16p" if codec == "mp3" else "s16"
    sound = (8000 * np.sin(2 * np.pi * 440 * np.arange(int(length_s * rate_hz)) / rate_hz)).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        assert isinstance(stream, av.AudioStream)
        planar = np.tile(sound, (channels, 1))
        packed = planar if shape == "s16p" else np.ascontiguousarray(planar.T.reshape(1, -1))
        for at in range(0, packed.shape[1], 1152 * (1 if shape == "s16p" else channels)):
            part = np.ascontiguousarray(packed[:, at : at + 1152 * (1 if shape == "s16p" else channels)])
            frame = av.AudioFrame.from_ndarray(part, format=shape, layout=layout)
            frame.sample_rate = rate_hz
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def manifest_of(folder: Path, lines: list[str]) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "rate_hz", "channels"),
    [("a.wav", 16_000, 1), ("a.wav", 44_100, 2), ("a.flac", 8_000, 1), ("a.mp3", 48_000, 2)],
)
def test_any_recording_becomes_16_khz_int16(tmp_path: Path, name: str, rate_hz: int, channels: int) -> None:
    write_sound(tmp_path / name, 2.0, rate_hz=rate_hz, channels=channels)
    for wanted in (1, 2):
        sound = load_sound(tmp_path / name, channels=wanted)
        assert sound.dtype == np.int16
        assert sound.shape[0] == wanted
        assert sound.shape[1] == pytest.approx(32_000, abs=1600)
        spectrum = np.abs(np.fft.rfft(sound[0, :16_000].astype(float)))
        assert int(np.argmax(spectrum)) == pytest.approx(440, abs=1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"audio": "one.wav", "text": ', "not JSON"),
        ('["one.wav", "x"]', "not an object"),
        ('{"audio": "one.wav"}', "'text' is missing"),
        ('{"audio": 3, "text": "x"}', "'audio' is missing"),
        ('{"audio": "gone.wav", "text": "x"}', "there is no file"),
        ('{"audio": "one.wav", "text": " "}', "'text' is missing"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    write_sound(tmp_path / "one.wav", 1.0)
    manifest = manifest_of(tmp_path, ['{"audio": "one.wav", "text": "x"}', line])
    with pytest.raises(ManifestError, match=f"line 2: .*{words}"):
        read_manifest(manifest)


@pytest.mark.parametrize("content", [None, b"", b"\n\n", b"\xff\xfe{"])
def test_a_manifest_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "manifest.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ManifestError, match="manifest"):
        read_manifest(path)


def test_a_picture_is_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "picture.wav"
    write_sound(path, 0.0)
    with pytest.raises(SoundUnreadableError):
        load_sound(path)
