"""A real RTSP server that plays recordings on loopback, for the demo and the tests.

The edge program itself never serves media; it only reads it. The protocol comes from
the package `aio-rtsp-toolkit` (extra `demo`), which is imported when a server starts.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from capture.errors import CaptureError, MediaFileMissing, PortTaken

if TYPE_CHECKING:
    from capture.rtsp_playout import PlayoutServer

_START_LIMIT_S = 10.0
_STOP_LIMIT_S = 10.0


class RtspMediaServer:
    """Serve files over RTSP, each from its beginning when a client plays it.

    Args:
        files: Name in the address -> media file (H.264 and AAC).
        host: Where to listen; loopback unless there is a reason.
        port: Port, or 0 for a free one.
        loop: Whether a file starts over at its end; otherwise the stream ends in an orderly way.

    Raises:
        MediaFileMissing: One of the files is not there.
    """

    def __init__(
        self, files: Mapping[str, Path], host: str = "127.0.0.1", port: int = 0, *, loop: bool = False
    ) -> None:
        """Check the files; `start` begins to listen."""
        for path in files.values():
            if not path.is_file():
                raise MediaFileMissing(f"There is no file {path} to serve. Check the name and the folder.")
        self._files = MappingProxyType(dict(files))
        self._host = host
        self.port = port
        """The port that is listened on, once started."""
        self._repeat = loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: PlayoutServer | None = None

    def url(self, name: str) -> str:
        """Return the address of a file.

        Raises:
            KeyError: No file has this name.
        """
        if name not in self._files:
            raise KeyError(f"{name!r} is not served; served are {', '.join(sorted(self._files))}.")
        return f"rtsp://{self._host}:{self.port}/{quote(name)}"

    def start(self) -> None:
        """Listen and serve, in a thread of its own.

        Raises:
            PortTaken: Another program listens on the port.
            CaptureError: The extra `demo` is not installed.
        """
        try:
            from capture.rtsp_playout import PlayoutServer  # noqa: PLC0415 - only the demo and tests need it
        except ImportError as error:
            raise CaptureError(
                f"The RTSP server needs the extra `demo` ({error}). Install it: pip install 'hailong[demo]'."
            ) from error
        listener = self._listen()
        self._loop = asyncio.new_event_loop()
        self._server = PlayoutServer(self._files, repeat=self._repeat)
        started = threading.Event()
        self._thread = threading.Thread(
            target=self._run,
            args=(self._loop, self._server, listener, started),
            name="rtsp server",
            daemon=True,
        )
        self._thread.start()
        if not started.wait(_START_LIMIT_S):
            raise CaptureError(f"The RTSP server did not start within {_START_LIMIT_S:g} s. Try again.")

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        # A server that was killed a moment ago must not keep its successor from the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self.port))
            listener.listen()
        except OSError as error:
            listener.close()
            raise PortTaken(
                f"The RTSP server cannot listen on {self._host}:{self.port} ({error.strerror}). "
                "Stop the program that uses the port, or choose another port (0 takes a free one)."
            ) from error
        self.port = int(listener.getsockname()[1])
        return listener

    @staticmethod
    def _run(
        loop: asyncio.AbstractEventLoop,
        server: PlayoutServer,
        listener: socket.socket,
        started: threading.Event,
    ) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(server.listen(listener))
            started.set()
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    def stop(self) -> None:
        """End all streams in an orderly way and stop listening."""
        self._end(abort=False)

    def kill(self) -> None:
        """Break all connections off at once, as a power cut would."""
        self._end(abort=True)

    def _end(self, *, abort: bool) -> None:
        loop, thread, server = self._loop, self._thread, self._server
        self._loop = self._thread = self._server = None
        if loop is None or thread is None or server is None:
            return
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(server.end(abort=abort), loop).result(_STOP_LIMIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_STOP_LIMIT_S)

    @contextmanager
    def frozen(self, *media_types: str) -> Iterator[None]:
        """Send nothing of these kinds (`video`, `audio`) meanwhile; connections stay open."""
        if self._server is None:
            raise CaptureError("The RTSP server is not running. Start it first.")
        held = self._server.held
        held.update(media_types)
        try:
            yield
        finally:
            held.difference_update(media_types)

    @property
    def plays(self) -> tuple[tuple[str, ...], ...]:
        """The kinds each client asked for when it began to play, in order."""
        return () if self._server is None else tuple(self._server.plays)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()
