"""What surrounds every request: limits of size and time on the way in, security headers on the way out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Refused
from api.problems import problem

SMALL_BODY_BYTES: Final = 64 * 1024
"""Largest body of everything but batches and parts of logs: forms and enrolments."""
_POLICY: Final = (
    "default-src 'self'; script-src 'none'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Shield:
    """ASGI middleware: refuses bodies that are too large or too slow, sets security headers.

    Args:
        app: The application.
        large: Largest body by path, where it is not SMALL_BODY_BYTES.
        body_timeout_s: Longest time a body may take.
    """

    def __init__(self, app: ASGIApp, *, large: Mapping[str, int], body_timeout_s: float) -> None:
        """Wrap an application."""
        self._app = app
        self._large = dict(large)
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", _POLICY)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        largest = self._large.get(scope["path"], SMALL_BODY_BYTES)
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdigit() and int(declared) > largest:
            refusal = _too_large(largest)
            answer = problem(refusal.status, refusal.kind, refusal.detail)
            await answer(scope, receive, send_with_headers)
            return
        await self._app(scope, self._limited(receive, largest), send_with_headers)

    def _limited(self, receive: Receive, largest: int) -> Receive:
        deadline = time.monotonic() + self._body_timeout_s
        size = 0
        whole = False

        async def limited() -> Message:
            nonlocal size, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise Refused(
                    HTTPStatus.REQUEST_TIMEOUT,
                    "body-too-slow",
                    f"the body did not arrive in {self._body_timeout_s:g} s: send it again",
                ) from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > largest:
                raise _too_large(largest)
            return message

        return limited


def _too_large(largest: int) -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body-too-large",
        f"a body has at most {largest} bytes: send less at once",
    )
