"""Who speaks when in one channel: what a diariser gives, and which one is taken.

A diariser numbers the voices of one recording. The numbers mean nothing outside it: no voice
is compared with another recording's, and nobody's voice is kept on file, neither a citizen's
nor an officer's. Which of the voices sits on the citizen's side is decided by place, in
`inference/one_channel.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE_HZ: Final = 16_000
MOST_VOICES: Final = 2
"""Voices of one dialogue at a counter: citizen and officer. One who came along makes three."""


@dataclass(frozen=True, slots=True)
class VoiceTurn:
    """One stretch of one voice; stretches of different voices may overlap.

    Attributes:
        start_s: Seconds from the start of the recording.
        end_s: The same, after the start.
        voice: Number of the voice in this recording, from 0; None where it cannot be told.
    """

    start_s: float
    end_s: float
    voice: int | None


class Diariser(Protocol):
    """Finds the voices of one channel."""

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    @property
    def version(self) -> str:
        """Version of the model."""
        ...

    def turns(self, sound: NDArray[np.int16]) -> tuple[VoiceTurn, ...]:
        """Return who speaks when, in order of the starts.

        Args:
            sound: int16, mono, 16 kHz, shape (n,).

        Raises:
            InputError: The sound has another type or shape.
            OutputError: The library gave something that is no turn.
        """
        ...
