"""What may be printed of a month: no small cell comes out, little is lost, and revisions tell nothing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import date

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.disclosure import share_text
from api.statistics.disclosure_attack import (
    PrintedCell,
    PrintImpossible,
    attack,
    naive,
    possible_satisfied,
    printed,
)
from api.statistics.disclosure_command import run_disclosure, simulated_month
from api.statistics.suppression import SPECIFIED, Rule, Verdict, suppress
from api.statistics.suppression_lattice import (
    Counts,
    Table,
    TableInvalid,
    month_table,
    sum_of_shown,
    window_of,
)
from api.statistics.suppression_revision import revised

DAY = date(2026, 3, 2)
LATER = date(2026, 3, 3)
UNIT: Mapping[str, str | None] = {"all": None, "a": "all", "b": "all", "c": "all"}


def one_day(*counts: tuple[int, int], day: date = DAY) -> Table:
    return month_table(UNIT, {(code, day): Counts(*of) for code, of in zip("abc", counts, strict=False)})


def verdicts(table: Table) -> dict[tuple[str, str], str]:
    return {name: verdict.value for name, verdict in suppress(table).by_name().items()}


def test_one_small_cell_takes_the_cheapest_other_with_it() -> None:
    found = verdicts(one_day((4, 3), (12, 9), (30, 25)))
    assert {place: found[place, "2026-03-02"] for place in "abc"} == {
        "a": "few",
        "b": "complementary",
        "c": "shown",
    }
    assert found["all", "2026-03-02"] == found["all", "2026-03"] == "shown"


def test_two_small_cells_that_hide_each_other_take_none_with_them() -> None:
    found = verdicts(one_day((7, 5), (8, 4), (30, 25)))
    assert [found[place, "2026-03-02"] for place in "abc"] == ["few", "few", "shown"]


@pytest.mark.parametrize(
    ("first", "second"),
    [((3, 3), (6, 6)), ((4, 4), (5, 4)), ((1, 1), (8, 7))],
    ids=["all satisfied", "sum below the smallest group", "one person"],
)
def test_two_small_cells_that_do_not_hide_each_other_take_a_third(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    found = verdicts(one_day(first, second, (30, 25)))
    assert found["c", "2026-03-02"] == "complementary"


def test_nothing_is_hidden_where_nothing_is_small() -> None:
    assert set(verdicts(one_day((10, 7), (12, 9), (30, 25))).values()) == {"shown"}


def test_a_unit_of_one_small_counter_is_hidden_behind_another_unit() -> None:
    parents = {"all": None, "u": "all", "v": "all", "w": "all", "a": "u", "b": "v", "c": "w"}
    counts = {("a", DAY): Counts(5, 3), ("b", DAY): Counts(14, 9), ("c", DAY): Counts(60, 50)}
    found = verdicts(month_table(parents, counts))
    assert found["u", "2026-03"] == "few"
    assert found["v", "2026-03"] == found["b", "2026-03"] == found["b", "2026-03-02"] == "complementary"
    assert found["w", "2026-03"] == found["all", "2026-03"] == "shown"


def test_unanimity_is_printed_as_a_bound_and_no_sum_gives_it_away() -> None:
    table = one_day((12, 12), (20, 15), (30, 25))
    found = suppress(table)
    assert found.verdict("a", "2026-03-02") is Verdict.BOUND
    hidden = [name for name, verdict in found.by_name().items() if verdict is Verdict.COMPLEMENTARY]
    assert hidden, "12 of 12 is the sum less the others"
    (number,) = [
        index for index, cell in enumerate(table.cells) if (cell.place, cell.window) == ("a", "2026-03-02")
    ]
    (ours,) = attack(printed(found), [number])
    assert (ours.n.least, ours.n.most) == (12, 12)
    assert ours.unsatisfied.most >= 1
    (control,) = attack(naive(table), [number])
    assert control.unsatisfied.most == 0


@pytest.mark.parametrize(
    ("n", "satisfied", "text"),
    [
        (30, 30, "≥97"),
        (30, 29, "≥97"),
        (30, 28, "93"),
        (30, 1, "≤3"),
        (30, 0, "≤3"),
        (30, 2, "7"),
        (200, 200, "≥99.5"),
        (200, 198, "99.0"),
    ],
)
def test_a_share_is_printed_as_finely_as_it_may(n: int, satisfied: int, text: str) -> None:
    assert share_text(n, satisfied) == text
    assert satisfied in possible_satisfied(n, text)


def test_a_text_that_nothing_prints_is_refused() -> None:
    with pytest.raises(PrintImpossible, match="no number of 10 ballots"):
        possible_satisfied(10, "37")


@pytest.mark.parametrize(
    ("first", "last", "name"),
    [
        (DAY, DAY, "2026-03-02"),
        (date(2024, 2, 1), date(2024, 2, 29), "2024-02"),
        (date(2026, 4, 1), date(2026, 6, 30), "2026-Q2"),
        (date(2026, 1, 1), date(2026, 12, 31), "2026"),
    ],
)
def test_windows_that_lie_in_each_other_have_names(first: date, last: date, name: str) -> None:
    assert window_of(first, last) == name


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2026, 3, 30), date(2026, 4, 5)),
        (date(2026, 3, 2), date(2026, 3, 8)),
        (date(2024, 2, 1), date(2024, 2, 28)),
        (date(2026, 2, 1), date(2026, 4, 30)),
        (date(2026, 1, 1), date(2026, 2, 28)),
        (date(2026, 3, 3), date(2026, 3, 2)),
    ],
    ids=["week astride months", "week", "short month", "no quarter", "two months", "backwards"],
)
def test_windows_that_could_be_differenced_are_refused(first: date, last: date) -> None:
    with pytest.raises(TableInvalid, match="no window of figures"):
        window_of(first, last)


@pytest.mark.parametrize(
    ("parents", "days", "message"),
    [
        (UNIT, {("a", DAY): Counts(3, 1), ("a", date(2026, 4, 1)): Counts(3, 1)}, "one table a month"),
        (UNIT, {("all", DAY): Counts(3, 1)}, "no counter"),
        (UNIT, {("x", DAY): Counts(3, 1)}, "no counter"),
        ({"a": "b", "b": "a"}, {}, "no line up to the whole"),
        ({"a": "b"}, {}, "no line up to the whole"),
    ],
)
def test_what_is_no_table_is_refused(
    parents: Mapping[str, str | None], days: Mapping[tuple[str, date], Counts], message: str
) -> None:
    with pytest.raises(TableInvalid, match=message):
        month_table(parents, days)
    with pytest.raises(TableInvalid, match="cannot be satisfied"):
        Counts(3, 4)


def test_quarters_are_sums_of_what_is_shown() -> None:
    assert sum_of_shown([Counts(10, 8), Counts(20, 19)]) == Counts(30, 27)


def test_levels_without_days_print_months_only() -> None:
    days = {(code, day): Counts(6, 4) for code in "abc" for day in (DAY, LATER)}
    found = suppress(month_table(UNIT, days, day_levels=0)).by_name()
    assert {window: verdict for (place, window), verdict in found.items() if place == "a"} == {
        "2026-03-02": Verdict.NOT_OFFERED,
        "2026-03-03": Verdict.NOT_OFFERED,
        "2026-03": Verdict.SHOWN,
    }


def test_the_same_table_gives_the_same_decisions(seed: int) -> None:
    table = simulated_month(np.random.default_rng(seed), units=2, days=4)
    assert suppress(table).verdicts == suppress(table).verdicts


def brute_force(cells: list[PrintedCell], atoms: int, most: int) -> list[tuple[int, ...]]:
    """Return every table of people that prints the same, by trying all."""
    known = [(cell, possible_satisfied(cell.n or 0, cell.share)) for cell in cells if cell.n is not None]
    groups = [(n, satisfied) for n in range(1, most + 1) for satisfied in range(n + 1)]
    return [
        tuple(value for group in world for value in group)
        for world in itertools.product(groups, repeat=atoms)
        if all(
            sum(world[member][0] for member in cell.members) == cell.n
            and sum(world[member][1] for member in cell.members) in possible
            for cell, possible in known
        )
    ]


@pytest.mark.parametrize("counts", [((2, 1), (3, 3)), ((1, 0), (11, 8)), ((4, 4), (2, 0)), ((2, 2), (4, 4))])
def test_the_attack_finds_what_trying_every_table_finds(counts: tuple[tuple[int, int], ...]) -> None:
    parents = {"all": None, "a": "all", "b": "all"}
    table = month_table(parents, {(code, DAY): Counts(*of) for code, of in zip("ab", counts, strict=True)})
    cells = list(naive(table, fewest=5))
    targets = [
        index for index, cell in enumerate(table.cells) if cell.place == "a" and cell.window != "2026-03"
    ]
    (found,) = attack(cells, targets)
    worlds = brute_force(cells, 2, 12)
    assert worlds
    assert (found.n.least, found.n.most) == (min(w[0] for w in worlds), max(w[0] for w in worlds))
    assert (found.satisfied.least, found.satisfied.most) == (
        min(w[1] for w in worlds),
        max(w[1] for w in worlds),
    )
    assert found.n.proven


COUNTS = st.integers(0, 25).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(COUNTS, min_size=6, max_size=6))
def test_no_small_cell_of_any_table_comes_out(counts: list[tuple[int, int]]) -> None:
    keys = [(code, day) for code in "abc" for day in (DAY, LATER)]
    table = month_table(UNIT, {key: Counts(*of) for key, of in zip(keys, counts, strict=True)})
    if not table.cells:
        return
    found = suppress(table)
    small = [index for index, cell in enumerate(table.cells) if table.counts(cell).n < SPECIFIED.fewest]
    for cell in attack(printed(found), small, enough=(9, 3)):  # from 1 to 10 at least
        assert cell.n.width >= 5, cell
        assert cell.n.most >= 10, cell
        assert cell.satisfied.width >= 3, cell


def test_the_simulation_protects_every_cell_and_the_naive_control_leaks() -> None:
    report = run_disclosure(4, 3, units=2, draws=200)
    ours, crossed, alone = report.rows
    assert ours.small_cells == crossed.small_cells >= alone.small_cells > 0  # alone: no months
    assert (ours.determined, ours.narrow, ours.disclosed, ours.days_leaked) == (0, 0, 0, 0)
    assert crossed.days_leaked >= alone.days_leaked > 0
    assert crossed.disclosed > 0
    assert [row.exported for row in report.noise if row.n in {100, 125}] == [False, True, False, False]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_simulation_of_two_months_protects_every_cell(seed: int) -> None:
    report = run_disclosure(44, seed)
    assert report.passed, report.rows


def test_a_rule_for_other_sizes_is_kept() -> None:
    table = one_day((4, 3), (12, 9), (30, 25))
    found = suppress(table, Rule(fewest=4, more_ballots=2, more_satisfied=1))
    assert set(found.by_name().values()) == {Verdict.SHOWN, Verdict.BOUND}


OLD = ((4, 3), (12, 9), (30, 25))


@pytest.mark.parametrize(
    ("new", "allowed"),
    [
        (OLD, True),
        (((4, 3), (12, 9), (45, 35)), True),
        (((4, 3), (12, 9), (33, 27)), False),
        (((4, 3), (12, 9), (42, 37)), False),
        (((4, 3), (12, 9), (29, 24)), False),
        (((6, 4), (12, 9), (45, 35)), False),
        (((9, 6), (30, 20), (45, 35)), True),
    ],
    ids=[
        "the same",
        "many more",
        "few more",
        "more, all satisfied",
        "erased",
        "two more in a hidden cell",
        "hidden cells that hide each other",
    ],
)
def test_a_month_is_published_again_only_when_the_difference_tells_nothing(
    new: tuple[tuple[int, int], ...], *, allowed: bool
) -> None:
    before = suppress(one_day(*OLD))
    after = revised(before, one_day(*new))
    assert (after is not None) is allowed
    if after is not None:
        assert after.hidden == before.hidden


def test_a_revision_opens_no_cell() -> None:
    before = suppress(one_day(*OLD))
    days = {(code, DAY): Counts(*of) for code, of in zip("abc", OLD, strict=True)}
    days |= {(code, LATER): Counts(40, 30) for code in "abc"}
    after = revised(before, month_table(UNIT, days))
    assert after is not None
    assert after.verdict("a", "2026-03-02") is Verdict.FEW
    assert after.verdict("a", "2026-03-03") is Verdict.COMPLEMENTARY
    assert after.verdict("all", "2026-03") is Verdict.SHOWN
