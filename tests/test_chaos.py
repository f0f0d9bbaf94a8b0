"""Edge, centre and database are killed at random moments; every signal arrives once."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from capture.outbox import Outbox
from consent.state import State
from consent.verification import read_log, verify_file
from tests.programs import MINI, PATIENCE_S, Central, Edge

GIVEN = 'decision = "given"\npurposes = ["image", "voice"]\ndecides_after_s = 0.2'
REFUSED = 'decision = "refused"\ndecides_after_s = 0.2'
SILENT = 'decision = "silent"\ndecides_after_s = 0.2'
WITHDRAWN = GIVEN + "\nwithdraws_after_s = 2"
SCRIPTS = {
    "quay-1": [GIVEN, REFUSED, GIVEN, GIVEN, WITHDRAWN, GIVEN],
    "quay-2": [GIVEN, WITHDRAWN, GIVEN, SILENT, GIVEN, GIVEN],
    "quay-3": [REFUSED, GIVEN, GIVEN, GIVEN, GIVEN, REFUSED],
}
OUTCOME = {
    GIVEN: State.COMPLETED,
    REFUSED: State.REFUSED,
    SILENT: State.DEFERRED,
    WITHDRAWN: State.WITHDRAWN,
}


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """Give a directory that the database's unprivileged user may enter (pytest's own are closed)."""
    path = Path(tempfile.mkdtemp(prefix="hl-chaos-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Kill:
    """One row of the table that is printed."""

    at_s: float
    whom: str
    arrived: int
    waiting: int


@pytest.mark.parametrize(
    ("kills", "sessions"),
    [pytest.param(3, 2), pytest.param(10, 6, marks=[pytest.mark.long, pytest.mark.timeout(900)])],
)
def test_every_signal_arrives_once_however_often_we_are_killed(
    open_dir: Path, seed: int, kills: int, sessions: int
) -> None:
    rng = random.Random(seed + kills)  # noqa: S311 - repeatable, no secret
    media = sorted(MINI.glob("*.mp4"))
    plan = {
        counter: [
            (f"{counter}-{n}", media[(n + int(counter[-1])) % len(media)], script)
            for n, script in enumerate(scripts[:sessions])
        ]
        for counter, scripts in SCRIPTS.items()
    }
    central = Central(open_dir)
    edge = Edge(open_dir, central.address, plan)
    try:
        central.start()
        central.wait_ready()
        edge.enrol(central.token(*plan))
        edge.start()
        table = _kill_in_turn(rng, edge, central, kills)
        _print(seed, table)
        assert edge.wait_done(4 * PATIENCE_S) == 0, edge.log()
        central.wait_ready()
        _check(edge, central, [script for items in plan.values() for _, _, script in items])
    finally:
        edge.stop()
        central.stop()


def _kill_in_turn(rng: random.Random, edge: Edge, central: Central, kills: int) -> list[Kill]:
    began = time.monotonic()
    table: list[Kill] = []
    for number in range(kills):
        if rng.random() < 0.7:  # the others may find a program that has not come up again
            edge.wait_ready()
            central.wait_ready()
            if number % 2 == 0 and rng.random() < 0.6:
                edge.wait_for("session ended")  # the moments around a signal are the ones that matter
        time.sleep(rng.uniform(0.0, 3.0))
        if number % 2 == 0:
            whom = "edge" if edge.running() else "edge, which had ended"
            edge.kill()
            arrived, waiting = _progress(edge, central)
            edge.start()
        else:
            arrived, waiting = _progress(edge, central)
            whom = "centre"
            central.kill()
            if rng.random() < 0.5 and central.kill_database():
                whom = "centre and its PostgreSQL"
            time.sleep(rng.uniform(0.0, 2.0))
            central.start()
        table.append(Kill(time.monotonic() - began, whom, arrived, waiting))
    return table


def _progress(edge: Edge, central: Central) -> tuple[int, int]:
    central.wait_ready()
    outbox = Outbox(edge.data / "outbox.sqlite")
    try:
        return len(central.arrivals()), outbox.depth()
    finally:
        outbox.close()


def _print(seed: int, table: list[Kill]) -> None:
    print(f"\nseed {seed}; kill -9:")  # noqa: T201 - the record of the run, shown with -s and on failure
    for number, kill in enumerate(table, 1):
        print(  # noqa: T201 - as above
            f"{number:3}  {kill.at_s:6.1f} s  {kill.whom:26} arrived {kill.arrived:3}, waiting {kill.waiting}"
        )


def _check(edge: Edge, central: Central, scripts: list[str]) -> None:
    log = edge.data / "consent.sqlite"
    report = verify_file(log)
    assert report.ok, report.reason
    last = {logged.event.record_id: logged.event for logged in read_log(log)}
    ends = Counter(event.state for event in last.values() if event.method not in {"restart", "shutdown"})
    cut = len(last) - ends.total()
    completed = {str(event.session_id) for event in last.values() if event.state is State.COMPLETED}
    arrivals = [item["session_id"] for item in central.arrivals()]
    print(  # noqa: T201 - the record of the run
        f"sessions by end: {dict(ends)}, cut and served again: {cut}; "
        f"at the centre {len(arrivals)}, rows {central.count('signals')}, "
        f"set aside {central.count('quarantine')}"
    )
    assert ends == Counter(OUTCOME[script] for script in scripts)
    assert sorted(arrivals) == sorted(completed)
    assert central.count("signals") == len(completed) == scripts.count(GIVEN)
    assert central.count("quarantine") == 0
    outbox = Outbox(edge.data / "outbox.sqlite")
    try:
        assert outbox.depth() == 0
        assert outbox.held() == ()
    finally:
        outbox.close()
