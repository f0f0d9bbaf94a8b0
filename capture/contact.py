"""The contact lease: who can be withdrawn from afar is captured only while that can get through.

A citizen whose consent the centre knows may take it back on any page of the centre. When
nothing has been heard from there for a minute, the edge can no longer know whether they
did, so the capture ends. A session that began offline is not bound: the centre has never
heard of it, nobody can withdraw it there, and the button on the kiosk works.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from consent.state import PERMITTING
from consent.uptime import uptime_ns

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from consent.event import LoggedEvent

SHORTEST_S: Final = 5.0
LONGEST_S: Final = 60.0
"""The bound of the specification: a withdrawal reaches an edge that is offline in this time."""


class ContactLease:
    """Bounds leases by the last contact with the centre; give its `bound` to the gate.

    Safe to share between threads; what the gate asks for at each unit is one look into a
    dictionary.

    Args:
        lease_s: How long the last contact is good for, 5 to 60.
        monotonic_ns: Clock of the leases; the gate's.
    """

    def __init__(self, lease_s: float = LONGEST_S, *, monotonic_ns: Callable[[], int] = uptime_ns) -> None:
        """Begin without any contact: nothing is bound."""
        if not SHORTEST_S <= lease_s <= LONGEST_S:
            raise ValueError(f"the contact lease is {SHORTEST_S:.0f} to {LONGEST_S:.0f} s, not {lease_s}")
        self._lease_ns = int(lease_s * 1e9)
        self._monotonic_ns = monotonic_ns
        self._lock = threading.Lock()
        self._given: dict[UUID, int] = {}
        self._acknowledged = 0
        self._contact_ns = 0

    def note(self, logged: LoggedEvent) -> None:
        """Remember where the log holds a live consent; a listener of the consent store."""
        event = logged.event
        with self._lock:
            if event.state in PERMITTING:
                self._given[event.record_id] = logged.index
            elif event.state is not None:
                self._given.pop(event.record_id, None)

    def began(self) -> int:
        """Return the time to hand to `heard`: take it before the centre is asked."""
        return self._monotonic_ns()

    def heard(self, since_ns: int, acknowledged: int) -> None:
        """Note an answer of the centre.

        Args:
            since_ns: When it was asked: a withdrawal that came while it answered is not in its answer.
            acknowledged: How many entries of this edge's log it has.
        """
        with self._lock:
            self._contact_ns = max(self._contact_ns, since_ns)
            self._acknowledged = max(self._acknowledged, acknowledged)

    def bound(self, record_id: UUID) -> int | None:
        """Return until when a consent may be believed, None while the centre does not know it."""
        with self._lock:
            index = self._given.get(record_id)
            if index is None or index >= self._acknowledged:
                return None
            return self._contact_ns + self._lease_ns
