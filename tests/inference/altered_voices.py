"""Clips of real speakers, spoken as if calmer or more aroused, in a room of even noise.

Our own signal processing stands in for acted recordings, which are not here: faster, higher and
louder for aroused, slower, lower and softer for calm. It shows that the way from sound to figure
works and what disturbs it, not how people sound when they are upset.
"""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.evaluation_speech import load_sound

Sound = NDArray[np.float64]
RATE: Final = 16_000
_SPEECH_DBFS: Final = -26.0
_PAD: Final = np.zeros(4_800)  # 0.3 s, as an utterance is cut
_ROOM_DBFS: Final = -61.0


def speakers_of(manifest: Path, clips: int) -> dict[str, list[Sound]]:
    """Return the first clips of every speaker who has that many, each at one level."""
    by_speaker: dict[str, list[Path]] = {}
    for line in manifest.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        by_speaker.setdefault(entry["speaker"], []).append(manifest.parent / entry["audio"])
    return {
        speaker: [_levelled(load_sound(path)[0]) for path in paths[:clips]]
        for speaker, paths in by_speaker.items()
        if len(paths) >= clips
    }


def _levelled(samples: NDArray[np.int16]) -> Sound:
    sound = samples / 32_768.0
    power = np.square(sound)
    level = np.sqrt(power[power > power.mean() / 10.0].mean() / 2.0)
    return np.asarray(sound * 10.0 ** (_SPEECH_DBFS / 20.0) / level)


def spoken(sound: Sound, *, speed: float = 1.0, louder_db: float = 0.0) -> Sound:
    """Change how a clip is said: faster is higher as well, and fuller of syllables."""
    count = int(sound.shape[0] / speed)
    changed = np.interp(np.arange(count) * speed, np.arange(sound.shape[0]), sound)
    return np.concatenate((_PAD, changed * 10.0 ** (louder_db / 20.0), _PAD))


def heard(
    sound: Sound, rng: np.random.Generator, *, noise_dbfs: float = _ROOM_DBFS, gain_db: float = 0.0
) -> NDArray[np.int16]:
    """Put a sound into a room with pink noise, in front of a microphone of some gain."""
    spectrum = np.fft.rfft(rng.standard_normal(sound.shape[0]))
    frequency = np.maximum(np.fft.rfftfreq(sound.shape[0], 1.0 / RATE), 50.0)
    pink = np.fft.irfft(spectrum / np.sqrt(frequency), sound.shape[0])
    noisy = sound + pink / np.sqrt(np.mean(np.square(pink))) * 10.0 ** (noise_dbfs / 20.0)
    scaled = np.round(noisy * 10.0 ** (gain_db / 20.0) * 32_768.0)
    samples: NDArray[np.int16] = np.clip(scaled, -32_768, 32_767).astype(np.int16)
    return samples


def write(path: Path, samples: NDArray[np.int16]) -> None:
    """Write one channel as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())


def write_manifest(folder: Path, voices: dict[str, list[Sound]], seed: int) -> Path:
    """Write three starts of each speaker, and each further clip once calmer and once more aroused."""
    rng = np.random.default_rng(seed)
    lines: list[dict[str, object]] = []

    def add(name: str, speaker: str, sound: Sound, **label: object) -> None:
        write(folder / name, heard(sound, rng))
        lines.append({"audio": name, "speaker": speaker, **label})

    made: dict[str, Callable[[Sound], Sound]] = {
        "low": lambda clip: spoken(clip, speed=0.92, louder_db=-4.0),
        "high": lambda clip: spoken(clip, speed=1.15, louder_db=6.0),
    }
    for speaker, clips in voices.items():
        for number, clip in enumerate(clips):
            if number < 3:
                add(f"{speaker}-{number}.wav", speaker, spoken(clip), start=True)
                continue
            for label, make in made.items():
                add(f"{speaker}-{number}-{label}.wav", speaker, make(clip), arousal=label)
    manifest = folder / "tone.jsonl"
    manifest.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return manifest
