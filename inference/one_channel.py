"""One channel: a diariser's voices become roles by their place, or nobody's.

The one microphone stands on the citizen's side of the counter, so the voice that is clearly
louder than the others is the citizen's. Nobody's voice is enrolled: an officer's voice on file
would be a biometric template of staff, which the project does not make. Where place does not
tell (levels too near each other, only one voice) all speech is unsure and dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inference.roles import WINDOW, WINDOW_S, Role, decibels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.diarisers import VoiceTurn


@dataclass(frozen=True, slots=True)
class PlaceConfig:
    """When place names a voice.

    Attributes:
        margin_db: The citizen's voice is louder than every other by this much, or all are unsure.
        least_speech_s: A voice with less speech has no level to compare.
    """

    margin_db: float = 6.0
    least_speech_s: float = 1.0


def roles_by_place(
    sound: NDArray[np.int16], turns: Sequence[VoiceTurn], config: PlaceConfig | None = None
) -> list[Role]:
    """Return the role of each window of 32 ms.

    Args:
        sound: int16, mono, 16 kHz, shape (n,): the microphone on the citizen's side.
        turns: What a diariser gave for this sound.
        config: When place names a voice.

    Returns:
        n // 512 roles: the citizen's and (with exactly two voices) the officer's, both where two
        voices overlap, unsure where a voice could not be told or placed, nobody outside the turns.
    """
    config = config or PlaceConfig()
    count = len(sound) // WINDOW
    voices = sorted({turn.voice for turn in turns if turn.voice is not None})
    spoken = np.zeros((len(voices), count), np.bool_)
    unsure = np.zeros(count, np.bool_)
    for turn in turns:
        span = slice(max(0, round(turn.start_s / WINDOW_S)), max(0, round(turn.end_s / WINDOW_S)))
        (unsure if turn.voice is None else spoken[voices.index(turn.voice)])[span] = True
    citizen = _citizen(sound, spoken, unsure, config)
    roles = [Role.NOBODY] * count
    several = spoken.sum(axis=0)
    for index in np.flatnonzero(spoken.any(axis=0) | unsure):
        if unsure[index] or citizen is None:
            roles[index] = Role.UNSURE
        elif several[index] > 1:
            roles[index] = Role.BOTH
        elif spoken[citizen, index]:
            roles[index] = Role.CITIZEN
        else:
            # With three voices the others may be the officer or somebody who came along.
            roles[index] = Role.OFFICER if len(voices) == 2 else Role.UNSURE  # noqa: PLR2004 - a dialogue
    return roles


def _citizen(
    sound: NDArray[np.int16], spoken: NDArray[np.bool_], unsure: NDArray[np.bool_], config: PlaceConfig
) -> int | None:
    """Return the row of the voice that is clearly the loudest, or None."""
    count = spoken.shape[1]
    windows = sound[: count * WINDOW].reshape(count, WINDOW).astype(np.float64) / 32768.0
    powers = windows.var(axis=1)
    quiet = ~spoken.any(axis=0) & ~unsure
    noise = float(np.median(powers[quiet])) if quiet.any() else 0.0
    alone = spoken & (spoken.sum(axis=0) == 1) & ~unsure
    levels = [
        decibels(max(float(powers[row].mean()) - noise, 0.0))
        if row.sum() * WINDOW_S >= config.least_speech_s
        else None
        for row in alone
    ]
    heard = [level for level in levels if level is not None]
    if len(heard) != len(levels) or len(heard) < 2:  # noqa: PLR2004 - one voice has nothing to be louder than
        return None
    loudest, next_loudest = sorted(heard, reverse=True)[:2]
    return levels.index(loudest) if loudest - next_loudest >= config.margin_db else None
