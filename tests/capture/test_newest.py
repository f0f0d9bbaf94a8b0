from __future__ import annotations

import threading
import time

import pytest

from capture.newest import BoundedQueue, DropPolicy, NewestSlot


def test_the_newest_replaces_and_is_counted() -> None:
    slot = NewestSlot[int]()
    assert slot.take() is None
    for item in (1, 2, 3):
        slot.put(item)
    assert (slot.peek(), slot.take(), slot.take(), slot.replaced) == (3, 3, None, 2)


def test_a_cleared_slot_is_empty() -> None:
    slot = NewestSlot[int]()
    slot.put(1)
    slot.clear()
    assert slot.take() is None


@pytest.mark.parametrize(
    ("policy", "lost", "kept"),
    [
        (DropPolicy.DROP_OLDEST, [None, None, 1, 2], [3, 4]),
        (DropPolicy.DROP_NEWEST, [None, None, 3, 4], [1, 2]),
    ],
)
def test_full_queues(policy: DropPolicy, lost: list[int | None], kept: list[int]) -> None:
    queue = BoundedQueue[int](2, policy)
    assert [queue.put(item) for item in (1, 2, 3, 4)] == lost
    assert queue.dropped == 2
    assert queue.peek() == kept[0]
    assert [queue.take() for _ in range(len(queue))] == kept
    assert queue.take() is None


def test_a_waiting_writer_goes_on_when_there_is_room() -> None:
    queue = BoundedQueue[int](1, DropPolicy.WAIT)
    queue.put(1)
    writer = threading.Thread(target=queue.put, args=(2,), daemon=True)
    writer.start()
    time.sleep(0.05)
    assert writer.is_alive()
    assert queue.take() == 1
    writer.join(5)
    assert not writer.is_alive()
    assert queue.take() == 2
    assert queue.dropped == 0


def test_closing_lets_a_waiting_writer_go_and_forgets() -> None:
    queue = BoundedQueue[int](1, DropPolicy.WAIT)
    queue.put(1)
    writer = threading.Thread(target=queue.put, args=(2,), daemon=True)
    writer.start()
    time.sleep(0.05)
    queue.close()
    writer.join(5)
    assert not writer.is_alive()
    assert queue.take() is None
    assert queue.put(3) == 3


def test_a_queue_has_room_for_one_at_least() -> None:
    with pytest.raises(ValueError, match="not 0"):
        BoundedQueue[int](0, DropPolicy.WAIT)
