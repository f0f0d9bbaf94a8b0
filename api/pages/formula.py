"""The formula of the index: which version holds from when, with its reason, and a form for the next one."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from api.accounts import Login
from api.authorization import Action
from api.index.calibrations import kept_calibrations
from api.index.errors import IndexRefused
from api.index.formula import as_toml, built_in, choose, decide, decided_formulas, parse
from api.language import gettext_of
from api.pages.access import allowed, check_form
from api.pages.administration import Text
from api.pages.rendering import Pages, no_op
from api.schema import next_month
from api.survey.channels import CHANNEL_NAMES, Channel
from api.survey.questionnaire import questionnaire_of
from api.trends import local_today

SHORTEST_REASON: Final = 10
OVERALL_NAMES: Final = {
    "rating": no_op("the rating at the counter; weighted factors where a channel has a questionnaire"),
    "factors": no_op("the weighted factors everywhere"),
}
COMBINATION_NAMES: Final = {
    "ballots": no_op("channels count by their ballots"),
    "fixed": no_op("channels count by fixed weights"),
}

FormulaText = Annotated[str, Form(max_length=20_000, pattern=r"^[^\x00]*$")]


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of the formula."""
    router = APIRouter(include_in_schema=False)
    viewer = allowed(pages, Action.VIEW_PROOFS)
    decider = allowed(pages, Action.DECIDE_FORMULA)

    def show(
        request: Request,
        login: Login,
        *,
        fault: str = "",
        detail: str = "",
        text: str = "",
        entry: int | None = None,
    ) -> Response:
        language = pages.language_of(request)
        with pages.database.transaction() as connection:
            decided = decided_formulas(connection)
            calibrations = kept_calibrations(connection)
        kept = [item.formula for item in decided]
        newest, month = (
            max([built_in().version, *(item.version for item in kept)]),
            local_today().replace(day=1),
        )
        holding = choose(kept, month)
        draft = holding.model_copy(update={"version": newest + 1, "holds_from": next_month(month)})
        at = 1 if language == "en" else 0
        names = {
            item.code.value: item.en if language == "en" else item.vi
            for item in questionnaire_of("sipas-1").factors
        }
        return pages.render(
            request,
            "formula.html",
            login=login,
            here="formula",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            holding=holding,
            first=built_in(),
            decided=tuple(reversed(decided)),
            usable=sum(item.calibration.usable for item in calibrations),
            calibrations=len(calibrations),
            overall_names=OVERALL_NAMES,
            combination_names=COMBINATION_NAMES,
            factor_names=names,
            channel_names={item.value: CHANNEL_NAMES[item][at] for item in Channel},
            text=text or as_toml(draft),
            shortest=SHORTEST_REASON,
            fault=gettext_of(language)(fault) if fault else "",
            detail=detail,
            entry=entry,
        )

    @router.get("/formula")
    def formula_page(request: Request, login: Annotated[Login, Depends(viewer)]) -> Response:
        return show(request, login)

    @router.post("/formula")
    def decide_formula(
        request: Request,
        login: Annotated[Login, Depends(decider)],
        csrf: Text = "",
        document: FormulaText = "",
        reason: Text = "",
    ) -> Response:
        check_form(login, csrf)
        if len(reason.strip()) < SHORTEST_REASON:
            fault = no_op("State why the formula changes: the reason stands in the log.")
            return show(request, login, fault=fault, text=document)
        try:
            made = parse(document)
            entry = decide(pages.database, made, actor=login.account.name, reason=reason.strip())
        except IndexRefused as error:
            fault = no_op("This formula was not taken.")
            detail = gettext_of(pages.language_of(request))(error.text).format(**error.values)
            return show(request, login, fault=fault, detail=detail, text=document)
        return show(request, login, entry=entry)

    return router
