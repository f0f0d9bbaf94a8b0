"""States of one consent and the steps between them, as data."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from consent.errors import TransitionRefused


class State(StrEnum):
    """Where one consent stands."""

    OFFERED = "offered"
    GIVEN = "given"
    REFUSED = "refused"
    DEFERRED = "deferred"
    """The time to answer ran out: a no that nobody spoke. Or a child is there, and nobody is asked."""
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    COMPLETED = "completed"
    REVOKED = "revoked"
    """The controller stopped: a second face, a child, an error of staff."""
    INVALIDATED = "invalidated"
    """The authority stopped it."""


TRANSITIONS: Final[Mapping[State, frozenset[State]]] = MappingProxyType(
    {
        State.OFFERED: frozenset({State.GIVEN, State.REFUSED, State.DEFERRED}),
        State.GIVEN: frozenset(
            {State.WITHDRAWN, State.EXPIRED, State.COMPLETED, State.REVOKED, State.INVALIDATED}
        ),
        State.COMPLETED: frozenset({State.WITHDRAWN}),
        State.EXPIRED: frozenset({State.WITHDRAWN}),
        State.REFUSED: frozenset(),
        State.DEFERRED: frozenset(),
        State.WITHDRAWN: frozenset(),
        State.REVOKED: frozenset(),
        State.INVALIDATED: frozenset(),
    }
)
"""Every step that exists. What is not listed is refused.

An expired consent left a signal as a completed one does, so it can be withdrawn late as well.
"""

PERMITTING: Final = frozenset({State.GIVEN})
"""The only state in which a device may be open."""

DECIDED: Final = frozenset({State.GIVEN, State.REFUSED})
"""States that only a decision of the citizen leads to."""

KEEPING: Final = frozenset({State.COMPLETED, State.EXPIRED})
"""States in which what was derived under the consent may stay."""

ERASING: Final = frozenset({State.WITHDRAWN, State.INVALIDATED})
"""States that ask for the erasure of what was derived."""


def check_step(before: State, after: State) -> None:
    """Refuse a step that the machine does not have.

    Raises:
        TransitionRefused: With the steps that would be possible.
    """
    if after not in TRANSITIONS[before]:
        possible = ", ".join(sorted(TRANSITIONS[before])) or "none, this state is final"
        raise TransitionRefused(f"a consent that is {before} cannot become {after}; possible: {possible}")
