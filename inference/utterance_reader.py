"""Reads the citizen's utterances: transcribe, guard, redact, judge.

The words live in the local variables of one call. What stays is the opinion they
gave; neither the queue nor the evidence holds text.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from inference.prosody import ArousalMeter, ProsodyConfig
from inference.redaction import redact
from inference.signal import Factor
from inference.transcript_guard import GuardConfig, guard
from models.errors import TranscriberError, TranscriberUnusable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference.utterances import Utterance
    from models.text_sentiment import TextSentiment
    from models.transcribers import Transcriber


@dataclass(frozen=True, slots=True)
class SpokenEvidence:
    """What one utterance of the citizen said about their satisfaction; no text.

    Attributes:
        start_ns: Capture time of its start.
        end_ns: Capture time of its end.
        negative: Probability that it is negative.
        neutral: Probability that it is neutral.
        positive: Probability that it is positive.
        factors: Weight of each factor that it spoke about.
        arousal: Voice against the speaker's own start, 0.5 as there; None without a basis.
    """

    start_ns: int
    end_ns: int
    negative: float
    neutral: float
    positive: float
    factors: Mapping[Factor, float]
    arousal: float | None


class UtteranceReader:
    """Reads utterances one after the other in a thread of its own, with a bounded queue."""

    def __init__(
        self,
        transcriber: Transcriber,
        sentiment: TextSentiment,
        *,
        guard_config: GuardConfig,
        prosody: ProsodyConfig,
        waiting: int,
    ) -> None:
        """Start with nothing read; at most `waiting` utterances are queued."""
        self._transcriber = transcriber
        self._sentiment = sentiment
        self._guard = guard_config
        self._arousal = ArousalMeter(prosody)
        self._queue: queue.Queue[Utterance | None] = queue.Queue(maxsize=waiting)
        self._thread: threading.Thread | None = None
        self._dropped = threading.Event()
        self._error: Exception | None = None
        self._evidence: list[SpokenEvidence] = []
        self._speech_s = 0.0
        self._refused = 0

    def submit(self, utterance: Utterance) -> None:
        """Queue an utterance; waits while the queue is full, raises what an earlier one failed with."""
        self._raise()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="utterances", daemon=True)
            self._thread.start()
        self._queue.put(utterance)

    def finish(self) -> None:
        """Wait until everything queued is read; raises what one of the utterances failed with."""
        self._stop()
        self._raise()

    def abandon(self) -> None:
        """Read nothing more of what is queued or under way, until `drop`; for any thread."""
        self._dropped.set()

    def drop(self) -> None:
        """Forget what is queued and what was read; the result of a call under way is thrown away."""
        self.abandon()
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                break
        self._stop()
        self._evidence.clear()
        self._arousal.forget()
        self._error, self._speech_s, self._refused = None, 0.0, 0
        self._dropped.clear()

    @property
    def results(self) -> tuple[tuple[SpokenEvidence, ...], float, int]:
        """Evidence so far, seconds of speech read, and utterances refused."""
        return tuple(self._evidence), self._speech_s, self._refused

    def _stop(self) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (utterance := self._queue.get()) is not None:
            if self._error is not None or self._dropped.is_set():
                continue
            try:
                self._read(utterance)
            except Exception as error:  # noqa: BLE001 - handed to the caller's thread by the next call
                self._error = _without_frames(error)

    def _read(self, utterance: Utterance) -> None:
        try:
            words = self._transcriber.transcribe(utterance.samples)
        except TranscriberUnusable:
            raise
        except TranscriberError:
            words = ""  # the engine failed on this utterance alone: it counts among the refused
        guarded = guard(words, utterance.speech_s, self._guard)
        arousal = self._arousal.arousal(utterance.samples)
        if self._dropped.is_set():
            return
        self._speech_s += utterance.speech_s
        if not guarded.text:
            self._refused += 1
            return
        opinion = self._sentiment.read(redact(guarded.text).text)
        self._evidence.append(
            SpokenEvidence(
                start_ns=utterance.start_ns,
                end_ns=utterance.end_ns,
                negative=opinion.negative,
                neutral=opinion.neutral,
                positive=opinion.positive,
                factors=MappingProxyType({Factor(code): weight for code, weight in opinion.factors.items()}),
                arousal=arousal,
            )
        )


def _without_frames(error: Exception) -> Exception:
    """Take the frames off an error and its causes: their local variables hold the words."""
    item: BaseException | None = error
    while item is not None:
        item.__traceback__ = None
        item = item.__cause__ or item.__context__
    return error
