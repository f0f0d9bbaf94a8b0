"""Counts a month: sums of each counter, by how people came into the record; the rows stay where they are.

Nothing but sums leaves this module. Scores pass through the calibration of their models and are rounded to
whole millionths first, so that sums are exact and the same in every order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter

from api.database import Connection, Database
from api.index.breakdown import OTHERS as OTHER_PROCEDURES
from api.index.breakdown import Votes
from api.index.breaking_down import Spot, band_of
from api.index.calibrations import Calibrations
from api.index.cells import CONSENTED, OTHERS, PASSIVE, POOLED, SCORED, Basis, Item, Member
from api.index.formula import KIOSK
from api.index.model_key import model_key
from api.index.places import Path, Places, places_of
from api.schema import DAY_ZONE, next_month
from inference.signal import Criterion, ModelVersion

_AT_ONCE: Final = 100
"""Counters whose rows are looked at together."""
_CRITERIA: Final = tuple(criterion.value for criterion in Criterion)
_MODELS: Final = TypeAdapter(tuple[ModelVersion, ...])
_FROM: Final = f"%(month)s::timestamp AT TIME ZONE '{DAY_ZONE}'"
_UNTIL: Final = f"%(next)s::timestamp AT TIME ZONE '{DAY_ZONE}'"
_SIGNALS: Final = (
    f"SELECT session_id, counter, (window_start AT TIME ZONE '{DAY_ZONE}')::date, score_ppm, arrival, "  # noqa: S608 - names are ours
    "(payload -> 'models')::text, payload ->> 'software' FROM signals "
    f"WHERE counter = ANY(%(counters)s) AND window_start >= {_FROM} AND window_start < {_UNTIL} "
    "ORDER BY arrival"
)
# A ballot belongs to the day of its session where that is known: a service may end after midnight.
_BALLOTS: Final = f"""
SELECT b.session_id, b.counter, b.day, (b.cast_at AT TIME ZONE '{DAY_ZONE}'), b.procedure, c.state,
    {", ".join(f"b.{name}" for name in _CRITERIA)}
FROM (
    SELECT ballots.*, coalesce(
        (SELECT (s.window_start AT TIME ZONE '{DAY_ZONE}')::date FROM signals s
        WHERE s.counter = ballots.counter AND s.session_id = ballots.session_id
        AND s.window_start > ballots.cast_at - interval '1 day'
        AND s.window_start <= ballots.cast_at LIMIT 1),
        (cast_at AT TIME ZONE '{DAY_ZONE}')::date) AS day
    FROM ballots
    WHERE counter = ANY(%(counters)s) AND cast_at >= {_FROM} AND cast_at < ({_UNTIL}) + interval '1 day'
) b
LEFT JOIN consents c ON c.session_id = b.session_id
WHERE b.day >= %(month)s AND b.day < %(next)s ORDER BY b.cast_at, b.ballot_id
"""  # noqa: S608 - names are ours, values are bound
_LEDGER: Final = (
    f"SELECT c.counter, (c.offered_at AT TIME ZONE '{DAY_ZONE}')::date AS day, c.edge_id, "  # noqa: S608 - names are ours
    "(SELECT size FROM edge_logs l WHERE l.edge_id = c.edge_id), count(*), "
    "count(*) FILTER (WHERE c.decided_at IS NOT NULL "
    "AND c.state NOT IN ('refused', 'withdrawn', 'invalidated')), "
    "count(*) FILTER (WHERE c.state = 'refused'), count(c.session_started_at), "
    "count(*) FILTER (WHERE c.session_started_at IS NOT NULL AND c.session_ended_at IS NULL), "
    "coalesce(sum(c.gap_ms), 0)::bigint, coalesce(sum(c.consented_ms), 0)::bigint "
    f"FROM consents c WHERE c.counter = ANY(%(counters)s) AND c.offered_at >= {_FROM} "
    f"AND c.offered_at < {_UNTIL} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
_LEDGER_COUNTS: Final = ("visits", "given", "refused", "slots", "lost", "gap_ms", "consented_ms")
_STANDING: Final = frozenset({"given", "completed", "expired", "revoked"})
"""States of a consent that was given and stands."""
_SURVEY: Final = (
    "SELECT channel, unit, counter, day, NULL, NULL, count(*), 0 FROM survey_ballots "
    "WHERE day >= %(month)s AND day < %(next)s GROUP BY 1, 2, 3, 4 UNION ALL "
    "SELECT channel, unit, counter, day, factor, criterion, count(*), count(*) FILTER (WHERE satisfied) "
    "FROM survey_answers WHERE day >= %(month)s AND day < %(next)s AND channel <> 'kiosk' "
    "GROUP BY 1, 2, 3, 4, 5, 6"
)
_TRANSACTIONS: Final = (
    "SELECT unit, sum(completed)::bigint FROM completed_transactions "
    "WHERE day >= %(month)s AND day < %(next)s GROUP BY unit"
)


@dataclass(slots=True)
class _Place:
    """One counter at one place in the tree, for as long as it was there."""

    sums: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    days: set[date] = field(default_factory=set)
    as_of: int = 0
    calibrations: set[int] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    software: set[str] = field(default_factory=set)
    ledger: dict[UUID, int] = field(default_factory=dict)
    tally: dict[Spot, Votes] = field(default_factory=lambda: defaultdict(Votes))


@dataclass(frozen=True, slots=True)
class _Session:
    """A session with a usable score."""

    counter: str
    day: date
    score_ppm: int


def count_month(
    database: Database, month: date, calibrations: Calibrations, *, minimum_n: int
) -> tuple[Item, ...]:
    """Count every channel of a month.

    Args:
        database: Where the rows are.
        month: Its first day; it should be over.
        calibrations: What makes a score comparable with ballots; scores of other models are not used.
        minimum_n: Scores of days that are shown by themselves and those of the other days of a counter are
            told apart by subtraction, so the others count only where they are this many.
    """
    bounds: dict[str, Any] = {"month": month, "next": next_month(month)}
    with database.transaction() as connection:
        places = places_of(connection, month)
        codes = [str(row[0]) for row in connection.execute("SELECT code FROM counters ORDER BY code")]
        by_unit = {str(row[0]): int(row[1]) for row in connection.execute(_TRANSACTIONS, bounds)}
        surveys = connection.execute(_SURVEY, bounds).fetchall()
    items: list[Item] = []
    for start in range(0, len(codes), _AT_ONCE):
        chunk = bounds | {"counters": codes[start : start + _AT_ONCE]}
        with database.transaction() as connection:
            items += _count_counters(connection, chunk, places, calibrations, minimum_n)
    return (*_with_transactions(items, by_unit), *_survey_items(surveys, places, by_unit))


def scores_to_set_aside(scored: Mapping[date, int], minimum_n: int) -> tuple[date, ...]:
    """Return the days whose scores may not be used: together they are fewer than may be told apart.

    Args:
        scored: Day of one counter -> sessions with a score.
        minimum_n: From as many on, the sum of a day is shown by itself.
    """
    others = {day: n for day, n in scored.items() if 0 < n < minimum_n}
    return tuple(sorted(others)) if sum(others.values()) < minimum_n else ()


def _count_counters(
    connection: Connection,
    bounds: Mapping[str, Any],
    places: Places,
    calibrations: Calibrations,
    minimum_n: int,
) -> list[Item]:
    found: dict[tuple[str, Path], _Place] = defaultdict(_Place)

    def at(counter: str, day: date) -> _Place:
        place = found[counter, places.of_counter(counter, day)]
        place.days.add(day)
        return place

    rows = connection.execute(_SIGNALS, bounds).fetchall()
    by_day: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    for _, counter, day, score, *_ in rows:
        by_day[counter][day] += score is not None
    aside = {counter: scores_to_set_aside(days, minimum_n) for counter, days in by_day.items()}
    named: dict[str, tuple[ModelVersion, ...]] = {}
    sessions: dict[UUID, _Session] = {}
    for session_id, counter, day, score, arrival, models, software in rows:
        place = at(counter, day)
        place.sums["signals"] += 1
        place.as_of = max(place.as_of, int(arrival))
        if models not in named:
            named[models] = _MODELS.validate_json(models)
        versions = named[models]
        place.models |= {f"{item.name} {item.version}" for item in versions}
        place.software.add(str(software))
        calibration = calibrations.of(model_key(versions))
        if score is None or calibration is None or day in aside[counter] or session_id in sessions:
            continue
        place.calibrations.add(calibration.version)
        sessions[session_id] = _Session(counter, day, calibration.score_ppm(int(score)))
    _count_ballots(connection, bounds, sessions, at)
    for session in sessions.values():  # those that are left have no ballot
        _add_score(at(session.counter, session.day).sums, PASSIVE, session.score_ppm)
    for counter, day, edge, size, *counts in connection.execute(_LEDGER, bounds):
        place = at(counter, day)
        place.ledger[edge] = int(size)
        for name, count in zip(_LEDGER_COUNTS, counts, strict=True):
            place.sums[name] += int(count)
    elsewhere: dict[str, set[date]] = defaultdict(set)
    for (counter, _), place in found.items():
        elsewhere[counter] |= place.days
    return [
        _item(counter, path, place, aside.get(counter, ()), elsewhere[counter] - place.days)
        for (counter, path), place in found.items()
    ]


def _count_ballots(
    connection: Connection,
    bounds: Mapping[str, Any],
    sessions: dict[UUID, _Session],
    at: Callable[[str, date], _Place],
) -> None:
    """Count the ballots; the sessions that they speak of are taken out of `sessions`."""
    counted: set[UUID] = set()
    rows = connection.execute(_BALLOTS, bounds)
    for session_id, counter, counted_on, cast_at, procedure, state, *answers in rows:
        if session_id is not None:
            if session_id in counted:
                continue  # one ballot a service
            counted.add(session_id)
        satisfied = {"overall": all(answers), **dict(zip(_CRITERIA, answers, strict=True))}
        session = sessions.get(session_id)
        if session is not None and session.counter == counter:
            del sessions[session_id]
            day = session.day
            sums = at(counter, day).sums
            _add_score(sums, SCORED, session.score_ppm)
            for question, yes in satisfied.items():
                sums[f"{SCORED}.yf.{question}"] += session.score_ppm if yes else 0
            part = SCORED
        else:
            day = counted_on
            part = CONSENTED if state in _STANDING else OTHERS
            sums = at(counter, day).sums
            sums[f"{part}.n"] += 1
        for question, yes in satisfied.items():
            sums[f"{part}.y.{question}"] += bool(yes)
        spot = Spot(day, band_of(cast_at), procedure or OTHER_PROCEDURES)
        at(counter, day).tally[spot] += Votes(1, int(satisfied["overall"]))


def _add_score(sums: dict[str, int], part: str, score_ppm: int) -> None:
    sums[f"{part}.n"] += 1
    sums[f"{part}.f"] += score_ppm
    sums[f"{part}.ff"] += score_ppm * score_ppm


def _item(
    counter: str, path: Path, place: _Place, aside: Sequence[date], elsewhere: Collection[date]
) -> Item:
    members = []
    for first, last in _stretches(place.days, elsewhere):
        days = tuple(day for day in aside if first <= day <= last)
        until = last + timedelta(days=1)
        members.append(Member(counter, first, until, place.as_of, days, place.ledger))
    basis = Basis(frozenset(place.calibrations), frozenset(place.models), frozenset(place.software))
    return Item(KIOSK, path, dict(place.sums), tuple(members), None, basis, dict(place.tally))


def _stretches(days: Collection[date], elsewhere: Collection[date]) -> list[tuple[date, date]]:
    """Return first and last days of the times at a place, between which the counter was elsewhere."""
    found: list[tuple[date, date]] = []
    for day in sorted({*days, *elsewhere}):
        if day in elsewhere:
            found.append((day, day))
        elif found and found[-1][0] not in elsewhere:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return [item for item in found if item[0] not in elsewhere]


def _with_transactions(items: Sequence[Item], by_unit: Mapping[str, int]) -> list[Item]:
    """Share the transactions of a unit among its counters by their visits."""
    visits: dict[str, int] = defaultdict(int)
    for item in items:
        visits[item.path[-2]] += item.sums.get("visits", 0)
    made = []
    for item in items:
        unit = item.path[-2]
        known = by_unit.get(unit.partition(":")[2]) if unit.startswith("unit:") else None
        mine = item.sums.get("visits", 0)
        share = None if known is None or not visits[unit] else (known * mine) // visits[unit]
        made.append(replace(item, transactions=share))
    return made


def _survey_items(rows: Iterable[Sequence[Any]], places: Places, by_unit: Mapping[str, int]) -> list[Item]:
    found: dict[tuple[str, Path], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    units: dict[tuple[str, Path], str] = {}
    for channel, unit, counter, day, factor, criterion, n, satisfied in rows:
        above = places.of_unit(unit, day)
        path = above if counter is None else (*above, f"counter:{counter}")
        key = str(channel), path
        units[key] = str(unit)
        if criterion is None:
            found[key][f"{POOLED}.n"] += int(n)
        else:
            found[key][f"{factor}.{criterion}.n"] += int(n)
            found[key][f"{factor}.{criterion}.y"] += int(satisfied)
    total: dict[tuple[str, str], int] = defaultdict(int)
    for (channel, path), sums in found.items():
        total[channel, units[channel, path]] += sums[f"{POOLED}.n"]
    items = []
    for (channel, path), sums in found.items():
        unit = units[channel, path]
        known, all_of_unit = by_unit.get(unit), total[channel, unit]
        share = None if known is None else known * sums[f"{POOLED}.n"] // all_of_unit
        items.append(Item(channel, path, dict(sums), (), share))
    return items
