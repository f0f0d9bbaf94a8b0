from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.dialogue import DialogueConfig, DialogueDynamics, DialogueMeter
from inference.roles import WINDOW_S, Role

T0 = 1_700_000_000_000_000_000
WINDOW_NS = 32_000_000
LETTERS = {
    "c": Role.CITIZEN,
    "o": Role.OFFICER,
    "b": Role.BOTH,
    "u": Role.UNSURE,
    ".": Role.NOBODY,
}
CITIZENS_OWN = {"citizen_s", "citizen_turns"}
"""All that may tell the two people apart."""


def roles(script: str) -> list[Role]:
    """Read `c20 .10 o20`: a letter for the speaker and the number of windows."""
    return [LETTERS[part[0]] for part in script.split() for _ in range(int(part[1:]))]


def measured(windows: list[Role], config: DialogueConfig | None = None) -> DialogueDynamics:
    meter = DialogueMeter(config)
    for index, role in enumerate(windows):
        meter.add(role, T0 + index * WINDOW_NS)
    return meter.dynamics(compared=True)


def seconds(windows: int) -> object:
    """Stand for a number of windows in seconds, rounding aside."""
    return pytest.approx(windows * WINDOW_S)


def test_nothing_heard() -> None:
    assert measured([]) == DialogueDynamics(compared=True)
    assert measured([]).citizen_share is None
    assert measured(roles(".50 u20")).talk_s == 0.0


def test_a_dialogue_by_hand() -> None:
    found = measured(roles(".30 o40 .10 c60 .200 o30 .20 c40 .90"))
    assert found.span_s == seconds(400)
    assert found.talk_s == seconds(170)
    assert found.citizen_s == seconds(100)
    assert found.citizen_share == pytest.approx(100 / 170)
    assert found.citizen_turns == 2
    assert found.changes == 3
    assert found.cut_ins == 0
    assert found.together_s == 0.0
    assert found.gap_median_s == seconds(20)
    # Neither what was before the first word nor what came after the last.
    assert found.longest_silence_s == seconds(200)


@pytest.mark.parametrize(
    ("script", "changes", "cut_ins"),
    [
        ("o40 b15 c40", 1, 1),
        ("c40 b15 o40", 1, 1),
        ("o40 c40", 1, 0),
        ("o40 b5 c40", 1, 0),
        ("o40 b15 o40", 0, 0),
        ("o40 b15 .30 c40", 1, 0),
        ("o40 c10 o40", 0, 0),
        ("o40 .5 c10 .5 o40 .5 c40", 1, 0),
    ],
    ids=["into", "into-back", "no-pause", "smoothing", "stayed", "pause-between", "listening", "then-turn"],
)
def test_what_is_a_change_and_what_a_cut_in(script: str, changes: int, cut_ins: int) -> None:
    found = measured(roles(script))
    assert (found.changes, found.cut_ins) == (changes, cut_ins)


def test_talk_at_once() -> None:
    found = measured(roles("c40 b20 o40 .20 c30 b5 o40 .20 c20 b12"))
    assert found.together_s == seconds(32), "a short stretch is a change of speaker, an open one counts"
    assert found.citizen_s == seconds(40 + 30 + 20 + 32)
    assert found.talk_s == seconds(40 + 30 + 20 + 80 + 32)
    assert found.together_share == pytest.approx(32 / 122)


def test_a_silence_in_which_somebody_unsure_speaks_is_none() -> None:
    found = measured(roles("o40 .10 u10 .10 c40"))
    assert found.gap_median_s is None
    assert found.longest_silence_s == seconds(10)


def test_nothing_is_counted_across_a_break() -> None:
    meter = DialogueMeter()
    for index, role in enumerate(roles("o40 b15 .50")):
        meter.add(role, T0 + index * WINDOW_NS)
    meter.interrupt()
    for index, role in enumerate(roles(".50 c40"), 1000):
        meter.add(role, T0 + index * WINDOW_NS)
    found = meter.dynamics(compared=True)
    assert (found.changes, found.cut_ins, found.gap_median_s) == (0, 0, None)
    assert found.longest_silence_s == seconds(50)
    assert found.together_s == seconds(15)
    assert found.citizen_turns == 1


def test_one_microphone_has_no_share() -> None:
    meter = DialogueMeter()
    for index, role in enumerate(roles("c40")):
        meter.add(role, T0 + index * WINDOW_NS)
    assert meter.dynamics(compared=False).citizen_share is None
    assert meter.dynamics(compared=True).citizen_share == 1.0


def test_memory_is_bounded() -> None:
    found = DialogueMeter(DialogueConfig(remembered=3))
    windows = roles("o20 .40 c20 .40 o20 .2 c20 .2 o20 .2 c20")
    for index, role in enumerate(windows):
        found.add(role, T0 + index * WINDOW_NS)
    assert found.dynamics(compared=True).gap_median_s == seconds(2)


SCRIPTS = st.lists(
    st.tuples(st.sampled_from(list(LETTERS)), st.integers(1, 60)).map(lambda part: f"{part[0]}{part[1]}"),
    max_size=25,
).map(" ".join)


@settings(max_examples=200)
@given(script=SCRIPTS)
def test_no_figure_has_a_direction(script: str) -> None:
    """Exchange the two people: whatever is not the citizen's own must stay as it is."""
    swap = {Role.CITIZEN: Role.OFFICER, Role.OFFICER: Role.CITIZEN}
    windows = roles(script)
    one, other = measured(windows), measured([swap.get(role, role) for role in windows])
    for name in {item.name for item in fields(DialogueDynamics)} - CITIZENS_OWN:
        assert getattr(one, name) == getattr(other, name), name
    if one.citizen_share is not None:
        assert other.citizen_share == pytest.approx(1.0 - one.citizen_share)


@settings(max_examples=200)
@given(script=SCRIPTS)
def test_figures_are_consistent(script: str) -> None:
    found = measured(roles(script))
    assert 0.0 <= found.together_s <= found.citizen_s <= found.talk_s <= found.span_s + 1e-9
    assert found.longest_silence_s <= found.span_s
    assert found.cut_ins <= found.changes
    assert abs(found.changes + 1 - 2 * found.citizen_turns) <= 1 or found.citizen_turns == 0
    assert 0.0 <= found.together_share <= 1.0
