"""A real witness within reach of the centre, without a socket."""

from __future__ import annotations

import asyncio

import httpx

from consent.witness import Witness
from consent.witness_server import build_app


class LocalWitness(httpx.BaseTransport):
    """Reaches the witness's own application."""

    def __init__(self, witness: Witness) -> None:
        self._app = httpx.ASGITransport(build_app(witness))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._app) as client:
                return await client.post(request.url, content=request.read())

        answer = asyncio.run(ask())
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
