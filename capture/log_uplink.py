"""The consent log on its way to the centre, and the withdrawals on their way back.

Every answer of the centre says how much of the log it has and who asked there for a
withdrawal. While a session captures it is asked every two seconds, otherwise every thirty.
No clock of either side takes part: order is the position in the log, and the contact lease
runs on this machine's time since its start.
"""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import httpx
import structlog

from capture.errors import CaptureError
from capture.identity import problem_detail
from capture.log_catch_up import CatchUpRefused, OtherHistory, catch_up
from capture.unwritten import Step
from consent.errors import ConsentError, TransitionRefused, UnknownRecord
from consent.record import IndicatedBy
from consent.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from capture.capture_hold import CaptureHold
    from capture.contact import ContactLease
    from capture.identity import EdgeKey, Enrolment
    from capture.outbox import Outbox
    from capture.unwritten import UnwrittenSteps
    from consent.ledger import ConsentStore

_log = structlog.get_logger(__name__)

MAX_ENTRIES: Final = 500
MAX_BODY_BYTES: Final = 2 * 1024 * 1024
POLL_CAPTURING_S: Final = 2.0
POLL_IDLE_S: Final = 30.0
_FIRST_WAIT_S: Final = 0.5
_MOST_KEYS: Final = 8
_FIRST_REQUESTS: Final = 3
_REMOTE: Final = "remote"
"""Start of the method of a withdrawal that came through the centre."""


class LogRefused(CaptureError):  # noqa: N818 - named for what happened
    """The centre answered, and will not take what was sent of the log."""


class LogForked(LogRefused):
    """The centre keeps other entries of this log, or more than there are here."""


class LogRestored(LogForked):
    """The centre has more of this very log than there is here: the data folder is an old one."""


@dataclass(frozen=True, slots=True)
class LogUplinkState:
    """What health shows of the log's way to the centre.

    Attributes:
        acknowledged: Entries that the centre has; None before its first answer.
        withdrawals: Withdrawals that came through the centre since the program started.
        failures: Attempts that failed in a row.
        last_error: What the last failed attempt said; None after a success.
        forked: Whether the centre keeps another log of this edge: an alarm until the next success.
        last_contact_ns: Wall clock of the last answer; None before the first.
    """

    acknowledged: int | None = None
    withdrawals: int = 0
    failures: int = 0
    last_error: str | None = None
    forked: bool = False
    last_contact_ns: int | None = None


@dataclass(slots=True)
class LogUplink:
    """Ships the log and takes withdrawals back, from a thread of its own.

    Attributes:
        store: The consent store whose log is shipped.
        key: Signs each request, as it signs batches.
        enrolment: Who this edge is at the centre, and where that is.
        steps: Takes withdrawals to the log, also where that cannot be written just now.
        contact: Told of each answer, where a contact lease is kept.
        outbox: Goes on behind what the centre has, where the data folder was restored from a backup.
            Without it such a folder is an alarm.
        hold: Stops all capture where the centre has another log.
        capturing: Tells whether a session captures now.
        transport: Replaces the network in tests.
        poll_capturing_s: Longest time between two questions while a session captures.
        poll_idle_s: The same while none does, and the upper bound of the back-off then.
    """

    store: ConsentStore
    key: EdgeKey
    enrolment: Enrolment
    steps: UnwrittenSteps
    contact: ContactLease | None = None
    outbox: Outbox | None = None
    hold: CaptureHold | None = None
    capturing: Callable[[], bool] = lambda: False
    transport: httpx.BaseTransport | None = None
    poll_capturing_s: float = POLL_CAPTURING_S
    poll_idle_s: float = POLL_IDLE_S
    _state: LogUplinkState = field(default_factory=LogUplinkState, init=False)
    _limit: int = field(default=MAX_ENTRIES, init=False)
    _wake: threading.Event = field(default_factory=threading.Event, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    @property
    def state(self) -> LogUplinkState:
        """What happened so far."""
        return self._state

    def first_contact(self) -> bool:
        """Ask the centre before anything is written or captured here; tells whether it answered.

        A data folder that was restored from a backup is brought up to date; one that has another history
        than the centre's stops the capture. Where the centre cannot be reached, that waits for the first
        contact of the thread.
        """
        if self.hold is not None and self.hold.reason is not None:
            self._state = replace(self._state, forked=True, last_error=self.hold.reason)
        with self._client() as client:
            try:
                try:
                    self._catch_up(client)
                except CatchUpRefused as error:  # a centre without that question, or a key it learns now
                    _log.warning("log_not_compared", reason=str(error))
                for _ in range(_FIRST_REQUESTS):  # what the centre lacks follows; a fork shows at its start
                    if self.sync_once(client):
                        break
            except Exception as error:  # noqa: BLE001 - the thread goes on with whatever it was
                self._failed(error)
                return False
        return True

    def start(self) -> None:
        """Start shipping; each new entry of the log wakes the thread."""
        self.store.log.subscribe(lambda _: self._wake.set())
        self._thread = threading.Thread(target=self._run, name="log-uplink", daemon=True)
        self._thread.start()

    def nudge(self) -> None:
        """Ask the centre now instead of at the next poll."""
        self._wake.set()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop; what the centre does not have yet is shipped after the next start."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def sync_once(self, client: httpx.Client) -> bool:
        """Send what is next, or only ask; take what comes back.

        Returns:
            Whether the centre has the whole log now.

        Raises:
            httpx.HTTPError: The centre could not be reached or broke off.
            LogRefused: It answered and took nothing.
            ConsentError: The log could not be read.
        """
        size = self.store.log.size
        first = size if self._state.acknowledged is None else min(self._state.acknowledged, size)
        body, upto = self._encode(first, size)
        asked_ns = self.contact.began() if self.contact is not None else 0
        answer = client.post(
            "/v1/log",
            content=body,
            headers={"Content-Type": "application/json", "Hailong-Signature": self.key.sign(body)},
        )
        try:
            self._take_answer(answer, asked_ns, size)
        except LogRestored:
            if self.outbox is None:
                raise
            self._catch_up(client)
            self._state = replace(self._state, acknowledged=None)
            return False
        return self._state.acknowledged == size and upto == size

    def _encode(self, first: int, size: int) -> tuple[bytes, int]:
        """Return a request and the size of the log that it brings the centre to."""
        log = self.store.log
        keys = [period.vkey for period in log.keys().periods][-_MOST_KEYS:]
        count = min(self._limit, size - first)
        while True:
            body = json.dumps(
                {
                    "edge": str(self.enrolment.edge),
                    "first_index": first,
                    "entries": [stored.body.decode() for stored in log.entries(first, first + count)],
                    "checkpoint": log.checkpoint(first + count).decode(),
                    "keys": keys,
                },
                ensure_ascii=False,
                separators=(",", ":"),
            ).encode()
            if len(body) <= MAX_BODY_BYTES or count <= 1:
                return body, first + count
            count //= 2

    def _take_answer(self, answer: httpx.Response, asked_ns: int, size: int) -> None:
        given = _document(answer)
        if answer.status_code == httpx.codes.CONFLICT and given.get("kind") == "log-behind":
            theirs = _size(given)
            if theirs > size:
                raise LogForked(_restored(theirs, size))
            if theirs == self._state.acknowledged:
                raise LogRefused(
                    f"the centre keeps asking for entry {theirs} of the log, which was just sent"
                )
            self._state = replace(self._state, acknowledged=theirs)
            return
        if answer.status_code == httpx.codes.CONFLICT and given.get("kind") == "log-forked":
            raise LogForked(
                f"the centre keeps another log of this edge ({problem_detail(answer)}). Nothing was taken. "
                "Keep the data folder as it is for the privacy officer and enrol this edge again."
            )
        if answer.status_code == httpx.codes.UNAUTHORIZED and self._tell_of_new_key():
            return
        if not answer.is_success:
            if answer.status_code in {
                httpx.codes.REQUEST_ENTITY_TOO_LARGE,
                httpx.codes.UNPROCESSABLE_ENTITY,
            }:
                self._limit = max(1, self._limit // 2)  # smaller pieces find the entry that is refused
            raise LogRefused(
                f"the centre took nothing of the log ({answer.status_code}: {problem_detail(answer)}); "
                "it is kept here and sent again"
            )
        acknowledged = _size(given)
        if acknowledged > size:
            raise LogRestored(_restored(acknowledged, size))
        self._limit = MAX_ENTRIES
        self._acknowledged(acknowledged)
        self._withdraw(given.get("withdrawals", []))
        if self.contact is not None:  # last: a withdrawal that could not be read is no contact
            self.contact.heard(asked_ns, acknowledged)

    def _acknowledged(self, size: int) -> None:
        """Note that the centre has this much of the log, and that it is the same log."""
        if self.hold is not None:
            self.hold.lift()
        self._state = replace(
            self._state,
            acknowledged=size,
            failures=0,
            last_error=None,
            forked=False,
            last_contact_ns=time.time_ns(),
        )

    def _tell_of_new_key(self) -> bool:
        """Send again from where the old key endorses the present one; False where that was just tried."""
        rotated = [period for period in self.store.log.keys().periods if period.from_size > 0]
        if not rotated:
            return False
        introduced = rotated[-1].from_size - 1
        if self._state.acknowledged == introduced:
            return False
        self._state = replace(self._state, acknowledged=introduced)
        return True

    def _withdraw(self, asked: list[dict[str, Any]]) -> None:
        """Apply what was asked for at the centre; it repeats each until it sees the event."""
        for item in asked:
            record_id, method = UUID(item["record_id"]), _method(item.get("method"))
            try:
                self.steps.take(Step(record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, method))
            except (TransitionRefused, UnknownRecord) as error:  # withdrawn before, or never given
                _log.info("remote_withdrawal_not_needed", record_id=str(record_id), reason=str(error))
            else:
                _log.info("remote_withdrawal", record_id=str(record_id), method=method)
                self._state = replace(self._state, withdrawals=self._state.withdrawals + 1)

    def _catch_up(self, client: httpx.Client) -> None:
        if self.outbox is None:
            return
        try:
            catch_up(client, store=self.store, outbox=self.outbox, key=self.key, enrolment=self.enrolment)
        except OtherHistory as error:
            raise LogForked(str(error)) from error

    def _client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.enrolment.centre, transport=self.transport, timeout=httpx.Timeout(5.0, connect=2.0)
        )

    def _run(self) -> None:
        with self._client() as client:
            while not self._stop.is_set():
                wait_s = self._attempt(client)
                if wait_s:
                    self._wake.wait(wait_s)  # a new entry is worth an attempt, also while the centre is away
                    self._wake.clear()

    def _attempt(self, client: httpx.Client) -> float:
        """Send and ask once; returns how long to wait before the next, in seconds."""
        try:
            whole = self.sync_once(client)
        except Exception as error:  # noqa: BLE001 - whatever it was, the next attempt must come
            self._failed(error)
            longest = min(self._poll_s(), _FIRST_WAIT_S * 2 ** min(self._state.failures - 1, 20))
            return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, not a secret
        return self._poll_s() if whole else 0.0

    def _failed(self, error: Exception) -> None:
        """Remember what an attempt met; another log at the centre stops the capture."""
        forked = isinstance(error, LogForked)
        self._state = replace(
            self._state,
            failures=self._state.failures + 1,
            last_error=str(error) or type(error).__name__,
            forked=forked or self._state.forked,
        )
        level = _log.error if isinstance(error, (LogForked, ConsentError)) else _log.warning
        level("log_uplink_waits", failures=self._state.failures, error=self._state.last_error)
        if forked and self.hold is not None:
            self.hold.stop(str(error))

    def _poll_s(self) -> float:
        return self.poll_capturing_s if self.capturing() else self.poll_idle_s


def _method(given: object) -> str:
    """Name in the log how the citizen withdrew; whatever the centre says stays a short code."""
    text = str(given or "")
    allowed = text.isascii() and text.replace("-", "").isalnum() and text.islower() and len(text) <= 40  # noqa: PLR2004 - fits a code with the prefix
    return f"{_REMOTE}-{text.strip('-')}" if allowed else _REMOTE


def _restored(theirs: int, size: int) -> str:
    return (
        f"the centre has {theirs} entries of this edge's log, but only {size} are here: the data folder was "
        "restored from an old backup. What was withdrawn since then may be in it. Capture nothing with it: "
        "start with a new data folder and enrol this edge again."
    )


def _size(given: dict[str, Any]) -> int:
    size = given.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise LogRefused("the centre's answer does not say how much of the log it has")
    return size


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        given = answer.json()
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise LogRefused(f"the centre answered {answer.status_code} with something that is not an object")
    return given
