"""Decode the pictures and the sound of a recording, and miss none of them silently."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.error import FFmpegError
from av.video.frame import VideoFrame

from inference.errors import MediaUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

_DAMAGED_IN_A_ROW: Final = 200


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of the source, upright; its image is None where it is damaged."""

    pts: int
    image: NDArray[np.uint8] | None


@contextmanager
def opened_recording(source: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a recording and its first moving track.

    Raises:
        MediaUnreadable: It cannot be opened or has none.
    """
    try:
        reader = av.open(str(source))
    except (FFmpegError, OSError, ValueError, IndexError) as error:
        what = getattr(error, "strerror", None) or type(error).__name__
        raise MediaUnreadable(
            f"{source} cannot be opened ({what}). Check that it is a whole recording."
        ) from error
    with reader:
        tracks = [
            track
            for track in reader.streams.video
            if getattr(track, "codec_context", None) is not None
            and not track.disposition & av.stream.Disposition.attached_pic
        ]
        if not tracks:
            raise MediaUnreadable(f"{source} has no moving picture. Name a recording with a video track.")
        tracks[0].codec_context.thread_count = 1  # what is decoded twice must come in the same order
        yield reader, tracks[0]


class RecordingReader:
    """Decodes tracks of a recording, and keeps account of pictures that never came out.

    Args:
        reader: The open recording.
        video: Its moving track.
    """

    def __init__(self, reader: InputContainer, video: VideoStream) -> None:
        """Start before the first packet."""
        self._reader = reader
        self._video = video
        self._sent: set[int] = set()
        self._came: set[int] = set()

    def undecoded(self) -> tuple[int, ...]:
        """Return the time stamps of pictures that went into the decoder and did not come out, in order."""
        if self._video.codec_context.name == "vp8":
            return ()  # holds pictures that are never shown
        return tuple(sorted(self._sent - self._came))

    def items(self, wanted: tuple[Stream, ...]) -> Iterator[Shot | AudioFrame | None]:
        """Decode to the end; sound that cannot be decoded is told by None."""
        step = _step(self._video)
        last: int | None = None
        damaged = 0
        packets = self._reader.demux(*wanted)
        while (packet := _next(packets)) is not None:
            moving = packet.stream.index == self._video.index
            if moving and packet.size and packet.pts is not None and not packet.is_discard:
                self._sent.add(packet.pts)
            try:
                frames = packet.decode()
            except FFmpegError as error:
                damaged += 1
                if damaged >= _DAMAGED_IN_A_ROW:
                    raise MediaUnreadable(
                        f"{self._reader.name} cannot be decoded: {damaged} damaged packets in a row. "
                        "Record it again."
                    ) from error
                if not moving:
                    yield None
                continue
            damaged = 0 if frames else damaged
            for frame in frames:
                if isinstance(frame, AudioFrame):
                    yield frame
                elif isinstance(frame, VideoFrame):
                    if frame.pts is not None:
                        self._came.add(frame.pts)
                    last = _after(last, frame.pts, step)
                    yield Shot(last, None if frame.is_corrupt else _upright(frame))


def _next(packets: Iterator[Packet[Stream]]) -> Packet[Stream] | None:
    try:
        return next(packets, None)
    except (FFmpegError, ValueError):
        return None  # the file breaks off: what came before it is whole


def _after(last: int | None, pts: int | None, step: int) -> int:
    """Return a time stamp behind the last one: the picture's own where it is."""
    if last is None:
        return 0 if pts is None else pts
    if pts is None:
        return last + step
    return max(pts, last + 1)


def _step(video: VideoStream) -> int:
    rate, base = video.average_rate or video.base_rate, video.time_base
    return max(1, round(1 / (rate * base))) if rate and base else 1


def _upright(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return BGR pixels, turned as the container says they are to be shown."""
    pixels = frame.to_ndarray(format="bgr24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns))
