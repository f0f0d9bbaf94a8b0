"""How many answered and how many consented, by unit: a figure without its response rate says little."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from api.consent_rates import Counts, sum_days
from api.consents import DayCounts, daily
from api.database import Connection, Database
from api.disclosure import Disclosure
from api.organisation.places import places_of
from api.organisation.sampling import find_plan
from api.organisation.tree import Period, counter_spans


@dataclass(frozen=True, slots=True)
class Response:
    """Ballots that answer a sample.

    Attributes:
        sampled: Transactions that were drawn.
        answered: Of these, with a ballot on any imported channel.
    """

    unit: str
    sampled: int
    answered: int

    @property
    def rate(self) -> float | None:
        """Share of the drawn that answered, None where nobody was drawn."""
        return self.answered / self.sampled if self.sampled else None


def response_rates(connection: Connection, plan_name: str) -> tuple[Response, ...]:
    """Return the response to a drawn sample by unit.

    Raises:
        TableRefused: There is no such plan.
    """
    plan = find_plan(connection, plan_name)
    rows = connection.execute(
        "SELECT s.unit, count(t.digest), count(b.transaction_digest) FROM sampling_strata s "
        "LEFT JOIN sampled_transactions t USING (plan_id, unit) "
        "LEFT JOIN survey_ballots b ON b.transaction_digest = t.digest "
        "WHERE s.plan_id = %s GROUP BY s.unit ORDER BY s.unit",
        (plan.plan_id,),
    ).fetchall()
    return tuple(Response(*row) for row in rows)


def consent_counts(
    database: Database, node: str, period: Period, *, disclosure: Disclosure | None = None
) -> Mapping[str, Counts]:
    """Return offers, consents and refusals by unit of a node, on the days in which counters stood there.

    Args:
        database: Where the edges' logs were folded in.
        node: Code of an area or unit.
        period: Days in Viet Nam.
        disclosure: As in `api.consent_rates.sum_days`.
    """
    with database.transaction() as connection:
        spans = counter_spans(connection, node, period)
        places = places_of(connection)
    if not spans:
        return {}
    belongs = {(span.counter, span.unit): (span.first, span.until) for span in spans}
    days: dict[str, list[DayCounts]] = {}
    for day in daily(
        database, period.first, period.until - timedelta(days=1), counters=sorted({s.counter for s in spans})
    ):
        unit = places.unit_of(day.counter, day.day)
        first, until = belongs.get((day.counter, unit or ""), (period.until, period.until))
        if unit is not None and first <= day.day < until:
            days.setdefault(unit, []).append(day)
    return {unit: sum_days(found, disclosure) for unit, found in sorted(days.items())}
