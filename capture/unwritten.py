"""Steps that the consent log could not take yet; they survive a restart.

What a step ends has ended before anything is written. The step itself must not be
forgotten: a late withdrawal that met a full disk, and then a power cut, is still one. The
file has its final size from the start, so that a full disk does not refuse it.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

import structlog

from consent.errors import ConsentError, LedgerError, LedgerUnavailable
from consent.ledger import ConsentStore
from consent.record import IndicatedBy
from consent.state import State

_log = structlog.get_logger(__name__)
_SLOT_BYTES: Final = 256
"""Half a disk sector: one slot is written whole or not at all."""
_SLOTS: Final = 256
_BLANK: Final = b" " * (_SLOT_BYTES - 1) + b"\n"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a consent that must reach the log."""

    record_id: UUID
    to: State
    by: IndicatedBy
    method: str

    def line(self) -> bytes:
        """Return the step as one slot of the file."""
        document = {"by": self.by, "method": self.method, "record": str(self.record_id), "to": self.to}
        return json.dumps(document).encode().ljust(_SLOT_BYTES - 1) + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Self:
        """Read a slot; ValueError when it holds no step."""
        document: dict[str, Any] = json.loads(line)
        return cls(
            UUID(document["record"]),
            State(document["to"]),
            IndicatedBy(document["by"]),
            str(document["method"]),
        )


class UnwrittenSteps:
    """Takes steps to the consent log, now or later; safe to share between threads.

    Args:
        store: The consent log.
        path: The file that keeps what waits; None keeps it in memory only.
    """

    def __init__(self, store: ConsentStore, path: Path | None = None) -> None:
        """Read what an earlier run left."""
        self._store = store
        self._path = path
        self._lock = threading.RLock()
        self._waiting: dict[int, Step] = {}
        if path is not None:
            self._open(path)

    def take(self, step: Step) -> bool:
        """Take a step to the log; where that cannot be written, keep it for `retry`.

        Returns:
            Whether it is in the log now.

        Raises:
            ConsentError: The step does not exist from the record's state, or there is no such record.
        """
        try:
            self._store.apply(step.record_id, step.to, step.by, step.method)
        except LedgerError as error:  # what it ends has ended; the entry is written when it can be
            _log.error("consent_step_waits", step=step.to, error=str(error))
            self._keep(step)
            return False
        return True

    def retry(self) -> int:
        """Take what waits to the log; returns how many steps still wait."""
        with self._lock:
            for slot, step in self._in_order():
                try:
                    self._store.apply(step.record_id, step.to, step.by, step.method)
                except LedgerUnavailable:
                    break
                except LedgerError:  # a damaged log may be restored: the step must still be there
                    continue
                except ConsentError as error:  # written before a crash, or ended in another way
                    _log.warning("consent_step_not_needed", step=step.to, error=str(error))
                del self._waiting[slot]
                self._write(slot, _BLANK)
            return len(self._waiting)

    def records(self) -> frozenset[UUID]:
        """Return the records whose steps wait: nothing of them leaves this machine."""
        with self._lock:
            return frozenset(step.record_id for step in self._waiting.values())

    def waiting(self, record_id: UUID) -> Step | None:
        """Return the step of a record that the log takes next; None where none waits."""
        with self._lock:
            return next((step for _, step in self._in_order() if step.record_id == record_id), None)

    def __len__(self) -> int:
        """Return how many steps wait."""
        return len(self._waiting)

    def _in_order(self) -> list[tuple[int, Step]]:
        """Return what waits, the citizens' own word first: of two ends of one consent the log takes one."""
        return sorted(self._waiting.items(), key=lambda item: (item[1].to is not State.WITHDRAWN, item[0]))

    def _keep(self, step: Step) -> None:
        with self._lock:
            if step in self._waiting.values():
                return
            slot = next((free for free in range(_SLOTS) if free not in self._waiting), len(self._waiting))
            self._waiting[slot] = step
            if slot < _SLOTS:  # beyond that in memory only: the log has then failed 256 times
                self._write(slot, step.line())

    def _open(self, path: Path) -> None:
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_BLANK * _SLOTS)
                file.flush()
                os.fsync(file.fileno())
        content = path.read_bytes()
        for slot in range(min(_SLOTS, len(content) // _SLOT_BYTES)):
            line = content[slot * _SLOT_BYTES : (slot + 1) * _SLOT_BYTES].strip()
            if line:
                try:
                    self._waiting[slot] = Step.read(line)
                except (ValueError, KeyError, TypeError) as error:
                    _log.error("consent_step_unreadable", path=str(path), slot=slot, error=str(error))

    def _write(self, slot: int, line: bytes) -> None:
        if self._path is None or slot >= _SLOTS:
            return
        try:
            with self._path.open("r+b") as file:
                file.seek(slot * _SLOT_BYTES)
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:  # it is in memory all the same
            _log.error("consent_step_not_kept", path=str(self._path), error=str(error))
