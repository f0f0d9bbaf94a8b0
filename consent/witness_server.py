"""The witness over HTTP: one route to ask for a cosignature, one to see what was cosigned last."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from consent.errors import CosignatureRefused, WitnessBehind, WitnessError
from consent.witness import LONGEST_REQUEST_BYTES, SIZE_TYPE, Witness


def build_app(witness: Witness) -> Starlette:
    """Return the application of a witness.

    `POST /add-checkpoint` follows C2SP tlog-witness. `GET /logs/HASH/checkpoint`, with the SHA-256 of
    the origin in hexadecimal, gives the latest cosigned checkpoint to whoever wants to compare.
    """

    async def add_checkpoint(request: Request) -> Response:
        body = await _body(request.stream())
        if body is None:
            return PlainTextResponse("too long\n", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            return PlainTextResponse(await run_in_threadpool(witness.add_checkpoint, body))
        except WitnessBehind as behind:
            return Response(f"{behind.size}\n", HTTPStatus.CONFLICT, {"content-type": SIZE_TYPE})
        except CosignatureRefused as refused:
            return PlainTextResponse(f"{refused}\n", refused.status)

    async def checkpoint(request: Request) -> Response:
        wanted = request.path_params["digest"]
        for log in await run_in_threadpool(witness.logs):
            if log.note and hashlib.sha256(log.origin.encode()).hexdigest() == wanted:
                return PlainTextResponse(log.note, headers={"cache-control": "no-store"})
        return PlainTextResponse("no checkpoint of such a log\n", HTTPStatus.NOT_FOUND)

    async def health(request: Request) -> Response:  # noqa: ARG001 - the signature of a route
        logs = await run_in_threadpool(witness.logs)
        return JSONResponse(
            {"name": witness.name, "logs": len(logs), "evidence": sum(log.evidence for log in logs)}
        )

    async def unusable(request: Request, error: Exception) -> Response:  # noqa: ARG001 - of a handler
        return PlainTextResponse(f"{error}\n", HTTPStatus.SERVICE_UNAVAILABLE)

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/logs/{digest}/checkpoint", checkpoint),
            Route("/healthz", health),
        ],
        exception_handlers={WitnessError: unusable},
    )


def serve(witness: Witness, host: str, port: int, *, started: Callable[[], None]) -> None:
    """Serve until the process is asked to stop; `started` is called once it listens."""
    config = uvicorn.Config(
        build_app(witness), host=host, port=port, log_level="warning", access_log=False, lifespan="off"
    )
    _Server(config, started).run()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._started()


async def _body(chunks: AsyncIterator[bytes]) -> bytes | None:
    """Read a body; None when it is longer than any request of ours."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > LONGEST_REQUEST_BYTES:
            return None
    return bytes(body)
