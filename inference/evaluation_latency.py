"""Measures how long it takes from the end of what a citizen says to the evidence it gives.

Recordings are played, one after the other with pauses, into the citizen's microphone; the officer's
hears them 15 dB fainter. Roles, cutting and reading are those of a session. Two parts add up: the
pause that has to pass until an utterance counts as ended (by the time of the sound), and the reading
of it (by the clock): transcription, guard, tone, redaction, opinion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from inference.prosody import ProsodyConfig
from inference.roles import WINDOW, WINDOW_S, ChannelWindow, Role, RoleTracker, window_power
from inference.transcript_guard import GuardConfig
from inference.utterance_reader import UtteranceReader
from inference.utterances import RATE_HZ, Utterance, UtteranceCutter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from inference.judgement import UtteranceJudge
    from models.voice_activity import VoiceActivity

_SEED: Final = 20260101
_PAUSE_S: Final = 1.5
_ROOM_DBFS: Final = -65.0
_BLEED: Final = 10.0 ** (-15.0 / 20.0)
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Ended:
    """An utterance, and how much sound had passed since its last word when it was given out."""

    utterance: Utterance
    waited_s: float


def latency_figures(
    recordings: Sequence[NDArray[np.int16]],
    judges: Callable[[], UtteranceJudge],
    voice_activity: Callable[[], VoiceActivity],
) -> dict[str, Any]:
    """Return the median and the 95th percentile of waiting, reading and both, in seconds.

    Utterances are read one at a time: none waits for another one, nor for the start of what judges.

    Args:
        recordings: int16, mono, 16 kHz.
        judges: Makes what judges the words.
        voice_activity: Makes a voice activity stream.
    """
    waited, lengths = [], []

    def ready() -> UtteranceJudge:
        judge = judges()
        judge.warm_up()
        return judge

    reader = UtteranceReader(ready, guard_config=GuardConfig(), prosody=ProsodyConfig(), waiting=1)
    try:
        for ended in utterances_of(counter_sound(recordings), voice_activity):
            reader.submit(ended.utterance)
            reader.wait()
            waited.append(ended.waited_s)
            lengths.append(ended.utterance.samples.size / RATE_HZ)
    finally:
        reader.finish()
    evidence, _, refused = reader.results
    reading = reader.reading_s
    both = [first + second for first, second in zip(waited, reading, strict=True)]
    return {
        "utterances": len(both),
        "with_evidence": len(evidence),
        "refused": refused,
        "utterance_s": _quantiles(lengths),
        "waiting_s": _quantiles(waited),
        "reading_s": _quantiles(reading),
        "total_s": _quantiles(both),
    }


def counter_sound(recordings: Sequence[NDArray[np.int16]]) -> NDArray[np.int16]:
    """Lay recordings out as a citizen would say them, with both microphones in a quiet room.

    Returns:
        int16, shape (2, n), 16 kHz.
    """
    pause = np.zeros(int(_PAUSE_S * RATE_HZ), np.int16)
    spoken = np.concatenate([pause, *(part for item in recordings for part in (item, pause))])
    room = np.random.default_rng(_SEED).standard_normal((2, spoken.size)) * 10.0 ** (_ROOM_DBFS / 20.0)
    heard = room * 32_768.0 + np.stack([spoken, spoken * _BLEED])
    whole: NDArray[np.int16] = np.clip(np.round(heard), -32_768, 32_767).astype(np.int16)
    return whole


def utterances_of(samples: NDArray[np.int16], voice_activity: Callable[[], VoiceActivity]) -> Iterator[Ended]:
    """Cut two channels into the citizen's utterances, as a session does."""
    detectors = [voice_activity(), voice_activity()]
    tracker, cutter = RoleTracker(), UtteranceCutter()
    last_word = decided = 0
    for index in range(samples.shape[1] // WINDOW):
        window = samples[:, index * WINDOW : (index + 1) * WINDOW]
        role = tracker.push(
            ChannelWindow(
                citizen_power=window_power(window[0]),
                officer_power=window_power(window[1]),
                citizen_speech=detectors[0].probability(window[0]),
                officer_speech=detectors[1].probability(window[1]),
            )
        )
        if role is None:
            continue
        start = decided * WINDOW
        utterance = cutter.push(samples[0, start : start + WINDOW].copy(), start * _NS // RATE_HZ, role)
        decided += 1
        if utterance is not None:
            yield Ended(utterance, (index + 1 - last_word) * WINDOW_S)
        if role is Role.CITIZEN:
            last_word = decided
    # What is still open at the end of the sound is not timed: nothing ended it.


def _quantiles(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    middle, high = np.quantile(values, (0.5, 0.95))
    return {"p50": round(float(middle), 3), "p95": round(float(high), 3)}
