from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self, cast

import av
import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame
from structlog.testing import capture_logs

from inference import anonymise as work
from inference.anonymise import Request, anonymise
from inference.errors import MediaUnreadable, OutputFailed, OutputRefused
from inference.face_search import FaceSearches
from models.face_detectors import Box
from models.registry import Registry
from setup.layout import ROOT
from tests.inference.moving_faces import laid, portraits, room, survives

if TYPE_CHECKING:
    from pathlib import Path

    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

BASE = Fraction(1, 1000)
SECRET = b"Nguyen Van Secret"
FACE = Box(120, 60, 180, 130, 0.9)


class Finder:
    """Finds the same face at every picture; fails at those it is told to."""

    name, version, sha256, threshold = "finder", "1", "0" * 64, 0.15

    def __init__(self, *fails: int) -> None:
        self.fails = fails
        self.calls = 0

    def detect(self, image: Picture) -> tuple[Box, ...]:
        self.calls += 1
        if self.calls - 1 in self.fails:
            raise RuntimeError
        return (FACE,)

    def version_of(self) -> tuple[str, str, str]:
        return self.name, self.version, self.sha256


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch) -> Finder:
    found = Finder()
    monkeypatch.setattr(work, "load_face_searches", lambda *_, **__: FaceSearches(found, Nobody()))
    return found


class Nobody(Finder):
    def detect(self, image: Picture) -> tuple[Box, ...]:
        return ()


def film(
    path: Path,
    pictures: list[Picture],
    *,
    stamps_ms: list[int] | None = None,
    sound: bool = False,
    codec: str = "libx264",
) -> Path:
    """Write a recording, one picture every 80 ms unless the stamps say otherwise."""
    with av.open(str(path), "w") as writer:
        track = cast("VideoStream", writer.add_stream(codec, rate=Fraction(25, 2), options={"g": "4"}))
        track.height, track.width = pictures[0].shape[:2]
        track.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        track.codec_context.time_base = BASE
        voice = writer.add_stream("aac", rate=16_000, layout="mono") if sound else None
        writer.metadata["title"] = SECRET.decode()
        writer.metadata["location"] = "+21.0285+105.8542/"
        writer.metadata["comment"] = SECRET.decode()
        for number, picture in enumerate(pictures):
            frame = VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts = 80 * number if stamps_ms is None else stamps_ms[number]
            frame.time_base = BASE
            writer.mux(track.encode(frame))
            if voice is not None:
                piece = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                piece.sample_rate, piece.pts = 16_000, 1024 * number
                writer.mux(voice.encode(piece))
        writer.mux(track.encode(None))
        if voice is not None:
            writer.mux(voice.encode(None))
    return path


def frames_of(path: Path) -> list[tuple[float, Picture]]:
    with av.open(str(path)) as reader:
        return [
            (frame.time, frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False))
            for frame in reader.decode(video=0)
        ]


def noise(count: int, *, width: int = 320, height: int = 180) -> list[Picture]:
    """The same pattern in every picture: nothing moves."""
    return [room(width, height)] * count


def masked(picture: Picture) -> bool:
    """The face is covered, up to what coding smears."""
    rows, columns = slice(int(FACE.y1), int(FACE.y2)), slice(int(FACE.x1), int(FACE.x2))
    return bool(np.abs(picture[rows, columns].astype(int) - 48).max() <= 6)


def whole(picture: Picture) -> bool:
    return bool(np.abs(picture.astype(int) - 48).max() <= 6)


def done(source: Path, target: Path, **settings: Any) -> dict[str, Any]:
    return anonymise(Request(source, target, **settings), Registry.default(), lambda *_: None).figures


def test_every_picture_of_a_recording_is_covered_and_keeps_its_time(finder: Finder, tmp_path: Path) -> None:
    stamps = [0, 40, 120, 500, 520, 900]
    source = film(tmp_path / "in.mp4", noise(6), stamps_ms=stamps)
    figures = done(source, tmp_path / "out.mp4")
    shown = frames_of(tmp_path / "out.mp4")
    assert [round(1000 * at_s) for at_s, _ in shown] == stamps
    assert all(masked(picture) and not whole(picture) for _, picture in shown)
    assert (figures["frames"], figures["covered_whole"], figures["by_reason"]) == (6, 0, {})
    assert 0.05 < figures["painted_share"] < 0.6


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_containers(finder: Finder, tmp_path: Path, suffix: str) -> None:
    source = film(tmp_path / "in.mp4", noise(4), sound=True)
    done(source, tmp_path / f"out{suffix}", sound="keep")
    with av.open(str(tmp_path / f"out{suffix}")) as reader:
        assert sorted(track.type for track in reader.streams) == ["audio", "video"]
    assert [masked(picture) for _, picture in frames_of(tmp_path / f"out{suffix}")] == [True] * 4


def test_odd_sizes_are_filled_up_with_ink(finder: Finder, tmp_path: Path) -> None:
    source = film(tmp_path / "in.mkv", noise(3, width=321, height=181), codec="ffv1")
    done(source, tmp_path / "out.mp4")
    assert {picture.shape for _, picture in frames_of(tmp_path / "out.mp4")} == {(182, 322, 3)}


def test_no_clear_picture_reaches_the_encoder(
    finder: Finder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The detector fails at one picture in the middle: that one is covered whole before it is encoded."""
    finder.fails = (3,)
    seen: list[Picture] = []
    convert = VideoFrame.from_ndarray

    def watched(array: Picture, **settings: Any) -> VideoFrame:
        seen.append(array.copy())
        return convert(array, **settings)

    source = film(tmp_path / "in.mp4", noise(6))
    monkeypatch.setattr("inference.recording_writer.VideoFrame.from_ndarray", watched, raising=True)
    with capture_logs():
        figures = done(source, tmp_path / "out.mp4")
    assert [bool((picture == 48).all()) for picture in seen] == [False] * 3 + [True] + [False] * 2
    face = (slice(60, 130), slice(120, 180))
    assert all((picture[face] == 48).all() for picture in seen)
    assert figures["by_reason"] == {"detector_failed": 1}


def test_a_picture_that_comes_otherwise_the_second_time_is_covered_whole(
    finder: Finder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = film(tmp_path / "in.mp4", noise(4))
    numbers = iter(range(100))
    monkeypatch.setattr("inference.anonymised_video.checksum_of", lambda _: next(numbers))
    figures = done(source, tmp_path / "out.mp4")
    assert figures["by_reason"] == {"broken_picture": 4}
    assert all(whole(picture) for _, picture in frames_of(tmp_path / "out.mp4"))


def test_broken_pictures_are_covered_whole_and_counted(finder: Finder, tmp_path: Path) -> None:
    source = film(tmp_path / "in.mkv", noise(12), codec="mjpeg")
    with av.open(str(source)) as reader:
        packets = [(packet.pos, packet.size) for packet in reader.demux(video=0) if packet.size]
    data = bytearray(source.read_bytes())
    for number in (4, 5):
        at = data.find(b"\xff\xd8", packets[number][0])
        data[at : at + packets[number][1] - 20] = b"\x00" * (packets[number][1] - 20)
    source.write_bytes(bytes(data))
    figures = done(source, tmp_path / "out.mp4")
    shown = frames_of(tmp_path / "out.mp4")
    assert figures["frames"] == len(shown) == 12
    assert figures["by_reason"] == {"broken_picture": 2}
    assert [whole(picture) for _, picture in shown] == [number in {4, 5} for number in range(12)]


def test_nothing_but_pixels_goes_across(finder: Finder, tmp_path: Path) -> None:
    plain = film(tmp_path / "plain.mp4", noise(4), sound=True)
    text, tags, thumbnail = (tmp_path / name for name in ("said.srt", "tags.png", "thumb.mkv"))
    text.write_bytes(b"1\n00:00:00,000 --> 00:00:01,000\n" + SECRET + b"\n")
    cv2.imwrite(str(tags), room(64, 64))
    source = tmp_path / "in.mkv"
    with av.open(str(plain)) as reader, av.open(str(text)) as said, av.open(str(source), "w") as writer:
        copies = {track.index: writer.add_stream_from_template(track) for track in reader.streams}
        for copy in copies.values():
            copy.metadata["title"] = SECRET.decode()
        titles = writer.add_stream_from_template(said.streams.subtitles[0])
        writer.metadata["title"] = SECRET.decode()
        writer.set_chapters(
            [{"id": 1, "start": 0, "end": 200, "time_base": BASE, "metadata": {"title": SECRET.decode()}}]
        )
        for packet in reader.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                writer.mux(packet)
        for packet in said.demux():
            if packet.dts is not None:
                packet.stream = titles
                writer.mux(packet)
    assert source.read_bytes().count(SECRET) >= 4
    assert not thumbnail.exists()
    for suffix in (".mkv", ".mp4"):
        figures = done(source, tmp_path / f"out{suffix}", sound="keep")
        result = (tmp_path / f"out{suffix}").read_bytes()
        assert SECRET not in result
        assert b"21.0285" not in result
        assert figures["left_out"] == {"subtitle": 1}
        with av.open(str(tmp_path / f"out{suffix}")) as reader:
            assert [track.type for track in reader.streams] == ["video", "audio"]
            assert reader.chapters() == []
            assert not {"title", "comment", "location", "creation_time"} & set(reader.metadata)


def test_sound_is_dropped_unless_it_is_kept(finder: Finder, tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4", noise(4), sound=True)
    assert done(source, tmp_path / "out.mp4")["sound"] == "dropped"
    with av.open(str(tmp_path / "out.mp4")) as reader:
        assert not reader.streams.audio
    assert done(source, tmp_path / "loud.mp4", sound="keep")["sound"] == "kept"


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_recording_is_turned_as_it_is_shown(finder: Finder, tmp_path: Path, turns: int) -> None:
    upright = film(tmp_path / "up.mp4", noise(3))
    source = tmp_path / "in.mp4"
    with av.open(str(upright)) as reader, av.open(str(source), "w") as writer:
        track = writer.add_stream_from_template(reader.streams.video[0])
        track.set_display_rotation(90 * turns) if hasattr(track, "set_display_rotation") else pytest.skip(
            "this PyAV cannot write a rotation"
        )
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = track
                writer.mux(packet)
    done(source, tmp_path / "out.mp4")
    _, shown = frames_of(tmp_path / "out.mp4")[0]
    assert shown.shape == ((320, 180, 3) if turns % 2 else (180, 320, 3))


def test_a_full_disk_leaves_nothing(finder: Finder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = film(tmp_path / "in.mp4", noise(4))

    class Full:
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self._stream.close()

    opened = os.fdopen
    monkeypatch.setattr("inference.output_file.os.fdopen", lambda *given: Full(opened(*given)))
    for name in ("out.mp4", "out.png"):
        if name == "out.png":
            source = tmp_path / "in.png"
            cv2.imwrite(str(source), room(64, 64))
        with pytest.raises(OutputFailed, match="could not be written"):
            done(source, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "in.png"]


def test_a_crash_leaves_nothing(finder: Finder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = film(tmp_path / "in.mp4", noise(6))
    count = iter(range(100))

    def crashing(*_: Any, **__: Any) -> Picture:
        if next(count) == 3:
            raise KeyboardInterrupt
        return np.full((180, 320, 3), 48, np.uint8)

    monkeypatch.setattr("inference.anonymizer.Anonymizer.paint", crashing)
    with pytest.raises(KeyboardInterrupt):
        done(source, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_names_that_would_lose_something_are_refused(finder: Finder, tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4", noise(2))
    before = source.read_bytes()
    taken = tmp_path / "taken.mp4"
    taken.write_bytes(b"mine")
    link = tmp_path / "link.mp4"
    link.symlink_to(source)
    for target, force, words in (
        (source, True, "itself"),
        (link, True, "itself"),
        (taken, False, "--force"),
        (tmp_path / "no" / "out.mp4", False, "no folder"),
        (tmp_path / "out.txt", False, "suffixes"),
        (tmp_path / "out.png", False, "suffixes"),
    ):
        with pytest.raises(OutputRefused, match=words):
            done(source, target, force=force)
    assert (source.read_bytes(), taken.read_bytes()) == (before, b"mine")
    done(source, taken, force=True)
    assert len(frames_of(taken)) == 2


@pytest.mark.parametrize("name", ["absent.mp4", "empty.mp4", "text.mp4", "cut.mp4", "text.jpg", "empty.png"])
def test_what_cannot_be_read_is_told_and_leaves_nothing(finder: Finder, tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    if name.startswith("empty"):
        source.write_bytes(b"")
    elif name.startswith("text"):
        source.write_bytes(b"not a picture at all" * 50)
    elif name == "cut.mp4":
        data = film(tmp_path / "film.mp4", noise(4)).read_bytes()
        source.write_bytes(data[: len(data) // 2])
        (tmp_path / "film.mp4").unlink()
    with pytest.raises(MediaUnreadable, match=name):
        done(source, tmp_path / ("out.mp4" if name.endswith("mp4") else "out.png"))
    assert {path.name for path in tmp_path.iterdir()} <= {name}


def test_a_picture_loses_its_tags_and_is_turned(finder: Finder, tmp_path: Path) -> None:
    """A telephone's picture: orientation 6, a place and a name in its tags."""
    made, packed = cv2.imencode(".jpg", room(320, 180))
    assert made
    entries = (
        b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
        b"\x01\x0e\x00\x02" + len(SECRET).to_bytes(4, "big") + (38).to_bytes(4, "big")
    )
    tags = (
        b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x02" + entries[12:] + entries[:12] + b"\x00" * 4 + SECRET
    )
    data = packed.tobytes()
    source = tmp_path / "in.jpg"
    source.write_bytes(data[:2] + b"\xff\xe1" + (len(tags) + 2).to_bytes(2, "big") + tags + data[2:])
    figures = done(source, tmp_path / "out.jpg")
    result = (tmp_path / "out.jpg").read_bytes()
    assert SECRET not in result
    assert b"Exif" not in result
    shown = cv2.imread(str(tmp_path / "out.jpg"), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert shown is not None
    assert shown.shape == (320, 180, 3)
    assert masked(shown.astype(np.uint8))
    assert figures["frames"] == 1


def test_a_folder_keeps_names_and_tells_what_failed(finder: Finder, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.jpg"):
        cv2.imwrite(str(tmp_path / "in" / name), room(320, 180))
    (tmp_path / "in" / "broken.png").write_bytes(b"nothing")
    (tmp_path / "in" / "notes.txt").write_bytes(SECRET)
    request = Request(tmp_path / "in", tmp_path / "out")
    result = anonymise(request, Registry.default(), lambda *_: None)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg"]
    assert (result.figures["frames"], result.figures["failed"]) == (2, 1)
    assert "broken.png" in result.failures[0]
    with pytest.raises(OutputRefused, match="itself"):
        anonymise(Request(tmp_path / "in", tmp_path / "in"), Registry.default(), lambda *_: None)


def test_the_command_with_the_real_detector(shared: Path, tmp_path: Path) -> None:
    picture = room()
    face = laid(picture, portraits(shared, 1)[0], 240, 90, 160)
    cv2.imwrite(str(tmp_path / "in.png"), picture)
    command = [
        sys.executable,
        "-m",
        "hailong",
        "anonymise",
        str(tmp_path / "in.png"),
        str(tmp_path / "out.png"),
    ]
    first = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["covered_whole"] == 0
    shown = cv2.imread(str(tmp_path / "out.png"))
    assert shown is not None
    assert survives(shown.astype(np.uint8), picture, face) == 0.0
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert "Traceback" not in again.stderr
