"""Pages of the edge are for this machine only."""

from __future__ import annotations

import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from capture.errors import PortTaken
from capture.loopback import LoopbackServer, NotLoopback, is_loopback


def app() -> Starlette:
    return Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - refused
        ("::", False),
        ("192.0.2.7", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_what_counts_as_this_machine(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_it_serves_and_frees_its_port() -> None:
    with LoopbackServer(app(), name="page", key="port") as server:
        assert httpx.get(server.url, trust_env=False).text == "here"
        port = server.port
    with LoopbackServer(app(), name="page", key="port", port=port) as server:
        assert httpx.get(server.url, trust_env=False).text == "here"


def test_others_are_refused_before_a_port_is_taken() -> None:
    with pytest.raises(NotLoopback, match=r"the page .* this machine only.*edge\.toml"):
        LoopbackServer(app(), name="page", key="port", host="0.0.0.0")  # noqa: S104 - refused


def test_a_taken_port_names_port_and_key() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"the page cannot use port {port}.*metrics_port in edge\.toml"):
            LoopbackServer(app(), name="page", key="metrics_port", port=port)


def test_a_server_that_never_started_frees_its_port() -> None:
    server = LoopbackServer(app(), name="page", key="port")
    server.stop()
    LoopbackServer(app(), name="page", key="port", port=server.port).stop()
