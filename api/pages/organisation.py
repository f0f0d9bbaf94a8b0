"""The organisation as it was on a day, node by node; files of the tree and of completed transactions."""

from datetime import date
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, File, Request, UploadFile
from fastapi.responses import Response

from api.accounts import Login
from api.authorization import Action
from api.errors import CaseRefused, KeysUnusable
from api.organisation.records import counters_below, kept_files
from api.organisation.transactions import import_transactions
from api.organisation.tree import BEGINNING, OPEN, history_of, tree_of
from api.organisation.tree_import import OrganisationImport, import_tree
from api.pages.access import allowed, check_form
from api.pages.administration import Text
from api.pages.rendering import Pages, no_op
from api.pages.uploads import MOST_SHOWN, kept, said
from api.trends import local_today

KIND_NAMES: Final = {"tree": no_op("tree"), "transactions": no_op("completed transactions")}


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of the organisation."""
    router = APIRouter(include_in_schema=False)
    viewer = allowed(pages, Action.VIEW_ORGANISATION)
    changer = allowed(pages, Action.CHANGE_ORGANISATION)
    importer = allowed(pages, Action.IMPORT_TRANSACTIONS)

    def show(
        request: Request,
        login: Login,
        *,
        fault: str = "",
        done: OrganisationImport | None = None,
        name: str = "",
    ) -> Response:
        language = pages.language_of(request)
        day = _day(request.query_params.get("day"))
        code = request.query_params.get("node", "")[:64].replace("\0", "")  # PostgreSQL keeps no NUL
        with pages.database.transaction() as connection:
            tree = tree_of(connection, day)
            history = history_of(connection, code)
        levels = {level.code: level.name_en if language == "en" else level.name_vi for level in tree.levels}
        return pages.render(
            request,
            "organisation.html",
            login=login,
            here="organisation",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            day=day,
            node=tree.nodes.get(code),
            way=tree.path(code),
            children=tree.children(code if code in tree.nodes else None),
            counters=sorted(counter for counter, unit in tree.counters.items() if unit == code),
            below=counters_below(tree),
            history=history,
            levels=levels,
            since=lambda item: None if item.valid_from == BEGINNING else item.valid_from,
            until=lambda item: None if item.valid_until == OPEN else item.valid_until,
            imports=kept_files(pages.database),
            kinds=KIND_NAMES,
            fault=fault,
            done=done,
            file_name=name,
            faults=[(item, item.message(language)) for item in done.faults[:MOST_SHOWN]] if done else [],
            hidden=max(0, len(done.faults) - MOST_SHOWN) if done else 0,
        )

    @router.get("/organisation")
    def organisation_page(request: Request, login: Annotated[Login, Depends(viewer)]) -> Response:
        return show(request, login)

    @router.post("/organisation")
    def take_tree(
        request: Request,
        login: Annotated[Login, Depends(changer)],
        file: Annotated[UploadFile | None, File()] = None,
        csrf: Text = "",
        trial: Text = "",
    ) -> Response:
        check_form(login, csrf)
        name = (file.filename or "") if file else ""
        try:
            with kept(file) as path:
                done = import_tree(
                    pages.database, path, actor=login.account.name, trial=bool(trial), file_name=name
                )
        except CaseRefused as error:
            return show(request, login, fault=said(error, pages.language_of(request)))
        return show(request, login, done=done, name=name)

    @router.post("/organisation/transactions")
    def take_transactions(
        request: Request,
        login: Annotated[Login, Depends(importer)],
        file: Annotated[UploadFile | None, File()] = None,
        csrf: Text = "",
        trial: Text = "",
    ) -> Response:
        check_form(login, csrf)
        name = (file.filename or "") if file else ""
        try:
            with kept(file) as path:
                done = import_transactions(
                    pages.database,
                    path,
                    actor=login.account.name,
                    data_folder=pages.settings.log_dir,
                    trial=bool(trial),
                    file_name=name,
                )
        except (CaseRefused, KeysUnusable) as error:
            return show(request, login, fault=said(error, pages.language_of(request)))
        return show(request, login, done=done, name=name)

    return router


def _day(text: str | None) -> date:
    """Return the day that was asked for, today for anything that is none."""
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return local_today()
