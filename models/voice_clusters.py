"""One channel, its voices told apart by an encoder's vectors and grouped: our own diariser.

Pieces of 1.6 s are grouped around at most `most_voices` centres; groups that sound alike are
one voice. A moment that lies about as near to two voices is given to neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from models.diarisers import MOST_VOICES, RATE_HZ, VoiceTurn
from models.errors import InputError
from models.voice_activity import WINDOW, VoiceActivityNetwork
from models.voice_encoder import PIECE, VoiceEncoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WINDOW_S: Final = WINDOW / RATE_HZ
_ROUNDS: Final = 30


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """When two voices are two.

    Attributes:
        most_voices: Voices of one recording, at most.
        speech_on: Voice activity from which speech starts.
        speech_off: Voice activity under which it has ended.
        step_s: Between the starts of two pieces.
        pause_s: A shorter pause does not end a stretch of speech.
        same_voice: Centres whose cosine is larger are one voice.
        least_share: A group with a smaller share of the speech is no voice of its own.
        margin: The nearest voice is nearer by this cosine, or the voice is unsure.
    """

    most_voices: int = MOST_VOICES
    speech_on: float = 0.5
    speech_off: float = 0.35
    step_s: float = 0.4
    pause_s: float = 0.25
    same_voice: float = 0.86
    least_share: float = 0.05
    margin: float = 0.04


class ClusterDiariser:
    """Voice activity, encoder and grouping; one call reads one recording."""

    def __init__(
        self, encoder: VoiceEncoder, activity: VoiceActivityNetwork, config: ClusterConfig | None = None
    ) -> None:
        """Take the two networks; they may be shared."""
        self.name, self.version, _ = encoder.version_of()
        self._encoder = encoder
        self._activity = activity
        self._config = config or ClusterConfig()

    def turns(self, sound: NDArray[np.int16]) -> tuple[VoiceTurn, ...]:
        """Return who speaks when; voice None where two are about as near.

        Args:
            sound: int16, mono, 16 kHz, shape (n,).

        Raises:
            InputError: The sound has another type or shape.
            OutputError: The encoder gave something other than vectors.
        """
        checked_mono(sound)
        speaks = self._speaks(sound)
        starts, lengths = self._pieces(speaks)
        if not starts:
            return ()
        scale = np.float32(1.0 / 32768.0)
        pieces = np.stack(
            [
                np.resize(sound[at : at + length].astype(np.float32) * scale, PIECE)
                for at, length in zip(starts, lengths, strict=True)
            ]
        )
        vectors = self._encoder.vectors(pieces)
        centres = grouped(vectors, self._config)
        scores = vectors @ centres.T
        return _turns(speaks, self._voices(speaks, scores, starts, lengths))

    def _speaks(self, sound: NDArray[np.int16]) -> NDArray[np.bool_]:
        """Return for each whole window whether somebody speaks, short pauses included."""
        stream = self._activity.stream()
        speaks = np.zeros(len(sound) // WINDOW, np.bool_)
        speaking = False
        for index in range(len(speaks)):
            chance = stream.probability(sound[index * WINDOW : (index + 1) * WINDOW])
            speaking = chance >= (self._config.speech_off if speaking else self._config.speech_on)
            speaks[index] = speaking
        pause = round(self._config.pause_s / _WINDOW_S)
        for start, end in _stretches(~speaks):
            if start > 0 and end < len(speaks) and end - start <= pause:
                speaks[start:end] = True
        return speaks

    def _pieces(self, speaks: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
        """Return first sample and length of each piece; the last one of a stretch ends with it."""
        starts: list[int] = []
        lengths: list[int] = []
        for first, last in _stretches(speaks):
            start, end = first * WINDOW, last * WINDOW
            reach = max(start, end - PIECE)
            inside = [*range(start, reach, round(self._config.step_s * RATE_HZ)), reach]
            starts.extend(inside)
            lengths.extend(min(PIECE, end - at) for at in inside)
        return starts, lengths

    def _voices(
        self,
        speaks: NDArray[np.bool_],
        scores: NDArray[np.float32],
        starts: list[int],
        lengths: list[int],
    ) -> NDArray[np.int64]:
        """Return the voice of each window, -1 where it is unsure; nearer pieces weigh more."""
        total = np.zeros((len(speaks), scores.shape[1]))
        weight = np.full((len(speaks), 1), 1e-9)
        for score, start, length in zip(scores, starts, lengths, strict=True):
            first, last = start // WINDOW, -(-(start + length) // WINDOW)
            middle = (first + last - 1) / 2.0
            near = (1.0 - np.abs(np.arange(first, last) - middle) / ((last - first) / 2.0 + 1.0)) ** 2
            total[first:last] += near[:, None] * score[None]
            weight[first:last] += near[:, None]
        voices = np.argmax(total, axis=1)
        if scores.shape[1] > 1:
            ranked = np.sort(total / weight, axis=1)
            voices[ranked[:, -1] - ranked[:, -2] < self._config.margin] = -1
        return np.asarray(voices)


def checked_mono(sound: NDArray[np.int16]) -> None:
    """Refuse what is not one channel of int16.

    Raises:
        InputError: The sound has another type or shape.
    """
    if sound.dtype != np.int16 or sound.ndim != 1:
        raise InputError(
            f"A diariser takes int16 of shape (samples,) at {RATE_HZ} Hz, not {sound.dtype} {sound.shape}. "
            "Mix the channels down first."
        )


def grouped(vectors: NDArray[np.float32], config: ClusterConfig) -> NDArray[np.float32]:
    """Return the centres of the voices, shape (1 to `most_voices`, dimensions), largest group first.

    Centres start as far apart as they can and are then moved (spherical k-means), so the same
    recording always gives the same voices.

    Args:
        vectors: Length 1 each, shape (n, dimensions), n of at least 1.
        config: Limits.
    """
    centres = [vectors[int(np.argmax(vectors @ vectors.mean(axis=0)))]]
    while len(centres) < min(config.most_voices, len(vectors)):
        nearest = np.max(vectors @ np.stack(centres).T, axis=1)
        centres.append(vectors[int(np.argmin(nearest))])
    found = _moved(vectors, np.stack(centres))
    while len(found) > 1:
        sizes = np.bincount(np.argmax(vectors @ found.T, axis=1), minlength=len(found))
        alike = found @ found.T - 2.0 * np.eye(len(found), dtype=np.float32)
        first, second = np.unravel_index(int(np.argmax(alike)), alike.shape)
        small = int(np.argmin(sizes))
        if sizes[small] < config.least_share * len(vectors):
            found = np.delete(found, small, axis=0)
        elif alike[first, second] > config.same_voice:
            found = np.delete(found, first if sizes[first] < sizes[second] else second, axis=0)
        else:
            break
        found = _moved(vectors, found)
    sizes = np.bincount(np.argmax(vectors @ found.T, axis=1), minlength=len(found))
    return found[np.argsort(-sizes, kind="stable")]


def _moved(vectors: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float32]:
    for _ in range(_ROUNDS):
        nearest = np.argmax(vectors @ centres.T, axis=1)
        means = np.stack(
            [
                vectors[nearest == index].mean(axis=0) if (nearest == index).any() else centres[index]
                for index in range(len(centres))
            ]
        )
        moved = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
        if np.allclose(moved, centres, atol=1e-6):
            break
        centres = moved
    return centres


def _stretches(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first and last index (exclusive) of each run of marked windows."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], marked.astype(np.int8), [0]))))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _turns(speaks: NDArray[np.bool_], voices: NDArray[np.int64]) -> tuple[VoiceTurn, ...]:
    turns: list[VoiceTurn] = []
    for first, last in _stretches(speaks):
        changes = [first, *(np.flatnonzero(np.diff(voices[first:last])) + first + 1).tolist(), last]
        for start, end in pairwise(changes):
            voice = int(voices[start])
            turns.append(VoiceTurn(start * _WINDOW_S, end * _WINDOW_S, voice if voice >= 0 else None))
    return tuple(turns)
