"""Templates and what every page is given: language, login, banner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from api.access_log import OWN_RECORD
from api.accounts import Accounts, Login
from api.authorization import Purpose
from api.database import Database
from api.disclosure import Disclosure, points
from api.form_tokens import form_token
from api.interval import Mean
from api.language import LANGUAGES, decimal_text, gettext_of, moment_text
from api.metrics import Metrics
from api.pages.kept_readings import KeptReadings
from api.settings import Settings
from api.trends import local_today


def no_op(text: str) -> str:
    """Mark a text for the catalogue where it is written; it is translated where it is shown."""
    return text


LANGUAGE_COOKIE: Final = "hailong_language"
PURPOSE_NAMES: Final = {
    Purpose.SUBJECT_REQUEST: no_op("request of the person concerned"),
    Purpose.COMPLAINT: no_op("complaint"),
    Purpose.BREACH: no_op("breach of data protection"),
    Purpose.INSPECTION: no_op("inspection"),
    Purpose.QUALITY_CHECK: no_op("check of quality"),
}
_LOGGED_PURPOSES: Final[Mapping[str, str]] = {
    **{purpose.value: name for purpose, name in PURPOSE_NAMES.items()},
    OWN_RECORD: no_op("their own record, with the slip"),
}
_YEAR_S: Final = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class MeanText:
    """A mean as it is printed."""

    value: str
    low: str
    high: str
    n: int


def mean_text(mean: Mean | None, language: str, *, signed: bool = False) -> MeanText | None:
    """Return a mean as text on the scale of 0 to 100 (or -100 to 100)."""
    if mean is None:
        return None

    def text(share: float) -> str:
        plain = points(share, mean.n)
        plain = "0" if plain == "-0" else plain
        sign = "+" if signed and share > 0 and plain != "0" else ""
        return decimal_text(sign + plain.replace("-", "\N{MINUS SIGN}"), language)

    return MeanText(text(mean.value), text(mean.low), text(mean.high), mean.n)


class Pages:
    """Renders templates for one application."""

    def __init__(self, settings: Settings, database: Database, accounts: Accounts, metrics: Metrics) -> None:
        """Load the templates."""
        self.settings = settings
        self.database = database
        self.accounts = accounts
        self.metrics = metrics
        self.readings = KeptReadings(database)
        self._environment = Environment(
            loader=PackageLoader("api.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )

    def disclosure(self, today: date | None = None) -> Disclosure:
        """Return what may be shown now."""
        return Disclosure(
            self.settings.pages.minimum_n, today or local_today(), running_day=self.settings.demo.enabled
        )

    def language_of(self, request: Request) -> str:
        """Return the language asked for now or earlier, else the default."""
        for wanted in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
            if wanted in LANGUAGES:
                return str(wanted)
        return self.settings.pages.language

    def render(
        self,
        request: Request,
        template: str,
        *,
        login: Login | None = None,
        status: HTTPStatus = HTTPStatus.OK,
        here: str = "",
        **values: Any,  # noqa: ANN401 - what the template shows
    ) -> HTMLResponse:
        """Return a page in the reader's language."""
        language = self.language_of(request)
        kept = [(key, value) for key, value in request.query_params.multi_items() if key != "lang"]
        gettext = gettext_of(language)
        html = self._environment.get_template(template).render(
            _=gettext,
            language=language,
            languages=LANGUAGES,
            # Its own token on every page: see `api.form_tokens`.
            login=None if login is None else replace(login, csrf=form_token(login.csrf)),
            here=here,
            reason=login.reason if login else None,
            purpose_names=_LOGGED_PURPOSES,
            path=request.url.path,
            path_and_query=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            kept_query=urlencode(kept) + "&" if kept else "",
            demo=self.settings.demo.enabled,
            minimum_n=self.settings.pages.minimum_n,
            moment=lambda moment: moment_text(moment, language),
            **values,
        )
        answer = HTMLResponse(html, status_code=int(status))
        if request.query_params.get("lang") in LANGUAGES:
            answer.set_cookie(
                LANGUAGE_COOKIE,
                language,
                max_age=_YEAR_S,
                httponly=True,
                samesite="lax",
                secure=self.settings.server.cookies_are_secure,
            )
        return answer

    def message(
        self, request: Request, status: HTTPStatus, heading: str, detail: str, login: Login | None = None
    ) -> HTMLResponse:
        """Return a page that says one thing; heading and detail are messages of the catalogue."""
        gettext = gettext_of(self.language_of(request))
        return self.render(
            request,
            "message.html",
            login=login,
            status=status,
            heading=gettext(heading),
            detail=gettext(detail),
        )
