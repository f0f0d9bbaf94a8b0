"""Which answers are compressed: figures, charts and styles. What holds a secret or a person is not.

The length of a compressed answer tells how much of the address it repeats also stands elsewhere in it
(BREACH). So compressed are only answers to readers of figures, which may be published anyway, and files
without a secret; the tokens of their forms are never the same (`api.form_tokens`). Accounts, edges with their
enrolment tokens, keys of webhooks, everything of the privacy officer, receipts and what an edge sends or gets
stay as they are.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

SMALLEST_BYTES: Final = 1000
"""Less fits into one packet anyway."""
_LEVEL: Final = 6
_COMPRESSED: Final = re.compile(
    r"/|/(?:places|counters|comparison|signals|open-data)(?:/[^/]+)?"  # pages, and files of theirs
    r"|/(?:places|counters|signals|open-data)/[^/]+/[^/]+\.(?:svg|csv|json)"
    r"|/(?:figures\.csv|figures\.json|ranking\.svg|icon\.svg|style\.css|v1/openapi\.json)"
)


class Compression:
    """ASGI middleware: compresses answers to GET at the addresses of figures.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._plain = app
        self._compressed = GZipMiddleware(app, minimum_size=SMALLEST_BYTES, compresslevel=_LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        chosen = scope["type"] == "http" and scope["method"] == "GET" and compresses(scope["path"])
        await (self._compressed if chosen else self._plain)(scope, receive, send)


def compresses(path: str) -> bool:
    """Tell whether answers at an address may be compressed."""
    return _COMPRESSED.fullmatch(path) is not None
