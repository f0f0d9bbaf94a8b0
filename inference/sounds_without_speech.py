"""Sounds of an office in which nobody at the counter speaks: words that come of them are invented.

All are made by formulas and a seed, but for the babble, which mixes recordings of many people at once
as a queue sounds behind the counter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

RATE_HZ: Final = 16_000
_FULL_SCALE: Final = 32_768.0
_LEVEL_DBFS: Final = -35.0
"""Level of every sound but silence: what a microphone on the counter hears of an office."""
_TALKERS: Final = 8
_CHORDS_HZ: Final = ((262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294))
_KEYS_HZ: Final = (697, 770, 852, 941)
_COLUMNS_HZ: Final = (1209, 1336, 1477)


def sounds(
    length_s: float, seed: int, voices: Sequence[NDArray[np.int16]] = ()
) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """Yield each sound with its name.

    Args:
        length_s: Length of each, seconds.
        seed: Seed of noise, melody, keys and the places of the voices.
        voices: Recordings of speech, int16 mono 16 kHz, for `babble`; without any there is none.

    Yields:
        Name and int16 samples, shape (n,), 16 kHz.
    """
    count = int(length_s * RATE_HZ)
    rng = np.random.default_rng(seed)
    yield "silence", np.zeros(count, np.int16)
    yield "white_noise", _levelled(rng.standard_normal(count))
    yield "pink_noise", _levelled(_pink(count, rng))
    yield "music", _levelled(_music(count, rng))
    yield "dial_tones", _levelled(_dial_tones(count, rng))
    yield "keyboard", _levelled(_keyboard(count, rng))
    if voices:
        yield "babble", _levelled(_babble(count, rng, voices))


def _levelled(sound: NDArray[np.float64]) -> NDArray[np.int16]:
    power = float(np.sqrt(np.mean(np.square(sound)))) if sound.size else 1.0
    scaled = sound * (10.0 ** (_LEVEL_DBFS / 20.0) / max(power, 1e-12))
    whole: NDArray[np.int16] = np.clip(np.round(scaled * _FULL_SCALE), -32_768, 32_767).astype(np.int16)
    return whole


def _pink(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.maximum(np.fft.rfftfreq(count, 1.0 / RATE_HZ), 20.0)
    return np.asarray(np.fft.irfft(spectrum / np.sqrt(frequency), count))


def _music(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Four chords of a second each with a melody over them, plucked, with overtones and a beat."""
    sound = np.zeros(count)
    for start in range(0, count, RATE_HZ // 2):
        time_s = np.arange(min(RATE_HZ // 2, count - start)) / RATE_HZ
        chord = _CHORDS_HZ[start // RATE_HZ % len(_CHORDS_HZ)]
        notes = [(pitch, 1.0) for pitch in chord] + [(2 * chord[int(rng.integers(3))], 1.5)]
        for pitch, loud in notes:
            for overtone in range(1, 6):
                wave = np.sin(2 * np.pi * pitch * overtone * time_s + rng.uniform(0, 6.28))
                sound[start : start + time_s.size] += loud / overtone * wave * np.exp(-3 * time_s)
        beat = rng.standard_normal(time_s.size) * np.exp(-60 * time_s)
        sound[start : start + time_s.size] += 1.5 * beat
    return sound


def _dial_tones(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Somebody dials: pairs of tones of 0.15 s, three a second."""
    sound = np.zeros(count)
    for start in range(0, count, RATE_HZ // 3):
        time_s = np.arange(min(RATE_HZ * 3 // 20, count - start)) / RATE_HZ
        pair = (_KEYS_HZ[int(rng.integers(4))], _COLUMNS_HZ[int(rng.integers(3))])
        sound[start : start + time_s.size] += sum(np.sin(2 * np.pi * tone * time_s) for tone in pair)
    return sound


def _keyboard(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Somebody types: two short clicks a key, six keys a second, over a little room noise."""
    sound = 0.01 * _pink(count, rng) / 0.05
    at = 0
    while at < count:
        for gap, loud in ((0, 1.0), (int(rng.integers(800, 1800)), 0.6)):
            time_s = np.arange(min(320, max(count - at - gap, 0))) / RATE_HZ
            ring = np.sin(2 * np.pi * rng.uniform(1800, 4200) * time_s) + rng.standard_normal(time_s.size)
            sound[at + gap : at + gap + time_s.size] += loud * ring * np.exp(-400 * time_s)
        at += int(rng.uniform(0.08, 0.3) * RATE_HZ)
    return sound


def _babble(count: int, rng: np.random.Generator, voices: Sequence[NDArray[np.int16]]) -> NDArray[np.float64]:
    """Eight people talk at once without end, none of them nearer than the others."""
    sound = np.zeros(count)
    for _ in range(_TALKERS):
        at = -int(rng.integers(0, 3 * RATE_HZ))
        while at < count:
            voice = voices[int(rng.integers(len(voices)))] / _FULL_SCALE
            voice = voice / max(float(np.sqrt(np.mean(np.square(voice)))), 1e-4)
            first, last = max(at, 0), min(at + voice.size, count)
            if last > first:
                sound[first:last] += voice[first - at : last - at]
            at += max(voice.size, RATE_HZ // 10)
    return sound
