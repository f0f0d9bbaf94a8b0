"""Errors as problem documents (RFC 9457), for every path of the service."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.errors import DatabaseUnavailable, KeysUnusable, LogDamaged, Refused, TokenRefused
from api.metrics import Metrics

MEDIA_TYPE: Final = "application/problem+json"
_RETRY_AFTER_S: Final = {HTTPStatus.SERVICE_UNAVAILABLE: 5, HTTPStatus.TOO_MANY_REQUESTS: 60}
"""Limits of how much a system may send are by the minute."""
_log: Final = structlog.get_logger("api")


def problem(status: HTTPStatus, kind: str, detail: str, **extra: Any) -> JSONResponse:  # noqa: ANN401 - JSON values
    """Return a problem document."""
    headers = {"Retry-After": str(_RETRY_AFTER_S[status])} if status in _RETRY_AFTER_S else None
    content = {
        "type": f"urn:hailong:problem:{kind}",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "kind": kind,
        **extra,
    }
    return JSONResponse(content, status_code=int(status), headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI, metrics: Metrics) -> None:
    """Answer every error of the application with a problem document that repeats no input."""

    @app.exception_handler(Refused)
    def refused(_: Request, error: Refused) -> JSONResponse:
        metrics.refused.labels(error.kind).inc()
        if error.status == HTTPStatus.UNAUTHORIZED:
            metrics.auth_failures.labels("source" if isinstance(error, TokenRefused) else "edge").inc()
        _log.info("refused", kind=error.kind, status=int(error.status))
        answer = problem(error.status, error.kind, error.detail, **error.extra)
        if isinstance(error, TokenRefused):
            answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    @app.exception_handler(DatabaseUnavailable)
    def unavailable(_: Request, error: DatabaseUnavailable) -> JSONResponse:
        metrics.unavailable.inc()
        _log.error("database unavailable", reason=str(error))
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "database-unavailable", str(error))

    @app.exception_handler(LogDamaged)
    @app.exception_handler(KeysUnusable)
    def damaged(_: Request, error: LogDamaged | KeysUnusable) -> JSONResponse:
        _log.error("the log cannot be used", reason=str(error))
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "log-damaged", str(error))

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            {"where": ".".join(str(part) for part in item["loc"]), "fault": item["type"]}
            for item in error.errors()
        ]
        return problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "bad-request",
            "the request does not fit its schema",
            faults=faults,
        )

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        answer = problem(status, status.phrase.lower().replace(" ", "-"), str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    def unexpected(_: Request, error: Exception) -> JSONResponse:
        _log.error("unexpected error", error=type(error).__name__, exc_info=error)
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal-error",
            "the service made an error; nothing was acknowledged",
        )
