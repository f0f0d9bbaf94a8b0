from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.face_moments import FaceEvidence, FaceMoment
from inference.fusion import FusionConfig, fuse
from inference.signal import Abstention, Estimate, Factor
from inference.utterance_reader import SpokenEvidence
from inference.voice_evidence import VoiceEvidence

NS = 1_000_000_000
T0 = 1_700_000_000 * NS
CONFIG = FusionConfig()


def spoken(
    at_s: float,
    negative: float = 0.0,
    positive: float = 0.0,
    factors: dict[Factor, float] | None = None,
    arousal: float | None = None,
) -> SpokenEvidence:
    start = T0 + int(at_s * NS)
    return SpokenEvidence(
        start, start + 2 * NS, negative, 1.0 - negative - positive, positive, factors or {}, arousal
    )


def face(*valences: float, hz: float = 4.0, confidence: float = 0.9) -> FaceEvidence:
    moments = tuple(
        FaceMoment(T0 + int(index / hz * NS), valence, confidence) for index, valence in enumerate(valences)
    )
    return FaceEvidence(moments=moments, face_s=len(valences) / hz, frames=len(valences))


def voice(*utterances: SpokenEvidence) -> VoiceEvidence:
    return VoiceEvidence(utterances=utterances, speech_s=2.0 * len(utterances), noise_dbfs=-55.0)


def score(estimate: Estimate) -> float:
    assert estimate.score is not None, estimate
    return estimate.score


def width(estimate: Estimate) -> float:
    assert estimate.high is not None
    assert estimate.low is not None
    return estimate.high - estimate.low


@st.composite
def utterances(draw: st.DrawFn) -> SpokenEvidence:
    raw = [draw(st.floats(0.01, 1.0)) for _ in range(3)]
    negative, _, positive = (value / sum(raw) for value in raw)
    factors = draw(st.dictionaries(st.sampled_from(Factor), st.floats(0.0, 1.0), max_size=3))
    arousal = draw(st.none() | st.floats(0.0, 1.0))
    return spoken(draw(st.floats(0.0, 3600.0)), negative, positive, factors, arousal)


VALENCES = st.lists(st.floats(-1.0, 1.0), max_size=60)
SPOKEN = st.lists(utterances(), max_size=8)


def test_nothing_gives_no_figure() -> None:
    for evidence in (fuse(None, None), fuse(FaceEvidence(), VoiceEvidence())):
        assert evidence.overall == Estimate(abstained=Abstention.NO_EVIDENCE)
        assert evidence.change.abstained is Abstention.NO_EVIDENCE
        assert evidence.factors == ()
        assert evidence.quality.face_s == 0.0


def test_one_neutral_sentence_is_too_little() -> None:
    assert fuse(None, voice(spoken(1.0))).overall.abstained is Abstention.TOO_LITTLE_EVIDENCE


def test_a_figure_by_hand() -> None:
    # One positive sentence: counts 1 x 12/13 beside a prior of 1 on either side.
    counts = 12 / 13
    expected = (counts + 1) / (counts + 2)
    assert score(fuse(None, voice(spoken(1.0, positive=1.0))).overall) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("sign", [-1, 1])
def test_words_outweigh_the_face(sign: int) -> None:
    said = [spoken(10.0 * n, max(0.0, -0.9 * sign), max(0.0, 0.9 * sign)) for n in range(8)]
    contrary = face(*([0.0] * 40 + [-0.9 * sign] * 200))
    fused = fuse(contrary, voice(*said))
    assert (score(fused.overall) - 0.5) * sign > 0.1


def test_words_that_do_not_tell_count_less_and_widen_the_interval() -> None:
    said = [spoken(10.0 * n, 0.1, 0.5) for n in range(3)]
    plain = fuse(None, voice(*said)).overall
    thin = fuse(None, voice(*(replace(one, thin=True) for one in said))).overall
    assert width(thin) > width(plain) + 0.02
    assert 0.5 < score(thin) < score(plain)
    # Half the weight each, so two of them are worth one that tells.
    doubled = [replace(spoken(10.0 * n, 0.1, 0.5), thin=True) for n in range(6)]
    assert fuse(None, voice(*doubled)).overall == plain


def test_weak_words_against_a_long_face_conflict() -> None:
    fused = fuse(face(*[1.0] * 400), voice(spoken(5.0, negative=1.0)))
    assert fused.overall.abstained is Abstention.CONFLICTING_EVIDENCE


def test_a_face_that_looks_negative_from_the_start_is_no_alarm() -> None:
    talking = fuse(face(*[-0.8] * 240), None)
    turned = fuse(face(*([-0.1] * 40 + [-0.8] * 200)), None)
    assert score(talking.overall) == pytest.approx(0.5)
    assert score(turned.overall) < 0.4


def test_a_single_frame_moves_nothing() -> None:
    calm = [0.0] * 240
    shocked = [*calm[:120], -1.0, *calm[121:]]
    assert fuse(face(*shocked), None).overall == fuse(face(*calm), None).overall


def test_frames_close_together_are_not_more_evidence() -> None:
    slow = fuse(face(*[0.8] * 120, hz=2.0), None)
    fast = fuse(face(*[0.8] * 1800, hz=30.0), None)
    assert slow.overall == fast.overall


def test_intervals_shrink_to_a_floor() -> None:
    widths = [
        width(fuse(None, voice(*(spoken(10.0 * n, 0.5, 0.5) for n in range(count)))).overall)
        for count in (1, 2, 4, 8, 16, 32, 1000)
    ]
    assert widths == sorted(widths, reverse=True)
    # However much is said: no better than Wilson at the ceiling of the counts.
    n = (CONFIG.speech_ceiling + 2) * CONFIG.doubt_counts / (CONFIG.speech_ceiling + 2 + CONFIG.doubt_counts)
    z = 1.6448536269514722
    floor = 2 * z * math.sqrt(0.25 / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert floor <= widths[-1] < floor * 1.02
    assert floor > 0.4


def test_fifty_praises_do_not_make_certainty() -> None:
    estimate = fuse(None, voice(*(spoken(n, positive=1.0) for n in range(50)))).overall
    assert score(estimate) < 0.95
    assert estimate.low is not None
    assert estimate.low < 0.8


def test_factors_follow_what_was_said_about_them() -> None:
    fused = fuse(
        None,
        voice(
            spoken(1.0, negative=0.9, factors={Factor.TIME_COST: 1.0}),
            spoken(5.0, negative=0.9, factors={Factor.TIME_COST: 0.8}),
            spoken(9.0, positive=0.9, factors={Factor.OFFICER: 1.0}),
            spoken(12.0, factors={Factor.PROCEDURE: 0.5}),
            spoken(15.0, positive=0.9, factors={Factor.ACCESS: 0.1}),
        ),
    )
    found = {item.factor: item for item in fused.factors}
    assert set(found) == {Factor.TIME_COST, Factor.OFFICER, Factor.PROCEDURE}
    assert found[Factor.TIME_COST].mentions == 2
    assert score(found[Factor.TIME_COST].estimate) < 0.4
    assert score(found[Factor.OFFICER].estimate) > 0.6
    assert found[Factor.PROCEDURE].estimate.abstained is Abstention.TOO_LITTLE_EVIDENCE


def test_change_has_the_sign_of_what_happened() -> None:
    better = fuse(face(*([-0.5] * 80 + [0.9] * 80)), None).change
    worse = fuse(face(*([0.9] * 80 + [-0.5] * 80)), None).change
    steady = fuse(face(*[0.3] * 160), None).change
    assert better.low is not None
    assert better.low > 0
    assert worse.high is not None
    assert worse.high < 0
    assert steady.delta == pytest.approx(0.0)
    assert better.delta == pytest.approx(-(worse.delta or 0.0))


def test_a_mood_that_turns_early_in_a_long_visit_is_a_change() -> None:
    # Ten good seconds of ninety: a third as the start would call it all the same.
    turned = face(*([0.2] * 40 + [-0.7] * 320))
    capped, thirds = fuse(turned, None).change, fuse(turned, None, FusionConfig(start_s=90.0)).change
    assert capped.delta is not None
    assert thirds.delta is not None
    assert capped.delta < -0.15
    assert thirds.delta > -0.05


@settings(max_examples=60)
@given(
    valences=st.lists(st.floats(-1.0, 1.0), min_size=80, max_size=160),
    odd=st.floats(-1.0, 1.0),
    data=st.data(),
)
def test_no_single_frame_is_an_alarm(valences: list[float], odd: float, data: st.DataObject) -> None:
    """A look takes the median of its 20 readings: one of them moves it by a rank at most."""
    place = data.draw(st.integers(0, len(valences) - 1))
    calm = sorted(valences[:20]) * (len(valences) // 20)
    shocked = [odd if index == place % len(calm) else value for index, value in enumerate(calm)]
    gap = max(later - value for value, later in pairwise(calm[8:12]))
    before, after = fuse(face(*calm), None), fuse(face(*shocked), None)
    assert abs(score(after.overall) - score(before.overall)) <= gap + 1e-9
    assert before.change.delta is not None
    assert after.change.delta is not None
    assert abs(after.change.delta - before.change.delta) <= gap + 1e-9


def test_change_of_words() -> None:
    said = [spoken(n * 10.0, negative=0.9) for n in range(4)]
    said += [spoken(50 + n * 10.0, positive=0.9) for n in range(4)]
    delta = fuse(None, voice(*said)).change.delta
    assert delta is not None
    assert delta > 0.15


def test_too_short_for_a_change() -> None:
    assert fuse(face(*[0.1] * 40), voice(spoken(1.0))).change.abstained is Abstention.TOO_LITTLE_EVIDENCE


def test_quality_states_the_evidence() -> None:
    heard = replace(voice(spoken(1.0)), dropped_s=3.5, noise_dbfs=-300.0)
    quality = fuse(face(*[0.0] * 40), heard).quality
    assert quality.model_dump() == {
        "face_s": 10.0,
        "speech_s": 2.0,
        "utterances": 1,
        "noise_dbfs": -120.0,
        "gap_s": 0.0,
        "gaps": 0,
        "dropped_s": 3.5,
    }


@settings(max_examples=60)
@given(valences=VALENCES, said=SPOKEN)
def test_every_figure_is_bounded(valences: list[float], said: list[SpokenEvidence]) -> None:
    # The signal's own types refuse NaN, infinities, and score outside low..high.
    fused = fuse(face(*valences), voice(*said))
    for estimate in (fused.overall, *(item.estimate for item in fused.factors)):
        assert (estimate.abstained is None) == (estimate.score is not None)
        if estimate.score is not None:
            assert width(estimate) > 0.3


@settings(max_examples=60)
@given(said=SPOKEN, valences=VALENCES, data=st.data())
def test_order_is_nothing(said: list[SpokenEvidence], valences: list[float], data: st.DataObject) -> None:
    seen = face(*valences)
    mixed = replace(seen, moments=tuple(data.draw(st.permutations(seen.moments))))
    other = data.draw(st.permutations(said))
    one, two = fuse(seen, voice(*said)), fuse(mixed, voice(*other))
    assert one.overall == two.overall
    assert one.factors == two.factors


@settings(max_examples=60)
@given(said=SPOKEN, valences=VALENCES)
def test_praise_never_lowers(said: list[SpokenEvidence], valences: list[float]) -> None:
    before = fuse(face(*valences), voice(*said)).overall.score
    after = fuse(face(*valences), voice(*said, spoken(4000.0, positive=1.0))).overall.score
    if before is not None and after is not None:
        assert after >= before - 1e-12


@settings(max_examples=60)
@given(said=SPOKEN, valences=VALENCES)
def test_complaint_never_raises(said: list[SpokenEvidence], valences: list[float]) -> None:
    before = fuse(face(*valences), voice(*said)).overall.score
    after = fuse(face(*valences), voice(*said, spoken(4000.0, negative=1.0))).overall.score
    if before is not None and after is not None:
        assert after <= before + 1e-12


@settings(max_examples=60)
@given(
    said=SPOKEN,
    valences=st.lists(st.floats(-1.0, 1.0), min_size=40, max_size=80),
    raised=st.floats(0.0, 2.0),
    data=st.data(),
)
def test_a_brighter_face_never_lowers(
    said: list[SpokenEvidence], valences: list[float], raised: float, data: st.DataObject
) -> None:
    # After the person's own start (32 readings at 4 Hz), which is what the face is read against.
    chosen = data.draw(st.sets(st.integers(32, len(valences) - 1)))
    brighter = [min(1.0, v + raised) if n in chosen else v for n, v in enumerate(valences)]
    before = fuse(face(*valences), voice(*said)).overall.score
    after = fuse(face(*brighter), voice(*said)).overall.score
    if before is not None and after is not None:
        assert after >= before - 1e-12


@settings(max_examples=60)
@given(said=SPOKEN, odd=utterances())
def test_one_sentence_moves_a_bounded_amount(said: list[SpokenEvidence], odd: SpokenEvidence) -> None:
    before = fuse(None, voice(*said)).overall.score
    after = fuse(None, voice(*said, odd)).overall.score
    if before is not None and after is not None:
        # At most 1.5 counts against the prior's two.
        assert abs(after - before) <= 1.5 / 3.5
