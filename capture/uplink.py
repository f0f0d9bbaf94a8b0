"""The uplink: signed batches from the outbox to the centre, retried without end."""

from __future__ import annotations

import base64
import itertools
import json
import random
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import httpx
import structlog

from capture.errors import CaptureError
from capture.identity import problem_detail
from capture.outbox import ERASED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from uuid import UUID

    from capture.identity import EdgeKey, Enrolment
    from capture.outbox import Entry, Outbox

_log = structlog.get_logger(__name__)

MAX_BATCH: Final = 500
MAX_BODY_BYTES: Final = 2 * 1024 * 1024
CLOCK_TOLERANCE_S: Final = 120.0
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 60.0
_PRUNE_EVERY_S: Final = 3600.0


class UplinkRefused(CaptureError):  # noqa: N818 - named for what happened
    """The centre answered, and will not take what was sent."""


@dataclass(frozen=True, slots=True)
class UplinkState:
    """What health shows of the uplink.

    Attributes:
        delivered: Entries confirmed since the program started.
        quarantined: Of those, entries the centre set aside as invalid.
        failures: Attempts that failed in a row.
        last_error: What the last failed attempt said, None after a success.
        last_success_ns: Wall-clock time of the last confirmation, None before the first.
        clock_behind_s: How far this machine's clock is behind the centre's, None before an answer.
    """

    delivered: int = 0
    quarantined: int = 0
    failures: int = 0
    last_error: str | None = None
    last_success_ns: int | None = None
    clock_behind_s: float | None = None

    def clock_problem(self) -> str | None:
        """Say that this machine's clock is wrong, or None when it is near the centre's."""
        if self.clock_behind_s is None or abs(self.clock_behind_s) <= CLOCK_TOLERANCE_S:
            return None
        way = "behind" if self.clock_behind_s > 0 else "ahead of"
        return (
            f"this machine's clock is {abs(self.clock_behind_s):.0f} s {way} the centre's: set it, by NTP "
            "for instance; leases are not affected, but sessions are recorded at wrong times"
        )


@dataclass(slots=True)
class Uplink:
    """Sends the outbox to the centre from a thread of its own.

    Attributes:
        outbox: Where entries wait.
        key: Signs each batch.
        enrolment: Who this edge is at the centre, and where that is.
        transport: Replaces the network in tests.
        longest_wait_s: Upper bound of the back-off.
        withheld: Tells whose withdrawal waits to be written: nothing of them is sent meanwhile.
    """

    outbox: Outbox
    key: EdgeKey
    enrolment: Enrolment
    transport: httpx.BaseTransport | None = None
    longest_wait_s: float = _LONGEST_WAIT_S
    on_delivered: Callable[[int], None] | None = None
    withheld: Callable[[], Collection[UUID]] = frozenset
    _state: UplinkState = field(default_factory=UplinkState, init=False)
    _batch: int = field(default=MAX_BATCH, init=False)
    _resend_after: int | None = field(default=None, init=False)
    _wake: threading.Event = field(default_factory=threading.Event, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    @property
    def state(self) -> UplinkState:
        """What happened so far."""
        return self._state

    def start(self) -> None:
        """Start sending."""
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)
        self._thread.start()

    def nudge(self) -> None:
        """Say that something new waits, so that it does not wait for the next look."""
        self._wake.set()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop sending; what was not confirmed stays in the outbox."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def send_once(self, client: httpx.Client) -> int:
        """Send one batch and record what the centre confirmed.

        Returns:
            The number of entries newly confirmed, 0 when none waited.

        Raises:
            httpx.HTTPError: The centre could not be reached or broke off.
            UplinkRefused: The centre refused the batch; everything is kept.
            OutboxError: The confirmation could not be recorded.
        """
        entries = self._permitted(self.outbox.pending(self._batch, after=self._resend_after))
        if not entries:
            self._resend_after = None
            entries = self.outbox.tombstones(self._batch)
        if not entries:
            return 0
        entries, body = self._encode(entries)
        answer = client.post(
            "/v1/batches",
            content=body,
            headers={"Content-Type": "application/json", "Hailong-Signature": self.key.sign(body)},
        )
        self._state = replace(self._state, clock_behind_s=_clock_behind_s(answer))
        return self._take_answer(answer, entries)

    def _permitted(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """Return the entries before the first of a consent that is withdrawn and not erased yet.

        The numbers have no gap, so what follows it waits as well: until the log can be written again.
        """
        withheld = {str(record_id) for record_id in self.withheld()}
        return tuple(
            itertools.takewhile(
                lambda entry: entry.kind == ERASED or entry.payload.get("consent_record_id") not in withheld,
                entries,
            )
        )

    def _encode(self, entries: tuple[Entry, ...]) -> tuple[tuple[Entry, ...], bytes]:
        while True:
            body = json.dumps(
                {
                    "edge": str(self.enrolment.edge),
                    "first_seq": entries[0].seq,
                    "entries": [_document(entry) for entry in entries],
                },
                ensure_ascii=False,
                separators=(",", ":"),
            ).encode()
            if len(body) <= MAX_BODY_BYTES or len(entries) == 1:
                return entries, body
            entries = entries[: len(entries) // 2]

    def _take_answer(self, answer: httpx.Response, entries: tuple[Entry, ...]) -> int:
        if answer.status_code == httpx.codes.CONFLICT:
            given = _json(answer)
            if given.get("kind") == "sequence-reused" or "high_water" not in given:
                raise UplinkRefused(
                    f"the centre has other content under a number of this edge ({problem_detail(answer)}): "
                    "this data folder is a copy, or was restored from an old backup. Nothing was taken. "
                    "Enrol this edge again."
                )
            # The centre knows less than we thought (restored from a backup): serve it again from there.
            asked = int(given["high_water"])
            if asked == self._resend_after:
                raise UplinkRefused(f"the centre keeps asking for entry {asked + 1}, which was just sent")
            self._resend_after = asked
            kept = self.outbox.pending(1, after=self._resend_after)
            if not kept or kept[0].seq != self._resend_after + 1:
                raise UplinkRefused(
                    f"the centre asks for entry {self._resend_after + 1}, which is no longer kept here; "
                    "restore the centre from a newer backup, or enrol this edge again"
                )
            return 0
        if answer.is_success:
            given = _json(answer)
            before = self.outbox.high_water()
            high_water = int(given["high_water"])
            self.outbox.mark_delivered(high_water, entries)
            quarantined = given.get("quarantined", [])
            for item in quarantined:
                _log.warning("entry set aside by the centre", seq=item.get("seq"), reason=item.get("reason"))
            self._resend_after = high_water if self._resend_after is not None else None
            self._batch = MAX_BATCH
            confirmed = max(0, high_water - before)
            self._state = replace(
                self._state,
                delivered=self._state.delivered + confirmed,
                quarantined=self._state.quarantined + len(quarantined),
                failures=0,
                last_error=None,
                last_success_ns=time.time_ns(),
            )
            if confirmed and self.on_delivered is not None:
                self.on_delivered(high_water)
            return confirmed
        if answer.status_code in {httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNPROCESSABLE_ENTITY}:
            self._batch = max(1, len(entries) // 2)  # smaller batches find the entry that is refused
        if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise UplinkRefused(
                f"the centre does not accept this edge ({problem_detail(answer)}): nothing is lost, "
                "signals wait in the outbox. Ask an administrator for a token and run 'hailong edge enrol'."
            )
        raise UplinkRefused(f"the centre answered {answer.status_code}: {problem_detail(answer)}")

    def _run(self) -> None:
        next_prune = time.monotonic() + _PRUNE_EVERY_S
        with httpx.Client(
            base_url=self.enrolment.centre, transport=self.transport, timeout=httpx.Timeout(10.0, connect=3.0)
        ) as client:
            while not self._stop.is_set():
                wait_s = self._attempt(client)
                if time.monotonic() >= next_prune:
                    self._prune()
                    next_prune = time.monotonic() + _PRUNE_EVERY_S
                if wait_s:
                    if self._state.failures:
                        self._stop.wait(wait_s)
                    else:
                        self._wake.wait(wait_s)
                        self._wake.clear()

    def _prune(self) -> None:
        try:
            self.outbox.prune()
        except CaptureError as error:  # a full disk: old rows stay until the next time
            _log.warning("outbox not pruned", error=str(error))

    def _attempt(self, client: httpx.Client) -> float:
        """Send one batch; returns how long to wait before the next, in seconds."""
        try:
            confirmed = self.send_once(client)
        except Exception as error:  # noqa: BLE001 - whatever it was, the sending must go on: it is tried again
            failures = self._state.failures + 1
            self._state = replace(
                self._state, failures=failures, last_error=str(error) or type(error).__name__
            )
            _log.warning("uplink waits", failures=failures, error=self._state.last_error)
            longest = min(self.longest_wait_s, _FIRST_WAIT_S * 2 ** min(failures - 1, 20))
            return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, not a secret
        if self._resend_after is not None or confirmed:
            return 0.0
        return 5.0


def _document(entry: Entry) -> dict[str, Any]:
    """Return an entry as it is sent: with the session key where the centre needs it."""
    document: dict[str, Any] = {"seq": entry.seq, "kind": entry.kind, "payload": entry.payload}
    if entry.salt is not None:
        document["salt"] = base64.b64encode(entry.salt).decode()
    return document


def _clock_behind_s(answer: httpx.Response) -> float | None:
    """Read the centre's clock from its answer; HTTP dates have whole seconds."""
    try:
        theirs = parsedate_to_datetime(answer.headers["Date"])
        return (theirs - datetime.now(UTC)).total_seconds()
    except (KeyError, ValueError, TypeError):  # no date, no date we can read, or one without a zone
        return None


def _json(answer: httpx.Response) -> dict[str, Any]:
    given = answer.json()
    if not isinstance(given, dict):
        raise UplinkRefused(f"the centre answered {answer.status_code} with something that is not an object")
    return given
