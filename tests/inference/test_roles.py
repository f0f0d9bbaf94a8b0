from __future__ import annotations

import math

import numpy as np
import pytest

from inference.roles import ChannelWindow, NoiseFloor, Role, RoleConfig, RoleTracker, decibels, window_power

QUIET = ChannelWindow(1e-6, 1e-6, 0.01, 0.01)


def spoken(citizen_dbfs: float, officer_dbfs: float | None, speech: float = 0.9) -> ChannelWindow:
    return ChannelWindow(
        citizen_power=10 ** (citizen_dbfs / 10),
        officer_power=None if officer_dbfs is None else 10 ** (officer_dbfs / 10),
        citizen_speech=speech,
        officer_speech=0.0 if officer_dbfs is None else speech,
    )


def roles_of(windows: list[ChannelWindow], config: RoleConfig | None = None) -> list[Role]:
    tracker = RoleTracker(config)
    found = [tracker.push(window) for window in windows]
    return [role for role in found if role is not None] + tracker.flush()


@pytest.mark.parametrize(
    ("citizen_dbfs", "officer_dbfs", "expected"),
    [
        (-24, -38, Role.CITIZEN),
        (-38, -24, Role.OFFICER),
        (-24, -27, Role.CITIZEN),
        (-27, -24, Role.OFFICER),
        (-24, -24.5, Role.UNSURE),
        (-24, -23.5, Role.UNSURE),
        (-58, -75, Role.NOBODY),
    ],
)
def test_the_louder_microphone_names_the_speaker(
    citizen_dbfs: float, officer_dbfs: float, expected: Role
) -> None:
    speech = 0.1 if expected is Role.NOBODY else 0.9
    found = roles_of([QUIET] * 40 + [spoken(citizen_dbfs, officer_dbfs, speech)] * 60 + [QUIET] * 10)
    assert len(found) == 110
    assert set(found[40:100]) == {expected}
    assert set(found[:40]) | set(found[100:]) == {Role.NOBODY}


def test_faint_speech_under_the_gate_is_unsure_not_the_citizens() -> None:
    assert set(roles_of([QUIET] * 40 + [spoken(-57, -70)] * 30)[40:]) == {Role.UNSURE}


def test_speech_from_further_away_is_unsure() -> None:
    found = roles_of([QUIET] * 40 + [spoken(-22, -36)] * 100 + [QUIET] * 10 + [spoken(-44, -52)] * 30)
    assert set(found[40:140]) == {Role.CITIZEN}
    assert set(found[150:]) == {Role.UNSURE}


def test_both_speaking_is_told_from_one_speaking() -> None:
    windows = [QUIET] * 40 + [spoken(-24, -38)] * 80 + [spoken(-38, -24)] * 80
    found = roles_of([*windows, *[spoken(-24, -26)] * 40])
    assert found[210:] == [Role.BOTH] * 30
    # At a change of turn without a pause the averages mix: those few windows name nobody.
    steady = found[:110] + found[130:190]
    assert set(steady) == {Role.NOBODY, Role.CITIZEN, Role.OFFICER}


def test_strong_bleed_is_not_taken_for_both_speaking() -> None:
    turns = [spoken(-24, -27)] * 80 + [QUIET] * 15 + [spoken(-27, -24)] * 80 + [QUIET] * 15
    found = roles_of([QUIET] * 40 + turns * 2)
    assert Role.BOTH not in found
    assert found.count(Role.CITIZEN) >= 150
    assert found.count(Role.OFFICER) >= 150


def test_unequal_microphones_are_made_equal_by_configuration() -> None:
    windows = [QUIET] * 40 + [spoken(-36, -30)] * 40
    assert roles_of(windows)[-1] is Role.OFFICER
    assert roles_of(windows, RoleConfig(citizen_gain_db=12.0))[-1] is Role.CITIZEN


def test_noise_is_taken_off_before_levels_are_compared() -> None:
    noisy = ChannelWindow(1e-6, 10**-3.0, 0.01, 0.01)
    citizen = ChannelWindow(10**-2.4, 10**-3.0 + 10**-3.8, 0.9, 0.9)
    assert set(roles_of([noisy] * 40 + [citizen] * 40)[45:]) == {Role.CITIZEN}


@pytest.mark.parametrize(("setting", "expected"), [("unsure", Role.UNSURE), ("citizen", Role.CITIZEN)])
def test_one_channel_names_nobody_unless_told(setting: str, expected: Role) -> None:
    config = RoleConfig(single_channel=setting)  # type: ignore[arg-type]  # parametrised over the literals
    found = roles_of([spoken(-60, None, 0.0)] * 40 + [spoken(-24, None)] * 40, config)
    assert set(found[40:]) == {expected}


def test_every_window_gets_one_role_in_any_number_and_after_a_flush() -> None:
    tracker = RoleTracker()
    for count in (0, 1, 4, 5, 6, 11, 50):
        found = [role for role in (tracker.push(spoken(-24, -38)) for _ in range(count)) if role is not None]
        assert len(found) + len(tracker.flush()) == count


def test_noise_level_is_the_level_outside_speech() -> None:
    tracker = RoleTracker()
    assert tracker.noise_dbfs is None
    for window in [QUIET] * 40 + [spoken(-24, -38)] * 100:
        tracker.push(window)
    assert tracker.noise_dbfs == pytest.approx(-60.0, abs=0.1)


def test_histories_are_bounded() -> None:
    tracker = RoleTracker()
    for index in range(3_000):
        tracker.push(spoken(-24, -38) if index % 50 else QUIET)
    assert len(tracker._citizen_levels) <= 512
    assert all(len(history) <= 256 for history in tracker._leaning.values())
    assert len(tracker._citizen_noise._powers) <= 312


def test_digital_silence_has_a_level() -> None:
    floor = NoiseFloor()
    floor.add(window_power(np.zeros(512, np.int16)))
    assert floor.dbfs == -120.0
    assert decibels(0.0) == -120.0


def test_direct_current_is_no_level() -> None:
    assert window_power(np.full(512, 8000, np.int16)) < 1e-9


def queue(bias_db: float, count: int, seed: int) -> list[ChannelWindow]:
    """Talk of many people: it wavers by a few dB and never pauses."""
    levels = np.random.default_rng(seed).normal(-35.0, 1.5, count)
    return [spoken(float(level) + bias_db, float(level)) for level in levels]


def pauses(citizen_dbfs: float, officer_dbfs: float, count: int) -> list[ChannelWindow]:
    """Words of one person, a pause of 0.2 s after each second."""
    word = [spoken(citizen_dbfs, officer_dbfs)] * 25 + [QUIET] * 6
    return (word * (count // len(word) + 1))[:count]


@pytest.mark.parametrize("bias_db", [2.0, 3.0, 6.0, 12.0, -6.0])
def test_a_queue_that_is_louder_in_one_microphone_is_nobody_at_the_counter(bias_db: float) -> None:
    windows = queue(bias_db, 600, seed=4)
    assert set(roles_of(windows)) == {Role.UNSURE}
    ungated = roles_of(windows, RoleConfig(stand_out_db=-math.inf))
    assert ungated.count(Role.CITIZEN if bias_db > 0 else Role.OFFICER) > 500


def test_a_citizen_in_front_of_a_queue_is_heard() -> None:
    found = roles_of(queue(3.0, 200, seed=5) + [spoken(-18, -30)] * 60 + queue(3.0, 100, seed=6))
    assert found[205:255].count(Role.CITIZEN) >= 48
    assert set(found[:190]) | set(found[300:]) == {Role.UNSURE}


def test_what_leans_no_more_than_the_queue_is_dropped_however_loud() -> None:
    """Somebody of the queue calls out: as the queue, 4 dB louder in the citizen's microphone."""
    start, call = queue(4.0, 200, seed=7), [spoken(-15, -19)] * 40
    assert Role.CITIZEN not in roles_of(start + call)
    assert roles_of([QUIET] * 200 + call).count(Role.CITIZEN) >= 35


def test_who_speaks_from_the_first_moment_is_no_queue() -> None:
    """Nothing is known of the room yet, so nothing is learnt of its queue either."""
    found = roles_of(pauses(-24, -28, 400))
    assert Role.CITIZEN not in found[:25]
    assert found[40:].count(Role.CITIZEN) > 200
