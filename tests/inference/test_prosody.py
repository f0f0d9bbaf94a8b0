from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.prosody import ArousalMeter, ProsodyConfig, measure

RATE = 16_000


def voice(
    pitch_hz: float,
    *,
    level: float = 0.1,
    length_s: float = 2.0,
    syllables_per_s: float = 4.0,
    glide: float = 0.0,
) -> NDArray[np.int16]:
    """Make a buzz of the given pitch whose loudness rises and falls once a syllable."""
    time = np.arange(int(length_s * RATE)) / RATE
    pitch = pitch_hz * 2 ** (glide / 12 * np.sin(2 * np.pi * 0.7 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    buzz = sum(np.sin(phase * harmonic) / harmonic for harmonic in range(1, 8))
    swell = 0.05 + 0.95 * np.square(np.sin(np.pi * syllables_per_s * time))
    sound = buzz * swell
    return (
        np.asarray(sound / np.sqrt(np.mean(np.square(sound))) * level * 32767)
        .clip(-32768, 32767)
        .astype(np.int16)
    )


@pytest.mark.parametrize("pitch_hz", [85.0, 120.0, 180.0, 240.0, 320.0])
def test_pitch_is_found_without_octave_errors(pitch_hz: float) -> None:
    found = measure(voice(pitch_hz))
    assert found is not None
    assert 60 * 2 ** (found.pitch_semitones / 12) == pytest.approx(pitch_hz, rel=0.03)


@pytest.mark.parametrize("syllables_per_s", [3.0, 4.0, 6.0])
def test_pace_follows_the_syllables(syllables_per_s: float) -> None:
    found = measure(voice(150.0, syllables_per_s=syllables_per_s, length_s=4.0))
    assert found is not None
    assert found.syllables_per_s == pytest.approx(syllables_per_s, rel=0.2)


def test_pitch_range_and_level() -> None:
    flat, lively = measure(voice(150.0)), measure(voice(150.0, glide=4.0, level=0.2))
    assert flat is not None
    assert lively is not None
    assert lively.pitch_range_semitones > flat.pitch_range_semitones + 3.0
    assert lively.level_dbfs - flat.level_dbfs == pytest.approx(6.0, abs=0.5)


def test_pauses_are_counted() -> None:
    found = measure(np.concatenate((voice(150.0), np.zeros(2 * RATE, np.int16))))
    assert found is not None
    assert found.pause_share == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.int16),
        np.zeros(RATE, np.int16),
        np.random.default_rng(3).normal(0, 2000, 2 * RATE).astype(np.int16),
        voice(150.0, length_s=0.2),
    ],
    ids=["empty", "silence", "noise", "short"],
)
def test_too_little_voice_has_no_prosody(samples: NDArray[np.int16]) -> None:
    assert measure(samples) is None


def test_the_speakers_own_start_has_no_figure_and_the_rest_is_compared_with_it() -> None:
    meter = ArousalMeter()
    assert [meter.arousal(voice(150.0)) for _ in range(2)] == [None, None]
    same = meter.arousal(voice(150.0))
    excited = meter.arousal(voice(210.0, level=0.3, syllables_per_s=6.0, glide=3.0))
    tired = meter.arousal(voice(125.0, level=0.04, syllables_per_s=3.0))
    assert same == pytest.approx(0.5, abs=0.05)
    assert excited is not None
    assert excited > 0.75
    assert tired is not None
    assert tired < 0.35


def test_arousal_is_relative_to_the_speaker_and_not_to_people() -> None:
    figures = []
    for pitch_hz in (100.0, 230.0):
        meter = ArousalMeter()
        for _ in range(2):
            meter.arousal(voice(pitch_hz))
        figures.append(meter.arousal(voice(pitch_hz * 2 ** (4 / 12), level=0.15)))
    assert figures[0] == pytest.approx(figures[1], abs=0.08)


def test_a_short_start_is_not_enough() -> None:
    meter = ArousalMeter(ProsodyConfig(baseline_s=10.0))
    assert [meter.arousal(voice(150.0)) for _ in range(4)] == [None] * 4


def test_forget_starts_anew() -> None:
    meter = ArousalMeter()
    for _ in range(3):
        meter.arousal(voice(150.0))
    meter.forget()
    assert meter.arousal(voice(150.0)) is None


def test_extreme_change_stays_in_bounds() -> None:
    meter = ArousalMeter()
    for _ in range(2):
        meter.arousal(voice(80.0, level=0.005))
    figure = meter.arousal(voice(400.0, level=0.6, syllables_per_s=8.0))
    assert figure is not None
    assert 0.9 < figure <= 1.0
