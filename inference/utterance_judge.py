"""From one utterance to an opinion without words: transcribe, guard, redact, judge.

The words live in the local variables of one call. `WordJudge` reads them in the process it is made
in; a session has one in a process of its own (`session_judge`), which ends with it, since what a
program has read stays in its memory until something else is written over it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from inference.quotes import RedactedQuote
from inference.redaction import redact
from inference.transcript_guard import GuardConfig, guard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from inference.quotes import Keep
    from models.text_sentiment import TextSentiment


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
    """

    negative: float
    neutral: float
    positive: float
    factors: Mapping[str, float]


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


class Words(Protocol):
    """Turns sound into words."""

    def transcribe(self, samples: NDArray[np.int16]) -> str:
        """Return the words of mono int16 samples at 16 kHz; empty where there are none."""


class WordJudge:
    """Reads words in this process: for evaluations, and inside a session's own process.

    Args:
        transcriber: Turns an utterance into words.
        sentiment: Turns words into an opinion.
        keep: Takes the redacted quote of each utterance; None keeps nothing.
        clock: Processor time of this process, seconds.
    """

    def __init__(
        self,
        transcriber: Words,
        sentiment: TextSentiment,
        *,
        keep: Keep | None = None,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        """Take what reads; neither is closed with this."""
        self._transcriber = transcriber
        self._sentiment = sentiment
        self._keep = keep
        self._clock = clock

    def warm_up(self) -> None:
        """Do nothing: what reads here is ready."""

    def judge(self, sound: SpokenSound) -> Judgement:
        """Judge one utterance; raises what the transcriber raises."""
        began = self._clock()
        words = self._transcriber.transcribe(sound.samples)
        heard = self._clock()
        opinion = self._opinion(words, sound)
        return Judgement(opinion, heard - began, self._clock() - heard)

    def end(self) -> None:
        """Do nothing: what it read with belongs to who made it."""

    def _opinion(self, words: str, sound: SpokenSound) -> Judged | None:
        guarded = guard(words, sound.speech_s, sound.guard)
        if not guarded.text:
            return None
        text = redact(guarded.text).text
        opinion = self._sentiment.read(text)
        if self._keep is not None:
            self._keep(RedactedQuote(sound.start_s, sound.end_s, tuple(opinion.factors), text))
        return Judged(
            opinion.negative, opinion.neutral, opinion.positive, MappingProxyType(dict(opinion.factors))
        )
