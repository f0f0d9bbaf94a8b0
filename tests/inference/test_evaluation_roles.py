from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.evaluation_roles import Dialogue, RoleScores, mix, named, score
from inference.evaluation_speech import load_sound
from inference.roles import WINDOW, Role
from models.registry import Registry
from models.voice_activity import load_voice_activity

CITIZEN, OFFICER, UNSURE, NOBODY = Role.CITIZEN, Role.OFFICER, Role.UNSURE, Role.NOBODY
QUIET = np.zeros((2, WINDOW), np.int16)


def turns(count: int, length: int = 20 * WINDOW) -> list[NDArray[np.int16]]:
    rng = np.random.default_rng(count)
    return [rng.normal(0, 3000, length).astype(np.int16) for _ in range(count)]


def level_db(samples: NDArray[np.int16]) -> float:
    return float(10 * np.log10(np.mean(np.square(samples / 32768.0))))


@pytest.mark.parametrize("bleed_db", [-15.0, -3.0])
def test_a_mix_has_the_bleed_and_the_noise_asked_for(bleed_db: float) -> None:
    dialogue = mix(turns(2), turns(2), bleed_db=bleed_db, snr_db=40.0, seed=1)
    for start, end, speaker in dialogue.turns:
        own = 0 if speaker is Role.CITIZEN else 1
        middle = slice(start + 2000, end - 2000)
        difference = level_db(dialogue.samples[1 - own, middle]) - level_db(dialogue.samples[own, middle])
        assert difference == pytest.approx(bleed_db, abs=0.5)
    assert level_db(dialogue.samples[0, :8000]) == pytest.approx(-66.0, abs=1.0)
    assert not (dialogue.citizen_speaks & dialogue.officer_speaks).any()


def test_turns_overlap_when_asked_and_seeds_repeat() -> None:
    arguments = {"bleed_db": -10.0, "snr_db": 25.0, "overlap_s": 0.3}
    first = mix(turns(2), turns(2), seed=4, **arguments)
    again = mix(turns(2), turns(2), seed=4, **arguments)
    assert (first.citizen_speaks & first.officer_speaks).sum() > 20
    assert np.array_equal(first.samples, again.samples)


def test_scores_are_over_windows_with_one_speaker() -> None:
    citizen = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 0], np.bool_)
    officer = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 0], np.bool_)
    dialogue = Dialogue(np.tile(QUIET, 10), citizen, officer, ())
    said = [CITIZEN, CITIZEN, OFFICER, UNSURE, OFFICER, OFFICER, CITIZEN, NOBODY, CITIZEN, CITIZEN]
    assert score(dialogue, said) == RoleScores(
        accuracy=4 / 6, dropped=1 / 8, missed=1 / 8, citizen_kept=0.5, officer_leaked=0.25, windows=8
    )


@pytest.mark.parametrize(("bleed_db", "snr_db"), [(-10.0, 25.0), (-3.0, 10.0)])
def test_real_voices_are_told_apart(shared: Path, bleed_db: float, snr_db: float) -> None:
    source = shared / "data" / "speech" / "common_voice_vi.jsonl"
    entries = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    picked = np.random.default_rng(11).permutation(len(entries))[:6]
    clips = [load_sound(source.parent / entries[index]["audio"])[0] for index in picked]
    dialogue = mix(clips[:3], clips[3:], bleed_db=bleed_db, snr_db=snr_db, seed=11)
    scores = score(dialogue, named(dialogue, load_voice_activity(Registry.default()).stream))
    assert scores.windows > 250
    assert scores.accuracy > 0.97
    assert scores.dropped < 0.08
    assert scores.missed < 0.3
    assert scores.officer_leaked < 0.01
