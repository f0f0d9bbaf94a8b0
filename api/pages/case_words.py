"""What the pages of cases call things, and how they read what was typed into their forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar
from uuid import UUID

from api.breaches import Cause, Measure, Nature, Scope
from api.clock_state import ClockState, Standing
from api.errors import CaseRefused
from api.pages.rendering import no_op
from api.requests import Channel, Outcome, RequestKind
from consent.clocks import VIET_NAM, Duty, Unit

_Code = TypeVar("_Code", bound=StrEnum)
Gettext = Callable[[str], str]

STANDING_NAMES: Final = {
    Standing.LATE: no_op("late"),
    Standing.DUE_SOON: no_op("due soon"),
    Standing.ON_TIME: no_op("on time"),
    Standing.DONE: no_op("done in time"),
    Standing.DONE_LATE: no_op("done late"),
}
KIND_NAMES: Final = {
    RequestKind.WITHDRAW: no_op("withdraw the consent"),
    RequestKind.RESTRICT: no_op("restrict the processing"),
    RequestKind.OBJECT: no_op("object to the processing"),
    RequestKind.VIEW: no_op("see the data"),
    RequestKind.CORRECT: no_op("correct the data"),
    RequestKind.COPY: no_op("get a copy of the data"),
    RequestKind.DELETE: no_op("delete the data"),
}
CHANNEL_NAMES: Final = {
    Channel.COUNTER: no_op("at the counter"),
    Channel.POST: no_op("by post"),
    Channel.EMAIL: no_op("by e-mail"),
    Channel.TELEPHONE: no_op("by telephone"),
    Channel.WEB: no_op("on a web page"),
    Channel.AUTHORITY: no_op("through an authority"),
}
OUTCOME_NAMES: Final = {
    Outcome.DONE: no_op("done"),
    Outcome.DONE_IN_PART: no_op("done in part"),
    Outcome.NOTHING_HELD: no_op("nothing is held"),
    Outcome.NOT_IDENTIFIED: no_op("no record could be found for it"),
    Outcome.REFUSED: no_op("refused"),
    Outcome.TAKEN_BACK: no_op("taken back"),
}
NATURE_NAMES: Final = {
    Nature.DISCLOSED: no_op("data disclosed"),
    Nature.ALTERED: no_op("data altered"),
    Nature.LOST: no_op("data lost"),
    Nature.MISUSED: no_op("data seen or used for another purpose"),
}
CAUSE_NAMES: Final = {
    Cause.UNKNOWN: no_op("not known yet"),
    Cause.INTRUSION: no_op("intrusion"),
    Cause.STOLEN_DEVICE: no_op("stolen or lost device"),
    Cause.MISTAKE: no_op("mistake"),
    Cause.INSIDER: no_op("somebody inside"),
    Cause.FAULT: no_op("fault of a program or device"),
    Cause.PROCESSOR: no_op("at a processor"),
}
SCOPE_NAMES: Final = {
    Scope.CONSENT_RECORDS: no_op("consent records"),
    Scope.SIGNALS: no_op("signals of sessions"),
    Scope.BALLOTS: no_op("ballots"),
    Scope.QUOTES: no_op("redacted quotes"),
    Scope.ACCOUNTS: no_op("accounts of staff"),
    Scope.KEYS: no_op("keys"),
    Scope.LIVE_MEDIA: no_op("image or sound while a device was open"),
}
MEASURE_NAMES: Final = {
    Measure.DEVICE_REVOKED: no_op("device revoked"),
    Measure.KEYS_ROTATED: no_op("keys rotated"),
    Measure.PASSWORDS_RESET: no_op("passwords reset"),
    Measure.ACCESS_BLOCKED: no_op("access blocked"),
    Measure.CAPTURE_STOPPED: no_op("capture stopped"),
    Measure.DATA_ERASED: no_op("data erased"),
    Measure.BACKUP_RESTORED: no_op("backup restored"),
    Measure.CITIZENS_TOLD: no_op("citizens told"),
    Measure.POLICE_TOLD: no_op("police told"),
    Measure.PROCESSOR_TOLD: no_op("processor told"),
}
ACT_NAMES: Final = {
    "received": no_op("registered"),
    "acknowledged": no_op("receipt confirmed to the citizen"),
    "processor-involved": no_op("a processor must act as well"),
    "answered": no_op("answered"),
    "detected": no_op("registered"),
    "measures": no_op("measures noted"),
    "notified": no_op("authority told"),
    "closed": no_op("closed"),
}
_UNITS: Final = {
    Unit.HOURS: no_op("{count} hours"),
    Unit.DAYS: no_op("{count} days"),
    Unit.WORKING_DAYS: no_op("{count} working days"),
    Unit.YEARS: no_op("{count} years"),
}
_INSTRUMENTS: Final = {
    "decree-13-2023": no_op("Decree 13/2023/NĐ-CP"),
    "decree-356-2025": no_op("Decree 356/2025/NĐ-CP"),
    "law-91-2025": no_op("Law 91/2025/QH15"),
}
_ARTICLE: Final = no_op("{instrument}, article {article}")
_ARTICLE_UNKNOWN: Final = no_op("{instrument}, article to be looked up")
_DAYS_LEFT: Final = no_op("{days} d {hours} h left")
_DAYS_OVER: Final = no_op("{days} d {hours} h over")
_HOURS_LEFT: Final = no_op("{hours} h {minutes} min left")
_HOURS_OVER: Final = no_op("{hours} h {minutes} min over")
_NO_TIME: Final = no_op("write a time as day, month, year, hour and minute")
_FUTURE: Final = no_op("this time lies in the future: correct it")
_NO_ID: Final = no_op(
    "this is no id: copy all 36 characters of it from the receipt or from the record's page"
)
_NO_TEXT: Final = no_op("the text holds a character that cannot be kept: write it again")
_FIRST_YEAR: Final = 2000
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class ShownClock:
    """One legal clock as a page shows it.

    Attributes:
        name: What is due.
        term: How long the law gives, in words.
        source: Where that stands; `version` is that of our data of the law.
        verified: Whether somebody read the article in the gazette.
        left: How much time is left or over; empty when it was stopped.
    """

    name: str
    term: str
    source: str
    version: str
    verified: bool
    due_at: datetime
    done_at: datetime | None
    provisional: bool
    standing: Standing
    left: str


def shown_clock(
    name: str,
    clock: ClockState,
    duty: Duty | None,
    law: str,
    *,
    now: datetime,
    gettext: Gettext,
    with_processor: bool = False,
    provisional: bool = False,
) -> ShownClock:
    """Put one clock into words."""
    term, source = "", law
    if duty is not None:
        value = (duty.with_processor or duty.value) if with_processor else duty.value
        term = gettext(_UNITS[duty.unit]).format(count=value)
        pattern = _ARTICLE if duty.article != "unknown" else _ARTICLE_UNKNOWN
        instrument = gettext(_INSTRUMENTS.get(duty.instrument, duty.instrument))
        source = gettext(pattern).format(instrument=instrument, article=duty.article)
    standing = clock.standing(now)
    by_hours = duty is not None and duty.unit is Unit.HOURS
    left = left_text(clock.left(now), gettext, by_hours=by_hours) if standing.is_open else ""
    return ShownClock(
        name,
        term,
        source,
        law,
        duty is not None and duty.article_verified,
        clock.due_at,
        clock.done_at,
        provisional,
        standing,
        left,
    )


def left_text(left: timedelta, gettext: Gettext, *, by_hours: bool = False) -> str:
    """Return a remaining time in words; a negative one is time over."""
    over = left < timedelta(0)
    minutes_all = int(abs(left).total_seconds()) // 60
    hours_all, minutes = divmod(minutes_all, 60)
    days, hours = divmod(hours_all, 24)
    if by_hours or not days:
        return gettext(_HOURS_OVER if over else _HOURS_LEFT).format(hours=hours_all, minutes=minutes)
    return gettext(_DAYS_OVER if over else _DAYS_LEFT).format(days=days, hours=hours)


def said(error: CaseRefused, gettext: Gettext) -> str:
    """Return a refusal in the reader's language."""
    return gettext(error.text).format(**error.values)


def choice_of(codes: type[_Code], given: str, advice: str) -> _Code:
    """Read a chosen code.

    Raises:
        CaseRefused: Nothing, or nothing known, was chosen; it says `advice`.
    """
    try:
        return codes(given)
    except ValueError:
        raise CaseRefused(advice) from None


def moment_of(given: str, now: datetime) -> datetime | None:
    """Read a time as people of Viet Nam type it; None where nothing was typed.

    Raises:
        CaseRefused: It is no time, or lies in the future.
    """
    if not given.strip():
        return None
    try:
        moment = datetime.fromisoformat(given.strip())
    except ValueError:
        raise CaseRefused(_NO_TIME) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=VIET_NAM)
    if moment.year < _FIRST_YEAR:
        raise CaseRefused(_NO_TIME)
    if moment > now:
        raise CaseRefused(_FUTURE)
    return moment


def id_of(given: str) -> UUID | None:
    """Read an id; None where nothing was typed.

    Raises:
        CaseRefused: It is none.
    """
    if not given.strip():
        return None
    try:
        return UUID(given.strip())
    except ValueError:
        raise CaseRefused(_NO_ID) from None


def text_of(given: str) -> str:
    """Read a line of text.

    Raises:
        CaseRefused: The database cannot keep it.
    """
    text = given.strip()
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise CaseRefused(_NO_TEXT)
    return text


def reference_of(given: str) -> str | None:
    """Read a reference number; capitals and slashes of Vietnamese file numbers become what is kept."""
    text = text_of(given).lower().replace("/", "-")
    return text or None


def number_of(given: str) -> int | None:
    """Read a positive number of an address; None where it is none, so that the page shows its beginning."""
    fits = given.isascii() and given.isdecimal() and len(given) <= _DIGITS
    return int(given) or None if fits else None


def minute_of(now: datetime) -> datetime:
    """Return the running minute: forms know no seconds, and what follows may not lie before it."""
    return now.replace(second=0, microsecond=0)


def names_of(codes: Mapping[_Code, str], gettext: Gettext) -> dict[str, str]:
    """Return codes with their names in the reader's language."""
    return {code.value: gettext(name) for code, name in codes.items()}
