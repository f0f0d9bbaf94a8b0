"""No consent without an affirmative tap: silence, haste, half answers and other people give nothing."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from consent.errors import ConsentError, NotPermitted, TransitionRefused
from consent.gate import Gate
from consent.notice import NoticeShelf
from consent.purpose import Purpose
from consent.record import IndicatedBy
from consent.state import State
from tests.consent.citizens import ALL_GIVEN, BOTH, Clocks, citizen
from tests.consent.lives import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from uuid import UUID

    from consent.ledger import ConsentStore
    from consent.record import NoticeReference

SEQUENCES = 150
NO_TO_ALL = dict.fromkeys(BOTH, False)


def _references() -> dict[str, NoticeReference]:
    shelf = NoticeShelf.load()
    return {language: shelf.current(language).reference(BOTH) for language in shelf.languages}


class Screen:
    """What fingers and time do to one question, without ever saying yes to all that was asked."""

    def __init__(self, store: ConsentStore, record_id: UUID, rng: random.Random) -> None:
        self.store, self.record_id, self.rng = store, record_id, rng
        self.references = _references()

    def switch_language(self) -> None:
        self.store.show(self.record_id, self.rng.choice(list(self.references.values())))

    def tap_one_choice(self) -> None:
        """A tap beside the second question: one purpose is answered, the other is not."""
        self._decide({self.rng.choice(BOTH): True})

    def tap_outside(self) -> None:
        self._decide({})

    def tap_what_was_not_asked(self) -> None:
        self._decide({**ALL_GIVEN, Purpose.QUOTES: True})

    def somebody_else_taps(self) -> None:
        others = [who for who in IndicatedBy if who is not IndicatedBy.CITIZEN]
        self._decide(ALL_GIVEN, self.rng.choice(others))

    def time_runs_out(self) -> None:
        self.store.apply(self.record_id, State.DEFERRED, IndicatedBy.SYSTEM, "timeout")

    def step_to_given(self) -> None:
        self.store.apply(self.record_id, State.GIVEN, IndicatedBy.CITIZEN, "kiosk-touch")

    def refuse(self) -> None:
        self._decide(NO_TO_ALL)

    def refuse_and_tap_again(self) -> None:
        self._decide(NO_TO_ALL)
        self._decide(ALL_GIVEN)

    def _decide(self, choices: Mapping[Purpose, bool], by: IndicatedBy = IndicatedBy.CITIZEN) -> None:
        self.store.decide(self.record_id, choices, by, "kiosk-touch", dwell_ms=self.rng.randrange(9000))


ACTS = [name for name in vars(Screen) if not name.startswith("_")]


def test_nothing_but_a_whole_yes_gives(quick_folder: Path, seed: int) -> None:
    rng, clocks = random.Random(seed), Clocks()  # noqa: S311 - repeatable choices, no secrets
    ends: set[State] = set()
    done: set[str] = set()
    with open_store(quick_folder / "consent.sqlite", clocks) as store:
        gate = Gate(store, monotonic_ns=clocks.monotonic_ns)
        for _ in range(SEQUENCES):
            record = citizen(language=rng.choice(["vi", "en"]))
            store.offer(record)
            store.show(record.record_id, record.notice)
            screen = Screen(store, record.record_id, rng)
            for act in rng.choices(ACTS, k=rng.randrange(1, 7)):
                try:
                    getattr(screen, act)()
                    done.add(act)
                except ConsentError:
                    pass  # refused, as it should be; what counts is where it leads
                assert store.state(record.record_id) is not State.GIVEN, act
                assert store.permitted(record.record_id) == frozenset(), act
            with pytest.raises(NotPermitted):
                gate.grant(record.record_id)
            ends.add(store.state(record.record_id))
    assert ends == {State.OFFERED, State.REFUSED, State.DEFERRED}
    assert done == {"switch_language", "time_runs_out", "refuse"}, "all other acts are refused as a whole"


@pytest.mark.parametrize("language", ["vi", "en"])
def test_after_every_failed_tap_a_whole_yes_still_counts_once(
    log_path: Path, clocks: Clocks, language: str, seed: int
) -> None:
    with open_store(log_path, clocks) as store:
        record = citizen()
        store.offer(record)
        store.show(record.record_id, record.notice)
        screen = Screen(store, record.record_id, random.Random(seed))  # noqa: S311 - as above
        for act in ("tap_one_choice", "tap_outside", "tap_what_was_not_asked", "somebody_else_taps"):
            with pytest.raises(ConsentError):
                getattr(screen, act)()
        reference = _references()[language]
        store.show(record.record_id, reference)
        store.decide(
            record.record_id,
            ALL_GIVEN,
            IndicatedBy.CITIZEN,
            "kiosk-touch",
            dwell_ms=4100,
            notice=reference,
        )
        for choices in (ALL_GIVEN, NO_TO_ALL):
            with pytest.raises(TransitionRefused):
                store.decide(record.record_id, choices, IndicatedBy.CITIZEN, "kiosk-touch", dwell_ms=4150)
        now = store.record(record.record_id)
        kinds = [item.event.kind.value for item in store.events(record.record_id)]
    assert kinds.count("given") == 1
    assert now.notice == reference, "the notice that was answered, not the one that was shown first"
    NoticeShelf.load().check(now.notice, now.purposes)
