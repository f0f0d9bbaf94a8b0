"""Places side by side: the difference covers, like is held against like, and a bound gives nothing away."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from api.database import Database
from api.disclosure import Disclosure
from api.index.agreement import agreement
from api.index.alike import Alike, Equal
from api.index.breakdown import BANDS, Dimension, Part
from api.index.comparison import Comparison, Like, compare, difference, standardised
from api.index.figures import Completeness, Figure, Line, Share, Versions, Weighting
from api.index.period import Period
from api.index.reading import Reading, Standing, read_places
from api.interval import share_of
from api.postgres import EmbeddedPostgres
from tests.api.province_console import province_database
from tests.api.province_places import EASY_COUNTER, HARD_COUNTER, SIGNAL_COUNTER, UNANIMOUS_COUNTER

TODAY = date(2026, 11, 22)
MONTH, QUARTER = Period.parse("2026-10"), Period.parse("2026-Q3")
DISCLOSURE = Disclosure(10, TODAY)
ONE, TWO, AREA = "unit:trung-tam", "unit:cho-moi", "commune:sen-ho"


def share(satisfied: int, n: int) -> Share:
    found = share_of(satisfied, n)
    assert found is not None
    return Share(found.value, found.low, found.high, n, satisfied, 0, float(n), 0.0, "wilson")


@pytest.fixture(scope="module")
def province(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder: Path = tmp_path_factory.mktemp("comparison")
    with (
        province_database(postgres, folder, today=TODAY, months=3) as (dsn, _),
        Database(dsn) as database,
    ):
        yield database


def test_a_difference_is_newcombes() -> None:
    """56 of 70 and 48 of 80: Newcombe (1998), table II, method 10."""
    found = difference(share(56, 70), share(48, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert (found.n, found.clear) == (70, True)


def test_overlapping_intervals_may_differ_all_the_same() -> None:
    one, other = share(85, 100), share(73, 100)
    assert one.low < other.high
    assert difference(one, other).clear
    assert not difference(one, other, 5).clear, "one of five looks is expected to be extreme"


@dataclass(frozen=True, slots=True)
class Drawn:
    p: float
    n: int

    def share(self, rng: random.Random) -> Share:
        return share(sum(rng.random() < self.p for _ in range(self.n)), self.n)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Drawn(0.95, 30), Drawn(0.85, 120)),
        (Drawn(0.8, 60), Drawn(0.8, 60)),
        (Drawn(0.97, 40), Drawn(0.9, 40)),
    ],
)
def test_the_interval_of_a_difference_covers(seed: int, one: Drawn, other: Drawn) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    runs = 2000
    held = 0
    for _ in range(runs):
        found = difference(one.share(rng), other.share(rng))
        held += found.low <= one.p - other.p <= found.high
    assert 0.93 <= held / runs <= 0.985


@pytest.mark.parametrize("together", [1, 3, 5])
def test_several_differences_hold_together(seed: int, together: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    runs, kind = 1000, Drawn(0.85, 80)
    held = 0
    for _ in range(runs):
        first = kind.share(rng)
        found = [difference(kind.share(rng), first, together) for _ in range(together)]
        held += all(item.low <= 0 <= item.high for item in found)
    assert held / runs >= 0.93


def test_like_with_like_undoes_another_mix_of_channels() -> None:
    """Both places are the same in each channel; one has more of the stricter channel."""
    kiosk, paper = Alike("2026-10", "kiosk"), Alike("2026-10", "paper")
    one = {kiosk: share(180, 200), paper: share(14, 20)}
    other = {kiosk: share(18, 20), paper: share(140, 200)}
    weights = {kiosk: 220, paper: 220}
    likes = [standardised(item, weights, 1.0) for item in (one, other)]
    assert [like.value for like in likes] == pytest.approx([0.8, 0.8])
    assert [like.n for like in likes] == [220, 220]
    assert (likes[0].low, likes[0].high) == pytest.approx((0.69, 0.877), abs=0.005)
    assert difference(likes[0], likes[1]).value == pytest.approx(0)


def _counter(place: str, mix: Mapping[str, tuple[int, int]], **other: Share) -> Reading:
    """Return a counter whose ratings are told apart: name of the part -> ballots and satisfied ones."""
    parts = tuple(Part(name, n, satisfied) for name, (n, satisfied) in mix.items())
    n, satisfied = sum(part.n for part in parts), sum(part.satisfied for part in parts)
    channels = {"kiosk": share(satisfied, n), **other}
    nothing = Completeness(0, 0, 0, n, 0, 0, 0, 0, 0)
    line, basis = Line(channels["kiosk"], channels), Versions(1, (), (), ())
    bands = {band: [part for part in parts if part.name.endswith(band)] for band in BANDS}
    times = tuple(
        Part(band, sum(part.n for part in mine), sum(part.satisfied for part in mine))
        for band, mine in bands.items()
        if mine
    )
    breakdowns = {Dimension.MIX: parts, Dimension.TIMES: times}
    figure = Figure(place, MONTH, line, {}, Weighting.BALLOTS, nothing, basis, 1, 1, breakdowns)
    return Reading(place, MONTH, Standing.FIGURE, figure=figure)


def _compared(*readings: Reading) -> Comparison:
    there = {reading.place: reading for reading in readings}
    return compare(lambda *_: there, list(there), MONTH, DISCLOSURE)


def test_the_counter_with_the_harder_procedures_is_not_worse_when_like_is_held_against_like() -> None:
    """Simpson's case: better in each procedure, and worse in the whole."""
    hard = _counter("counter:hard", {"land|": (200, 130), "birth|": (50, 48)})
    easy = _counter("counter:easy", {"land|": (50, 32), "birth|": (200, 190)})
    found = _compared(easy, hard)
    first, second = found.sides
    assert second.difference is not None
    assert second.difference.high < 0, "as it is, the harder counter is clearly worse"
    assert second.like_difference is not None
    assert second.like_difference.value == pytest.approx((0.65 + 0.96) / 2 - (0.64 + 0.95) / 2)
    assert second.like_difference.low < 0 < second.like_difference.high
    assert found.equal == (Equal.MONTHS, Equal.CHANNELS, Equal.PROCEDURES)
    assert [side.like.covered for side in found.sides if side.like is not None] == [1.0, 1.0]
    assert first.like is not None
    # MOVER over two Wilson intervals with weight one half each.
    land, birth = share(32, 50), share(190, 200)
    low = first.like.value - math.hypot(land.value - land.low, birth.value - birth.low) / 2
    assert first.like.low == pytest.approx(low)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (
            {"land|morning": (60, 50), "land|afternoon": (40, 20)},
            {"land|morning": (30, 25), "land|afternoon": (70, 35)},
            {Equal.PROCEDURES, Equal.TIMES},
        ),
        # The times of day of one are not told apart by procedure: the procedures alone.
        (
            {"land|morning": (60, 50), "land|afternoon": (40, 20)},
            {"land|": (100, 60)},
            {Equal.PROCEDURES},
        ),
        # Other procedures than the other's, put together or not: the time of day alone.
        (
            {"land|morning": (60, 50), "|morning": (50, 40), "|afternoon": (40, 20)},
            {"birth|morning": (60, 50), "|morning": (50, 40), "|afternoon": (40, 20)},
            {Equal.TIMES},
        ),
        ({"land|": (60, 40), "|": (40, 20)}, {"birth|": (60, 40), "|": (40, 20)}, set()),
        # Half of both is common: not four fifths.
        ({"land|": (50, 30), "birth|": (50, 40)}, {"land|": (50, 30), "death|": (50, 40)}, set()),
        (
            {"land|": (85, 60), "birth|": (15, 10)},
            {"land|": (85, 60), "death|": (15, 10)},
            {Equal.PROCEDURES},
        ),
    ],
)
def test_as_much_is_made_equal_as_four_fifths_of_the_ballots_allow(
    one: Mapping[str, tuple[int, int]], other: Mapping[str, tuple[int, int]], equal: set[Equal]
) -> None:
    found = _compared(_counter("counter:one", one), _counter("counter:other", other))
    assert set(found.equal) == {Equal.MONTHS, Equal.CHANNELS, *equal}
    assert {side.like.equal for side in found.sides if side.like is not None} == {found.equal}


def test_channels_are_strata_of_their_own_beside_procedures() -> None:
    mixes = {"land|": (40, 20), "birth|": (60, 55)}, {"land|": (60, 30), "birth|": (40, 38)}
    found = _compared(
        _counter("counter:one", mixes[0], paper=share(50, 100)),
        _counter("counter:other", mixes[1], paper=share(80, 100)),
    )
    likes = [side.like for side in found.sides]
    assert found.parts == (("2026-10", "kiosk"), ("2026-10", "paper"))
    assert [None if like is None else like.value for like in likes] == pytest.approx(
        [0.25 * 0.5 + 0.25 * 55 / 60 + 0.5 * 0.5, 0.25 * 0.5 + 0.25 * 0.95 + 0.5 * 0.8]
    )


def test_places_are_compared_in_the_order_asked_for(province: Database) -> None:
    found = compare(partial(read_places, province), [TWO, ONE], MONTH, DISCLOSURE)
    assert [side.place for side in found.sides] == [TWO, ONE]
    assert [side.difference is None for side in found.sides] == [True, False]
    first, second = found.sides
    assert first.reading.figure is not None
    assert second.reading.figure is not None
    a, b = first.reading.figure.overall.share, second.reading.figure.overall.share
    assert a is not None
    assert b is not None
    assert second.difference is not None
    assert second.difference.value == pytest.approx(b.value - a.value)
    back = compare(partial(read_places, province), [ONE, TWO], MONTH, DISCLOSURE).sides[1].difference
    assert back is not None
    assert (back.low, back.high) == pytest.approx((-second.difference.high, -second.difference.low))


def test_only_what_all_places_have_is_held_against_each_other(province: Database) -> None:
    found = compare(partial(read_places, province), [ONE, TWO], QUARTER, DISCLOSURE)
    assert {month for month, _ in found.parts} == {"2026-08", "2026-09"}
    likes = [side.like for side in found.sides]
    assert all(isinstance(like, Like) and 0.8 <= like.covered <= 1 for like in likes)
    assert likes[0] is not None
    assert likes[1] is not None
    assert math.isclose(likes[0].covered, likes[1].covered)


def test_a_channel_that_is_a_bound_is_no_stratum() -> None:
    plain = {"land|": (80, 50), "birth|": (80, 70)}
    for paper, parts in ((share(20, 20), 1), (share(18, 20), 2)):
        found = _compared(
            _counter("counter:one", plain, paper=paper), _counter("counter:other", plain, paper=share(15, 20))
        )
        assert len(found.parts) == parts
        assert [side.like is None for side in found.sides] == [False, False]


def test_the_harder_counter_of_the_province_is_not_worse(province: Database) -> None:
    """Each procedure satisfies as many at both; one handles more of the harder one."""
    places = [f"counter:{EASY_COUNTER}", f"counter:{HARD_COUNTER}"]
    found = compare(partial(read_places, province), places, MONTH, DISCLOSURE)
    hard = found.sides[1]
    assert hard.difference is not None
    assert hard.difference.high < 0
    assert hard.like_difference is not None
    assert hard.like_difference.low < 0 < hard.like_difference.high
    assert abs(hard.like_difference.value) < abs(hard.difference.value) / 2
    assert Equal.PROCEDURES in found.equal
    assert hard.like is not None
    assert hard.like.covered >= 0.8


@pytest.mark.parametrize("place", [f"counter:{UNANIMOUS_COUNTER}", f"counter:{SIGNAL_COUNTER}"])
def test_a_bound_and_a_signal_have_no_difference(province: Database, place: str) -> None:
    for order in ([ONE, place], [place, ONE]):
        found = compare(partial(read_places, province), order, MONTH, DISCLOSURE)
        assert [side.difference for side in found.sides] == [None, None]
        assert [side.like_difference for side in found.sides] == [None, None]


def test_a_place_and_one_inside_it_have_no_difference(province: Database) -> None:
    inside = frozenset({(ONE, AREA)})
    found = compare(partial(read_places, province), [AREA, ONE, TWO], MONTH, DISCLOSURE, overlapping=inside)
    assert [side.difference is None for side in found.sides] == [True, True, False]


def test_ballots_and_scores_stand_beside_each_other_where_both_may_be_printed(province: Database) -> None:
    asked = [AREA, ONE, f"counter:{SIGNAL_COUNTER}", "unit:absent"]
    found = {row.place: row for row in agreement(province, asked, MONTH, DISCLOSURE)}
    assert set(found) == {AREA, ONE}
    row = found[ONE]
    reading = compare(partial(read_places, province), [ONE, TWO], MONTH, DISCLOSURE).sides[0].reading
    assert reading.standing is Standing.FIGURE
    assert reading.figure is not None
    assert row.ballots is not None
    assert row.scores is not None
    assert row.ballots.n == reading.figure.overall.channels["kiosk"].n
    assert row.ballots.value == row.ballots.satisfied / row.ballots.n
    # Calibrated on ballots of the same kind of people: the mean of the scores is near the ballots' share.
    assert row.scores.value == pytest.approx(row.ballots.value, abs=0.1)
    assert row.calibrations
