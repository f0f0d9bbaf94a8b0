"""Mood and arousal by quarter of the session, each with its interval; for people at the edge.

A quarter stands on a quarter of the evidence, so its interval is wide and many of them abstain.
It stays on the edge: the signal tells the change from start to end, and a finer time line would
make it easier to tell what was said when, for no figure that the centre publishes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Final

from inference.face_opinion import looks_counts, looks_of, own_start
from inference.fusion_config import FusionConfig
from inference.pseudo_counts import Z_90, Counts, joint_estimate, unit
from inference.spoken_opinion import spoken_counts, trust_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.face_moments import FaceEvidence
    from inference.signal import Estimate
    from inference.utterance_reader import SpokenEvidence
    from inference.voice_evidence import VoiceEvidence

_NS: Final = 1_000_000_000
_QUARTERS: Final = 4
_MIN_UTTERANCES: Final = 2
_UTTERANCE_VARIANCE: Final = 0.0225
"""Of arousal between utterances of one mood; one that is said alike is not believed to be certain."""
_TONE_DOUBT: Final = 0.01
"""Variance that remains however much was said."""


@dataclass(frozen=True, slots=True)
class Arousal:
    """Arousal of several utterances against the speaker's own start, 0 to 1, with its 90 % interval.

    Attributes:
        mean: Mean arousal, 0.5 as at the start; it has no direction between pleasure and anger.
        low: Lower end of the interval.
        high: Upper end.
        utterances: How many had a figure.
    """

    mean: float
    low: float
    high: float
    utterances: int


@dataclass(frozen=True, slots=True)
class Quarter:
    """One quarter of the session.

    Attributes:
        start_ns: Capture time of its start.
        end_ns: Capture time of its end.
        mood: Face and words of this quarter, as the session's own figure is made; may abstain.
        arousal: None with fewer than two utterances that had a figure.
        looks: Looks at the face that it stands on.
        utterances: Utterances that it stands on.
    """

    start_ns: int
    end_ns: int
    mood: Estimate
    arousal: Arousal | None
    looks: int
    utterances: int


def session_quarters(
    face: FaceEvidence | None,
    voice: VoiceEvidence | None,
    config: FusionConfig | None = None,
    *,
    span_ns: tuple[int, int] | None = None,
) -> tuple[Quarter, ...]:
    """Divide a session into four equal parts and read each.

    Args:
        face: None when the image purpose was not given.
        voice: None when the voice purpose was not given.
        config: Weights and limits.
        span_ns: Capture times of the session's start and end; by default those of the evidence.

    Returns:
        Four quarters, or none where a quarter would be shorter than one look at the face.
    """
    config = config or FusionConfig()
    start_ns, end_ns = span_ns or _span(face, voice)
    if end_ns - start_ns < _QUARTERS * config.look_s * _NS:
        return ()
    moments = sorted(face.moments, key=lambda moment: moment.captured_ns) if face else []
    looks, start = looks_of(moments, config), own_start(moments, config)
    utterances = sorted(voice.utterances, key=lambda spoken: spoken.start_ns) if voice else []
    trust = trust_of(voice, config)
    found = []
    for number in range(_QUARTERS):
        bounds = [start_ns + (end_ns - start_ns) * part // _QUARTERS for part in (number, number + 1)]

        def is_inside(at_ns: int, number: int = number) -> bool:
            part = (at_ns - start_ns) * _QUARTERS // (end_ns - start_ns)
            return min(max(part, 0), _QUARTERS - 1) == number

        seen = [look for look in looks if is_inside(look.start_ns)]
        spoken = [item for item in utterances if is_inside((item.start_ns + item.end_ns) // 2)]
        words = spoken_counts(spoken, config, trust=trust).under(config.speech_ceiling)
        counts = looks_counts(seen, start[0], config) if start is not None else Counts()
        mood = joint_estimate(words, counts, config)
        found.append(Quarter(bounds[0], bounds[1], mood, _arousal(spoken), len(seen), len(spoken)))
    return tuple(found)


def _span(face: FaceEvidence | None, voice: VoiceEvidence | None) -> tuple[int, int]:
    times = [moment.captured_ns for moment in face.moments] if face else []
    if voice is not None:
        times += [at_ns for item in voice.utterances for at_ns in (item.start_ns, item.end_ns)]
        times += [at_ns for at_ns in (voice.from_ns, voice.to_ns) if at_ns is not None]
    return (min(times), max(times)) if times else (0, 0)


def _arousal(spoken: Sequence[SpokenEvidence]) -> Arousal | None:
    figures = [unit(item.arousal) for item in spoken if item.arousal is not None]
    if len(figures) < _MIN_UTTERANCES:
        return None
    mean = fmean(figures)
    between = sum((figure - mean) ** 2 for figure in figures) / (len(figures) - 1)
    half = Z_90 * math.sqrt(_TONE_DOUBT + max(between, _UTTERANCE_VARIANCE) / len(figures))
    return Arousal(mean, min(mean, unit(mean - half)), max(mean, unit(mean + half)), len(figures))
