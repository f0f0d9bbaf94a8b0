"""Encode painted pictures, and samples where sound is kept: nothing else has a way into the result."""

from __future__ import annotations

from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
import cv2
import numpy as np
from av.audio.resampler import AudioResampler
from av.error import FFmpegError
from av.video.frame import VideoFrame

from inference.errors import OutputFailed
from inference.masks import INK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

FORMATS: Final = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Suffixes of results and what FFmpeg calls their containers."""
_NS: Final = 1_000_000_000
_THREADS: Final = 2


@contextmanager
def opened_result(stream: BinaryIO, container: str) -> Iterator[OutputContainer]:
    """Open a result and close it; whatever FFmpeg cannot write is one kind of error."""
    try:
        # Without these FFmpeg names itself with its version, and a phone's player may add tags.
        with av.open(stream, "w", format=container, options={"fflags": "+bitexact"}) as writer:
            yield writer
    except FFmpegError as error:
        raise OutputFailed(
            f"The result could not be written ({error.strerror}). Nothing was left under its name. "
            "Make room or choose another place, and run it again."
        ) from error


class PictureTrack:
    """Encodes painted pictures; each goes in as new pixels and nothing else.

    Args:
        writer: The result.
        source: The track whose times are kept.
        size: Height and width of the first picture; later ones of another size are laid into it.
        container: What FFmpeg calls the format.
    """

    def __init__(
        self, writer: OutputContainer, source: VideoStream, size: tuple[int, int], container: str
    ) -> None:
        """Choose the encoder."""
        self.size = size
        self._writer = writer
        self._base = source.time_base or Fraction(1, _NS)
        rate = source.average_rate or source.base_rate or Fraction(25)
        webm = container == "webm"
        options = (
            {"crf": "31", "b": "0", "deadline": "realtime", "cpu-used": "5"}
            if webm
            else {"crf": "20", "preset": "veryfast"}
        )
        self._track = writer.add_stream("libvpx-vp9" if webm else "libx264", rate=rate, options=options)
        height, width = size
        self._track.width, self._track.height = width + width % 2, height + height % 2
        self._track.pix_fmt = "yuv420p"
        self._track.codec_context.time_base = self._base
        self._track.codec_context.max_b_frames = 0
        self._track.codec_context.thread_count = _THREADS

    def write(self, image: NDArray[np.uint8], pts: int) -> None:
        """Encode a painted BGR picture at a time of the source's own clock."""
        frame = VideoFrame.from_ndarray(self._laid(image), format="bgr24")
        frame.pts, frame.time_base = pts, self._base
        self._writer.mux(self._track.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._writer.mux(self._track.encode(None))

    def _laid(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture at the size of the track, even in both directions, the rest in ink."""
        (height, width), (own_h, own_w) = self.size, image.shape[:2]
        paper = np.full((height + height % 2, width + width % 2, 3), INK, np.uint8)
        if (own_h, own_w) != (height, width):
            scale = min(height / own_h, width / own_w)
            own_h, own_w = max(1, round(own_h * scale)), max(1, round(own_w * scale))
            image = cv2.resize(image, (own_w, own_h), interpolation=cv2.INTER_AREA).astype(
                np.uint8, copy=False
            )
        paper[:own_h, :own_w] = image
        return paper


class SoundTrack:
    """Encodes a sound track anew: samples go across, nothing else."""

    def __init__(self, writer: OutputContainer, source: AudioStream, container: str) -> None:
        """Choose the encoder."""
        self.source = source
        self._writer = writer
        webm = container == "webm"
        rate = 48_000 if webm else source.rate
        self._track = writer.add_stream("libopus" if webm else "aac", rate=rate)
        layout = "mono" if source.channels == 1 else "stereo"
        self._track.layout = layout
        self._resampler = AudioResampler(
            format=self._track.format.name,
            layout=layout,
            rate=rate,
            frame_size=self._track.codec_context.frame_size or None,
        )

    def write(self, sound: AudioFrame | None) -> int:
        """Write a piece; return how many were damaged."""
        if sound is None:
            return 1
        for piece in self._resampler.resample(sound):
            self._writer.mux(self._track.encode(piece))
        return 0

    def finish(self) -> None:
        """Write what resampler and encoder still hold."""
        for piece in self._resampler.resample(None):
            self._writer.mux(self._track.encode(piece))
        self._writer.mux(self._track.encode(None))
