"""Ballots over HTTP from the systems in which people gave them: `/v1/ballot-imports`."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Header, Query, Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from api.authorization import Action
from api.database import Database
from api.errors import DocumentUnreadable, ImportedBefore, ImportRunning, Refused, TableRefused
from api.guards import proven
from api.language import gettext_of, language_asked
from api.settings import Settings
from api.survey.channels import Channel
from api.survey.deliveries import CSV, JSON, XLSX, ChannelNotOwn, Pace, Sent, take_delivery
from api.survey.import_reports import BallotImportAnswer, kept_answer
from api.survey.questionnaire import DEFAULT
from api.survey.source_systems import SourceSystem, authenticated
from api.wire import problems_of

PATH: Final = "/v1/ballot-imports"
_TURN_S: Final = 20.0
"""How long a body waits for those before it: one is read at a time, so that memory stays bounded."""
_TOKEN: Final = HTTPBearer(
    auto_error=False, scheme_name="sourceSystem", description="The token of a source system."
)
_STATUS: Final = (
    (DocumentUnreadable, HTTPStatus.BAD_REQUEST, "not-json"),
    (ChannelNotOwn, HTTPStatus.FORBIDDEN, "channel-not-own"),
    (ImportedBefore, HTTPStatus.CONFLICT, "imported-before"),
    (ImportRunning, HTTPStatus.SERVICE_UNAVAILABLE, "import-running"),
    (TableRefused, HTTPStatus.UNPROCESSABLE_ENTITY, "table-refused"),
)
"""What an error is answered with: the first that fits."""
_EXAMPLE: Final[dict[str, Any]] = {
    "channel": "online",
    "questionnaire": DEFAULT,
    "ballots": [
        {
            "day": "2026-03-04",
            "unit": "mc-giang-vo",
            "transaction": "H29.000123",
            "access.seats": 4,
            "officer.manner": "Rất hài lòng",
        }
    ],
}
_CSV_EXAMPLE: Final = (
    "day;unit;channel;transaction;access.seats;officer.manner\n"
    "2026-03-04;mc-giang-vo;online;H29.000123;4;RHL\n"
)
_log: Final = structlog.get_logger("api.survey")


class BallotObject(BaseModel):
    """One ballot: the columns of files as fields, and one field for each criterion by its code."""

    model_config = ConfigDict(extra="allow")

    day: Annotated[str, Field(description="2026-12-31 or 31/12/2026.")]
    unit: Annotated[str | None, Field(description="Code that was valid on that day; or `counter`.")] = None
    counter: str | None = None
    channel: Annotated[Channel | None, Field(description="Where it is not that of the document.")] = None
    transaction: Annotated[
        str | None, Field(description="Needed but on paper; only a keyed digest is kept; counts once.")
    ] = None
    procedure: str | None = None
    feedback: Annotated[bool | None, Field(description="Whether the person gave feedback.")] = None
    __pydantic_extra__: dict[str, int | str | None]


class BallotDocumentBody(BaseModel):
    """Ballots of one questionnaire."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    channel: Annotated[
        Channel | None, Field(description="Of ballots that name none; a token of one channel needs none.")
    ] = None
    questionnaire: str = DEFAULT
    ballots: Annotated[list[BallotObject], Field(min_length=1)]


def build_router(settings: Settings, database: Database) -> APIRouter:
    """Return the routes for source systems."""
    router = APIRouter()
    pace = Pace(settings.sources.imports_a_minute)
    turn = asyncio.Lock()

    @router.post(
        PATH,
        dependencies=[Depends(proven(Action.SUBMIT_BALLOTS))],
        summary="Take ballots of other channels; good rows are kept, bad ones named",
        responses=problems_of(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
        openapi_extra={"requestBody": {"required": True, "content": _content()}},
    )
    async def bring(  # noqa: PLR0917 - FastAPI passes parameters by name
        request: Request,
        response: Response,
        token: Annotated[HTTPAuthorizationCredentials | None, Security(_TOKEN)],
        content_type: Annotated[str, Header(max_length=200, include_in_schema=False)] = "",
        content_encoding: Annotated[str, Header(max_length=100, include_in_schema=False)] = "",
        accept_language: Annotated[str, Header(max_length=400, description="Reasons in `vi` or `en`.")] = "",
        channel: Annotated[
            Channel | None, Query(description="Of rows that name none, in CSV and XLSX.")
        ] = None,
        questionnaire: Annotated[
            str, Query(max_length=40, description="Version that CSV and XLSX answer.")
        ] = DEFAULT,
        *,
        trial: Annotated[bool, Query(description="Only say what would become of it.")] = False,
    ) -> BallotImportAnswer:
        source = await run_in_threadpool(_source, database, token, Action.SUBMIT_BALLOTS)
        language = language_asked(accept_language, settings.pages.language)
        media_type = _media_type(content_type, content_encoding)
        if not pace.allows(source.id, time.monotonic()):
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too-many-imports",
                f"a system sends at most {settings.sources.imports_a_minute} bodies a minute: put more "
                "ballots into one, and send it in a minute",
            )
        with tempfile.NamedTemporaryFile(prefix="hailong-ballots-") as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
            file.flush()
            sent = Sent(Path(file.name), media_type, channel, questionnaire, trial)
            async with _its_turn(turn):
                done = await run_in_threadpool(_taken, database, source, sent, settings.log_dir, language)
        _log.info(
            "ballots brought", source=source.name, state=done.state, kept=done.kept, refused=done.refused
        )
        response.headers.update(_of_language(language))
        return done

    @router.get(
        PATH + "/{import_id}",
        dependencies=[Depends(proven(Action.READ_OWN_IMPORTS))],
        summary="Tell what became of an import of one's own",
        responses=problems_of(401, 404, 422, 503),
    )
    def own(
        import_id: UUID,
        response: Response,
        token: Annotated[HTTPAuthorizationCredentials | None, Security(_TOKEN)],
        accept_language: Annotated[str, Header(max_length=400, description="Reasons in `vi` or `en`.")] = "",
    ) -> BallotImportAnswer:
        source = _source(database, token, Action.READ_OWN_IMPORTS)
        language = language_asked(accept_language, settings.pages.language)
        found = kept_answer(database, import_id, source.actor, language, state="imported")
        if found is None:
            raise Refused(
                HTTPStatus.NOT_FOUND, "no-such-import", "this system has brought no such import: check the id"
            )
        response.headers.update(_of_language(language))
        return found

    return router


def _source(database: Database, token: HTTPAuthorizationCredentials | None, action: Action) -> SourceSystem:
    return authenticated(database, token.credentials if token else None, action)


def _taken(
    database: Database, source: SourceSystem, sent: Sent, data_folder: Path, language: str
) -> BallotImportAnswer:
    try:
        return take_delivery(database, source, sent, data_folder=data_folder, language=language)
    except TableRefused as error:
        status, kind = next((status, kind) for type_, status, kind in _STATUS if isinstance(error, type_))
        detail = gettext_of(language)(error.text).format(**error.values)
        raise Refused(status, kind, detail) from error


@contextlib.asynccontextmanager
async def _its_turn(turn: asyncio.Lock) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_TURN_S):
            await turn.acquire()
    except TimeoutError:
        raise Refused(
            HTTPStatus.SERVICE_UNAVAILABLE, "import-running", "other ballots are being read: send these again"
        ) from None
    try:
        yield
    finally:
        turn.release()


def _media_type(content_type: str, content_encoding: str) -> str:
    """Return which of our forms a body says it has.

    Raises:
        Refused: 415, another one, or packed.
    """
    said = Message()
    said["Content-Type"] = content_type
    found = said.get_content_type()
    if not content_type or found not in {JSON, CSV, XLSX}:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unknown-form",
            f"send ballots as {JSON}, {CSV} or {XLSX}, and say so in Content-Type",
        )
    if content_encoding.strip().casefold() not in {"", "identity"}:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "packed", "send the body unpacked, without Content-Encoding"
        )
    return found


def _of_language(language: str) -> dict[str, str]:
    return {"Content-Language": language, "Vary": "Accept-Language"}


def _content() -> dict[str, Any]:
    return {
        JSON: {
            "schema": {"$ref": "#/components/schemas/BallotDocumentBody"},
            "example": _EXAMPLE,
        },
        CSV: {"schema": {"type": "string"}, "example": _CSV_EXAMPLE},
        XLSX: {"schema": {"type": "string", "format": "binary"}},
    }
