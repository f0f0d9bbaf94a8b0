"""Lists of places: what the intervals leave open, what is left out, and who sees which place."""

from __future__ import annotations

from datetime import date

import pytest

from api.accounts import Account, Login
from api.authorization import Role
from api.database import Database
from api.figure_flags import FigureFlag, figure_flags
from api.index.figures import Completeness, Figure, Line, Share, Versions, Weighting
from api.index.period import Period
from api.index.reading import Reading, Standing
from api.pages.charts_course import Course, CoursePoint, course_svg
from api.pages.charts_places import Dot, DotChart, dots_svg
from api.pages.period_choice import choose_period
from api.pages.ranking import Ranks, listed, ranking, root_of
from api.register import Register, Spot, register_of, visible
from tests.api.senders import enrolled_edge

MONTH = Period.parse("2026-10")
FULL = Completeness(100, 60, 20, 40, 50, 60, 0, 0, 1000)


def share(low: float, value: float, high: float, n: int = 50) -> Share:
    return Share(value, low, high, n, round(value * n), 0, float(n), 0.0, "wilson")


def figure(place: str, found: Share, completeness: Completeness = FULL) -> Figure:
    line = Line(found, {"kiosk": found})
    versions = Versions(1, (), (), ())
    return Figure(place, MONTH, line, {}, Weighting.VISITS, completeness, versions, 1, 1)


def reading(place: str, found: Share) -> Reading:
    return Reading(place, MONTH, Standing.FIGURE, figure=figure(place, found))


def register(*counters: str) -> Register:
    spots = {"all": Spot("all", "all", "", "", "", None, (), counters)}
    for code in counters:
        spots[f"counter:{code}"] = Spot(f"counter:{code}", "counter", code, code, code, "all", (), (code,))
    return Register(date(2026, 10, 31), spots, {"all": tuple(spots)[1:]}, {})


def test_a_rank_is_the_range_that_the_intervals_leave_open() -> None:
    readings = {
        "counter:a": reading("counter:a", share(0.60, 0.70, 0.78)),
        "counter:b": reading("counter:b", share(0.90, 0.95, 0.98)),
        "counter:c": reading("counter:c", share(0.75, 0.85, 0.92)),
        "counter:d": reading("counter:d", share(0.10, 0.20, 0.30)),
    }
    rows = ranking(register("a", "b", "c", "d", "e"), "all", readings)
    assert [(row.spot.code, row.ranks) for row in rows] == [
        ("b", Ranks(1, 2, 4)),
        ("c", Ranks(1, 3, 4)),
        ("a", Ranks(2, 3, 4)),
        ("d", Ranks(4, 4, 4)),
        ("e", None),
    ]
    assert rows[-1].standing is Standing.NOTHING


def test_one_channel_is_ranked_by_its_own_shares() -> None:
    readings = {"counter:a": reading("counter:a", share(0.6, 0.7, 0.8))}
    (kiosk,) = ranking(register("a"), "all", readings, channel="kiosk")
    (paper,) = ranking(register("a"), "all", readings, channel="paper")
    assert kiosk.share is not None
    assert (paper.share, paper.standing) == (None, Standing.NOTHING)


def test_a_list_that_is_too_long_leaves_the_counters_to_their_units() -> None:
    many = register(*(f"q{number}" for number in range(120)))
    assert len(listed(many, "all", counters=True)) == 120  # there is nothing between: they are the list
    unit = Spot("unit:u", "unit", "u", "U", "U", "all", ("u",))
    below = {"all": ("unit:u",), "unit:u": many.below["all"]}
    nested = Register(many.day, {**many.spots, "unit:u": unit}, below, {})
    assert [spot.place for spot in listed(nested, "all", counters=True)] == ["unit:u"]
    assert len(listed(nested, "unit:u", counters=True)) == 120


@pytest.mark.parametrize(
    ("completeness", "n", "expected"),
    [
        (FULL, 30, ()),
        (FULL, 29, (FigureFlag.FEW_BALLOTS,)),
        (Completeness(100, 30, 60, 40, 50, 60, 0, 0, 1000), 50, (FigureFlag.LOW_CONSENT,)),
        (Completeness(1000, 600, 200, 50, 50, 60, 0, 0, 1000), 50, (FigureFlag.LOW_RESPONSE,)),
        (Completeness(100, 60, 20, 40, 50, 60, 0, 60, 1000), 50, (FigureFlag.GAPS,)),
        (Completeness(100, 60, 20, 40, 50, 60, 0, 50, 1000), 50, ()),
        (Completeness(100, 60, 20, 40, 50, 200, 20, 0, 1000), 50, (FigureFlag.LOST_SESSIONS,)),
        # One of ten sessions lost may be chance: nothing is flagged.
        (Completeness(100, 60, 20, 40, 50, 10, 1, 0, 1000), 50, ()),
    ],
)
def test_a_figure_is_flagged_where_the_whole_interval_is_beyond_the_limit(
    completeness: Completeness, n: int, expected: tuple[FigureFlag, ...]
) -> None:
    found = share(0.6, 0.7, 0.8, n)
    assert figure_flags(figure("all", found, completeness), found) == expected


@pytest.mark.parametrize(
    ("wanted", "key", "before", "after", "spans"),
    [
        ("", "2026-10", "2026-09", "2026-11", ("2026-10", "2026-Q4", "2026")),
        ("2026-Q3", "2026-Q3", "2025-Q4", "2026-Q4", ("2026-09", "2026-Q3", "2026")),
        ("2026", "2026", "2025", None, ("2026-11", "2026-Q4", "2026")),
        ("nonsense", "2026-10", "2026-09", "2026-11", ("2026-10", "2026-Q4", "2026")),
    ],
)
def test_periods_lead_to_each_other(
    wanted: str, key: str, before: str, after: str | None, spans: tuple[str, ...]
) -> None:
    released = [date(2025, 12, 1), date(2026, 9, 1), date(2026, 10, 1)]
    view = choose_period(wanted, released, [date(2026, 11, 1)], date(2026, 11, 22), "vi")
    assert view.key == key
    assert view.previous is not None
    assert view.previous.key == before
    assert (view.next.key if view.next else None) == after
    assert tuple(span.key for span in view.spans) == spans


@pytest.fixture
def tree(database: Database) -> Database:
    for area in ("a", "b"):
        enrolled_edge(database, [f"{area}.1", f"{area}.2"], area=area)
    enrolled_edge(database, ["alone"], area="")
    return database


def login(role: Role, *, areas: tuple[str, ...] = (), counters: tuple[str, ...] = ()) -> Login:
    return Login(Account("lan", role, must_change=False, areas=areas, counters=counters), "c")


@pytest.mark.parametrize(
    ("who", "places", "root"),
    [
        (login(Role.OBSERVER), {"all", "area:a", "area:b"}, "all"),
        (login(Role.SUPERVISOR, areas=("a",)), {"area:a"}, ""),
        (login(Role.SUPERVISOR, counters=("a.1",)), set(), ""),
        (login(Role.SUPERVISOR, counters=("a.1", "a.2")), {"area:a"}, ""),
        (login(Role.SUPERVISOR), set(), ""),
    ],
)
def test_a_supervisor_sees_the_places_of_an_own_area_and_no_other(
    tree: Database, who: Login, places: set[str], root: str
) -> None:
    whole = register_of(tree, date(2026, 10, 31))
    seen = visible(who, whole)
    units = {name for name, spot in seen.spots.items() if spot.level == "unit"}
    assert {name for name, spot in seen.spots.items() if not spot.is_counter} - units == places
    assert {whole.way(unit)[-2].place for unit in units} <= places | {"all"}
    own = {"a.1", "a.2"} if places == {"area:a"} else set(who.account.counters)
    if who.account.role is Role.SUPERVISOR:
        assert {spot.code for spot in seen.spots.values() if spot.is_counter} == own
    found = root_of(seen)
    assert found == root or found in places | units


def test_a_chart_of_dots_draws_bounds_and_says_what_is_missing() -> None:
    dots = (Dot("Quầy <1>", 0, 97, 80, 100, "≥"), Dot("Quầy 2", 1, missing="không có số liệu"))
    for size in ("wide", "narrow"):
        text = dots_svg(DotChart("T", "D", "%", dots), size).decode()
        assert "<title>T</title>" in text
        assert "không có số liệu" in text
        assert "Quầy &lt;1&gt;" in text
        assert dots_svg(DotChart("T", "D", "%", dots), size).decode() == text
    assert "nothing" in dots_svg(DotChart("T", "D", "%", (), empty="nothing"), "wide").decode()


def test_a_course_keeps_its_gaps() -> None:
    def lines(numbers: tuple[int, ...]) -> int:
        points = tuple(CoursePoint(number, str(number), 80, 70, 90) for number in numbers)
        return course_svg(Course("T", "D", "%", points), "wide").decode().count("FillBetweenPolyCollection")

    assert (lines((1, 2, 3)), lines((1, 2, 4))) == (1, 2)
