"""Sampling plans: made before there is a seed, drawn once, and worked out again by whoever opens the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from api.accounts import Login
from api.authorization import Action
from api.errors import CaseRefused, TableRefused
from api.language import decimal_text
from api.organisation.rates import Response as Answered
from api.organisation.rates import response_rates
from api.organisation.records import plan_lines
from api.organisation.sampling import Method, draw_sample, find_plan, plan_sample, verify_sample
from api.organisation.tree import UNIT_LEVEL, Period, levels_of, tree_of
from api.pages.access import allowed, check_form
from api.pages.administration import Text
from api.pages.rendering import Pages, no_op
from api.pages.uploads import said
from api.spreadsheets.cells import CellError, code_of

METHOD_NAMES: Final = {
    Method.PROPORTIONAL: no_op("in proportion to the transactions of each unit"),
    Method.EQUAL: no_op("the same number in each unit"),
}
PlanName = Annotated[str, Path(max_length=64, pattern=r"^[^\x00]*$")]  # PostgreSQL keeps no NUL
MOST_WANTED: Final = 1_000_000
_INCOMPLETE: Final = no_op(
    "State a name (lower-case letters, digits, '-'), a first and a last day, and the size of the "
    "sample of at least one level."
)
_MESSAGES: Final = (
    no_op("There is a sampling plan '{name}' already: choose another name."),
    no_op("Level '{level}' has no transaction that could be drawn: import transaction numbers first."),
    no_op("A seed has at least {shortest} characters."),
    no_op("The sample of '{name}' was drawn before: a plan is drawn once."),
    no_op("The transactions of '{name}' are not the ones that were planned with: make a new plan."),
    no_op("There is no sampling plan '{name}'."),
    no_op("the plan is not the one in the log"),
    no_op("the eligible transactions are not the ones that were planned with"),
    no_op("the allocation is not the one that the frame gives"),
    no_op("the sample is not the one that the seed draws"),
    no_op("seed or sample are not the ones in the log"),
    no_op("there is a sample without a draw"),
)
"""What samples say to people, here for the catalogue."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The form of a plan, read."""

    name: str
    period: Period
    sizes: Mapping[str, int]
    method: Method
    minimum: int


def build_router(pages: Pages) -> APIRouter:  # noqa: C901 - a list of short routes, not one function
    """Return the routes of samples."""
    router = APIRouter(include_in_schema=False)
    viewer = allowed(pages, Action.VIEW_PROOFS)
    drawer = allowed(pages, Action.DRAW_SAMPLES)

    def show(request: Request, login: Login, *, fault: str = "") -> Response:
        language = pages.language_of(request)
        with pages.database.transaction() as connection:
            plans = plan_lines(connection)
            levels = [level for level in levels_of(connection) if level.code != UNIT_LEVEL]
        return pages.render(
            request,
            "samples.html",
            login=login,
            here="samples",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            plans=plans,
            levels=[(level.code, level.name_en if language == "en" else level.name_vi) for level in levels],
            methods=METHOD_NAMES,
            most=MOST_WANTED,
            fault=fault,
        )

    def show_plan(request: Request, login: Login, name: str, *, fault: str = "") -> Response:
        language = pages.language_of(request)
        with pages.database.transaction() as connection:
            plan = find_plan(connection, name)
            (line,) = [item for item in plan_lines(connection) if item.name == name]
            answered = {item.unit: item for item in response_rates(connection, name)}
            tree = tree_of(connection, line.last)
        return pages.render(
            request,
            "sample.html",
            login=login,
            here="samples",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            plan=plan,
            line=line,
            answered=answered,
            rate=lambda item: _percent(item, language),
            total=Answered(
                "",
                sum(item.sampled for item in answered.values()),
                sum(item.answered for item in answered.values()),
            ),
            names={code: node.name(language) for code, node in tree.nodes.items()},
            methods=METHOD_NAMES,
            check=verify_sample(pages.database, name),
            fault=fault,
        )

    @router.get("/samples")
    def samples_page(request: Request, login: Annotated[Login, Depends(viewer)]) -> Response:
        return show(request, login)

    @router.get("/samples/{name}")
    def sample_page(request: Request, login: Annotated[Login, Depends(viewer)], name: PlanName) -> Response:
        try:
            return show_plan(request, login, name)
        except TableRefused as error:
            heading, detail = no_op("Not found"), said(error, pages.language_of(request))
            return pages.message(request, HTTPStatus.NOT_FOUND, heading, detail, login)

    @router.post("/samples")
    def plan(  # noqa: PLR0917 - FastAPI passes the form's fields by name
        request: Request,
        login: Annotated[Login, Depends(drawer)],
        csrf: Text = "",
        name: Text = "",
        first: Text = "",
        last: Text = "",
        level: Annotated[list[str], Form(max_length=50)] = [],  # noqa: B006 - FastAPI copies it
        wanted: Annotated[list[str], Form(max_length=50)] = [],  # noqa: B006 - as above
        method: Text = Method.PROPORTIONAL.value,
        minimum: Text = "0",
    ) -> Response:
        check_form(login, csrf)
        try:
            asked = _asked(name, (first, last), dict(zip(level, wanted, strict=False)), (method, minimum))
            plan_sample(
                pages.database,
                asked.name,
                asked.period,
                asked.sizes,
                actor=login.account.name,
                method=asked.method,
                minimum=asked.minimum,
            )
        except CaseRefused as error:
            return show(request, login, fault=said(error, pages.language_of(request)))
        return RedirectResponse(f"/samples/{asked.name}", status_code=HTTPStatus.SEE_OTHER)

    @router.post("/samples/{name}/draw")
    def draw(
        request: Request,
        login: Annotated[Login, Depends(drawer)],
        name: PlanName,
        csrf: Text = "",
        seed: Text = "",
    ) -> Response:
        check_form(login, csrf)
        try:
            draw_sample(pages.database, name, seed.strip(), actor=login.account.name)
        except CaseRefused as error:
            fault = said(error, pages.language_of(request))
            try:
                return show_plan(request, login, name, fault=fault)
            except TableRefused:
                return pages.message(request, HTTPStatus.NOT_FOUND, no_op("Not found"), fault, login)
        return RedirectResponse(f"/samples/{name}", status_code=HTTPStatus.SEE_OTHER)

    return router


def _asked(name: str, days: tuple[str, str], sizes: Mapping[str, str], how: tuple[str, str]) -> _Asked:
    """Read the form of a plan.

    Raises:
        TableRefused: Something is missing, or is no code, day or number.
    """
    try:
        first, last = map(date.fromisoformat, days)
        found = {code: _count(text) for code, text in sizes.items() if text.strip()}
        period = Period(first, last + timedelta(days=1))
        asked = _Asked(code_of(name), period, found, Method(how[0]), _count(how[1]))
    except (ValueError, OverflowError, CellError) as error:
        raise TableRefused(_INCOMPLETE) from error
    if not found:
        raise TableRefused(_INCOMPLETE)
    return asked


def _count(text: str) -> int:
    found = int(text)
    if not 0 <= found <= MOST_WANTED:
        raise ValueError
    return found


def _percent(item: Answered, language: str) -> str:
    return "–" if item.rate is None else decimal_text(f"{100 * item.rate:.1f}", language) + "%"  # noqa: RUF001 - the dash of none
