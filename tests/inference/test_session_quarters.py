from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.dialogue import DialogueDynamics
from inference.face_moments import FaceEvidence
from inference.fusion import fuse
from inference.session_quarters import session_quarters
from inference.signal import Abstention, Signal
from inference.utterance_reader import SpokenEvidence
from tests.inference.test_fusion import NS, SPOKEN, T0, VALENCES, face, score, spoken, voice, width

HOUR = (T0, T0 + 3600 * NS)


def test_a_short_session_has_no_quarters() -> None:
    assert fuse(face(*[0.2] * 60), None).quarters == ()
    assert len(fuse(face(*[0.2] * 81), None).quarters) == 4
    assert fuse(None, None).quarters == ()


def test_a_mood_that_falls_quarter_by_quarter() -> None:
    seen = face(*([0.8] * 100 + [0.3] * 100 + [-0.2] * 100 + [-0.9] * 101))
    said = [spoken(10.0, positive=0.9), spoken(90.0, negative=0.9)]
    found = fuse(seen, voice(*said)).quarters
    figures = [score(item.mood) for item in found]
    assert figures == sorted(figures, reverse=True)
    assert figures[0] > 0.6
    assert figures[3] < 0.4
    assert [item.utterances for item in found] == [1, 0, 0, 1]
    assert [item.looks for item in found] == [5, 5, 5, 6]
    assert found[0].start_ns == T0
    assert [one.end_ns for one in found[:3]] == [other.start_ns for other in found[1:]]


def test_quarters_are_wider_than_the_session() -> None:
    fused = fuse(face(*[0.5] * 400), voice(*(spoken(5.0 + 10.0 * n, 0.1, 0.7) for n in range(9))))
    assert all(width(item.mood) > width(fused.overall) for item in fused.quarters)


def test_a_quarter_without_evidence_abstains() -> None:
    said = voice(spoken(1.0, positive=0.9), spoken(100.0, positive=0.9))
    found = session_quarters(None, said)
    assert [item.mood.abstained for item in found] == [
        None,
        Abstention.NO_EVIDENCE,
        Abstention.NO_EVIDENCE,
        None,
    ]


def test_arousal_by_hand_and_where_it_abstains() -> None:
    said = voice(
        spoken(1.0, arousal=None),
        spoken(5.0, arousal=0.5),
        spoken(80.0, arousal=0.9),
        spoken(85.0, arousal=0.9),
        spoken(90.0, arousal=0.9),
    )
    found = session_quarters(None, said, span_ns=(T0, T0 + 100 * NS))
    assert [item.arousal is None for item in found] == [True, True, True, False]
    last = found[3].arousal
    assert last is not None
    assert last.mean == pytest.approx(0.9)
    assert (last.high, last.utterances) == (1.0, 3)
    half = 1.6448536269514722 * (0.01 + 0.0225 / 3) ** 0.5
    assert last.low == pytest.approx(0.9 - half)


def test_the_signal_has_no_place_for_quarters_or_dialogue() -> None:
    names = set(Signal.model_json_schema()["properties"])
    assert not {name for name in names if "quarter" in name or "dialogue" in name or "arousal" in name}


@settings(max_examples=60)
@given(valences=VALENCES, said=SPOKEN)
def test_every_quarter_is_bounded_and_all_evidence_is_in_one(
    valences: list[float], said: list[SpokenEvidence]
) -> None:
    found = session_quarters(face(*valences), voice(*said), span_ns=HOUR)
    assert sum(item.utterances for item in found) == len(said)
    for item in found:
        assert (item.mood.abstained is None) == (item.mood.score is not None)
        if item.arousal is not None:
            assert 0.0 <= item.arousal.low <= item.arousal.mean <= item.arousal.high <= 1.0


@settings(max_examples=60)
@given(said=SPOKEN, at_s=st.floats(0.0, 3597.0))
def test_a_sentence_moves_its_own_quarter_only(said: list[SpokenEvidence], at_s: float) -> None:
    before = session_quarters(None, voice(*said), span_ns=HOUR)
    after = session_quarters(None, voice(*said, spoken(at_s, negative=1.0)), span_ns=HOUR)
    own = int((at_s + 1.0) // 900.0)
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        if number != own:
            assert one == other
        elif one.mood.score is not None and other.mood.score is not None:
            assert other.mood.score <= one.mood.score + 1e-12


@settings(max_examples=60)
@given(said=SPOKEN, together_s=st.floats(0.0, 100.0), more_s=st.floats(0.0, 100.0))
def test_talk_at_once_widens_and_never_turns(
    said: list[SpokenEvidence], together_s: float, more_s: float
) -> None:
    """Dynamics have no direction: they pull towards 0.5, to the same side, and never sharpen."""

    def figure(seconds: float) -> tuple[float, float] | None:
        dynamics = DialogueDynamics(talk_s=400.0, citizen_s=200.0, together_s=seconds, compared=True)
        estimate = fuse(None, replace(voice(*said), dialogue=dynamics)).overall
        return None if estimate.score is None else (estimate.score - 0.5, width(estimate))

    less, more = figure(together_s), figure(together_s + more_s)
    if more is None:
        return
    assert less is not None, "talk at once never makes a figure"
    assert abs(more[0]) <= abs(less[0]) + 1e-12
    assert more[0] * less[0] >= -1e-12
    assert more[1] >= less[1] - 1e-12


def test_other_dynamics_change_nothing() -> None:
    said = voice(spoken(1.0, positive=0.9), spoken(9.0, negative=0.2))
    dynamics = DialogueDynamics(
        span_s=900.0, talk_s=40.0, citizen_s=9.0, changes=7, gap_median_s=9.0, longest_silence_s=600.0
    )
    seen = FaceEvidence()
    assert fuse(seen, said).overall == fuse(seen, replace(said, dialogue=dynamics)).overall
