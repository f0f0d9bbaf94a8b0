"""A small page server that only this machine can reach."""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
from typing import TYPE_CHECKING, Self

import uvicorn

from capture.errors import CaptureError, PortTaken

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import ASGIApp


class NotLoopback(CaptureError, ValueError):  # noqa: N818 - named for what happened
    """A page of the edge was told to listen beyond this machine."""


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine, without asking a name server."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class LoopbackServer:
    """Serves one application in a thread of its own.

    Args:
        app: What is served.
        name: What it is, for messages.
        key: Key of the port in edge.toml, for messages.
        host: A loopback address.
        port: 0 takes a free one.

    Raises:
        NotLoopback: `host` is not this machine.
        PortTaken: Another program listens there.
    """

    def __init__(self, app: ASGIApp, *, name: str, key: str, host: str = "127.0.0.1", port: int = 0) -> None:
        """Take the port; nothing is served before `start`."""
        if not is_loopback(host):
            raise NotLoopback(
                f"the {name} is served on this machine only, not on '{host}'. Set 127.0.0.1 in edge.toml."
            )
        self._socket = _listen(host, port, name, key)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="auto",
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def __enter__(self) -> Self:
        """Start to serve."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self.stop()

    def start(self) -> None:
        """Start to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


def _listen(host: str, port: int, name: str, key: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        raise PortTaken(
            f"the {name} cannot use port {port}: {error.strerror}. Stop the other program, or set another "
            f"{key} in edge.toml (0 takes a free one)."
        ) from error
    return listener
