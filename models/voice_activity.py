"""Voice activity: Silero's network through our session factory, one state a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from models.errors import InputError
from models.session import ModelSession, open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.registry import ModelFile, Registry

NAME: Final = "silero-vad"
SAMPLE_RATE_HZ: Final = 16_000
WINDOW: Final = 512
"""Samples of one window: 32 ms."""
_CONTEXT: Final = 64
"""Samples of the window before that the network wants to see again."""
_FULL_SCALE: Final = 32_768.0


class VoiceActivityNetwork:
    """The network and its file's identity; share one among all channels."""

    def __init__(self, file: ModelFile, *, threads: int = 1) -> None:
        """Open the network of a verified file."""
        self.name, self.version, self.sha256 = file.version_of()
        self.session: ModelSession = open_session(file.path, threads=threads)

    def stream(self) -> VoiceActivity:
        """Return a fresh detector for one channel."""
        return VoiceActivity(self)

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""
        return self.name, self.version, self.sha256


class VoiceActivity:
    """Speech detector of one channel. Not thread-safe: it carries the channel's state."""

    def __init__(self, network: VoiceActivityNetwork) -> None:
        """Start at silence on a shared network."""
        self._network = network
        self._rate = np.asarray(SAMPLE_RATE_HZ, np.int64)
        self._state = np.zeros((2, 1, 128), np.float32)
        self._heard = np.zeros((1, _CONTEXT + WINDOW), np.float32)

    def probability(self, window: NDArray[np.int16]) -> float:
        """Return the probability of speech in the next window.

        Args:
            window: int16, shape (512,): 32 ms at 16 kHz, following the window before.

        Raises:
            InputError: The window has another type or length.
        """
        if window.dtype != np.int16 or window.shape != (WINDOW,):
            raise InputError(
                f"A voice window must be int16 of shape ({WINDOW},) at 16 kHz, "
                f"not {window.dtype} {window.shape}."
            )
        self._heard[0, :_CONTEXT] = self._heard[0, -_CONTEXT:]
        self._heard[0, _CONTEXT:] = window / _FULL_SCALE
        chance, self._state = self._network.session.run(
            {"input": self._heard, "state": self._state, "sr": self._rate}
        )
        return float(chance[0, 0])

    def reset(self) -> None:
        """Forget the channel: after a gap, and at the end of a session."""
        self._state = np.zeros((2, 1, 128), np.float32)
        self._heard.fill(0.0)

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""
        return self._network.version_of()


def load_voice_activity(registry: Registry) -> VoiceActivityNetwork:
    """Load the voice activity network; call `stream()` once for each channel.

    Raises:
        ModelFileMissing: Its package is not installed.
        ModelHashMismatch: Its file is not the one the card describes.
    """
    return VoiceActivityNetwork(registry.locate(NAME))
