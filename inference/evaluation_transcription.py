"""Measures transcribers side by side: word errors, speed, memory, invented words, time to evidence.

Everything is measured in one run on the same recordings, so that engines can be compared even on a
machine that is busy: `cpu_s_per_s` counts processor time of the engine's process, `rtf` the clock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from inference.evaluation_latency import latency_figures, utterances_of
from inference.evaluation_speech import (
    RATE_HZ,
    ManifestError,
    SoundUnreadableError,
    load_sound,
    read_manifest,
)
from inference.roles import WINDOW
from inference.session_judge import JudgeSupply
from inference.sounds_without_speech import sounds
from inference.transcript_guard import guard
from inference.utterance_judge import WordJudge
from inference.word_errors import ErrorCount, character_errors, word_errors
from models.errors import InputError
from models.speech_pieces import split_at_quietest
from models.text_sentiment import TextSentiment
from models.transcribers import Transcriber, installed_transcribers, load_transcriber
from models.voice_activity import VoiceActivity, load_voice_activity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.registry import Registry
    from models.transcriber_process import ProcessUse

SEED: Final = 20260101
_RESAMPLES: Final = 2000
_MOST_THREADS: Final = 16
_SPEECH: Final = 0.5
_VOICES: Final = 24
"""Recordings of the manifest that the babble is mixed from."""
_LATENCY_RECORDINGS: Final = 24


class MeasuredTranscriber(Protocol):
    """A transcriber whose process can be started, weighed and ended."""

    name: str
    version: str
    sha256: str

    @property
    def lost_pieces(self) -> int:
        """Pieces that gave no text because the engine failed on them."""

    def warm_up(self) -> None:
        """Start the process."""

    def use(self) -> ProcessUse | None:
        """Return what the process used."""

    def transcribe(self, samples: NDArray[np.int16]) -> str:
        """Return the words."""

    def close(self) -> None:
        """End the process."""

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured beside the recordings.

    Attributes:
        threads: Threads of the engine, one measurement of speed each; words are read with the first.
        sounds_s: Length of each sound without speech; 0 leaves them out.
        latency: Whether the time from the end of an utterance to its evidence is measured.
    """

    threads: tuple[int, ...] = (1,)
    sounds_s: float = 60.0
    latency: bool = True


@dataclass(frozen=True, slots=True)
class Listening:
    """The networks of the voice path around the transcriber.

    Attributes:
        voice_activity: Makes a voice activity stream.
        sentiment: Turns words into an opinion.
        judges: Makes by name of the transcriber what a session takes its judge from, whose words stay
            in a process of their own; None leaves that path unmeasured.
    """

    voice_activity: Callable[[], VoiceActivity]
    sentiment: TextSentiment
    judges: Callable[[str], JudgeSupply] | None = None


@dataclass(frozen=True, slots=True)
class _Clip:
    samples: NDArray[np.int16]
    text: str


def measure(
    manifest: Path,
    registry: Registry,
    engine: str,
    plan: Plan,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Any]:
    """Measure one transcriber, or with `all` every one that is installed, by name.

    Raises:
        ManifestError: The manifest or a recording in it cannot be used.
        ModelError: The transcriber is unknown, not installed, or cannot be started.
    """
    network = load_voice_activity(registry)
    names = installed_transcribers(registry) if engine == "all" else (engine,)
    made = {name: partial(_made, registry, name) for name in names}
    if engine != "all":
        load_transcriber(registry, engine)  # an unknown name is said before sound is decoded
    listening = Listening(network.stream, TextSentiment.load(registry), partial(JudgeSupply.load, registry))
    figures = run(manifest, made, plan, listening, progress)
    return {"engines": {names[0]: figures}} if engine == "all" and len(names) == 1 else figures


def _made(registry: Registry, name: str, threads: int) -> MeasuredTranscriber:
    return load_transcriber(registry, name, threads=threads)


def thread_counts(text: str) -> tuple[int, ...]:
    """Read a list such as `1,2`.

    Raises:
        InputError: It is none, or a count is not between 1 and 16.
    """
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if not counts or not all(1 <= count <= _MOST_THREADS for count in counts):
        raise InputError(f"'{text}' is no list of threads: give counts of 1 to {_MOST_THREADS}, such as 1,2.")
    return tuple(dict.fromkeys(counts))


def run(
    manifest: Path,
    engines: Mapping[str, Callable[[int], MeasuredTranscriber]],
    plan: Plan | None = None,
    listening: Listening | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Any]:
    """Measure each engine on every recording of a manifest.

    Args:
        manifest: JSON Lines file.
        engines: By name, what makes a transcriber with so many threads.
        plan: What is measured beside the recordings.
        listening: The rest of the voice path; without it there are neither sounds nor latency.
        progress: Told recordings done and all of them, over all engines.

    Returns:
        The figures of the engine, or with several `engines`, figures by name. See docs/voice.md.

    Raises:
        ManifestError: The manifest or a recording in it cannot be used.
        TranscriberError: An engine cannot be started.
    """
    asked = plan or Plan()
    clips = _clips(manifest)
    total = len(clips) * len(engines) * len(asked.threads)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    figures = {name: _engine_figures(make, clips, asked, listening, step) for name, make in engines.items()}
    return figures.popitem()[1] if len(figures) == 1 else {"engines": figures}


def _clips(manifest: Path) -> list[_Clip]:
    clips = []
    for recording in read_manifest(manifest):
        try:
            clips.append(_Clip(load_sound(recording.audio)[0], recording.text))
        except SoundUnreadableError as error:
            raise ManifestError(f"{manifest}, line {recording.line}: {error}") from error
    return clips


def _engine_figures(
    make: Callable[[int], MeasuredTranscriber],
    clips: Sequence[_Clip],
    plan: Plan,
    listening: Listening | None,
    step: Callable[[], None],
) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    speeds: dict[str, Any] = {}
    for threads in plan.threads:
        transcriber = make(threads)
        try:
            heard, speed = _read(transcriber, clips, step)
            speeds[str(threads)] = speed
            if figures:
                continue
            figures = _errors(clips, heard) | {
                "rtf": speed["rtf"],
                "n": len(clips),
                "audio_s": round(_length_s(clips), 2),
                "empty": sum(not text.strip() for text in heard),
                "lost_pieces": transcriber.lost_pieces,
                "model": transcriber.name,
                "version": transcriber.version,
                "sha256": transcriber.sha256,
            }
            if listening is not None and plan.sounds_s:
                figures["invented"] = _invented(transcriber, clips, plan.sounds_s, listening)
            if listening is not None and plan.latency:
                some = [clip.samples for clip in clips[:_LATENCY_RECORDINGS]]
                figures |= _latency(some, transcriber, listening)
        finally:
            transcriber.close()
    return figures | {"speed": speeds}


def _latency(
    recordings: Sequence[NDArray[np.int16]], transcriber: MeasuredTranscriber, listening: Listening
) -> dict[str, Any]:
    """Return the time to evidence with words read in this process, and as in a session."""
    figures = {
        "latency": latency_figures(
            recordings, lambda: WordJudge(transcriber, listening.sentiment), listening.voice_activity
        )
    }
    if listening.judges is None:
        return figures
    supply = listening.judges(f"{transcriber.name}@{transcriber.version}")
    try:
        apart = latency_figures(recordings, supply.take, listening.voice_activity)
    finally:
        supply.close()
    return figures | {"latency_session_process": apart}


def _length_s(clips: Sequence[_Clip]) -> float:
    return sum(clip.samples.size for clip in clips) / RATE_HZ


def _read(
    transcriber: MeasuredTranscriber, clips: Sequence[_Clip], step: Callable[[], None]
) -> tuple[list[str], dict[str, float | None]]:
    """Transcribe every recording; the start of the engine is not part of its speed."""
    started = time.perf_counter()
    transcriber.warm_up()
    start_s = time.perf_counter() - started
    transcriber.transcribe(np.zeros(RATE_HZ, dtype=np.int16))
    before = transcriber.use()
    spent_s = 0.0
    heard = []
    for clip in clips:
        started = time.perf_counter()
        heard.append(transcriber.transcribe(clip.samples))
        spent_s += time.perf_counter() - started
        step()
    after = transcriber.use()
    length_s = max(_length_s(clips), 1e-9)
    used_s = None if before is None or after is None else after.cpu_s - before.cpu_s
    return heard, {
        "rtf": round(spent_s / length_s, 4),
        # A process that was started again has used less than before: its figure would mean nothing.
        "cpu_s_per_s": None if used_s is None or used_s < 0 else round(used_s / length_s, 4),
        "peak_mib": round(after.peak_mib, 1) if after is not None else None,
        "start_s": round(start_s, 2),
    }


def _errors(clips: Sequence[_Clip], heard: Sequence[str]) -> dict[str, Any]:
    pairs = list(zip(clips, heard, strict=True))
    figures: dict[str, Any] = {}
    for name, count in (("wer", word_errors), ("cer", character_errors)):
        each = [count(clip.text, text) for clip, text in pairs]
        figures[name] = round(sum(each, ErrorCount()).rate, 4)
        figures[f"{name}_interval"] = _interval(each)
        if name == "wer":
            figures["words"] = sum(item.length for item in each)
    return figures


def _interval(each: Sequence[ErrorCount]) -> list[float]:
    """Return the 95 % interval of a rate, by drawing recordings again with a fixed seed."""
    errors = np.array([item.errors for item in each], np.float64)
    lengths = np.array([item.length for item in each], np.float64)
    drawn = np.random.default_rng(SEED).integers(len(each), size=(_RESAMPLES, len(each)))
    rates = errors[drawn].sum(axis=1) / np.maximum(lengths[drawn].sum(axis=1), 1.0)
    return [round(float(bound), 4) for bound in np.quantile(rates, (0.025, 0.975))]


def _invented(
    transcriber: Transcriber, clips: Sequence[_Clip], length_s: float, listening: Listening
) -> dict[str, Any]:
    """Count the words that sounds without speech give.

    `engine`: of the engine alone. `guarded`: behind the guard, told how much of it sounds like speech.
    `session`: at the end of the whole path, where both microphones hear a sound of this kind equally loud.
    """
    voices = [clip.samples for clip in clips[:_VOICES]]
    figures = {}
    pairs = zip(sounds(length_s, SEED, voices), sounds(length_s, SEED + 1, voices), strict=True)
    for (name, sound), (_, elsewhere) in pairs:
        engine = guarded = session = 0
        for piece in split_at_quietest(sound):
            text = transcriber.transcribe(piece)
            engine += len(text.split())
            guarded += len(guard(text, _speech_s(piece, listening.voice_activity())).text.split())
        for ended in utterances_of(np.stack([sound, elsewhere]), listening.voice_activity):
            text = transcriber.transcribe(ended.utterance.samples)
            session += len(guard(text, ended.utterance.speech_s).text.split())
        figures[name] = {"engine": engine, "guarded": guarded, "session": session}
    return {"seconds": length_s, "words": figures}


def _speech_s(piece: NDArray[np.int16], detector: VoiceActivity) -> float:
    windows = piece[: piece.size // WINDOW * WINDOW].reshape(-1, WINDOW)
    return sum(detector.probability(window) > _SPEECH for window in windows) * WINDOW / RATE_HZ
