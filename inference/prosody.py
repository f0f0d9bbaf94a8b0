"""How aroused a voice sounds, measured against the same speaker's own first utterances.

Pitch, level, pace and pauses tell excitement from calm within one speaker; they do
not tell pleasure from anger (valence from tone does not transfer between speakers
or sets), so there is no valence here. Without enough of the speaker's own calm
start there is no figure at all. A microphone that is turned up, and a room that gets
louder, raise the noise between the words as well: as much of a change of level as the
noise shares is not the speaker's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ: Final = 16_000
_FRAME: Final = 640  # 40 ms: two periods of the lowest pitch
_HOP: Final = 320
_LOWEST_HZ: Final = 60
_HIGHEST_HZ: Final = 420
_VOICED: Final = 0.45  # normalised autocorrelation from which a frame counts as voiced
_MIN_VOICED: Final = 10
_QUIET_DB: Final = 25.0  # frames this far under the loudest are pauses
_SILENCED_DB: Final = -95.0  # windows of the other speaker were replaced by silence: no noise of this room
_MIN_NOISE: Final = 6  # frames (0.12 s)
_NOISE_SHARE: Final = 0.1  # of the frames: the quietest of them


@dataclass(frozen=True, slots=True)
class Prosody:
    """Shape of one utterance.

    Attributes:
        pitch_semitones: Median pitch, semitones above 60 Hz.
        pitch_range_semitones: From the 10th to the 90th percentile.
        level_dbfs: Mean level of the voiced frames, less the noise.
        noise_dbfs: Level of the quietest frames; None where too little of the room was heard.
        syllables_per_s: Peaks of the energy contour per second of speech, close to the syllable rate.
        pause_share: Share of frames that are pauses, 0 to 1.
        speech_s: Seconds that are no pauses.
    """

    pitch_semitones: float
    pitch_range_semitones: float
    level_dbfs: float
    noise_dbfs: float | None
    syllables_per_s: float
    pause_share: float
    speech_s: float


@dataclass(frozen=True, slots=True)
class ProsodyConfig:
    """When a voice is compared, and what counts as a large change.

    Attributes:
        baseline_utterances: First utterances that make the speaker's own start.
        baseline_s: Speech they hold together at least.
        min_speech_s: A shorter utterance has no figure.
        pitch_step_semitones: Change of median pitch that counts as one step.
        range_step_semitones: The same for the pitch range.
        level_step_db: The same for the level.
        pace_step_per_s: The same for the pace.
    """

    baseline_utterances: int = 2
    baseline_s: float = 2.0
    min_speech_s: float = 0.6
    pitch_step_semitones: float = 2.5
    range_step_semitones: float = 3.0
    level_step_db: float = 5.0
    pace_step_per_s: float = 1.5


def measure(samples: NDArray[np.int16]) -> Prosody | None:
    """Measure one utterance.

    Args:
        samples: int16, mono, 16 kHz.

    Returns:
        Its prosody, or None when there is too little voice in it.
    """
    if samples.shape[0] < _FRAME * _MIN_VOICED:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32) / 32768.0, _FRAME)[::_HOP]
    power = np.mean(np.square(frames), axis=1)
    level_db = 10.0 * np.log10(power + 1e-10)
    loud = level_db > max(float(level_db.max()) - _QUIET_DB, -60.0)
    pitch_hz, strength = _pitch(frames)
    voiced = loud & (strength >= _VOICED)
    if int(voiced.sum()) < _MIN_VOICED:
        return None
    semitones = 12.0 * np.log2(pitch_hz[voiced] / _LOWEST_HZ)
    low, median, high = np.percentile(semitones, (10, 50, 90))
    speech_s = float(loud.sum()) * _HOP / RATE_HZ
    noise_dbfs = _noise_dbfs(level_db, strength)
    noise = 0.0 if noise_dbfs is None else 10.0 ** (noise_dbfs / 10.0)
    spoken = float(np.mean(power[voiced]))
    return Prosody(
        pitch_semitones=float(median),
        pitch_range_semitones=float(high - low),
        level_dbfs=float(10.0 * np.log10(max(spoken - noise, 0.1 * spoken) + 1e-10)),
        noise_dbfs=noise_dbfs,
        syllables_per_s=_energy_peaks(level_db, loud) / speech_s,
        pause_share=1.0 - float(loud.mean()),
        speech_s=speech_s,
    )


def _noise_dbfs(level_db: NDArray[np.floating], strength: NDArray[np.floating]) -> float | None:
    """Return the level between the words: the median of the quietest frames that hold no voice."""
    heard = level_db > _SILENCED_DB
    count = max(_MIN_NOISE, int(heard.sum() * _NOISE_SHARE))
    between = level_db[heard & (strength < _VOICED)]
    if between.shape[0] < count:
        return None
    return float(np.median(np.partition(between, count - 1)[:count]))


def _pitch(frames: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return pitch (Hz) and strength (0 to 1) of each frame by normalised autocorrelation."""
    centred = frames - frames.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, n=2 * _FRAME, axis=1)
    correlation = np.fft.irfft(np.square(np.abs(spectrum)), axis=1)[:, :_FRAME]
    shortest, longest = RATE_HZ // _HIGHEST_HZ, RATE_HZ // _LOWEST_HZ
    # A finite frame overlaps itself less at longer lags; undo that, or pitch is pulled upwards.
    overlap = 1.0 - np.arange(_FRAME) / _FRAME
    scaled = correlation / (overlap * (correlation[:, :1] + 1e-9))
    window = scaled[:, shortest : longest + 1]
    best = window.max(axis=1)
    # The first lag that is nearly as good as the best avoids octave errors downwards.
    lag = np.argmax(window >= 0.9 * best[:, None], axis=1)
    span = max(2, shortest // 4)
    rows = np.arange(window.shape[0])
    near = np.minimum(lag[:, None] + np.arange(span)[None, :], window.shape[1] - 1)
    lag = near[rows, np.argmax(window[rows[:, None], near], axis=1)]
    return RATE_HZ / (lag + shortest).astype(np.float64), np.clip(best, 0.0, 1.0).astype(np.float64)


def _energy_peaks(level_db: NDArray[np.floating], loud: NDArray[np.bool_]) -> int:
    """Count the peaks of the smoothed energy contour that rise 2 dB out of the valley before them."""
    smooth = np.convolve(level_db, np.ones(3) / 3.0, mode="same")
    peaks, valley, top, rising = 0, float(smooth[0]), float(smooth[0]), False
    for value, is_loud in zip(smooth.tolist(), loud.tolist(), strict=True):
        if rising:
            top = max(top, value)
            if value < top - 2.0:
                rising, valley = False, value
        else:
            valley = min(valley, value)
            if value > valley + 2.0 and is_loud:
                rising, top = True, value
                peaks += 1
    return peaks


class ArousalMeter:
    """Compares each utterance with the speaker's own start."""

    def __init__(self, config: ProsodyConfig | None = None) -> None:
        """Start without a baseline."""
        self._config = config or ProsodyConfig()
        self._start: list[Prosody] = []
        self._baseline: Prosody | None = None

    @property
    def has_start(self) -> bool:
        """Whether enough of the speaker's start was heard to compare with."""
        return self._baseline is not None

    def arousal(self, samples: NDArray[np.int16]) -> float | None:
        """Return arousal in [0, 1], 0.5 as at the start, or None without a basis.

        The utterances that make the speaker's start have no figure themselves.
        """
        prosody = measure(samples)
        if prosody is None or prosody.speech_s < self._config.min_speech_s:
            return None
        if self._baseline is None:
            self._start.append(prosody)
            speech_s = sum(item.speech_s for item in self._start)
            if len(self._start) >= self._config.baseline_utterances and speech_s >= self._config.baseline_s:
                self._baseline = _mean(self._start)
                self._start.clear()
            return None
        return _compare(prosody, self._baseline, self._config)

    def forget(self) -> None:
        """Drop the speaker's start."""
        self._start.clear()
        self._baseline = None


def _mean(items: list[Prosody]) -> Prosody:
    total = sum(item.speech_s for item in items)

    def weighted(name: str) -> float:
        return sum(float(getattr(item, name)) * item.speech_s for item in items) / total

    return Prosody(
        pitch_semitones=weighted("pitch_semitones"),
        pitch_range_semitones=weighted("pitch_range_semitones"),
        level_dbfs=weighted("level_dbfs"),
        noise_dbfs=_mean_noise_dbfs(items),
        syllables_per_s=weighted("syllables_per_s"),
        pause_share=weighted("pause_share"),
        speech_s=total,
    )


def _mean_noise_dbfs(items: list[Prosody]) -> float | None:
    levels = [item.noise_dbfs for item in items if item.noise_dbfs is not None]
    return sum(levels) / len(levels) if levels else None


def _level_change_db(now: Prosody, start: Prosody) -> float:
    """Return how much louder the speaker is, less what the noise between the words shares of it."""
    change_db = now.level_dbfs - start.level_dbfs
    if now.noise_dbfs is None or start.noise_dbfs is None:
        return change_db
    shared_db = now.noise_dbfs - start.noise_dbfs
    if change_db * shared_db <= 0.0:
        return change_db
    return math.copysign(max(0.0, abs(change_db) - abs(shared_db)), change_db)


def _compare(now: Prosody, start: Prosody, config: ProsodyConfig) -> float:
    steps = (
        (now.pitch_semitones - start.pitch_semitones) / config.pitch_step_semitones,
        _level_change_db(now, start) / config.level_step_db,
        0.5 * (now.pitch_range_semitones - start.pitch_range_semitones) / config.range_step_semitones,
        0.5 * (now.syllables_per_s - start.syllables_per_s) / config.pace_step_per_s,
    )
    # One wild measurement must not decide: each step is bounded before they are averaged.
    mean = sum(max(-2.0, min(2.0, step)) for step in steps) / 3.0
    return float(np.clip(0.5 + 0.5 * np.tanh(0.7 * mean), 0.0, 1.0))
