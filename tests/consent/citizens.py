"""What the consent tests share: clocks that only move when told, records, and devices with a tripwire."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from consent.notice import NoticeShelf
from consent.purpose import Purpose
from consent.record import ConsentRecord, draft
from consent.terms import Terms, load_terms

if TYPE_CHECKING:
    from collections.abc import Callable

BOTH: Final = (Purpose.IMAGE, Purpose.VOICE)
ALL_GIVEN: Final = dict.fromkeys(BOTH, True)


@dataclass
class Clocks:
    """A monotonic clock and a wall clock that jumps as it likes."""

    mono_ns: int = 10_000_000_000
    wall: datetime = datetime(2026, 11, 2, 8, tzinfo=UTC)

    def monotonic_ns(self) -> int:
        return self.mono_ns

    def now(self) -> datetime:
        return self.wall

    def advance(self, seconds: float) -> None:
        self.mono_ns += int(seconds * 1e9)
        self.wall += timedelta(seconds=seconds)


@cache
def _shelf() -> NoticeShelf:
    return NoticeShelf.load()


def citizen(
    purposes: tuple[Purpose, ...] = BOTH,
    *,
    language: str = "vi",
    validity_s: int = 3600,
    terms: Terms | None = None,
    subject_pseudonym: str | None = None,
) -> ConsentRecord:
    """A record of a citizen who is about to be asked."""
    notice = _shelf().current(language)
    return draft(
        counter="quay-1",
        notice=notice.reference(purposes),
        purposes=purposes,
        categories=notice.categories(purposes),
        terms=terms or load_terms(),
        offered_at=datetime(2026, 11, 2, 8, tzinfo=UTC),
        validity_s=validity_s,
        subject_pseudonym=subject_pseudonym,
    )


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Sample:
    """A unit of media that is only a number."""

    purpose: Purpose
    index: int


@dataclass
class Tripwire:
    """A source that notes each opening and each unit it gives, with the time of it."""

    clock: Callable[[], int]
    opened: list[tuple[int, frozenset[Purpose]]] = field(default_factory=list)
    served: list[tuple[int, Purpose]] = field(default_factory=list)
    closed: int = 0
    while_reading: Callable[[], object] | None = None
    stray: Purpose | None = None
    limit: int | None = None
    """Units before the end of the stream; then `read` gives None."""

    def open(self, purposes: frozenset[Purpose]) -> TripwireDevice:
        self.opened.append((self.clock(), purposes))
        return TripwireDevice(self, tuple(sorted(purposes)))


class TripwireDevice:
    def __init__(self, source: Tripwire, purposes: tuple[Purpose, ...]) -> None:
        self._source = source
        self._purposes = purposes
        self._open = True
        self.interrupted = threading.Event()

    def read(self) -> Sample | None:
        source, index = self._source, len(self._source.served)
        assert self._open, "read after close"
        if source.limit is not None and index >= source.limit:
            return None
        purpose = source.stray or self._purposes[index % len(self._purposes)]
        source.served.append((source.clock(), purpose))
        if source.while_reading is not None:
            happens, source.while_reading = source.while_reading, None
            happens()
        return Sample(purpose, index)

    def interrupt(self) -> None:
        self.interrupted.set()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._source.closed += 1
