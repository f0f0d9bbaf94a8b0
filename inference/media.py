"""What inference takes: frames and audio chunks that know when they were captured.

Every unit carries the wall-clock time of its capture in nanoseconds, derived from
the stream's own timestamps (never from its arrival), so sound and picture of one
source can be laid on one time line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from consent.purpose import Purpose

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture.

    Attributes:
        pixels: BGR, uint8, shape (height, width, 3), read-only.
        captured_ns: Capture time, nanoseconds since the Unix epoch.
        index: Position in the stream since the device was opened, from 0.
        segment: Number of time-line breaks before this frame (a reconnect or a jump
            of the stream's clock starts a new segment).
    """

    purpose: ClassVar[Purpose] = Purpose.IMAGE

    pixels: NDArray[np.uint8]
    captured_ns: int
    index: int
    segment: int = 0


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A run of samples.

    Attributes:
        samples: int16, shape (channels, n), read-only. With two channels, 0 is the
            citizen's microphone and 1 the officer's.
        sample_rate_hz: Always 16 000 behind our sources.
        captured_ns: Capture time of the first sample, nanoseconds since the Unix epoch.
        index: Position in the stream since the device was opened, from 0.
        segment: As for `Frame`.
    """

    purpose: ClassVar[Purpose] = Purpose.VOICE

    samples: NDArray[np.int16]
    sample_rate_hz: int
    captured_ns: int
    index: int
    segment: int = 0

    @property
    def duration_ns(self) -> int:
        """Length of the chunk in nanoseconds."""
        return int(self.samples.shape[1]) * 1_000_000_000 // self.sample_rate_hz
