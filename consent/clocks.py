"""Legal deadlines: versioned data, counted on the Vietnamese calendar.

The law changed twice in three years, so nothing of it is code: `law/*.toml` holds each rule
with its article, value, unit and source. The law in force on the day something happened
decides, also when the question is asked years later.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from enum import StrEnum
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import ConfigDict, Field, TypeAdapter

from consent.errors import CalendarUnknown, LawSilent
from consent.record import Code, Line

if TYPE_CHECKING:
    from holidays import HolidayBase

VIET_NAM: Final = timezone(timedelta(hours=7), "Asia/Ho_Chi_Minh")
"""No summer time since 1975; a fixed offset needs no time-zone database on the machine."""
_STRICT: Final = ConfigDict(extra="forbid")
_END_OF_DAY: Final = time(23, 59, 59, 999_999, tzinfo=VIET_NAM)


class Rule(StrEnum):
    """What the law sets a time for."""

    ACKNOWLEDGE = "acknowledge"
    WITHDRAW = "withdraw"
    RESTRICT = "restrict"
    OBJECT = "object"
    VIEW = "view"
    CORRECT = "correct"
    COPY = "copy"
    DELETE = "delete"
    BREACH_NOTICE = "breach-notice"
    BREACH_FILE = "breach-file"


class Unit(StrEnum):
    """How a rule counts."""

    HOURS = "hours"
    DAYS = "days"
    WORKING_DAYS = "working-days"
    YEARS = "years"


@dataclass(frozen=True, slots=True)
class Duty:
    """One rule of one law.

    Attributes:
        instrument: The law or decree that sets it.
        article: Where it stands there; `article_verified` tells whether somebody read the gazette.
        value: How much time, in `unit`.
        with_processor: The same where a processor or third party has to act as well.
        to_next_working_day: A last day that is no working day moves to the next one.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    rule: Rule
    instrument: Code
    article: Line
    article_verified: bool
    value: Annotated[int, Field(gt=0, le=1000)]
    unit: Unit
    with_processor: Annotated[int, Field(gt=0, le=1000)] | None = None
    to_next_working_day: bool = False


@dataclass(frozen=True, slots=True)
class Law:
    """The rules of one period, in one version of our reading."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    law_id: Code
    version: Code
    in_force_from: date
    source: Line
    rules: tuple[Duty, ...]
    in_force_until: date | None = None

    def in_force(self, day: date) -> bool:
        """Tell whether the law is in force on a day."""
        return self.in_force_from <= day and (self.in_force_until is None or day <= self.in_force_until)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When something is due, and why.

    Attributes:
        due_at: The last moment in time.
        version: Of the law's data.
        provisional: The days off of that year were not announced when this release was made,
            so a swapped working day may still move it.
    """

    due_at: datetime
    rule: Rule
    law_id: str
    instrument: str
    article: str
    version: str
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class _Span:
    """The years that the calendar is good for."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    first_year: int
    announced_until: int
    last_year: int


class WorkingDays:
    """Which days officials of Viet Nam work: no weekends, no holidays, but swapped Saturdays."""

    def __init__(self) -> None:
        """Prepare the calendar; the years are computed as they are asked for."""
        # Late: the edge has no deadlines to count and does without the package.
        import holidays  # noqa: PLC0415 - see above

        self._days: HolidayBase = holidays.country_holidays("VN")
        self._span = _span()

    def works(self, day: date) -> bool:
        """Tell whether a day is a working day.

        Raises:
            CalendarUnknown: The calendar does not reach that year.
        """
        span = self._span
        if not span.first_year <= day.year <= span.last_year:
            raise CalendarUnknown(
                f"the holidays of {day.year} are not known (known: {span.first_year} to {span.last_year}); "
                "count this deadline by hand and install a newer release"
            )
        return self._days.is_working_day(day)

    def announced(self, day: date) -> bool:
        """Tell whether the days off of that year were announced when this release was made."""
        return day.year <= self._span.announced_until

    def add(self, day: date, count: int) -> date:
        """Return the last of `count` working days that follow `day`."""
        while count:
            day += timedelta(days=1)
            count -= self.works(day)
        return day

    def at_or_after(self, day: date) -> date:
        """Return `day`, or the first working day after it."""
        while not self.works(day):
            day += timedelta(days=1)
        return day


class Clocks:
    """Counts the deadlines of the law in force.

    Args:
        laws: The law as data; that of this release when left out.
    """

    def __init__(self, laws: Iterable[Law] | None = None) -> None:
        """Read the law."""
        self._laws = tuple(laws) if laws is not None else shipped_laws()
        self._working = WorkingDays()

    def law_on(self, day: date) -> Law:
        """Return the newest version of the law in force on a day in Viet Nam.

        Raises:
            LawSilent: No law of this release was.
        """
        found = [law for law in self._laws if law.in_force(day)]
        if not found:
            raise LawSilent(f"no law in this release was in force on {day.isoformat()}; count it by hand")
        return max(found, key=lambda law: (law.in_force_from, _order(law.version)))

    def deadline(self, rule: Rule, started_at: datetime, *, with_processor: bool = False) -> Deadline:
        """Return when something is due.

        Args:
            rule: What has to be done.
            started_at: When the request arrived, the breach was found or its file was closed.
            with_processor: A processor or third party has to act as well.

        Raises:
            LawSilent: The law in force that day sets no time for this.
            CalendarUnknown: The deadline lies where no holidays are known.
        """
        start = started_at.astimezone(VIET_NAM)
        law = self.law_on(start.date())
        duty = next((item for item in law.rules if item.rule is rule), None)
        if duty is None:
            raise LawSilent(f"{law.law_id}, in force on {start.date()}, sets no time for '{rule}'")
        value = (duty.with_processor or duty.value) if with_processor else duty.value
        due_at = self._due(start, value, duty)
        return Deadline(
            due_at=due_at,
            rule=rule,
            law_id=law.law_id,
            instrument=duty.instrument,
            article=duty.article,
            version=law.version,
            provisional=_on_calendar(duty) and not self._working.announced(due_at.date()),
        )

    def duty(self, law: str, rule: Rule) -> Duty | None:
        """Return the rule of the law under which a case was counted, None where this release lacks it.

        Args:
            law: Id and version, as a case keeps them: `vn-pdpl-2026 1.0`.
            rule: What had to be done.
        """
        known = next((item for item in self._laws if f"{item.law_id} {item.version}" == law), None)
        return None if known is None else next((item for item in known.rules if item.rule is rule), None)

    def _due(self, start: datetime, value: int, duty: Duty) -> datetime:
        if duty.unit is Unit.HOURS:
            return start + timedelta(hours=value)
        if duty.unit is Unit.WORKING_DAYS:
            last = self._working.add(start.date(), value)
        elif duty.unit is Unit.YEARS:
            last = _years_after(start.date(), value)
        else:
            last = start.date() + timedelta(days=value)
        if duty.to_next_working_day:
            last = self._working.at_or_after(last)
        return datetime.combine(last, _END_OF_DAY)


@cache
def shipped_laws() -> tuple[Law, ...]:
    """Return the law of this release."""
    folder = resources.files("consent").joinpath("law")
    adapter = TypeAdapter(Law)
    names = sorted(item.name for item in folder.iterdir() if item.name.startswith("vn-"))
    texts = (folder.joinpath(name).read_text("utf-8") for name in names)
    return tuple(adapter.validate_python(tomllib.loads(text)) for text in texts)


@cache
def _span() -> _Span:
    folder = resources.files("consent").joinpath("law")
    newest = max((item for item in folder.iterdir() if item.name.startswith("calendar-")), key=_file_order)
    return TypeAdapter(_Span).validate_python(tomllib.loads(newest.read_text("utf-8")))


def _file_order(file: Traversable) -> tuple[int, ...]:
    return _order(file.name)


def _on_calendar(duty: Duty) -> bool:
    return duty.unit is Unit.WORKING_DAYS or duty.to_next_working_day


def _years_after(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February
        return date(day.year + years, 3, 1) - timedelta(days=1)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
