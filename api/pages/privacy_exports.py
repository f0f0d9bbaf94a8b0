"""Exports that a privacy officer takes away: a search or one consent, signed, and told of in the log."""

from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response

from api.access_log import record_read
from api.accounts import Login
from api.authorization import Action
from api.central_log import CentralLog
from api.consent_document import consent_document
from api.errors import ExportRefused
from api.exports import MOST_ROWS, Sealed, as_csv, as_json, export_signer, found_consents, past_exports, seal
from api.pages import consent_words as words
from api.pages.access import NOT_SEEN, PageRefused, allowed, personal
from api.pages.privacy_consents import Asked
from api.pages.rendering import Pages, no_op
from api.trends import visible_counters
from consent.errors import ConsentError, UnknownRecord
from consent.forms import Form, written
from consent.notice import NoticeShelf
from consent.purpose import Purpose
from consent.record import Answer
from consent.state import State

_TOO_MANY: Final = no_op("The search finds too many consents for one file: narrow it by days or by counter.")
_NOT_MADE: Final = no_op("The document of this consent cannot be made: what its edge sent is not complete.")


def build_router(pages: Pages, log: CentralLog) -> APIRouter:
    """Return the routes of the exports."""
    router = APIRouter(include_in_schema=False)
    _add_page(router, pages, log)
    _add_search(router, pages, log)
    _add_record(router, pages, log)
    return router


def _add_page(router: APIRouter, pages: Pages, log: CentralLog) -> None:
    # What was taken away and by whom is in the log, and who reads the log may see it; taking needs more.
    reader = allowed(pages, Action.READ_LOG)

    @router.get("/privacy/exports")
    def exports(request: Request, login: Annotated[Login, Depends(reader)]) -> HTMLResponse:
        with pages.database.transaction() as connection:
            past = past_exports(connection)
        published = NoticeShelf.load().published()
        return pages.render(
            request,
            "privacy_exports.html",
            login=login,
            here="exports",
            past=past,
            vkey=export_signer(log).vkey(),
            most=MOST_ROWS,
            words=words,
            counters=[item.code for item in visible_counters(pages.database, login.account)],
            versions=sorted({item.version for item in published}),
            notice_languages=sorted({item.language for item in published}),
            states=list(State),
            purposes=list(Purpose),
            answers=(Answer.GIVEN, Answer.REFUSED, Answer.OPEN),
        )


def _add_search(router: APIRouter, pages: Pages, log: CentralLog) -> None:
    taker = personal(pages, Action.EXPORT)

    @router.get("/privacy/exports/consents")
    def consents(
        login: Annotated[Login, Depends(taker)],
        asked: Annotated[Asked, Depends()],
        format: Annotated[str, Query(pattern="^(csv|json)$")] = "csv",  # noqa: A002 - the name in the address
    ) -> Response:
        question = urlencode([*asked.named(), ("format", format)])
        with pages.database.transaction() as connection:
            try:
                found = found_consents(connection, asked.filter())
            except ExportRefused as error:
                raise PageRefused(
                    HTTPStatus.UNPROCESSABLE_ENTITY, no_op("Not exported"), _TOO_MANY, login
                ) from error
            data = as_csv(found) if format == "csv" else as_json(found)
            sealed = seal(log, connection, f"consents.{format}", data, actor=login.account.name)
            record_read(connection, login, Action.EXPORT, question)
        return _download(sealed)


def _add_record(router: APIRouter, pages: Pages, log: CentralLog) -> None:
    taker = personal(pages, Action.EXPORT)

    @router.get("/privacy/consents/{record_id}/export")
    def record(
        request: Request,
        record_id: UUID,
        login: Annotated[Login, Depends(taker)],
        format: Form = Form.JSONLD,  # noqa: A002 - the name in the address
    ) -> Response:
        with pages.database.transaction() as connection:
            try:
                document = consent_document(connection, record_id)
                data = written(document, format, pages.language_of(request))
            except UnknownRecord as error:
                raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login) from error
            except ConsentError as error:
                raise PageRefused(
                    HTTPStatus.UNPROCESSABLE_ENTITY, no_op("Not exported"), _NOT_MADE, login
                ) from error
            name = f"consent-{record_id}.{format.value}"
            sealed = seal(log, connection, name, data, actor=login.account.name, record_id=record_id)
            about = f"{record_id} {format.value}"
            record_read(connection, login, Action.EXPORT, about, record_id=record_id)
        return _download(sealed)


def _download(sealed: Sealed) -> Response:
    return Response(
        sealed.folder(),
        media_type="application/zip",
        headers={
            "Content-Disposition": f'attachment; filename="{sealed.name}.zip"',
            "Cache-Control": "no-store",
        },
    )
