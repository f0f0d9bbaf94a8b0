"""The composition root of the central program: settings and a database in, an application out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Final

import structlog
from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse, Response

from api import log_wire, problems, published_keys, wire
from api.accounts import Accounts
from api.authorization import Action, policies
from api.central_log import CentralLog
from api.compression import Compression
from api.database import Database
from api.errors import DatabaseUnavailable
from api.guards import open_to_all
from api.log_keeper import LogKeeper
from api.metrics import Metrics
from api.pages import (
    access,
    actions,
    administration,
    alerts,
    calibration_page,
    comparison,
    counter_page,
    downloads,
    formula,
    imports,
    observers,
    open_data,
    organisation,
    overview,
    place_page,
    privacy,
    privacy_cases,
    privacy_consents,
    privacy_counters,
    privacy_exports,
    privacy_log,
    reasons,
    receipts,
    sampling,
    sources,
)
from api.pages.ahead import work_ahead
from api.pages.rendering import Pages
from api.settings import Settings
from api.shield import Shield
from api.survey import source_routes
from api.witnesses import Witnesses

VERSION: Final = "0.1.0"
_PARTITION_CHECK_S: Final = 6 * 3600
_CACHE: Final = {"Cache-Control": "public, max-age=300"}
_log: Final = structlog.get_logger("api")


def build_app(settings: Settings, database: Database | None = None) -> FastAPI:
    """Build the application; it opens and closes the database itself.

    Args:
        settings: The validated settings.
        database: Where signals go; None takes `database.dsn` of the settings (the schema must be there).
    """
    if database is None:
        dsn = settings.database.dsn
        database = Database(
            dsn.get_secret_value() if dsn else "",
            pool_size=settings.database.pool_size,
            wait_s=settings.database.wait_s,
        )
    store = database
    metrics = Metrics()
    log = CentralLog(store, settings.log_dir)
    keeper = LogKeeper(log, Witnesses(log, settings.log), settings.log, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        store.open()
        tasks = [asyncio.create_task(_keep_partitions(store)), asyncio.create_task(work_ahead(pages))]
        try:
            async with keeper.running():
                yield
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            store.close()

    app = FastAPI(
        title="hailong central service",
        version=VERSION,
        description="Takes signed signals from counters and shows them to supervisors.",
        lifespan=lifespan,
        docs_url=None,  # the usual viewers load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,  # served below, as every route with its action
    )
    app.state.log = keeper.log
    app.state.witnesses = keeper.witnesses
    policies()  # policies that do not fit their schema stop the start, not the first request
    accounts = Accounts(
        store, session_hours=settings.pages.session_hours, idle_minutes=settings.pages.idle_minutes
    )
    pages = Pages(settings, store, accounts, metrics)
    problems.install(app, metrics)
    access.install(app, pages)
    app.include_router(wire.build_router(settings, store, metrics, lambda: keeper.fault))
    app.include_router(log_wire.build_router(settings, keeper, pages, metrics))
    app.include_router(source_routes.build_router(settings, store))
    for part in (
        administration,
        sources,
        overview,
        counter_page,
        place_page,
        alerts,
        actions,
        comparison,
        calibration_page,
        open_data,
        imports,
        organisation,
        sampling,
        formula,
        reasons,
    ):
        app.include_router(part.build_router(pages))
    app.include_router(observers.build_router(pages, keeper.log))
    app.include_router(downloads.build_router(pages, keeper.log))
    app.include_router(privacy.build_router(pages, keeper))
    app.include_router(privacy_consents.build_router(pages, keeper))
    app.include_router(privacy_counters.build_router(pages))
    app.include_router(privacy_cases.build_router(pages))
    app.include_router(privacy_log.build_router(pages, keeper))
    app.include_router(privacy_exports.build_router(pages, keeper.log))
    app.include_router(receipts.build_router(pages, keeper))
    app.include_router(published_keys.build_router(keeper))
    _add_static(app)
    app.add_middleware(Compression)
    app.add_middleware(
        Shield,
        large={
            "/v1/batches": settings.ingest.max_body_bytes,
            "/v1/log": settings.log.max_body_bytes,
            source_routes.PATH: settings.sources.max_body_bytes,
            "/imports": settings.pages.max_upload_bytes,
            "/organisation": settings.pages.max_upload_bytes,
            "/organisation/transactions": settings.pages.max_upload_bytes,
        },
        body_timeout_s=settings.server.body_timeout_s,
    )
    _complete_schema(app)
    return app


async def _keep_partitions(database: Database) -> None:
    """Create next month's partition in time, for as long as the service runs."""
    while True:
        await asyncio.sleep(_PARTITION_CHECK_S)
        try:
            await asyncio.to_thread(database.create_partitions_ahead)
        except DatabaseUnavailable as error:
            _log.error("partitions not created ahead", reason=str(error))


def _add_static(app: FastAPI) -> None:
    style = files("api.pages").joinpath("style.css").read_bytes()
    icon = files("api.pages").joinpath("icon.svg").read_bytes()

    part = [Depends(open_to_all(Action.LOAD_PAGE_PARTS))]

    @app.get("/style.css", include_in_schema=False, dependencies=part)
    async def style_sheet() -> Response:
        return Response(style, media_type="text/css", headers=_CACHE)

    @app.get("/icon.svg", include_in_schema=False, dependencies=part)
    async def page_icon() -> Response:
        return Response(icon, media_type="image/svg+xml", headers=_CACHE)

    @app.get(
        "/v1/openapi.json", include_in_schema=False, dependencies=[Depends(open_to_all(Action.WATCH_SERVICE))]
    )
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())


def _complete_schema(app: FastAPI) -> None:
    """Add the documents that are read by hand (raw body) or written by handlers (problems)."""
    plain = app.openapi

    def openapi() -> dict[str, object]:
        schema = plain()
        models = schema.setdefault("components", {}).setdefault("schemas", {})
        for model in (
            wire.BatchDocument,
            wire.Problem,
            log_wire.LogPartDocument,
            log_wire.LogQuestionDocument,
            source_routes.BallotDocumentBody,
        ):
            document = model.model_json_schema(ref_template="#/components/schemas/{model}")
            models |= document.pop("$defs", {})
            models[model.__name__] = document
        schema["components"]["schemas"] = dict(sorted(models.items()))
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema
