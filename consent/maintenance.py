"""The only other door to a camera: an operator aims it, and nobody's consent stands behind it.

It leads to no analysis. A look is logged before the device opens, ends by itself, opens the picture alone,
and every picture goes through a mask before anything else can hold it. What comes out is no `Permitted`
and can be turned into none: no reader takes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, NoReturn, Protocol, Self, final

import structlog

from consent.entry import MaintenanceEnd, MaintenanceStarted
from consent.errors import ConsentError, NotPermitted, UnpermittedUnit
from consent.gate import Device, Source
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.uptime import uptime_ns

_log = structlog.get_logger(__name__)
_SEAL: Final = object()
_WATCH_S: Final = 0.25
"""Longest pause between two looks at the clock while a device blocks."""
IMAGE_ONLY: Final = frozenset({Purpose.IMAGE})


class Picture(Protocol):
    """One picture of a camera, as sources give it."""

    @property
    def purpose(self) -> Purpose:
        """Always the image."""
        ...

    @property
    def pixels(self) -> Any:  # noqa: ANN401 - an array; this package knows no picture library
        """The clear picture."""
        ...

    @property
    def captured_ns(self) -> int:
        """Its capture time."""
        ...


class Masker(Protocol):
    """Covers everybody in a picture."""

    def anonymize(self, image: Any, captured_ns: int) -> Any:  # noqa: ANN401 - arrays, as above
        """Return a new picture in which nobody can be recognised."""
        ...


@final
class MaskedPicture:
    """A picture that went through the mask. Only a maintenance makes one.

    It looks enough like permitted media to be mistaken for it, and refuses to be: `purpose` and `open`
    are there to say so to a reader that the types did not stop.
    """

    __slots__ = ("captured_ns", "pixels")
    pixels: Any
    """The masked picture."""
    captured_ns: int
    """Capture time, nanoseconds since the Unix epoch."""

    def __init__(self, seal: object, pixels: Any, captured_ns: int) -> None:  # noqa: ANN401 - an array
        """Refuse anyone but a maintenance."""
        if seal is not _SEAL:
            raise NotPermitted("only a maintenance gives masked pictures")
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "captured_ns", captured_ns)

    def __init_subclass__(cls, **_: object) -> NoReturn:
        """Refuse subclasses."""
        raise NotPermitted("MaskedPicture has no subclasses")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse changes."""
        raise NotPermitted("a MaskedPicture never changes")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be stored or copied."""
        raise NotPermitted("a MaskedPicture is not stored")

    @property
    def purpose(self) -> NoReturn:
        """Serve no purpose that a citizen can give."""
        raise NotPermitted("a picture of a maintenance serves no purpose: no citizen consented to it")

    def open(self) -> NoReturn:
        """Refuse to be read as permitted media."""
        raise NotPermitted("a picture of a maintenance is shown to its operator and never analysed")


class Maintenance:
    """One logged, bounded look through a camera. A context manager.

    Args:
        store: The consent log; the start is written into it before the device opens.
        source: Opened for the image alone, whatever else it offers.
        masker: What every picture goes through.
        counter: Code of the counter.
        operator: Code of whoever looks.
        limit_s: When the device is closed at the latest, at most an hour.
        monotonic_ns: Clock of that limit; it goes on while the machine sleeps.
    """

    def __init__(
        self,
        store: ConsentStore,
        source: Source[Any],
        masker: Masker,
        *,
        counter: str,
        operator: str,
        limit_s: int,
        monotonic_ns: Callable[[], int] = uptime_ns,
    ) -> None:
        """Prepare a look; nothing is opened."""
        self._store = store
        self._source = source
        self._masker = masker
        self._counter = counter
        self._operator = operator
        self._limit_s = limit_s
        self._monotonic_ns = monotonic_ns
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._started: MaintenanceStarted | None = None
        self._device: Device[Any] | None = None
        self._watcher: threading.Thread | None = None
        self._until_ns = 0
        self.frames = 0
        """Pictures that were masked and handed out."""
        self.ended_by: MaintenanceEnd | None = None
        """Why it is over; None while it runs."""

    def __enter__(self) -> Self:
        """Log the start, then open the camera.

        Raises:
            ConsentError: The start could not be written; nothing was opened.
        """
        if self._started is not None:
            raise NotPermitted("a maintenance runs once: start another, with an entry of its own")
        begun_ns = self._monotonic_ns()
        self._started = self._store.maintenance_started(self._counter, self._operator, self._limit_s)
        self._until_ns = begun_ns + self._limit_s * 1_000_000_000
        try:
            self._device = self._source.open(IMAGE_ONLY)
            self._watcher = threading.Thread(target=self._watch, name="maintenance-watch", daemon=True)
            self._watcher.start()
        except BaseException:
            self.stop(MaintenanceEnd.DEVICE)
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the camera, then log the end."""
        self.stop(MaintenanceEnd.STOPPED if kind is None else MaintenanceEnd.FAILED)
        if self._watcher is not None:
            self._watcher.join()
        self._close()

    @property
    def left_s(self) -> float:
        """Time until the device is closed, seconds; 0 when it is over."""
        return 0.0 if self._over.is_set() else max(0.0, (self._until_ns - self._monotonic_ns()) / 1e9)

    def pictures(self) -> Iterator[MaskedPicture]:
        """Give masked pictures until the time ends, somebody stops it, or the camera does.

        Raises:
            UnpermittedUnit: The device gave something else than a picture.
            NotPermitted: The masker gave the clear picture back.
        """
        if self._device is None:
            raise NotPermitted("this maintenance was not started: nothing is logged, so nothing is opened")
        while not self._ended():
            try:
                unit: Picture | None = self._device.read()
            except Exception:
                if self._ended():
                    return  # an interrupted device may fail in its own way
                self.stop(MaintenanceEnd.DEVICE)
                raise
            if unit is None:
                self.stop(MaintenanceEnd.DEVICE)  # keeps the first reason where there is one
                return
            if unit.purpose is not Purpose.IMAGE:
                raise UnpermittedUnit(f"the device gave {unit.purpose}: maintenance opens the image alone")
            if self._ended():
                return
            masked = self._masker.anonymize(unit.pixels, unit.captured_ns)
            if masked is unit.pixels or getattr(masked, "base", None) is unit.pixels:
                raise NotPermitted("the masker gave the clear picture back")
            captured_ns = unit.captured_ns
            del unit
            self.frames += 1
            yield MaskedPicture(_SEAL, masked, captured_ns)

    def stop(self, by: MaintenanceEnd = MaintenanceEnd.STOPPED) -> None:
        """End it from any thread; only the first reason counts."""
        with self._lock:
            if self.ended_by is None:
                self.ended_by = by
            self._over.set()
            device = self._device
        if device is not None:
            device.interrupt()

    def _ended(self) -> bool:
        if not self._over.is_set() and self._monotonic_ns() >= self._until_ns:
            self.stop(MaintenanceEnd.TIME)
        return self._over.is_set()

    def _watch(self) -> None:
        """Interrupt a blocked read when the time ends."""
        while not self._ended():
            self._over.wait(_WATCH_S)

    def _close(self) -> None:
        if self._device is not None:
            self._device.close()
        assert self._started is not None  # noqa: S101 - narrows for mypy: entered
        ended_by = self.ended_by or MaintenanceEnd.FAILED
        try:
            self._store.maintenance_ended(self._started, ended_by, self.frames)
        except ConsentError as error:  # the next start closes the entry as unfinished
            _log.error("maintenance_end_not_logged", counter=self._counter, error=str(error))
