"""From evidence to figures: how the session looked, by factor, and when it changed.

The order of doubt: words say *what*, tone says how strongly, the face says least; talk at
once takes weight from the words. Face and words together say *when* it changed. Everything
is pseudo-counts: each piece of evidence adds a bounded weight to positive, neutral or
negative, a uniform prior pulls to 0.5, and no channel can outgrow its ceiling however long
a session lasts. The figures are uncalibrated; `docs/perception.md` derives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.face_opinion import face_counts
from inference.fusion_config import FusionConfig
from inference.mood_change import mood_change
from inference.pseudo_counts import joint_estimate
from inference.session_quarters import Quarter, session_quarters
from inference.signal import MAX_SESSION, Change, Estimate, FactorEstimate, Quality
from inference.spoken_opinion import factors_spoken_of, spoken_counts, trust_of

if TYPE_CHECKING:
    from inference.face_moments import FaceEvidence
    from inference.voice_evidence import VoiceEvidence

__all__ = ["Fused", "FusionConfig", "fuse"]


@dataclass(frozen=True, slots=True)
class Fused:
    """What one session's evidence comes to; `quality` lacks the gaps, which the session knows.

    Attributes:
        overall: The figure of the session.
        factors: Figures of the factors that were spoken about.
        change: End less start.
        quality: How much evidence there was.
        quarters: Mood and arousal by quarter; they stay on the edge. Empty for a short session.
    """

    overall: Estimate
    factors: tuple[FactorEstimate, ...]
    change: Change
    quality: Quality
    quarters: tuple[Quarter, ...] = ()


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
    trust = trust_of(voice, config)
    words = spoken_counts(utterances, config, trust=trust).under(config.speech_ceiling)
    seen = face_counts(moments, config)
    return Fused(
        overall=joint_estimate(words, seen, config),
        factors=factors_spoken_of(utterances, config, trust=trust),
        change=mood_change(moments, utterances, config, trust=trust),
        quality=_quality(face, voice),
        quarters=session_quarters(face, voice, config),
    )


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
