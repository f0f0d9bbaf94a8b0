"""Open data with noise: the price is kept, the noise is OpenDP's, nothing is drawn twice."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from datetime import date
from typing import Any

import pytest

from api.database import Database
from api.log import Kind
from api.privacy_budget import budgets, faults, release_privately
from api.statistics.private_release import (
    LIMIT_MILLI,
    BudgetSpent,
    Charge,
    Mechanism,
    ReleaseInvalid,
    afford,
    discrete_laplace,
    draw,
    left,
)
from api.statistics.suppression_lattice import Counts, Table, month_table

TODAY = date(2026, 4, 5)
PARENTS = {"all": None, "u": "all", "v": "all", "w": "all", "a": "u", "b": "v", "c": "w"}
DAY = date(2026, 3, 2)


def table(day: date = DAY) -> Table:
    return month_table(
        PARENTS,
        {("a", day): Counts(500, 430), ("b", day): Counts(124, 100), ("c", day): Counts(125, 125)},
    )


def release(
    database: Database, level: str = "unit", epsilon_milli: int = LIMIT_MILLI, day: date = DAY
) -> Any:
    return release_privately(
        database,
        table(day),
        ["u", "v", "w"] if level == "unit" else ["all"],
        level=level,
        statistic="satisfied",
        mechanism=Mechanism(epsilon_milli),
        today=TODAY,
        actor="@test",
    )


@pytest.mark.parametrize(
    ("milli", "ballots", "within", "fewest"),
    [(1000, 1, 3, 125), (500, 1, 6, 250), (250, 1, 12, 500), (1000, 2, 6, 250), (1000_000, 1, 0, 100)],
)
def test_rows_leave_only_where_the_noise_is_small(milli: int, ballots: int, within: int, fewest: int) -> None:
    mechanism = Mechanism(milli, ballots)
    assert (mechanism.p95_ballots(), mechanism.fewest()) == (within, fewest)
    assert mechanism.p95_points(fewest) <= 2.4
    assert fewest == 100 or mechanism.p95_points(fewest - 1) > 2.4


def test_only_rows_with_enough_ballots_are_drawn_and_stay_within_them() -> None:
    rows = draw(table(), ["u", "v", "w"])
    assert [(row.place, row.n) for row in rows] == [("u", 500), ("w", 125)]
    assert all(0 <= row.satisfied <= row.n for row in rows)
    assert rows[0].p95_points == pytest.approx(0.6)
    assert float(rows[0].share) == pytest.approx(100 * rows[0].satisfied / 500, abs=0.05)


def test_the_noise_has_the_odds_that_the_price_promises() -> None:
    """Neighbouring counts may give a number with odds of at most e^1, and noise has its formula's spread."""
    noisy = discrete_laplace(Mechanism())
    drawn = 6000
    seen = Counter(noisy(50) - 50 for _ in range(drawn))
    q = math.exp(-1)
    for offset in (-1, 0, 1, 2):
        expected = (1 - q) / (1 + q) * q ** abs(offset)
        spread = math.sqrt(expected * (1 - expected) / drawn)
        assert seen[offset] / drawn == pytest.approx(expected, abs=5 * spread)
    within = sum(count for offset, count in seen.items() if abs(offset) <= 3) / drawn
    assert within > 0.95


@pytest.mark.parametrize("places", [["u", "u"], ["u", "all"], ["u", "a"]])
def test_places_that_share_ballots_are_refused(places: list[str]) -> None:
    with pytest.raises(ReleaseInvalid, match="share ballots"):
        draw(table(), places)


@pytest.mark.parametrize(("milli", "ballots"), [(0, 1), (-1, 1), (1000, 0)])
def test_a_mechanism_without_noise_is_refused(milli: int, ballots: int) -> None:
    with pytest.raises(ReleaseInvalid, match="above 0"):
        Mechanism(milli, ballots)


def test_charges_of_a_month_add_up_and_other_months_do_not() -> None:
    charges = [Charge("2026-03", "unit", "satisfied", 600), Charge("2026-02", "unit", "satisfied", 900)]
    assert (left(charges, "2026-03"), left(charges, "2026-01")) == (400, 1000)
    afford(charges, Charge("2026-03", "area", "satisfied", 400))
    with pytest.raises(BudgetSpent, match=r"ε 0\.4 left and this release costs 0\.401"):
        afford(charges, Charge("2026-03", "area", "satisfied", 401))


def test_a_release_is_drawn_once_and_kept_in_the_log(database: Database) -> None:
    first = release(database)
    assert release(database) == first
    (month,) = budgets(database)
    assert (month.month, month.spent_milli, month.left_milli) == ("2026-03", 1000, 0)
    assert month.releases == (first,)


def test_overspending_is_refused_and_writes_nothing(database: Database) -> None:
    release(database, epsilon_milli=600)
    with pytest.raises(BudgetSpent):
        release(database, "whole", epsilon_milli=500)
    release(database, "whole", epsilon_milli=400)
    assert [month.left_milli for month in budgets(database)] == [0]
    assert faults(bodies(database)) == ()


def test_two_exports_at_once_spend_the_budget_once(database: Database) -> None:
    refused: list[str] = []
    start = threading.Barrier(4)

    def export(level: str) -> None:
        start.wait()
        try:
            release(database, level, epsilon_milli=700)
        except BudgetSpent as error:
            refused.append(str(error))

    threads = [threading.Thread(target=export, args=(level,)) for level in ("unit", "whole", "unit", "whole")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (month,) = budgets(database)
    assert month.spent_milli == 700
    assert len(month.releases) == 1
    assert len(refused) == 2


@pytest.mark.parametrize("day", [date(2026, 4, 1), date(2026, 5, 1)])
def test_a_month_that_is_not_over_is_refused(database: Database, day: date) -> None:
    with pytest.raises(ReleaseInvalid, match="is not over"):
        release(database, day=day)
    assert budgets(database) == ()


def test_a_release_of_many_rows_is_read_back_whole(database: Database) -> None:
    parents: dict[str, str | None] = {"all": None} | {f"c{index:03}": "all" for index in range(650)}
    days = {(f"c{index:03}", DAY): Counts(130, 100) for index in range(650)}
    made = release_privately(
        database,
        month_table(parents, days, day_levels=0),
        [place for place in parents if place != "all"],
        level="counter",
        statistic="satisfied",
        mechanism=Mechanism(),
        today=TODAY,
        actor="@test",
    )
    (month,) = budgets(database)
    assert len(made.rows) == 650
    assert month.releases == (made,)
    assert month.spent_milli == 1000


def bodies(database: Database) -> list[dict[str, Any]]:
    with database.transaction() as connection:
        rows = connection.execute("SELECT body FROM central_log ORDER BY idx").fetchall()
    return [json.loads(bytes(row[0])) for row in rows]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon_milli": 1001}, "more ε was spent than 1, by 0.001"),
        ({"epsilon_milli": 0}, "ε is not above 0"),
        ({"rows": [["u", 99, 50]]}, "may not be exported"),
        ({"rows": [["u", 200, 201]]}, "may not be exported"),
        ({"rows": [["u", 200]]}, "cannot be read"),
        ({"most_ballots": 0}, "cannot be read"),
        ({"month": "2026-3"}, "2026-3: is no month"),
        ({"rows": [["u", 500, 400], ["u", 500, 402]]}, "2026-03 unit u: drawn more than once"),
        ({"epsilon_milli": 500, "rows": [["u", 249, 200]]}, "200 of 249 may not be exported"),
    ],
)
def test_an_audit_finds_what_may_not_be(database: Database, change: dict[str, Any], message: str) -> None:
    release(database)
    entries = bodies(database)
    assert faults(entries) == ()
    forged = [body | change if body["kind"] == Kind.PRIVATE_RELEASE else body for body in entries]
    (fault,) = faults(forged)
    assert message in fault


def test_an_audit_finds_a_release_that_was_drawn_twice(database: Database) -> None:
    release(database, epsilon_milli=300)
    entries = bodies(database)
    found = faults([*entries, *(body for body in entries if body["kind"] == Kind.PRIVATE_RELEASE)])
    assert found == ("2026-03 unit satisfied: drawn more than once",)


def test_an_audit_finds_a_second_draw_that_passes_for_a_part(database: Database) -> None:
    """Rows drawn again under the same charge would otherwise read as more rows of one release."""
    release(database)
    entries = bodies(database)
    (drawn,) = [body for body in entries if body["kind"] == Kind.PRIVATE_RELEASE]
    found = faults([*entries, drawn | {"part": 1}])
    assert found == ("2026-03 unit u: drawn more than once", "2026-03 unit w: drawn more than once")
    assert faults([*entries, drawn | {"part": 2, "rows": [["x", 500, 400]]}]) == (
        "a part of a release is missing, or stands twice",
    )
