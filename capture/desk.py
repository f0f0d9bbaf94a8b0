"""One counter's desk: the question, the answer, the capture, the end of the service."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog

from capture.desk_view import DeskView, OfficerView, Phase, Slip
from capture.errors import RatingClosed
from capture.farewell import Farewell, FarewellTimes, Stage
from capture.procedures import ServiceProcedure
from capture.unwritten import Step, UnwrittenSteps
from consent.errors import ConsentError, LedgerError, TransitionRefused
from consent.notice import DEFAULT_LANGUAGE, NoticeShelf
from consent.purpose import Purpose
from consent.receipt import code_digest, new_code
from consent.record import VALIDITY_LIMIT_S, Channel, IndicatedBy, draft, new_id
from consent.state import ERASING, KEEPING, State
from consent.stopping import StopMethod
from consent.terms import load_terms
from consent.uptime import uptime_ns
from inference.signal import Ballot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from uuid import UUID

    from capture.procedures import Procedure
    from consent.gate import Gate, Grant
    from consent.ledger import ConsentStore
    from consent.notice import Notice
    from consent.receipt import Receipt
    from consent.record import ConsentRecord
    from consent.terms import Terms
    from inference.signal import Criterion

_log = structlog.get_logger(__name__)
ASKED: Final = (Purpose.IMAGE, Purpose.VOICE)
"""What every counter asks."""
ASKED_WITH_QUOTES: Final = (*ASKED, Purpose.QUOTES)
"""What is asked where the edge may keep redacted quotes."""
_ANSWERED: Final = frozenset(State) - {State.OFFERED, State.DEFERRED}
"""States of whoever gave an answer: they get a receipt of it."""
_STOPPABLE: Final = frozenset({State.OFFERED, State.GIVEN})


class Desk:
    """The flow of one counter; safe to call from several threads.

    Args:
        counter: Code of the counter.
        store: The consent log.
        gate: The gate over that log.
        start_capture: Launches the session of a grant and returns at once.
        finish_capture: Ends its reading and returns at once; the session completes the
            consent when its signal is safe. Without it the desk completes the consent.
        notices: The notices that can be shown.
        terms: The agency's terms; those of the release when left out.
        purposes: What is asked, one by one.
        quotes_days: How long quotes are kept, where they are asked for.
        decision_timeout_s: Silence for this long means no.
        cast: Takes the rating of a service; without it nobody is asked for one.
        procedures: What the counter handles; the ballot of a service names the one it was about.
        farewell: How long the pages after a service stay.
        validity_s: Hard limit of a consent.
        device_key_id: SHA-256 of the edge's public key, once it has one.
        steps: Takes steps to the log, and keeps those that it cannot take yet; shared by the desks.
        monotonic_ns: Clock of all deadlines.
    """

    def __init__(
        self,
        counter: str,
        store: ConsentStore,
        gate: Gate,
        *,
        start_capture: Callable[[Grant], None],
        finish_capture: Callable[[], None] | None = None,
        notices: NoticeShelf | None = None,
        terms: Terms | None = None,
        purposes: tuple[Purpose, ...] = ASKED,
        quotes_days: int = 30,
        decision_timeout_s: float = 60.0,
        cast: Callable[[Ballot], None] | None = None,
        procedures: Iterable[Procedure] = (),
        farewell: FarewellTimes | None = None,
        validity_s: int = VALIDITY_LIMIT_S,
        device_key_id: str | None = None,
        steps: UnwrittenSteps | None = None,
        monotonic_ns: Callable[[], int] = uptime_ns,
    ) -> None:
        """Set up an idle desk."""
        self.counter = counter
        self.notices = notices or NoticeShelf.load()
        self.purposes = purposes
        self._quotes_kept = timedelta(days=quotes_days)
        self.decision_timeout_s = decision_timeout_s
        self._store = store
        self._gate = gate
        self._start_capture = start_capture
        self._finish_capture = finish_capture
        self._terms = terms or load_terms()
        self._cast = cast
        self._procedure = ServiceProcedure(procedures)
        self._times = farewell or FarewellTimes()
        self._validity_s = validity_s
        self._device_key_id = device_key_id
        self._monotonic_ns = monotonic_ns
        self._lock = threading.RLock()
        self._open = self._with_child = False
        self._record_id: UUID | None = None
        self._grant: Grant | None = None
        self._state: State | None = None
        self._ended_how: str | None = None
        self._code: str | None = None
        self._shown: dict[str, tuple[Notice, int]] = {}
        self._deadline_ns = 0
        self._farewell: Farewell | None = None
        self._steps = steps if steps is not None else UnwrittenSteps(store)

    def offer(
        self,
        language: str = DEFAULT_LANGUAGE,
        channel: Channel = Channel.KIOSK,
        *,
        session_id: UUID | None = None,
        with_child: bool = False,
    ) -> UUID:
        """Open the service of the next citizen and put the question.

        A service that is still open ends first. Where a child is there, no question is put: the log has
        the offer, so that the service counts, and that it ended before anybody saw it.

        Returns:
            The id of the new consent record.

        Raises:
            ConsentError: The question cannot be logged. The service is open all the same, and
                nothing will be captured in it.
        """
        with self._lock:
            self._end_service()
            self._record_id, self._grant, self._state = None, None, None
            self._procedure.begin()
            self._open, self._with_child = True, with_child
            self._code = self._ended_how = None
            self._shown, self._farewell = {}, None
            code = new_code()
            notice = self.notices.asking(language, self.purposes)
            record = draft(
                counter=self.counter,
                notice=notice.reference(self.purposes, channel),
                purposes=self.purposes,
                categories=notice.categories(self.purposes),
                terms=self._terms,
                offered_at=datetime.now(UTC),
                session_id=session_id,
                device_key_id=self._device_key_id,
                withdrawal_digest=code_digest(code),
                validity_s=self._validity_s,
            )
            self._store.offer(record)
            self._code = code
            self._record_id, self._state = record.record_id, State.OFFERED
            self._deadline_ns = self._monotonic_ns() + int(self.decision_timeout_s * 1e9)
            if with_child:
                self._defer(StopMethod.ACCOMPANIED_CHILD.value, IndicatedBy.CONTROLLER)
            return record.record_id

    def show(
        self, record_id: UUID, language: str = DEFAULT_LANGUAGE, channel: Channel = Channel.KIOSK
    ) -> Notice:
        """Note that the notice is on the screen, and return it.

        The time to answer starts when the question is first seen; another language does not
        lengthen it, and has a dwell of its own.

        Raises:
            TransitionRefused: This question is not open (any more).
        """
        with self._lock:
            self.tick()
            self._must_be_current(record_id)
            if language not in self._shown:
                notice = self.notices.asking(language, self.purposes)
                self._store.show(record_id, notice.reference(self.purposes, channel))
                now = self._monotonic_ns()
                if not self._shown:
                    self._deadline_ns = now + int(self.decision_timeout_s * 1e9)
                self._shown[language] = notice, now
            return self._shown[language][0]

    def decide(
        self,
        record_id: UUID,
        choices: Mapping[Purpose, bool],
        *,
        language: str | None = None,
        channel: Channel = Channel.KIOSK,
        method: str = "kiosk-touch",
    ) -> State:
        """Take the citizen's answer; starts the capture of what was given.

        Args:
            record_id: The question that is answered.
            choices: One answer for each purpose.
            language: Language of the notice that was answered; the newest shown when left out.
            channel: How that notice reached the citizen.
            method: How the answer was given.

        Raises:
            TransitionRefused: The question was not seen, is answered already, or timed out.
            DecisionIncomplete: A purpose was left open.
            LedgerUnavailable: It could not be logged, so nothing is captured.
        """
        with self._lock:
            self.tick()
            self._must_be_current(record_id)
            shown = self._shown.get(language or next(reversed(self._shown), ""))
            if shown is None:
                raise TransitionRefused("nobody has seen this question: show it before it is answered")
            notice, since_ns = shown
            state = self._store.decide(
                record_id,
                choices,
                IndicatedBy.CITIZEN,
                method,
                dwell_ms=(self._monotonic_ns() - since_ns) // 1_000_000,
                notice=notice.reference(self.purposes, channel),
            )
            self._state = state
            if state is State.GIVEN and not self._with_child:
                self._launch(record_id)
            elif state is State.GIVEN:  # the switch came while this was written: it waits for the lock
                self._revoke_for_child(record_id)
            return state

    def receipt(self, record_id: UUID) -> Receipt:
        """Return the receipt of the citizen at this desk: the only place that knows its code.

        Raises:
            TransitionRefused: This consent is not the one at this desk any more.
            ReceiptRefused: It was not answered.
            LedgerUnavailable: Nothing signs the log.
        """
        with self._lock:
            if record_id != self._record_id or self._code is None:
                raise TransitionRefused("the receipt of this consent is not at this desk any more")
            return self._store.receipt(record_id, self._code)

    def withdraw(self, record_id: UUID, method: str = "kiosk-touch") -> None:
        """Take the consent back. Capture stops before anything is written, and before anything is waited for.

        When the log cannot be written, the step is tried again until it can.

        Raises:
            TransitionRefused: This consent is not given, or is another desk's.
        """
        if record_id != self._record_id:
            raise TransitionRefused("this consent is not the one at this desk")
        # Outside the lock: a tick that waits for a slow log holds it, and capture would go on meanwhile.
        self._write(record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, method)
        with self._lock:
            if record_id == self._record_id:
                self._state, self._ended_how = State.WITHDRAWN, method

    def declare_child(self) -> None:
        """Take the officer's word that a child is there: nothing is captured in this service any more.

        An open question closes, a given consent is revoked, and where neither is, nothing happens. Capture
        stops before anything is written, and before anything is waited for. It cannot be taken back.
        """
        record_id = self.stop_for_child()
        if record_id is not None:
            self.log_child(record_id)

    def stop_for_child(self) -> UUID | None:
        """Do what of `declare_child` waits for nobody; return the consent whose step is to be written."""
        record_id, stoppable = self._record_id, self._state in _STOPPABLE
        if not self._open or self._with_child:
            return None
        # Outside the lock, as a withdrawal: whoever decides just now finds both before a device opens.
        self._with_child = True
        if record_id is None or not stoppable:
            return None
        self._store.halt(record_id, State.REVOKED)
        return record_id

    def log_child(self, record_id: UUID) -> None:
        """Write why `stop_for_child` ended this consent or its question; may wait for the log."""
        with self._lock:
            try:
                if record_id == self._record_id and self._state is State.OFFERED:
                    self._defer(StopMethod.ACCOMPANIED_CHILD.value, IndicatedBy.CONTROLLER)
                elif record_id != self._record_id or self._state is State.GIVEN:
                    self._revoke_for_child(record_id)
            except ConsentError as error:  # it had just ended in another way
                _log.info("child_declared_after_the_end", counter=self.counter, reason=str(error))
                if record_id == self._record_id:
                    self._refresh()

    def name_procedure(self, code: str | None) -> None:
        """Take the officer's word what the service under way is about; None leaves it open again.

        It may be said anew until the service ends; without a service nothing happens. Waits for nothing.

        Raises:
            ProcedureUnknown: The counter's configuration does not list it.
        """
        if self._open:
            self._procedure.choose(code)

    def revoke(self, record_id: UUID, method: str = "controller") -> None:
        """Stop the capture for the controller: a bystander, a child, an error of staff."""
        with self._lock:
            self._step(record_id, State.REVOKED, IndicatedBy.CONTROLLER, method)

    def finish(self, record_id: UUID | None = None) -> None:
        """End the service under way: the same for whoever agreed and whoever did not."""
        with self._lock:
            if self._open and record_id in {None, self._record_id}:
                self._end_service()
                self._farewell = Farewell(self._times, self._monotonic_ns(), tuple(self._stages()))

    def rate(self, record_id: UUID, satisfied: Mapping[Criterion, bool] | None) -> None:
        """Take the rating of the service that just ended, or the wish to give none.

        It is asked of everybody in the same way, and says nothing of the consent. Where that was
        withdrawn, the rating does not name the service: nothing links it to what is erased.

        Args:
            record_id: The service, by the question that was put in it.
            satisfied: One answer for each criterion; None to go on without.

        Raises:
            RatingClosed: It was rated, or its time ran out: a second tap changes nothing.
            CaptureError: It could not be stored; the rating stays open.
        """
        with self._lock:
            farewell, now = self._farewell, self._monotonic_ns()
            if farewell is None or record_id != self._record_id or farewell.stage(now) is not Stage.RATING:
                raise RatingClosed("this service is not being rated (any more)")
            if satisfied is not None and self._cast is not None:
                self._cast(
                    Ballot(
                        ballot_id=new_id(),
                        counter=self.counter,
                        cast_at=datetime.now(UTC),
                        session_id=self._session_to_rate(record_id),
                        satisfied=dict(satisfied),
                        procedure=self._procedure.code,
                    )
                )
            farewell.leave(Stage.RATING, now)

    def leave_receipt(self, record_id: UUID) -> None:
        """Put the receipt away; the screen forgets its code."""
        with self._lock:
            if self._farewell is not None and record_id == self._record_id:
                self._farewell.leave(Stage.RECEIPT, self._monotonic_ns())
                self.tick()

    def slip(self) -> Slip | None:
        """Return what the citizen at this desk can take home; None before an answer and once put away."""
        with self._lock:
            self.tick()
            record_id, code, answered = self._record_id, self._code, self._state in _ANSWERED
        if record_id is None or code is None or not answered:
            return None
        record = self._store.record(record_id)
        try:
            receipt: Receipt | None = self._store.receipt(record_id, code)
        except ConsentError as error:
            _log.error("receipt_without_proof", counter=self.counter, error=str(error))
            receipt = None
        return Slip(record, code, receipt, self._quotes_until(record))

    def _quotes_until(self, record: ConsentRecord) -> datetime | None:
        if Purpose.QUOTES not in record.given() or record.decided_at is None:
            return None
        if self._state not in {State.GIVEN, *KEEPING}:
            return None
        return record.decided_at + timedelta(seconds=record.validity_s) + self._quotes_kept

    def tick(self) -> None:
        """Let time pass: an unanswered question is deferred, an old consent expires.

        Called by the page server twice a second, and before every step.
        """
        with self._lock:
            self._steps.retry()
            if not self._open and self._stage() in {Stage.THANKS, Stage.OVER}:
                self._code = None  # the citizen has left; whoever comes next must not find it
            if self._state is State.OFFERED and self._monotonic_ns() >= self._deadline_ns:
                self._defer("timeout")
            if self._grant is not None and self._grant.ended() and self._state is State.GIVEN:
                self._refresh()

    def officer_view(self) -> OfficerView:
        """Return what the officer may see; waits for nothing, so that no delay tells of the log either."""
        if not self._open:
            return OfficerView(service_open=False, with_child=False)
        offered = self._procedure.choosable
        return OfficerView(
            service_open=True,
            with_child=self._with_child,
            procedures=offered,
            procedure=self._procedure.code if offered else None,
        )

    def view(self) -> DeskView:
        """Return what the desk looks like now."""
        with self._lock:
            self.tick()
            now = self._monotonic_ns()
            capture_on = self._open and self._grant is not None and not self._grant.ended()
            remaining_s: float | None = None
            if not self._open:
                stage = self._stage()
                phase = Phase.IDLE if stage is Stage.OVER else Phase(stage.value)
                if self._farewell is not None:
                    remaining_s = self._farewell.remaining_s(now)
            elif self._state is State.OFFERED:
                phase = Phase.ASKING
            else:
                phase = Phase.CAPTURING if capture_on else Phase.SERVING
            if phase is Phase.ASKING:
                remaining_s = max(0, self._deadline_ns - now) / 1e9
            return DeskView(
                counter=self.counter,
                phase=phase,
                record_id=None if phase is Phase.IDLE else self._record_id,
                state=None if phase is Phase.IDLE else self._state,
                purposes=self._grant.purposes if self._grant is not None and self._open else frozenset(),
                capture_on=capture_on,
                remaining_s=None if phase is Phase.IDLE else remaining_s,
                service_open=self._open,
                ended_how=None if phase is Phase.IDLE else self._ended_how,
                procedure=None if phase is Phase.IDLE else self._procedure.chosen,
            )

    def close(self) -> None:
        """End what is open; for the end of the program."""
        self.finish()

    def _stage(self) -> Stage:
        return Stage.OVER if self._farewell is None else self._farewell.stage(self._monotonic_ns())

    def _stages(self) -> Iterator[Stage]:
        if self._record_id is None:  # the question could not even be logged
            return
        if self._cast is not None:
            yield Stage.RATING
        if self._state in _ANSWERED and self._code is not None:
            yield Stage.RECEIPT

    def _session_to_rate(self, record_id: UUID) -> UUID | None:
        """Return the service that a rating names; None where an erasure would take that link away again."""
        if self._store.state(record_id) in ERASING or record_id in self._steps.records():
            return None
        return self._store.record(record_id).session_id

    def _must_be_current(self, record_id: UUID) -> None:
        if not self._open or record_id != self._record_id:
            raise TransitionRefused("this question is not on the screen any more")
        if self._state is not State.OFFERED:
            raise TransitionRefused(f"this question is closed: it is {self._state}")

    def _launch(self, record_id: UUID) -> None:
        try:
            self._grant = self._gate.grant(record_id)
            self._start_capture(self._grant)
        except Exception:  # noqa: BLE001 - whatever failed, the service goes on and nothing is captured
            if self._with_child:  # the switch ended it between the answer and the start
                self._revoke_for_child(record_id)
                return
            _log.exception("capture_not_started", counter=self.counter)
            self._step(record_id, State.REVOKED, IndicatedBy.CONTROLLER, "capture-not-started")

    def _end_service(self) -> None:
        self.tick()
        self._open = False
        record_id = self._record_id
        if record_id is None:
            return
        if self._state is State.OFFERED:
            self._defer("service-ended")
        elif self._state is not State.GIVEN:
            self._close_record(record_id)
        elif self._finish_capture is not None:
            try:
                self._finish_capture()
            except Exception:  # noqa: BLE001 - whatever failed, nothing is captured after the service
                _log.exception("capture_not_finished", counter=self.counter)
                self._step(record_id, State.REVOKED, IndicatedBy.CONTROLLER, "capture-not-finished")
        else:
            self._step(record_id, State.COMPLETED, IndicatedBy.SYSTEM, "end-of-service")

    def _close_record(self, record_id: UUID) -> None:
        try:
            self._store.close_service(record_id, IndicatedBy.SYSTEM, "end-of-service")
        except ConsentError as error:  # nothing hangs on it: the consent has ended before
            _log.warning("service_end_not_logged", counter=self.counter, error=str(error))

    def _defer(self, method: str, by: IndicatedBy = IndicatedBy.SYSTEM) -> None:
        assert self._record_id is not None  # noqa: S101 - narrows for mypy: only an offer is deferred
        self._state, self._ended_how = State.DEFERRED, method
        self._write(self._record_id, State.DEFERRED, by, method)

    def _revoke_for_child(self, record_id: UUID) -> None:
        self._step(record_id, State.REVOKED, IndicatedBy.CONTROLLER, StopMethod.ACCOMPANIED_CHILD.value)

    def _step(self, record_id: UUID, to: State, by: IndicatedBy, method: str) -> None:
        self._write(record_id, to, by, method)
        if record_id == self._record_id:
            self._state, self._ended_how = to, method

    def _write(self, record_id: UUID, to: State, by: IndicatedBy, method: str) -> None:
        self._steps.take(Step(record_id, to, by, method))

    def _refresh(self) -> None:
        assert self._record_id is not None  # noqa: S101 - narrows for mypy: a grant belongs to a record
        waiting = self._steps.waiting(self._record_id)
        if waiting is not None:  # the log cannot take it yet; it holds all the same
            self._state, self._ended_how = waiting.to, waiting.method
            return
        try:
            last = next(
                item.event for item in reversed(self._store.events(self._record_id)) if item.event.state
            )
            self._state = last.state
            self._ended_how = None if last.state in _STOPPABLE else last.method
        except LedgerError as error:
            _log.error("consent_state_unknown", counter=self.counter, error=str(error))
