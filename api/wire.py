"""The machine side of the service: batches, enrolments, arrivals, health, metrics."""

import hmac
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.authorization import VISITOR, Action, policies
from api.database import Database
from api.enrolment import enrol
from api.errors import DatabaseUnavailable, Refused
from api.guards import open_to_all, proven
from api.ingest import Ingest
from api.metrics import Metrics
from api.problems import problem
from api.schema import PPM
from api.settings import Settings
from inference.signal import Ballot, Code, Signal, Unit

SESSION_COOKIE: Final = "hailong_session"
_log: Final = structlog.get_logger("api.wire")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SignalEntry(_Model):
    """A signal; the salt is the session key that opens its commitment in the edge's log."""

    seq: Annotated[int, Field(ge=1)]
    kind: Literal["signal"]
    payload: Signal
    salt: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")] | None = None


class BallotEntry(_Model):
    """What a citizen said themselves."""

    seq: Annotated[int, Field(ge=1)]
    kind: Literal["ballot"]
    payload: Ballot


class ErasedConsent(_Model):
    """Whose data an entry held."""

    record_id: UUID


class ErasedEntry(_Model):
    """An entry that the edge has emptied; under a number that was sent before, the centre erases it, too."""

    seq: Annotated[int, Field(ge=1)]
    kind: Literal["erased"]
    payload: ErasedConsent


class BatchDocument(_Model):
    """What an edge sends; the signature covers the raw bytes."""

    edge: UUID
    first_seq: Annotated[int, Field(ge=1)]
    entries: Annotated[
        list[Annotated[SignalEntry | BallotEntry | ErasedEntry, Field(discriminator="kind")]],
        Field(min_length=1, max_length=500),
    ]


class QuarantinedEntry(_Model):
    """An entry that was set aside and why."""

    seq: int
    reason: str


class BatchReceipt(_Model):
    """Everything up to the high-water mark is committed."""

    high_water: int
    quarantined: list[QuarantinedEntry]


class EnrolmentRequest(_Model):
    """A one-time token, the edge's public key and its name."""

    token: Annotated[str, Field(min_length=1, max_length=200)]
    public_key: Annotated[str, Field(min_length=1, max_length=200)]
    name: Annotated[str, Field(min_length=1, max_length=64)]


class EnrolmentReceipt(_Model):
    """The identity of the edge and the counters it serves."""

    edge: UUID
    counters: list[Code]


class Arrival(_Model):
    """One signal as it reached the centre."""

    cursor: int
    received_at: AwareDatetime
    edge: UUID
    counter: Code
    session_id: UUID
    signal_id: UUID
    score: Unit | None
    low: Unit | None
    high: Unit | None
    abstained: str | None


class Arrivals(_Model):
    """Signals after a cursor, oldest first; ask again with `cursor`."""

    cursor: int
    arrivals: list[Arrival]


class Problem(BaseModel):
    """A problem document (RFC 9457); `kind` is a stable code."""

    type: str
    title: str
    status: int
    detail: str
    kind: str


def problems_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return how the schema of the service describes problem documents of these statuses."""
    schema = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": schema} for status in statuses}


def build_router(  # noqa: C901 - a list of short routes, not one branching function
    settings: Settings, database: Database, metrics: Metrics, log_fault: Callable[[], str]
) -> APIRouter:
    """Return the routes for edges, scrapers and the demonstration; `log_fault` says why nothing is signed."""
    router = APIRouter()
    ingest = Ingest(database, settings.ingest)

    async def batch_body(request: Request) -> bytes:
        return await request.body()

    def commit(body: bytes, signature: str | None) -> BatchReceipt:
        with metrics.batch():
            receipt = ingest.accept(body, signature)
        metrics.signals.inc(receipt.inserted)
        metrics.repeated.inc(receipt.repeated)
        for item in receipt.quarantined:
            metrics.quarantined.labels(item.reason.split(":", 1)[0]).inc()
        _log.info(
            "batch",
            high_water=receipt.high_water,
            inserted=receipt.inserted,
            repeated=receipt.repeated,
            quarantined=len(receipt.quarantined),
            ballots=receipt.ballots,
            erased=receipt.erased,
        )
        return BatchReceipt(
            high_water=receipt.high_water,
            quarantined=[QuarantinedEntry(seq=item.seq, reason=item.reason) for item in receipt.quarantined],
        )

    @router.post(
        "/v1/batches",
        dependencies=[Depends(proven(Action.SUBMIT_BATCHES))],
        summary="Take a signed batch; what is acknowledged is committed",
        responses=problems_of(400, 401, 408, 409, 413, 422, 503),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BatchDocument"}}},
            }
        },
    )
    async def batches(
        body: Annotated[bytes, Depends(batch_body)],
        hailong_signature: Annotated[
            str | None,
            Header(max_length=200, description="Base64 of the Ed25519 signature over the raw body."),
        ] = None,
    ) -> BatchReceipt:
        return await run_in_threadpool(commit, body, hailong_signature)

    @router.post(
        "/v1/enrolments",
        dependencies=[Depends(open_to_all(Action.ENROL_EDGE))],
        summary="Exchange a one-time token for an edge's identity",
        responses=problems_of(401, 409, 422, 503),
    )
    def enrolments(request: EnrolmentRequest) -> EnrolmentReceipt:
        done = enrol(database, request.token, request.public_key, request.name)
        _log.info("enrolled", edge=str(done.edge), counters=list(done.counters))
        return EnrolmentReceipt(edge=done.edge, counters=list(done.counters))

    @router.get(
        "/v1/arrivals",
        dependencies=[Depends(proven(Action.WATCH_ARRIVALS))],
        summary="List signals as they arrive, in demonstrations",
        responses=problems_of(401, 503),
    )
    def arrivals(
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        authorization: Annotated[str | None, Header(max_length=400)] = None,
    ) -> Arrivals:
        _require_reader(settings, authorization)
        return list_arrivals(database, after, limit)

    @router.get(
        "/healthz",
        dependencies=[Depends(open_to_all(Action.WATCH_SERVICE))],
        summary="Tell whether the process lives",
    )
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        dependencies=[Depends(open_to_all(Action.WATCH_SERVICE))],
        summary="Tell whether signals can be taken",
        responses=problems_of(503),
    )
    def readyz() -> JSONResponse:
        begun = time.monotonic()
        try:
            current = database.is_current()
        except DatabaseUnavailable as error:
            return problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", str(error), database=False, migration=False
            )
        if not current:
            return problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "not-ready",
                "the schema is not at the newest migration: restart the service",
                database=True,
                migration=False,
            )
        fault = log_fault()
        if fault:
            return problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", fault, database=True, migration=True, log=False
            )
        took_ms = round((time.monotonic() - begun) * 1000, 1)
        return JSONResponse(
            {"status": "ready", "database": True, "migration": True, "log": True, "took_ms": took_ms}
        )

    @router.get(
        "/metrics",
        dependencies=[Depends(open_to_all(Action.WATCH_SERVICE))],
        summary="Metrics for Prometheus",
        response_class=PlainTextResponse,
    )
    def exposition() -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _require_reader(settings: Settings, authorization: str | None) -> None:
    """Let the demonstration's bearer token pass, and nobody else: each row is one citizen's session."""
    expected = settings.demo.arrivals_token
    scheme, _, given = (authorization or "").partition(" ")
    shown = (
        expected is not None
        and scheme.lower() == "bearer"
        and hmac.compare_digest(given.strip().encode(), expected.get_secret_value().encode())
    )
    if policies().decide(VISITOR, Action.WATCH_ARRIVALS, context={"demonstration_token": shown}).permitted:
        return
    raise Refused(
        HTTPStatus.UNAUTHORIZED,
        "not-authenticated",
        "single sessions are shown in demonstrations only: send the bearer token of demo.arrivals_token",
    )


def list_arrivals(database: Database, after: int, limit: int) -> Arrivals:
    """Return signals after a cursor.

    Numbers are given before the commit, so a row that is older than a transaction still running waits:
    a reader who only moves forward misses nothing.
    """
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT arrival, received_at, edge_id, counter, session_id, signal_id, score_ppm, "
            "low_ppm, high_ppm, "
            "abstained FROM signals WHERE arrival > %s "
            "AND age(xmin) > age(pg_snapshot_xmin(pg_current_snapshot())::xid) ORDER BY arrival LIMIT %s",
            (after, limit),
        ).fetchall()
    found = [
        Arrival(
            cursor=row[0],
            received_at=row[1],
            edge=row[2],
            counter=row[3],
            session_id=row[4],
            signal_id=row[5],
            score=_share(row[6]),
            low=_share(row[7]),
            high=_share(row[8]),
            abstained=row[9],
        )
        for row in rows
    ]
    return Arrivals(cursor=found[-1].cursor if found else after, arrivals=found)


def _share(value: int | None) -> float | None:
    return None if value is None else value / PPM
