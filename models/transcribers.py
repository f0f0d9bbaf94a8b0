"""Vietnamese speech to text, in a child process that may die without harm."""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

import numpy as np

from models.errors import InputError, TranscriberError, TranscriberTimeout, UnknownModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.registry import ModelFile, Registry

SAMPLE_RATE_HZ: Final = 16_000
MAX_PIECE_S: Final = 15.0
"""Longest piece of one call: in 30 s of one call the library lost the first 7 s."""
MIN_PIECE_S: Final = 0.1
"""Shorter pieces hold no word; they are answered with an empty text."""
_FRAME: Final = SAMPLE_RATE_HZ // 50
_START_LIMIT_S: Final = 60.0
_PIECE_LIMIT_S: Final = 60.0
_RESTARTS: Final = 5
_RESTART_WINDOW_S: Final = 600.0


class Transcriber(Protocol):
    """Anything that turns speech into text."""

    @property
    def name(self) -> str:
        """Name on the model card."""

    @property
    def version(self) -> str:
        """Version on the model card."""

    @property
    def sha256(self) -> str:
        """Hash of the verified model file."""

    def transcribe(self, samples: NDArray[np.int16]) -> str:
        """Return the words of mono int16 samples at 16 kHz; empty where there are none."""

    def close(self) -> None:
        """Let go of the model."""

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""


def checked_samples(samples: object, sample_rate_hz: int = SAMPLE_RATE_HZ) -> NDArray[np.int16]:
    """Return the samples if they are mono int16 at 16 kHz.

    Raises:
        InputError: Another type, shape or rate. (The library itself would answer with an
            empty text, or hang.)
    """
    if sample_rate_hz != SAMPLE_RATE_HZ:
        raise InputError(
            f"Speech must be sampled at {SAMPLE_RATE_HZ} Hz, not {sample_rate_hz}: resample it first."
        )
    if not isinstance(samples, np.ndarray) or samples.dtype != np.int16:
        kind = getattr(samples, "dtype", type(samples).__name__)
        raise InputError(f"Speech must be int16 samples, not {kind}: convert it first.")
    if samples.ndim != 1:
        raise InputError(
            f"Speech must be mono, of shape (n,), not {samples.shape}: choose one channel first."
        )
    return samples


def split_at_quietest(samples: NDArray[np.int16], longest_s: float = MAX_PIECE_S) -> list[NDArray[np.int16]]:
    """Cut speech into pieces of at most `longest_s`, each cut at the quietest point near its end.

    The cut is searched in the second half of each piece, over 200 ms, so words stay whole
    where the speaker takes breath. The pieces joined are the input: nothing is lost.
    """
    longest = int(longest_s * SAMPLE_RATE_HZ)
    pieces = []
    rest = samples
    while rest.size > longest:
        # An even share avoids a last piece of a few milliseconds.
        share = min(longest, max(longest // 2 + 1, -(-rest.size // -(-rest.size // longest)) + longest // 4))
        cut = _quietest(rest[:share])
        pieces.append(rest[:cut])
        rest = rest[cut:]
    if rest.size:
        pieces.append(rest)
    return pieces


def _quietest(piece: NDArray[np.int16]) -> int:
    """Return the sample in the second half around which 200 ms are quietest."""
    frames = piece.size // _FRAME
    loud = (piece[: frames * _FRAME].reshape(frames, _FRAME).astype(np.float64) ** 2).mean(axis=1)
    width = 10
    smooth = np.convolve(loud, np.full(width, 1.0 / width), mode="same")
    first = frames // 2
    last = max(first + 1, frames - width // 2)
    return (first + int(np.argmin(smooth[first:last]))) * _FRAME + _FRAME // 2


class VietAsr:
    """`viet-asr` in a process of its own: started when first needed, restarted when it dies.

    Thread-safe: calls wait for one another. The process is killed and reaped by `close`, after
    a timeout, and ends by itself when this process does.
    """

    def __init__(
        self,
        file: ModelFile,
        *,
        piece_limit_s: float = _PIECE_LIMIT_S,
        command: tuple[str, ...] | None = None,
    ) -> None:
        """Take a verified library file; nothing is started yet.

        Args:
            file: The verified native library.
            piece_limit_s: Longest wait for the text of one piece.
            command: Command line of the child process; None runs the real one.
        """
        self.name, self.version, self.sha256 = file.version_of()
        self._library = file.path
        self._piece_limit_s = piece_limit_s
        # -P keeps this package's folder off the child's import path.
        self._command = command or (sys.executable, "-P", str(Path(__file__).with_name("asr_process.py")))
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._pending = b""
        self._starts: deque[float] = deque(maxlen=_RESTARTS + 1)
        self._closed = False

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    @property
    def starts(self) -> int:
        """How often the process was started within the restart window."""
        return len(self._starts)

    @property
    def process_id(self) -> int | None:
        """Id of the running process, or None."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""
        return self.name, self.version, self.sha256

    def warm_up(self) -> None:
        """Start the process now, so that the first sentence does not wait for it."""
        with self._lock:
            self._running()

    def transcribe(self, samples: NDArray[np.int16], sample_rate_hz: int = SAMPLE_RATE_HZ) -> str:
        """Return the words spoken, lower case and without punctuation; empty where there are none.

        Speech longer than 15 s is cut at its quietest points.

        Args:
            samples: int16, shape (n,), 16 kHz.
            sample_rate_hz: Rate of the samples; anything but 16 000 is refused.

        Raises:
            InputError: The samples are of another kind.
            TranscriberTimeout: The process gave no answer in time (it was ended).
            TranscriberError: The process died twice on the same piece, or too often lately.
        """
        checked = checked_samples(samples, sample_rate_hz)
        texts = [
            self._transcribe_piece(np.ascontiguousarray(piece))
            for piece in split_at_quietest(checked)
            if piece.size >= MIN_PIECE_S * SAMPLE_RATE_HZ
        ]
        return " ".join(text for text in texts if text)

    def close(self) -> None:
        """End the process and reap it; later calls are refused."""
        with self._lock:
            self._closed = True
            self._end()

    def _transcribe_piece(self, piece: NDArray[np.int16]) -> str:
        request = struct.pack("<I", piece.size) + piece.astype("<i2").tobytes()
        with self._lock:
            for attempt in (1, 2):
                child = self._running()
                try:
                    answer = self._ask(child, request)
                except TranscriberTimeout:
                    raise
                except TranscriberError as error:
                    self._end()
                    if attempt == 2:  # noqa: PLR2004 - the second and last try
                        raise TranscriberError(
                            "The transcriber's process died twice on one piece of "
                            f"{piece.size / SAMPLE_RATE_HZ:.1f} s ({error}). The piece was given up; "
                            "the next one starts a fresh process."
                        ) from error
                    continue
                if "error" in answer:
                    raise TranscriberError(
                        f"viet-asr refused a piece: {answer['error']}. The piece was given up."
                    )
                return answer.get("text", "").strip()
        raise AssertionError  # the loop returns or raises

    def _running(self) -> subprocess.Popen[bytes]:
        """Return the process, starting it where there is none, within the restart budget."""
        if self._closed:
            raise TranscriberError("The transcriber was closed. Load it again.")
        if self._child is not None:
            if self._child.poll() is None:
                return self._child
            self._end()
        now = time.monotonic()
        while self._starts and now - self._starts[0] > _RESTART_WINDOW_S:
            self._starts.popleft()
        if len(self._starts) > _RESTARTS:
            raise TranscriberError(
                f"The transcriber's process was started {len(self._starts)} times within "
                f"{_RESTART_WINDOW_S / 60:.0f} minutes and keeps dying. "
                "Check memory and 'hailong models verify'."
            )
        self._starts.append(now)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "VIETASR_LIBRARY_PATH": str(self._library)}
        self._pending = b""
        self._child = subprocess.Popen(  # noqa: S603 - our own script with our own interpreter
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        ready = self._read_answer(self._child, time.monotonic() + _START_LIMIT_S)
        if "ready" not in ready:
            self._end()
            raise TranscriberError(
                f"viet-asr could not start: {ready.get('failed', ready)}. Install viet-asr=={self.version}."
            )
        return self._child

    def _ask(self, child: subprocess.Popen[bytes], request: bytes) -> dict[str, str]:
        until = time.monotonic() + self._piece_limit_s
        self._send(child, request, until)
        return self._read_answer(child, until)

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
                raise self._too_late()
            try:
                view = view[os.write(pipe.fileno(), view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise TranscriberError(f"its input is closed: {error}") from error

    def _read_answer(self, child: subprocess.Popen[bytes], until: float) -> dict[str, str]:
        pipe = child.stdout
        if pipe is None:
            raise TranscriberError("the process has no output")
        while b"\n" not in self._pending:
            left = until - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                self._end()
                raise self._too_late()
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
        return {str(key): str(value) for key, value in answer.items()} if isinstance(answer, dict) else {}

    def _too_late(self) -> TranscriberTimeout:
        return TranscriberTimeout(
            f"The transcriber gave no answer within its limit ({self._piece_limit_s:.0f} s a piece). "
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


def load_transcriber(registry: Registry, name: str = "viet-asr") -> VietAsr:
    """Load a transcriber by name.

    Raises:
        UnknownModel: The name is not a transcriber's.
        ModelFileMissing: Its package is not installed.
        ModelHashMismatch: Its library is not the one the card describes.
    """
    file = registry.locate(name)
    if file.card.name != "viet-asr":
        raise UnknownModel(f"'{name}' is not a transcriber. Transcribers are: viet-asr.")
    return VietAsr(file)
