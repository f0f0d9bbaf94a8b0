"""Hand-over places between a device's thread and its reader.

Pictures go through `NewestSlot`: a reader that is slower than the camera sees the
newest picture and never an old one out of a queue. Sound goes through `BoundedQueue`:
nothing is lost without being counted, and memory stays bounded.
"""

from __future__ import annotations

import threading
from collections import deque
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class DropPolicy(StrEnum):
    """What a full queue does with the next item."""

    WAIT = "wait"
    """The writer waits until there is room."""
    DROP_OLDEST = "drop-oldest"
    """The oldest waiting item makes room."""
    DROP_NEWEST = "drop-newest"
    """The item that comes is left out."""


class NewestSlot(Generic[T]):
    """Room for one item; a newer one replaces it.

    Args:
        changed: Condition notified at every put; share one to wait on several places.
    """

    def __init__(self, changed: threading.Condition | None = None) -> None:
        """Make an empty slot."""
        self.changed = changed or threading.Condition()
        self.replaced = 0
        """Items that nobody took before the next one came."""
        self._item: T | None = None

    def put(self, item: T) -> None:
        """Leave an item, in place of the one that waits."""
        with self.changed:
            if self._item is not None:
                self.replaced += 1
            self._item = item
            self.changed.notify_all()

    def peek(self) -> T | None:
        """Look at the waiting item without taking it."""
        with self.changed:
            return self._item

    def take(self) -> T | None:
        """Take the waiting item, if there is one."""
        with self.changed:
            item, self._item = self._item, None
            return item

    def clear(self) -> None:
        """Forget the waiting item."""
        with self.changed:
            self._item = None
            self.changed.notify_all()


class BoundedQueue(Generic[T]):
    """A first-in, first-out queue with a named way of being full.

    Args:
        capacity: Most items that wait.
        policy: What happens beyond that.
        changed: Condition notified at every change; share one to wait on several places.
    """

    def __init__(self, capacity: int, policy: DropPolicy, changed: threading.Condition | None = None) -> None:
        """Make an empty queue."""
        if capacity < 1:
            raise ValueError(f"A queue needs room for at least one item, not {capacity}.")
        self.changed = changed or threading.Condition()
        self.policy = policy
        self.dropped = 0
        """Items that were lost because the queue was full."""
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._closed = False

    def __len__(self) -> int:
        """Count the waiting items."""
        with self.changed:
            return len(self._items)

    def put(self, item: T) -> T | None:
        """Append an item.

        Returns:
            The item that was dropped for it, or the item itself where it was refused.
        """
        with self.changed:
            lost: T | None = None
            if self.policy is DropPolicy.WAIT:
                self.changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                return item
            if len(self._items) >= self._capacity:
                self.dropped += 1
                if self.policy is DropPolicy.DROP_NEWEST:
                    return item
                lost = self._items.popleft()
            self._items.append(item)
            self.changed.notify_all()
            return lost

    def peek(self) -> T | None:
        """Look at the oldest item without taking it."""
        with self.changed:
            return self._items[0] if self._items else None

    def take(self) -> T | None:
        """Take the oldest item, if there is one."""
        with self.changed:
            if not self._items:
                return None
            self.changed.notify_all()
            return self._items.popleft()

    def close(self) -> None:
        """Forget what waits, refuse what comes and let a waiting writer go."""
        with self.changed:
            self._closed = True
            self._items.clear()
            self.changed.notify_all()
