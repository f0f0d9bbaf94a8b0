"""How two people talked: how much, at once, and with what silences; from the speaker of each window.

Staff are never scored, and this is where a score of them would be easiest to make. So every
figure is one of two kinds. It is about the citizen (how much they spoke), or it has no
direction: exchanging the two people leaves it as it is. Who cut in, how long the officer took
to answer and how long the officer spoke at a stretch are not computed, and no list of turns is
kept from which they could be. Nothing of this leaves the edge.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from inference.roles import WINDOW_S, Role

_NS: Final = 1_000_000_000
_WINDOW_NS: Final = round(WINDOW_S * _NS)
_NAMED: Final = frozenset({Role.CITIZEN, Role.OFFICER})
_SPEECH: Final = _NAMED | {Role.BOTH}


@dataclass(frozen=True, slots=True)
class DialogueConfig:
    """What counts as a turn and as talking at once.

    Attributes:
        least_turn_s: Shorter speech within another's turn is a sign of listening (*dạ*, *vâng*), no turn.
        least_together_s: Shorter talk at once is a change of speaker seen through the smoothing of roles;
            it is counted for nobody.
        pause_s: A silence from this length on parts talk at once from the change of speaker after it.
        remembered: Silences between turns that are remembered, the latest.
    """

    least_turn_s: float = 0.5
    least_together_s: float = 0.3
    pause_s: float = 0.6
    remembered: int = 4096


@dataclass(frozen=True, slots=True)
class DialogueDynamics:
    """How the two people talked; see the module for what is left out, and why.

    Attributes:
        span_s: From the first to the last speech of anybody named: the service as it was heard.
        talk_s: Seconds in which somebody named spoke.
        citizen_s: Seconds in which the citizen spoke, alone or not.
        together_s: Seconds in which both spoke at once.
        citizen_turns: Turns of the citizen.
        changes: Times that the turn went from one person to the other.
        cut_ins: The part of them that came out of talking at once, whoever began it.
        gap_median_s: Median silence where the turn changed, whoever was to speak; None without one.
        longest_silence_s: Longest silence between two pieces of speech.
        compared: Whether two microphones were compared; with one, nobody but the citizen is heard.
    """

    span_s: float = 0.0
    talk_s: float = 0.0
    citizen_s: float = 0.0
    together_s: float = 0.0
    citizen_turns: int = 0
    changes: int = 0
    cut_ins: int = 0
    gap_median_s: float | None = None
    longest_silence_s: float = 0.0
    compared: bool = False

    @property
    def citizen_share(self) -> float | None:
        """The citizen's share of the talk, talk at once shared evenly; None where it means nothing."""
        if not self.compared or self.talk_s <= 0.0:
            return None
        return (self.citizen_s - self.together_s / 2) / self.talk_s

    @property
    def together_share(self) -> float:
        """The part of the citizen's speech in which the other person spoke as well, 0 to 1."""
        return self.together_s / self.citizen_s if self.citizen_s > 0.0 else 0.0


@dataclass(slots=True)
class _Floor:
    """Whose turn it is, and what happened since that person last spoke alone. Counts are windows."""

    holder: Role | None = None
    other: int = 0
    together: int = 0
    silent: int = 0
    gap: int = 0
    unsure: bool = False

    def clear(self) -> None:
        self.other = self.together = self.silent = self.gap = 0
        self.unsure = False


@dataclass(slots=True)
class _Sums:
    """Counts of windows, and turns."""

    talk: int = 0
    citizen: int = 0
    together: int = 0
    citizen_turns: int = 0
    changes: int = 0
    cut_ins: int = 0
    longest_silence: int = 0
    first_ns: int | None = None
    last_ns: int = 0
    gaps: deque[int] = field(default_factory=deque)


class DialogueMeter:
    """Follows the speaker of each window; holds counts and no time line."""

    def __init__(self, config: DialogueConfig | None = None) -> None:
        """Start with nothing heard."""
        self._config = config or DialogueConfig()
        self._least_turn = max(1, round(self._config.least_turn_s / WINDOW_S))
        self._least_together = max(1, round(self._config.least_together_s / WINDOW_S))
        self._pause = max(1, round(self._config.pause_s / WINDOW_S))
        self._sums = _Sums(gaps=deque(maxlen=self._config.remembered))
        self._floor = _Floor()
        self._silence = 0
        self._at_once = 0

    def add(self, role: Role, start_ns: int) -> None:
        """Take the speaker of the next window and its capture time."""
        sums = self._sums
        if role is Role.BOTH:
            self._at_once += 1
        else:
            self._end_talk_at_once()
        if role in _SPEECH:
            sums.talk += role is not Role.BOTH
            sums.citizen += role is Role.CITIZEN
            if sums.first_ns is None:
                sums.first_ns = start_ns
            else:
                sums.longest_silence = max(sums.longest_silence, self._silence)
            sums.last_ns = start_ns + _WINDOW_NS
        self._silence = self._silence + 1 if role is Role.NOBODY else 0
        self._follow(role)

    def interrupt(self) -> None:
        """Note that the time line breaks here: nothing is counted across it."""
        self._end_talk_at_once()
        self._silence = 0
        self._floor = _Floor()

    def dynamics(self, *, compared: bool) -> DialogueDynamics:
        """Return what was counted so far; `compared` says whether there were two microphones."""
        sums = self._sums
        together = sums.together + (self._at_once if self._at_once >= self._least_together else 0)
        talk, citizen = sums.talk + together, sums.citizen + together
        return DialogueDynamics(
            span_s=0.0 if sums.first_ns is None else (sums.last_ns - sums.first_ns) / _NS,
            talk_s=talk * WINDOW_S,
            citizen_s=citizen * WINDOW_S,
            together_s=together * WINDOW_S,
            citizen_turns=sums.citizen_turns,
            changes=sums.changes,
            cut_ins=sums.cut_ins,
            gap_median_s=median(sums.gaps) * WINDOW_S if sums.gaps else None,
            longest_silence_s=sums.longest_silence * WINDOW_S,
            compared=compared,
        )

    def _end_talk_at_once(self) -> None:
        if self._at_once >= self._least_together:
            self._sums.together += self._at_once
        self._at_once = 0

    def _follow(self, role: Role) -> None:
        """Follow whose turn it is."""
        floor = self._floor
        if role is floor.holder:
            floor.clear()
        elif role in _NAMED:
            floor.silent = 0
            floor.other += 1
            if floor.other >= self._least_turn:
                self._pass_to(role)
        elif role is Role.BOTH:
            floor.together += 1
            floor.silent = 0
        elif role is Role.UNSURE:
            floor.unsure = True
        else:
            floor.silent += 1
            floor.gap += floor.other == 0
            if floor.silent >= self._pause:
                floor.together = 0

    def _pass_to(self, role: Role) -> None:
        floor, sums = self._floor, self._sums
        sums.citizen_turns += role is Role.CITIZEN
        if floor.holder is not None:
            sums.changes += 1
            if floor.together >= self._least_together:
                sums.cut_ins += 1
            elif not floor.unsure:
                sums.gaps.append(floor.gap)
        floor.holder = role
        floor.clear()
