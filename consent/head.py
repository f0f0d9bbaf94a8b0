"""The head of a log: its newest checkpoint, in a file of its own beside the log.

While nothing signs the log, the head is the bare body of the checkpoint. A log that was cut
short, rewritten or swapped for a younger one does not reach its head.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from consent.checkpoint import Checkpoint, KeyHistory, open_note, peek
from consent.errors import CheckpointRefused, LedgerCorrupt


def head_path(path: Path) -> Path:
    """Return where the head of the log at `path` is kept."""
    return path.with_name(f"{path.name}.head")


@dataclass(frozen=True, slots=True)
class Head:
    """What the head file says, and its bytes."""

    checkpoint: Checkpoint
    data: bytes

    @classmethod
    def read(cls, path: Path) -> Head | None:
        """Read the head of the log at `path`; None when there is none.

        Raises:
            LedgerCorrupt: It exists and cannot be understood.
        """
        target = head_path(path)
        try:
            data = target.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return cls.of(data)
        except CheckpointRefused as error:
            raise LedgerCorrupt(
                f"{target} is not a head of a consent log ({error}). Keep the folder as it is for the "
                "privacy officer and start with a new, empty data folder."
            ) from error

    @classmethod
    def of(cls, data: bytes) -> Head:
        """Read a checkpoint, signed or bare.

        Raises:
            CheckpointRefused: It is malformed.
        """
        return cls(peek(data) if b"\n\n" in data else Checkpoint.parse(data), data)

    def check_signed(self, keys: KeyHistory) -> tuple[str, ...]:
        """Check the signatures of every key that signs at this size; returns the keys.

        Raises:
            LedgerCorrupt: A key of the log did not sign.
        """
        signing = keys.verifiers(self.checkpoint.size)
        if not signing:
            return ()
        try:
            made = {signature.by for signature in open_note(self.data, signing).signatures}
        except CheckpointRefused as error:
            raise LedgerCorrupt(f"the kept head is not signed by the log: {error}") from error
        missing = [key.vkey() for key in signing if key not in made]
        if missing:
            raise LedgerCorrupt(f"the kept head lacks the signature of {', '.join(missing)}")
        return tuple(key.vkey() for key in signing)


def write_head(path: Path, data: bytes) -> None:
    """Replace the head of the log at `path` in one step, durably."""
    target = head_path(path)
    draft = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    with draft.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(target)


@contextmanager
def head_lock(path: Path) -> Iterator[None]:
    """Let one program at a time write the head, so that it never moves back."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
