"""The demo's witness: a program that stands with an oversight body, here in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import httpx

from capture.demo_centre import ending_with_us
from capture.errors import CaptureError
from consent.witness import Witness

if TYPE_CHECKING:
    from types import TracebackType

_NAME: Final = "demo.hailong/witness"
_READY_S: Final = 60.0
_STOP_S: Final = 10.0


class DemoWitness:
    """A witness in a process of its own.

    Args:
        folder: Where its keys and what it cosigned lie; made anew.
    """

    def __init__(self, folder: Path) -> None:
        """Make its keys and choose its address; nothing starts yet."""
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        made = Witness.create(folder, _NAME)
        self.vkey = made.vkeys[0]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            CaptureError: It did not start; the message holds its last words.
        """
        with (self._folder / "witness.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [
                    sys.executable,
                    "-m",
                    "hailong",
                    "witness",
                    "run",
                    str(self._folder),
                    "--port",
                    str(self._port),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the witness in order
                preexec_fn=ending_with_us(),  # noqa: PLW1509 - one system call, and no threads run yet
            )
        try:
            self._wait_ready(self._process)
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
        """Stop it."""
        self._stop()

    def follow(self, vkeys: list[str]) -> None:
        """Let it cosign the log with these keys, as the oversight body decides."""
        watching = Witness(self._folder)
        for vkey in vkeys:
            watching.add_log(vkey)

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if httpx.get(f"{self.url}/healthz", timeout=2).is_success:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)
        words = (self._folder / "witness.log").read_text("utf-8", "replace").strip()[-500:]
        raise CaptureError(f"the demo's witness did not start ({process.poll()}): {words}")

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
