"""The parent's side of a transcriber's process: start, ask, watch by age, end, start again."""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.errors import TranscriberError, TranscriberTimeout, TranscriberUnusable
from models.speech_pieces import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

START_LIMIT_S: Final = 120.0
PIECE_LIMIT_S: Final = 60.0
_RESTARTS: Final = 5
_RESTART_WINDOW_S: Final = 600.0
_OFFLINE: Final = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
_KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """What a transcriber's process has used since it was started.

    Attributes:
        cpu_s: Processor time of all its threads, seconds.
        peak_mib: Largest resident memory, MiB.
    """

    cpu_s: float
    peak_mib: float


class TranscriberProcess:
    """A child process that reads pieces: started when first needed, restarted when it dies.

    Thread-safe: calls wait for one another. The process is killed and reaped by `close` and when
    the answer to a piece is older than its limit; it ends by itself when this process does.

    Args:
        engine: Name of the engine, for messages.
        command: Command line of the child.
        threads: Threads that the engine may use.
        remedy: What to do where it does not start.
        piece_limit_s: Longest wait for the text of one piece.
    """

    def __init__(
        self,
        engine: str,
        command: tuple[str, ...],
        *,
        threads: int = 1,
        remedy: str = "",
        piece_limit_s: float = PIECE_LIMIT_S,
    ) -> None:
        """Take the command; nothing is started yet."""
        self._engine = engine
        self._command = command
        self._threads = threads
        self._remedy = remedy
        self._piece_limit_s = piece_limit_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._pending = b""
        self._starts: deque[float] = deque(maxlen=_RESTARTS + 1)
        self._closed = False

    @property
    def starts(self) -> int:
        """How often the process was started within the restart window."""
        return len(self._starts)

    @property
    def process_id(self) -> int | None:
        """Id of the running process, or None."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def use(self) -> ProcessUse | None:
        """Return what the running process has used; None where none runs or the system does not tell."""
        process_id = self.process_id
        try:
            folder = Path("/proc") / str(process_id)
            status = (folder / "status").read_text(encoding="ascii")
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return None
        (peak_kib,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
        ticks = int(fields[11]) + int(fields[12])
        return ProcessUse(ticks / os.sysconf("SC_CLK_TCK"), int(peak_kib) / _KIB)

    def warm_up(self) -> None:
        """Start the process now, so that the first sentence does not wait for it."""
        with self._lock:
            self._running()

    def read(self, piece: NDArray[np.int16]) -> str:
        """Return the engine's text of one piece, untouched.

        Raises:
            TranscriberTimeout: No answer in time; the process was ended.
            TranscriberError: It died twice on the piece, or refused it.
            TranscriberUnusable: It cannot be started, or keeps dying.
        """
        request = struct.pack("<I", piece.size) + piece.astype("<i2").tobytes()
        return str(self.ask(request, piece.size / SAMPLE_RATE_HZ, "text")["text"])

    def ask(self, request: bytes, length_s: float, wanted: str) -> Mapping[str, Any]:
        """Return the process's answer to one piece; where it dies on it, a fresh one is asked once more.

        Args:
            request: What it is sent.
            length_s: Length of the piece, for messages.
            wanted: Field that an answer has; without it the piece was refused.

        Raises:
            TranscriberTimeout: No answer in time; the process was ended.
            TranscriberError: It died twice on the piece, or refused it.
            TranscriberUnusable: It cannot be started, or keeps dying.
        """
        with self._lock:
            try:
                answer = self._answer(request)
            except (TranscriberTimeout, TranscriberUnusable):
                raise
            except TranscriberError:
                self._end()
                answer = self._second_try(request, length_s)
        if wanted not in answer:
            raise TranscriberError(
                f"{self._engine} refused a piece: {answer.get('error', f'no {wanted}')}. "
                "The piece was given up."
            )
        return answer

    def _second_try(self, request: bytes, length_s: float) -> dict[str, Any]:
        try:
            return self._answer(request)
        except (TranscriberTimeout, TranscriberUnusable):
            raise
        except TranscriberError as error:
            self._end()
            raise TranscriberError(
                f"The transcriber's process died twice on one piece of {length_s:.1f} s ({error}). "
                "The piece was given up; the next one starts a fresh process."
            ) from error

    def close(self) -> None:
        """End the process and reap it; a call under way fails at once, later calls are refused."""
        self._closed = True
        child = self._child
        if child is not None:
            child.kill()  # not behind the lock: whoever waits for an answer holds it
        with self._lock:
            self._end()

    def _answer(self, request: bytes) -> dict[str, Any]:
        child = self._running()
        until = time.monotonic() + self._piece_limit_s
        self._send(child, request, until)
        return self._line(child, until, self._piece_limit_s)

    def _running(self) -> subprocess.Popen[bytes]:
        """Return the process, starting it where there is none, within the restart budget."""
        if self._closed:
            raise TranscriberUnusable("The transcriber was closed. Load it again.")
        if self._child is not None:
            if self._child.poll() is None:
                return self._child
            self._end()
        now = time.monotonic()
        while self._starts and now - self._starts[0] > _RESTART_WINDOW_S:
            self._starts.popleft()
        if len(self._starts) > _RESTARTS:
            raise TranscriberUnusable(
                f"The transcriber's process was started {len(self._starts)} times within "
                f"{_RESTART_WINDOW_S / 60:.0f} minutes and keeps dying. "
                "Check memory and 'hailong models verify'."
            )
        self._starts.append(now)
        self._pending = b""
        self._child = subprocess.Popen(  # noqa: S603 - our own script with our own interpreter
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_OFFLINE, "OMP_NUM_THREADS": str(self._threads)},
            bufsize=0,
        )
        if self._closed:  # while it was being started
            self._end()
            raise TranscriberUnusable("The transcriber was closed. Load it again.")
        ready = self._line(self._child, time.monotonic() + START_LIMIT_S, START_LIMIT_S)
        if "ready" not in ready:
            self._end()
            raise TranscriberUnusable(
                f"{self._engine} could not start: {ready.get('failed', ready)}. {self._remedy}"
            )
        return self._child

    def _send(self, child: subprocess.Popen[bytes], request: bytes, until: float) -> None:
        """Write a request without ever blocking behind a process that hangs."""
        pipe = child.stdin
        if pipe is None:
            raise TranscriberError("the process has no input")
        os.set_blocking(pipe.fileno(), False)
        view = memoryview(request)
        while view:
            left = until - time.monotonic()
            if left <= 0 or not select.select([], [pipe], [], left)[1]:
                self._end()
                raise self._too_late(self._piece_limit_s)
            try:
                view = view[os.write(pipe.fileno(), view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise TranscriberError(f"its input is closed: {error}") from error

    def _line(self, child: subprocess.Popen[bytes], until: float, limit_s: float) -> dict[str, Any]:
        pipe = child.stdout
        if pipe is None:
            raise TranscriberError("the process has no output")
        while b"\n" not in self._pending:
            left = until - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                self._end()
                raise self._too_late(limit_s)
            part = os.read(pipe.fileno(), 1 << 16)
            if not part:
                code = child.wait()
                raise TranscriberError(f"it ended with status {code}")
            self._pending += part
        line, _, self._pending = self._pending.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError:
            # The line may hold spoken words, and so may the parser's error: neither goes on.
            raise TranscriberError(f"it answered {len(line)} bytes that are no JSON") from None
        return answer if isinstance(answer, dict) else {}

    def _too_late(self, limit_s: float) -> TranscriberTimeout:
        return TranscriberTimeout(
            f"The transcriber gave no answer within its limit ({limit_s:.0f} s). "
            "Its process was ended and will be started again; if this repeats, the machine is overloaded."
        )

    def _end(self) -> None:
        """Kill and reap the process, and close its pipes."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.poll() is None:
            child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
