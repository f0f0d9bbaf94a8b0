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


def spoken_counts(
    utterances: Iterable[SpokenEvidence], config: FusionConfig, factor: Factor | None = None
) -> Counts:
    """Add up what was said, about one factor or at all."""
    terms = [
        (_strength(spoken, config) * (1.0 if factor is None else unit(spoken.factors[factor])), spoken)
        for spoken in utterances
        if factor is None or factor in spoken.factors
    ]
    return Counts(
        # fsum: the same sum whatever the order.
        math.fsum(weight * unit(spoken.positive) for weight, spoken in terms),
        math.fsum(weight * config.neutral_weight * unit(spoken.neutral) for weight, spoken in terms),
        math.fsum(weight * unit(spoken.negative) for weight, spoken in terms),
    )


def _strength(spoken: SpokenEvidence, config: FusionConfig) -> float:
    """Weight of an utterance: tone has no direction, it only underlines the words."""
    if spoken.arousal is None:
        return 1.0
    return 1.0 + config.tone_weight * max(0.0, 2.0 * unit(spoken.arousal) - 1.0)


def factors_spoken_of(
    utterances: Sequence[SpokenEvidence], config: FusionConfig
) -> tuple[FactorEstimate, ...]:
    """Return a figure, or why there is none, for each factor that was spoken about."""
    found = []
    for factor in Factor:
        mentions = sum(spoken.factors.get(factor, 0.0) >= config.mention for spoken in utterances)
        if not mentions:
            continue
        counts = spoken_counts(utterances, config, factor).under(config.speech_ceiling)
        enough = counts.total >= config.min_counts
        estimate = (
            interval_estimate(counts, config)
            if enough
            else Estimate(abstained=Abstention.TOO_LITTLE_EVIDENCE)
        )
        found.append(FactorEstimate(factor=factor, estimate=estimate, mentions=min(mentions, 10_000)))
    return tuple(found)
