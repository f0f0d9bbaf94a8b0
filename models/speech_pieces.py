"""Speech as every transcriber takes it: checked, and cut into pieces that none of them shortens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from models.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_RATE_HZ: Final = 16_000
MAX_PIECE_S: Final = 15.0
"""Longest piece of one call: in 30 s of one call viet-asr lost the first 7 s, Whisper reads 30 s at most."""
MIN_PIECE_S: Final = 0.1
"""Shorter pieces hold no word; they are answered with an empty text."""
_FRAME: Final = SAMPLE_RATE_HZ // 50


def checked_samples(samples: object, sample_rate_hz: int = SAMPLE_RATE_HZ) -> NDArray[np.int16]:
    """Return the samples if they are mono int16 at 16 kHz.

    Raises:
        InputError: Another type, shape or rate. (The libraries themselves would answer with an
            empty text, with invented words, or hang.)
    """
    if sample_rate_hz != SAMPLE_RATE_HZ:
        raise InputError(
            f"Speech must be sampled at {SAMPLE_RATE_HZ} Hz, not {sample_rate_hz}: resample it first."
        )
    if not isinstance(samples, np.ndarray) or samples.dtype != np.int16:
        kind = getattr(samples, "dtype", type(samples).__name__)
        raise InputError(f"Speech must be int16 samples, not {kind}: convert it first.")
    if samples.ndim != 1:
        raise InputError(
            f"Speech must be mono, of shape (n,), not {samples.shape}: choose one channel first."
        )
    return samples


def split_at_quietest(samples: NDArray[np.int16], longest_s: float = MAX_PIECE_S) -> list[NDArray[np.int16]]:
    """Cut speech into pieces of at most `longest_s`, each cut at the quietest point near its end.

    The cut is searched in the second half of each piece, over 200 ms, so words stay whole
    where the speaker takes breath. The pieces joined are the input: nothing is lost or said twice.
    """
    longest = int(longest_s * SAMPLE_RATE_HZ)
    pieces = []
    rest = samples
    while rest.size > longest:
        # An even share avoids a last piece of a few milliseconds.
        share = min(longest, max(longest // 2 + 1, -(-rest.size // -(-rest.size // longest)) + longest // 4))
        cut = _quietest(rest[:share])
        pieces.append(rest[:cut])
        rest = rest[cut:]
    if rest.size:
        pieces.append(rest)
    return pieces


def _quietest(piece: NDArray[np.int16]) -> int:
    """Return the sample in the second half around which 200 ms are quietest."""
    frames = piece.size // _FRAME
    loud = (piece[: frames * _FRAME].reshape(frames, _FRAME).astype(np.float64) ** 2).mean(axis=1)
    width = 10
    smooth = np.convolve(loud, np.full(width, 1.0 / width), mode="same")
    first = frames // 2
    last = max(first + 1, frames - width // 2)
    return (first + int(np.argmin(smooth[first:last]))) * _FRAME + _FRAME // 2
