"""The judge of one session in a process of its own, and the supply that keeps one ready.

The words of a session are in its process only, and the process ends with the session: the system
takes its memory back and hands it to nobody unwiped. Loading an engine takes seconds, so the next
process is started when a session ends, before anybody speaks again.
"""

from __future__ import annotations

import base64
import json
import logging
import sys
import threading
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from inference.judgement import Judged, Judgement, packed
from inference.quotes import SealedQuote
from models.errors import TranscriberError
from models.speech_pieces import SAMPLE_RATE_HZ, checked_samples
from models.text_sentiment import NAME as TEXT_SENTIMENT
from models.transcriber_process import PIECE_LIMIT_S, TranscriberProcess
from models.transcribers import engine_of, engine_options, remedy_of, transcriber_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.judgement import SpokenSound
    from inference.quotes import QuoteSealing
    from models.registry import ModelFile, Registry

_log = logging.getLogger(__name__)


class SessionJudge:
    """Judges the utterances of one session in a process that ends with it.

    Args:
        process: The process; it is ended and reaped by `end`.
        sealing: How quotes are kept; None keeps nothing.
        ended: Told once, when the session is over.
    """

    def __init__(
        self,
        process: TranscriberProcess,
        *,
        sealing: QuoteSealing | None = None,
        ended: Callable[[SessionJudge], None] = lambda _judge: None,
    ) -> None:
        """Take a process, started or not."""
        self.process = process
        self._sealing = sealing
        self._told = ended
        self._lock = threading.Lock()
        self._over = False
        self._asked = 0

    def warm_up(self) -> None:
        """Start the process where it does not run yet.

        Raises:
            TranscriberError: It cannot be started.
        """
        self.process.warm_up()

    def judge(self, sound: SpokenSound) -> Judgement:
        """Judge one utterance.

        Raises:
            InputError: The samples are not mono int16.
            TranscriberUnusable: The process cannot be started, keeps dying, or the session is over.
            TranscriberError: It died twice on this utterance, refused it or gave no answer in time.
        """
        sequence, self._asked = self._asked, self._asked + 1
        samples = checked_samples(sound.samples)
        fields: dict[str, Any] = {
            "speech_s": sound.speech_s,
            "start_s": sound.start_s,
            "end_s": sound.end_s,
            "guard": asdict(sound.guard),
        }
        if self._sealing is not None:
            fields["sealing"] = {
                "key": base64.b64encode(self._sealing.key).decode("ascii"),
                "context": base64.b64encode(self._sealing.context).decode("ascii"),
                "sequence": sequence,
            }
        answer = self.process.ask(packed(fields, samples), samples.size / SAMPLE_RATE_HZ, "opinion")
        if self._sealing is not None and not self._over:
            for sealed in answer["sealed"]:
                self._sealing.take(SealedQuote(sequence, base64.b64decode(sealed)))
        opinion = answer["opinion"]
        return Judgement(
            opinion=None
            if opinion is None
            else Judged(
                opinion["negative"],
                opinion["neutral"],
                opinion["positive"],
                MappingProxyType(dict(opinion["factors"])),
                thin=opinion["thin"],
            ),
            transcription_cpu_s=answer["transcription_cpu_s"],
            text_cpu_s=answer["text_cpu_s"],
        )

    def end(self) -> None:
        """End the process and reap it; for any thread, and more than once."""
        with self._lock:
            first, self._over = not self._over, True
        self.process.close()
        if first:
            self._told(self)


class JudgeSupply:
    """Makes the judge of each session, and keeps a process ready for the next one once asked to.

    Args:
        transcriber: The verified file of the transcriber.
        sentiment: The verified file of the text model.
        threads: Threads that the engine may use.
        piece_limit_s: Longest wait for one utterance.
        command: Command line of the process; None runs the real one.
    """

    def __init__(
        self,
        transcriber: ModelFile,
        sentiment: ModelFile,
        *,
        threads: int = 1,
        piece_limit_s: float = PIECE_LIMIT_S,
        command: tuple[str, ...] | None = None,
    ) -> None:
        """Take verified files; nothing is started yet."""
        self._files = transcriber, sentiment
        self._threads = threads
        self._piece_limit_s = piece_limit_s
        self._command = command or _command(transcriber, sentiment, threads)
        self._lock = threading.Lock()
        self._spare: TranscriberProcess | None = None
        self._living: set[SessionJudge] = set()
        self._ahead = self._closed = False

    @classmethod
    def load(cls, registry: Registry, transcriber: str | None = None, *, threads: int = 1) -> Self:
        """Find the files of the transcriber and of the text model.

        Args:
            registry: Where files and cards are looked up.
            transcriber: `name` or `name@version` of a transcription card; None for `viet-asr`.
            threads: Threads that the engine may use.

        Raises:
            ModelError: A name is unknown, a file or a library is missing, or a file is not the one its
                card names.
        """
        return cls(transcriber_file(registry, transcriber), registry.locate(TEXT_SENTIMENT), threads=threads)

    def versions(self) -> tuple[tuple[str, str, str], ...]:
        """Return name, version and hash of transcriber and text model as a signal records them."""
        return tuple(file.version_of() for file in self._files)

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Ids of the processes that run: those of sessions, and the one that waits."""
        with self._lock:
            processes = [judge.process for judge in self._living]
            processes += [] if self._spare is None else [self._spare]
        return tuple(found for process in processes if (found := process.process_id) is not None)

    def keep_ready(self) -> None:
        """Start a process ahead, now and whenever a session has ended; returns at once."""
        with self._lock:
            self._ahead = True
        self._refill()

    def take(self, sealing: QuoteSealing | None = None) -> SessionJudge:
        """Return the judge of a new session; a process that waits is its own from now on."""
        with self._lock:
            process, self._spare = self._spare, None
            judge = SessionJudge(process or self._made(), sealing=sealing, ended=self._ended)
            self._living.add(judge)
            closed = self._closed
        if closed:
            judge.end()
        return judge

    def close(self) -> None:
        """End and reap every process; judges that are taken later are refused."""
        with self._lock:
            self._closed = True
            living, spare, self._spare = tuple(self._living), self._spare, None
        if spare is not None:
            spare.close()
        for judge in living:
            judge.end()

    def _ended(self, judge: SessionJudge) -> None:
        with self._lock:
            self._living.discard(judge)
        self._refill()

    def _refill(self) -> None:
        """Start the process that waits, where there is none and one is wanted."""
        with self._lock:
            if not self._ahead or self._closed or self._spare is not None:
                return
            self._spare = process = self._made()
        threading.Thread(target=self._start, args=(process,), name="judge-ahead", daemon=True).start()

    def _start(self, process: TranscriberProcess) -> None:
        try:
            process.warm_up()
        except TranscriberError as error:  # the session that takes it tries again, and says so
            if not self._closed:
                _log.warning("no process for the next session's words could be started ahead: %s", error)

    def _made(self) -> TranscriberProcess:
        engine = engine_of(self._files[0])
        return TranscriberProcess(
            engine,
            self._command,
            threads=self._threads,
            remedy=remedy_of(engine),
            piece_limit_s=self._piece_limit_s,
        )


def _command(transcriber: ModelFile, sentiment: ModelFile, threads: int) -> tuple[str, ...]:
    options = engine_options(transcriber, threads) | {"sentiment": str(sentiment.path)}
    # -P keeps the working folder off the process's import path.
    return (
        sys.executable,
        "-P",
        "-m",
        "inference.judge_process",
        engine_of(transcriber),
        json.dumps(options),
    )
