"""Counts of answers, by channel: what the index is made of, and nothing about a single person.

Everything here is integers over ballots of whole days in Viet Nam; nothing is suppressed or rounded.
Whoever shows them passes them through disclosure first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np

from api.database import Connection
from api.organisation.tree import CounterSpan, Period, UnitSpan, counter_spans, unit_spans
from api.schema import DAY_ZONE
from api.survey.channels import Channel
from api.survey.tally import (
    RATING,
    RATING_FACTORS,
    CriterionCounts,
    FactorCounts,
    Tally,
    forms_of,
    levels_in,
)
from inference.signal import Factor

_KIOSK_SPANS: Final = (
    f"spans AS (SELECT counter, (first::timestamp AT TIME ZONE '{DAY_ZONE}') AS since, "  # noqa: S608 - names are ours, values are bound
    f"(until::timestamp AT TIME ZONE '{DAY_ZONE}') AS until "
    "FROM unnest(%(counters)s::text[], %(counter_firsts)s::date[], %(counter_untils)s::date[]) "
    "AS t(counter, first, until)), "
    "kiosk AS (SELECT b.* FROM spans JOIN ballots b ON b.counter = spans.counter "
    "AND b.cast_at >= spans.since AND b.cast_at < spans.until)"
)
# What a ballot says as one text, 0 where it says nothing: equal ballots are one row.
_RATED: Final = " || ',' || ".join(
    f"CASE WHEN b.{criterion.value} THEN 2 ELSE 1 END" for criterion in RATING_FACTORS
)
_SAID: Final = (
    f"WITH {_KIOSK_SPANS}, unit_spans AS (SELECT * FROM unnest(%(units)s::text[], %(unit_firsts)s::date[], "  # noqa: S608 - names are ours, values are bound
    "%(unit_untils)s::date[]) AS t(unit, first, until)) "
    f"SELECT 'kiosk', '{RATING}', {_RATED}, count(*) FROM kiosk b GROUP BY 3 UNION ALL "
    "SELECT s.channel, s.questionnaire, array_to_string(s.levels, ',', '0'), count(*) "
    "FROM unit_spans JOIN survey_ballots s ON s.unit = unit_spans.unit AND s.day >= unit_spans.first "
    "AND s.day < unit_spans.until WHERE %(counter)s::text IS NULL OR s.counter = %(counter)s GROUP BY 1, 2, 3"
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose ballots: of one counter, or of everything below a node of the tree (unit, commune, province …).

    A node's scope follows the tree day by day: a counter or unit counts on the days in which it stood there.
    """

    counter: str | None = None
    node: str | None = None

    def __post_init__(self) -> None:
        """Refuse both and none."""
        if (self.counter is None) == (self.node is None):
            msg = "a scope is a counter or a node of the tree"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class KioskLinks:
    """Ballots of the kiosk by whether they name the session they speak of.

    Attributes:
        linked: With a session, so after a consent; the session may have given a signal or not.
        scored: Of these, with a signal that has an overall score.
        unlinked: Without: refused, not asked, not answered, or erased since. No refusal can be read off this.
    """

    linked: int
    scored: int
    unlinked: int


@dataclass(frozen=True, slots=True)
class Answers:
    """What was said in a scope and period."""

    period: Period
    criteria: tuple[CriterionCounts, ...]
    factors: tuple[FactorCounts, ...]
    kiosk: KioskLinks


@dataclass(frozen=True, slots=True)
class LinkedBallot:
    """A kiosk ballot with the signal of the same session, for calibration; never shown, never exported.

    Attributes:
        satisfied: By factor of the two-level rating.
        overall_satisfied: With all four criteria.
        score_ppm: The signal's scores in millionths by factor; a factor it abstained from is not in it.
        overall_ppm: The signal's overall score in millionths; None when it abstained.
        models: Name, version and hash of the networks behind the signal, sorted; the group for calibration.
        arrival: The signal's place in the order of arrival at the centre.
    """

    counter: str
    day: date
    satisfied: Mapping[Factor, bool]
    overall_satisfied: bool
    score_ppm: Mapping[Factor, int]
    overall_ppm: int | None
    models: tuple[tuple[str, str, str], ...]
    arrival: int


def spans_of(
    connection: Connection, scope: Scope, period: Period
) -> tuple[tuple[CounterSpan, ...], tuple[UnitSpan, ...]]:
    """Return the counters and units of a scope with the days in which they belong to it.

    A counter's own scope has all its days, also those before it was put into the tree.
    """
    if scope.node is not None:
        return counter_spans(connection, scope.node, period), unit_spans(connection, scope.node, period)
    assert scope.counter is not None  # noqa: S101 - a scope has one of both
    rows = connection.execute(
        "SELECT DISTINCT unit FROM survey_ballots WHERE counter = %s AND day >= %s AND day < %s ORDER BY 1",
        (scope.counter, period.first, period.until),
    ).fetchall()
    units = tuple(UnitSpan(row[0], period.first, period.until) for row in rows)
    return (CounterSpan(scope.counter, "", period.first, period.until),), units


def answers_of(connection: Connection, scope: Scope, period: Period) -> Answers:
    """Count what was said in a scope and period, on every channel.

    Args:
        connection: Inside a transaction, so that all counts are of one moment.
        scope: Whose ballots.
        period: Days in Viet Nam; the day of an imported ballot is the one its file gives.
    """
    values = _values(connection, scope, period)
    said: dict[tuple[str, str], tuple[list[str], list[int]]] = defaultdict(lambda: ([], []))
    for channel, version, answers, count in connection.execute(_SAID, values):
        texts, counts = said[channel, version]
        texts.append(answers)
        counts.append(count)
    forms = forms_of(connection)
    tallies = [
        Tally(Channel(channel), forms[version], levels_in(texts, forms[version]), np.array(counts))
        for (channel, version), (texts, counts) in sorted(said.items())
    ]
    return Answers(
        period,
        tuple(item for tally in tallies for item in tally.criteria()),
        tuple(item for tally in tallies for item in tally.factors()),
        _links(connection, values),
    )


def linked_ballots(connection: Connection, scope: Scope | None, period: Period) -> tuple[LinkedBallot, ...]:
    """Return the kiosk ballots whose session gave a signal, by arrival; what was erased is not among them.

    Args:
        connection: Where both are.
        scope: Whose ballots; None takes every counter.
        period: Days in Viet Nam on which the ballots were cast.
    """
    names = ", ".join(f"s.{factor.value}_ppm" for factor in Factor)
    ratings = ", ".join(f"b.{criterion.value}" for criterion in RATING_FACTORS)
    if scope is None:
        rows = connection.execute("SELECT code FROM counters ORDER BY code").fetchall()
        spans = tuple(CounterSpan(row[0], "", period.first, period.until) for row in rows)
        values = _arrays(spans, ()) | {"counter": None}
    else:
        values = _values(connection, scope, period)
    found = connection.execute(
        f"WITH {_KIOSK_SPANS} SELECT b.counter, "  # noqa: S608 - names are ours, values are bound
        f"(b.cast_at AT TIME ZONE '{DAY_ZONE}')::date, {ratings}, "
        f"s.score_ppm, s.payload -> 'models', s.arrival, {names} FROM kiosk b, LATERAL ("
        "SELECT * FROM signals WHERE signals.counter = b.counter AND signals.session_id = b.session_id "
        "AND window_start > b.cast_at - interval '12 hours' "
        "AND window_start < b.cast_at + interval '12 hours' ORDER BY arrival DESC LIMIT 1) AS s "
        "ORDER BY s.arrival",
        values,
    ).fetchall()
    return tuple(_linked(row) for row in found)


def _values(connection: Connection, scope: Scope, period: Period) -> dict[str, Any]:
    counters, units = spans_of(connection, scope, period)
    return _arrays(counters, units) | {"counter": scope.counter}


def _arrays(counters: Sequence[CounterSpan], units: Sequence[UnitSpan]) -> dict[str, Any]:
    return {
        "counters": [span.counter for span in counters],
        "counter_firsts": [span.first for span in counters],
        "counter_untils": [span.until for span in counters],
        "units": [span.unit for span in units],
        "unit_firsts": [span.first for span in units],
        "unit_untils": [span.until for span in units],
    }


def _links(connection: Connection, values: Mapping[str, Any]) -> KioskLinks:
    row = connection.execute(
        f"WITH {_KIOSK_SPANS} "  # noqa: S608 - names are ours, values are bound
        "SELECT count(*) FILTER (WHERE b.session_id IS NOT NULL), "
        "count(*) FILTER (WHERE EXISTS (SELECT 1 FROM signals s WHERE s.counter = b.counter "
        "AND s.session_id = b.session_id AND s.window_start > b.cast_at - interval '12 hours' "
        "AND s.window_start < b.cast_at + interval '12 hours' AND s.score_ppm IS NOT NULL)), "
        "count(*) FILTER (WHERE b.session_id IS NULL) FROM kiosk b",
        values,
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always gives a row
    return KioskLinks(int(row[0]), int(row[1]), int(row[2]))


def _linked(row: tuple[Any, ...]) -> LinkedBallot:
    counter, day, *rest = row
    ratings, rest = rest[: len(RATING_FACTORS)], rest[len(RATING_FACTORS) :]
    overall, models, arrival, *scores = rest
    satisfied = dict(zip(RATING_FACTORS.values(), (bool(item) for item in ratings), strict=True))
    return LinkedBallot(
        counter,
        day,
        satisfied,
        all(satisfied.values()),
        {factor: int(score) for factor, score in zip(Factor, scores, strict=True) if score is not None},
        None if overall is None else int(overall),
        tuple(sorted((item["name"], item["version"], item["sha256"]) for item in models or ())),
        int(arrival),
    )
