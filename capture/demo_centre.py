"""The demo's centre: a central program in a process of its own, with a database of its own."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from capture.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_READY_S: Final = 120.0
_STOP_S: Final = 20.0
_SET_PDEATHSIG: Final = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
_SCRATCH_PREFIX: Final = "hailong-demo-"
_SCRATCH_NOTE: Final = "database-folder"


class Centre:
    """A central program in a process of its own.

    Args:
        folder: Where its settings, database and log lie.
        witness: Address and public key of the witness of its log.
    """

    def __init__(self, folder: Path, witness: tuple[str, str]) -> None:
        """Name the folder; nothing starts yet."""
        self._folder = folder
        self._witness = witness
        self._token = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[str] | None = None
        self._scratch: Path | None = None
        self.address = ""
        self.password = ""

    def __enter__(self) -> Self:
        """Start it and wait until it serves.

        Raises:
            CaptureError: It did not start; the message holds its last words.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = self._folder / "central.toml"
        url, vkey = self._witness
        settings.write_text(
            "# Settings of the demo's centre; a real one keeps minimum_n at 10.\n"
            "[server]\nport = 0\n\n"
            f'[database]\ndata_dir = "{self._database_folder()}"\n\n'
            "[pages]\nminimum_n = 1\n\n"
            f'[demo]\nenabled = true\narrivals_token = "{self._token}"\n\n'
            f'[log]\nfold_s = 0\nwitness_s = 1\nwitnesses = [{{ url = "{url}", vkey = "{vkey}" }}]\n',
            encoding="utf-8",
        )
        log = (self._folder / "central.log").open("w", encoding="utf-8")
        with log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "hailong", "central", "run", "-c", str(settings)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the centre in order
                preexec_fn=ending_with_us(),  # noqa: PLW1509 - one system call, and no threads run yet
            )
        try:
            self._wait_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it, and the database with it."""
        self._stop()

    def token(self, counters: list[str]) -> str:
        """Make a one-time token for an edge, as an administrator does."""
        command = [
            sys.executable,
            "-m",
            "hailong",
            "central",
            "enrol-token",
            "-c",
            str(self._folder / "central.toml"),
        ]
        for counter in counters:
            command += ["--counter", counter]
        made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
        if made.returncode:
            raise CaptureError(f"the centre gave no token: {made.stderr.strip()[-500:]}")
        return made.stdout.strip().splitlines()[-1].split()[-1]

    def log_keys(self) -> list[str]:
        """Return the public keys of its log, as it publishes them."""
        answer = httpx.get(f"{self.address}/log/keys", timeout=10)
        answer.raise_for_status()
        return [line.split()[-1] for line in answer.text.splitlines() if line.startswith("centre ")]

    def audit(self, folder: Path, keys: list[str]) -> list[dict[str, Any]]:
        """Export its log as the operator does, and check the export as an auditor with these keys does.

        Raises:
            CaptureError: The export could not be made or read.
        """
        hailong = [sys.executable, "-m", "hailong", "audit"]
        made = subprocess.run(  # noqa: S603 - our own program
            [*hailong, "export", str(folder), "-c", str(self._folder / "central.toml"), "--actor", "demo"],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise CaptureError(f"the centre's log was not exported: {made.stderr.strip()[-500:]}")
        pinned = [word for key in keys for word in ("--key", key)]
        checked = subprocess.run(  # noqa: S603 - our own program
            [*hailong, "verify", str(folder), "--json", *pinned, "--witness", self._witness[1]],
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            findings: list[dict[str, Any]] = json.loads(checked.stdout)["findings"]
        except ValueError as error:
            raise CaptureError(f"the export was not checked: {checked.stderr.strip()[-500:]}") from error
        return findings

    def runs(self) -> bool:
        """Tell whether it still runs."""
        return self._process is not None and self._process.poll() is None

    def arrivals(self) -> list[dict[str, Any]]:
        """Return what arrived at the centre so far, newest last."""
        answer = httpx.get(
            f"{self.address}/v1/arrivals",
            params={"limit": 500},
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=5,
        )
        answer.raise_for_status()
        given: list[dict[str, Any]] = answer.json()["arrivals"]
        return given

    def _database_folder(self) -> Path:
        """Return where PostgreSQL keeps its data: run by root it needs a folder that any user may enter.

        The folder is noted, so that the next demo can remove what a killed one left.
        """
        if os.geteuid() != 0:
            return self._folder / "postgres"
        self._scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX))
        self._scratch.chmod(0o755)
        (self._folder / _SCRATCH_NOTE).write_text(str(self._scratch), encoding="utf-8")
        return self._scratch / "postgres"

    def _wait_ready(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            raise CaptureError("the centre was not started")
        deadline = time.monotonic() + _READY_S
        timer = threading.Timer(_READY_S, process.kill)
        timer.start()
        try:
            for line in process.stdout:
                for word in line.split():
                    if word.startswith(("http://", "https://")):
                        self.address = word.rstrip(".,/")
                if "password" in line.lower():
                    self.password = line.split()[-1]
                if self.address and self.password:
                    break
        finally:
            timer.cancel()
        if not self.address:
            words = (self._folder / "central.log").read_text(encoding="utf-8").strip()[-800:]
            late = "in time " if time.monotonic() >= deadline else ""
            raise CaptureError(f"the centre did not start {late}({process.poll()}): {words}")
        threading.Thread(target=process.stdout.read, name="centre-output", daemon=True).start()

    def _stop(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


def remove_left_database(folder: Path) -> None:
    """Remove the database that a killed demo of this folder left outside it.

    Args:
        folder: The centre's folder.
    """
    try:
        left = Path((folder / _SCRATCH_NOTE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    if left.name.startswith(_SCRATCH_PREFIX) and left.parent == Path(tempfile.gettempdir()):
        shutil.rmtree(left, ignore_errors=True)


def ending_with_us() -> Callable[[], None]:
    """Return what a child runs first: it is asked to end when the demo is gone, even by SIGKILL."""
    libc = ctypes.CDLL(None)  # loaded here: between fork and exec only the call is made

    def ask() -> None:
        libc.prctl(_SET_PDEATHSIG, signal.SIGTERM)

    return ask
