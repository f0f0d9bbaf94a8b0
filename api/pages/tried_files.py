"""Files that were tried and may be taken next: kept for the one who tried them, for minutes, then erased.

A trial writes nothing; whoever wants the import after it should not have to find the file again. What is
kept is bounded: one file an account, `_MOST_FILES` and `_MOST_BYTES` in all, `KEPT_S` seconds. It lies in a
folder that only this program's user may read, goes as soon as it is taken, replaced or too old, and at the
end of the program.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from fastapi import UploadFile

from api.errors import ImportRunning, TableRefused
from api.pages.rendering import no_op
from api.pages.uploads import LARGEST_BODY_BYTES, kept

KEPT_S: Final = 900.0
_SLACK_S: Final = 1.0
_MOST_FILES: Final = 16
_MOST_BYTES: Final = 2 * LARGEST_BODY_BYTES


@dataclass(frozen=True, slots=True)
class TriedFile:
    """A file that was tried.

    Attributes:
        name: As it was sent.
        until_s: On the program's clock, when it is erased.
    """

    path: Path
    name: str
    account: str
    size_bytes: int
    until_s: float


class TriedFiles:
    """The tried files of one kind of import.

    Args:
        kept_s: How long a file is kept.
    """

    def __init__(self, kept_s: float = KEPT_S) -> None:
        """Keep nothing yet."""
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._files: dict[str, TriedFile] = {}
        self._folder: Path | None = None
        self._waker: threading.Timer | None = None

    def keep(self, path: Path, name: str, account: str) -> str:
        """Keep a copy of a file for an account, in place of the one that it had.

        Returns:
            What the file is asked for with; empty where there is no room for it.
        """
        token, size = secrets.token_urlsafe(32), path.stat().st_size
        with self._lock:
            self._forget_old()
            for mine in [key for key, found in self._files.items() if found.account == account]:
                self._erase(mine)
            if len(self._files) >= _MOST_FILES or self.size_bytes + size > _MOST_BYTES:
                return ""
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="hailong-tried-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            copy = self._folder / token
            shutil.copyfile(path, copy)
            self._files[token] = TriedFile(copy, name, account, size, time.monotonic() + self._kept_s)
            self._wake_later()
        return token

    @contextlib.contextmanager
    def taken(self, token: str, account: str) -> Iterator[TriedFile]:
        """Give a file back to the account that tried it, once; it is erased afterwards.

        Where another import runs, the file waits with the same token: the person is told to repeat.

        Raises:
            TableRefused: It is not kept, or not any more, or is somebody else's.
        """
        with self._lock:
            self._forget_old()
            found = self._files.get(token)
            if found is None or found.account != account:
                raise TableRefused(no_op("This file is no longer kept: choose it again."))
            del self._files[token]
        waits = False
        try:
            yield found
        except ImportRunning:
            waits = True
            with self._lock:
                self._files[token] = found
                self._forget_old()
                self._wake_later()
            raise
        finally:
            if not waits:
                found.path.unlink(missing_ok=True)

    def forget_old(self) -> None:
        """Erase what has been kept long enough, and come again for the rest."""
        with self._lock:
            self._forget_old()
            self._waker = None
            self._wake_later()

    @property
    def size_bytes(self) -> int:
        """Of everything that is kept."""
        return sum(found.size_bytes for found in self._files.values())

    def _forget_old(self) -> None:
        now = time.monotonic()
        for token in [key for key, found in self._files.items() if found.until_s <= now]:
            self._erase(token)

    def _wake_later(self) -> None:
        """Start the one thread that waits for the oldest file, however often files are tried."""
        if self._waker is not None or not self._files:
            return
        oldest_s = min(found.until_s for found in self._files.values())
        self._waker = threading.Timer(max(0.0, oldest_s - time.monotonic()) + _SLACK_S, self.forget_old)
        self._waker.daemon = True
        self._waker.start()

    def _erase(self, token: str) -> None:
        self._files.pop(token).path.unlink(missing_ok=True)


class Outcome(Protocol):
    """What became of a file."""

    @property
    def kept(self) -> int:
        """Rows that were good."""


Done = TypeVar("Done", bound=Outcome)


@dataclass(frozen=True, slots=True)
class Taken(Generic[Done]):
    """A file that was tried or imported.

    Attributes:
        name: Of the file.
        token: What the tried file is asked for with; empty where there is nothing to take.
    """

    done: Done
    name: str
    token: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What a form sent.

    Attributes:
        file: The file; None for one that was tried before.
        token: What the trial gave; empty for a file that is sent now.
        trial: Whether to write nothing.
        account: Who sent it.
    """

    file: UploadFile | None
    token: str
    trial: bool
    account: str


def take(sent: Sent, tried: TriedFiles, importer: Callable[[Path, str], Done]) -> Taken[Done]:
    """Try or import the file of a form; a tried one with good rows is kept for its import.

    Args:
        sent: What the form sent.
        tried: The tried files of this kind.
        importer: Tries or imports a file, given its name.

    Raises:
        TableRefused: No file was sent, the tried one is no longer kept, or the importer refuses it.
    """
    with _opened(sent, tried) as (path, name):
        done = importer(path, name)
        token = tried.keep(path, name, sent.account) if sent.trial and done.kept else ""
    return Taken(done, name, token)


@contextlib.contextmanager
def _opened(sent: Sent, tried: TriedFiles) -> Iterator[tuple[Path, str]]:
    if sent.token:
        with tried.taken(sent.token, sent.account) as found:
            yield found.path, found.name
    else:
        with kept(sent.file) as path:
            yield path, (sent.file.filename or "") if sent.file else ""
