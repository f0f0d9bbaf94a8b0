"""From the button on the kiosk to the last unit that is read: how long, and how many units."""

from __future__ import annotations

import statistics
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from capture.desk import Desk
from capture.kiosk import KioskSecret, KioskServer
from consent.gate import Gate, Grant
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from tests.consent.citizens import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from consent.state import State

_UNIT_S = 0.002
_BARS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class PacedDevice:
    """A device that decodes a unit every two milliseconds and notes when."""

    def __init__(self) -> None:
        self.units_ns: list[int] = []
        self._closed = threading.Event()

    def open(self, purposes: frozenset[Purpose]) -> PacedDevice:
        return self

    def read(self) -> Sample | None:
        if self._closed.wait(_UNIT_S):
            return None
        self.units_ns.append(time.monotonic_ns())
        return Sample(Purpose.IMAGE, len(self.units_ns))

    def interrupt(self) -> None:
        self._closed.set()

    def close(self) -> None:
        self._closed.set()


class Bench:
    """One counter whose citizen withdraws again and again."""

    def __init__(self, folder: Path) -> None:
        self.store = ConsentStore(folder / "consent.sqlite")
        self.gate = Gate(self.store)
        self.ended_ns: dict[UUID, int] = {}
        self.store.subscribe_halt(self._halted)  # after the gate's own: the lease has ended by then
        self.desk = Desk("quay-1", self.store, self.gate, start_capture=self._capture)
        self.server = KioskServer({"quay-1": self.desk}, KioskSecret(folder), port=0)
        self.server.start()
        self.client = httpx.Client(base_url=self.server.url, headers={"Origin": self.server.url}, timeout=60)
        self.client.get(self.server.link)
        self.device = PacedDevice()
        self._thread = threading.Thread()

    def _halted(self, record_id: UUID, _: State) -> None:
        self.ended_ns[record_id] = time.monotonic_ns()

    def _capture(self, grant: Grant) -> None:
        def run() -> None:
            with self.gate.stream(grant, self.device) as units:
                for _ in units:
                    pass

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def once(self) -> tuple[float, int]:
        """Serve one citizen; return milliseconds from the tap to the last unit, and units after the end."""
        self.device = PacedDevice()
        record_id = self.desk.offer()
        self.desk.show(record_id)
        self.desk.decide(record_id, {Purpose.IMAGE: True, Purpose.VOICE: False})
        while len(self.device.units_ns) < 3:
            time.sleep(_UNIT_S)
        tapped_ns = time.monotonic_ns()
        self.client.post("/kiosk/quay-1/withdrawal", data={"record": str(record_id)}).close()
        self._thread.join(60)
        assert not self._thread.is_alive()
        after = sum(at_ns > self.ended_ns[record_id] for at_ns in self.device.units_ns)
        return max(0.0, (self.device.units_ns[-1] - tapped_ns) / 1e6), after

    def close(self) -> None:
        self.client.close()
        self.server.stop()
        self.store.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def histogram(latencies_ms: list[float]) -> str:
    """Draw how many withdrawals took how long."""
    lines, low = [], 0
    for high in (*_BARS_MS, 10_000):
        count = sum(low <= value < high for value in latencies_ms)
        if count:
            lines.append(
                f"  {low:>4} to {high:<5} ms {count:>5}  {'#' * max(1, count * 50 // len(latencies_ms))}"
            )
        low = high
    return "\n".join(lines)


@pytest.mark.parametrize("runs", [200, pytest.param(2_000, marks=pytest.mark.long)])
def test_the_button_stops_the_device_at_once(bench: Bench, runs: int) -> None:
    results = [bench.once() for _ in range(runs)]
    latencies = sorted(latency for latency, _ in results)
    cuts = statistics.quantiles(latencies, n=100)
    p50, p90, p99 = cuts[49], cuts[89], cuts[98]
    print(  # noqa: T201 - the figures are shown with -s and in a failure's report
        f"\n{runs} withdrawals at the kiosk, tap to last unit: p50 {p50:.1f} ms, p90 {p90:.1f} ms, "
        f"p99 {p99:.1f} ms, most {latencies[-1]:.1f} ms\n{histogram(latencies)}"
    )
    assert max(after for _, after in results) <= 1, "more than the unit that was being decoded"
    assert p99 <= 200
