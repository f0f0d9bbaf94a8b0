"""Deadlines: exact, by the law of the day, around Tết and the ends of years."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from consent.clocks import VIET_NAM, Clocks, Deadline, Law, Rule, Unit, WorkingDays, shipped_laws
from consent.errors import CalendarUnknown, LawSilent
from consent.terms import load_terms


@pytest.fixture(scope="module")
def clocks() -> Clocks:
    return Clocks()


def _local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=VIET_NAM)


def _day(deadline: Deadline) -> str:
    assert deadline.due_at.strftime("%H:%M:%S %z") == "23:59:59 +0700"
    return deadline.due_at.date().isoformat()


@pytest.mark.parametrize(
    ("received", "last_day"),
    [
        ("2026-11-02 08:00", "2026-11-04"),  # Monday: Tuesday, Wednesday
        ("2026-11-06 16:59", "2026-11-10"),  # Friday: Monday, Tuesday
        ("2026-11-07 10:00", "2026-11-10"),  # Saturday counts from Monday
        ("2026-11-20 09:00", "2026-11-25"),  # Friday: Monday, then the Culture Day of 24 November is off
        ("2026-02-12 09:00", "2026-02-23"),  # Thursday before Tết 2026 (16 to 20 February): Friday, Monday
        ("2026-02-13 09:00", "2026-02-24"),
        ("2026-02-17 09:00", "2026-02-24"),  # on the first day of Tết
        ("2027-02-03 09:00", "2027-02-12"),  # Wednesday before Tết 2027 (4 to 10 February)
        ("2027-02-02 09:00", "2027-02-11"),
        ("2026-12-30 09:00", "2027-01-04"),  # Wednesday: Thursday, then New Year on a Friday and a weekend
        ("2026-12-31 09:00", "2027-01-05"),
        ("2026-08-20 09:00", "2026-08-22"),  # Thursday: Friday and the Saturday worked for 31 August
        ("2026-08-28 09:00", "2026-09-04"),  # Friday: 31 August to 2 September are off
    ],
)
def test_two_working_days_to_acknowledge(clocks: Clocks, received: str, last_day: str) -> None:
    assert _day(clocks.deadline(Rule.ACKNOWLEDGE, _local(received))) == last_day


@pytest.mark.parametrize(
    ("rule", "received", "alone", "with_processor"),
    [
        (Rule.WITHDRAW, "2026-11-02 08:00", "2026-11-17", "2026-11-23"),  # day 20 is a Sunday
        (Rule.RESTRICT, "2026-11-02 08:00", "2026-11-17", "2026-11-23"),
        (Rule.OBJECT, "2026-11-02 08:00", "2026-11-17", "2026-11-23"),
        (Rule.VIEW, "2026-11-02 08:00", "2026-11-12", "2026-11-17"),
        (Rule.CORRECT, "2026-11-02 08:00", "2026-11-12", "2026-11-17"),
        (Rule.COPY, "2026-11-02 08:00", "2026-11-12", "2026-11-17"),
        (Rule.DELETE, "2026-11-02 08:00", "2026-11-23", "2026-12-02"),
        (Rule.VIEW, "2026-02-06 08:00", "2026-02-23", "2026-02-23"),  # day 10 is New Year's Eve of the moon
        (Rule.WITHDRAW, "2027-01-21 08:00", "2027-02-11", "2027-02-11"),  # days 15 and 20 lie in Tết 2027
        (Rule.DELETE, "2026-12-12 08:00", "2027-01-04", "2027-01-11"),  # day 20 is New Year's Day, a Friday
        (Rule.VIEW, "2026-08-12 08:00", "2026-08-22", "2026-08-27"),  # day 10 is a Saturday that is worked
    ],
)
def test_days_are_calendar_days_that_end_on_a_working_day(
    clocks: Clocks, rule: Rule, received: str, alone: str, with_processor: str
) -> None:
    assert _day(clocks.deadline(rule, _local(received))) == alone
    assert _day(clocks.deadline(rule, _local(received), with_processor=True)) == with_processor


def test_hours_run_through_weekends_and_tet(clocks: Clocks) -> None:
    found_at = _local("2026-02-14 22:30")
    deadline = clocks.deadline(Rule.BREACH_NOTICE, found_at)
    assert deadline.due_at == found_at + timedelta(hours=72)
    assert (deadline.instrument, deadline.article, deadline.provisional) == ("law-91-2025", "23", False)


@pytest.mark.parametrize(
    ("closed", "last_day"), [("2026-11-22 10:00", "2031-11-22"), ("2028-02-29 10:00", "2033-02-28")]
)
def test_a_file_on_a_breach_is_kept_five_years(clocks: Clocks, closed: str, last_day: str) -> None:
    assert _day(clocks.deadline(Rule.BREACH_FILE, _local(closed))) == last_day


def test_the_day_is_the_day_in_viet_nam(clocks: Clocks) -> None:
    evening = datetime(2026, 11, 2, 16, 59, tzinfo=UTC)  # 23:59 there
    night = datetime(2026, 11, 2, 17, 0, tzinfo=UTC)  # the next day there
    assert _day(clocks.deadline(Rule.VIEW, evening)) == "2026-11-12"
    assert _day(clocks.deadline(Rule.VIEW, night)) == "2026-11-13"


def test_the_law_of_the_day_decides(clocks: Clocks) -> None:
    old = clocks.deadline(Rule.DELETE, _local("2025-12-31 23:59"))
    new = clocks.deadline(Rule.DELETE, _local("2026-01-01 00:00"))
    assert (old.law_id, old.instrument) == ("vn-decree-13-2023", "decree-13-2023")
    assert old.due_at == _local("2026-01-03 23:59")
    assert (new.law_id, _day(new)) == ("vn-pdpl-2026", "2026-01-21")


def test_where_the_law_is_silent_nothing_is_made_up(clocks: Clocks) -> None:
    with pytest.raises(LawSilent, match=r"vn-decree-13-2023.*acknowledge"):
        clocks.deadline(Rule.ACKNOWLEDGE, _local("2025-06-02 08:00"))
    with pytest.raises(LawSilent, match="2020-01-01"):
        clocks.law_on(date(2020, 1, 1))


def test_a_year_nobody_knows_is_refused_and_an_unannounced_one_flagged(clocks: Clocks) -> None:
    days = WorkingDays()
    assert not clocks.deadline(Rule.VIEW, _local("2026-12-01 08:00")).provisional
    assert clocks.deadline(Rule.VIEW, _local("2026-12-28 08:00")).provisional
    assert clocks.deadline(Rule.ACKNOWLEDGE, _local("2031-05-05 08:00")).provisional
    for year in (1994, 2100):
        with pytest.raises(CalendarUnknown, match=str(year)):
            days.works(date(year, 6, 1))
    with pytest.raises(CalendarUnknown, match="2100"):
        clocks.deadline(Rule.VIEW, _local("2099-12-28 08:00"))


def test_a_newer_reading_of_the_law_replaces_the_older() -> None:
    (law,) = (item for item in shipped_laws() if item.law_id == "vn-pdpl-2026")
    view = next(item for item in law.rules if item.rule is Rule.VIEW)
    longer = Law(
        law_id=law.law_id,
        version="1.10",
        in_force_from=law.in_force_from,
        source="a test",
        rules=(replace(view, value=3, unit=Unit.DAYS),),
    )
    between = Law(law.law_id, "1.9", law.in_force_from, "a test", rules=law.rules)
    deadline = Clocks([law, longer, between]).deadline(Rule.VIEW, _local("2026-11-02 08:00"))
    assert (_day(deadline), deadline.version) == ("2026-11-05", "1.10")


def test_todays_law_has_a_time_for_everything_and_states_its_source() -> None:
    law = Clocks().law_on(date(2026, 11, 22))
    assert {item.rule for item in law.rules} == set(Rule)
    assert len(law.rules) == len(Rule)
    assert "gazette not seen" in law.source
    assert not any(item.article_verified for item in law.rules), "say who read the gazette, and where"


def test_periods_of_the_law_leave_no_gap_and_no_overlap() -> None:
    day = date(2023, 7, 1)
    while day < date(2027, 1, 1):
        assert len([law for law in shipped_laws() if law.in_force(day)]) == 1, day
        day += timedelta(days=1)


def test_the_terms_name_laws_that_the_deadlines_know() -> None:
    known = {duty.instrument for law in shipped_laws() for duty in law.rules}
    assert {basis.law for basis in load_terms().legal_basis} <= known
