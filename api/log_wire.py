"""The log over HTTP: edges send theirs, anybody reads the centre's tree, authorised roles its entries.

Paths below /log follow C2SP tlog-tiles. Hashes and checkpoints tell nothing about anybody and are public,
so that a citizen or a witness can check them. Entries name pseudonyms, accounts and times: bundles of them
are for the observer, the privacy officer and whoever else the policies let read the log.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Header, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from api.authorization import Action
from api.edge_log_reading import read_rest
from api.edge_logs import EdgeLogs
from api.errors import LogDamaged, Refused
from api.guards import open_to_all, proven
from api.log_keeper import LogKeeper
from api.metrics import Metrics
from api.pages.access import allowed
from api.pages.rendering import Pages
from api.settings import Settings
from api.tree import StoredNodes
from api.wire import problems_of
from api.witnesses import cosigned_note
from consent.checkpoint import peek
from consent.errors import EntryTooLarge, TilesRefused
from consent.tiles import TILE_HEIGHT, Tile, entry_bundle, hash_tile

_IMMUTABLE: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_log: Final = structlog.get_logger("api.wire")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LogPartDocument(_Model):
    """A part of an edge's log; the signature covers the raw bytes."""

    edge: UUID
    first_index: Annotated[int, Field(ge=0)]
    entries: Annotated[
        list[str], Field(max_length=500, description="Each leaf exactly as it is hashed: RFC 8785 JSON.")
    ]
    checkpoint: Annotated[str, Field(description="Signed note of size first_index + len(entries).")]
    keys: Annotated[list[str], Field(max_length=8, description="Keys that sign, as C2SP text.")]


class WithdrawalDocument(_Model):
    """A withdrawal asked for at the centre that the log does not show yet."""

    record_id: UUID
    requested_at: datetime
    method: str


class LogReceipt(_Model):
    """How much of the log is committed, and what the edge is to withdraw."""

    size: int
    withdrawals: list[WithdrawalDocument]


class LogQuestionDocument(_Model):
    """An edge asks for its own log from an index on; the signature covers the raw bytes."""

    edge: UUID
    origin: Annotated[str, Field(description="First line of the log's checkpoints.")]
    first_index: Annotated[int, Field(ge=0)]


class LogRest(_Model):
    """Entries of the asking edge's own log, and where its outbox was."""

    first_index: int
    entries: list[str]
    size: int
    checkpoint: Annotated[str, Field(description="The note of that size, as the edge signed it.")]
    high_water: Annotated[int, Field(description="Highest number of the edge's outbox that is committed.")]


def build_router(settings: Settings, keeper: LogKeeper, pages: Pages, metrics: Metrics) -> APIRouter:  # noqa: C901 - a list of short routes, not one branching function
    """Return the routes of the logs."""
    router = APIRouter()
    log = keeper.log
    edge_logs = EdgeLogs(log.database, settings.log)

    async def part_body(request: Request) -> bytes:
        return await request.body()

    def commit(body: bytes, signature: str | None) -> LogReceipt:
        taken = edge_logs.accept(body, signature)
        metrics.edge_entries.inc(taken.added)
        if taken.added or taken.anomalies:
            _log.info("log part", size=taken.size, added=taken.added, anomalies=taken.anomalies)
        return LogReceipt(
            size=taken.size,
            withdrawals=[
                WithdrawalDocument(
                    record_id=item.record_id, requested_at=item.requested_at, method=item.method
                )
                for item in taken.withdrawals
            ],
        )

    @router.post(
        "/v1/log",
        dependencies=[Depends(proven(Action.SUBMIT_LOG))],
        summary="Take a part of an edge's log, and tell it of withdrawals; what is acknowledged is committed",
        responses=problems_of(400, 401, 408, 409, 413, 422, 503),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/LogPartDocument"}}},
            }
        },
    )
    async def log_part(
        body: Annotated[bytes, Depends(part_body)],
        hailong_signature: Annotated[
            str | None,
            Header(max_length=200, description="Base64 of the Ed25519 signature over the raw body."),
        ] = None,
    ) -> LogReceipt:
        return await run_in_threadpool(commit, body, hailong_signature)

    def rest(body: bytes, signature: str | None) -> LogRest:
        found = read_rest(log.database, body, signature)
        _log.info("log read back", first_index=found.first_index, entries=len(found.entries))
        return LogRest(
            first_index=found.first_index,
            entries=list(found.entries),
            size=found.size,
            checkpoint=found.checkpoint,
            high_water=found.high_water,
        )

    @router.post(
        "/v1/log/entries",
        dependencies=[Depends(proven(Action.READ_OWN_LOG))],
        summary="Give an edge back what is kept of its own log, after its data folder was restored",
        responses=problems_of(401, 409, 413, 422, 503),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/LogQuestionDocument"}}
                },
            }
        },
    )
    async def log_entries(
        body: Annotated[bytes, Depends(part_body)],
        hailong_signature: Annotated[
            str | None,
            Header(max_length=200, description="Base64 of the Ed25519 signature over the raw body."),
        ] = None,
    ) -> LogRest:
        return await run_in_threadpool(rest, body, hailong_signature)

    @router.get(
        "/log/checkpoint",
        dependencies=[Depends(open_to_all(Action.READ_TREE))],
        summary="The newest checkpoint of the centre's log, with the cosignatures that are there",
        response_class=Response,
        responses=_text("A C2SP checkpoint.") | problems_of(503),
    )
    def checkpoint() -> Response:
        return _plain(cosigned_note(log))

    @router.get(
        "/log/checkpoint/witnessed",
        dependencies=[Depends(open_to_all(Action.READ_TREE))],
        summary="The newest checkpoint that has the quorum of witnesses",
        response_class=Response,
        responses=_text("A C2SP checkpoint with cosignatures.") | problems_of(404, 503),
    )
    def witnessed() -> Response:
        note = keeper.witnesses.newest_witnessed()
        if note is None:
            raise _absent("no checkpoint has been witnessed yet")
        return _plain(note)

    @router.get(
        "/log/tile/entries/{path:path}",
        dependencies=[Depends(allowed(pages, Action.READ_LOG))],
        summary="A bundle of entries of the centre's log, for those who may read it",
        response_class=Response,
        responses=_bytes("Entries, each after its length in two bytes.") | problems_of(404, 503),
    )
    def bundle(path: str) -> Response:
        tile = _tile(f"tile/entries/{path}")
        leaves = log.entries(tile.start, tile.start + tile.width)
        if len(leaves) < tile.width or not tile.within(_covered(log.newest())):
            raise _absent("no checkpoint covers that bundle yet")
        try:
            return _binary(entry_bundle([leaf.body for leaf in leaves]))
        except EntryTooLarge as error:
            raise _absent(str(error)) from None

    @router.get(
        "/log/tile/{path:path}",
        dependencies=[Depends(open_to_all(Action.READ_TREE))],
        summary="A tile of hashes of the centre's log",
        response_class=Response,
        responses=_bytes("Up to 256 hashes of 32 bytes.") | problems_of(404, 503),
    )
    def hashes(path: str) -> Response:
        tile = _tile(f"tile/{path}")
        if tile.level is None or not tile.within(_covered(log.newest())):
            raise _absent("no checkpoint covers that tile yet")
        with log.database.transaction() as connection:
            nodes = StoredNodes(connection)
            level = tile.level * TILE_HEIGHT
            nodes.fetch([(level, tile.start + place) for place in range(tile.width)])
            try:
                return _binary(hash_tile(tile, nodes))
            except KeyError as error:
                raise LogDamaged(f"node {error} of the centre's log is missing: restore the backup") from None

    return router


def _covered(note: bytes | None) -> int:
    """Return the size of the newest checkpoint: nothing behind it is served."""
    return peek(note).size if note is not None else 0


def _tile(path: str) -> Tile:
    try:
        return Tile.parse(path)
    except TilesRefused as error:
        raise _absent(str(error)) from None


def _absent(detail: str) -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, "no-such-tile", detail)


def _plain(note: bytes) -> Response:
    return Response(note, media_type="text/plain; charset=utf-8")


def _binary(data: bytes) -> Response:
    return Response(data, media_type="application/octet-stream", headers=_IMMUTABLE)


def _text(description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}}


def _bytes(description: str) -> dict[int | str, dict[str, Any]]:
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": description, "content": {"application/octet-stream": schema}}}
