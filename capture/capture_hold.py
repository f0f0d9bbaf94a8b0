"""The stop of all capture at an edge whose consent log the centre contradicts.

A log that does not continue the one the centre keeps may lack withdrawals: nothing is captured with it, also
after a restart without the network, until the centre has taken the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from capture.identity import write_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

_log = structlog.get_logger(__name__)


class CaptureHold:
    """Why nothing may be captured, kept in a file; give its `bound` to the gate.

    Args:
        path: The file; it is there while capture is stopped.
        bound: The other bound of leases, asked while nothing is stopped.
    """

    def __init__(self, path: Path, bound: Callable[[UUID], int | None]) -> None:
        """Read what an earlier run left."""
        self._path = path
        self._bound = bound
        self._reason = path.read_text(encoding="utf-8") or "unknown" if path.exists() else None

    @property
    def reason(self) -> str | None:
        """Why nothing may be captured; None while it may."""
        return self._reason

    def stop(self, reason: str) -> None:
        """End every lease and grant no more, also after a restart."""
        self._reason = reason
        _log.error("capture_stopped", reason=reason)
        try:
            write_private(self._path, reason.encode())
        except OSError as error:  # it holds in memory all the same
            _log.error("capture_stop_not_kept", path=str(self._path), error=str(error))

    def lift(self) -> None:
        """Allow capture again: the centre has taken the log."""
        if self._reason is not None:
            self._path.unlink(missing_ok=True)
            self._reason = None
            _log.info("capture_allowed_again")

    def bound(self, record_id: UUID) -> int | None:
        """Return until when a consent may be believed: not at all while capture is stopped."""
        return 0 if self._reason is not None else self._bound(record_id)
