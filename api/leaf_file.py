"""Every leaf of the centre's log once more, in files outside the database.

A database that is restored from a backup has a shorter log than the one that was signed and witnessed.
These files hold the exact bytes of each leaf, one a line (RFC 8785 has no raw line ends), and are written
before a checkpoint over them is signed: from them the missing leaves are appended again. Only what the
database committed is ever added, so the files lag behind it and are never ahead.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.errors import LogDamaged

FOLDER: Final = "leaves"
LEAVES_A_FILE: Final = 65_536
_AT_ONCE: Final = 1000
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Counted:
    """What is known of the newest file: whole lines up to an offset, and the last of them."""

    path: Path
    first: int
    offset: int = 0
    lines: int = 0
    last: bytes = b""


class LeafFile:
    """The leaves, in files of 65,536 named by the index of their first; several programs may add.

    Args:
        folder: Where the files lie; made with the first leaf, for its owner only.
        leaves_a_file: Leaves in a full file.
    """

    def __init__(self, folder: Path, *, leaves_a_file: int = LEAVES_A_FILE) -> None:
        """Keep the folder; nothing is read."""
        self.folder = folder
        self._width = leaves_a_file
        self._counted: _Counted | None = None

    def size(self) -> int:
        """Return the number of whole leaves; a line cut short by a crash is none.

        Raises:
            LogDamaged: A file is missing between others, or longer than it can be.
        """
        found = self._count()
        return 0 if found is None else found.first + found.lines

    def last(self) -> bytes:
        """Return the newest leaf; IndexError when there is none."""
        found = self._count()
        if found is None or found.first + found.lines == 0:
            raise IndexError("no leaf was kept yet")
        if found.lines:
            return found.last
        *_, last = self.read(found.first - 1, found.first)
        return last

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the leaves from `start` up to and without `stop` (the newest), in order.

        Raises:
            LogDamaged: A file ends before its successor begins.
        """
        upto = self.size() if stop is None else stop
        while start < upto:
            first = start - start % self._width
            end = min(upto, first + self._width)
            with self._path(first).open("rb") as file:
                for index, line in enumerate(file, first):
                    if index >= end or not line.endswith(b"\n"):
                        break
                    if index == start:
                        yield line[:-1]
                        start += 1
            if start < end:
                raise self._damaged(f"{self._path(first).name} ends before entry {start}")

    def extend(self, size: int, read: Callable[[int, int], Sequence[bytes]]) -> int:
        """Add the leaves that are missing up to `size`, durably; return how many those were.

        Args:
            size: Entries that the database has committed.
            read: Gives the leaves from one index up to and without another.

        Raises:
            LogDamaged: The database lacks one of them.
            OSError: The disk does not take them: nothing may be signed over them.
        """
        if self.size() >= size:
            return 0
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            begin = have = self.size()
            while have < size:
                stop = min(size, have - have % self._width + self._width, have + _AT_ONCE)
                leaves = read(have, stop)
                if len(leaves) != stop - have or any(b"\n" in leaf for leaf in leaves):
                    raise LogDamaged(
                        f"entries {have} to {stop - 1} of the centre's log are not all there: rows were "
                        "removed. Nothing is signed. Keep the database for the privacy officer."
                    )
                self._write(have, leaves)
                have = stop
        return have - begin

    def _write(self, index: int, leaves: Sequence[bytes]) -> None:
        path = self._path(index - index % self._width)
        fresh = not path.exists()
        counted = self._count()
        whole = counted.offset if counted is not None and counted.path == path else 0
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, whole)  # a line that a crash cut short
            data = memoryview(b"".join(leaf + b"\n" for leaf in leaves))
            os.lseek(descriptor, whole, os.SEEK_SET)
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            for folder in (self.folder, self.folder.parent):
                _sync_folder(folder)  # the name of the new file, too

    def _count(self) -> _Counted | None:
        """Count the newest file's lines, going on from what was counted before."""
        names = sorted(path.name for path in self.folder.glob("*.jsonl"))
        if not names:
            return None
        if names != [self._path(place * self._width).name for place in range(len(names))]:
            raise self._damaged("a file is missing")
        first = (len(names) - 1) * self._width
        path = self._path(first)
        known = self._counted
        if known is None or known.path != path or path.stat().st_size < known.offset:
            known = _Counted(path, first)
        with path.open("rb") as file:
            file.seek(known.offset)
            rest = b""
            while block := file.read(_READ_BYTES):
                *lines, rest = (rest + block).split(b"\n")
                if lines:
                    known = _Counted(
                        *(path, first, known.offset + sum(map(len, lines)) + len(lines)),
                        *(known.lines + len(lines), lines[-1]),
                    )
        if known.lines > self._width:
            raise self._damaged(f"{path.name} has more than {self._width} lines")
        self._counted = known
        return known

    def _path(self, first: int) -> Path:
        return self.folder / f"{first:012d}.jsonl"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _damaged(self, what: str) -> LogDamaged:
        return LogDamaged(
            f"the kept leaves in {self.folder} are damaged ({what}). Nothing is signed. Restore that folder "
            "from its own newest backup; where the database itself is whole, move the folder away instead: "
            "it is written anew."
        )


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
