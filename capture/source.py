"""What every source is to the rest of the edge program.

A source is a description and a way to open: nothing is opened, let alone read, before
`open` is called, and `open` is called by the consent gate, after the consent, with the
purposes that were permitted. A source opens only what those purposes need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from consent.purpose import Purpose
from inference.media import AudioChunk, Frame

MediaUnit: TypeAlias = Frame | AudioChunk
"""What a device yields: a picture or a run of samples."""

SENSED = frozenset({Purpose.IMAGE, Purpose.VOICE})
"""The purposes that need a device at all."""


class SourceState(StrEnum):
    """Where a source stands."""

    CLOSED = "closed"
    OPENING = "opening"
    RUNNING = "running"
    WAITING = "waiting"
    """Lost, and waiting to be opened again."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """What a source did since it was made, over all its devices.

    Attributes:
        state: Where it stands now.
        frames: Pictures decoded.
        frames_skipped: Pictures a newer one replaced before they were read.
        chunks: Audio chunks decoded.
        chunks_dropped: Audio chunks lost because the reader was too slow.
        dropped_s: Length of those.
        damaged: Packets that could not be decoded.
        reconnects: Times it was opened again after a loss.
        gap_s: Time without a unit because of losses.
        last_error: The last thing that went wrong, in words, or empty.
    """

    state: SourceState = SourceState.CLOSED
    frames: int = 0
    frames_skipped: int = 0
    chunks: int = 0
    chunks_dropped: int = 0
    dropped_s: float = 0.0
    damaged: int = 0
    reconnects: int = 0
    gap_s: float = 0.0
    last_error: str = ""


class MediaDevice(Protocol):
    """One opened device; only one thread reads it."""

    def read(self) -> MediaUnit | None:
        """Give the next unit, or None at the end or after `interrupt`."""

    def interrupt(self) -> None:
        """Make a blocked `read` return soon and discard what waits (any thread may call it)."""

    def close(self) -> None:
        """Let the device go; once this returns nothing is captured any more."""


class MediaSource(Protocol):
    """A camera, a microphone, a recording, or something made up."""

    @property
    def address(self) -> str:
        """Public address, without credentials."""

    @property
    def offers(self) -> frozenset[Purpose]:
        """The purposes it can serve."""

    def describe(self) -> str:
        """Say in one line what it is."""

    def health(self) -> SourceHealth:
        """Tell how it does."""

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        """Open what the purposes permit, and nothing else.

        Raises:
            CaptureError: It cannot be opened; the message says what to do.
        """


class Tally:
    """The running counts behind a `SourceHealth`; one source and its devices share it."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.state = SourceState.CLOSED
        self.frames = 0
        self.frames_skipped = 0
        self.chunks = 0
        self.chunks_dropped = 0
        self.dropped_ns = 0
        self.damaged = 0
        self.last_error = ""

    def count(self, unit: MediaUnit) -> None:
        """Count a decoded unit."""
        if isinstance(unit, Frame):
            self.frames += 1
        else:
            self.chunks += 1

    def drop(self, chunk: AudioChunk) -> None:
        """Count a chunk that was lost."""
        self.chunks_dropped += 1
        self.dropped_ns += chunk.duration_ns

    def health(self) -> SourceHealth:
        """Take a snapshot."""
        return SourceHealth(
            state=self.state,
            frames=self.frames,
            frames_skipped=self.frames_skipped,
            chunks=self.chunks,
            chunks_dropped=self.chunks_dropped,
            dropped_s=self.dropped_ns / 1e9,
            damaged=self.damaged,
            last_error=self.last_error,
        )


class EmptyDevice:
    """A device for when nothing is permitted: it opens nothing and gives nothing."""

    def read(self) -> MediaUnit | None:
        """Be at the end."""
        return None

    def interrupt(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


Opener: TypeAlias = Callable[[frozenset[Purpose]], MediaDevice]
