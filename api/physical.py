"""Removing what a DELETE leaves behind: dead rows in data files, the write-ahead log, temporary files.

PostgreSQL keeps a deleted row's bytes: VACUUM frees the space and does not clear it. Only a rewrite of
the relation (VACUUM FULL, with its indexes and TOAST) drops them; the old files are cut and unlinked.
The write-ahead log goes with a new segment and a checkpoint, and is looked at afterwards.
Freed blocks of the disk itself are the disk's: encrypt it.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from api.database import Connection
from api.errors import ErasurePending

MEGABYTE: Final = 1_000_000
_LOCK_WAIT: Final = "20s"
_TRIES: Final = 5
_RELATION_FILE: Final = re.compile(r"([0-9]+)(?:_(?:fsm|vm|init))?(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class RewriteRule:
    """When a relation with dead rows is rewritten, which locks it meanwhile.

    Attributes:
        now_mb: Up to this size (with indexes and TOAST): at once. Larger ones wait for the night.
        from_hour: First hour of the night, server's local time.
        to_hour: First hour after it.
    """

    now_mb: int
    from_hour: int
    to_hour: int

    def allows(self, size_mb: float, now: datetime) -> bool:
        """Tell whether a relation of this size may be rewritten now."""
        if size_mb <= self.now_mb or self.from_hour == self.to_hour:
            return True
        if self.from_hour < self.to_hour:
            return self.from_hour <= now.hour < self.to_hour
        return now.hour >= self.from_hour or now.hour < self.to_hour


@dataclass(frozen=True, slots=True)
class Powers:
    """What this program may do on its database server.

    Attributes:
        rewrite: It owns the tables.
        wal: It may switch and checkpoint the write-ahead log, which nothing else keeps.
        files: It may see temporary files.
    """

    rewrite: bool
    wal: bool
    files: bool


@contextlib.contextmanager
def maintenance(dsn: str) -> Iterator[Connection]:
    """Give a connection outside transactions and without a time limit on statements.

    Raises:
        psycopg.OperationalError: The server is lost.
    """
    options = (
        f"-c statement_timeout=0 -c lock_timeout={_LOCK_WAIT} -c timezone=UTC -c client_min_messages=notice"
    )
    with psycopg.connect(dsn, autocommit=True, options=options, connect_timeout=5) as connection:
        yield connection


def powers(connection: Connection) -> Powers:
    """Ask the server what we may do there."""
    row = connection.execute(
        "SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), "
        "pg_has_role('pg_checkpoint', 'MEMBER') "
        "AND has_function_privilege('pg_switch_wal()', 'EXECUTE') "
        "AND has_function_privilege('pg_ls_waldir()', 'EXECUTE'), "
        "has_function_privilege('pg_ls_tmpdir()', 'EXECUTE'), "
        "current_setting('wal_recycle') = 'off' AND current_setting('archive_mode') = 'off' "
        "AND NOT EXISTS (SELECT 1 FROM pg_replication_slots) "
        "AND NOT EXISTS (SELECT 1 FROM pg_stat_replication), "
        "pg_has_role((SELECT relowner FROM pg_class WHERE oid = 'signals'::regclass), 'MEMBER')"
    ).fetchone()
    assert row is not None  # noqa: S101 - one row of values
    superuser, wal, files, alone, owner = (bool(value) for value in row)
    return Powers(rewrite=superuser or owner, wal=(superuser or wal) and alone, files=superuser or files)


def size_mb(connection: Connection, relation: str) -> float:
    """Return the size of a relation with its indexes and TOAST; 0 when it is gone."""
    row = connection.execute(
        "SELECT coalesce(pg_total_relation_size(to_regclass(%s)), 0)", (relation,)
    ).fetchone()
    assert row is not None  # noqa: S101 - one row of values
    return float(row[0]) / MEGABYTE


def rewrite(connection: Connection, relation: str) -> float:
    """Write a relation anew without its dead rows and return how many seconds that took.

    Raises:
        ErasurePending: The relation is locked, or a transaction still sees the deleted rows.
    """
    if connection.execute("SELECT to_regclass(%s)", (relation,)).fetchone() == (None,):
        return 0.0  # the whole partition was dropped meanwhile
    notices: list[str] = []
    keep = notices.append

    def heard(notice: psycopg.errors.Diagnostic) -> None:
        keep(notice.message_detail or "")

    begun = time.monotonic()
    connection.add_notice_handler(heard)
    try:
        connection.execute(sql.SQL("VACUUM (FULL, VERBOSE) {}").format(sql.Identifier(relation)))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        raise ErasurePending(f"{relation} is in use: tried again in a moment") from None
    finally:
        connection.remove_notice_handler(heard)
    # The detail begins with the number of dead rows that somebody's snapshot still sees.
    kept = [int(found[1]) for detail in notices if (found := re.match(r"(\d+) ", detail))]
    if not kept or any(kept):
        raise ErasurePending(
            f"a transaction that began earlier (a dump, say) still sees deleted rows of {relation}: "
            "tried again when it has ended"
        )
    return time.monotonic() - begun


def flush_wal(connection: Connection) -> int:
    """Remove every segment of the write-ahead log written so far and return how many files went.

    Raises:
        ErasurePending: A segment is still there; something holds it.
    """
    before = connection.execute(
        "SELECT pg_walfile_name(pg_current_wal_insert_lsn()), (SELECT count(*) FROM pg_ls_waldir())"
    ).fetchone()
    assert before is not None  # noqa: S101 - one row of values
    # The first flushes the pages, so that the second, after the switch, is short and leaves one segment.
    connection.execute("CHECKPOINT")
    for _ in range(_TRIES):
        connection.execute("SELECT pg_switch_wal()")
        connection.execute("CHECKPOINT")
        rest = connection.execute(
            "SELECT count(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' AND name <= %s", (before[0],)
        ).fetchone()
        if rest == (0,):
            after = connection.execute("SELECT count(*) FROM pg_ls_waldir()").fetchone()
            return max(1, int(before[1]) - (0 if after is None else int(after[0])))
    raise ErasurePending("segments of the write-ahead log are still kept (a replication slot, an archive?)")


def wait_for_temporary_files(connection: Connection, *, patience_s: float = 5.0) -> None:
    """Wait until queries that were running have removed their temporary files.

    Raises:
        ErasurePending: Some are still there.
    """
    deadline = time.monotonic() + patience_s
    while True:
        row = connection.execute(
            "SELECT count(*) FROM pg_ls_tmpdir() WHERE modification < clock_timestamp() - interval '1 second'"
        ).fetchone()
        if row == (0,):
            return
        if time.monotonic() > deadline:
            raise ErasurePending("a running query keeps temporary files: tried again when it has ended")
        time.sleep(0.2)


def remove_orphans(connection: Connection, data_dir: Path) -> int:
    """Delete data files that belong to no relation, and return how many.

    A server that is killed during a rewrite leaves the half-written copy behind for ever, with rows that
    may be erased later. Call it before anything else uses the database.
    """
    connection.execute("CHECKPOINT")  # files that wait for their removal are gone after it
    row = connection.execute(
        "SELECT oid::bigint FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None  # noqa: S101 - we are connected to it
    folder = data_dir / "base" / str(row[0])
    files = [path for path in folder.iterdir() if _RELATION_FILE.fullmatch(path.name)]
    # Read after the listing: a relation made meanwhile is in neither or in both.
    known = {
        int(found[0])
        for found in connection.execute(
            "SELECT pg_relation_filenode(oid) FROM pg_class WHERE pg_relation_filenode(oid) IS NOT NULL"
        )
    }
    orphans = [path for path in files if int(path.name.split("_")[0].split(".")[0]) not in known]
    for path in orphans:
        path.unlink(missing_ok=True)
    return len(orphans)
