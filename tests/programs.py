"""Real processes of the two programs, for tests that start, kill and start them again."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg

from api.postgres import EmbeddedPostgres
from setup.layout import ROOT

MINI = ROOT / "samples" / "mini"
"""Sample sessions of five to seven seconds; each has a citizen's face and voice."""
PATIENCE_S = 120.0
"""Longer than anything takes that works, on a slow machine."""


def free_port() -> int:
    """Return a loopback port on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that these have."""
    try:
        listed = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has just ended
        return []
    direct = [int(word) for text in listed for word in text.split()]
    return direct + [deeper for child in direct for deeper in children_of(child)]


def call(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one command of ours to its end."""
    return subprocess.run(
        [sys.executable, "-m", "hailong", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


class Program:
    """One of our programs as a process that can be killed and started again."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self._words = words
        self._log = folder / f"{words[0]}.log"
        self._began = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._began = len(self._log.read_text())
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hailong", *self._words],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def running(self) -> bool:
        return self.process.poll() is None

    def log(self, characters: int = 2000) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-characters:]

    def kill(self) -> None:
        """Kill it as a power cut would; its children must notice by themselves."""
        children = children_of(self.process.pid)
        self.process.kill()
        self.process.wait()
        self.check_children(children)

    def check_children(self, children: list[int]) -> None:
        deadline = time.monotonic() + 20
        while alive := [pid for pid in children if Path(f"/proc/{pid}").exists()]:
            assert time.monotonic() < deadline, f"children outlive a killed {self._words[0]}: {alive}"
            time.sleep(0.05)

    def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Central(Program):
    """The central program on its own PostgreSQL, always at the same port."""

    def __init__(self, folder: Path) -> None:
        self._config = folder / "central.toml"
        super().__init__(folder, "central", "run", "-c", str(self._config))
        self._token = secrets.token_urlsafe(16)
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self._data = folder / "postgres"
        self._config.write_text(
            f'[server]\nport = {port}\n[database]\ndata_dir = "{self._data}"\n'
            f'[demo]\nenabled = true\narrivals_token = "{self._token}"\n',
            encoding="utf-8",
        )

    def check_children(self, children: list[int]) -> None:
        """Its PostgreSQL may go on: the next start stops it, or we kill it."""

    def wait_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.running(), f"the centre ended by itself: {self.log()}"
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.address}/readyz", timeout=5).status_code == httpx.codes.OK:
                    return
            time.sleep(0.1)
        raise AssertionError(f"the centre is not ready: {self.log()}")

    def kill_database(self) -> bool:
        """Kill PostgreSQL; tells whether there was one."""
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int((self._data / "postmaster.pid").read_text().split("\n", 1)[0]), signal.SIGKILL)
            return True
        return False

    def token(self, *counters: str) -> str:
        words = [word for counter in counters for word in ("--counter", counter)]
        made = call("central", "enrol-token", "-c", str(self._config), *words)
        assert made.returncode == 0, made.stderr
        return made.stdout.split()[-1]

    def arrivals(self) -> list[dict[str, Any]]:
        answer = httpx.get(
            f"{self.address}/v1/arrivals",
            params={"limit": 500},
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=30,
        ).raise_for_status()
        found: list[dict[str, Any]] = answer.json()["arrivals"]
        return found

    def count(self, table: str) -> int:
        """Count the rows of a table, past all of our own code."""
        with psycopg.connect(EmbeddedPostgres(self._data).dsn()) as connection:
            row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()  # noqa: S608 - our own word
        assert row is not None
        return int(row[0])


class Edge(Program):
    """The edge program with playlists of sample recordings."""

    def __init__(
        self, folder: Path, centre: str | None, plan: dict[str, list[tuple[str, Path, str]]]
    ) -> None:
        """Write the configuration: counter -> (name, recording, text of its consent file)."""
        self.config = folder / "edge.toml"
        super().__init__(folder, "edge", "run", "-c", str(self.config))
        self.data = folder / "edge"
        lines = ['name = "edge-1"', 'data_dir = "edge"', "metrics_port = 0"]
        lines += [f'[centre]\nurl = "{centre}"'] if centre is not None else []
        for counter, items in plan.items():
            lines.append(f'[[counters]]\ncode = "{counter}"')
            for name, media, consent in items:
                (folder / f"{name}.consent.toml").write_text(consent, encoding="utf-8")
                lines.append(
                    f'[[counters.playlist]]\nname = "{name}"\nmedia = "file:{media}"\n'
                    f'consent = "{name}.consent.toml"'
                )
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def enrol(self, token: str) -> None:
        done = call("edge", "enrol", "-c", str(self.config), "--token", token)
        assert done.returncode == 0, done.stderr
        assert "Enrolled as" in done.stdout

    def wait_ready(self) -> None:
        """Wait until its counters work, or until it has ended as it should."""
        self.wait_for("is ready")

    def wait_for(self, words: str) -> None:
        """Wait until it has said this since its start, or has ended as it should."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if words in self._log.read_text()[self._began :] or self.process.poll() == 0:
                return
            assert self.running(), f"the edge ended by itself: {self.log()}"
            time.sleep(0.02)
        raise AssertionError(f"the edge never said '{words}': {self.log()}")

    def wait_done(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait until every playlist has ended and everything is delivered; returns the exit code."""
        return self.process.wait(timeout_s)
