"""Open data for everybody, and the page on which the privacy officer spends the budget of noise."""

import re
from dataclasses import dataclass
from datetime import date
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.accounts import Login
from api.authorization import Action
from api.database import Database
from api.figure_files import as_csv, as_package
from api.guards import open_to_all
from api.language import decimal_text, gettext_of, month_text
from api.open_data import COLUMNS, offered, open_month, open_rows, opened, values_of
from api.pages.access import PageRefused, allowed, check_form
from api.pages.rendering import Pages, no_op
from api.privacy_budget import PrivateRelease
from api.register import Register, register_of
from api.schema import next_month
from api.statistics.private_release import LIMIT_MILLI, BudgetSpent, Mechanism, ReleaseInvalid
from api.trends import local_today
from api.wire import SESSION_COOKIE

PRICES_MILLI: Final = (1000, 500, 250)
"""ε of a release, in thousandths."""
_MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")
_FILE: Final = re.compile(r"([a-z0-9-]{1,40})\.csv")
_MILLI: Final = 1000
_SPENT: Final = no_op("The month has too little left for this price: choose a smaller one.")
_UNMADE: Final = no_op("Nothing was released: the month is not over, or has no figures of this level.")
_UNSURE: Final = no_op("Nothing was released: tick that you know it cannot be taken back.")
Field = Annotated[str, Form(max_length=100)]


@dataclass(frozen=True, slots=True)
class ReleaseText:
    """A private release, worded."""

    key: str
    level: str
    level_name: str
    epsilon: str
    noise: str
    rows: int
    fewest: int
    entry: int

    @property
    def address(self) -> str:
        """Where its file is."""
        return f"/open-data/{self.key}/{self.level}.csv"


@dataclass(frozen=True, slots=True)
class MonthText:
    """A month with its budget, worded."""

    key: str
    text: str
    limit: str
    spent: str
    left: str
    releases: tuple[ReleaseText, ...]


@dataclass(frozen=True, slots=True)
class PriceText:
    """A price that can be chosen."""

    milli: int
    epsilon: str
    fewest: int


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of open data and of its budget."""
    router = APIRouter(include_in_schema=False)
    _add_open(router, pages)
    _add_budget(router, pages)
    return router


def _add_open(router: APIRouter, pages: Pages) -> None:
    part = [Depends(open_to_all(Action.READ_OPEN_DATA))]

    @router.get("/open-data", dependencies=part)
    def open_page(request: Request) -> HTMLResponse:
        login = pages.accounts.login_of(request.cookies.get(SESSION_COOKIE))
        return pages.render(
            request,
            "open_data.html",
            login=login,
            here="open-data",
            months=_months(pages.database, pages.language_of(request)),
            columns=COLUMNS,
        )

    @router.get("/open-data/datapackage.json", dependencies=part)
    def package() -> Response:
        found = [
            (f"{release.charge.month}/{release.charge.level}.csv", COLUMNS)
            for month in opened(pages.database)
            for release in month.releases
        ]
        data = as_package("hailong-open-data", "hailong", found)
        return Response(data, media_type="application/json")

    @router.get("/open-data/{month}/{name}", dependencies=part)
    def file(month: str, name: str) -> Response:
        found = _release(pages.database, month, name)
        if found is None:
            raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), no_op("There is no such open data."))
        rows = open_rows(found, _register(pages.database, found.charge.month))
        return Response(
            as_csv(COLUMNS, map(values_of, rows)),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="hailong-open-{month}-{name}"'},
        )


def _add_budget(router: APIRouter, pages: Pages) -> None:
    reader = allowed(pages, Action.VIEW_NOISE_BUDGET)
    spender = allowed(pages, Action.SPEND_NOISE_BUDGET)

    def show(request: Request, login: Login, fault: str = "") -> HTMLResponse:
        language = pages.language_of(request)
        with pages.database.transaction() as connection:
            months = offered(connection, local_today())
        return pages.render(
            request,
            "noise_budget.html",
            login=login,
            here="budget",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            fault=gettext_of(language)(fault) if fault else "",
            limit=_epsilon(LIMIT_MILLI, language),
            months=_months(pages.database, language),
            offered=[(f"{month:%Y-%m}", month_text(month, language)) for month, _ in months],
            levels=_levels(pages.database, {level for _, found in months for level in found}, language),
            prices=[_price(milli, language) for milli in PRICES_MILLI],
        )

    @router.get("/privacy/budget")
    def budget(request: Request, login: Annotated[Login, Depends(reader)]) -> HTMLResponse:
        return show(request, login)

    @router.post("/privacy/budget")
    def spend(  # noqa: PLR0917 - FastAPI passes the form's fields by name
        request: Request,
        login: Annotated[Login, Depends(spender)],
        csrf: Field = "",
        month: Field = "",
        level: Field = "",
        price: Field = "",
        sure: Field = "",
    ) -> Response:
        check_form(login, csrf)
        first = _first_day(month)
        if first is None or price not in {str(milli) for milli in PRICES_MILLI}:
            return show(request, login, _UNMADE)
        if not sure:
            return show(request, login, _UNSURE)
        try:
            open_month(
                pages.database,
                first,
                level,
                Mechanism(int(price)),
                disclosure=pages.disclosure(),
                actor=login.account.name,
            )
        except BudgetSpent:
            return show(request, login, _SPENT)
        except ReleaseInvalid:
            return show(request, login, _UNMADE)
        return RedirectResponse("/privacy/budget", status_code=HTTPStatus.SEE_OTHER)


def _first_day(month: str) -> date | None:
    found = _MONTH.fullmatch(month)
    return date(int(found[1]), int(found[2]), 1) if found else None


def _release(database: Database, month: str, name: str) -> PrivateRelease | None:
    found = _FILE.fullmatch(name)
    if found is None:
        return None
    releases = (release for each in opened(database) if each.month == month for release in each.releases)
    return next((release for release in releases if release.charge.level == found[1]), None)


def _register(database: Database, month: str) -> Register:
    first = _first_day(month) or local_today()
    return register_of(database, min(local_today(), next_month(first)))


def _levels(database: Database, codes: set[str], language: str) -> list[tuple[str, str]]:
    known = register_of(database, local_today()).levels
    at = 1 if language == "en" else 0
    whole = gettext_of(language)(no_op("Everywhere"))
    return [(code, whole if code == "all" else known.get(code, (code, code))[at]) for code in sorted(codes)]


def _months(database: Database, language: str) -> list[MonthText]:
    found = opened(database)
    codes = {release.charge.level for month in found for release in month.releases}
    names = dict(_levels(database, codes, language))
    texts = []
    for month in found:
        first = _first_day(month.month)
        texts.append(
            MonthText(
                month.month,
                month.month if first is None else month_text(first, language),
                _epsilon(month.limit_milli, language),
                _epsilon(month.spent_milli, language),
                _epsilon(month.left_milli, language),
                tuple(
                    _release_text(release, names[release.charge.level], language)
                    for release in month.releases
                ),
            )
        )
    return texts


def _release_text(release: PrivateRelease, level: str, language: str) -> ReleaseText:
    charge = release.charge
    mechanism = Mechanism(charge.epsilon_milli, release.most_ballots)
    return ReleaseText(
        charge.month,
        charge.level,
        level,
        _epsilon(charge.epsilon_milli, language),
        str(mechanism.p95_ballots()),
        len(release.rows),
        mechanism.fewest(),
        release.index,
    )


def _price(milli: int, language: str) -> PriceText:
    return PriceText(milli, _epsilon(milli, language), Mechanism(milli).fewest())


def _epsilon(milli: int, language: str) -> str:
    return decimal_text(f"{milli / _MILLI:g}", language)
