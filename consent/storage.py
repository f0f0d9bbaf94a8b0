"""The file under the log: its tables, its connections, and its errors in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consent.errors import AskedTwice, LedgerCorrupt, LedgerUnavailable

SCHEMA = """
CREATE TABLE entries (
    idx INTEGER PRIMARY KEY,
    leaf BLOB NOT NULL,
    kind TEXT NOT NULL,
    record_id TEXT,
    session_id TEXT,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE nodes (
    level INTEGER NOT NULL CHECK (level > 0),
    idx INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;
CREATE INDEX by_record ON entries (record_id, idx) WHERE record_id IS NOT NULL;
CREATE INDEX by_kind ON entries (kind, idx);
CREATE UNIQUE INDEX asked_once ON entries (session_id) WHERE kind = 'offered';
CREATE INDEX by_code ON entries (json_extract(CAST(body AS TEXT), '$.record.withdrawal_digest'))
    WHERE kind = 'offered';
CREATE TRIGGER entries_never_change BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'the consent log is append-only'); END;
CREATE TRIGGER entries_never_vanish BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'the consent log is append-only'); END;
CREATE TRIGGER entries_only_extend BEFORE INSERT ON entries
    WHEN NEW.idx IS NOT (SELECT coalesce(max(idx) + 1, 0) FROM entries)
    BEGIN SELECT RAISE(ABORT, 'an entry of the consent log follows the newest one'); END;
CREATE TRIGGER nodes_never_change BEFORE UPDATE ON nodes
    BEGIN SELECT RAISE(ABORT, 'the consent log is append-only'); END;
CREATE TRIGGER nodes_never_vanish BEFORE DELETE ON nodes
    BEGIN SELECT RAISE(ABORT, 'the consent log is append-only'); END;
CREATE TRIGGER nodes_only_extend BEFORE INSERT ON nodes
    WHEN NEW.idx IS NOT (SELECT coalesce(max(idx) + 1, 0) FROM nodes WHERE level = NEW.level)
    BEGIN SELECT RAISE(ABORT, 'a node of the consent log follows the newest one'); END;
"""
"""Leaf hashes lie with their entries; `nodes` holds the complete subtrees above them."""


def connect(path: Path, busy_s: float) -> sqlite3.Connection:
    """Open the file for writing: every commit is on the disk before it returns."""
    connection = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA recursive_triggers = ON")
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open an existing log without ever writing to it.

    Raises:
        LedgerUnavailable: There is no such file.
    """
    if not path.is_file():
        raise LedgerUnavailable(f"there is no consent log at {path}: name the edge's data folder with --data")
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)


def tables(connection: sqlite3.Connection, path: Path) -> frozenset[str]:
    """Return the tables of the file.

    Raises:
        LedgerCorrupt: It was made by a release before the first, which chained its entries.
    """
    found = frozenset(row[0] for row in connection.execute("SELECT name FROM sqlite_master"))
    if "events" in found:
        raise LedgerCorrupt(
            f"{path} is a log of an older format (a chain of events), which this release does not read. "
            "Keep it for the privacy officer and start with a new, empty data folder."
        )
    return found


def create(connection: sqlite3.Connection) -> None:
    """Make the tables within the open transaction; `executescript` would commit it."""
    statement = ""
    for line in SCHEMA.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


@contextmanager
def immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the one write transaction of the file."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Read several things of one state of the file."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


@contextmanager
def typed(path: Path) -> Iterator[None]:
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
