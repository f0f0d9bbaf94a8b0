"""The page of a preview: on loopback, behind a link of its own, made anew for every preview."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from capture.door import Door, OnlyThroughTheDoor, PageSecret
from capture.local_pages import LocalPages, OnlyOurPages, language_of, static_files
from capture.loopback import LoopbackServer
from capture.preview import PreviewFull

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from capture.preview import Preview, Shown

SECRET_FILE: Final = "preview-token"  # noqa: S105 - the name of a file
_BOUNDARY: Final = b"picture"
_LOOK_S: Final = 0.03
"""Pause between two looks for a newer picture: below any camera's period."""


class PreviewSecret(PageSecret):
    """The secret of one preview: the next has another, so an old link opens nothing."""

    file = SECRET_FILE
    command = "hailong preview"
    side = "preview"


def build_preview_page(preview: Preview, secret: PreviewSecret) -> Starlette:
    """Build page, stream and state of one preview.

    Args:
        preview: What is shown.
        secret: What a browser must show.
    """
    shared = LocalPages({})
    door = Door(shared, secret)

    def page(request: Request) -> Response:
        return shared.page(
            "preview.html",
            language_of(request),
            counter=preview.counter,
            zone=preview.zone,
            minutes=max(1, round(preview.state().left_s / 60)),
        )

    def state(request: Request) -> Response:  # noqa: ARG001 - the signature is Starlette's
        found = preview.state()
        return JSONResponse(
            {
                "frames": found.frames,
                "left_s": round(found.left_s),
                "doubt": found.doubt,
                "ended_by": found.ended_by,
                "error": found.error,
            }
        )

    def stream(request: Request) -> Response:  # noqa: ARG001 - as above
        return _PictureStream(preview)

    app = Starlette(
        routes=[
            Route("/enter", door.enter),
            Route("/preview", page),
            Route("/preview/state", state),
            Route("/preview/stream", stream),
            static_files(),
        ]
    )
    app.add_middleware(OnlyThroughTheDoor, door=door)
    app.add_middleware(OnlyOurPages)
    return app


class _PictureStream(Response):
    """Newest pictures for one browser until it leaves or the preview ends (MJPEG)."""

    def __init__(self, preview: Preview) -> None:
        super().__init__()
        self._preview = preview

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._preview.watching():
                await self._until_gone(receive, send)
        except PreviewFull as full:
            await PlainTextResponse(f"{full}.\n", 503)(scope, receive, send)

    async def _until_gone(self, receive: Receive, send: Send) -> None:
        showing = asyncio.create_task(self._show(send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait((showing, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (showing, leaving):
                task.cancel()
            await asyncio.gather(showing, leaving, return_exceptions=True)

    async def _show(self, send: Send) -> None:
        kind = b"multipart/x-mixed-replace; boundary=" + _BOUNDARY
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        seen = 0
        while not self._preview.ended.is_set():
            shown = self._preview.shown
            if shown is None or shown.number == seen:
                await asyncio.sleep(_LOOK_S)
                continue
            seen = shown.number
            # Returns once the browser has taken most of it: what came meanwhile is never sent.
            await send({"type": "http.response.body", "body": _part(shown), "more_body": True})
        await send({"type": "http.response.body", "body": b"--" + _BOUNDARY + b"--\r\n", "more_body": False})


def _part(shown: Shown) -> bytes:
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(shown.jpeg)}\r\n\r\n".encode()
    return b"--" + _BOUNDARY + b"\r\n" + head + shown.jpeg + b"\r\n"


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class PreviewServer(LoopbackServer):
    """Serves one preview in a thread of its own.

    Args:
        preview: What is shown.
        secret: What a browser must show.
        host: A loopback address.
        port: 0 takes a free one.

    Raises:
        NotLoopback: `host` is not this machine.
        PortTaken: Another program listens there.
    """

    def __init__(
        self, preview: Preview, secret: PreviewSecret, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """Take the port; the page is served from `start` on."""
        super().__init__(
            build_preview_page(preview, secret),
            name="preview",
            key="port under [preview]",
            host=host,
            port=port,
        )
        self._secret = secret

    @property
    def link(self) -> str:
        """The link that opens the page; it holds the secret."""
        return self._secret.link(self.url)
