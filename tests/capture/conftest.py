"""What the tests of the edge program share."""

from __future__ import annotations

import socket
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


@pytest.fixture
def unused_port() -> int:
    """Return a loopback port on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


FLASHES_S = (1.0, 2.0, 3.0)
"""When the flash-and-beep clip flashes and beeps, for a tenth of a second each."""


@pytest.fixture(scope="session")
def flash_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds: white pictures and a beep at known times, H.264 25/s with B-frames and AAC 16 kHz stereo.

    The beep is on the left channel only.
    """
    path = tmp_path_factory.mktemp("clip") / "flash.mp4"
    rate_hz, fps, length_s = 16_000, 25, 4
    lit = [any(at <= i / fps < at + 0.1 for at in FLASHES_S) for i in range(fps * length_s)]
    at_s = np.arange(rate_hz * length_s) / rate_hz
    beeping = sum(((at_s >= at) & (at_s < at + 0.1)).astype(float) for at in FLASHES_S)
    beep = (beeping * np.sin(2 * np.pi * 1000 * at_s) * 20_000).astype(np.int16)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=fps, options={"g": "25", "bf": "2", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        audio = out.add_stream("aac", rate=rate_hz, layout="stereo")
        for index, is_lit in enumerate(lit):
            pixels = np.full((120, 160, 3), 255 if is_lit else 0, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            out.mux(video.encode(frame))
            piece = beep[index * 640 : (index + 1) * 640]
            sound = av.AudioFrame.from_ndarray(
                np.stack((piece, np.zeros_like(piece))), format="s16p", layout="stereo"
            )
            sound.sample_rate, sound.pts, sound.time_base = rate_hz, index * 640, Fraction(1, rate_hz)
            out.mux(audio.encode(sound))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return path
