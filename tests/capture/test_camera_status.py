"""A counter watches its camera's view while it is permitted to see, and forgets with whoever withdraws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from capture.config import CounterConfig
from capture.consent_script import decide_scripted, offer_scripted
from capture.counter import Counter
from capture.outbox import SESSION_KEYS, Outbox
from capture.source import SENSED, SourceHealth
from consent.gate import Gate
from consent.ledger import ConsentStore
from consent.session_keys import SessionKeys
from consent.state import State
from inference.media import Frame
from tests.capture.edge_folder import GIVEN
from tests.capture.stand_ins import CountingPerception

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from capture.source import MediaDevice
    from consent.purpose import Purpose

_NOISE = np.random.default_rng(20260101).integers(0, 5, (90, 160, 3), np.uint8)
_ROOM = np.kron(np.random.default_rng(7).integers(40, 200, (15, 20, 3)), np.ones((6, 8, 1))).astype(np.uint8)


class Camera:
    """One picture a second: the room, then a hand before the lens; told before each read."""

    address, offers = "camera", SENSED

    def __init__(
        self, pictures: int, *, covered_from: int, at: Callable[[int], None] = lambda _: None
    ) -> None:
        self._pictures, self._covered_from, self._at, self._index = pictures, covered_from, at, 0

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        return self

    def read(self) -> Frame | None:
        index = self._index
        self._at(index)
        if index >= self._pictures:
            return None
        self._index += 1
        scene = _ROOM if index < self._covered_from else np.full_like(_ROOM, 90)
        pixels = scene + np.roll(_NOISE, 11 * index, axis=1)
        return Frame(pixels, captured_ns=(1_800_000_000 + index) * 1_000_000_000, index=index)

    def interrupt(self) -> None: ...

    def close(self) -> None: ...

    def describe(self) -> str:
        return "camera"

    def health(self) -> SourceHealth:
        return SourceHealth()


class Edge:
    """A counter with its log and outbox."""

    def __init__(self, folder: Path) -> None:
        self.store = ConsentStore(folder / "consent.sqlite")
        self.keys = SessionKeys(folder / SESSION_KEYS)
        self.outbox = Outbox(folder / "outbox.sqlite", self.keys)
        self.gate = Gate(self.store)
        perception: Any = CountingPerception()
        self.counter = Counter(
            CounterConfig(code="quay-1", camera="lavfi:testsrc"),
            store=self.store,
            gate=self.gate,
            outbox=self.outbox,
            perception=perception,
            software="test",
        )

    def run(self, camera: Any, record_id: Any = None) -> State:
        if record_id is None:
            record_id = self.given()
        return self.counter.session(self.gate.grant(record_id), camera).run().state

    def given(self) -> Any:
        record_id = offer_scripted(self.store, "quay-1", GIVEN)
        decide_scripted(self.store, record_id, GIVEN)
        return record_id

    def close(self) -> None:
        self.outbox.close()
        self.keys.close()
        self.store.close()


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    made = Edge(tmp_path)
    yield made
    made.close()


def test_a_covered_camera_shows_in_the_status_and_once_in_the_log(edge: Edge) -> None:
    assert edge.counter.status().camera.name == "unknown"
    with capture_logs() as said:
        assert edge.run(Camera(40, covered_from=20)) is State.COMPLETED
    state = edge.counter.status().camera
    assert (state.name, state.since_ns) == ("covered", 1_800_000_020 * 1_000_000_000)
    (told,) = [entry for entry in said if entry["event"] == "camera trouble"]
    assert (told["counter"], told["trouble"], told["log_level"]) == ("quay-1", "covered", "warning")
    assert not edge.counter.view.readable()
    edge.run(Camera(10, covered_from=99))
    assert edge.counter.status().camera.name == "good"


def test_a_withdrawn_session_leaves_no_background(edge: Edge) -> None:
    edge.run(Camera(12, covered_from=99))
    background = edge.counter.view._background
    assert background is not None
    edge.counter.view.aimed_anew()
    record_id = edge.given()

    def withdraw(index: int) -> None:
        if index == 12:
            assert edge.counter.view._background is not None
            edge.store.apply(record_id, State.WITHDRAWN, "citizen", "button")

    assert edge.run(Camera(20, covered_from=99, at=withdraw), record_id) is State.WITHDRAWN
    assert edge.counter.view._background is None
