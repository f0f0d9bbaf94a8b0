"""Live devices: a thread opens, reads and decodes; the reader takes the newest.

FFmpeg's calls block, so they run in a thread of the device's own. The reader waits on a
condition that `interrupt` wakes at once. Once interrupted, the thread decodes nothing
beyond the unit it is working on, and what waits is discarded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from capture.clock import CaptureClock
from capture.container import Opening, UnitReader, open_container
from capture.errors import CaptureError, SourceLost, SourceSilent
from capture.newest import BoundedQueue, DropPolicy, NewestSlot
from capture.source import SENSED, EmptyDevice, MediaDevice, MediaUnit, SourceHealth, SourceState, Tally
from consent.purpose import Purpose
from inference.media import AudioChunk, Frame

_CLOSE_LIMIT_S = 8.0
"""Opening may block for 3 s and a read for 2 s; the rest is for a slow machine."""

_CUT_S = 1.0
"""How much shorter than it says a stream may be and still count as ended."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LivePolicy:
    """Limits of a live device.

    Attributes:
        silence_limit_s: Age of the newest unit of a kind beyond which the device counts as frozen.
        first_unit_limit_s: The same for the first unit: cameras warm up, and a picture
            cannot be decoded before its first key frame.
        audio_queue_chunks: Chunks that wait for a slow reader; 128 are 8 s.
        paced: Whether units wait for their time (synthetic sources are faster than real ones).
    """

    silence_limit_s: float = 4.0
    first_unit_limit_s: float = 10.0
    audio_queue_chunks: int = 128
    paced: bool = False


class LiveDevice:
    """One opened live source.

    Args:
        opening: How to open it.
        purposes: What may be captured.
        tally: Counts.
        policy: Limits.
    """

    def __init__(
        self, opening: Opening, purposes: frozenset[Purpose], *, tally: Tally, policy: LivePolicy
    ) -> None:
        """Start the thread that opens the source."""
        self._opening = opening
        self._purposes = purposes
        self._tally = tally
        self._policy = policy
        self._changed = threading.Condition()
        self._frames = NewestSlot[Frame](self._changed)
        self._chunks = BoundedQueue[AudioChunk](
            policy.audio_queue_chunks, DropPolicy.DROP_OLDEST, self._changed
        )
        self._stop = threading.Event()
        self._opened = False
        self._ended = False
        self._error: Exception | None = None
        self._due_ns: dict[Purpose, int] = {}
        tally.state = SourceState.OPENING
        self._thread = threading.Thread(target=self._run, name=f"capture {opening.shown}", daemon=True)
        self._thread.start()

    def wait_opened(self) -> None:
        """Wait until the source is open.

        Raises:
            CaptureError: It did not open.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._opened or self._ended or self._stop.is_set())
            if self._error is not None and not self._opened:
                raise self._error

    def read(self) -> MediaUnit | None:
        """Give the unit that was captured first among those waiting; wait for one if there is none.

        Raises:
            SourceUnavailable: It did not open.
            SourceLost: It broke off.
            SourceSilent: It is open, and one of its kinds gives nothing any more.
        """
        with self._changed:
            while not self._stop.is_set():
                silent_in_s = self._silent_in_s()
                unit = self._take()
                if unit is not None:
                    return unit
                if self._error is not None:
                    raise self._error
                if self._ended:
                    return None
                self._changed.wait(silent_in_s)
            return None

    def _take(self) -> MediaUnit | None:
        frame, chunk = self._frames.peek(), self._chunks.peek()
        if chunk is not None and (frame is None or chunk.captured_ns <= frame.captured_ns):
            return self._chunks.take()
        return self._frames.take()

    def _silent_in_s(self) -> float | None:
        """Return how long the kinds may stay silent still; raise if one did for too long."""
        if not self._due_ns or self._ended:
            return None
        kind, due_ns = min(self._due_ns.items(), key=lambda item: item[1])
        left_s = (due_ns - time.monotonic_ns()) / 1e9
        if left_s > 0:
            return left_s
        what = "picture" if kind is Purpose.IMAGE else "sound"
        error = SourceSilent(
            f"{self._opening.shown} is open and gives no {what}. Check the cable, the lens cover or mute "
            "switch, and the device's own page; it is opened again where reconnecting is on."
        )
        self._tally.last_error = str(error)
        raise error

    def interrupt(self) -> None:
        """Stop: a blocked `read` returns, what waits is discarded, nothing more is decoded."""
        self._stop.set()
        with self._changed:
            self._frames.clear()
            self._chunks.close()
            self._changed.notify_all()

    def close(self) -> None:
        """Interrupt, and wait until the thread has let the device go."""
        self.interrupt()
        self._thread.join(_CLOSE_LIMIT_S)
        if self._thread.is_alive():
            _log.error("The source does not let go; its driver hangs.", source=self._opening.shown)

    def _run(self) -> None:
        try:
            with open_container(self._opening) as container:
                if self._stop.is_set():
                    return
                origin_us = container.start_time or 0
                clock = CaptureClock(
                    self._opening.shown,
                    opened_ns=time.time_ns(),
                    origin_ns=origin_us * 1000,
                    # What is paced here is decoded ahead of its time: the wall clock cannot check it.
                    live=not self._policy.paced,
                )
                reader = UnitReader(
                    container, self._purposes, clock, opening=self._opening, tally=self._tally
                )
                self._announce(reader.kinds)
                reached_ns = 0
                start_ns = time.monotonic_ns() - clock.opened_ns
                for unit in reader.units(self._stop.is_set):
                    if self._policy.paced:
                        due_ns = start_ns + unit.captured_ns
                        self._stop.wait(max(0, due_ns - time.monotonic_ns()) / 1e9)
                    self._put(unit)
                    reached_ns = max(reached_ns, unit.captured_ns)
                self._check_end(reader.length_s, (reached_ns - clock.opened_ns) / 1e9)
        except Exception as error:  # noqa: BLE001 - a thread's errors are raised where its units are read
            self._fail(error)
        finally:
            with self._changed:
                self._ended = True
                if self._tally.state is not SourceState.FAILED:
                    self._tally.state = SourceState.CLOSED
                self._changed.notify_all()

    def _check_end(self, length_s: float, reached_s: float) -> None:
        """Tell the end of a stream that states its length from a line that broke."""
        if self._stop.is_set() or self._policy.paced or (length_s and reached_s > length_s - _CUT_S):
            return
        raise SourceLost(
            f"{self._opening.shown} broke off (the other side closed the connection). "
            "It is opened again where reconnecting is on."
        )

    def _announce(self, kinds: frozenset[Purpose]) -> None:
        with self._changed:
            self._opened = True
            self._tally.state = SourceState.RUNNING
            due_ns = time.monotonic_ns() + int(self._policy.first_unit_limit_s * 1e9)
            self._due_ns = dict.fromkeys(kinds, due_ns)
            self._changed.notify_all()

    def _put(self, unit: MediaUnit) -> None:
        with self._changed:
            if self._stop.is_set():
                return
            self._due_ns[unit.purpose] = time.monotonic_ns() + int(self._policy.silence_limit_s * 1e9)
            if isinstance(unit, Frame):
                replaced = self._frames.replaced
                self._frames.put(unit)
                self._tally.frames_skipped += self._frames.replaced - replaced
            else:
                lost = self._chunks.put(unit)
                if lost is not None:
                    self._tally.drop(lost)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._error = error
            self._tally.state = SourceState.FAILED
            self._tally.last_error = str(error)


class LiveSource:
    """A source that is opened through a `LiveDevice`.

    Args:
        address: Public address.
        kind: What it is, in words.
        offers: The purposes it can serve.
        opening: How to open it for the permitted purposes.
        policy: Limits.
        check: Looks whether the device is there, before it is opened; raises what is wrong.
    """

    def __init__(
        self,
        address: str,
        kind: str,
        offers: frozenset[Purpose],
        *,
        opening: Callable[[frozenset[Purpose]], Opening],
        policy: LivePolicy | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        """Describe the source; nothing is opened."""
        self._address = address
        self._kind = kind
        self._offers = offers
        self._opening = opening
        self._policy = policy or LivePolicy()
        self._check = check
        self._tally = Tally()

    @property
    def address(self) -> str:
        """Public address, without credentials."""
        return self._address

    @property
    def offers(self) -> frozenset[Purpose]:
        """The purposes it can serve."""
        return self._offers

    def describe(self) -> str:
        """Say what it is."""
        return f"{self._kind} {self._address}"

    def health(self) -> SourceHealth:
        """Tell how it does."""
        return self._tally.health()

    def connect(self, purposes: frozenset[Purpose]) -> MediaDevice:
        """Begin to open; errors come out of the device's first `read`.

        Raises:
            CaptureError: What can be told without opening, as a missing device.
        """
        permitted = purposes & self._offers & SENSED
        if not permitted:
            return EmptyDevice()
        if self._check is not None:
            try:
                self._check()
            except CaptureError as error:
                self._tally.state = SourceState.FAILED
                self._tally.last_error = str(error)
                raise
        return LiveDevice(self._opening(permitted), permitted, tally=self._tally, policy=self._policy)

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        """Open what the purposes permit.

        Raises:
            SourceUnavailable: It cannot be reached.
            SourceRefused: It wants other credentials or rights.
            TrackMissing: A permitted kind is absent.
        """
        device = self.connect(purposes)
        if isinstance(device, LiveDevice):
            try:
                device.wait_opened()
            except BaseException:
                device.close()
                raise
        return device
