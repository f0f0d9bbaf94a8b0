"""Erasure at the edge: what a withdrawal starts, in which stores, and what resumes it.

A withdrawn or invalidated consent is erased in a thread of its own, so that the button
answers at once. The thread starts with what an earlier run left: erasures that were
begun, withdrawals that never got so far, and each erasure of the log once more, because
the data folder may have come back from a backup.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from capture.errors import CaptureError
from capture.identity import load_or_make_key
from consent.checkpoint import Ed25519Signer
from consent.entry import EntryKind
from consent.erasure import Begun, Eraser, ErasureCertificate
from consent.errors import ConsentError, ErasureIncomplete
from consent.state import ERASING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from uuid import UUID

    from capture.counter import Counter
    from consent.erasure import ErasableStore
    from consent.event import LoggedEvent
    from consent.ledger import ConsentStore
    from consent.stored import StoredEntry

_log = structlog.get_logger(__name__)
ERASURE_KEY: Final = "erasure-key.pem"
"""File of the key that signs receipts of destroyed keys, and nothing else."""
_LEFTOVERS: Final = ("*.tmp", "*.new", "core", "core.*")
"""What a crash may leave in the data folder: half-written files, and a core dump with media in it."""
_SESSION_ENDS_S: Final = 5.0
_FIRST_WAIT_S: Final = 0.5
_TRIED_AGAIN: Final = (ConsentError, CaptureError, OSError)
_LONGEST_WAIT_S: Final = 60.0


class SessionStillRuns(CaptureError):  # noqa: N818 - named for what happened
    """The session of a withdrawn consent has not let go of its buffers yet."""


class LiveBuffers:
    """What a session holds in memory: units that waited, and what the analysis gathered.

    The gate drops the units the moment the consent ends; the session purges the rest as it
    ends. This store waits for that end, and counts the units that were dropped unseen.

    Args:
        counters: The counters of this edge by code; filled as they start.
        timeout_s: How long a session may take to end.
    """

    name: Final = "live-buffers"

    def __init__(self, counters: Mapping[str, Counter], timeout_s: float = _SESSION_ENDS_S) -> None:
        """Watch the sessions of these counters."""
        self._counters = counters
        self._timeout_s = timeout_s
        self._counted: set[UUID] = set()

    def erase(self, record_id: UUID) -> int:
        """Wait until the session has let go; returns the units that were dropped unseen."""
        for counter in tuple(self._counters.values()):
            session = counter.session_of(record_id)
            if session is None:
                continue
            if not session.join(self._timeout_s):
                raise SessionStillRuns(
                    f"the session of counter {counter.code} still runs {self._timeout_s:.0f} s after its "
                    "consent ended: its device does not answer. The erasure is tried again."
                )
            if record_id not in self._counted:
                self._counted.add(record_id)
                return session.purged
        return 0


class LeftoverFiles:
    """Half-written files and core dumps in the data folder.

    None is made on purpose, and none says whose it is: an erasure removes them all. A file that this
    program is writing just now is none: what is left over is older than its start.
    """

    name: Final = "temporary-files"

    def __init__(self, folder: Path) -> None:
        """Look into this folder, not below it."""
        self._folder = folder
        self._since_ns = time.time_ns()

    def erase(self, record_id: UUID) -> int:  # noqa: ARG002 - what is left says not whose it is
        """Overwrite and remove what is left; returns how many files that were."""
        found = [path for pattern in _LEFTOVERS for path in self._folder.glob(pattern) if path.is_file()]
        left = [path for path in found if path.stat().st_mtime_ns < self._since_ns]
        for path in left:
            _overwrite(path)
            path.unlink()
        return len(left)


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        for _ in range(0, path.stat().st_size, 1 << 20):
            file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())


class LogJournal:
    """Erasures as entries of the edge's consent log.

    Args:
        store: The consent store whose log is written.
    """

    def __init__(self, store: ConsentStore) -> None:
        """Read what the log knows already."""
        self._store = store
        self._open: dict[UUID, Begun] = {}
        self._finished: dict[UUID, ErasureCertificate] = {}
        kinds = EntryKind.ERASURE_STARTED, EntryKind.ERASURE_DONE
        for stored in store.log.of_kind(*(kind.value for kind in kinds)):
            self._note(stored)

    def begin(self, begun: Begun) -> None:
        """Write `erasure-started`."""
        self._store.note(EntryKind.ERASURE_STARTED, begun.document(), begun.record_id)
        self._open[begun.record_id] = begun

    def done(self, certificate: ErasureCertificate) -> None:
        """Write `erasure-done`."""
        self._store.note(EntryKind.ERASURE_DONE, certificate.document(), certificate.record_id)
        self._open.pop(certificate.record_id, None)
        self._finished[certificate.record_id] = certificate

    def open(self) -> tuple[Begun, ...]:
        """Return what was begun and never finished."""
        return tuple(self._open.values())

    def finished(self) -> tuple[ErasureCertificate, ...]:
        """Return the newest certificate of each consent."""
        return tuple(self._finished.values())

    def certificate(self, record_id: UUID) -> ErasureCertificate | None:
        """Return the newest certificate of one consent."""
        return self._finished.get(record_id)

    def _note(self, stored: StoredEntry) -> None:
        entry = stored.entry()
        if isinstance(entry, Begun):
            self._open[entry.record_id] = entry
        elif isinstance(entry, ErasureCertificate):
            self._open.pop(entry.record_id, None)
            self._finished[entry.record_id] = entry


class EdgeErasure:
    """Erases what a withdrawal asks for, in a thread of its own.

    Args:
        store: The consent log; it is listened to.
        stores: Every place that may hold something, in the order in which they are asked.
        key: The erasure key.
        longest_wait_s: Upper bound of the wait before what failed is tried again.
    """

    def __init__(
        self,
        store: ConsentStore,
        stores: Sequence[ErasableStore],
        *,
        key: Ed25519PrivateKey,
        longest_wait_s: float = _LONGEST_WAIT_S,
    ) -> None:
        """Listen to the store; nothing is erased before `start` or `settle`."""
        self.signer = Ed25519Signer(f"{store.log.origin}/erasure", key)
        self._store = store
        self._journal = LogJournal(store)
        self._eraser = Eraser(self._journal, stores, receipt_signer=self.signer)
        self._longest_wait_s = longest_wait_s
        self._due: deque[UUID] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble: str | None = None
        self._unsubscribe = store.subscribe(self._heard)

    @property
    def trouble(self) -> str | None:
        """Why an erasure that was asked for is not done, in words; None when all are."""
        return self._trouble

    def certificate(self, record_id: UUID) -> ErasureCertificate | None:
        """Return the certificate of a consent; None while its erasure is not done."""
        return self._journal.certificate(record_id)

    def start(self) -> None:
        """Take up what an earlier run left, then start the thread.

        What cannot be taken up now does not keep the edge from starting: the thread goes on trying.
        """
        resumed = False
        try:
            self.resume()
            resumed = True
        except _TRIED_AGAIN as error:
            self._trouble = str(error)
            _log.error("erasure_not_resumed_yet", error=str(error))
        self._thread = threading.Thread(target=self._run, args=(resumed,), name="erasure", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop; what is not erased yet is resumed at the next start."""
        self._unsubscribe()
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def erase_due(self) -> int:
        """Erase everything that was asked for; returns how many certificates were made.

        Raises:
            ConsentError: Something could not be erased or logged; it stays due.
        """
        made = 0
        while True:
            with self._lock:
                if not self._due:
                    self._trouble = None
                    return made
                record_id = self._due[0]
            self._eraser.erase(record_id, self._store.state(record_id).value)
            with self._lock:
                self._due.remove(record_id)
            made += 1
            _log.info("consent erased", record_id=str(record_id))

    def resume(self) -> int:
        """Take up what an earlier run left, and replay every erasure of the log.

        Returns:
            How many certificates were made.

        Raises:
            ConsentError: Something could not be erased or logged; ask again.
        """
        renewed, failure = 0, None
        try:
            renewed = len(self._eraser.replay())
        except ErasureIncomplete as error:  # it keeps no other erasure waiting
            failure = error
        if failure is None and self._journal.open():
            failure = ErasureIncomplete("an erasure that was begun before could not be finished")
        for record_id in self._withdrawn():
            if self._journal.certificate(record_id) is None:
                self._ask(record_id)
        made = self.erase_due()
        if failure is not None:
            raise failure
        return renewed + made

    def _withdrawn(self) -> Iterable[UUID]:
        kinds = sorted(state.value for state in ERASING)
        return [
            stored.record_id for stored in self._store.log.of_kind(*kinds) if stored.record_id is not None
        ]

    def _heard(self, logged: LoggedEvent) -> None:
        if logged.event.state in ERASING:
            self._ask(logged.event.record_id)

    def _ask(self, record_id: UUID) -> None:
        with self._lock:
            if record_id not in self._due:
                self._due.append(record_id)
        self._wake.set()

    def _run(self, resumed: bool) -> None:  # noqa: FBT001 - an argument of a thread
        failures = 0
        while not self._stop.is_set():
            try:
                if not resumed:
                    self.resume()
                    resumed = True
                self.erase_due()
            except _TRIED_AGAIN as error:
                failures += 1
                self._trouble = str(error)
                _log.error("erasure_waits", failures=failures, error=str(error))
                with self._lock:
                    self._due.rotate(-1)  # one that cannot be erased keeps no other waiting
                self._stop.wait(min(self._longest_wait_s, _FIRST_WAIT_S * 2 ** min(failures - 1, 10)))
            else:
                failures = 0
                self._wake.wait()
                self._wake.clear()


def load_erasure_key(folder: Path) -> Ed25519PrivateKey:
    """Load the erasure key of this edge, made at the first start."""
    return load_or_make_key(folder / ERASURE_KEY)
