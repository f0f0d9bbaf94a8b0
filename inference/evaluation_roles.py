"""Measures the naming of speakers on two-channel dialogues mixed from single recordings.

Two people take turns, each in front of a microphone of their own. Each microphone also
hears the other person, later and weaker (`bleed_db`), and its own noise. Who speaks when
is known from the recordings before they are mixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from inference.roles import WINDOW, ChannelWindow, Role, RoleConfig, RoleTracker, window_power

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from models.voice_activity import VoiceActivity

RATE_HZ: Final = 16_000
TURN_LEVEL_DBFS: Final = -26.0
_ACTIVE_DB: Final = -25.0  # a window this much under its turn's level holds no speech that counts
_PATH_DELAY: Final = (16, 48)  # 1 to 3 ms: 0.3 to 1 m further to the other microphone


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A mixed dialogue with its truth.

    Attributes:
        samples: int16, shape (2, n), 16 kHz: the citizen's and the officer's microphone.
        citizen_speaks: For each window, whether the citizen speaks.
        officer_speaks: The same for the officer.
        turns: First and last sample and speaker of each turn.
    """

    samples: NDArray[np.int16]
    citizen_speaks: NDArray[np.bool_]
    officer_speaks: NDArray[np.bool_]
    turns: tuple[tuple[int, int, Role], ...]


@dataclass(frozen=True, slots=True)
class RoleScores:
    """How well speakers were named.

    Attributes:
        accuracy: Share of right names among windows with one speaker that were given a name.
        dropped: Share of such windows that were called unsure or both.
        missed: Share of them that were called nobody.
        citizen_kept: Share of the citizen's lone windows that were called the citizen's.
        officer_leaked: Share of the officer's lone windows that were called the citizen's.
        windows: Windows with one speaker.
    """

    accuracy: float
    dropped: float
    missed: float
    citizen_kept: float
    officer_leaked: float
    windows: int


def mix(
    citizen: Sequence[NDArray[np.int16]],
    officer: Sequence[NDArray[np.int16]],
    *,
    bleed_db: float,
    snr_db: float,
    seed: int,
    overlap_s: float = 0.0,
) -> Dialogue:
    """Mix turns of two people into a two-channel dialogue.

    Args:
        citizen: Turns of the citizen, int16 mono 16 kHz; each is brought to one level.
        officer: Turns of the officer; they alternate with the citizen's, who starts.
        bleed_db: Level of a person in the other microphone relative to their own.
        snr_db: Level of speech over the noise of each microphone.
        seed: Seed of pauses, paths and noise.
        overlap_s: Each turn starts this much before the one before it ends; 0 for pauses instead.
    """
    rng = np.random.default_rng(seed)
    order = [turn for pair in zip(citizen, officer, strict=True) for turn in pair]
    starts: list[int] = []
    at = RATE_HZ
    for turn in order:
        starts.append(at)
        pause_s = -overlap_s if overlap_s else float(rng.uniform(0.3, 1.2))
        at += max(turn.shape[0] + int(pause_s * RATE_HZ), 0)
    length = (
        -(-(max(s + t.shape[0] for s, t in zip(starts, order, strict=True)) + RATE_HZ) // WINDOW) * WINDOW
    )
    voices = np.zeros((2, length))
    speaks = np.zeros((2, length // WINDOW), dtype=np.bool_)
    turns: list[tuple[int, int, Role]] = []
    for index, (start, turn) in enumerate(zip(starts, order, strict=True)):
        person = index % 2
        voice = levelled(turn)
        voices[person, start : start + voice.shape[0]] += voice
        turns.append((start, start + voice.shape[0], (Role.CITIZEN, Role.OFFICER)[person]))
    for person in range(2):
        speaks[person] = speaking_windows(voices[person])
    noise_level = 10.0 ** ((TURN_LEVEL_DBFS - snr_db) / 20.0)
    microphones = np.stack(
        [
            voices[person] + _path(voices[1 - person], bleed_db, rng) + pink(length, rng) * noise_level
            for person in range(2)
        ]
    )
    samples = np.clip(np.round(microphones * 32768.0), -32768, 32767).astype(np.int16)
    return Dialogue(samples, speaks[0], speaks[1], tuple(turns))


def named(
    dialogue: Dialogue, vad_factory: Callable[[], VoiceActivity], config: RoleConfig | None = None
) -> list[Role]:
    """Return the role of each window of a dialogue."""
    tracker = RoleTracker(config)
    detectors = [vad_factory(), vad_factory()]
    roles: list[Role] = []
    for index in range(dialogue.samples.shape[1] // WINDOW):
        window = dialogue.samples[:, index * WINDOW : (index + 1) * WINDOW]
        role = tracker.push(
            ChannelWindow(
                citizen_power=window_power(window[0]),
                officer_power=window_power(window[1]),
                citizen_speech=detectors[0].probability(window[0]),
                officer_speech=detectors[1].probability(window[1]),
            )
        )
        if role is not None:
            roles.append(role)
    return [*roles, *tracker.flush()]


def score(dialogue: Dialogue, roles: Sequence[Role]) -> RoleScores:
    """Compare the roles of the windows with the truth, where one person speaks alone."""
    lone = dialogue.citizen_speaks ^ dialogue.officer_speaks
    truth = np.where(dialogue.citizen_speaks, Role.CITIZEN.value, Role.OFFICER.value)[lone]
    said = np.array([role.value for role in roles])[lone]
    is_named = (said == Role.CITIZEN.value) | (said == Role.OFFICER.value)
    citizen, officer = truth == Role.CITIZEN.value, truth == Role.OFFICER.value
    return RoleScores(
        accuracy=_share(said[is_named] == truth[is_named]),
        dropped=_share((said == Role.UNSURE.value) | (said == Role.BOTH.value)),
        missed=_share(said == Role.NOBODY.value),
        citizen_kept=_share(said[citizen] == Role.CITIZEN.value),
        officer_leaked=_share(said[officer] == Role.CITIZEN.value),
        windows=int(lone.sum()),
    )


def _share(true: NDArray[np.bool_]) -> float:
    return float(true.mean()) if true.size else 0.0


def speaking_windows(voice: NDArray[np.float64], level_db: float = 0.0) -> NDArray[np.bool_]:
    """Tell which windows of a clean voice hold speech that counts; its usual level is `level_db` off."""
    threshold = 10.0 ** ((TURN_LEVEL_DBFS + _ACTIVE_DB + level_db) / 10.0)
    return np.asarray(np.mean(np.square(voice.reshape(-1, WINDOW)), axis=1) > threshold)


def levelled(turn: NDArray[np.int16]) -> NDArray[np.float64]:
    """Bring a turn to the common level; silence around its words does not count."""
    sound = turn / 32768.0
    powers = np.square(sound)
    loud = powers[powers > powers.mean() / 10.0] if powers.size else powers
    level = float(np.sqrt(loud.mean() / 2.0)) if loud.size else 1.0
    return np.asarray(sound * (10.0 ** (TURN_LEVEL_DBFS / 20.0) / max(level, 1e-6)))


def _path(voice: NDArray[np.float64], bleed_db: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Let a voice reach the other microphone: delayed, with two weak reflections, at the level asked for."""
    delay = int(rng.integers(*_PATH_DELAY))
    response = np.zeros(delay + 400)
    response[delay] = 1.0
    response[delay + rng.integers(40, 160, size=2)] += rng.uniform(-0.25, 0.25, size=2)
    response[delay + 160 + rng.integers(0, 200, size=2)] += rng.uniform(-0.12, 0.12, size=2)
    response *= 10.0 ** (bleed_db / 20.0) / np.sqrt(np.square(response).sum())
    size = 1 << (voice.shape[0] + response.shape[0] - 1).bit_length()
    spectrum = np.fft.rfft(voice, size) * np.fft.rfft(response, size)
    return np.asarray(np.fft.irfft(spectrum, size)[: voice.shape[0]])


def pink(length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return noise of unit power whose power falls with frequency, as in a room."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.maximum(np.fft.rfftfreq(length, 1.0 / RATE_HZ), 50.0)
    shaped = np.fft.irfft(spectrum / np.sqrt(frequency), length)
    return np.asarray(shaped / np.sqrt(np.mean(np.square(shaped))))
