"""From one utterance to an opinion without words: transcribe, guard, redact, judge.

The words live in the local variables of one call. `WordJudge` reads them in the process it is made
in; a session has one in a process of its own (`session_judge`), which ends with it, since what a
program has read stays in its memory until something else is written over it.
"""

from __future__ import annotations

import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from inference.judgement import Judged, Judgement, SpokenSound
from inference.quotes import RedactedQuote
from inference.redaction import redact
from inference.transcript_guard import guard

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from inference.quotes import Keep
    from models.text_sentiment import Opinion

__all__ = ["SpokenSound", "TextJudge", "WordJudge", "Words"]


class Words(Protocol):
    """Turns sound into words."""

    def transcribe(self, samples: NDArray[np.int16]) -> str:
        """Return the words of mono int16 samples at 16 kHz; empty where there are none."""


class TextJudge(Protocol):
    """Turns redacted words into an opinion."""

    def read(self, text: str) -> Opinion:
        """Read one utterance."""


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
        sentiment: TextJudge,
        *,
        keep: Keep | None = None,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        """Take what reads; neither is closed with this."""
        self._transcriber = transcriber
        self._sentiment = sentiment
        self._keep = keep
        self._clock = clock
        self._over = threading.Event()

    def warm_up(self) -> None:
        """Do nothing: what reads here is ready."""

    def judge(self, sound: SpokenSound) -> Judgement:
        """Judge one utterance; raises what the transcriber raises."""
        began = self._clock()
        words = self._transcriber.transcribe(sound.samples)
        heard = self._clock()
        opinion = None if self._over.is_set() else self._opinion(words, sound)
        return Judgement(opinion, heard - began, self._clock() - heard)

    def end(self) -> None:
        """Judge no text any more; what it read with belongs to who made it."""
        self._over.set()

    def _opinion(self, words: str, sound: SpokenSound) -> Judged | None:
        guarded = guard(words, sound.speech_s, sound.guard)
        if not guarded.text:
            return None
        text = redact(guarded.text).text
        opinion = self._sentiment.read(text)
        if self._keep is not None:
            self._keep(RedactedQuote(sound.start_s, sound.end_s, tuple(opinion.factors), text))
        return Judged(
            opinion.negative,
            opinion.neutral,
            opinion.positive,
            MappingProxyType(dict(opinion.factors)),
            thin=opinion.thin,
        )
