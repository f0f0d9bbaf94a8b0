"""Cuts a named stream of windows into utterances of the citizen.

An utterance starts with the citizen's speech, runs over short pauses and ends at a
longer one. It carries a little of the silence around it, never longer than the
recogniser can take, and nothing of anybody else: windows of other roles inside it
are silenced before it leaves this module.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from inference.roles import WINDOW, WINDOW_S, Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ: Final = 16_000
_SEARCHED_SHARE: Final = 0.6  # a long utterance is cut in the last 40 % of what is allowed
_EDGE: Final = 3  # windows (about 0.1 s)
_FADE: Final = 64  # 4 ms: silencing must not click


@dataclass(frozen=True, slots=True)
class UtteranceConfig:
    """Lengths of an utterance.

    Attributes:
        pad_s: Silence kept before and after the speech.
        pause_s: A pause of this length ends the utterance.
        longest_s: Longer speech is cut at its quietest point.
        least_speech_s: Less speech than this is not an utterance.
    """

    pad_s: float = 0.3
    pause_s: float = 0.6
    longest_s: float = 15.0
    least_speech_s: float = 0.16


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance of the citizen.

    Attributes:
        samples: int16, mono, 16 kHz, read-only.
        start_ns: Capture time of its first sample.
        end_ns: Capture time of the sample after its last.
        speech_s: Seconds of the citizen's speech in it, pauses left out.
    """

    samples: NDArray[np.int16]
    start_ns: int
    end_ns: int
    speech_s: float


@dataclass(slots=True)
class _Window:
    samples: NDArray[np.int16]
    start_ns: int
    role: Role


class UtteranceCutter:
    """Collects windows until an utterance is complete; holds at most one utterance and its padding."""

    def __init__(self, config: UtteranceConfig | None = None) -> None:
        """Start with nothing collected."""
        self._config = config or UtteranceConfig()
        self._pad = max(0, round(self._config.pad_s / WINDOW_S))
        self._pause = max(1, round(self._config.pause_s / WINDOW_S))
        self._longest = max(2, int(self._config.longest_s / WINDOW_S))
        self._before: deque[_Window] = deque(maxlen=self._pad)
        self._open: list[_Window] = []
        self._since_speech = 0

    def push(self, samples: NDArray[np.int16], start_ns: int, role: Role) -> Utterance | None:
        """Take one window of the citizen's channel and return the utterance that it completes, if any."""
        window = _Window(samples, start_ns, role)
        if not self._open:
            if role is Role.CITIZEN:
                self._open = [*self._before, window]
                self._before.clear()
                self._since_speech = 0
            else:
                self._before.append(window)
            return None
        self._open.append(window)
        self._since_speech = 0 if role is Role.CITIZEN else self._since_speech + 1
        if self._since_speech >= self._pause:
            return self._close()
        if len(self._open) >= self._longest:
            return self._cut()
        return None

    def flush(self) -> Utterance | None:
        """End the utterance that is under way (end of the stream, or a break in its time line)."""
        done = self._close() if self._open else None
        self._before.clear()
        return done

    def clear(self) -> None:
        """Drop everything held."""
        self._before.clear()
        self._open.clear()
        self._since_speech = 0

    def _close(self) -> Utterance | None:
        surplus = max(0, self._since_speech - self._pad)
        kept = self._open[: len(self._open) - surplus]
        self._before.clear()
        self._before.extend(self._open[len(kept) :])
        self._open, self._since_speech = [], 0
        return self._utterance(kept)

    def _cut(self) -> Utterance | None:
        """Cut speech that is too long at the quietest point of its last part."""
        first = int(self._longest * _SEARCHED_SHARE)
        powers = np.array([np.var(window.samples.astype(np.float32)) for window in self._open[first:]])
        smooth = np.convolve(powers, np.ones(3) / 3.0, mode="same")
        # The last window is left out: a cut there would leave nothing to go on with.
        at = first + int(np.argmin(smooth[:-1])) + 1
        kept, self._open = self._open[:at], self._open[at:]
        spoken = [index for index, window in enumerate(reversed(self._open)) if window.role is Role.CITIZEN]
        if spoken:
            self._since_speech = spoken[0]
        else:
            self._before.extend(self._open)
            self._open, self._since_speech = [], 0
        return self._utterance(kept)

    def _utterance(self, windows: list[_Window]) -> Utterance | None:
        speech_s = WINDOW_S * sum(window.role is Role.CITIZEN for window in windows)
        if speech_s < self._config.least_speech_s:
            return None
        return Utterance(
            samples=_silence_others(windows),
            start_ns=windows[0].start_ns,
            end_ns=windows[-1].start_ns + WINDOW * 1_000_000_000 // RATE_HZ,
            speech_s=speech_s,
        )


def _silence_others(windows: list[_Window]) -> NDArray[np.int16]:
    """Join windows; those that hold somebody else's speech become silence, with short fades beside them."""
    gains = np.ones(len(windows) * WINDOW, dtype=np.float32)
    others = [window.role not in {Role.CITIZEN, Role.NOBODY} for window in windows]
    for index, window in enumerate(windows):
        # Voice activity answers a little late: the edges of somebody else's speech go with it.
        beside = window.role is Role.NOBODY and any(others[max(0, index - _EDGE) : index + _EDGE + 1])
        if not (others[index] or beside):
            continue
        start, end = index * WINDOW, (index + 1) * WINDOW
        gains[start:end] = 0.0
        ramp = np.linspace(1.0, 0.0, _FADE, dtype=np.float32)
        before, after = gains[max(0, start - _FADE) : start], gains[end : end + _FADE]
        np.minimum(before, ramp[_FADE - before.shape[0] :], out=before)
        np.minimum(after, ramp[::-1][: after.shape[0]], out=after)
    joined = np.concatenate([window.samples for window in windows])
    quieted = (joined.astype(np.float32) * gains).astype(np.int16)
    quieted.setflags(write=False)
    return quieted
