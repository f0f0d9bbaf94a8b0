"""Alerts: what is open and who acknowledged what; one's own subscriptions; how many alarms are false."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.accounts import Login
from api.alerts.alert import Alert, AlertKind, acknowledge, find_alert, list_alerts
from api.alerts.changes import CHARTS, alarm_limits
from api.alerts.findings import SILENT_WEEKDAYS, all_counters
from api.alerts.outbox import MessageState, newest_messages
from api.alerts.subscriptions import (
    Subscription,
    Way,
    Wish,
    end_subscription,
    may_see,
    subscribe,
    subscriptions,
)
from api.alerts.words import sentence
from api.authorization import Action, counter
from api.errors import CaseRefused
from api.language import LANGUAGES, decimal_text, gettext_of
from api.pages.access import NOT_SEEN, PageRefused, allowed, check_form, require
from api.pages.administration import Text
from api.pages.rendering import Pages, no_op
from api.statistics.change_points import NOTICE_CUSUM
from api.trends import visible_counters

KIND_NAMES: Final = {
    AlertKind.CHANGE: no_op("a counter's level changed"),
    AlertKind.SILENT: no_op("nothing comes from a counter"),
    AlertKind.CONSENT_FELL: no_op("fewer visitors consent"),
    AlertKind.CALIBRATION: no_op("a calibration did not pass"),
}
WAY_NAMES: Final = {Way.MAIL: no_op("mail"), Way.WEBHOOK: no_op("call of a program (webhook)")}
_MESSAGES: Final = (
    no_op("The uncalibrated signal fell from {before} to {after} since about {since} (noticed {noticed})."),
    no_op("The uncalibrated signal rose from {before} to {after} since about {since} (noticed {noticed})."),
    no_op(
        "Fewer of the centre's own ballots are satisfied since about {since} (noticed {noticed}). No figure "
        "until the month is released."
    ),
    no_op(
        "More of the centre's own ballots are satisfied since about {since} (noticed {noticed}). No figure "
        "until the month is released."
    ),
    no_op(
        "The uncalibrated signal fell from {before} to {after} since about {since} (noticed {noticed}); "
        "fewer of the centre's own ballots are satisfied since about {ballots_since} "
        "(noticed {ballots_noticed})."
    ),
    no_op(
        "The uncalibrated signal rose from {before} to {after} since about {since} (noticed {noticed}); "
        "more of the centre's own ballots are satisfied since about {ballots_since} "
        "(noticed {ballots_noticed})."
    ),
    no_op("Nothing came on {weekdays} working days since {since}: look at the computer and its network."),
    no_op(
        "Nothing came from {counters} of {of} counters since {since}: a holiday, or a fault at the centre."
    ),
    no_op("In {month} {after}% of visitors consented, {before}% in the months before: look at the screen."),
    no_op(
        "Calibration {version} ({networks}) is not right enough: figures of its models rest on ballots alone."
    ),
    no_op("hailong: {n} new alerts"),
    no_op("the whole centre"),
    no_op(
        "Figures are printed ones, with intervals and what they rest on: see the page. An alert is a reason "
        "to look, no proof and no judgement of people. Not SIPAS."
    ),
    no_op("There is no such open alert: somebody may have acknowledged it before."),
    no_op("This is no mail address."),
    no_op("Mails may not go to this domain: ask the administrator (alerts.mail_domains)."),
    no_op("This is no https address."),
    no_op("This host may not be called: ask the administrator (alerts.webhook_hosts)."),
    no_op("Choose at least one kind of alert."),
    no_op("An account has at most {most} subscriptions: end one first."),
    no_op("There is no such subscription of yours."),
    no_op("Choose how alerts reach you."),
)
"""What alerts and their forms say, here for the catalogue."""


@dataclass(frozen=True, slots=True)
class AlertText:
    """An alert as the page shows it; `mine` where the reader may acknowledge it."""

    alert: Alert
    text: str
    mine: bool


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """How many changes are told of a year that are none, if nothing ever changes.

    Attributes:
        counters: Those that the reader sees, of `all`.
        a_year: For the reader; `alone` with the limits of somebody who looks at one counter.
        limit: h of the chart.
    """

    counters: int
    all: int
    a_year: str
    alone: str
    limit: str


@dataclass(frozen=True, slots=True)
class SubscriptionText:
    """A subscription with its newest message."""

    subscription: Subscription
    message: MessageState | None


def build_router(pages: Pages) -> APIRouter:
    """Return the routes of alerts and subscriptions."""
    router = APIRouter(include_in_schema=False)
    _add_list(router, pages)
    _add_subscriptions(router, pages)
    return router


def _add_list(router: APIRouter, pages: Pages) -> None:
    reader = allowed(pages, Action.VIEW_ALERTS)
    keeper = allowed(pages, Action.ACKNOWLEDGE_ALERT)

    @router.get("/alerts")
    def alerts_page(
        request: Request,
        login: Annotated[Login, Depends(reader)],
        show: Annotated[str, Query(max_length=4)] = "",
    ) -> HTMLResponse:
        return _page(pages, request, login, every=show == "all")

    @router.post("/alerts/acknowledge")
    def acknowledge_one(
        request: Request, login: Annotated[Login, Depends(keeper)], csrf: Text = "", alert: Text = ""
    ) -> Response:
        check_form(login, csrf)
        try:
            found = find_alert(pages.database, UUID(alert))
        except ValueError:
            found = None
        if found is None or not may_see(login.account, found):
            raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login)
        require(login, Action.ACKNOWLEDGE_ALERT, counter(found.counter or "", found.area))
        try:
            acknowledge(pages.database, found.alert_id, actor=login.account.name)
        except CaseRefused as error:
            return _page(pages, request, login, fault=_said(error, pages.language_of(request)))
        return RedirectResponse("/alerts", status_code=HTTPStatus.SEE_OTHER)


def _add_subscriptions(router: APIRouter, pages: Pages) -> None:
    subscriber = allowed(pages, Action.SUBSCRIBE_ALERTS)

    @router.post("/alerts/subscribe")
    def begin(  # noqa: PLR0917 - FastAPI passes the form's fields by name
        request: Request,
        login: Annotated[Login, Depends(subscriber)],
        csrf: Text = "",
        area: Text = "",
        kinds: Annotated[list[str] | None, Form(max_length=len(AlertKind))] = None,
        way: Text = "",
        target: Text = "",
        in_language: Text = "",
    ) -> Response:
        check_form(login, csrf)
        language = pages.language_of(request)
        try:
            wish = _wish(
                area, kinds or [], way, target, in_language if in_language in LANGUAGES else language
            )
            key = subscribe(pages.database, login.account.name, wish, pages.settings.alerts)
        except CaseRefused as error:
            return _page(pages, request, login, fault=_said(error, language), typed=target)
        if key is None:
            return RedirectResponse("/alerts#subscriptions", status_code=HTTPStatus.SEE_OTHER)
        return _page(pages, request, login, key=key.hex())

    @router.post("/alerts/unsubscribe")
    def end(
        request: Request, login: Annotated[Login, Depends(subscriber)], csrf: Text = "", number: Text = ""
    ) -> Response:
        check_form(login, csrf)
        try:
            end_subscription(pages.database, login.account.name, UUID(number))
        except CaseRefused as error:
            return _page(pages, request, login, fault=_said(error, pages.language_of(request)))
        except ValueError:
            raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login) from None
        return RedirectResponse("/alerts#subscriptions", status_code=HTTPStatus.SEE_OTHER)


def _page(
    pages: Pages,
    request: Request,
    login: Login,
    *,
    every: bool = False,
    fault: str = "",
    key: str = "",
    typed: str = "",
) -> HTMLResponse:
    language = pages.language_of(request)
    seen = visible_counters(pages.database, login.account)
    codes = [state.code for state in seen]
    found = list_alerts(pages.database, codes, only_open=not every)
    mine: tuple[Subscription, ...] = ()
    if login.may(Action.SUBSCRIBE_ALERTS):
        with pages.database.transaction() as connection:
            mine = subscriptions(connection, login.account.name)
    newest = {item.subscription_id: item for item in newest_messages(pages.database, login.account.name)}
    return pages.render(
        request,
        "alerts.html",
        login=login,
        here="alerts",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
        alerts=[
            AlertText(
                item,
                sentence(item, language),
                login.may(Action.ACKNOWLEDGE_ALERT, counter(item.counter or "", item.area)),
            )
            for item in found
        ],
        every=every,
        kinds=KIND_NAMES,
        ways=WAY_NAMES,
        subscriptions=[SubscriptionText(item, newest.get(item.subscription_id)) for item in mine],
        areas=sorted({state.area for state in seen if state.area}),
        false_alarms=_false_alarms(pages, codes, language),
        silent_days=SILENT_WEEKDAYS,
        on=pages.settings.alerts.enabled,
        a_month=decimal_text(f"{pages.settings.alerts.false_alarms_a_month:g}", language),
        fault=fault,
        key=key,
        typed=typed,
    )


def _false_alarms(pages: Pages, codes: Sequence[str], language: str) -> FalseAlarms:
    every = max(1, len(all_counters(pages.database)))
    limits = alarm_limits(every, false_alarms_a_month=pages.settings.alerts.false_alarms_a_month)
    charts = CHARTS * len(codes)
    return FalseAlarms(
        len(codes),
        every,
        decimal_text(f"{limits.false_alarms_a_year() * charts:.1f}", language),
        decimal_text(f"{NOTICE_CUSUM.false_alarms_a_year() * charts:.0f}", language),
        decimal_text(f"{limits.limit:.1f}", language),
    )


def _wish(area: str, kinds: list[str], way: str, target: str, language: str) -> Wish:
    try:
        return Wish(area, tuple(map(AlertKind, kinds)), Way(way), target, language)
    except ValueError:
        raise CaseRefused("Choose how alerts reach you.") from None


def _said(error: CaseRefused, language: str) -> str:
    return gettext_of(language)(error.text).format(**error.values)
