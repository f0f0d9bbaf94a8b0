"""The organisation as it was on a day, node by node; files of the tree and of completed transactions."""

import contextlib
import csv
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, File, Request, UploadFile
from fastapi.responses import RedirectResponse, Response

from api.accounts import Login
from api.authorization import Action
from api.errors import CaseRefused, KeysUnusable
from api.organisation.records import counters_below, kept_files
from api.organisation.transactions import import_transactions
from api.organisation.tree import BEGINNING, OPEN, Level, Node, history_of, tree_of
from api.organisation.tree_import import COLUMNS, OrganisationImport, import_tree
from api.pages.access import allowed, check_form
from api.pages.administration import Text
from api.pages.rendering import Pages, no_op
from api.pages.tried_files import Sent, TriedFiles, take
from api.pages.uploads import MOST_SHOWN, said
from api.trends import local_today

FORM_NAME: Final = "form"
"""Name of the file of one row that a change on the page is."""
_FIELDS: Final = tuple(column.name for column in COLUMNS)
KIND_NAMES: Final = {"tree": no_op("tree"), "transactions": no_op("completed transactions")}


@dataclass(frozen=True, slots=True)
class Again:
    """A file that was tried and may be taken now.

    Attributes:
        address: Where it is taken.
        token: What it is asked for with.
    """

    address: str
    token: str


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of the organisation."""
    router = APIRouter(include_in_schema=False)
    viewer = allowed(pages, Action.VIEW_ORGANISATION)
    changer = allowed(pages, Action.CHANGE_ORGANISATION)
    importer = allowed(pages, Action.IMPORT_TRANSACTIONS)
    tried_trees, tried_transactions = TriedFiles(), TriedFiles()

    def show(
        request: Request,
        login: Login,
        *,
        fault: str = "",
        done: OrganisationImport | None = None,
        name: str = "",
        again: Again | None = None,
        typed: Mapping[str, str] | None = None,
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
            again=again,
            typed=typed if typed is not None else _typed(tree.nodes.get(code), tree.levels),
            edited=typed is not None,
            faults=[(item, item.message(language)) for item in done.faults[:MOST_SHOWN]] if done else [],
            hidden=max(0, len(done.faults) - MOST_SHOWN) if done else 0,
        )

    @router.get("/organisation")
    def organisation_page(request: Request, login: Annotated[Login, Depends(viewer)]) -> Response:
        return show(request, login)

    @router.post("/organisation")
    def take_tree(  # noqa: PLR0917 - FastAPI passes the form's fields by name
        request: Request,
        login: Annotated[Login, Depends(changer)],
        file: Annotated[UploadFile | None, File()] = None,
        csrf: Text = "",
        trial: Text = "",
        tried: Text = "",
    ) -> Response:
        check_form(login, csrf)
        account = login.account.name

        try:
            taken = take(
                Sent(file, tried, bool(trial), account),
                tried_trees,
                _tree_importer(pages, account, trial=bool(trial)),
            )
        except CaseRefused as error:
            return show(request, login, fault=said(error, pages.language_of(request)))
        again = Again("/organisation", taken.token)
        return show(request, login, done=taken.done, name=taken.name, again=again)

    @router.post("/organisation/place")
    def change_place(  # noqa: PLR0917 - FastAPI passes the form's fields by name
        request: Request,
        login: Annotated[Login, Depends(changer)],
        csrf: Text = "",
        code: Text = "",
        level: Text = "",
        name_vi: Text = "",
        name_en: Text = "",
        parent: Text = "",
        valid_from: Text = "",
        valid_until: Text = "",
        successor: Text = "",
    ) -> Response:
        check_form(login, csrf)
        cells = (code, level, name_vi, name_en, parent, valid_from, valid_until, successor)
        typed = dict(zip(_FIELDS, (" ".join(cell.split()) for cell in cells), strict=True))
        try:
            with _row_file(typed) as path:
                done = import_tree(pages.database, path, actor=login.account.name, file_name=FORM_NAME)
        except CaseRefused as error:
            return show(request, login, fault=said(error, pages.language_of(request)), typed=typed)
        if not done.kept:
            return show(request, login, done=done, name=typed["code"], typed=typed)
        where = urlencode({"node": typed["code"] if typed["level"] != "counter" else typed["parent"]})
        return RedirectResponse(f"/organisation?{where}", status_code=HTTPStatus.SEE_OTHER)

    @router.post("/organisation/transactions")
    def take_transactions(  # noqa: PLR0917 - FastAPI passes the form's fields by name
        request: Request,
        login: Annotated[Login, Depends(importer)],
        file: Annotated[UploadFile | None, File()] = None,
        csrf: Text = "",
        trial: Text = "",
        tried: Text = "",
    ) -> Response:
        check_form(login, csrf)
        account = login.account.name

        try:
            taken = take(
                Sent(file, tried, bool(trial), account),
                tried_transactions,
                _transactions_importer(pages, account, trial=bool(trial)),
            )
        except (CaseRefused, KeysUnusable) as error:
            return show(request, login, fault=said(error, pages.language_of(request)))
        again = Again("/organisation/transactions", taken.token)
        return show(request, login, done=taken.done, name=taken.name, again=again)

    return router


def _day(text: str | None) -> date:
    """Return the day that was asked for, today for anything that is none."""
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return local_today()


def _tree_importer(pages: Pages, account: str, *, trial: bool) -> Callable[[Path, str], OrganisationImport]:
    return lambda path, name: import_tree(pages.database, path, actor=account, trial=trial, file_name=name)


def _transactions_importer(
    pages: Pages, account: str, *, trial: bool
) -> Callable[[Path, str], OrganisationImport]:
    return lambda path, name: import_transactions(
        pages.database,
        path,
        actor=account,
        data_folder=pages.settings.log_dir,
        trial=trial,
        file_name=name,
    )


def _typed(node: Node | None, levels: Iterable[Level]) -> dict[str, str]:
    """Return the fields of the form: those of the place on the page, or of a new one."""
    if node is None:
        return dict.fromkeys(_FIELDS, "") | {"level": next((level.code for level in levels), "")}
    return {
        "code": node.code,
        "level": node.level,
        "name_vi": node.name_vi,
        "name_en": node.name_en,
        "parent": node.parent or "",
        "valid_from": "" if node.valid_from == BEGINNING else node.valid_from.isoformat(),
        "valid_until": "" if node.valid_until == OPEN else node.valid_until.isoformat(),
        "successor": node.successor or "",
    }


@contextlib.contextmanager
def _row_file(cells: Mapping[str, str]) -> Iterator[Path]:
    """Write one row as a file of the tree, so that a form is read, refused and logged as files are."""
    with tempfile.TemporaryDirectory(prefix="hailong-row-") as folder:
        path = Path(folder) / "row.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=";")
            writer.writerow(_FIELDS)
            writer.writerow([cells[field] for field in _FIELDS])
        yield path
