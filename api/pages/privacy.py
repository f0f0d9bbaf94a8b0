"""The privacy officer's first page: what happened to the questions, what waits, how the log stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from api.accounts import Login
from api.authorization import Action
from api.breaches import Breaches
from api.coercion import Flag, flags, stop_flags
from api.consent_checks import render_again
from api.consent_rates import Counts, by_counter, sum_days
from api.consents import DayCounts, daily, edge_logs, notices_seen, patterns
from api.database import Connection
from api.errors import LogDamaged
from api.log_keeper import LogKeeper
from api.pages import consent_words as words
from api.pages.access import allowed
from api.pages.rendering import Pages
from api.requests import RequestFilter, Requests
from api.trends import local_today
from api.witnesses import LogStatus
from consent.errors import ConsentError
from consent.notice import Notice, NoticeShelf

PERIODS: Final = (1, 7, 30)
"""Days, the running one included."""
SILENT_AFTER: Final = timedelta(hours=24)
"""A machine at a counter asks the centre at least every half minute while it runs."""
_MANY: Final = 1000


@dataclass(frozen=True, slots=True)
class Waiting:
    """Open cases and the nearest time by which the law wants something done."""

    number: int
    due_at: datetime | None

    def overdue(self, now: datetime) -> bool:
        """Tell whether that time has passed."""
        return self.due_at is not None and self.due_at < now


def build_router(pages: Pages, keeper: LogKeeper) -> APIRouter:
    """Return the routes of the overview and the notices."""
    router = APIRouter(include_in_schema=False)
    _add_overview(router, pages, keeper)
    _add_notices(router, pages)
    return router


def _add_overview(router: APIRouter, pages: Pages, keeper: LogKeeper) -> None:
    reader = allowed(pages, Action.VIEW_CONSENT_RATES)

    @router.get("/privacy")
    def overview(request: Request, login: Annotated[Login, Depends(reader)]) -> HTMLResponse:
        today, now = local_today(), datetime.now(UTC)
        first = today - timedelta(days=max(PERIODS) - 1)
        days = daily(pages.database, first, today)
        sees_all = login.may(Action.SEARCH_CONSENTS)
        with pages.database.transaction() as connection:
            requests = _requests(connection) if login.may(Action.MANAGE_REQUESTS) else None
            breaches = _breaches(connection) if login.may(Action.MANAGE_BREACHES) else None
        edges = edge_logs(pages.database)
        return pages.render(
            request,
            "privacy.html",
            login=login,
            here="privacy",
            periods=_periods(pages, days, today, sees_all=sees_all),
            sees_all=sees_all,
            requests=requests,
            breaches=breaches,
            now=now,
            log_status=_status(keeper),
            log_fault=keeper.fault,
            edges=edges,
            silent={edge.edge_id for edge in edges if now - edge.last_contact > SILENT_AFTER},
            silent_hours=int(SILENT_AFTER.total_seconds() // 3600),
            flagged=_flagged(pages, days, today, sees_all=sees_all),
            words=words,
        )


def _periods(
    pages: Pages, days: Sequence[DayCounts], today: date, *, sees_all: bool
) -> list[tuple[int, Counts]]:
    """Return the sums of each period; for observers of whole days with enough answers only."""
    disclosure = None if sees_all else pages.disclosure(today)
    lengths = PERIODS if sees_all else PERIODS[-1:]
    return [
        (length, sum_days((day for day in days if day.day > today - timedelta(days=length)), disclosure))
        for length in lengths
    ]


def _requests(connection: Connection) -> Waiting:
    found = Requests().find(connection, RequestFilter(only_open=True, limit=_MANY))
    due = [
        due_at
        for item in found
        for due_at, done in ((item.acknowledge_due_at, item.acknowledged_at), (item.answer_due_at, None))
        if due_at is not None and done is None
    ]
    return Waiting(len(found), min(due, default=None))


def _breaches(connection: Connection) -> Waiting:
    found = Breaches().find(connection, only_open=True, limit=_MANY)
    due = [item.notify_due_at for item in found if item.notified_at is None]
    return Waiting(len(found), min(due, default=None))


def _status(keeper: LogKeeper) -> LogStatus | None:
    """Return how the log stands, None when it cannot be read: an alarm."""
    try:
        return keeper.witnesses.status()
    except (LogDamaged, ConsentError):
        return None


def _flagged(
    pages: Pages, days: Sequence[DayCounts], today: date, *, sees_all: bool
) -> list[tuple[str, tuple[Flag, ...]]]:
    first = today - timedelta(days=max(PERIODS) - 1)
    last = today if sees_all else today - timedelta(days=1)
    answers = {item.counter: flags(item) for item in patterns(pages.database, first, last)}
    stops = stop_flags(by_counter(days, None if sees_all else pages.disclosure(today)))
    found = {
        code: (*answers.get(code, ()), *stops.get(code, ())) for code in sorted(answers.keys() | stops.keys())
    }
    return [(code, raised) for code, raised in found.items() if raised]


def _add_notices(router: APIRouter, pages: Pages) -> None:
    reader = allowed(pages, Action.VIEW_CONSENT_RATES)

    @router.get("/privacy/notices")
    def notices(request: Request, login: Annotated[Login, Depends(reader)]) -> HTMLResponse:
        sees_all = login.may(Action.SEARCH_CONSENTS)
        disclosure = pages.disclosure()
        seen: list[dict[str, Any]] = [
            {
                "seen": item,
                "rendered": render_again(
                    item.notice_id, item.notice_version, item.language, item.notice_sha256
                ),
                "hidden": not sees_all and not disclosure.enough(item.decided),
            }
            for item in notices_seen(pages.database)
        ]
        return pages.render(
            request,
            "notices.html",
            login=login,
            here="notices",
            seen=seen,
            published=[_published(item) for item in NoticeShelf.load().published()],
            words=words,
        )


def _published(notice: Notice) -> dict[str, Any]:
    """Return a notice as text: marks of emphasis have no place in it."""

    def plain(text: str) -> str:
        return text.replace("**", "")

    return {
        "notice": notice,
        "question": plain(notice.question),
        "paragraphs": [plain(text) for text in notice.paragraphs],
        "choices": [(plain(item.label), plain(item.sentence)) for item in notice.choices.values()],
        "sha256": notice.reference(tuple(notice.choices)).sha256,
    }
