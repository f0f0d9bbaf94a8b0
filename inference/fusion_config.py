"""Weights and limits of the fusion; `docs/perception.md` derives them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FusionConfig:
    """Weights and limits of the fusion.

    Attributes:
        prior: Pseudo-counts of the prior on either side.
        neutral_weight: Weight of an utterance without opinion beside one with.
        neutral_face_weight: The same of a face without direction.
        thin_weight: Weight of an utterance whose words do not tell, beside one whose do: fewer
            counts, a wider interval. `docs/text.md` shows what it was chosen by.
        tone_weight: What the strongest arousal adds to the weight of an utterance.
        crosstalk_weight: Part of the words' weight that is lost where all of the citizen's speech was
            spoken into: what was heard of it is in pieces.
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
    thin_weight: float = 0.5
    tone_weight: float = 0.5
    crosstalk_weight: float = 0.5
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
