"""Reads the citizen's utterances one after the other: their words are judged elsewhere, their tone here.

What judges them is made when a session's first sound comes and ends with the session. A session's
reads words in a process of its own: no text comes into this one.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from inference.judgement import SpokenSound
from inference.prosody import ArousalMeter, ProsodyConfig
from inference.signal import Factor
from models.errors import TranscriberError, TranscriberUnusable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inference.judgement import UtteranceJudge
    from inference.transcript_guard import GuardConfig
    from inference.utterances import Utterance

_NS: Final = 1_000_000_000


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
        thin: The words do not tell: no class is probable enough to be relied on.
    """

    start_ns: int
    end_ns: int
    negative: float
    neutral: float
    positive: float
    factors: Mapping[Factor, float]
    arousal: float | None
    thin: bool = False


@dataclass(frozen=True, slots=True)
class _Waiting:
    utterance: Utterance
    since_s: float


class UtteranceReader:
    """Reads utterances one after the other in a thread of its own, with a bounded queue.

    Args:
        judges: Makes what judges the words of one session.
        guard_config: Limits of believable text.
        prosody: Comparison of the voice with its own start.
        waiting: Utterances that may wait.
    """

    def __init__(
        self,
        judges: Callable[[], UtteranceJudge],
        *,
        guard_config: GuardConfig,
        prosody: ProsodyConfig,
        waiting: int,
    ) -> None:
        """Start with nothing read."""
        self._judges = judges
        self._guard = guard_config
        self._arousal = ArousalMeter(prosody)
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(maxsize=waiting)
        self._lock = threading.Lock()
        self._judge: UtteranceJudge | None = None
        self._thread: threading.Thread | None = None
        self._dropped = threading.Event()
        self._error: Exception | None = None
        self._evidence: list[SpokenEvidence] = []
        self._from_ns: int | None = None
        self._speech_s = 0.0
        self._refused = 0
        self._reading_s: list[float] = []

    def begin(self, from_ns: int) -> None:
        """Make ready for a session, whose first sound was captured then; returns at once."""
        if self._from_ns is None:
            self._from_ns = from_ns
        if self._thread is not None:
            return
        with self._lock:
            if self._dropped.is_set():  # dropped meanwhile: nothing is read any more
                return
            self._judge = judge = self._judges()
        self._thread = threading.Thread(
            target=self._work, args=(judge, self._from_ns), name="utterances", daemon=True
        )
        self._thread.start()

    def submit(self, utterance: Utterance) -> None:
        """Queue an utterance; waits while the queue is full, raises what an earlier one failed with."""
        self._raise()
        self.begin(utterance.start_ns)
        if self._thread is not None:
            self._queue.put(_Waiting(utterance, time.monotonic()))

    def wait(self) -> None:
        """Wait until everything queued is read and stay ready; raises what an utterance failed with."""
        self._queue.join()
        self._raise()

    def finish(self) -> None:
        """Wait until everything queued is read; raises what one of the utterances failed with."""
        self._stop()
        self._end_judge()
        self._raise()

    def abandon(self) -> None:
        """Read nothing more of what is queued or under way, until `drop`; for any thread.

        Whoever waits for it to be read is let go at once, without an error.
        """
        with self._lock:
            self._dropped.set()
        self._end_judge()

    def drop(self) -> None:
        """Forget what is queued and what was read; the result of a call under way is thrown away."""
        self.abandon()
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                break
            self._queue.task_done()
        self._stop()
        self._evidence.clear()
        self._reading_s.clear()
        self._arousal.forget()
        self._error, self._from_ns, self._speech_s, self._refused = None, None, 0.0, 0
        self._dropped.clear()

    @property
    def results(self) -> tuple[tuple[SpokenEvidence, ...], float, int]:
        """Evidence so far, seconds of speech read, and utterances refused."""
        return tuple(self._evidence), self._speech_s, self._refused

    @property
    def reading_s(self) -> tuple[float, ...]:
        """Seconds from the moment each utterance was handed over until its evidence was there."""
        return tuple(self._reading_s)

    def _stop(self) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _end_judge(self) -> None:
        with self._lock:
            judge, self._judge = self._judge, None
        if judge is not None:
            judge.end()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self, judge: UtteranceJudge, from_ns: int) -> None:
        with contextlib.suppress(TranscriberError):  # the first utterance tries again, and says so
            judge.warm_up()
        more = True
        while more:
            item = self._queue.get()
            more = item is not None
            try:
                if item is not None and self._error is None and not self._dropped.is_set():
                    self._read(judge, item.utterance, from_ns)
                    self._reading_s.append(time.monotonic() - item.since_s)
            except Exception as error:  # noqa: BLE001 - handed to the caller's thread by the next call
                if not self._dropped.is_set():  # what was told to give up did not fail
                    self._error = _without_frames(error)
            finally:
                self._queue.task_done()

    def _read(self, judge: UtteranceJudge, utterance: Utterance, from_ns: int) -> None:
        sound = SpokenSound(
            utterance.samples,
            utterance.speech_s,
            (utterance.start_ns - from_ns) / _NS,
            (utterance.end_ns - from_ns) / _NS,
            guard=self._guard,
        )
        try:
            opinion = judge.judge(sound).opinion
        except TranscriberUnusable:
            raise
        except TranscriberError:
            opinion = None  # the engine failed on this utterance alone: it counts among the refused
        arousal = self._arousal.arousal(utterance.samples)
        if self._dropped.is_set():
            return
        self._speech_s += utterance.speech_s
        if opinion is None:
            self._refused += 1
            return
        self._evidence.append(
            SpokenEvidence(
                start_ns=utterance.start_ns,
                end_ns=utterance.end_ns,
                negative=opinion.negative,
                neutral=opinion.neutral,
                positive=opinion.positive,
                factors=MappingProxyType({Factor(code): weight for code, weight in opinion.factors.items()}),
                arousal=arousal,
                thin=opinion.thin,
            )
        )


def _without_frames(error: Exception) -> Exception:
    """Take the frames off an error and its causes: their local variables hold sound, or words."""
    item: BaseException | None = error
    while item is not None:
        item.__traceback__ = None
        item = item.__cause__ or item.__context__
    return error
