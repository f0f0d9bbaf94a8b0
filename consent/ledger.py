"""The consent log of one edge: append-only SQLite with a hash chain."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Self
from uuid import UUID, uuid4

import structlog

from consent import chain
from consent.chain import Head, Row, Verification
from consent.errors import (
    AskedTwice,
    DecisionIncomplete,
    LedgerCorrupt,
    LedgerUnavailable,
    TransitionRefused,
    UnknownRecord,
)
from consent.event import Event, EventKind, LoggedEvent
from consent.purpose import Purpose
from consent.record import Answer, ConsentRecord, IndicatedBy, NoticeReference, PurposeDecision
from consent.state import DECIDED, PERMITTING, State, check_step
from consent.uptime import uptime_ns

_log = structlog.get_logger(__name__)
_COLUMNS: Final = "idx, prev, digest, kind, record_id, session_id, body"

Listener = Callable[[LoggedEvent], None]
HaltListener = Callable[[UUID, State], None]


def _boot() -> str:
    """Return a name of this start of the machine (a digest: the kernel's id stays here)."""
    try:
        raw = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        raw = uuid4().bytes  # no kernel id: nothing survives a restart of this program either
    return hashlib.sha256(b"hailong boot\n" + raw).hexdigest()[:16]


def _now() -> datetime:
    return datetime.now(UTC)


class ConsentStore:
    """Append-only store of consent events; the one authority on what is permitted.

    Writes are serialised (BEGIN IMMEDIATE, a UNIQUE link to the entry before) and durable
    when a call returns. Any failure to read or write permits nothing. Safe to share
    between threads; other processes may open the same file.

    Args:
        path: The database file; made when absent. `<name>.head` lies beside it.
        now: Wall clock, for people.
        monotonic_ns: Clock of all deadlines.
        busy_s: How long a write waits for another writer.

    Raises:
        LedgerUnavailable: The file cannot be opened or written.
        LedgerCorrupt: The file is damaged, cut short or another log's.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], datetime] = _now,
        monotonic_ns: Callable[[], int] = uptime_ns,
        busy_s: float = 2.0,
    ) -> None:
        """Open the log, or make a new one where there has never been one."""
        self.path = path
        self._head_path = head_path(path)
        self._now = now
        self._monotonic_ns = monotonic_ns
        self._boot = _boot()
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._halt_listeners: tuple[HaltListener, ...] = ()
        self._halted: set[UUID] = set()
        with _typed(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._writer = _connect(path, busy_s)
            try:
                self._log_id = self._open_log()
                self._reader = _connect(path, busy_s)
            except BaseException:
                self._writer.close()
                raise

    def close(self) -> None:
        """Close the file; the store permits nothing afterwards."""
        with self._write_lock, self._read_lock:
            self._writer.close()
            self._reader.close()

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def offer(self, record: ConsentRecord) -> LoggedEvent:
        """Log that a citizen is about to be asked.

        Raises:
            AskedTwice: This session, or this record, was asked before.
        """
        if any(item.answer is not Answer.OPEN for item in record.decisions):
            raise DecisionIncomplete("a record is offered with every answer open: nothing is preselected")

        def make() -> Event:
            if self._rows("record_id = ?", str(record.record_id)):
                raise AskedTwice(
                    f"consent {record.record_id} was offered before; a new offer is a new record"
                )
            event = self._event(EventKind.OFFERED, record, IndicatedBy.SYSTEM, "offer")
            return replace(event, record=record, notice=record.notice)

        return self._append(make)

    def show(self, record_id: UUID, notice: NoticeReference, method: str = "screen") -> LoggedEvent:
        """Log that the notice, in the language it names, was put before the citizen."""

        def make() -> Event:
            record, state = self._current(record_id, self._writer)
            if state is not State.OFFERED:
                raise TransitionRefused(f"a consent that is {state} shows no notice any more")
            return replace(self._event(EventKind.SHOWN, record, IndicatedBy.SYSTEM, method), notice=notice)

        return self._append(make)

    def decide(
        self,
        record_id: UUID,
        choices: Mapping[Purpose, bool],
        indicated_by: IndicatedBy | str,
        method: str,
        *,
        dwell_ms: int | None = None,
        notice: NoticeReference | None = None,
    ) -> State:
        """Log the citizen's answer to each purpose.

        Args:
            record_id: The question.
            choices: One answer for each purpose that was offered.
            indicated_by: The citizen, and nobody else.
            method: How it was answered.
            dwell_ms: From the notice on the screen to the answer.
            notice: The notice that was answered, where it was shown in several languages.

        Returns:
            `given` when image or voice was given, else `refused`.

        Raises:
            DecisionIncomplete: A purpose is missing, was never offered, or somebody other
                than the citizen answered.
            TransitionRefused: The question is not open any more.
        """
        if IndicatedBy(indicated_by) is not IndicatedBy.CITIZEN:
            raise DecisionIncomplete(f"only the citizen decides, not the {indicated_by}")

        def make() -> Event:
            record, before = self._current(record_id, self._writer)
            if set(choices) != set(record.purposes):
                asked = ", ".join(record.purposes)
                raise DecisionIncomplete(f"each purpose needs its own answer; asked were: {asked}")
            if choices.get(Purpose.QUOTES) and not choices.get(Purpose.VOICE):
                raise DecisionIncomplete("quotes are taken from the voice: they cannot be given without it")
            given = any(choices[purpose] for purpose in choices if purpose is not Purpose.QUOTES)
            state = State.GIVEN if given else State.REFUSED
            check_step(before, state)
            decisions = tuple(
                PurposeDecision(purpose, Answer.GIVEN if choices[purpose] else Answer.REFUSED)
                for purpose in record.purposes
            )
            event = self._event(EventKind(state.value), record, IndicatedBy.CITIZEN, method)
            return replace(event, decisions=decisions, dwell_ms=dwell_ms, notice=notice)

        state = self._append(make).event.state
        assert state is not None  # noqa: S101 - narrows for mypy: a decision always has a state
        return state

    def apply(self, record_id: UUID, to: State, indicated_by: IndicatedBy | str, method: str) -> LoggedEvent:
        """Log a step other than a decision; what was permitted stops before anything is written.

        Raises:
            TransitionRefused: The step does not exist from the present state.
            LedgerUnavailable: It could not be written. Capture has stopped all the same, and
                this record permits nothing until the program has written the step.
        """
        if to in DECIDED or to is State.OFFERED:
            raise TransitionRefused(f"{to} is reached through a decision or an offer, never by a step")
        if to is not State.DEFERRED:
            self._halt(record_id, to)

        def make() -> Event:
            record, before = self._current(record_id, self._writer)
            if before is State.OFFERED:
                self._halted.discard(record_id)  # nothing was permitted yet; the answer is still open
            check_step(before, to)
            return self._event(EventKind(to.value), record, IndicatedBy(indicated_by), method)

        logged = self._append(make)
        self._halted.discard(record_id)  # committed: the log itself says no from here on
        return logged

    def close_service(self, record_id: UUID, indicated_by: IndicatedBy | str, method: str) -> LoggedEvent:
        """Log that the service ended for a record which is not `given`."""

        def make() -> Event:
            record, state = self._current(record_id, self._writer)
            if state in {State.OFFERED, State.GIVEN}:
                raise TransitionRefused(f"a consent that is {state} is ended by a step, not closed")
            return self._event(EventKind.CLOSED, record, IndicatedBy(indicated_by), method)

        return self._append(make)

    def recover(self) -> tuple[UUID, ...]:
        """End what an earlier run left open: offers become deferred, consents expire.

        Call once at the start of the edge program, before the first offer.

        Returns:
            The records that were ended.
        """
        ended = []
        for record_id in self.record_ids():
            state = self.state(record_id)
            if state is State.OFFERED:
                self.apply(record_id, State.DEFERRED, IndicatedBy.SYSTEM, "restart")
            elif state is State.GIVEN:
                self.apply(record_id, State.EXPIRED, IndicatedBy.SYSTEM, "restart")
            else:
                continue
            ended.append(record_id)
        return tuple(ended)

    def state(self, record_id: UUID) -> State:
        """Return the present state of a record.

        Raises:
            UnknownRecord: There is no such record.
        """
        return self._current(record_id)[1]

    def record(self, record_id: UUID) -> ConsentRecord:
        """Return a record with what happened so far: answers, notice, times, dwell."""
        return self._current(record_id)[0]

    def permitted(self, record_id: UUID) -> frozenset[Purpose]:
        """Return what may be captured now: empty unless the record is `given` and still valid."""
        return self._live(record_id)[0]

    def remaining_ns(self, record_id: UUID) -> int:
        """Return the time to the hard limit on the monotonic clock; 0 when nothing is permitted."""
        return self._live(record_id)[1]

    def events(self, record_id: UUID | None = None) -> tuple[LoggedEvent, ...]:
        """Return the events of one record, or of all, in order."""
        if record_id is None:
            with self._read_lock, _typed(self.path):
                rows = self._rows("idx > 0", connection=self._reader)
        else:
            with self._read_lock, _typed(self.path):
                rows = self._rows("record_id = ?", str(record_id), connection=self._reader)
        return tuple(LoggedEvent(row.index, row.digest.hex(), chain.read_row(row)) for row in rows)

    def record_ids(self) -> tuple[UUID, ...]:
        """Return all records in the order in which they were offered."""
        with self._read_lock, _typed(self.path):
            cursor = self._reader.execute("SELECT record_id FROM events WHERE kind = 'offered' ORDER BY idx")
            return tuple(UUID(row[0]) for row in cursor)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after each commit, in the writing thread; return how to stop that."""
        self._listeners = (*self._listeners, listener)
        return partial(self._unsubscribe, listener)

    def subscribe_halt(self, listener: HaltListener) -> None:
        """Call `listener` before a step that ends a consent is written."""
        self._halt_listeners = (*self._halt_listeners, listener)

    def verify(self) -> Verification:
        """Check the whole log against its kept head."""
        return verify_file(self.path)

    def _unsubscribe(self, listener: Listener) -> None:
        self._listeners = tuple(item for item in self._listeners if item is not listener)

    def _halt(self, record_id: UUID, to: State) -> None:
        self._halted.add(record_id)
        for listener in self._halt_listeners:
            listener(record_id, to)

    def _live(self, record_id: UUID) -> tuple[frozenset[Purpose], int]:
        if record_id in self._halted:
            return frozenset(), 0
        nothing: tuple[frozenset[Purpose], int] = frozenset(), 0
        events = [item.event for item in self.events(record_id)]
        record, state = fold(record_id, events)
        if state not in PERMITTING:
            return nothing
        decided = next(event for event in events if event.state is State.GIVEN)
        elapsed_ns = self._monotonic_ns() - decided.monotonic_ms * 1_000_000
        remaining_ns = record.validity_s * 1_000_000_000 - elapsed_ns
        if decided.boot != self._boot or elapsed_ns < 0 or remaining_ns <= 0:
            return nothing  # another start of the machine, or past the hard limit
        return record.given(), remaining_ns

    def _current(
        self, record_id: UUID, connection: sqlite3.Connection | None = None
    ) -> tuple[ConsentRecord, State]:
        if connection is None:
            return fold(record_id, [item.event for item in self.events(record_id)])
        rows = self._rows("record_id = ?", str(record_id), connection=connection)
        return fold(record_id, [chain.read_row(row) for row in rows])

    def _event(self, kind: EventKind, record: ConsentRecord, by: IndicatedBy, method: str) -> Event:
        return Event(
            kind=kind,
            record_id=record.record_id,
            session_id=record.session_id,
            at=self._now(),
            monotonic_ms=self._monotonic_ns() // 1_000_000,
            boot=self._boot,
            indicated_by=by,
            method=method,
        )

    def _rows(self, where: str, *values: str, connection: sqlite3.Connection | None = None) -> list[Row]:
        sql = f"SELECT {_COLUMNS} FROM events WHERE {where} ORDER BY idx"  # noqa: S608 - fixed clauses of this file
        return [Row(*row) for row in (connection or self._writer).execute(sql, values)]

    def _append(self, make: Callable[[], Event]) -> LoggedEvent:
        with self._write_lock:
            with _typed(self.path), _immediate(self._writer):
                event = make()
                body = event.canonical()
                Event.parse(body)  # what cannot be read back is never written
                last = self._rows("idx = (SELECT max(idx) FROM events)")[0]
                index, digest = last.index + 1, chain.link(last.index + 1, last.digest, body)
                keys = (event.kind.value, str(event.record_id), str(event.session_id))
                self._insert(Row(index, last.digest, digest, *keys, body))
            self._keep_head(Head(self._log_id, index, digest))
        logged = LoggedEvent(index, digest.hex(), event)
        for listener in self._listeners:
            try:
                listener(logged)
            except Exception:  # noqa: BLE001 - one listener's fault must not hide the event from others
                _log.exception("consent_listener_failed", index=index)
        return logged

    def _insert(self, row: Row) -> None:
        self._writer.execute(
            f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - fixed columns
            (row.index, row.prev, row.digest, row.kind, row.record_id, row.session_id, row.body),
        )

    def _keep_head(self, head: Head) -> None:
        try:
            head.write(self._head_path)
        except OSError as error:
            # The entry is committed and the older head still holds; the next write tries again.
            _log.error("consent_head_not_kept", path=str(self._head_path), error=str(error))

    def _open_log(self) -> UUID:
        head = Head.read(self._head_path)
        with _immediate(self._writer):
            fresh = self._writer.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if fresh and head is not None:
                raise LedgerCorrupt(
                    f"{self.path} is empty or new, but its head file knows {head.index + 1} entries: the log "
                    "was removed or cut short. Restore it from a backup, or keep both files for the privacy "
                    "officer and start with a new data folder. It is never started again at zero silently."
                )
            if fresh:
                for statement in _statements(chain.SCHEMA):
                    self._writer.execute(statement)
                body = chain.genesis_body(uuid4())
                digest = chain.link(0, chain.NO_ENTRY, body)
                self._insert(Row(0, chain.NO_ENTRY, digest, "genesis", None, None, body))
            rows = self._rows("idx = 0 OR idx = (SELECT max(idx) FROM events)")
            kept = self._rows("idx = ?", str(head.index)) if head else []
        if not rows or rows[0].index != 0:
            raise LedgerCorrupt(f"{self.path} has no first entry. Restore it from a backup.")
        log_id, newest = chain.genesis_log_id(rows[0].body), rows[-1]
        if head is None and newest.index > 0:
            raise LedgerCorrupt(
                f"{self._head_path} is missing, but the log holds {newest.index + 1} entries. Restore the "
                "head file from the backup of the same data folder."
            )
        if head is not None and (head.log_id != log_id or [row.digest for row in kept] != [head.digest]):
            raise LedgerCorrupt(
                f"{self.path} does not reach the head kept in {self._head_path}: it was cut short, rewritten "
                "or swapped. Restore both from one backup, or keep them for the privacy officer and start "
                "with a new data folder."
            )
        self._keep_head(Head(log_id, newest.index, newest.digest))
        return log_id


def head_path(path: Path) -> Path:
    """Return where the head of the log at `path` is kept."""
    return path.with_name(f"{path.name}.head")


def verify_file(path: Path) -> Verification:
    """Check a log file without writing to it.

    Raises:
        LedgerUnavailable: There is no such file.
    """
    if not path.is_file():
        raise LedgerUnavailable(f"there is no consent log at {path}: name the edge's data folder with --data")
    try:
        head = Head.read(head_path(path))
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            cursor = connection.execute(f"SELECT {_COLUMNS} FROM events ORDER BY idx")  # noqa: S608 - fixed columns
            return chain.verify_rows((Row(*row) for row in cursor), head)
    except LedgerCorrupt as error:
        return Verification(0, "", 0, str(error))
    except sqlite3.DatabaseError as error:
        return Verification(0, "", 0, f"the file is damaged: {error}")


def read_log(path: Path) -> tuple[LoggedEvent, ...]:
    """Return all events of a log file without writing to it.

    Raises:
        LedgerUnavailable: There is no such file, or it cannot be read.
        LedgerCorrupt: An entry is not the one that was written.
    """
    if not path.is_file():
        raise LedgerUnavailable(f"there is no consent log at {path}: name the edge's data folder with --data")
    with _typed(path), closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        sql = f"SELECT {_COLUMNS} FROM events WHERE idx > 0 ORDER BY idx"  # noqa: S608 - fixed columns
        rows = [Row(*row) for row in connection.execute(sql)]
    return tuple(LoggedEvent(row.index, row.digest.hex(), chain.read_row(row)) for row in rows)


def fold(record_id: UUID, events: Sequence[Event]) -> tuple[ConsentRecord, State]:
    """Lay the events of one record over the record as it was offered.

    Raises:
        UnknownRecord: The events do not start with an offer.
    """
    if not events or events[0].record is None:
        raise UnknownRecord(f"the log holds no consent {record_id}")
    record, state = events[0].record, State.OFFERED
    for event in events[1:]:
        if event.kind is EventKind.SHOWN and event.notice is not None:
            record = replace(record, notice=event.notice, shown_at=event.at)
        elif event.state is not None:
            check_step(state, event.state)
            state = event.state
            if state in DECIDED:
                record = replace(
                    record,
                    decisions=event.decisions,
                    decided_at=event.at,
                    dwell_ms=event.dwell_ms,
                    notice=event.notice or record.notice,
                )
    return record, state


def _connect(path: Path, busy_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA recursive_triggers = ON")
    return connection


def _statements(script: str) -> Iterator[str]:
    """Split a script into statements; `executescript` would commit the open transaction."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def _immediate(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _typed(path: Path) -> Iterator[None]:
    """Turn errors of the file into ours, which say what to do."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        if "session_id" in str(error):
            raise AskedTwice(
                "this session was asked before; a citizen is asked once. A new transaction is a new session."
            ) from error
        raise LedgerCorrupt(f"the consent log {path} refused an entry: {error}") from error
    except sqlite3.OperationalError as error:
        raise LedgerUnavailable(_advice(path, str(error))) from error
    except sqlite3.ProgrammingError as error:
        raise LedgerUnavailable(f"the consent log {path} is closed; nothing is captured") from error
    except sqlite3.DatabaseError as error:
        raise LedgerCorrupt(
            f"the consent log {path} is damaged ({error}). Nothing is captured. Restore it from a backup."
        ) from error
    except OSError as error:
        if isinstance(error, LedgerUnavailable):
            raise
        raise LedgerUnavailable(_advice(path, str(error))) from error


def _advice(path: Path, what: str) -> str:
    if "full" in what:
        todo = f"Free space on the disk of {path.parent}"
    elif "locked" in what or "busy" in what:
        todo = "Stop the other program that holds the log"
    else:
        todo = f"Check that {path.parent} exists and that this user may write there"
    return f"the consent log {path} cannot be used: {what}. Nothing is captured. {todo}, then try again."
