"""What the citizen said, as pseudo-counts: about a factor, or at all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from inference.pseudo_counts import Counts, interval_estimate, unit
from inference.signal import Abstention, Estimate, Factor, FactorEstimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inference.fusion_config import FusionConfig
    from inference.utterance_reader import SpokenEvidence
    from inference.voice_evidence import VoiceEvidence


def spoken_counts(
    utterances: Iterable[SpokenEvidence],
    config: FusionConfig,
    factor: Factor | None = None,
    *,
    trust: float = 1.0,
) -> Counts:
    """Add up what was said, about one factor or at all; `trust` scales all of it."""
    terms = [
        (trust * _strength(spoken, config) * _about(spoken, factor), spoken)
        for spoken in utterances
        if factor is None or factor in spoken.factors
    ]
    return Counts(
        # fsum: the same sum whatever the order.
        math.fsum(weight * unit(spoken.positive) for weight, spoken in terms),
        math.fsum(weight * config.neutral_weight * unit(spoken.neutral) for weight, spoken in terms),
        math.fsum(weight * unit(spoken.negative) for weight, spoken in terms),
    )


def _about(spoken: SpokenEvidence, factor: Factor | None) -> float:
    return 1.0 if factor is None else unit(spoken.factors[factor])


def trust_of(voice: VoiceEvidence | None, config: FusionConfig) -> float:
    """Return how far the words of a session are trusted, 0 to 1.

    Talk at once has no direction of its own, as tone has none. But what the citizen said in it was
    heard in pieces: it takes weight from the words and leaves their direction.
    """
    if voice is None:
        return 1.0
    return 1.0 - config.crosstalk_weight * unit(voice.dialogue.together_share)


def _strength(spoken: SpokenEvidence, config: FusionConfig) -> float:
    """Weight of an utterance: tone has no direction, it only underlines words; thin ones count less."""
    told = config.thin_weight if spoken.thin else 1.0
    if spoken.arousal is None:
        return told
    return told + told * config.tone_weight * max(0.0, 2.0 * unit(spoken.arousal) - 1.0)


def factors_spoken_of(
    utterances: Sequence[SpokenEvidence], config: FusionConfig, *, trust: float = 1.0
) -> tuple[FactorEstimate, ...]:
    """Return a figure, or why there is none, for each factor that was spoken about."""
    found = []
    for factor in Factor:
        mentions = sum(spoken.factors.get(factor, 0.0) >= config.mention for spoken in utterances)
        if not mentions:
            continue
        counts = spoken_counts(utterances, config, factor, trust=trust).under(config.speech_ceiling)
        enough = counts.total >= config.min_counts
        estimate = (
            interval_estimate(counts, config)
            if enough
            else Estimate(abstained=Abstention.TOO_LITTLE_EVIDENCE)
        )
        found.append(FactorEstimate(factor=factor, estimate=estimate, mentions=min(mentions, 10_000)))
    return tuple(found)
