"""What is asked about one utterance and what comes back: never a word.

Kept apart from what reads words, so that a program may ask for judgements without loading any of it.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from inference.transcript_guard import GuardConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

SIZES: Final = struct.Struct("<II")
"""First part of a request to another process: bytes of JSON, number of samples."""


@dataclass(frozen=True, slots=True)
class SpokenSound:
    """The sound of one utterance.

    Attributes:
        samples: int16, mono, 16 kHz.
        speech_s: Seconds of the citizen's speech in it.
        start_s: Its start, seconds from the session's first sound.
        end_s: Its end, the same way.
        guard: Limits of believable text.
    """

    samples: NDArray[np.int16]
    speech_s: float
    start_s: float = 0.0
    end_s: float = 0.0
    guard: GuardConfig = field(default_factory=GuardConfig)


@dataclass(frozen=True, slots=True)
class Judged:
    """What the words of one utterance say.

    Attributes:
        negative: Probability that it is negative.
        neutral: Probability that it is neutral.
        positive: Probability that it is positive.
        factors: Weight of each factor that it spoke about, by code.
        thin: The words do not tell: no class is probable enough to be relied on.
    """

    negative: float
    neutral: float
    positive: float
    factors: Mapping[str, float]
    thin: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of one utterance; no word of it.

    Attributes:
        opinion: What its words say; None where there were none or they were not believed.
        transcription_cpu_s: Processor time of turning sound into words.
        text_cpu_s: Processor time of guard, redaction and opinion.
    """

    opinion: Judged | None
    transcription_cpu_s: float = 0.0
    text_cpu_s: float = 0.0


class UtteranceJudge(Protocol):
    """Anything that judges the utterances of one session."""

    def warm_up(self) -> None:
        """Make ready, so that the first utterance does not wait.

        Raises:
            TranscriberError: It cannot be made ready.
        """

    def judge(self, sound: SpokenSound) -> Judgement:
        """Judge one utterance.

        Raises:
            TranscriberUnusable: Nothing can be read any more.
            TranscriberError: The engine failed on this utterance alone.
        """

    def end(self) -> None:
        """End with the session; for any thread. A call under way gives up, later ones are refused."""


def packed(fields: Mapping[str, Any], samples: NDArray[np.int16]) -> bytes:
    """Return a request as it goes to another process: sizes, JSON, int16 samples."""
    told = json.dumps(fields).encode()
    return SIZES.pack(len(told), samples.size) + told + samples.astype("<i2").tobytes()
