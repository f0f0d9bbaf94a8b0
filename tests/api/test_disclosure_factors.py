"""Factors printed beside the whole: hidden together nothing comes out, hidden in the whole alone it does."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from api.disclosure import points
from api.statistics.disclosure_attack import PrintedCell, PrintImpossible
from api.statistics.disclosure_command import DisclosureReport, run_disclosure, table_of
from api.statistics.disclosure_factors import (
    attack_together,
    factor_rows,
    simulated_factors,
    together,
)
from api.statistics.suppression import SPECIFIED, suppress

_EVERY_END = 10_000, 10_000


def test_simulated_factors_are_answers_of_the_same_people(seed: int) -> None:
    tables = simulated_factors(np.random.default_rng(seed), units=3, days=3)
    whole, *factors = tables

    assert len(factors) == 4
    for table in factors:
        assert table.cells == whole.cells
        for of_all, of_factor in zip(whole.atoms, table.atoms, strict=True):
            assert of_all.n == of_factor.n
            assert of_all.satisfied <= of_factor.satisfied <= of_factor.n


def test_what_is_hidden_in_one_table_is_hidden_in_all(seed: int) -> None:
    tables = simulated_factors(np.random.default_rng(seed), units=2, days=3)
    found = together(tables, SPECIFIED)
    alone = [suppress(table, SPECIFIED).hidden for table in tables]

    assert {one.hidden for one in found} == {frozenset[int]().union(*alone)}
    for one, table in zip(found, tables, strict=True):
        own = suppress(table, SPECIFIED)
        assert [v for v, w in zip(one.verdicts, own.verdicts, strict=True) if v != w] == ["complementary"] * (
            len(one.hidden) - len(own.hidden)
        )


@pytest.mark.parametrize(
    "hidden", [{(0, 0)}, {(0, 0), (0, 1)}, {(0, 0), (1, 0), (1, 1)}, {(0, 0), (1, 1), (2, 1)}]
)
@pytest.mark.parametrize("truth", [((3, 1, 2, 2), (4, 2, 3, 2)), ((2, 2, 2, 2), (3, 0, 0, 1))], ids=str)
def test_the_attack_finds_what_trying_every_answer_finds(
    truth: tuple[tuple[int, ...], ...], hidden: set[tuple[int, int]]
) -> None:
    """Two counters of a day in three tables: ballots, then those satisfied overall and with two factors."""
    members = ((0,), (1,), (0, 1))
    prints = [
        [
            _print(truth, statistic, inside, shown=(statistic, number) not in hidden)
            for number, inside in enumerate(members)
        ]
        for statistic in range(3)
    ]
    one = [
        (n, whole, *factors)
        for n, whole, *factors in itertools.product(range(1, 8), *[range(8)] * 3)
        if whole <= min(factors) and max(factors) <= n and n - whole <= 2 * n - sum(factors)
    ]
    worlds = [
        world
        for world in itertools.product(one, repeat=2)
        if all(
            cell.n is None or _print(world, statistic, cell.members, shown=True) == cell
            for statistic, cells in enumerate(prints)
            for cell in cells
        )
    ]
    found = attack_together(prints, [0, 1], enough=_EVERY_END)

    assert truth in worlds
    for number in (0, 1):
        of = found[number]
        ends = [of.n, *of.satisfied, *of.unsatisfied]
        values = [
            [world[number][0] for world in worlds],
            *([world[number][1 + kind] for world in worlds] for kind in range(3)),
            *([world[number][0] - world[number][1 + kind] for world in worlds] for kind in range(3)),
        ]
        assert [(end.least, end.most) for end in ends] == [(min(value), max(value)) for value in values]


def test_numbers_that_nobody_could_have_given_are_refused() -> None:
    with pytest.raises(PrintImpossible):
        attack_together([[_cell("a", 20, "90")], [_cell("a", 20, "50")]], [0], enough=(5, 3))


def test_hidden_together_nothing_comes_out_and_with_naive_factors_it_does() -> None:
    ours, control = factor_rows(np.random.default_rng(2), units=2, days=2, rule=SPECIFIED, factors=2)

    assert ours.statistics == control.statistics == 3
    assert ours.small_cells == control.small_cells > 0
    assert ours.hidden >= control.hidden > 0
    assert (ours.determined, ours.narrow) == (0, 0)
    assert control.determined > 0


def test_the_report_fails_where_a_factor_gives_a_cell_away() -> None:
    report = run_disclosure(1, 3, units=2, draws=50, factor_days=1)
    ours, control = report.factors

    assert report.passed == (ours.narrow == 0 and control.determined > 0 and report.rows[1].days_leaked > 0)
    assert "| together | 5 |" in table_of(report)
    assert "| the whole alone | 5 |" in table_of(report)
    assert isinstance(report, DisclosureReport)


def _print(
    world: Sequence[Sequence[int]], statistic: int, members: tuple[int, ...], *, shown: bool
) -> PrintedCell:
    name = "+".join(map(str, members)), "2026-03-02"
    n, satisfied = (sum(world[member][part] for member in members) for part in (0, 1 + statistic))
    return PrintedCell(name, members, n, points(satisfied / n, n)) if shown else PrintedCell(name, members)


def _cell(place: str, n: int, share: str) -> PrintedCell:
    return PrintedCell((place, "2026-03-02"), (0,), n, share)
