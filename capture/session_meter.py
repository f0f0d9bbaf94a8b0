"""What a session's slot in the consent log says of it: how much was read, and when nothing came."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from consent.entry import Processed, SessionSummary
from consent.errors import ConsentError
from inference.media import Frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from capture.source import MediaUnit, SourceHealth
    from consent.entry import Outcome
    from consent.gate import Permitted
    from consent.ledger import ConsentStore

_log = structlog.get_logger(__name__)
_LOOK_S: Final = 1.0
"""Pause between two looks at the health of the devices."""
_FRAME_MS: Final = 2000
"""Two pictures further apart than this have a gap between them, not picture."""
_WORTH_MS: Final = 500
"""Dropped sound of this length is an entry of its own; less waits for the end of the session."""


class SessionMeter:
    """Counts one session and writes its gaps into the log as they end.

    Args:
        store: The consent log.
        record_id: The consent of the session.
        health: Tells how the devices do.
    """

    def __init__(self, store: ConsentStore, record_id: UUID, health: Callable[[], SourceHealth]) -> None:
        """Start at nothing."""
        self.units = 0
        self._store = store
        self._record_id = record_id
        self._health = health
        self._image_ns = self._voice_ns = 0
        self._last_frame: tuple[int, int] | None = None
        self._losses = self._gap_ms = 0
        self._looked_s = time.monotonic()

    def take(self, permitted: Permitted[MediaUnit]) -> None:
        """Count a unit, on the media's own clock; the unit is not kept.

        Raises:
            NotPermitted: Its lease has ended.
        """
        unit = permitted.open()
        self.units += 1
        if isinstance(unit, Frame):
            if self._last_frame is not None and self._last_frame[0] == unit.segment:
                between_ns = unit.captured_ns - self._last_frame[1]
                self._image_ns += between_ns if 0 < between_ns <= _FRAME_MS * 1_000_000 else 0
            self._last_frame = unit.segment, unit.captured_ns
        else:
            self._voice_ns += unit.duration_ns
        if time.monotonic() - self._looked_s >= _LOOK_S:
            self.log_gap()

    def log_gap(self, *, worth_ms: int = _WORTH_MS) -> None:
        """Write what was lost since the last such entry; what cannot be written waits for the next."""
        self._looked_s = time.monotonic()
        losses, gap_ms = self._lost()
        lost, lost_ms = losses - self._losses, gap_ms - self._gap_ms
        if lost <= 0 and lost_ms < worth_ms:
            return
        try:
            self._store.gap(self._record_id, losses=max(lost, 0), gap_ms=max(lost_ms, 0))
        except ConsentError as error:
            _log.warning("capture gap not logged", record=str(self._record_id), error=str(error))
        else:
            self._losses, self._gap_ms = losses, gap_ms

    def summary(self, outcome: Outcome, commitment: str | None = None) -> SessionSummary:
        """Return what the end of the session says."""
        losses, gap_ms = self._lost()
        return SessionSummary(
            processed_ms=Processed(self._image_ns // 1_000_000, self._voice_ns // 1_000_000),
            units=self.units,
            gaps=losses,
            gap_ms=gap_ms,
            outcome=outcome,
            commitment=commitment,
        )

    def _lost(self) -> tuple[int, int]:
        health = self._health()
        return health.reconnects, round((health.gap_s + health.dropped_s) * 1000)
