"""Regions of many units as they are published: no place of few comes out, factors go with the whole."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from api.disclosure import nearly_unanimous
from api.figure_table import OVERALL
from api.index.breakdown import BANDS, Dimension, Votes
from api.index.breaking_down import Spot
from api.index.cells import CONSENTED, OTHERS, QUESTIONS, SCORED, Cell, Item, Member, partition
from api.index.formula import KIOSK
from api.index.publication import Hidden, documents, hidden_places
from api.schema import next_month
from inference.signal import Criterion
from tests.api.printed_attack import Print, found_out, small_cells
from tests.api.printed_facts import Fact, of_json, parts_of_json
from tests.api.printed_parts import small_spots

MONTHS = (date(2026, 4, 1), date(2026, 5, 1))
N = 10


def _region(rng: np.random.Generator, units: int, *, busy: float = 2.7) -> dict[date, list[Item]]:
    """Return what was counted of some units in two areas: many small counters, some of one mind.

    Args:
        rng: Source of chance.
        units: How many there are.
        busy: Logarithm of a counter's ballots a month, in the middle.
    """
    found: dict[date, list[Item]] = {month: [] for month in MONTHS}
    for unit in range(units):
        above = ("all", f"area:{unit % 2}", f"unit:{unit}")
        for number in range(int(rng.integers(1, 5))):
            traffic, satisfied = rng.lognormal(busy, 0.9), rng.choice([1.0, rng.beta(18, 3)], p=[0.15, 0.85])
            for month in MONTHS:
                n = int(rng.poisson(traffic))
                if n:
                    found[month].append(_item((*above, f"counter:{unit}-{number}"), month, rng, n, satisfied))
    return found


def _item(path: tuple[str, ...], month: date, rng: np.random.Generator, n: int, satisfied: float) -> Item:
    answers = rng.random((n, len(Criterion))) < satisfied ** (1 / len(Criterion))
    sums = {f"{part}.{name}": 0 for part in (SCORED, CONSENTED) for name in ("n", "y.overall")}
    sums |= {f"{OTHERS}.n": n, f"{OTHERS}.y.overall": int(answers.all(axis=1).sum())}
    sums |= {f"{OTHERS}.y.{item.value}": int(answers[:, at].sum()) for at, item in enumerate(Criterion)}
    member = Member(path[-1].partition(":")[2], month, next_month(month))
    return Item(KIOSK, path, sums, (member,), tally=_tally(month, rng, answers.all(axis=1).tolist()))


def _tally(month: date, rng: np.random.Generator, answers: list[bool]) -> dict[Spot, Votes]:
    """Give each ballot a working day, a time of day, and mostly a procedure."""
    days = [month + timedelta(number) for number in range((next_month(month) - month).days)]
    days = [day for day in days if day.weekday() < 5]
    found: dict[Spot, Votes] = {}
    for yes in answers:
        spot = Spot(
            days[int(rng.integers(len(days)))],
            BANDS[int(rng.random() < 0.4)],
            ("", "dat-dai", "ho-tich", "chung-thuc")[int(rng.choice(4, p=(0.1, 0.5, 0.35, 0.05)))],
        )
        found[spot] = found.get(spot, Votes()) + Votes(1, int(yes))
    return found


def _published(items: dict[date, list[Item]], minimum_n: int) -> Print:
    cells = [cell for month, found in items.items() for cell in partition(month, found, minimum_n)[0]]
    facts: set[Fact] = set()
    for name, figure in documents(cells, (), minimum_n).items():
        place, _, period = name.rpartition(" ")
        facts |= of_json(period, {place: figure})
    return Print(frozenset(fact for fact in facts if fact.n >= N), items, cells)


@pytest.mark.parametrize("units", [7, 9, 12])
def test_no_place_of_few_ballots_comes_out_of_a_region_of_many_units(units: int, seed: int) -> None:
    """Months, quarter and year together, the whole and the four factors that ratings at the counter have."""
    items = _region(np.random.default_rng([seed, units]), units)
    printed = _published(items, N)
    for factor in (OVERALL, "access", "officer"):
        attacked = small_cells([printed], factor, fewest=N)
        assert len(attacked) > units
        assert found_out(attacked, one_mind=factor == OVERALL) == {}, (seed, factor)


def _of_months(printed: Print) -> Print:
    names = {f"{month:%Y-%m}" for month in MONTHS}
    return replace(printed, facts=frozenset(fact for fact in printed.facts if fact.about.period in names))


def _parts(items: dict[date, list[Item]], minimum_n: int) -> tuple[list[Fact], list[Cell], Hidden]:
    """Return the parts that are printed when cells and parts need so many ballots."""
    cells = [cell for month, found in items.items() for cell in partition(month, found, minimum_n)[0]]
    parts: set[Fact] = set()
    for name, figure in documents(cells, (), minimum_n).items():
        place, _, period = name.rpartition(" ")
        parts |= parts_of_json(period, {place: figure})
    return sorted(parts), cells, hidden_places(cells, minimum_n)


def _parted_region(seed: int, minimum_n: int) -> dict[date, list[Item]]:
    """Return the first region of the seed in which days, times and procedures are told apart at all."""
    regions = (_region(np.random.default_rng([seed, number]), 2, busy=4.0) for number in itertools.count())
    return next(items for items in regions if _told_apart(_parts(items, minimum_n)[0]) == set(Dimension))


def _told_apart(parts: Sequence[Fact]) -> set[str]:
    return {fact.about.channel.split()[0] for fact in parts}


def test_no_day_time_or_procedure_of_few_comes_out_of_breakdowns(seed: int) -> None:
    """Counters, their units, areas and the whole beside each other; two months and their quarter."""
    items = _parted_region(seed, N)
    parts, cells, hidden = _parts(items, N)
    assert len({fact.about.place for fact in parts}) > 2
    attacked = small_spots(Print(frozenset(), items, cells), parts, hidden, fewest=N)
    assert len(attacked) > 50
    assert found_out(attacked) == {}, seed


def test_parts_of_fewer_are_caught(seed: int) -> None:
    """The control that must fail: the same breakdowns, made for cells and parts of three ballots."""
    items = _parted_region(seed, 3)
    parts, cells, hidden = _parts(items, 3)
    assert found_out(small_spots(Print(frozenset(), items, cells), parts, hidden, fewest=N))


@pytest.mark.parametrize("units", [7, 12])
def test_a_naive_publication_of_the_region_is_caught(units: int, seed: int) -> None:
    """The control that must fail: a sum of everybody, where single figures of few are left out."""
    items = _region(np.random.default_rng([seed, units]), units)
    naive = _of_months(_published(items, 1))
    caught = found_out(small_cells([naive], fewest=N))
    truth = {
        (f"{KIOSK} {item.path[-1]}", f"{month:%Y-%m}"): item.sums[f"{OTHERS}.n"]
        for month, found in items.items()
        for item in found
    }
    assert caught
    assert any(name in truth and truth[name] == found.n.least for name, found in caught.items())


def test_factors_of_a_place_are_hidden_together_with_the_whole(seed: int) -> None:
    """Where all at a counter are of one mind, another is hidden so that no sum tells: in every factor."""
    hidden = 0
    for number in itertools.count():
        items = _region(np.random.default_rng([seed, number]), 7)
        cells = [cell for month, found in items.items() for cell in partition(month, found, N)[0]]
        held = {(place, f"{month:%Y-%m}") for month, place in hidden_places(cells, N) if "=" not in place}
        printed = _published(items, N)
        for place, month in held:
            hidden += 1
            said = [fact for fact in printed.facts if (fact.about.place, fact.about.period) == (place, month)]
            assert said == [], "neither the whole nor a factor"
        if hidden > 2 or number > 10:
            break
    assert hidden, seed


def _unanimous(items: Sequence[Item]) -> list[Item]:
    return [
        item
        for item in items
        if item.sums[f"{OTHERS}.n"] >= N
        and nearly_unanimous(item.sums[f"{OTHERS}.n"], item.sums[f"{OTHERS}.y.overall"])
    ]


def test_the_regions_have_what_they_are_to_show(seed: int) -> None:
    items = _region(np.random.default_rng([seed, 9]), 9)
    ballots = [item.sums[f"{OTHERS}.n"] for found in items.values() for item in found]
    assert min(ballots) < N < max(ballots)
    assert any(_unanimous(found) for found in items.values())
    assert set(QUESTIONS) == {"overall", *(item.value for item in Criterion)}


def _mind_changed(item: Item) -> Item:
    """Let one person of a group of one mind have said otherwise, on every question that all agreed on."""
    n, sums = item.sums[f"{OTHERS}.n"], dict(item.sums)
    for question in QUESTIONS:
        if sums[f"{OTHERS}.y.{question}"] == n:
            sums[f"{OTHERS}.y.{question}"] = n - 1
        elif sums[f"{OTHERS}.y.{question}"] == 0:
            sums[f"{OTHERS}.y.{question}"] = 1
    return replace(item, sums=sums)


@pytest.mark.parametrize(
    ("second", "quarter"),
    [
        (12, "87"),  # 12 of 15 and a bound of 15: 26 of 30
        (15, "≥93"),  # every month a bound: so is the quarter, for one otherwise in each
        (0, "50"),  # bounds on either side
    ],
)
def test_a_longer_period_is_the_same_whatever_is_behind_the_bounds_of_its_months(
    second: int, quarter: str
) -> None:
    path = ("all", "area:0", "unit:0", "counter:0-0")
    items = {}
    for month, satisfied in zip(MONTHS, (15, second), strict=True):
        sums = {f"{part}.{name}": 0 for part in (SCORED, CONSENTED) for name in ("n", "y.overall")}
        sums |= {f"{OTHERS}.n": 15} | {f"{OTHERS}.y.{question}": satisfied for question in QUESTIONS}
        items[month] = Item(KIOSK, path, sums, (Member("0-0", month, next_month(month)),))
    printed = []
    for change in itertools.product((False, True), repeat=len(MONTHS)):
        cells = [
            cell
            for (month, item), changed in zip(items.items(), change, strict=True)
            for cell in partition(month, [_mind_changed(item) if changed else item], N)[0]
        ]
        printed.append(documents(cells, (), N))
    assert printed[0]["counter:0-0 2026-Q2"]["overall"]["share"]["value"] == quarter
    assert all(other == printed[0] for other in printed)
