"""Who speaks: the citizen, the officer, both, or nobody we could name.

Two microphones hear both people, each its own one louder. The difference of their
levels (each less its own noise) names the speaker window by window; windows that
lean neither way are *unsure* and are dropped, never guessed. So is talk that does not
stand out of the last ten seconds, or that leans no more than such talk does: the queue
may be louder in one of the microphones (`near_field`).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from inference.near_field import Foreground, QueueDifference

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW: Final = 512
"""Samples of one decision (32 ms at 16 kHz), the window of the voice activity network."""
WINDOW_S: Final = WINDOW / 16_000
_SILENCE_DBFS: Final = -100.0


class Role(StrEnum):
    """Whose speech a window holds."""

    CITIZEN = "citizen"
    OFFICER = "officer"
    BOTH = "both"
    UNSURE = "unsure"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class RoleConfig:
    """When a speaker is named.

    Attributes:
        single_channel: What one lone channel is worth: `unsure` (its speech is dropped) or
            `citizen` (a directional microphone that hears nobody else).
        citizen_gain_db: Added to the citizen's level before comparison, for unequal microphones.
        speech_on: Voice activity from which speech starts.
        speech_off: Voice activity under which it has ended.
        margin_db: The levels differ at least this much, or the speaker is unsure.
        hysteresis_db: Added to the margin to change from one named speaker to the other.
        smooth_windows: Windows on each side that are averaged (5: about 0.35 s in all).
        least_above_noise_db: Speech stands this much above the noise of its channel.
        least_dbfs: Anything under this level is not speech at the counter.
        near_field_db: Speech this much under the speaker's usual level came from further away.
        overlap_db: A difference this much smaller than the usual one means that both speak.
        residue_db: Both may speak as long as the officer is this much under the citizen.
        stand_out_db: A speaker stood this much out of the last ten seconds of their microphone within the
            last second; `-inf` names whoever is louder, a queue too.
    """

    single_channel: Literal["unsure", "citizen"] = "unsure"
    citizen_gain_db: float = 0.0
    speech_on: float = 0.5
    speech_off: float = 0.35
    margin_db: float = 1.5
    hysteresis_db: float = 1.0
    smooth_windows: int = 5
    least_above_noise_db: float = 3.0
    least_dbfs: float = -55.0
    near_field_db: float = 18.0
    overlap_db: float = 6.0
    residue_db: float = 20.0
    stand_out_db: float = 12.0


@dataclass(frozen=True, slots=True)
class ChannelWindow:
    """What one window of both microphones shows.

    Attributes:
        citizen_power: Mean square of the citizen's channel, 1.0 at full scale.
        officer_power: The same for the officer's channel; None when there is one channel.
        citizen_speech: Probability of speech in the citizen's channel.
        officer_speech: The same for the officer's channel.
    """

    citizen_power: float
    officer_power: float | None
    citizen_speech: float
    officer_speech: float = 0.0


def window_power(samples: NDArray[np.int16]) -> float:
    """Return the mean square of one window, 1.0 at full scale, its direct current left out."""
    return float(np.var(samples.astype(np.float32) / 32768.0))


class NoiseFloor:
    """Level of a channel outside speech, from a bounded history of its quiet windows."""

    def __init__(self, windows: int = 312) -> None:
        """Start with nothing heard; `windows` quiet windows are remembered (312: ten seconds)."""
        self._powers: deque[float] = deque(maxlen=windows)
        self._power: float | None = None
        self._fresh = 0

    def add(self, power: float) -> None:
        """Take the power of a window without speech."""
        self._powers.append(power)
        self._fresh += 1
        if self._power is None or self._fresh >= 16:  # noqa: PLR2004 - a median every half second is enough
            self._power, self._fresh = float(np.median(self._powers)), 0

    @property
    def power(self) -> float:
        """Median power of the quiet windows, 0 before the first of them."""
        return self._power or 0.0

    @property
    def dbfs(self) -> float | None:
        """The same in dB relative to full scale; None before the first quiet window."""
        return None if self._power is None else max(decibels(self._power), -120.0)


class RoleTracker:
    """Names the speaker of each window, `smooth_windows` windows late."""

    def __init__(self, config: RoleConfig | None = None) -> None:
        """Start with nothing learnt about the two people."""
        self._config = config or RoleConfig()
        self._citizen_noise = NoiseFloor()
        self._officer_noise = NoiseFloor()
        self._recent: deque[tuple[ChannelWindow, bool]] = deque(maxlen=2 * self._config.smooth_windows + 1)
        self._pending = 0
        self._speaking = False
        self._last = Role.NOBODY
        self._leaning: dict[Role, deque[float]] = {
            Role.CITIZEN: deque(maxlen=256),
            Role.OFFICER: deque(maxlen=256),
        }
        self._usual_db: dict[Role, float] = {}
        self._foreground = {Role.CITIZEN: Foreground(), Role.OFFICER: Foreground()}
        self._queue = QueueDifference()
        self._citizen_levels: deque[float] = deque(maxlen=512)
        self._citizen_level: float | None = None

    @property
    def noise_dbfs(self) -> float | None:
        """Level of the citizen's channel outside speech; None before the first quiet window."""
        return self._citizen_noise.dbfs

    def push(self, window: ChannelWindow) -> Role | None:
        """Take the next window and return the role of the one `smooth_windows` before it, if any yet."""
        probability = max(window.citizen_speech, window.officer_speech)
        threshold = self._config.speech_off if self._speaking else self._config.speech_on
        self._speaking = probability >= threshold
        if probability < self._config.speech_off / 2:
            self._citizen_noise.add(window.citizen_power)
            if window.officer_power is not None:
                self._officer_noise.add(window.officer_power)
        self._foreground[Role.CITIZEN].hear(window.citizen_power)
        if window.officer_power is not None:
            self._foreground[Role.OFFICER].hear(window.officer_power)
        self._recent.append((window, self._speaking))
        self._pending += 1
        if self._pending <= self._config.smooth_windows:
            return None
        self._pending -= 1
        return self._decide(len(self._recent) - 1 - self._config.smooth_windows)

    def flush(self) -> list[Role]:
        """Return the roles of the windows still held back; the next window starts a new stretch."""
        roles: list[Role] = []
        while self._pending:
            roles.append(self._decide(len(self._recent) - self._pending))
            self._pending -= 1
        self._recent.clear()
        self._speaking, self._last = False, Role.NOBODY
        return roles

    def _decide(self, centre: int) -> Role:
        window, speaking = self._recent[centre]
        if window.officer_power is not None:
            for role, power in zip((Role.CITIZEN, Role.OFFICER), self._averaged(centre), strict=True):
                self._foreground[role].moment(power)
        if not speaking:
            self._last = Role.NOBODY
            return Role.NOBODY
        role = self._alone(window) if window.officer_power is None else self._compared(centre)
        self._last = role
        return role

    def _alone(self, window: ChannelWindow) -> Role:
        if self._config.single_channel == "unsure":
            return Role.UNSURE
        return Role.CITIZEN if self._is_near(decibels(window.citizen_power)) else Role.UNSURE

    def _compared(self, centre: int) -> Role:
        config = self._config
        citizen, officer = self._averaged(centre)
        citizen = max(citizen - self._citizen_noise.power, 0.0)
        officer = max(officer - self._officer_noise.power, 0.0)
        floor = 10.0 ** (_SILENCE_DBFS / 10.0)
        lean_db = decibels(max(citizen, floor)) - decibels(max(officer, floor)) + config.citizen_gain_db
        role = Role.CITIZEN if lean_db > 0 else Role.OFFICER
        apart = self._stands_apart(role, lean_db)
        margin = config.margin_db
        if (self._last is Role.CITIZEN and lean_db < 0) or (self._last is Role.OFFICER and lean_db > 0):
            margin += config.hysteresis_db
        if abs(lean_db) < margin or not apart:
            return Role.UNSURE
        self._learn(role, abs(lean_db))
        if role is Role.OFFICER:
            return Role.BOTH if self._is_overlap(role, abs(lean_db)) else Role.OFFICER
        if not self._is_near(decibels(max(citizen, floor))):
            return Role.UNSURE
        if self._is_overlap(role, lean_db) and self._residue_db(citizen, officer) > -config.residue_db:
            return Role.BOTH
        return Role.CITIZEN

    def _stands_apart(self, role: Role, lean_db: float) -> bool:
        """Tell whether somebody at this microphone speaks, not the queue; learn how the queue leans."""
        heard = self._foreground
        near = {who: channel.stands_out(self._config.stand_out_db) for who, channel in heard.items()}
        if not any(near.values()):
            if all(channel.is_known for channel in heard.values()):
                self._queue.add(lean_db)
            return False
        beyond_db = lean_db - self._queue.median_db
        return near[role] and (beyond_db if role is Role.CITIZEN else -beyond_db) >= self._config.margin_db

    def _averaged(self, centre: int) -> tuple[float, float]:
        """Return both channels' powers, averaged around `centre` with falling weights."""
        span = self._config.smooth_windows
        citizen = officer = weights = 0.0
        for offset in range(-span, span + 1):
            if not 0 <= centre + offset < len(self._recent):
                continue
            window, _ = self._recent[centre + offset]
            weight = 1.0 - abs(offset) / (span + 1)
            weights += weight
            citizen += weight * window.citizen_power
            officer += weight * (window.officer_power or 0.0)
        return citizen / weights, officer / weights

    def _is_near(self, level_db: float) -> bool:
        """Tell whether a level is that of the person at the counter, and remember it if so."""
        config = self._config
        noise = self._citizen_noise.dbfs
        if level_db < config.least_dbfs or (
            noise is not None and level_db < noise + config.least_above_noise_db
        ):
            return False
        usual = self._citizen_level
        if usual is not None and level_db < usual - config.near_field_db:
            return False
        self._citizen_levels.append(level_db)
        if len(self._citizen_levels) % 16 == 0:
            self._citizen_level = float(np.median(self._citizen_levels))
        return True

    def _learn(self, role: Role, lean_db: float) -> None:
        """Learn how far the levels usually lie apart when this person speaks alone."""
        history = self._leaning[role]
        history.append(lean_db)
        if len(history) >= 48 and len(history) % 16 == 0:  # noqa: PLR2004 - from 1.5 s of speech on
            self._usual_db[role] = float(np.percentile(history, 75))

    def _is_overlap(self, role: Role, lean_db: float) -> bool:
        usual = self._usual_db.get(role)
        return usual is not None and lean_db < usual - self._config.overlap_db

    def _residue_db(self, citizen: float, officer: float) -> float:
        """Return the officer's level in the citizen's channel relative to the citizen's own."""
        into_officer = 10.0 ** (-self._usual_db.get(Role.CITIZEN, 12.0) / 10.0)
        into_citizen = 10.0 ** (-self._usual_db.get(Role.OFFICER, 12.0) / 10.0)
        own = max(citizen - into_citizen * officer, 1e-12)
        other = max(officer - into_officer * citizen, 1e-12)
        return decibels(into_citizen * other / own)


def decibels(power: float) -> float:
    """Return a power in dB, at least -120."""
    return 10.0 * math.log10(max(power, 1e-12))
