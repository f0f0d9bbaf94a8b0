"""Changes of a counter by its signals and its ballots: one judgement, one alert, no unpublished figure."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest

from api.alerts.alert import Alert, AlertKind, Basis, Finding, raise_alerts
from api.alerts.ballot_days import ballot_days
from api.alerts.changes import CHARTS, alarm_limits, judge
from api.alerts.findings import both_charts, changed
from api.alerts.words import sentence
from api.database import Database
from api.disclosure import Disclosure
from api.statistics.alerts_command import DROPS, AlarmReport, Drop, run_alarms, table_of
from api.statistics.change_points import Change, DayShare, Direction, region_limits
from api.statistics.day_runs import DayCount, DayRun, changes_over, put_together
from api.statistics.errors import SimulationRefused
from tests.api.senders import Edge
from tests.api.test_alerts import serve

TODAY = date(2026, 11, 20)
C1, C2 = "counter-1", "counter-2"
FIRST = date(2026, 1, 1)


def counts(*sizes: int) -> list[DayCount]:
    return [DayCount(FIRST + timedelta(at), n, n // 2) for at, n in enumerate(sizes) if n]


def spans(runs: tuple[DayRun, ...]) -> list[tuple[int, int, int]]:
    return [((run.first - FIRST).days, (run.last - FIRST).days, run.n) for run in runs]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((12, 10, 30), [(0, 0, 12), (1, 1, 10), (2, 2, 30)]),
        ((4, 5, 3, 9), [(0, 2, 12)]),
        ((9, 0, 0, 1, 11), [(0, 3, 10), (4, 4, 11)]),
        ((9,), []),
        ((), []),
    ],
)
def test_days_are_put_together_until_enough_ballots_stand_behind(
    sizes: tuple[int, ...], expected: list[tuple[int, int, int]]
) -> None:
    assert spans(put_together(counts(*sizes), 10)) == expected


def test_a_later_day_moves_no_earlier_run(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    days = counts(*(rng.randrange(8) for _ in range(60)))
    whole = put_together(days, 10)
    for end in range(len(days)):
        part = put_together(days[:end], 10)
        assert part == whole[: len(part)]
    assert sum(run.satisfied for run in whole) <= sum(day.satisfied for day in days)


def test_a_change_over_runs_begins_with_the_first_day_of_its_first_run() -> None:
    days = [DayCount(FIRST + timedelta(at), 5, 4 if at < 60 else 1) for at in range(90)]
    runs = put_together(days, 10)
    (change,) = changes_over(runs, region_limits(10))
    assert (change.direction, change.since) == (Direction.FELL, FIRST + timedelta(60))
    assert change.noticed in {run.last for run in runs}
    assert change.since in {run.first for run in runs}


@pytest.mark.parametrize(("counters", "a_month"), [(1, 1.0), (300, 1.0), (300, 3.0)])
def test_both_charts_share_one_budget(counters: int, a_month: float) -> None:
    limits = alarm_limits(counters, false_alarms_a_month=a_month)
    a_year = CHARTS * counters * limits.false_alarms_a_year()
    # A chart runs for 30 days at least, however many false alarms a small list may have.
    assert a_year == pytest.approx(min(12 * a_month, CHARTS * counters * 250 / 30), rel=0.01)


def levels(*parts: tuple[float, int], n: float = 30) -> list[DayShare]:
    shares = [level for level, days in parts for _ in range(days)]
    swing = (0.02, -0.02, 0.01, -0.01)
    return [
        DayShare(FIRST + timedelta(at), share + swing[at % len(swing)], n) for at, share in enumerate(shares)
    ]


def test_what_the_page_shows_and_what_an_alert_tells_are_one_judgement() -> None:
    far = judge(levels((0.85, 120), (0.6, 40)), 300, false_alarms_a_month=1.0)
    (noticed,) = far.changes
    (alarm,) = far.alarms
    assert noticed.alarm == alarm.noticed > noticed.change.noticed
    assert noticed.change.since == alarm.since == FIRST + timedelta(120)
    assert far.limits.spread == far.alarm_limits.spread == 1.0

    short = judge(levels((0.85, 120), (0.75, 6)), 300, false_alarms_a_month=1.0)
    assert [(item.change.direction, item.alarm) for item in short.changes] == [(Direction.FELL, None)]
    assert short.alarms == ()

    calm = judge(levels((0.85, 120)), 300, false_alarms_a_month=1.0)
    assert (calm.changes, calm.alarms) == ((), ())
    assert judge([], 300, false_alarms_a_month=1.0).changes == ()


def test_an_alarm_that_the_narrow_chart_never_told_stands_on_the_page_as_well() -> None:
    """The narrow chart begins anew at each notice, so that a slow drift may pass the wide one alone."""
    rng = np.random.default_rng(7)
    alone = 0
    for _ in range(40):
        shares = np.clip(0.9 - 0.0011 * np.arange(240) + rng.normal(0, 0.05, 240), 0.02, 0.98)
        days = [DayShare(FIRST + timedelta(at), float(share), 30) for at, share in enumerate(shares)]
        found = judge(days, 20, false_alarms_a_month=1.0)
        told = {item.alarm for item in found.changes if item.alarm is not None}
        assert told == {change.noticed for change in found.alarms}
        assert [item.change.noticed for item in found.changes] == sorted(
            item.change.noticed for item in found.changes
        )
        alone += len(found.changes) > len(found.charted.changes)
    assert alone, "no drift of this test passed the wide chart alone: make it slower"


def vote(
    database: Database, edge: Edge, counter: str, days: tuple[date, date], *, share: float, n: int = 6
) -> None:
    """Cast n ballots on each working day; the dissatisfied ones are spread over the days."""
    rows, at = [], 0
    for ahead in range((days[1] - days[0]).days + 1):
        day = days[0] + timedelta(ahead)
        if day.weekday() < 5:
            for _ in range(n):
                rows.append((counter, day, int((at + 1) * share) > int(at * share), edge.id))
                at += 1
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ballots (ballot_id, counter, cast_at, information_facilities, dossier_rules, "
            "officer_attitude, time_cost, edge_id, seq) SELECT gen_random_uuid(), %s, "
            "%s::date + interval '9 hours', true, true, true, %s, %s, "
            "coalesce((SELECT max(seq) FROM ballots), 0) + 1",
            rows,
        )


def changes(database: Database, today: date = TODAY, minimum_n: int = 10) -> list[Finding]:
    return changed(database, [C1, C2], Disclosure(minimum_n, today), false_alarms_a_month=1.0)


QUIET = (date(2026, 8, 3), date(2026, 10, 30))
AFTER = (date(2026, 11, 2), date(2026, 11, 19))


def test_ballots_are_counted_by_the_day_in_viet_nam(database: Database, edge: Edge) -> None:
    vote(database, edge, C1, (date(2026, 11, 2), date(2026, 11, 3)), share=0.5, n=4)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE ballots SET cast_at = '2026-11-02T17:30Z' WHERE seq = 1"
        )  # 0:30 on the 3rd
    found = ballot_days(database, [C1, C2], date(2026, 11, 2), date(2026, 11, 4))
    assert found == {C1: [DayCount(date(2026, 11, 2), 3, 2), DayCount(date(2026, 11, 3), 5, 2)]}
    assert ballot_days(database, [C1], date(2026, 11, 3), date(2026, 11, 4))[C1][0].n == 5
    assert ballot_days(database, [C1], date(2026, 11, 1), date(2026, 11, 3))[C1][-1].n == 3


def test_a_fall_of_ballots_alone_is_told_without_a_figure(database: Database, edge: Edge) -> None:
    vote(database, edge, C1, QUIET, share=0.85)
    vote(database, edge, C1, AFTER, share=0.4)
    vote(database, edge, C2, (QUIET[0], AFTER[1]), share=0.85)
    (found,) = changes(database)
    assert (found.kind, found.counter) == (AlertKind.CHANGE, C1)
    assert set(found.values) == {"basis", "direction", "since", "noticed"}
    assert (found.values["basis"], found.values["direction"]) == ("ballots", "fell")
    assert date(2026, 10, 29) <= date.fromisoformat(str(found.values["since"])) <= date(2026, 11, 4)
    with database.transaction() as connection:
        (alert,) = raise_alerts(connection, [found])
        assert raise_alerts(connection, changes(database, TODAY + timedelta(1))) == ()
    assert "Fewer of the centre's own ballots are satisfied since about" in sentence(alert, "en")
    assert "Phiếu tại quầy có tỷ lệ hài lòng giảm" in sentence(alert, "vi")
    assert "%" not in sentence(alert, "en") + sentence(alert, "vi")
    assert changes(database, date(2027, 1, 15)) == [], "what was noticed long ago is history"


def test_an_alarm_stands_on_at_least_the_fewest_ballots(database: Database, edge: Edge) -> None:
    vote(database, edge, C1, QUIET, share=0.85)
    vote(database, edge, C1, AFTER, share=0.4)
    (found,) = changes(database)
    since, noticed = (date.fromisoformat(str(found.values[name])) for name in ("since", "noticed"))
    days = ballot_days(database, [C1], since, noticed + timedelta(1))[C1]
    assert sum(day.n for day in days) >= 10
    assert changes(database, minimum_n=400) == [], (
        "too few ballots for a single run of so many: nothing is said"
    )


def test_a_change_that_both_charts_noticed_is_one_alert(database: Database, edge: Edge, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    serve(database, C1, QUIET, 0.75, rng)
    serve(database, C1, AFTER, 0.55, rng)
    vote(database, edge, C1, QUIET, share=0.85)
    vote(database, edge, C1, AFTER, share=0.4)
    (found,) = changes(database)
    assert found.values["basis"] == "both"
    assert 73 <= int(found.values["before"]) <= 77
    assert {"ballots_since", "ballots_noticed"} < set(found.values)
    with database.transaction() as connection:
        (alert,) = raise_alerts(connection, [found])
    for language, words in (("en", "fewer of the centre's own ballots"), ("vi", "phiếu tại quầy cũng")):
        assert words in sentence(alert, language)


def change(direction: Direction, since: int, noticed: int) -> Change:
    return Change(FIRST + timedelta(noticed), FIRST + timedelta(since), direction, 0.85, 0.75)


def test_charts_that_disagree_or_speak_of_other_days_are_told_apart() -> None:
    fell, rose = Direction.FELL, Direction.ROSE
    found = both_charts(
        C1, [change(fell, 10, 20)], [change(rose, 12, 18), change(fell, 30, 40), change(fell, 18, 25)]
    )
    assert [(item.values["basis"], item.values["direction"], item.values["since"]) for item in found] == [
        ("both", "fell", "2026-01-11"),
        ("ballots", "rose", "2026-01-13"),
        ("ballots", "fell", "2026-01-31"),
    ]
    assert len({item.mark for item in found}) == 3


@pytest.mark.parametrize(
    ("before", "then", "again"),
    [
        (Basis.SIGNALS, Basis.SIGNALS, False),
        (Basis.SIGNALS, Basis.BOTH, True),  # the ballots joined
        (Basis.BALLOTS, Basis.BOTH, True),
        (Basis.BOTH, Basis.BALLOTS, False),  # the signals' notice has become history
        (Basis.BOTH, Basis.SIGNALS, False),
        (Basis.SIGNALS, Basis.BALLOTS, True),
    ],
)
def test_a_change_is_told_again_only_where_the_other_chart_joined(
    database: Database, edge: Edge, before: Basis, then: Basis, *, again: bool
) -> None:
    del edge

    def finding(basis: Basis, noticed: int) -> Finding:
        signals = [change(Direction.FELL, 10, noticed)] if basis is not Basis.BALLOTS else []
        ballots = [change(Direction.FELL, 12, noticed + 1)] if basis is not Basis.SIGNALS else []
        (found,) = both_charts(C1, signals, ballots)
        return found

    with database.transaction() as connection:
        assert len(raise_alerts(connection, [finding(before, 20)])) == 1
        assert len(raise_alerts(connection, [finding(then, 21)])) == int(again)
        assert raise_alerts(connection, [finding(then, 22)]) == ()


def test_an_alert_of_before_says_signals(database: Database, edge: Edge) -> None:
    del edge
    values: dict[str, str | int] = {
        "direction": "fell",
        "since": "2026-11-02",
        "noticed": "2026-11-10",
        "before": "75",
        "after": "55",
    }
    with database.transaction() as connection:
        (alert,) = raise_alerts(connection, [Finding(AlertKind.CHANGE, C1, "fell 2026-11-10", values)])
        now = values | {"basis": "signals", "noticed": "2026-11-11"}
        assert raise_alerts(connection, [Finding(AlertKind.CHANGE, C1, "x", now)]) == ()
    assert "The uncalibrated signal fell from 75 to 55" in sentence(alert, "en")


def test_the_simulated_drop_is_noticed_and_stands_on_many_ballots() -> None:
    drops = (Drop(0.85, 0.75, 30), Drop(0.85, 0.6, 5))
    report = run_alarms(15, 1, drops=drops)
    assert report.passed
    many, few = report.rows
    assert many.noticed >= 0.9
    assert many.delay_median_days <= 14
    assert few.noticed >= 0.9
    assert min(row.fewest_ballots or 0 for row in report.rows) >= 10
    assert "| 85% → 75% | 30 |" in table_of(report)
    assert run_alarms(15, 1, drops=drops[:1]).rows == report.rows[:1], "a row hangs on its own seed alone"
    assert len(DROPS) == len(set(DROPS))
    with pytest.raises(SimulationRefused, match="at least one"):
        run_alarms(0, 1)


@pytest.mark.parametrize("wrong", [{"fewest_ballots": 9}, {"false_alarms_a_year": 0.3}])
def test_the_simulation_fails_where_an_alarm_tells_too_much_or_too_often(wrong: dict[str, float]) -> None:
    report = run_alarms(2, 1, drops=(Drop(0.85, 0.6, 15),))
    changed = AlarmReport((replace(report.rows[0], **wrong),), 100, 1, 300, report.limit)  # type: ignore[arg-type] # fields of several types
    assert not changed.passed


def test_every_basis_has_its_sentence_in_both_languages() -> None:
    days = dict.fromkeys(("since", "noticed", "ballots_since", "ballots_noticed"), "2026-11-02")
    told = set()
    for basis in Basis:
        for direction in Direction:
            values = {
                "basis": basis.value,
                "direction": direction.value,
                "before": "85",
                "after": "75",
            } | days
            alert = Alert(uuid4(), AlertKind.CHANGE, C1, "", values, datetime.now(UTC))
            told |= {sentence(alert, language) for language in ("vi", "en")}
    assert len(told) == 12
