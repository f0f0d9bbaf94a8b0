"""From evidence to figures: how the session looked, by factor, and when it changed.

The order of doubt: words say *what*, tone says how strongly, the face says least. Face
and words together say *when* it changed. Everything is pseudo-counts: each piece of
evidence adds a bounded weight to positive, neutral or negative, a uniform prior pulls
to 0.5, and no channel can outgrow its ceiling however long a session lasts. The
figures are uncalibrated; `docs/perception.md` derives them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Final

from inference.signal import (
    MAX_SESSION,
    Abstention,
    Change,
    Estimate,
    Factor,
    FactorEstimate,
    Quality,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inference.face_moments import FaceEvidence, FaceMoment
    from inference.utterance_reader import SpokenEvidence
    from inference.voice_evidence import VoiceEvidence

_NS: Final = 1_000_000_000
_Z: Final = 1.6448536269514722
"""Half of a 90 % interval, in standard deviations."""


@dataclass(frozen=True, slots=True)
class FusionConfig:
    """Weights and limits of the fusion.

    Attributes:
        prior: Pseudo-counts of the prior on either side.
        neutral_weight: Weight of an utterance without opinion beside one with.
        neutral_face_weight: The same of a face without direction.
        tone_weight: What the strongest arousal adds to the weight of an utterance.
        speech_ceiling: Pseudo-counts that no amount of speech exceeds.
        face_ceiling: Pseudo-counts that no length of face exceeds.
        face_half_looks: Independent looks at which the face has half its ceiling.
        look_s: Seconds of face that count as one independent look; readings within it repeat
            each other.
        baseline_s: The person's own start, against which the face is read.
        start_s: Seconds of face that are the start of a change, at most: a mood that turns within
            the first third of a long visit would hide in it.
        doubt_counts: Ceiling of the pseudo-counts behind an interval: the models' own doubt,
            which no evidence removes. It is the floor of the width.
        min_counts: Evidence below this is too little for a figure.
        conflict: Difference of words and face from which they conflict, where words weigh little.
        mention: Weight from which an utterance counts as speaking about a factor.
    """

    prior: float = 1.0
    neutral_weight: float = 0.25
    neutral_face_weight: float = 0.5
    tone_weight: float = 0.5
    speech_ceiling: float = 12.0
    face_ceiling: float = 3.0
    face_half_looks: float = 4.0
    look_s: float = 5.0
    baseline_s: float = 8.0
    start_s: float = 10.0
    doubt_counts: float = 30.0
    min_counts: float = 0.5
    conflict: float = 0.6
    mention: float = 0.2


@dataclass(frozen=True, slots=True)
class Fused:
    """What one session's evidence comes to; `quality` lacks the gaps, which the session knows.

    Attributes:
        overall: The figure of the session.
        factors: Figures of the factors that were spoken about.
        change: End less start.
        quality: How much evidence there was.
    """

    overall: Estimate
    factors: tuple[FactorEstimate, ...]
    change: Change
    quality: Quality


@dataclass(frozen=True, slots=True)
class _Counts:
    """Pseudo-counts of evidence."""

    positive: float = 0.0
    neutral: float = 0.0
    negative: float = 0.0

    @property
    def total(self) -> float:
        return self.positive + self.neutral + self.negative

    @property
    def mean(self) -> float:
        """Share of satisfaction, neutral as a half; 0.5 without evidence."""
        return (self.positive + self.neutral / 2) / self.total if self.total > 0 else 0.5

    def under(self, ceiling: float) -> _Counts:
        """Return the counts scaled so that their total stays below a ceiling, however many."""
        scale = ceiling / (ceiling + self.total)
        return _Counts(self.positive * scale, self.neutral * scale, self.negative * scale)

    def plus(self, other: _Counts) -> _Counts:
        return _Counts(
            self.positive + other.positive, self.neutral + other.neutral, self.negative + other.negative
        )


@dataclass(frozen=True, slots=True)
class _Look:
    """The readings of one stretch of `look_s`, as one."""

    start_ns: int
    valence: float
    confidence: float


def fuse(face: FaceEvidence | None, voice: VoiceEvidence | None, config: FusionConfig | None = None) -> Fused:
    """Join the evidence of one session.

    Args:
        face: None when the image purpose was not given.
        voice: None when the voice purpose was not given.
        config: Weights and limits.
    """
    config = config or FusionConfig()
    utterances = sorted(voice.utterances, key=lambda spoken: spoken.start_ns) if voice else []
    moments = sorted(face.moments, key=lambda moment: moment.captured_ns) if face else []
    said = _said(utterances, config)
    words, seen = said.under(config.speech_ceiling), _seen(moments, config)
    return Fused(
        overall=_overall(words, seen, config),
        factors=_factors(utterances, config),
        change=_change(moments, utterances, config),
        quality=_quality(face, voice),
    )


def _said(
    utterances: Iterable[SpokenEvidence], config: FusionConfig, factor: Factor | None = None
) -> _Counts:
    """Add up what was said, about one factor or at all."""
    terms = [
        (_strength(spoken, config) * (1.0 if factor is None else _unit(spoken.factors[factor])), spoken)
        for spoken in utterances
        if factor is None or factor in spoken.factors
    ]
    return _Counts(
        # fsum: the same sum whatever the order.
        math.fsum(weight * _unit(spoken.positive) for weight, spoken in terms),
        math.fsum(weight * config.neutral_weight * _unit(spoken.neutral) for weight, spoken in terms),
        math.fsum(weight * _unit(spoken.negative) for weight, spoken in terms),
    )


def _strength(spoken: SpokenEvidence, config: FusionConfig) -> float:
    """Weight of an utterance: tone has no direction, it only underlines the words."""
    if spoken.arousal is None:
        return 1.0
    return 1.0 + config.tone_weight * max(0.0, 2.0 * _unit(spoken.arousal) - 1.0)


def _looks(moments: Sequence[FaceMoment], config: FusionConfig) -> list[_Look]:
    """Gather readings into looks; each takes the median, so a single frame moves little."""
    if not moments:
        return []
    first_ns, length_ns = moments[0].captured_ns, int(config.look_s * _NS)
    stretches: dict[int, list[FaceMoment]] = {}
    for moment in moments:
        stretches.setdefault((moment.captured_ns - first_ns) // length_ns, []).append(moment)
    return [
        _Look(
            first_ns + number * length_ns,
            _signed(median(moment.valence for moment in stretch)),
            _unit(fmean(moment.confidence for moment in stretch)),
        )
        for number, stretch in stretches.items()
    ]


def own_start(moments: Sequence[FaceMoment], config: FusionConfig | None = None) -> tuple[float, int] | None:
    """Return the valence that a face is read against, and until when it was taken; None without a face."""
    config = config or FusionConfig()
    if not moments:
        return None
    return _own_start(moments, config), moments[0].captured_ns + int(config.baseline_s * _NS)


def _own_start(moments: Sequence[FaceMoment], config: FusionConfig) -> float:
    limit_ns = moments[0].captured_ns + int(config.baseline_s * _NS)
    return _signed(median(moment.valence for moment in moments if moment.captured_ns < limit_ns))


def _seen(moments: Sequence[FaceMoment], config: FusionConfig) -> _Counts:
    """Turn the face into counts: a smile counts, a frown only where the person did not start with it."""
    looks = _looks(moments, config)
    if not looks:
        return _Counts()
    start = _own_start(moments, config)
    opinions = [_face_opinion(look.valence, start) for look in looks]
    direction = _trimmed_mean(opinions)
    weight = config.face_ceiling * len(looks) / (len(looks) + config.face_half_looks)
    weight *= fmean(look.confidence for look in looks)
    return _Counts(
        weight * max(0.0, direction),
        weight * config.neutral_face_weight * (1.0 - abs(direction)),
        weight * max(0.0, -direction),
    )


def _face_opinion(valence: float, start: float) -> float:
    """Read a look against the person's own start.

    Networks call talking and neutral faces negative, so a negative look counts only as far as it
    is below the start as well; a positive one counts in full when above the start, else by half.
    """
    change = valence - start
    if valence <= 0.0:
        return max(valence, min(0.0, change))
    return valence * (0.5 + 0.5 * min(1.0, max(0.0, change / 0.2)))


def _trimmed_mean(values: Sequence[float], share: float = 0.1) -> float:
    cut = int(len(values) * share)
    return fmean(sorted(values)[cut : len(values) - cut])


def _overall(words: _Counts, seen: _Counts, config: FusionConfig) -> Estimate:
    both = words.plus(seen)
    if both.total <= 0.0:
        return Estimate(abstained=Abstention.NO_EVIDENCE)
    if both.total < config.min_counts:
        return Estimate(abstained=Abstention.TOO_LITTLE_EVIDENCE)
    opinions = min(words.positive + words.negative, seen.positive + seen.negative)
    weak = words.total < seen.total
    if weak and opinions >= config.min_counts and abs(words.mean - seen.mean) >= config.conflict:
        return Estimate(abstained=Abstention.CONFLICTING_EVIDENCE)
    return _estimate(both, config)


def _estimate(counts: _Counts, config: FusionConfig) -> Estimate:
    """Shrink to 0.5 by the prior; Wilson's interval at bounded counts."""
    n = counts.total + 2 * config.prior
    score = _unit((counts.positive + counts.neutral / 2 + config.prior) / n)
    n = n * config.doubt_counts / (n + config.doubt_counts)
    spread = 1 + _Z**2 / n
    middle = (score + _Z**2 / (2 * n)) / spread
    half = _Z * math.sqrt(score * (1 - score) / n + _Z**2 / (4 * n * n)) / spread
    return Estimate(score=score, low=min(score, _unit(middle - half)), high=max(score, _unit(middle + half)))


def _factors(utterances: Sequence[SpokenEvidence], config: FusionConfig) -> tuple[FactorEstimate, ...]:
    found = []
    for factor in Factor:
        mentions = sum(spoken.factors.get(factor, 0.0) >= config.mention for spoken in utterances)
        if not mentions:
            continue
        counts = _said(utterances, config, factor).under(config.speech_ceiling)
        enough = counts.total >= config.min_counts
        estimate = _estimate(counts, config) if enough else Estimate(abstained=Abstention.TOO_LITTLE_EVIDENCE)
        found.append(FactorEstimate(factor=factor, estimate=estimate, mentions=min(mentions, 10_000)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Step:
    """One channel's change and its variance."""

    delta: float
    variance: float


_STEP_PRIOR: Final = 0.25
"""Variance of the change before any evidence: it pulls towards no change."""
_FACE_DOUBT: Final = 0.04
_WORDS_DOUBT: Final = 0.06
"""Variance that remains of each channel however long it is watched."""


def _change(
    moments: Sequence[FaceMoment], utterances: Sequence[SpokenEvidence], config: FusionConfig
) -> Change:
    """Weigh the change of face and of words by their certainty."""
    if not moments and not utterances:
        return Change(abstained=Abstention.NO_EVIDENCE)
    steps = [step for step in (_face_step(moments, config), _words_step(utterances, config)) if step]
    if not steps:
        return Change(abstained=Abstention.TOO_LITTLE_EVIDENCE)
    precision = 1 / _STEP_PRIOR + sum(1 / step.variance for step in steps)
    delta = _signed(sum(step.delta / step.variance for step in steps) / precision)
    half = _Z / math.sqrt(precision)
    return Change(delta=delta, low=min(delta, _signed(delta - half)), high=max(delta, _signed(delta + half)))


def compared_looks(
    moments: Sequence[FaceMoment], config: FusionConfig | None = None
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return which capture times of the face the change compares: start and end of both parts.

    None when there are too few looks for a change of the face.
    """
    config = config or FusionConfig()
    looks = _looks(moments, config)
    if len(looks) < _MIN_LOOKS:
        return None
    (first, last), length_ns = _ends(looks, config), int(config.look_s * _NS)
    return (
        (looks[0].start_ns, looks[first - 1].start_ns + length_ns),
        (looks[-last].start_ns, looks[-1].start_ns + length_ns),
    )


_MIN_LOOKS: Final = 4
"""Two looks on either side: a single one has no spread."""


def _ends(looks: Sequence[_Look], config: FusionConfig) -> tuple[int, int]:
    """Return how many looks are start and end: a third each, the start no longer than `start_s`."""
    third = max(2, len(looks) // 3)
    return min(third, max(2, round(config.start_s / config.look_s))), third


def _face_step(moments: Sequence[FaceMoment], config: FusionConfig) -> _Step | None:
    """Compare the last third of the face with its start; at least two looks in each."""
    looks = _looks(moments, config)
    if len(looks) < _MIN_LOOKS:
        return None
    first, last = _ends(looks, config)
    start = [look.valence / 2 for look in looks[:first]]
    end = [look.valence / 2 for look in looks[-last:]]
    return _Step(median(end) - median(start), _FACE_DOUBT + _mean_variance(start) + _mean_variance(end))


def _words_step(utterances: Sequence[SpokenEvidence], config: FusionConfig) -> _Step | None:
    """Compare the later half of what was said with the earlier one."""
    half = len(utterances) // 2
    if half < 2:  # noqa: PLR2004 - as above
        return None
    parts = [_said(part, config) for part in (utterances[:half], utterances[-half:])]
    start, end = (
        (part.positive + part.neutral / 2 + config.prior) / (part.total + 2 * config.prior) for part in parts
    )
    doubt = sum(0.25 / (part.total + 2 * config.prior) for part in parts)
    return _Step(end - start, _WORDS_DOUBT + doubt)


def _mean_variance(values: Sequence[float]) -> float:
    """Variance of the mean of looks; a quiet stretch is not believed to be certain."""
    middle = fmean(values)
    return (sum((value - middle) ** 2 for value in values) + 0.02) / (len(values) * (len(values) - 1))


def _quality(face: FaceEvidence | None, voice: VoiceEvidence | None) -> Quality:
    return Quality(
        face_s=_seconds(face.face_s) if face else 0.0,
        speech_s=_seconds(voice.speech_s) if voice else 0.0,
        utterances=min(len(voice.utterances), 100_000) if voice else 0,
        noise_dbfs=None if voice is None or voice.noise_dbfs is None else _decibels(voice.noise_dbfs),
        dropped_s=_seconds(voice.dropped_s) if voice else 0.0,
    )


def _seconds(value: float) -> float:
    return min(max(value, 0.0), MAX_SESSION.total_seconds())


def _decibels(value: float) -> float:
    return min(max(value, -120.0), 0.0)


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _signed(value: float) -> float:
    return min(max(value, -1.0), 1.0)
