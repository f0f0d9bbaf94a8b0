"""Mood at the end of a session less mood at its start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Final

from inference.face_opinion import Look, looks_of
from inference.fusion_config import FusionConfig
from inference.pseudo_counts import Z_90, signed
from inference.signal import Abstention, Change
from inference.spoken_opinion import spoken_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.face_moments import FaceMoment
    from inference.utterance_reader import SpokenEvidence

_NS: Final = 1_000_000_000
_STEP_PRIOR: Final = 0.25
"""Variance of the change before any evidence: it pulls towards no change."""
_FACE_DOUBT: Final = 0.04
_WORDS_DOUBT: Final = 0.06
"""Variance that remains of each channel however long it is watched."""
_MIN_LOOKS: Final = 4
"""Two looks on either side: a single one has no spread."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One channel's change and its variance."""

    delta: float
    variance: float


def mood_change(
    moments: Sequence[FaceMoment],
    utterances: Sequence[SpokenEvidence],
    config: FusionConfig,
    *,
    trust: float = 1.0,
) -> Change:
    """Weigh the change of face and of words by their certainty."""
    if not moments and not utterances:
        return Change(abstained=Abstention.NO_EVIDENCE)
    steps = [step for step in (_face_step(moments, config), _words_step(utterances, config, trust)) if step]
    if not steps:
        return Change(abstained=Abstention.TOO_LITTLE_EVIDENCE)
    precision = 1 / _STEP_PRIOR + sum(1 / step.variance for step in steps)
    delta = signed(sum(step.delta / step.variance for step in steps) / precision)
    half = Z_90 / math.sqrt(precision)
    return Change(delta=delta, low=min(delta, signed(delta - half)), high=max(delta, signed(delta + half)))


def compared_looks(
    moments: Sequence[FaceMoment], config: FusionConfig | None = None
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return which capture times of the face the change compares: start and end of both parts.

    None when there are too few looks for a change of the face.
    """
    config = config or FusionConfig()
    looks = looks_of(moments, config)
    if len(looks) < _MIN_LOOKS:
        return None
    (first, last), length_ns = _ends(looks, config), int(config.look_s * _NS)
    return (
        (looks[0].start_ns, looks[first - 1].start_ns + length_ns),
        (looks[-last].start_ns, looks[-1].start_ns + length_ns),
    )


def _ends(looks: Sequence[Look], config: FusionConfig) -> tuple[int, int]:
    """Return how many looks are start and end: a third each, the start no longer than `start_s`."""
    third = max(2, len(looks) // 3)
    return min(third, max(2, round(config.start_s / config.look_s))), third


def _face_step(moments: Sequence[FaceMoment], config: FusionConfig) -> _Step | None:
    """Compare the last third of the face with its start; at least two looks in each."""
    looks = looks_of(moments, config)
    if len(looks) < _MIN_LOOKS:
        return None
    first, last = _ends(looks, config)
    start = [look.valence / 2 for look in looks[:first]]
    end = [look.valence / 2 for look in looks[-last:]]
    return _Step(median(end) - median(start), _FACE_DOUBT + _mean_variance(start) + _mean_variance(end))


def _words_step(utterances: Sequence[SpokenEvidence], config: FusionConfig, trust: float) -> _Step | None:
    """Compare the later half of what was said with the earlier one."""
    half = len(utterances) // 2
    if half < 2:  # noqa: PLR2004 - two utterances on either side
        return None
    parts = [spoken_counts(part, config, trust=trust) for part in (utterances[:half], utterances[-half:])]
    start, end = (
        (part.positive + part.neutral / 2 + config.prior) / (part.total + 2 * config.prior) for part in parts
    )
    doubt = sum(0.25 / (part.total + 2 * config.prior) for part in parts)
    return _Step(end - start, _WORDS_DOUBT + doubt)


def _mean_variance(values: Sequence[float]) -> float:
    """Variance of the mean of looks; a quiet stretch is not believed to be certain."""
    middle = fmean(values)
    return (sum((value - middle) ** 2 for value in values) + 0.02) / (len(values) * (len(values) - 1))
