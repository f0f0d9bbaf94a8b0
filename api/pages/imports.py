"""Ballots from files: the list of imports, a form for a new one, withdrawal; answers in JSON where asked."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, File, Request, UploadFile
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, Response

from api.accounts import Login
from api.authorization import Action
from api.errors import CaseRefused, KeysUnusable
from api.language import gettext_of
from api.pages.access import allowed, check_form
from api.pages.administration import Text
from api.pages.rendering import Pages, no_op
from api.pages.tried_files import Sent, TriedFiles, take
from api.pages.uploads import MOST_SHOWN, said
from api.survey.channels import CHANNEL_NAMES, IMPORTED, Channel
from api.survey.imports import (
    ImportResult,
    WithdrawalReason,
    document_of,
    import_ballots,
    list_imports,
    withdraw_import,
)
from api.survey.questionnaire import DEFAULT, questionnaires

WITHDRAWAL_NAMES: Final = {
    WithdrawalReason.WRONG_FILE: no_op("wrong file"),
    WithdrawalReason.WRONG_VALUES: no_op("wrong values"),
    WithdrawalReason.NOT_AUTHORISED: no_op("not authorised"),
    WithdrawalReason.OBSERVER_OBJECTED: no_op("an observer objected"),
}
_MESSAGES: Final = (
    no_op("The columns {first} and {second} are both '{title}': remove one of them."),
    no_op("The workbook is damaged: open it in the spreadsheet program, save it anew and repeat."),
    no_op("The workbook is too large: split it into several."),
    no_op("The workbook holds far more than its size says: copy its values into a new one and repeat."),
    no_op("The file cannot be read: {reason}."),
    no_op("This is an old Excel file, or one with a password: save it as .xlsx without one and repeat."),
    no_op("The file is empty."),
    no_op(
        "No header was found in the first {rows} rows: one row has to name at least the columns {columns}."
    ),
    no_op("The file has no column with a criterion of the questionnaire '{version}'."),
    no_op("There is no questionnaire '{version}': use one of {known}."),
    no_op("This very file was imported before, as {id}."),
    no_op("Another import of ballots runs: repeat this one in a moment."),
    no_op("There is no import {id} that could be withdrawn."),
)
"""What imports say to people, here for the catalogue."""


@dataclass(frozen=True, slots=True)
class Again:
    """A file that was tried and may be taken now, read in the same way.

    Attributes:
        token: What it is asked for with.
    """

    token: str
    channel: str
    questionnaire: str
    address: str = "/imports"


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of imports."""
    router = APIRouter(include_in_schema=False)
    viewer = allowed(pages, Action.VIEW_IMPORTS)
    importer = allowed(pages, Action.IMPORT_BALLOTS)
    withdrawer = allowed(pages, Action.WITHDRAW_IMPORT)
    tried_files = TriedFiles()

    def show(
        request: Request,
        login: Login,
        *,
        fault: str = "",
        done: ImportResult | None = None,
        gone: str = "",
        again: Again | None = None,
    ) -> Response:
        language = pages.language_of(request)
        at = 1 if language == "en" else 0
        return pages.render(
            request,
            "imports.html",
            login=login,
            here="imports",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            imports=list_imports(pages.database),
            channels=[(item.value, CHANNEL_NAMES[item][at]) for item in IMPORTED],
            versions=list(questionnaires()),
            default=DEFAULT,
            reasons=WITHDRAWAL_NAMES,
            fault=fault,
            done=done,
            gone=gone,
            again=again,
            faults=[(item, item.message(language)) for item in done.faults[:MOST_SHOWN]] if done else [],
            hidden=max(0, len(done.faults) - MOST_SHOWN) + done.faults_left_out if done else 0,
        )

    @router.get("/imports")
    def imports_page(request: Request, login: Annotated[Login, Depends(viewer)]) -> Response:
        return show(request, login)

    @router.post("/imports")
    def take_ballots(  # noqa: PLR0917 - FastAPI passes the form's fields by name
        request: Request,
        login: Annotated[Login, Depends(importer)],
        file: Annotated[UploadFile | None, File()] = None,
        csrf: Text = "",
        channel: Text = "",
        questionnaire: Text = DEFAULT,
        trial: Text = "",
        tried: Text = "",
    ) -> Response:
        check_form(login, csrf)
        as_json = "application/json" in request.headers.get("accept", "")
        language, account = pages.language_of(request), login.account.name
        into_database = _importer(pages, account, channel, questionnaire, trial=bool(trial))

        try:
            taken = take(Sent(file, tried, bool(trial), account), tried_files, into_database)
        except (CaseRefused, KeysUnusable) as error:
            fault = said(error, language)
            if as_json:
                document = {"kind": "table-refused", "detail": fault}
                return JSONResponse(document, HTTPStatus.UNPROCESSABLE_ENTITY)
            return show(request, login, fault=fault)
        if as_json:
            return JSONResponse(jsonable_encoder(document_of(taken.done, language)))
        return show(request, login, done=taken.done, again=Again(taken.token, channel, questionnaire))

    @router.post("/imports/withdraw")
    def withdraw(
        request: Request,
        login: Annotated[Login, Depends(withdrawer)],
        csrf: Text = "",
        number: Text = "",
        why: Text = "",
    ) -> Response:
        check_form(login, csrf)
        try:
            withdraw_import(pages.database, UUID(number), WithdrawalReason(why), actor=login.account.name)
        except CaseRefused as error:
            return show(request, login, fault=said(error, pages.language_of(request)))
        except ValueError:
            return show(
                request,
                login,
                fault=gettext_of(pages.language_of(request))(no_op("Choose an import and a reason.")),
            )
        return show(request, login, gone=number)

    return router


def _importer(
    pages: Pages, account: str, channel: str, questionnaire: str, *, trial: bool
) -> Callable[[Path, str], ImportResult]:
    return lambda path, name: import_ballots(
        pages.database,
        path,
        actor=account,
        data_folder=pages.settings.log_dir,
        channel=Channel(channel) if channel in IMPORTED else None,
        questionnaire=questionnaire,
        trial=trial,
        file_name=name,
    )
