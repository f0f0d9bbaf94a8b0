"""Retention with what it removed, and the access log: who read what of whom, and why."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.access_log import OVERSIGHT, OWN_RECORD, Access, list_accesses, record_oversight
from api.accounts import Login
from api.authorization import Action, Role
from api.errors import CaseRefused
from api.language import gettext_of
from api.pages.access import allowed, check_form
from api.pages.administration import ROLE_NAMES
from api.pages.case_words import id_of, number_of, said, text_of
from api.pages.rendering import PURPOSE_NAMES, Pages, no_op
from api.retention import SCHEDULE, RetentionResult, central_retention, list_runs, load_rules

_ROWS: Final = 100
_LOOK_BACK: Final = 1000
_TICK_FIRST: Final = no_op("Read the list, tick the box, then press the button again.")
_NO_DAY: Final = no_op("write a day as day, month and year")
_DAYS_SWAPPED: Final = no_op("the first day lies after the last: swap them")
ACTION_NAMES: Final = {
    Action.READ_CONSENTS: no_op("listed consents"),
    Action.SEARCH_CONSENTS: no_op("searched consents"),
    Action.READ_CONSENT: no_op("opened one consent"),
    Action.WITHDRAW_FOR_CITIZEN: no_op("withdrew for a citizen"),
    Action.ERASE_RECORD: no_op("asked for an erasure"),
    Action.MANAGE_REQUESTS: no_op("opened requests"),
    Action.EXPORT: no_op("exported"),
    Action.READ_ACCESS_LOG: no_op("read this log"),
    Action.VIEW_OWN_RECEIPT: no_op("looked at the own record"),
}
CATEGORY_NAMES: Final = {
    "face-image": no_op("face image"),
    "voice-sample": no_op("voice sample"),
    "signal": no_op("signals of sessions"),
    "ballot": no_op("ballots"),
    "survey-ballot": no_op("ballots from files"),
    "figures": no_op("figures by counter"),
    "figures-area": no_op("figures by area"),
    "consent-record": no_op("consent records"),
    "access-log": no_op("access log"),
    "counter-action": no_op("notes on what was done at counters"),
    "alert": no_op("alerts"),
    "alert-message": no_op("messages of alerts"),
    "batch-receipt": no_op("digests of received entries"),
    "quarantine": no_op("entries that were set aside"),
    "login-session": no_op("logins"),
    "enrolment-token": no_op("enrolment tokens"),
    "data-request": no_op("requests, from their answer"),
    "breach-file": no_op("breach files, from their last day"),
}
_WHO: Final = {SCHEDULE: no_op("daily job"), "@command": no_op("command")}
_PURPOSES: Final = {purpose.value: name for purpose, name in PURPOSE_NAMES.items()} | {
    OVERSIGHT: no_op("oversight of the log"),
    OWN_RECORD: no_op("the citizen's own record"),
}
_ROLES: Final = {role.value: name for role, name in ROLE_NAMES.items()} | {
    Role.CITIZEN.value: no_op("citizen")
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the retention: the rules that ran together."""

    ran_at: datetime
    actor: str
    results: tuple[RetentionResult, ...]

    @property
    def removed(self) -> int:
        """How many things went."""
        return sum(result.removed for result in self.results)


def add_routes(router: APIRouter, pages: Pages) -> None:
    """Add the routes of retention and the access log."""
    _add_retention(router, pages)
    _add_accesses(router, pages)


def _add_retention(router: APIRouter, pages: Pages) -> None:
    viewer = allowed(pages, Action.VIEW_RETENTION)
    runner = allowed(pages, Action.RUN_RETENTION)

    @router.get("/privacy/retention")
    def retention_page(request: Request, login: Annotated[Login, Depends(viewer)]) -> HTMLResponse:
        retention = central_retention(pages.settings, pages.database)
        now = datetime.now(UTC)
        next_run = retention.next_run(now) if pages.settings.retention.daily else None
        return pages.render(
            request,
            "privacy_retention.html",
            login=login,
            here="retention",
            rules=load_rules(pages.settings.retention.days),
            runs=_runs(list_runs(pages.database, limit=_LOOK_BACK)),
            next_run=next_run,
            overdue=next_run is not None and next_run <= now,
            categories=CATEGORY_NAMES,
            who=_WHO,
        )

    def trial(request: Request, login: Login, fault: str = "") -> HTMLResponse:
        retention = central_retention(pages.settings, pages.database)
        return pages.render(
            request,
            "privacy_retention_run.html",
            login=login,
            here="retention",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            results=retention.run(trial=True),
            fault=gettext_of(pages.language_of(request))(fault) if fault else "",
            categories=CATEGORY_NAMES,
        )

    @router.get("/privacy/retention/run")
    def trial_page(request: Request, login: Annotated[Login, Depends(runner)]) -> HTMLResponse:
        return trial(request, login)

    @router.post("/privacy/retention/run")
    def run(
        request: Request,
        login: Annotated[Login, Depends(runner)],
        csrf: Annotated[str, Form()] = "",
        confirmed: Annotated[str, Form()] = "",
    ) -> Response:
        check_form(login, csrf)
        if confirmed != "yes":
            return trial(request, login, _TICK_FIRST)
        central_retention(pages.settings, pages.database).run(actor=login.account.name)
        return RedirectResponse("/privacy/retention", status_code=HTTPStatus.SEE_OTHER)


def _runs(results: tuple[RetentionResult, ...]) -> tuple[Run, ...]:
    """Put results together that one run made; older runs that removed nothing are left out."""
    found: list[list[RetentionResult]] = []
    for result in results:
        current = found[-1] if found else []
        if not current or result.category in {item.category for item in current}:
            found.append([result])
        else:
            current.append(result)
    runs = []
    for number, group in enumerate(found):
        kept = tuple(reversed([item for item in group if item.removed]))
        if group[0].ran_at is not None and (kept or number == 0):
            runs.append(Run(group[0].ran_at, group[0].actor, kept))
    return tuple(runs)


def _add_accesses(router: APIRouter, pages: Pages) -> None:
    reader = allowed(pages, Action.READ_ACCESS_LOG)

    @router.get("/privacy/access")
    def accesses_page(  # noqa: PLR0917 - FastAPI passes the fields of the search by name
        request: Request,
        login: Annotated[Login, Depends(reader)],
        actor: Annotated[str, Query()] = "",
        record: Annotated[str, Query()] = "",
        since: Annotated[str, Query()] = "",
        until: Annotated[str, Query()] = "",
        before: Annotated[str, Query()] = "",
    ) -> HTMLResponse:
        fault = ""
        found: tuple[Access, ...] = ()
        typed = {"actor": actor, "record": record, "since": since, "until": until}
        asked = {name: value.strip() for name, value in typed.items() if value.strip()}
        try:
            name, record_id, days = text_of(actor).lower() or None, id_of(record), _days_of(since, until)
        except CaseRefused as error:
            fault = said(error, gettext_of(pages.language_of(request)))
        else:
            last = number_of(before)
            with pages.database.transaction() as connection:
                found = list_accesses(
                    connection,
                    actor=name,
                    record_id=record_id,
                    since=days[0],
                    until=days[1],
                    before=last,
                    limit=_ROWS + 1,
                )
                looked_for = " ".join(f"{key}={value}" for key, value in asked.items()) or "all"
                record_oversight(connection, login, f"access log: {looked_for}")
        shown = found[:_ROWS]
        more = urlencode(asked | {"before": str(shown[-1].index)}) if len(found) > _ROWS else ""
        return pages.render(
            request,
            "privacy_access.html",
            login=login,
            here="access",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
            fault=fault,
            typed=typed,
            rows=shown,
            more=more,
            actions={action.value: text for action, text in ACTION_NAMES.items()},
            purposes=_PURPOSES,
            roles=_ROLES,
            is_filtered=bool(asked),
        )


def _days_of(since: str, until: str) -> tuple[date | None, date | None]:
    try:
        first, last = (date.fromisoformat(text.strip()) if text.strip() else None for text in (since, until))
    except ValueError:
        raise CaseRefused(_NO_DAY) from None
    if last == date.max:
        raise CaseRefused(_NO_DAY)
    if first is not None and last is not None and first > last:
        raise CaseRefused(_DAYS_SWAPPED)
    return first, last
