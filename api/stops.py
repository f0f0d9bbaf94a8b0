"""How often capture was stopped, or not asked for, at each counter and day: counted from the edges' logs.

The officer's switch and the second-face rule protect people who were not asked. Used too often they would
hide unhappy citizens, so their counts are published to auditors, who count them again from the logs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final
from uuid import UUID

from api.trends import local_time
from consent.entry import EntryKind, SessionStarted
from consent.event import Event, EventKind
from consent.state import State
from consent.stopping import StopMethod

KINDS: Final = (
    EventKind.OFFERED.value,
    EventKind.DEFERRED.value,
    EventKind.REVOKED.value,
    EntryKind.SESSION_STARTED.value,
)
"""Kinds of entries that these counts are made of."""
_METHODS: Final = frozenset(method.value for method in StopMethod)


@dataclass(slots=True)
class StopTally:
    """Counts entries of edges' logs in their order; a service belongs to the day on which it began."""

    _places: dict[UUID, str] = field(default_factory=dict)
    _counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def take(self, entry: object) -> None:
        """Count one entry; those of other kinds change nothing."""
        if isinstance(entry, Event):
            if entry.kind is EventKind.OFFERED and entry.record is not None:
                self._places[entry.record_id] = _place(entry.record.counter, _day(entry))
                self._add(entry.record_id, "services")
            elif entry.state in {State.DEFERRED, State.REVOKED} and entry.method in _METHODS:
                self._add(entry.record_id, entry.method)
        elif isinstance(entry, SessionStarted):
            self._add(entry.record_id, "sessions")

    def document(self) -> dict[str, Any]:
        """Return counter and day -> services, sessions, and stops by method."""
        return {place: dict(sorted(counts.items())) for place, counts in sorted(self._counts.items())}

    def _add(self, record_id: UUID, name: str) -> None:
        place = self._places.get(record_id)
        if place is None:  # an entry without an offer is an anomaly of its edge and counts nowhere
            return
        empty = {"services": 0, "sessions": 0} | dict.fromkeys(_METHODS, 0)
        self._counts.setdefault(place, empty)[name] += 1


def _place(counter: str, day: date) -> str:
    return f"{counter} {day.isoformat()}"


def _day(entry: Event) -> date:
    assert entry.record is not None  # noqa: S101 - looked at by the caller
    return local_time(entry.record.offered_at).date()
