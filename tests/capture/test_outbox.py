"""The outbox gives gap-free numbers and survives kills and full disks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from capture.outbox import Outbox, OutboxError, OutboxFull
from consent.errors import KeyDestroyed
from consent.session_keys import opens


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.sqlite")


def test_numbers_start_at_one_and_have_no_gaps(outbox: Outbox) -> None:
    assert [outbox.put("signal", {"n": n}, key=uuid4()) for n in range(5)] == [1, 2, 3, 4, 5]
    assert [entry.payload["n"] for entry in outbox.pending()] == [0, 1, 2, 3, 4]


def test_the_same_key_is_stored_once(outbox: Outbox) -> None:
    key = uuid4()
    assert outbox.put("signal", {"n": 1}, key=key) == 1
    assert outbox.put("signal", {"n": 2}, key=key) == 1
    assert [entry.payload for entry in outbox.pending()] == [{"n": 1}]


def test_what_is_held_is_not_sent_until_released(outbox: Outbox) -> None:
    first, second = uuid4(), uuid4()
    outbox.hold("signal", {"n": 1}, key=first)
    outbox.hold("signal", {"n": 2}, key=second)
    assert outbox.pending() == ()
    assert set(outbox.held()) == {first, second}
    assert outbox.release(second) == 1
    outbox.discard(first)
    assert outbox.held() == ()
    assert [entry.payload["n"] for entry in outbox.pending()] == [2]
    assert outbox.contains(second)
    assert not outbox.contains(first)


def test_releasing_what_was_never_held_says_so(outbox: Outbox) -> None:
    with pytest.raises(OutboxError, match="hold it before"):
        outbox.release(uuid4())


def test_confirmed_entries_leave_pending_and_are_pruned_later(outbox: Outbox) -> None:
    for n in range(4):
        outbox.put("signal", {"n": n}, key=uuid4())
    outbox.mark_delivered(3)
    assert [entry.seq for entry in outbox.pending()] == [4]
    assert [entry.seq for entry in outbox.pending(after=1)] == [2, 3, 4]
    assert outbox.depth() == 1
    assert outbox.prune(timedelta(days=1)) == 0
    assert outbox.prune(timedelta(0)) == 3
    assert outbox.put("signal", {}, key=uuid4()) == 5


def test_numbers_go_on_after_everything_was_pruned_and_reopened(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o.sqlite")
    outbox.put("signal", {}, key=uuid4())
    outbox.mark_delivered(1)
    outbox.prune(timedelta(0))
    outbox.close()
    again = Outbox(tmp_path / "o.sqlite")
    assert again.put("signal", {}, key=uuid4()) == 2
    assert again.high_water() == 1


def test_a_centre_ahead_of_us_means_an_old_backup(outbox: Outbox) -> None:
    outbox.put("signal", {}, key=uuid4())
    with pytest.raises(OutboxError, match="old backup"):
        outbox.mark_delivered(2)
    assert outbox.high_water() == 0


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o.sqlite")
    outbox.put("signal", {"n": 0}, key=uuid4())
    (pages,) = outbox._db.execute("PRAGMA page_count").fetchone()
    outbox._db.execute(f"PRAGMA max_page_count = {pages}")
    key = uuid4()
    with pytest.raises(OutboxFull, match="Free disk space"):
        outbox.put("signal", {"text": "x" * 20_000}, key=key)
    outbox._db.execute(f"PRAGMA max_page_count = {pages + 100}")
    assert outbox.put("signal", {"text": "x" * 20_000}, key=key) == 2
    assert [entry.seq for entry in outbox.pending()] == [1, 2]


def test_something_else_than_an_outbox_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    path.write_bytes(b"not a database at all, but long enough to look like one" * 40)
    with pytest.raises(OutboxError, match="moved away"):
        Outbox(path)


_WRITER = """
import sys
from pathlib import Path
from uuid import UUID
from capture.outbox import Outbox

outbox = Outbox(Path(sys.argv[1]))
for n in range(int(sys.argv[2]), 100000):
    key = UUID(int=n)
    outbox.hold("signal", {"n": n}, key=key)
    outbox.release(key)
    print(n, flush=True)
"""


def test_killed_at_any_moment_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    acknowledged = -1
    for kill in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(acknowledged + 1)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert writer.stdout is not None
        for _ in range(10 + 7 * kill):
            acknowledged = int(writer.stdout.readline())
        time.sleep(0.001 * kill)
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.communicate()[0].split()
        acknowledged = max([acknowledged, *map(int, rest)])
    outbox = Outbox(path)
    for key in outbox.held():
        outbox.release(key)
    entries = outbox.pending(limit=100_000)
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    numbers = [entry.payload["n"] for entry in entries]
    assert sorted(set(numbers)) == sorted(numbers)
    assert set(range(acknowledged + 1)) <= set(numbers)
    assert outbox.contains(UUID(int=0))


def test_a_payload_never_lies_on_the_disk_as_text(outbox: Outbox, tmp_path: Path) -> None:
    for kind in ("signal", "ballot"):
        outbox.put(kind, {"software": f"canary-of-a-{kind}"}, key=uuid4())
    outbox.hold("signal", {"software": "canary-held"}, key=uuid4())
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"canary" not in stored
    assert [entry.payload["software"] for entry in outbox.pending()] == [
        "canary-of-a-signal",
        "canary-of-a-ballot",
    ]


def test_only_a_signal_carries_its_key_to_the_centre(outbox: Outbox) -> None:
    signal_key, ballot_key = uuid4(), uuid4()
    committed = outbox.hold("signal", {"n": 1}, key=signal_key)
    outbox.release(signal_key)
    outbox.put("ballot", {"n": 2}, key=ballot_key)
    first, second = outbox.pending()
    assert first.salt is not None
    assert opens(committed, first.salt, b'{"n":1}')
    assert second.salt is None


def test_what_an_earlier_version_left_as_text_is_sealed(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o.sqlite")
    key = uuid4()
    outbox.put("signal", {"n": 1}, key=key)
    outbox._db.execute("UPDATE entry SET payload = ?", (b'{"n": 1, "software": "canary"}',))
    outbox.close()
    again = Outbox(tmp_path / "o.sqlite")
    assert b"canary" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert [entry.payload for entry in again.pending()] == [{"n": 1, "software": "canary"}]


def test_a_tombstone_is_confirmed_only_by_an_answer_to_itself(outbox: Outbox) -> None:
    keys = [uuid4() for _ in range(3)]
    for n, key in enumerate(keys):
        outbox.put("signal", {"n": n}, key=key)
    in_flight = outbox.pending()
    assert outbox.erase(keys[1]) == 1  # withdrawn while the batch is on its way
    assert outbox.erase(keys[1]) == 0
    outbox.mark_delivered(3, in_flight)
    assert outbox.pending() == ()
    assert outbox.depth() == 1
    (stone,) = outbox.tombstones()
    assert (stone.seq, stone.kind, stone.payload) == (2, "erased", {"record_id": str(keys[1])})
    outbox.mark_delivered(3, (stone,))
    assert (outbox.tombstones(), outbox.depth()) == ((), 0)


def test_tombstones_are_sent_in_runs_without_a_gap(outbox: Outbox) -> None:
    keys = [uuid4() for _ in range(5)]
    for key in keys:
        outbox.put("signal", {}, key=key)
    outbox.mark_delivered(5, outbox.pending())
    for place in (0, 1, 3):
        outbox.erase(keys[place])
    assert [entry.seq for entry in outbox.tombstones()] == [1, 2]
    outbox.mark_delivered(5, outbox.tombstones())
    assert [entry.seq for entry in outbox.tombstones()] == [4]


def test_a_late_withdrawal_finds_the_number_of_a_pruned_entry(outbox: Outbox) -> None:
    key = uuid4()
    outbox.put("signal", {"n": 1}, key=key)
    outbox.mark_delivered(1, outbox.pending())
    assert outbox.prune(timedelta(0)) == 1
    assert outbox.keys.destroyed(key)
    assert outbox.pending(after=0) == ()
    outbox.erase(key)
    assert [(entry.seq, entry.kind) for entry in outbox.tombstones()] == [(1, "erased")]


def test_numbers_are_forgotten_in_the_end(outbox: Outbox) -> None:
    key = uuid4()
    outbox.put("signal", {"n": 1}, key=key)
    outbox.mark_delivered(1, outbox.pending())
    outbox.prune(timedelta(0), remember=timedelta(0))
    assert not outbox.contains(key)
    assert outbox.put("signal", {"n": 2}, key=uuid4()) == 2


def test_a_discarded_entry_takes_its_key_along_a_released_one_does_not(outbox: Outbox) -> None:
    held, released = uuid4(), uuid4()
    outbox.hold("signal", {}, key=held)
    outbox.put("signal", {}, key=released)
    outbox.discard(held)
    outbox.discard(released)
    assert outbox.keys.destroyed(held)
    assert not outbox.keys.destroyed(released)
    with pytest.raises(KeyDestroyed):
        outbox.hold("signal", {}, key=held)
