"""Simulated counters that are harder than a plain mix: rooms, overlaps, unequal voices, a queue.

Every voice reaches each microphone through a room of its own: a direct path with a delay, and
decaying noise behind it. The rooms are synthetic, so a real counter may still be worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from inference.evaluation_roles import RATE_HZ, TURN_LEVEL_DBFS, Dialogue, levelled, pink, speaking_windows
from inference.roles import WINDOW, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_OWN_DELAY: Final = (16, 32)  # 1 to 2 ms: a third to two thirds of a metre
_OTHER_DELAY: Final = (48, 96)
_FAR_DELAY: Final = (160, 320)


@dataclass(frozen=True, slots=True)
class Scene:
    """What makes a counter hard.

    Attributes:
        bleed_db: Level of a person in the other microphone relative to their own.
        snr_db: Level of usual speech over the noise of each microphone.
        overlap: Share of a turn over which the next one speaks already, 0 to 0.5.
        reverberation_s: Time in which the room falls by 60 dB; 0 for no room.
        citizen_db: The citizen's voice against the usual level.
        officer_db: The officer's voice against the usual level.
        citizen_gain_db: Gain of the citizen's microphone against the officer's.
        queue_db: Level of a third talker in both microphones against usual speech; None for nobody.
    """

    bleed_db: float = -10.0
    snr_db: float = 25.0
    overlap: float = 0.0
    reverberation_s: float = 0.4
    citizen_db: float = 0.0
    officer_db: float = 0.0
    citizen_gain_db: float = 0.0
    queue_db: float | None = None


def simulate(
    citizen: Sequence[NDArray[np.int16]],
    officer: Sequence[NDArray[np.int16]],
    scene: Scene,
    *,
    seed: int,
    queue: Sequence[NDArray[np.int16]] = (),
) -> Dialogue:
    """Play alternating turns of two people in a scene.

    Args:
        citizen: Turns of the citizen, who starts; int16 mono 16 kHz.
        officer: Turns of the officer, as many.
        scene: The counter.
        seed: Seed of pauses, rooms and noise.
        queue: What the third talker says, over and over; needed with `queue_db`.
    """
    rng = np.random.default_rng(seed)
    order = [
        levelled(turn) * 10.0 ** ((scene.citizen_db, scene.officer_db)[index % 2] / 20.0)
        for index, turn in enumerate(turn for pair in zip(citizen, officer, strict=True) for turn in pair)
    ]
    starts = _starts(order, scene.overlap, rng)
    last = max(start + len(turn) for start, turn in zip(starts, order, strict=True))
    length = -(-(last + RATE_HZ) // WINDOW) * WINDOW
    voices = np.zeros((2, length))
    for index, (start, turn) in enumerate(zip(starts, order, strict=True)):
        voices[index % 2, start : start + len(turn)] += turn
    noise = 10.0 ** ((TURN_LEVEL_DBFS - scene.snr_db) / 20.0)
    microphones = np.stack(
        [
            _through(voices[own], _room(_OWN_DELAY, scene.reverberation_s, 8.0, rng), 0.0)
            + _through(voices[1 - own], _room(_OTHER_DELAY, scene.reverberation_s, 0.0, rng), scene.bleed_db)
            + pink(length, rng) * noise
            for own in range(2)
        ]
    )
    if scene.queue_db is not None and queue:
        talker = np.resize(np.concatenate([levelled(turn) for turn in queue]), length)
        microphones += np.stack(
            [
                _through(talker, _room(_FAR_DELAY, scene.reverberation_s, -6.0, rng), scene.queue_db)
                for _ in microphones
            ]
        )
    microphones[0] *= 10.0 ** (scene.citizen_gain_db / 20.0)
    samples = np.clip(np.round(microphones * 32768.0), -32768, 32767).astype(np.int16)
    return Dialogue(
        samples,
        speaking_windows(voices[0], scene.citizen_db),
        speaking_windows(voices[1], scene.officer_db),
        tuple(
            (start, start + len(turn), (Role.CITIZEN, Role.OFFICER)[index % 2])
            for index, (start, turn) in enumerate(zip(starts, order, strict=True))
        ),
    )


def _starts(order: Sequence[NDArray[np.float64]], overlap: float, rng: np.random.Generator) -> list[int]:
    starts: list[int] = []
    at = RATE_HZ
    for turn in order:
        starts.append(at)
        pause = -overlap * len(turn) if overlap else float(rng.uniform(0.3, 1.2)) * RATE_HZ
        at += max(len(turn) + int(pause), 0)
    return starts


def _room(
    delay: tuple[int, int], reverberation_s: float, direct_db: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return a room's response of unit energy: a direct path, and noise that decays behind it.

    Args:
        delay: Least and most delay of the direct path, samples.
        reverberation_s: Time in which the noise falls by 60 dB.
        direct_db: Energy of the direct path over that of the noise.
        rng: Source of the room.
    """
    first = int(rng.integers(*delay))
    response = np.zeros(first + 1 + int(reverberation_s * RATE_HZ))
    response[first] = 1.0
    if reverberation_s > 0.0:
        tail = rng.standard_normal(len(response) - first - 1)
        tail *= 10.0 ** (-3.0 * np.arange(len(tail)) / (reverberation_s * RATE_HZ))
        response[first + 1 :] = tail * 10.0 ** (-direct_db / 20.0) / np.sqrt(np.square(tail).sum())
    return np.asarray(response / np.sqrt(np.square(response).sum()))


def _through(
    voice: NDArray[np.float64], response: NDArray[np.float64], level_db: float
) -> NDArray[np.float64]:
    size = 1 << (len(voice) + len(response) - 1).bit_length()
    spectrum = np.fft.rfft(voice, size) * np.fft.rfft(response, size)
    return np.asarray(np.fft.irfft(spectrum, size)[: len(voice)] * 10.0 ** (level_db / 20.0))
