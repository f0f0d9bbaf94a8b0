from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.one_channel import PlaceConfig, roles_by_place
from inference.roles import WINDOW, WINDOW_S, ChannelWindow, Role, RoleTracker
from models.diarisers import VoiceTurn

NAMED = {Role.CITIZEN, Role.OFFICER}


def sound(levels_db: list[float], windows: int = 60, seed: int = 1) -> NDArray[np.int16]:
    """Stretches of noise at these levels, one after the other."""
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal(windows * WINDOW) * 10 ** (level / 20) * 32768 for level in levels_db]
    return np.concatenate(parts).astype(np.int16)


def turn(first: int, last: int, voice: int | None) -> VoiceTurn:
    return VoiceTurn(first * WINDOW_S, last * WINDOW_S, voice)


@pytest.mark.parametrize(("first_db", "second_db"), [(-20.0, -30.0), (-30.0, -20.0)])
def test_the_clearly_louder_voice_is_the_citizens(first_db: float, second_db: float) -> None:
    roles = roles_by_place(sound([first_db, second_db, -80]), [turn(0, 60, 0), turn(60, 120, 1)])
    louder, other = (roles[:60], roles[60:120]) if first_db > second_db else (roles[60:120], roles[:60])
    assert set(louder) == {Role.CITIZEN}
    assert set(other) == {Role.OFFICER}
    assert set(roles[120:]) == {Role.NOBODY}


@pytest.mark.parametrize(
    ("levels_db", "turns"),
    [
        ([-20, -24], [turn(0, 60, 0), turn(60, 120, 1)]),
        ([-20, -20], [turn(0, 120, 0)]),
        ([-20, -40], [turn(0, 60, 0), turn(60, 70, 1)]),
        ([-20, -40], [turn(0, 60, None), turn(60, 120, None)]),
    ],
    ids=["too-near", "one-voice", "too-short-to-compare", "untold"],
)
def test_where_place_does_not_tell_nobody_is_named(levels_db: list[float], turns: list[VoiceTurn]) -> None:
    roles = roles_by_place(sound(levels_db), turns)
    assert set(roles) <= {Role.UNSURE, Role.NOBODY}
    assert Role.UNSURE in roles


def test_overlaps_are_both_and_untold_moments_unsure() -> None:
    turns = [turn(0, 60, 0), turn(50, 120, 1), turn(100, 110, None)]
    roles = roles_by_place(sound([-20, -32]), turns)
    assert set(roles[50:60]) == {Role.BOTH}
    assert set(roles[100:110]) == {Role.UNSURE}


def test_of_three_voices_only_the_loudest_is_named() -> None:
    turns = [turn(0, 60, 0), turn(60, 120, 1), turn(120, 180, 2)]
    roles = roles_by_place(sound([-32, -20, -30]), turns)
    assert set(roles[60:120]) == {Role.CITIZEN}
    assert set(roles[:60] + roles[120:]) == {Role.UNSURE}


@pytest.mark.parametrize("seed", range(20))
def test_no_voice_is_named_without_a_margin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.uniform(-36, -16, 3)
    voices = rng.integers(0, 2, 3)
    turns = [turn(60 * index, 60 * index + 60, int(voice)) for index, voice in enumerate(voices)]
    config = PlaceConfig(margin_db=6.0)
    roles = roles_by_place(sound(levels.tolist(), seed=seed), turns, config)
    powers = [10 ** (levels[voices == voice] / 10) for voice in (0, 1)]
    apart = abs(10 * np.log10(powers[0].mean() / powers[1].mean())) if all(map(len, powers)) else 0.0
    if apart < 5.5:
        assert not NAMED & set(roles)
    if apart > 6.5:
        assert set(roles) == NAMED


@pytest.mark.parametrize("seed", range(20))
def test_two_microphones_as_loud_as_each_other_name_nobody(seed: int) -> None:
    """Whatever the levels, within the margin of 1.5 dB each window with speech is unsure."""
    rng = np.random.default_rng(seed)
    tracker = RoleTracker()
    found = []
    for _ in range(400):
        level = 10 ** (rng.uniform(-45, -15) / 10)
        tilt = 10 ** (rng.uniform(-1.4, 1.4) / 10)
        speech = float(rng.uniform(0.5, 1.0))
        role = tracker.push(ChannelWindow(level, level * tilt, speech, speech))
        found += [] if role is None else [role]
    assert set(found + tracker.flush()) == {Role.UNSURE}


@pytest.mark.parametrize("seed", range(20))
def test_swapping_the_microphones_never_leaves_a_named_speaker_in_place(seed: int) -> None:
    rng = np.random.default_rng(seed)
    windows = []
    for _ in range(40):
        levels = 10 ** (rng.uniform(-45, -15, 2) / 10)
        windows += [ChannelWindow(float(levels[0]), float(levels[1]), 0.9, 0.9)] * int(rng.integers(3, 30))

    def roles(swapped: bool) -> list[Role]:  # noqa: FBT001 - a switch of this test
        tracker = RoleTracker()
        given = [
            ChannelWindow(window.officer_power or 0.0, window.citizen_power, 0.9, 0.9) if swapped else window
            for window in windows
        ]
        named = [tracker.push(window) for window in given]
        return [role for role in named if role is not None] + tracker.flush()

    pairs = zip(roles(swapped=False), roles(swapped=True), strict=True)
    assert not [pair for pair in pairs if pair[0] in NAMED and pair[0] is pair[1]]
