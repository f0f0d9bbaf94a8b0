"""Speech to text behind one protocol; each engine runs in a child process that may die without harm."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import numpy as np

from models import faster_whisper, viet_asr, whisper
from models.card import Task
from models.errors import LibraryMissing, TranscriberError, TranscriberUnusable, UnknownModel
from models.speech_pieces import MIN_PIECE_S, SAMPLE_RATE_HZ, checked_samples, split_at_quietest
from models.transcriber_process import PIECE_LIMIT_S, TranscriberProcess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.registry import ModelFile, Registry
    from models.transcriber_process import ProcessUse

__all__ = [
    "DEFAULT",
    "EngineTranscriber",
    "Transcriber",
    "installed_transcribers",
    "load_transcriber",
    "plain_words",
]

DEFAULT: Final = viet_asr.NAME
_ENGINES: Final = {engine.NAME: engine for engine in (viet_asr, faster_whisper, whisper)}
_MARKS: Final = re.compile(r"(?<!\d)[^\w\s%/@+-]|[^\w\s%/@+-](?!\d)|(?<!\w)[-/]|[-/](?!\w)|_")
"""Punctuation between words; marks inside numbers, dates and addresses stay."""

_log = logging.getLogger(__name__)


class Transcriber(Protocol):
    """Anything that turns speech into text."""

    @property
    def name(self) -> str:
        """Name on the model card."""

    @property
    def version(self) -> str:
        """Version on the model card."""

    @property
    def sha256(self) -> str:
        """Hash of the verified model file."""

    def transcribe(self, samples: NDArray[np.int16]) -> str:
        """Return the words of mono int16 samples at 16 kHz; empty where there are none.

        Words are in lower case with single spaces between them and no punctuation.
        """

    def close(self) -> None:
        """Let go of the model."""

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""


def plain_words(text: str) -> str:
    """Bring an engine's text to the one form that redaction and sentiment are made for.

    Unicode NFC, lower case, single spaces, no line ends, no punctuation but inside numbers.
    """
    return " ".join(_MARKS.sub(" ", unicodedata.normalize("NFC", text)).lower().split())


class EngineTranscriber:
    """One engine in a process of its own, which is started when first needed.

    Thread-safe: calls wait for one another. See `TranscriberProcess` for how it is watched.

    Args:
        file: The verified file of the network.
        threads: Threads that the engine may use.
        piece_limit_s: Longest wait for the text of one piece.
        command: Command line of the child process; None runs the real one.
    """

    def __init__(
        self,
        file: ModelFile,
        *,
        threads: int = 1,
        piece_limit_s: float = PIECE_LIMIT_S,
        command: tuple[str, ...] | None = None,
    ) -> None:
        """Take a verified file; nothing is started yet."""
        self.name, self.version, self.sha256 = file.version_of()
        self.engine = engine_of(file)
        self.process = TranscriberProcess(
            self.engine,
            command or _command(file, self.engine, threads),
            threads=threads,
            remedy=remedy_of(self.engine),
            piece_limit_s=piece_limit_s,
        )
        self._lost = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    @property
    def lost_pieces(self) -> int:
        """Pieces of speech that gave no text because the engine failed on them."""
        return self._lost

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""
        return self.name, self.version, self.sha256

    def use(self) -> ProcessUse | None:
        """Return what the engine's process has used so far; None where it does not run."""
        return self.process.use()

    def warm_up(self) -> None:
        """Start the process now, so that the first sentence does not wait for it.

        Raises:
            TranscriberError: It cannot be started.
        """
        self.process.warm_up()

    def transcribe(self, samples: NDArray[np.int16], sample_rate_hz: int = SAMPLE_RATE_HZ) -> str:
        """Return the words spoken; empty where there are none.

        Speech longer than 15 s is cut at its quietest points. The text of a piece on which the engine
        fails is missing and counted in `lost_pieces`; where no piece could be read, the failure is raised.

        Args:
            samples: int16, shape (n,), 16 kHz.
            sample_rate_hz: Rate of the samples; anything but 16 000 is refused.

        Raises:
            InputError: The samples are of another kind.
            TranscriberTimeout: The process gave no answer in time (it was ended).
            TranscriberUnusable: It cannot be started or keeps dying.
            TranscriberError: It died twice on the same piece, or refused it.
        """
        checked = checked_samples(samples, sample_rate_hz)
        pieces = [piece for piece in split_at_quietest(checked) if piece.size >= MIN_PIECE_S * SAMPLE_RATE_HZ]
        texts: list[str] = []
        failure: TranscriberError | None = None
        for piece in pieces:
            try:
                texts.append(plain_words(self.process.read(np.ascontiguousarray(piece))))
            except TranscriberUnusable:
                raise
            except TranscriberError as error:
                self._lost += 1
                failure = error
                _log.warning("%s lost %.1f s of speech: %s", self.name, piece.size / SAMPLE_RATE_HZ, error)
        if failure is not None and not texts:
            raise failure
        return " ".join(text for text in texts if text)

    def close(self) -> None:
        """End the process and reap it; later calls are refused."""
        self.process.close()


def engine_of(file: ModelFile) -> str:
    """Return the name of the engine that runs a transcription model.

    Raises:
        UnknownModel: The model is no transcriber, or its card names an engine that is none of ours.
    """
    engine = file.card.engine or file.card.name
    if file.card.task is not Task.TRANSCRIPTION:
        raise UnknownModel(f"'{file.card.key}' is not a transcriber, it is for {file.card.task.value}.")
    if engine not in _ENGINES:
        raise UnknownModel(
            f"The card of {file.card.key} names the engine '{engine}'. Engines are: {', '.join(_ENGINES)}."
        )
    return engine


def load_transcriber(registry: Registry, name: str | None = None, *, threads: int = 1) -> EngineTranscriber:
    """Load a transcriber; its process starts when first needed.

    Args:
        registry: Where files and cards are looked up.
        name: `name` or `name@version` of a transcription card; None for `viet-asr`.
        threads: Threads that the engine may use.

    Raises:
        ModelError: As `transcriber_file`.
    """
    return EngineTranscriber(transcriber_file(registry, name), threads=threads)


def transcriber_file(registry: Registry, name: str | None = None) -> ModelFile:
    """Find and verify the file of a transcriber whose library is installed.

    Args:
        registry: Where files and cards are looked up.
        name: `name` or `name@version` of a transcription card; None for `viet-asr`.

    Raises:
        UnknownModel: The name is not a transcriber's.
        LibraryMissing: The engine's library is not installed.
        ModelFileMissing: A file of the model is nowhere.
        ModelHashMismatch: A file is not the one the card describes.
    """
    wanted = name or DEFAULT
    cards = registry.cards(Task.TRANSCRIPTION)
    if not any(wanted in {card.name, card.key} for card in cards):
        advice = (
            " It needs a checkpoint and a card of yours: see 'Your own transcriber' in docs/models.md."
            if wanted == whisper.NAME
            else ""
        )
        raise UnknownModel(
            f"'{wanted}' is not a transcriber. Transcribers are: {', '.join(card.key for card in cards)}."
            + advice
        )
    if wanted in _ENGINES:
        _require(wanted)  # before a missing file is spoken of: without the library it is of no use
    file = registry.locate(wanted)
    _require(engine_of(file))
    return file


def installed_transcribers(registry: Registry) -> tuple[str, ...]:
    """Return the keys of the transcription cards whose file and library are both here, the default first."""
    found = []
    for card in registry.cards(Task.TRANSCRIPTION):
        engine = card.engine or card.name
        if engine in _ENGINES and not _absent(engine) and registry.find(card) is not None:
            found.append(card.key)
    return tuple(sorted(found, key=lambda key: (key.partition("@")[0] != DEFAULT, key)))


def _absent(engine: str) -> list[str]:
    return [module for module in _ENGINES[engine].MODULES if not _importable(module)]


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _require(engine: str) -> None:
    absent = _absent(engine)
    if absent:
        raise LibraryMissing(
            f"Speech cannot be read by {engine}: {', '.join(absent)} not installed. {remedy_of(engine)}"
        )


def remedy_of(engine: str) -> str:
    """Return what to do where an engine does not start."""
    return (
        f"Install it with 'pip install hailong[{_ENGINES[engine].EXTRA}]', or choose another transcriber "
        "under [voice]."
    )


def engine_options(file: ModelFile, threads: int) -> dict[str, Any]:
    """Return what an engine's process is told about its files."""
    return {
        "model": str(file.path),
        "beside": {name: str(path) for name, path in file.beside},
        "threads": threads,
        "beam": _ENGINES[engine_of(file)].BEAM,
    }


def _command(file: ModelFile, engine: str, threads: int) -> tuple[str, ...]:
    options = engine_options(file, threads)
    # -P keeps this package's folder off the child's import path.
    script = str(Path(__file__).with_name("asr_process.py"))
    return (sys.executable, "-P", script, engine, json.dumps(options))
