"""What a person sees while things install: which step, how long it runs, how long it took."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from setup.layout import ROOT, SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TICK_S: Final = 5.0
_TAIL_LINES: Final = 25


def say(line: str) -> None:
    """Write one line to standard error; standard output belongs to the program that make runs."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step, report every few seconds that it still runs, and say how long it took."""
    started_s = time.monotonic()
    finished = threading.Event()

    def tick() -> None:
        running_s = 0.0
        while not finished.wait(max(_TICK_S, running_s / 4)):  # a long step need not fill the screen
            running_s = time.monotonic() - started_s
            say(f"     … {title}: {running_s:.0f} s")

    ticker = threading.Thread(target=tick, name="progress", daemon=True)
    say(f"==> {title}")
    ticker.start()
    try:
        yield
    finally:
        finished.set()
        ticker.join()
    say(f"     done in {time.monotonic() - started_s:.1f} s")


def call(command: Sequence[str], *, environment: Mapping[str, str] | None = None, given: str = "") -> str:
    """Run a program quietly, with `given` as its input, and return its standard output.

    Raises:
        SetupError: the program is missing or failed; the message carries the end of what it said.
    """
    try:
        result = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            check=False,
            errors="replace",
            input=given,
            encoding="utf-8",
            capture_output=True,
        )
    except OSError as error:
        message = f"{command[0]} could not be started: {error}"
        raise SetupError(message) from error
    if result.returncode != 0:
        said = "\n".join((result.stdout + result.stderr).splitlines()[-_TAIL_LINES:])
        message = f"this command ended with status {result.returncode}:\n  {' '.join(command)}\n{said}"
        raise SetupError(message)
    return result.stdout
