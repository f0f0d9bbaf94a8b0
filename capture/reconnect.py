"""Open a lost source again: back-off with jitter, a budget, and every gap reported."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from capture.errors import CaptureError
from capture.source import MediaDevice, MediaSource, MediaUnit, SourceHealth, SourceState
from consent.purpose import Purpose

_GAPS_KEPT = 64
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReconnectPolicy:
    """How a lost source is opened again.

    Attributes:
        first_delay_s: Wait before the first try.
        max_delay_s: Longest wait; it doubles from the first to here.
        jitter: Share by which each wait is varied, so many edges do not knock at once.
        budget_s: How long one loss is fought before it is reported; None is for ever.
        stable_s: How long a source must run before the waits start from the first again.
    """

    first_delay_s: float = 0.1
    max_delay_s: float = 5.0
    jitter: float = 0.2
    budget_s: float | None = 120.0
    stable_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without units.

    Attributes:
        from_ns: Capture time of the last unit before it.
        to_ns: Capture time of the first unit after it.
        reason: What went wrong, in words.
    """

    from_ns: int
    to_ns: int
    reason: str


class Connectable(MediaSource, Protocol):
    """A source that can begin to open without waiting."""

    def connect(self, purposes: frozenset[Purpose]) -> MediaDevice:
        """Begin to open; errors may come out of the first `read`."""


class ReconnectingSource:
    """A source whose devices survive losses.

    Args:
        source: The source itself.
        policy: How it is opened again.
        jitter: Source of the variation; a seeded one makes tests repeatable.
        on_gap: Called with each gap as it ends.
    """

    def __init__(
        self,
        source: Connectable,
        policy: ReconnectPolicy | None = None,
        *,
        jitter: random.Random | None = None,
        on_gap: Callable[[Gap], None] | None = None,
    ) -> None:
        """Wrap a source; nothing is opened."""
        self._source = source
        self.policy = policy or ReconnectPolicy()
        self._jitter = jitter or random.SystemRandom()
        self._on_gap = on_gap
        self._reconnects = 0
        self._gap_ns = 0
        self._waiting = False
        self._gaps: deque[Gap] = deque(maxlen=_GAPS_KEPT)

    @property
    def address(self) -> str:
        """Public address, without credentials."""
        return self._source.address

    @property
    def offers(self) -> frozenset[Purpose]:
        """The purposes it can serve."""
        return self._source.offers

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The latest gaps, oldest first."""
        return tuple(self._gaps)

    def describe(self) -> str:
        """Say what it is."""
        return f"{self._source.describe()}, reconnecting"

    def health(self) -> SourceHealth:
        """Tell how it does."""
        inner = self._source.health()
        return dataclasses.replace(
            inner,
            state=SourceState.WAITING if self._waiting else inner.state,
            reconnects=self._reconnects,
            gap_s=self._gap_ns / 1e9,
        )

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        """Begin to open; a source that is not there yet is waited for in `read`.

        Raises:
            CaptureError: What trying again cannot mend.
        """
        return _ReconnectingDevice(self, purposes)

    def connect(self, purposes: frozenset[Purpose]) -> MediaDevice:
        """Open the source itself once."""
        return self._source.connect(purposes)

    def delay_s(self, attempt: int) -> float:
        """Return the wait before a try, numbered from 0."""
        policy = self.policy
        plain_s = min(policy.max_delay_s, policy.first_delay_s * 2.0 ** min(attempt, 30))
        return plain_s * (1 + policy.jitter * self._jitter.uniform(-1, 1))

    def note_waiting(self, *, waiting: bool) -> None:
        """Note whether a device waits to be opened again."""
        self._waiting = waiting

    def note_reconnect(self, gap: Gap | None) -> None:
        """Count a successful return, with the gap it ends."""
        self._reconnects += 1
        if gap is None:
            return
        self._gap_ns += max(0, gap.to_ns - gap.from_ns)
        self._gaps.append(gap)
        _log.info("The source is back.", source=self.address, gap_s=round((gap.to_ns - gap.from_ns) / 1e9, 2))
        if self._on_gap is not None:
            self._on_gap(gap)


class _ReconnectingDevice:
    def __init__(self, source: ReconnectingSource, purposes: frozenset[Purpose]) -> None:
        self._source = source
        self._policy = source.policy
        self._purposes = purposes
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._device: MediaDevice | None = None
        self._attempt = 0
        self._lost_at_s: float | None = None
        self._running_since_s: float | None = None
        self._reason = ""
        self._last_ns: int | None = None
        self._segment = 0
        self._base = 0
        self._indices: dict[Purpose, int] = {}
        try:
            self._connect()
        except CaptureError as error:
            if not error.retryable:
                raise
            self._lose(error)

    def read(self) -> MediaUnit | None:
        while not self._stop.is_set():
            try:
                device = self._device
                if device is None:
                    self._wait()
                    self._connect()
                    continue
                unit = device.read()
            except CaptureError as error:
                if not error.retryable:
                    raise
                self._lose(error)
                continue
            if self._stop.is_set():
                return None
            return None if unit is None else self._placed(unit)
        return None

    def _connect(self) -> None:
        device = self._source.connect(self._purposes)
        with self._guard:
            if not self._stop.is_set():
                self._device = device
                return
        device.close()

    def _wait(self) -> None:
        self._stop.wait(self._source.delay_s(self._attempt))
        self._attempt += 1

    def _lose(self, error: CaptureError) -> None:
        """Note a loss and let the device go; raise the error once the budget is spent."""
        now_s = time.monotonic()
        with self._guard:
            device, self._device = self._device, None
        if device is not None:
            device.close()
        if self._stop.is_set():
            return
        ran_s = now_s - self._running_since_s if self._running_since_s is not None else 0.0
        if ran_s >= self._policy.stable_s:
            self._attempt = 0
        if self._lost_at_s is None or ran_s >= self._policy.stable_s:
            self._lost_at_s = now_s
        self._running_since_s = None
        # The first reason says what happened; those after it only that it goes on.
        self._reason = self._reason or str(error)
        self._source.note_waiting(waiting=True)
        _log.warning("The source is lost.", source=self._source.address, reason=str(error))
        budget_s = self._policy.budget_s
        if budget_s is not None and now_s - self._lost_at_s > budget_s:
            raise type(error)(
                f"{error} It did not come back within {budget_s:g} s; reconnecting was given up."
            ) from error

    def _placed(self, unit: MediaUnit) -> MediaUnit:
        now_s = time.monotonic()
        if self._running_since_s is None:
            self._running_since_s = now_s
            self._source.note_waiting(waiting=False)
            if self._reason:
                # A gap can be measured only where something came before it.
                gap = None if self._last_ns is None else Gap(self._last_ns, unit.captured_ns, self._reason)
                self._source.note_reconnect(gap)
                self._reason = ""
                self._base = self._segment + 1 if self._last_ns is not None else 0
        elif now_s - self._running_since_s >= self._policy.stable_s:
            self._attempt = 0
            self._lost_at_s = None
        self._last_ns = max(self._last_ns or 0, unit.captured_ns)
        index = self._indices.get(unit.purpose, 0)
        self._indices[unit.purpose] = index + 1
        segment = self._base + unit.segment
        self._segment = max(self._segment, segment)
        if unit.index == index and unit.segment == segment:
            return unit
        return dataclasses.replace(unit, index=index, segment=segment)

    def interrupt(self) -> None:
        self._stop.set()
        with self._guard:
            device = self._device
        if device is not None:
            device.interrupt()

    def close(self) -> None:
        self.interrupt()
        with self._guard:
            device, self._device = self._device, None
        if device is not None:
            device.close()
        self._source.note_waiting(waiting=False)
