"""Open media through PyAV and turn it into frames and audio chunks.

Everything that FFmpeg can open takes this one path: recordings, RTSP cameras, V4L2,
ALSA and synthetic graphs. Tracks that are not permitted are discarded before decoding.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from capture.clock import CaptureClock, Timeline
from capture.errors import (
    BrokenMedia,
    CaptureError,
    NoAudioTrack,
    NoVideoTrack,
    SourceLost,
    SourceRefused,
    SourceUnavailable,
)
from capture.source import MediaUnit, Tally
from consent.purpose import Purpose
from inference.media import AudioChunk, Frame

SAMPLE_RATE_HZ = 16_000
CHUNK_SAMPLES = 1024
"""Samples of a chunk: 64 ms, two windows of the voice activity detector."""

_MAX_CHANNELS = 2
_MERGE_SPAN_NS = 2_000_000_000
_DAMAGED_IN_A_ROW = 200
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Opening:
    """How FFmpeg opens one source.

    Attributes:
        shown: Public address, for messages.
        target: What is opened.
        format: FFmpeg's name of the input format, or None to probe.
        options: FFmpeg's options.
        timeout_s: Limits for opening and for one read, or None.
        missing_track_ok: Whether a permitted kind may be absent.
    """

    shown: str
    target: str
    format: str | None
    options: Mapping[str, str]
    timeout_s: tuple[float, float] | None
    missing_track_ok: bool = False


def open_container(opening: Opening) -> InputContainer:
    """Open a container.

    Raises:
        CaptureError: In words of ours, without the address's secrets.
    """
    try:
        return av.open(
            opening.target,
            mode="r",
            format=opening.format,
            options=dict(opening.options),
            timeout=opening.timeout_s,
        )
    except (FFmpegError, ValueError, IndexError) as error:
        # `from None`: FFmpeg's own error repeats the address with its password.
        raise explain(error, opening.shown, opened=False) from None


def explain(error: Exception, shown: str, *, opened: bool) -> CaptureError:
    """Put an FFmpeg error into one of ours, leaving its copy of the address out."""
    what = getattr(error, "strerror", None) or type(error).__name__
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError | PermissionError):
        return SourceRefused(
            f"{shown} refuses access ({what}). Check the user name and password, or the rights on the device."
        )
    if opened:
        return SourceLost(f"{shown} broke off ({what}). It is opened again where reconnecting is on.")
    return SourceUnavailable(
        f"{shown} cannot be opened ({what}). Check that it is switched on and reachable, "
        "and that the address is right."
    )


class UnitReader:
    """Decode the permitted tracks of an open container.

    Args:
        container: What was opened.
        purposes: What may be decoded.
        clock: Places timestamps on the wall clock.
        opening: For messages, and for whether a track may be missing.
        tally: Counts units and damage.
        in_time_order: Put the packets of both tracks in time order first (recordings).

    Raises:
        TrackMissing: A permitted kind is absent.
    """

    def __init__(
        self,
        container: InputContainer,
        purposes: frozenset[Purpose],
        clock: CaptureClock,
        *,
        opening: Opening,
        tally: Tally,
        in_time_order: bool = False,
    ) -> None:
        """Choose the tracks and discard the others."""
        self._container = container
        self._opening = opening
        self._tally = tally
        self._in_time_order = in_time_order
        self._damaged_in_a_row = 0
        self._tracks: dict[int, _VideoTrack | _AudioTrack] = {}
        video = next(iter(container.streams.video), None) if Purpose.IMAGE in purposes else None
        audio = next(iter(container.streams.audio), None) if Purpose.VOICE in purposes else None
        if Purpose.IMAGE in purposes and video is None and not opening.missing_track_ok:
            raise NoVideoTrack(
                f"{opening.shown} has no picture. Name a source with a video track, or ask for voice only."
            )
        if Purpose.VOICE in purposes and audio is None and not opening.missing_track_ok:
            raise NoAudioTrack(
                f"{opening.shown} has no sound. Name a source with an audio track, add a microphone, "
                "or ask for the image only."
            )
        for track in (video, audio):
            # Damaged headers give streams without a codec, which the type stubs do not know of.
            if track is not None and getattr(track, "codec_context", None) is None:
                raise BrokenMedia(
                    f"{opening.shown} has a {track.type} track in no format that is known. "
                    "Use H.264 and AAC, or record it again."
                )
        wanted: list[Stream] = []
        if video is not None:
            self._tracks[video.index] = _VideoTrack(video, clock)
            wanted.append(video)
        if audio is not None:
            self._tracks[audio.index] = _AudioTrack(audio, clock)
            wanted.append(audio)
        for stream in container.streams:
            if stream.index not in self._tracks:
                stream.discard = Discard.all
        self._wanted = tuple(wanted)

    @property
    def kinds(self) -> frozenset[Purpose]:
        """The kinds that are really read."""
        return frozenset(Purpose.IMAGE if s.type == "video" else Purpose.VOICE for s in self._wanted)

    @property
    def length_s(self) -> float:
        """Length that the container states for the tracks that are read, or 0."""
        stated_s = (self._container.duration or 0) / 1_000_000
        return max(
            (float(s.duration * s.time_base) for s in self._wanted if s.duration and s.time_base),
            default=stated_s,
        )

    def units(self, stopped: Callable[[], bool]) -> Generator[MediaUnit, None, None]:
        """Decode until the end.

        Args:
            stopped: Asked before each packet and each unit; nothing is decoded once it is true.

        Raises:
            CaptureError: The source broke off or is too damaged to read.
        """
        if not self._wanted:
            return
        packets: Iterator[Packet[Stream]] = self._demux(stopped)
        if self._in_time_order:
            packets = in_time_order(packets, len(self._wanted))
        for packet in packets:
            if stopped():
                return
            for unit in self._decode(packet):
                self._tally.count(unit)
                yield unit
                if stopped():
                    return

    def _demux(self, stopped: Callable[[], bool]) -> Iterator[Packet[Stream]]:
        demuxed = self._container.demux(*self._wanted)
        while not stopped():
            try:
                packet = next(demuxed, None)
            except (FFmpegError, ValueError) as error:
                raise explain(error, self._opening.shown, opened=True) from None
            if packet is None:
                return
            yield packet

    def _decode(self, packet: Packet[Stream]) -> Iterator[MediaUnit]:
        track = self._tracks.get(packet.stream.index)
        if track is None:
            return
        realtime_us = self._container.start_time_realtime
        try:
            decoded = packet.decode()
        except FFmpegError as error:
            self._tally.damaged += 1
            self._damaged_in_a_row += 1
            if self._damaged_in_a_row >= _DAMAGED_IN_A_ROW:
                raise BrokenMedia(
                    f"{self._opening.shown} cannot be decoded: {_DAMAGED_IN_A_ROW} damaged packets in a row "
                    f"({error.strerror}). Record it again, or check the camera's encoder."
                ) from None
            return
        if decoded:
            self._damaged_in_a_row = 0
        for frame in decoded:
            if isinstance(track, _VideoTrack) and isinstance(frame, VideoFrame):
                yield track.frame(frame, realtime_us)
            elif isinstance(track, _AudioTrack) and isinstance(frame, AudioFrame):
                yield from track.chunks(frame, realtime_us)
        # A packet without data is the demuxer's way of telling that the track ended.
        if packet.size == 0 and isinstance(track, _AudioTrack):
            yield from track.rest()


class _VideoTrack:
    def __init__(self, stream: VideoStream, clock: CaptureClock) -> None:
        # One thread: frame threads would hold pictures back and fight with the models for cores.
        stream.codec_context.thread_count = 1
        self._clock = clock
        self._timeline = Timeline()
        self._index = itertools.count()
        self._interval_ns = int(_NS / rate) if (rate := stream.average_rate) else 0
        self._next_pts_ns = 0

    def frame(self, picture: VideoFrame, realtime_us: int | None) -> Frame:
        pts_ns = nanoseconds(picture.pts, picture.time_base)
        if pts_ns is None:
            pts_ns = self._next_pts_ns
        self._next_pts_ns = pts_ns + self._interval_ns
        captured_ns = self._clock.captured_ns(pts_ns, realtime_us)
        pixels = _upright(cast("NDArray[np.uint8]", picture.to_ndarray(format="bgr24")), picture.rotation)
        pixels.setflags(write=False)
        segment = self._timeline.place(captured_ns, self._interval_ns)
        return Frame(pixels, captured_ns, next(self._index), segment)


class _AudioTrack:
    def __init__(self, stream: AudioStream, clock: CaptureClock) -> None:
        stream.codec_context.thread_count = 1
        self._clock = clock
        self._timeline = Timeline()
        self._index = itertools.count()
        self._form: tuple[str, str, int] | None = None
        self._resampler: AudioResampler | None = None
        self._waiting = np.empty((1, 0), np.int16)
        self._waiting_ns = 0
        self._taken = 0
        self._made = 0
        self._next_pts_ns = 0

    def chunks(self, sound: AudioFrame, realtime_us: int | None) -> Iterator[AudioChunk]:
        pts_ns = nanoseconds(sound.pts, sound.time_base)
        captured_ns = self._clock.captured_ns(self._next_pts_ns if pts_ns is None else pts_ns, realtime_us)
        if pts_ns is not None:
            self._next_pts_ns = pts_ns
        length_ns = sound.samples * _NS // sound.sample_rate
        self._next_pts_ns += length_ns
        form = (sound.format.name, sound.layout.name, sound.sample_rate)
        if form != self._form or self._timeline.breaks(captured_ns):
            yield from self.rest()
            self._form = form
            self._taken = self._made = 0
            # The layout stays: channels are microphones, and a downmix would mix the speakers.
            self._resampler = AudioResampler(format="s16p", layout=sound.layout, rate=SAMPLE_RATE_HZ)
            self._waiting = np.empty((min(len(sound.layout.channels), _MAX_CHANNELS), 0), np.int16)
        self._timeline.place(captured_ns, length_ns)
        sound.pts = None
        self._append(sound)
        # The resampler holds a few samples back; with them, the samples end where this piece ends.
        self._taken += sound.samples
        held = self._taken * SAMPLE_RATE_HZ // sound.sample_rate - self._made
        self._waiting_ns = captured_ns + length_ns - (self._waiting.shape[1] + held) * _NS // SAMPLE_RATE_HZ
        while self._waiting.shape[1] >= CHUNK_SAMPLES:
            yield self._chunk(CHUNK_SAMPLES)

    def rest(self) -> Iterator[AudioChunk]:
        """Give what is left, at the end of the track or of a segment."""
        self._append(None)
        self._resampler = None
        while self._waiting.shape[1]:
            yield self._chunk(CHUNK_SAMPLES)

    def _append(self, sound: AudioFrame | None) -> None:
        """Resample and keep a piece; None brings out what the resampler holds."""
        if self._resampler is None:
            return
        for piece in self._resampler.resample(sound):
            samples = piece.to_ndarray()[: len(self._waiting)].astype(np.int16, copy=False)
            self._waiting = np.concatenate((self._waiting, samples), axis=1)
            self._made += samples.shape[1]

    def _chunk(self, length: int) -> AudioChunk:
        samples = self._waiting[:, :length].copy()
        samples.setflags(write=False)
        self._waiting = self._waiting[:, length:]
        captured_ns = self._waiting_ns
        self._waiting_ns += samples.shape[1] * _NS // SAMPLE_RATE_HZ
        return AudioChunk(samples, SAMPLE_RATE_HZ, captured_ns, next(self._index), self._timeline.segment)


def _upright(pixels: NDArray[np.uint8], rotation: int) -> NDArray[np.uint8]:
    """Turn a picture as its container says it is to be shown (telephones store portrait lying down)."""
    turns = round(rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def nanoseconds(pts: int | None, time_base: Fraction | None) -> int | None:
    """Turn a timestamp into nanoseconds, exactly; None stays None."""
    if pts is None or time_base is None:
        return None
    return pts * time_base.numerator * _NS // time_base.denominator


def in_time_order(packets: Iterator[Packet[Stream]], tracks: int) -> Iterator[Packet[Stream]]:
    """Merge the tracks by decoding time, holding at most two seconds of (undecoded) packets."""
    held: list[tuple[int, int, Packet[Stream]]] = []
    # `packet.stream_index` is not set on the empty packets at the end of a track.
    newest: dict[int, int] = {}
    number = itertools.count()
    for packet in packets:
        last_ns = newest.get(packet.stream.index, 0)
        at_ns = nanoseconds(packet.dts, packet.time_base) if packet.size else None
        if packet.size == 0:
            # The track ended: it no longer holds the others back.
            at_ns = max([*newest.values(), 0]) + _MERGE_SPAN_NS
        at_ns = last_ns if at_ns is None else at_ns
        newest[packet.stream.index] = at_ns
        heapq.heappush(held, (at_ns, next(number), packet))
        complete_ns = min(newest.values()) if len(newest) == tracks else None
        span_ns = max(newest.values()) - _MERGE_SPAN_NS
        ready_ns = span_ns if complete_ns is None else max(complete_ns, span_ns)
        while held and held[0][0] <= ready_ns:
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]
