"""Voice encoder (GE2E): 1.6 s of speech to a vector that lies near those of the same voice.

The spectrum is what the original takes: mel powers as librosa computes them, not logarithms.
A vector is a biometric template: it lives in memory while one recording is read and is neither
kept nor compared with any other recording.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from models.errors import OutputError
from models.session import open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.registry import ModelFile, Registry

NAME: Final = "ge2e"
RATE_HZ: Final = 16_000
MELS: Final = 40
FRAMES: Final = 160
EMBEDDING: Final = 256
HOP: Final = 160
"""Samples of one frame: 10 ms."""
PIECE: Final = FRAMES * HOP
"""Samples that one vector is made of: 1.6 s."""
_FFT: Final = 400
_LEVEL: Final = 10.0 ** (-30.0 / 20.0)
"""Root mean square that quiet speech is raised to, as the original does."""
_BATCH: Final = 16


class VoiceEncoder:
    """The network and its file's identity."""

    def __init__(self, file: ModelFile, *, threads: int = 1) -> None:
        """Open the network of a verified file."""
        self.name, self.version, self.sha256 = file.version_of()
        self._session = open_session(file.path, threads=threads)

    def vectors(self, pieces: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a vector of length 1 for each piece of speech.

        Args:
            pieces: float32 in [-1, 1], shape (n, 25600): 1.6 s each at 16 kHz.

        Returns:
            float32, shape (n, 256).

        Raises:
            OutputError: The network gave another shape or a number that is not finite.
        """
        if not pieces.shape[0]:
            return np.zeros((0, EMBEDDING), np.float32)
        spectra = np.stack([mel_powers(_raised(piece))[:FRAMES] for piece in pieces])
        parts = [
            self._session.run({"spectra": spectra[at : at + _BATCH]})[0]
            for at in range(0, len(spectra), _BATCH)
        ]
        found = np.concatenate(parts)
        if found.shape != (len(pieces), EMBEDDING) or not np.isfinite(found).all():
            raise OutputError(
                f"The voice encoder gave vectors of shape {found.shape} or numbers that are not finite. "
                "Run 'hailong models verify' and convert the file again."
            )
        return found

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""
        return self.name, self.version, self.sha256


def load_voice_encoder(registry: Registry) -> VoiceEncoder:
    """Load the voice encoder.

    Raises:
        ModelFileMissing: It was not prepared.
        ModelHashMismatch: Its file is not the one the card describes.
    """
    return VoiceEncoder(registry.locate(NAME))


def mel_powers(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return mel powers: 25 ms windows every 10 ms, 40 bands, centred, as librosa gives them.

    Args:
        sound: float32 in [-1, 1], shape (n,), 16 kHz.

    Returns:
        float32, shape (1 + n // 160, 40).
    """
    padded = np.pad(sound.astype(np.float64), _FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::HOP]
    # The window is periodic: its last point is the first of the next period.
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(_FFT) / _FFT)
    powers = np.abs(np.fft.rfft(frames * window)) ** 2
    return np.asarray(powers @ _mel_bands().T, np.float32)


@cache
def _mel_bands() -> NDArray[np.float64]:
    """Return Slaney's mel filters of equal area, shape (40, 201)."""
    step, knee_hz, knee_mel = 200.0 / 3.0, 1000.0, 15.0
    log_step = np.log(6.4) / 27.0
    top_mel = knee_mel + np.log(RATE_HZ / 2 / knee_hz) / log_step
    mels = np.linspace(0.0, top_mel, MELS + 2)
    edges = np.where(mels < knee_mel, mels * step, knee_hz * np.exp(log_step * (mels - knee_mel)))
    bins = np.fft.rfftfreq(_FFT, 1.0 / RATE_HZ)
    widths = np.diff(edges)
    rising = (bins[None] - edges[:-2, None]) / widths[:-1, None]
    falling = (edges[2:, None] - bins[None]) / widths[1:, None]
    bands = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(bands * (2.0 / (edges[2:] - edges[:-2]))[:, None])


def _raised(piece: NDArray[np.float32]) -> NDArray[np.float32]:
    level = float(np.sqrt(np.mean(np.square(piece, dtype=np.float64))))
    return piece * np.float32(max(1.0, _LEVEL / max(level, 1e-6)))
