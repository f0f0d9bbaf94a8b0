"""The only door from a device to a model.

A grant holds the live leases of one session, one for each given purpose. A stream
opens a device after the grant was checked, checks before and after each read, and
hands out `Permitted` units that can be opened only while the lease lives: what waits
in a queue when the citizen withdraws is gone from memory, not merely skipped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Generic, NoReturn, Protocol, TypeVar, final
from uuid import UUID
from weakref import WeakKeyDictionary, WeakSet

import structlog

from consent.errors import ConsentError, NotPermitted, UnpermittedUnit
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.record import IndicatedBy
from consent.state import State
from consent.uptime import uptime_ns

_log = structlog.get_logger(__name__)
_SEAL: Final = object()
_WATCH_S: Final = 0.25
"""Longest pause between two looks at a lease while a device blocks."""


class Unit(Protocol):
    """Anything a device yields: it knows which purpose permits it."""

    @property
    def purpose(self) -> Purpose:
        """The purpose whose consent this unit needs."""
        ...


T = TypeVar("T", bound=Unit)
T_co = TypeVar("T_co", bound=Unit, covariant=True)


class Device(Protocol[T_co]):
    """An open camera, microphone or recording."""

    def read(self) -> T_co | None:
        """Return the next unit, or None at the end; raises the source's own errors."""
        ...

    def interrupt(self) -> None:
        """Make a blocked `read` return soon; called from another thread."""
        ...

    def close(self) -> None:
        """Release the device; may be called again."""
        ...


class Source(Protocol[T_co]):
    """Something that can be opened, for certain purposes only."""

    def open(self, purposes: frozenset[Purpose]) -> Device[T_co]:
        """Open exactly what `purposes` permit."""
        ...


class _Sealed:
    """Refuses every way of making or changing an instance outside this module."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise NotPermitted(f"a {type(self).__name__} never changes")

    def __delattr__(self, name: str) -> NoReturn:
        raise NotPermitted(f"a {type(self).__name__} never changes")

    def __copy__(self) -> NoReturn:
        raise NotPermitted(f"a {type(self).__name__} is not copied")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise NotPermitted(f"a {type(self).__name__} is not copied")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise NotPermitted(f"a {type(self).__name__} is not stored")


@final
class Permitted(_Sealed, Generic[T_co]):
    """A unit of media that may be looked at while its lease lives.

    Only the gate builds one. The unit itself stays with the grant, which drops it when
    the lease ends; a `Permitted` made in any other way finds nothing to open.
    """

    __slots__ = ("__weakref__", "_grant", "_purpose")
    _grant: Grant
    _purpose: Purpose

    def __init__(self, seal: object, grant: Grant, purpose: Purpose) -> None:
        """Refuse anyone but the gate."""
        if seal is not _SEAL:
            raise NotPermitted("only the gate permits media: read it through Gate.stream")
        object.__setattr__(self, "_grant", grant)
        object.__setattr__(self, "_purpose", purpose)

    def __init_subclass__(cls, **_: object) -> NoReturn:
        """Refuse subclasses."""
        raise NotPermitted("Permitted has no subclasses")

    def __repr__(self) -> str:
        """Name purpose and record, never the media."""
        return f"<Permitted {self._purpose} of {self._grant.record_id}>"

    @property
    def purpose(self) -> Purpose:
        """The purpose whose lease covers this unit."""
        return self._purpose

    @property
    def record_id(self) -> UUID:
        """The consent this unit rests on."""
        return self._grant.record_id

    @property
    def session_id(self) -> UUID:
        """The session of that consent."""
        return self._grant.session_id

    def open(self) -> T_co:
        """Return the unit.

        Raises:
            NotPermitted: The lease ended, or the gate never made this object.
        """
        try:
            grant = self._grant
        except AttributeError:
            raise NotPermitted("the gate never made this object") from None
        unit: T_co = grant._reveal(self)  # noqa: SLF001 - grant and unit are two halves of one lock
        return unit


class Grant(_Sealed):
    """The live leases of one session, one for each given purpose.

    Thread-safe. Every answer is at most half a lease old; when the store cannot be read,
    the grant ends.
    """

    __slots__ = ("__weakref__", "_lease", "_lock", "_units", "purged", "purposes", "record_id", "session_id")
    record_id: UUID
    session_id: UUID
    purposes: frozenset[Purpose]
    purged: int
    """Units that waited to be looked at when the grant ended, and were dropped."""
    _lease: _Lease
    _lock: threading.Lock
    _units: WeakKeyDictionary[Permitted[Any], Unit]

    def __init__(self, seal: object, lease: _Lease, session_id: UUID, purposes: frozenset[Purpose]) -> None:
        """Refuse anyone but the gate."""
        if seal is not _SEAL:
            raise NotPermitted("only the gate grants: call Gate.grant with the id of a given consent")
        object.__setattr__(self, "_lease", lease)
        object.__setattr__(self, "record_id", lease.record_id)
        object.__setattr__(self, "session_id", session_id)
        object.__setattr__(self, "purposes", purposes)
        object.__setattr__(self, "purged", 0)
        object.__setattr__(self, "_lock", threading.Lock())
        object.__setattr__(self, "_units", WeakKeyDictionary())
        lease.on_end(self._purge)

    def live(self, purpose: Purpose) -> bool:
        """Tell whether a unit of this purpose may be read now."""
        return purpose in self.purposes and self._lease.live()

    def ended(self) -> bool:
        """Tell whether nothing may be read any more."""
        return not self._lease.live()

    @property
    def ended_by(self) -> State | None:
        """The state that ended the grant; None while it lives or when the lease was lost."""
        return self._lease.ended_by

    def wait_ended(self, timeout_s: float) -> bool:
        """Wait until the grant ends, at most `timeout_s`; return whether it has."""
        return self._lease.wait_ended(timeout_s)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back once when the grant ends (at once if it has); for readers that purge."""
        self._lease.on_end(callback)

    def _permit(self, unit: T) -> Permitted[T] | None:
        permitted: Permitted[T] = Permitted(_SEAL, self, unit.purpose)
        with self._lock:
            if self._lease.over():
                return None
            self._units[permitted] = unit
        return permitted

    def _reveal(self, permitted: Permitted[Any]) -> Any:  # noqa: ANN401 - the caller's type variable names it
        if not self.live(permitted.purpose):
            raise NotPermitted(f"the consent {self.record_id} no longer permits {permitted.purpose}")
        with self._lock:
            # Looked at again: whoever ended the lease since may not have dropped its units yet.
            unit = None if self._lease.over() else self._units.get(permitted)
        if unit is None:
            raise NotPermitted("this unit was dropped, or the gate never made this object")
        return unit

    def _purge(self) -> None:
        with self._lock:
            object.__setattr__(self, "purged", self.purged + len(self._units))
            object.__setattr__(self, "_units", WeakKeyDictionary())


class _Lease:
    """One bounded, renewed permission to read, on the monotonic clock."""

    def __init__(self, gate: Gate, record_id: UUID) -> None:
        self.record_id = record_id
        self.ended_by: State | None = None
        self._gate = gate
        self._over = threading.Event()
        self._renewal = threading.Lock()
        self._ending = threading.Lock()  # apart: an end never waits for a store that answers slowly
        self._callbacks: list[Callable[[], None]] = []
        self._seen_ns = self._renew_at_ns = self._until_ns = gate.monotonic_ns()

    def start(self) -> frozenset[Purpose]:
        """Read the store for the first time; return what it permits."""
        now = self._gate.monotonic_ns()  # before the look: a slow store makes no answer younger
        permitted = self._gate.store.permitted(self.record_id)
        if not permitted:
            self.end(None)
            return permitted
        self._until_ns = now + self._gate.store.remaining_ns(self.record_id)
        self._renew_at_ns = now + self._gate.lease_ns // 2
        return frozenset() if self._over.is_set() else permitted

    def over(self) -> bool:
        """Tell whether the lease has been ended, without looking at clock or store."""
        return self._over.is_set()

    def live(self) -> bool:
        """Tell whether the lease holds now; renews it when half of it has passed."""
        if self._over.is_set():
            return False
        method = "time-limit"
        with self._renewal:
            now = self._gate.monotonic_ns()
            if now < self._seen_ns:  # a monotonic clock that runs back cannot be trusted
                verdict: State | None = None
            elif now >= self._until_ns:
                verdict = State.EXPIRED
            elif self._out_of_contact(now):
                verdict, method = State.EXPIRED, "contact-lost"
            elif now < self._renew_at_ns or self._renewed(now):
                self._seen_ns = now
                return not self._over.is_set()
            else:
                verdict = None
        self.end(verdict)
        if verdict is State.EXPIRED:
            self._log_expiry(method)
        return False

    def wait_ended(self, timeout_s: float) -> bool:
        """Wait for the end in slices, so that a lease also dies while nobody reads."""
        deadline = time.monotonic() + timeout_s
        while self.live():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            self._over.wait(min(left_s, _WATCH_S, self._gate.lease_ns / 4e9))
        return True

    def end(self, by: State | None) -> None:
        """End the lease for good and tell those who asked."""
        with self._ending:
            if self._over.is_set():
                return
            self.ended_by = by
            self._over.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback()
            except Exception:  # noqa: BLE001 - each of the others must still be told
                _log.exception("consent_end_callback_failed")

    def on_end(self, callback: Callable[[], None]) -> None:
        """Remember whom to tell."""
        with self._ending:
            if not self._over.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def _renewed(self, now: int) -> bool:
        try:
            permitted = self._gate.store.permitted(self.record_id)
        except ConsentError as error:
            _log.warning("consent_lease_lost", record_id=str(self.record_id), error=str(error))
            return False
        self._renew_at_ns = now + self._gate.lease_ns // 2
        return bool(permitted)

    def _out_of_contact(self, now: int) -> bool:
        bound_ns = None if self._gate.bound is None else self._gate.bound(self.record_id)
        return bound_ns is not None and now >= bound_ns

    def _log_expiry(self, method: str) -> None:
        try:
            self._gate.store.apply(self.record_id, State.EXPIRED, IndicatedBy.SYSTEM, method)
        except ConsentError as error:
            _log.debug("consent_expiry_not_logged", record_id=str(self.record_id), error=str(error))


class Gate:
    """Grants leases from the consent store and guards every read with them.

    Args:
        store: The authority on what is permitted.
        lease_s: No permission is believed for longer than this without a look at the store.
        monotonic_ns: Clock of the leases.
        bound: Tells until when on that clock a consent may be believed, asked at each look; None for
            no other bound than its own. It only ever shortens.
    """

    def __init__(
        self,
        store: ConsentStore,
        *,
        lease_s: float = 5.0,
        monotonic_ns: Callable[[], int] = uptime_ns,
        bound: Callable[[UUID], int | None] | None = None,
    ) -> None:
        """Guard reads with the consents of `store`."""
        self.store = store
        self.bound = bound
        self.lease_ns = int(lease_s * 1e9)
        self.monotonic_ns = monotonic_ns
        self._lock = threading.Lock()
        self._leases: WeakSet[_Lease] = WeakSet()
        store.subscribe_halt(self._halt)

    def grant(self, record_id: UUID) -> Grant:
        """Take the leases of a given consent.

        Raises:
            NotPermitted: The record is not `given`, or past its limit.
            ConsentError: The store cannot be read or does not know the record.
        """
        lease = _Lease(self, record_id)
        with self._lock:
            self._leases.add(lease)  # first: a halt from here on reaches it
        purposes = lease.start()
        if not purposes:
            raise NotPermitted(
                f"the consent {record_id} is {self.store.state(record_id)}: nothing may be captured"
            )
        return Grant(_SEAL, lease, self.store.record(record_id).session_id, purposes)

    @contextmanager
    def stream(
        self,
        grant: Grant,
        source: Source[T],
        *,
        on_unit: Callable[[Permitted[T]], None] | None = None,
        purposes: frozenset[Purpose] | None = None,
    ) -> Iterator[Iterator[Permitted[T]]]:
        """Open a source under a grant and read it while the grant lives.

        Args:
            grant: A live grant of this gate.
            source: Opened after the check and with the given purposes only.
            on_unit: Called with each unit just before it is handed on.
            purposes: Narrows what is opened, for a source that serves one purpose.

        Raises:
            NotPermitted: The grant has ended, is another gate's, or permits none of `purposes`.
            UnpermittedUnit: The device gave a unit of another purpose; it was dropped.
        """
        wanted = frozenset(
            purpose
            for purpose in (grant.purposes if purposes is None else grant.purposes & purposes)
            if grant.live(purpose)
        )
        if not wanted or grant._lease not in self._leases:  # noqa: SLF001 - the grant is ours
            raise NotPermitted(f"the consent {grant.record_id} permits none of this: no device was opened")
        device = source.open(wanted)
        try:
            with _watched(grant, device):
                yield _units(grant, device, wanted, on_unit)
        finally:
            device.close()

    def _halt(self, record_id: UUID, to: State) -> None:
        with self._lock:
            leases = [lease for lease in self._leases if lease.record_id == record_id]
        for lease in leases:
            lease.end(to)


def _units(
    grant: Grant,
    device: Device[T],
    wanted: frozenset[Purpose],
    on_unit: Callable[[Permitted[T]], None] | None,
) -> Iterator[Permitted[T]]:
    while not grant.ended():
        try:
            unit = device.read()
        except Exception:  # whatever the source raises: only a live grant lets it through
            if grant.ended():
                return  # an interrupted device may fail in its own way
            raise
        if unit is None:
            return
        if unit.purpose not in wanted:
            raise UnpermittedUnit(f"the device gave {unit.purpose}, which the citizen did not give")
        if not grant.live(unit.purpose):
            return  # decoded while the grant ended: dropped here, handed to nobody
        permitted = grant._permit(unit)  # noqa: SLF001 - grant and unit are two halves of one lock
        del unit
        if permitted is None:
            return
        if on_unit is not None:
            on_unit(permitted)
        yield permitted
        del permitted


@contextmanager
def _watched(grant: Grant, device: Device[Any]) -> Iterator[None]:
    """Interrupt the device when the grant ends within the block."""
    wake, done = threading.Event(), threading.Event()
    grant.on_end(wake.set)
    watcher = threading.Thread(
        target=_watch, args=(grant, device, wake, done), name="consent-watch", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        done.set()
        wake.set()
        watcher.join()


def _watch(grant: Grant, device: Device[Any], wake: threading.Event, done: threading.Event) -> None:
    """Interrupt a blocked read when the grant ends; look at the lease while nobody reads."""
    while not wake.wait(_WATCH_S) and not grant.ended():
        pass
    if not done.is_set():
        device.interrupt()
