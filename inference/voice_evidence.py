"""Permitted sound in, evidence without a word of text out.

Each window is named by its speaker and the citizen's speech is cut into utterances,
which `utterance_reader` has judged while the session goes on. The officer's speech ends
at the role gate and reaches nothing behind it.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from inference.dialogue import DialogueConfig, DialogueDynamics, DialogueMeter
from inference.errors import InferenceError
from inference.prosody import ProsodyConfig
from inference.roles import WINDOW, WINDOW_S, ChannelWindow, Role, RoleConfig, RoleTracker, window_power
from inference.transcript_guard import GuardConfig
from inference.utterance_reader import SpokenEvidence, UtteranceReader
from inference.utterances import RATE_HZ, UtteranceConfig, UtteranceCutter

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from consent.gate import Permitted
    from inference.judgement import UtteranceJudge
    from inference.media import AudioChunk
    from models.voice_activity import VoiceActivity

__all__ = ["AudioFormatUnsupportedError", "SpokenEvidence", "VoiceConfig", "VoiceEvidence", "VoiceReader"]

_NS: Final = 1_000_000_000
_MAX_CHANNELS: Final = 2
_AXES: Final = 2  # channels, samples


class AudioFormatUnsupportedError(InferenceError, ValueError):
    """A chunk that is not 16 kHz int16 with one or two channels reached the reader."""


@dataclass(frozen=True, slots=True)
class VoiceConfig:
    """How voice is read.

    Attributes:
        roles: Naming of the speaker.
        utterances: Cutting into utterances.
        guard: Limits of believable text.
        prosody: Comparison of the voice with its own start.
        dialogue: What counts as a turn and as talking at once.
        gap_s: A hole in the time line from this length on is a gap and ends the utterance.
        waiting_s: Silence from this length on counts as waiting.
        waiting_utterances: Utterances that may wait for the recogniser; then `hear` waits.
    """

    roles: RoleConfig = field(default_factory=RoleConfig)
    utterances: UtteranceConfig = field(default_factory=UtteranceConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)
    prosody: ProsodyConfig = field(default_factory=ProsodyConfig)
    dialogue: DialogueConfig = field(default_factory=DialogueConfig)
    gap_s: float = 0.1
    waiting_s: float = 5.0
    waiting_utterances: int = 8


@dataclass(frozen=True, slots=True)
class VoiceEvidence:
    """What the voice of one session gave; nothing in it scores the officer.

    Attributes:
        utterances: The citizen's utterances that gave text, in order.
        speech_s: Seconds of the citizen's own speech that were read.
        dropped_s: Seconds of speech dropped because the speaker was unsure.
        noise_dbfs: Level of the citizen's channel outside speech; None when none was heard.
        heard_s: Seconds of sound.
        silence_s: Seconds in which nobody spoke.
        waiting_s: The part of them in stretches of several seconds.
        gaps: Holes in the time line.
        gap_s: Seconds they lasted together.
        refused: Utterances whose transcript was not believed or held no words.
        dialogue: How the two people talked, without direction.
        from_ns: Capture time of the first sound; None before it.
        to_ns: Capture time of the end of the last.
        reading_s: Seconds from the moment each utterance was cut until its evidence was there.
    """

    utterances: tuple[SpokenEvidence, ...] = ()
    speech_s: float = 0.0
    dropped_s: float = 0.0
    noise_dbfs: float | None = None
    heard_s: float = 0.0
    silence_s: float = 0.0
    waiting_s: float = 0.0
    gaps: int = 0
    gap_s: float = 0.0
    refused: int = 0
    dialogue: DialogueDynamics = field(default_factory=DialogueDynamics)
    from_ns: int | None = None
    to_ns: int | None = None
    reading_s: tuple[float, ...] = ()


@dataclass(slots=True)
class _Tally:
    """Counts of one session, in windows or seconds."""

    windows: int = 0
    silent: int = 0
    waiting: int = 0
    unsure: int = 0
    stretch: int = 0
    gaps: int = 0
    gap_s: float = 0.0
    from_ns: int | None = None
    to_ns: int | None = None

    def add(self, role: Role, waiting_windows: int) -> None:
        self.windows += 1
        if role in {Role.UNSURE, Role.BOTH}:
            self.unsure += 1
        if role is not Role.NOBODY:
            self.stretch = 0
            return
        self.silent += 1
        self.stretch += 1
        if self.stretch == waiting_windows:
            self.waiting += waiting_windows
        elif self.stretch > waiting_windows:
            self.waiting += 1


class VoiceReader:
    """Reads the voice of one session; `purge` may come from another thread at any time.

    Args:
        vad_factory: Makes one voice activity stream for each channel.
        judges: Makes what judges the words of a session; it is ended by `finish` and by `purge`.
        config: Thresholds.
    """

    def __init__(
        self,
        vad_factory: Callable[[], VoiceActivity],
        judges: Callable[[], UtteranceJudge],
        config: VoiceConfig | None = None,
    ) -> None:
        """Start with nothing heard."""
        self._vad_factory = vad_factory
        self._config = config or VoiceConfig()
        self._reader = UtteranceReader(
            judges,
            guard_config=self._config.guard,
            prosody=self._config.prosody,
            waiting=self._config.waiting_utterances,
        )
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._vads: list[VoiceActivity] = []
        self._tracker = RoleTracker(self._config.roles)
        self._cutter = UtteranceCutter(self._config.utterances)
        self._undecided: deque[tuple[NDArray[np.int16], int]] = deque()
        self._rest: NDArray[np.int16] | None = None
        self._rest_ns = 0
        self._segment = 0
        self._tally = _Tally()
        self._dialogue = DialogueMeter(self._config.dialogue)

    def hear(self, chunk: Permitted[AudioChunk]) -> None:
        """Take the next permitted chunk; utterances that end in it go to the recogniser.

        Raises:
            AudioFormatUnsupportedError: The chunk is not 16 kHz int16 with one or two channels.
        """
        with self._lock:
            audio = chunk.open()  # under the lock: no sound may come in behind a purge
            _check(audio)
            self._hear(audio)

    def finish(self) -> None:
        """End the utterance under way and wait until all of them are read."""
        with self._lock:
            try:
                self._break()
            finally:
                self._reader.finish()

    def evidence(self) -> VoiceEvidence:
        """Return what was read so far; complete after `finish`."""
        utterances, speech_s, refused = self._reader.results
        tally = self._tally
        return VoiceEvidence(
            utterances=utterances,
            speech_s=speech_s,
            dropped_s=tally.unsure * WINDOW_S,
            noise_dbfs=self._tracker.noise_dbfs,
            heard_s=tally.windows * WINDOW_S,
            silence_s=tally.silent * WINDOW_S,
            waiting_s=tally.waiting * WINDOW_S,
            gaps=tally.gaps,
            gap_s=tally.gap_s,
            refused=refused,
            dialogue=self._dialogue.dynamics(compared=tally.windows > 0 and len(self._vads) == _MAX_CHANNELS),
            from_ns=tally.from_ns,
            to_ns=tally.to_ns,
            reading_s=self._reader.reading_s,
        )

    def abandon(self) -> None:
        """Let no more words be read, until `purge`; waits for nobody, for any thread."""
        self._reader.abandon()

    def purge(self) -> None:
        """Drop all sound and evidence; the reader is as new."""
        self._reader.abandon()  # first: whoever holds the lock is let go at once
        with self._lock:
            self._reader.drop()
            self._reset()

    def _hear(self, audio: AudioChunk) -> None:
        self._join(audio)
        if self._rest is None:
            return
        windows = self._rest.shape[1] // WINDOW
        for index in range(windows):
            window = self._rest[:, index * WINDOW : (index + 1) * WINDOW]
            self._take(window, self._rest_ns + index * WINDOW * _NS // RATE_HZ)
        # A copy, so that the chunk it is a view of can be freed.
        self._rest = self._rest[:, windows * WINDOW :].copy()
        self._rest_ns += windows * WINDOW * _NS // RATE_HZ

    def _join(self, audio: AudioChunk) -> None:
        """Put a chunk behind what is left of the one before, unless the time line broke between them."""
        samples = audio.samples
        if self._rest is None:
            self._start(audio)
            return
        expected_ns = self._rest_ns + self._rest.shape[1] * _NS // RATE_HZ
        hole_ns = audio.captured_ns - expected_ns
        if audio.segment == self._segment and abs(hole_ns) < self._config.gap_s * _NS:
            if samples.shape[0] == self._rest.shape[0]:
                self._rest_ns += hole_ns  # follow the clock of the source: small errors must not add up
                self._rest = np.concatenate((self._rest, samples), axis=1)
                return
        elif hole_ns > 0:
            self._tally.gaps += 1
            self._tally.gap_s += hole_ns / _NS
        self._break()
        self._start(audio)

    def _start(self, audio: AudioChunk) -> None:
        if len(self._vads) != audio.samples.shape[0]:
            self._vads = [self._vad_factory() for _ in range(audio.samples.shape[0])]
        self._reader.begin(audio.captured_ns)
        self._rest, self._rest_ns, self._segment = audio.samples, audio.captured_ns, audio.segment

    def _break(self) -> None:
        """End the stretch of sound: decide what is open, close the utterance, reset the networks."""
        for role in self._tracker.flush():
            self._cut(role)
        self._dialogue.interrupt()
        if (utterance := self._cutter.flush()) is not None:
            self._reader.submit(utterance)
        for vad in self._vads:
            vad.reset()
        self._rest = None

    def _take(self, window: NDArray[np.int16], start_ns: int) -> None:
        probabilities = [vad.probability(channel) for vad, channel in zip(self._vads, window, strict=True)]
        role = self._tracker.push(
            ChannelWindow(
                citizen_power=window_power(window[0]),
                officer_power=window_power(window[1]) if window.shape[0] == _MAX_CHANNELS else None,
                citizen_speech=probabilities[0],
                officer_speech=probabilities[-1] if window.shape[0] == _MAX_CHANNELS else 0.0,
            )
        )
        self._undecided.append((window[0].copy(), start_ns))
        if role is not None:
            self._cut(role)

    def _cut(self, role: Role) -> None:
        samples, start_ns = self._undecided.popleft()
        self._tally.add(role, round(self._config.waiting_s / WINDOW_S))
        self._dialogue.add(role, start_ns)
        if self._tally.from_ns is None:
            self._tally.from_ns = start_ns
        self._tally.to_ns = start_ns + WINDOW * _NS // RATE_HZ
        if (utterance := self._cutter.push(samples, start_ns, role)) is not None:
            self._reader.submit(utterance)


def _check(audio: AudioChunk) -> None:
    samples, rate_hz = audio.samples, audio.sample_rate_hz
    channels = samples.shape[0] if samples.ndim == _AXES else 0
    if samples.dtype != np.int16 or not 1 <= channels <= _MAX_CHANNELS or rate_hz != RATE_HZ:
        raise AudioFormatUnsupportedError(
            f"Sound of type {samples.dtype}, shape {samples.shape} and {rate_hz} Hz reached the voice "
            f"reader; it takes int16 of shape (1 or 2 channels, samples) at {RATE_HZ} Hz. Let the source "
            "resample it before it passes the gate."
        )
