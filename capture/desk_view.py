"""What a desk shows: to the citizen's screen, to the officer's page, and on the slip."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from capture.procedures import Procedure
    from consent.purpose import Purpose
    from consent.receipt import Receipt
    from consent.record import ConsentRecord
    from consent.state import State


class Phase(StrEnum):
    """What the citizen's screen shows."""

    IDLE = "idle"
    ASKING = "asking"
    CAPTURING = "capturing"
    SERVING = "serving"
    """The service goes on and nothing is captured, whatever the reason."""
    RATING = "rating"
    """The service is over: how was it?"""
    RECEIPT = "receipt"
    THANKS = "thanks"


@dataclass(frozen=True, slots=True)
class DeskView:
    """What a desk looks like now.

    Attributes:
        counter: Code of the counter.
        phase: What the citizen's screen shows.
        record_id: The consent of the service under way, or of the one that just ended.
        state: Its state; None without one.
        purposes: What was given; empty while the answer is open.
        capture_on: Whether a device may be open now: what the lamp shows.
        remaining_s: Time left for a page that does not stay; None for the others.
        service_open: Whether a citizen is being served.
        ended_how: The method of the step that ended the consent or the question; None before, and where
            it is not known.
        procedure: What the service is about, which its ballot will carry; None where nobody said.
    """

    counter: str
    phase: Phase
    record_id: UUID | None
    state: State | None
    purposes: frozenset[Purpose]
    capture_on: bool
    remaining_s: float | None
    service_open: bool
    ended_how: str | None = None
    procedure: Procedure | None = None


@dataclass(frozen=True, slots=True)
class OfficerView:
    """All that an officer may see: what officers did themselves.

    Attributes:
        service_open: Whether a citizen is being served.
        with_child: Whether the officer declared that a child is there in this service.
        procedures: What the officer may choose from now: nothing without a service or a choice.
        procedure: Code of the one that this service is about, as the officer chose it.
    """

    service_open: bool
    with_child: bool
    procedures: tuple[Procedure, ...] = ()
    procedure: str | None = None


@dataclass(frozen=True, slots=True)
class Slip:
    """What the citizen can take home.

    Attributes:
        record: What was asked and answered.
        code: Takes the consent back.
        receipt: Proof of the answer; None while the log cannot be read or nothing signs it.
        quotes_until: When redacted quotes are removed at the latest; None where none may be kept.
    """

    record: ConsentRecord
    code: str
    receipt: Receipt | None
    quotes_until: datetime | None = None
