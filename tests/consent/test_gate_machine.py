"""Random lives of consents: a tripwire notes every unit, a model knows what was permitted."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, ClassVar, NoReturn

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from consent.errors import (
    ConsentError,
    DecisionIncomplete,
    LedgerUnavailable,
    NotPermitted,
    TransitionRefused,
)
from consent.gate import Gate, Grant, Permitted
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.state import TRANSITIONS, State
from tests.consent.citizens import BOTH, Clocks, Sample, Tripwire, citizen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

LEASE_S = 5.0
DAY_S = 86_400
ENDINGS = (State.WITHDRAWN, State.EXPIRED, State.COMPLETED, State.REVOKED, State.INVALIDATED)


class ConsentLives(RuleBasedStateMachine):
    """One citizen after another at one counter."""

    folder: ClassVar[Path]
    clocks: ClassVar[Clocks]
    store: ClassVar[ConsentStore]
    elsewhere: ClassVar[ConsentStore]
    gate: ClassVar[Gate]
    sequences: ClassVar[int] = 0
    units: ClassVar[int] = 0
    outside: ClassVar[int] = 0
    late: ClassVar[int] = 0
    failures: ClassVar[int] = 0
    afterwards: ClassVar[int] = 0

    @initialize(
        choices=st.sampled_from([None, *product([True, False], repeat=2), (True, True), (True, False)])
    )
    def arrive(self, choices: tuple[bool, bool] | None) -> None:
        type(self).sequences += 1
        self.tripwire = Tripwire(self.clocks.monotonic_ns)
        self.stack = ExitStack()
        self.stream: Iterator[Permitted[Sample]] | None = None
        self.grant: Grant | None = None
        self.held: list[Permitted[Sample]] = []
        self._next_citizen()
        if choices is not None:
            self._decide(*choices)
        self.read(2, None)

    def _next_citizen(self) -> None:
        self.record_id: UUID = self.store.offer(citizen()).event.record_id
        self.state = State.OFFERED
        self.given: frozenset[Purpose] = frozenset()
        self.limit_ns = 0
        self.ended_elsewhere_ns: int | None = None

    def _may_read(self) -> frozenset[Purpose]:
        """What the model says may be read now, at this counter."""
        now = self.clocks.mono_ns
        if self.ended_elsewhere_ns is not None:
            bound = self.ended_elsewhere_ns + int(LEASE_S * 1e9)
            return self.given if now < min(bound, self.limit_ns) else frozenset()
        return self.given if self.state is State.GIVEN and now < self.limit_ns else frozenset()

    def _judge(self, opened_before: int, served_before: int) -> None:
        """Count what the tripwire saw since then and the model did not allow at its time."""
        allowed = self._may_read()
        for _, purposes in self.tripwire.opened[opened_before:]:
            type(self).outside += not purposes <= allowed
        for _, purpose in self.tripwire.served[served_before:]:
            type(self).units += 1
            type(self).outside += purpose not in allowed

    @rule(image=st.booleans(), voice=st.booleans())
    def decide(self, image: bool, voice: bool) -> None:  # noqa: FBT001 - Hypothesis fills them by name
        self._decide(image, voice)

    def _decide(self, image: bool, voice: bool) -> None:  # noqa: FBT001 - as above
        choices = {Purpose.IMAGE: image, Purpose.VOICE: voice}
        if self.state is not State.OFFERED:
            with pytest.raises(TransitionRefused):
                self.store.decide(self.record_id, choices, "citizen", "touch")
            return
        self.state = self.store.decide(self.record_id, choices, "citizen", "touch")
        assert self.state is (State.GIVEN if image or voice else State.REFUSED)
        self.given = frozenset(purpose for purpose in BOTH if choices[purpose])
        self.limit_ns = self.clocks.mono_ns // 1_000_000 * 1_000_000 + 3600 * 1_000_000_000

    @rule(image=st.booleans())
    def decide_by_halves(self, image: bool) -> None:  # noqa: FBT001 - as above
        with pytest.raises((DecisionIncomplete, TransitionRefused)):
            self.store.decide(self.record_id, {Purpose.IMAGE: image}, "citizen", "touch")

    @rule(to=st.sampled_from([*ENDINGS, State.DEFERRED]))
    def step(self, to: State) -> None:
        self._step(to)

    def _step(self, to: State) -> None:
        if to in TRANSITIONS[self.state]:
            self.store.apply(self.record_id, to, "system", "test")
            self.state = to
        else:
            with pytest.raises(TransitionRefused):
                self.store.apply(self.record_id, to, "system", "test")

    @precondition(lambda self: self.state is State.GIVEN and self.ended_elsewhere_ns is None)
    @rule()
    def withdraw_in_another_process(self) -> None:
        self.elsewhere.apply(self.record_id, State.WITHDRAWN, "citizen", "receipt")
        self.state, self.ended_elsewhere_ns = State.WITHDRAWN, self.clocks.mono_ns

    @rule(seconds=st.sampled_from([0.1, 2.4, 4.9, 5.1, 600, 3599, 3601]))
    def wait(self, seconds: float) -> None:
        self.clocks.advance(seconds)
        if self.state is State.GIVEN and self.clocks.mono_ns >= self.limit_ns:
            # Whoever looks first writes it: a grant, a unit that waits, or here the desk.
            with suppress(TransitionRefused):
                self.store.apply(self.record_id, State.EXPIRED, "system", "test")
            self.state = self.store.state(self.record_id)
            assert self.state is State.EXPIRED

    @rule(days=st.sampled_from([-1, 1]))
    def jump_the_wall_clock(self, days: int) -> None:
        before = self.clocks.mono_ns
        self.clocks.advance(days * DAY_S)
        self.clocks.mono_ns = before

    def _open(self) -> None:
        opened = len(self.tripwire.opened)
        may = self._may_read() if self.ended_elsewhere_ns is None else frozenset()
        try:
            self.grant = self.gate.grant(self.record_id)
            self.stream = self.stack.enter_context(self.gate.stream(self.grant, self.tripwire))
        except NotPermitted:
            assert not may, "a live consent was refused"
            assert len(self.tripwire.opened) == opened
        else:
            assert self.grant.purposes == may
        self._judge(opened, len(self.tripwire.served))

    @rule(times=st.integers(1, 3), meanwhile=st.sampled_from([None, None, None, *ENDINGS]))
    def read(self, times: int, meanwhile: State | None) -> None:
        """Read some units, opening the devices first when they are closed."""
        if self.stream is None:
            self._open()
        for _ in range(times):
            if self.stream is not None:
                self._read(meanwhile)

    def _read(self, meanwhile: State | None) -> None:
        assert self.stream is not None
        assert self.grant is not None
        served, may = len(self.tripwire.served), self._may_read()
        live = bool(may) and self.ended_elsewhere_ns is None and not self.grant.ended()
        if meanwhile is not None and live:
            self.tripwire.while_reading = partial(self._step, meanwhile)
        unit = next(self.stream, None)
        self.tripwire.while_reading = None
        if meanwhile is not None and live:
            # Decoded while the consent ended: at most this one, and handed to nobody.
            assert unit is None
            assert len(self.tripwire.served) == served + 1
            type(self).late += 1
            return
        self._judge(len(self.tripwire.opened), served)
        if live:
            assert unit is not None, "a live consent gave nothing"
        if unit is not None:
            assert unit.open().purpose in may
            self.held.append(unit)

    @precondition(lambda self: self.stream is not None)
    @rule(seconds=st.sampled_from([0.1, 2.6, 600]))
    def the_log_cannot_be_read(self, seconds: float) -> None:
        """Read once more while the log fails: at most for the rest of half a lease."""
        assert self.stream is not None
        served, renewed_ns = len(self.tripwire.served), int(LEASE_S * 1e9) // 2

        def fail(_: UUID) -> NoReturn:
            raise LedgerUnavailable("the disk is gone")

        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(self.store, "permitted", fail)
            self.wait(seconds)
            unit = next(self.stream, None)
            self._judge(len(self.tripwire.opened), served)
            if seconds * 1e9 >= renewed_ns:
                assert unit is None, "an answer from before the log failed was believed past half a lease"
                assert len(self.tripwire.served) == served
                type(self).failures += 1
        if unit is not None:
            self.held.append(unit)
        self._close()  # a lease that was lost does not come back; the next read asks for a new one
        if unit is None:
            self.held.clear()

    @precondition(lambda self: self.state in {State.COMPLETED, State.EXPIRED})
    @rule()
    def withdraw_by_the_slip(self) -> None:
        """Withdraw after the service: nothing may be read before it, and nothing after."""
        assert not self._may_read()
        self._step(State.WITHDRAWN)
        type(self).afterwards += 1
        with pytest.raises(NotPermitted):
            self.gate.grant(self.record_id)

    @precondition(lambda self: self.stream is not None)
    @rule()
    def close_devices(self) -> None:
        self._close()

    @precondition(lambda self: self.state not in {State.OFFERED, State.GIVEN})
    @rule()
    def next_citizen(self) -> None:
        self._close()
        self.held.clear()
        self._next_citizen()

    def _close(self) -> None:
        self.stack.close()
        assert self.tripwire.closed == len(self.tripwire.opened)
        self.stream, self.grant = None, None

    @invariant()
    def nothing_held_outlives_the_consent(self) -> None:
        if not self._may_read():
            for unit in self.held:
                with pytest.raises(NotPermitted):
                    unit.open()

    def teardown(self) -> None:
        self.read(1, None)
        self.stack.close()
        if self.state in {State.OFFERED, State.GIVEN}:
            to = State.DEFERRED if self.state is State.OFFERED else State.COMPLETED
            try:
                self.store.apply(self.record_id, to, "system", "test")
            except ConsentError:
                assert self.state is State.GIVEN


@pytest.mark.parametrize(
    "sequences", [2_000, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_no_unit_is_read_outside_a_given_consent(quick_folder: Path, seed: int, sequences: int) -> None:
    clocks = Clocks()
    path = quick_folder / "consent.sqlite"
    with (
        ConsentStore(path, now=clocks.now, monotonic_ns=clocks.monotonic_ns) as store,
        ConsentStore(path, now=clocks.now, monotonic_ns=clocks.monotonic_ns) as elsewhere,
    ):

        class Lives(ConsentLives):
            pass

        Lives.clocks, Lives.store, Lives.elsewhere = clocks, store, elsewhere
        Lives.gate = Gate(store, lease_s=LEASE_S, monotonic_ns=clocks.monotonic_ns)
        run_state_machine_as_test(
            Lives,
            settings=settings(
                max_examples=sequences,
                stateful_step_count=6,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        assert store.verify().ok
    print(  # noqa: T201 - the figures are shown with -s and in a failure's report
        f"seed {seed}: {Lives.sequences} sequences, {Lives.units} units read, {Lives.outside} outside a "
        f"consent, {Lives.late} decoded while it ended and dropped, {Lives.failures} failures of the log, "
        f"{Lives.afterwards} late withdrawals"
    )
    assert Lives.sequences >= sequences
    assert Lives.units > sequences // 4, "the machine hardly read anything: the test has no teeth"
    assert Lives.late > 0
    assert Lives.failures > 0
    assert Lives.afterwards > 0
    assert Lives.outside == 0
