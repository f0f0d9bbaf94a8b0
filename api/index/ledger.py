"""Visits and consents of counters and days, counted again from the edges' logs up to where a release was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from datetime import date
from typing import Final
from uuid import UUID

from api.projection import Consent, Told, fold
from api.trends import local_time
from consent.state import State

COUNTS: Final = ("visits", "given", "refused", "slots", "lost", "gap_ms", "consented_ms")
_NOT_STANDING: Final = frozenset({State.REFUSED.value, State.WITHDRAWN.value, State.INVALIDATED.value})
Days = Mapping[tuple[str, date], Mapping[str, int]]
"""Counter and day -> counts."""


class _Anything(Container[str]):
    """Every counter: which ones an edge served is not in its log."""

    def __contains__(self, _: object) -> bool:
        return True


class LedgerRecount:
    """Folds the entries of edges' logs as the centre does, and keeps the counts at the sizes asked for.

    Args:
        wanted: Edge and size of its log, for each count that will be asked for.
    """

    def __init__(self, wanted: Iterable[tuple[UUID, int]]) -> None:
        """Prepare; nothing is read."""
        self._wanted: dict[UUID, list[int]] = defaultdict(list)
        for edge, size in sorted(set(wanted)):
            self._wanted[edge].append(size)
        self._rows: dict[UUID, dict[UUID, Consent]] = defaultdict(dict)
        self._kept: dict[tuple[UUID, int], Days] = {}

    def take(self, edge: UUID, index: int, entry: object) -> None:
        """Fold one entry; those of one edge come in their order."""
        waiting = self._wanted.get(edge)
        if waiting and isinstance(entry, Told):
            fold(self._rows[edge], index, entry, edge, _Anything())
        if waiting and waiting[0] == index + 1:
            self._kept[edge, waiting.pop(0)] = _days(self._rows[edge].values())

    def of(self, edge: UUID, size: int) -> Days | None:
        """Return the counts as of a size; None where the log that was read is shorter."""
        return self._kept.get((edge, size))


def _days(rows: Iterable[Consent]) -> Days:
    found: dict[tuple[str, date], dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for row in rows:
        counts = found[row.counter, local_time(row.offered_at).date()]
        counts["visits"] += 1
        counts["given"] += row.decided_at is not None and row.state not in _NOT_STANDING
        counts["refused"] += row.state == State.REFUSED.value
        counts["slots"] += row.session_started_at is not None
        counts["lost"] += row.lost
        counts["gap_ms"] += row.gap_ms
        counts["consented_ms"] += row.consented_ms or 0
    return dict(found)
