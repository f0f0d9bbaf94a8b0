"""Sampling plans: who is asked is fixed first, the seed comes after, and anybody can draw the sample again.

A plan fixes the frame (every eligible transaction, as digests) and how many fall on each unit; both are in
the log before there is a seed. The draw names the published seed. `verify_sample` works everything out again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from uuid6 import uuid7

from api import log
from api.database import Connection, Database
from api.errors import TableRefused
from api.organisation.allocation import allocate, draw, frame_hash
from api.organisation.tree import UNIT_LEVEL, Period

SHORTEST_SEED: Final = 8
_NO_PLAN: Final = "There is no sampling plan '{name}'."


class Method(StrEnum):
    """How a level's sample is shared out over its units."""

    PROPORTIONAL = "proportional"
    EQUAL = "equal"


@dataclass(frozen=True, slots=True)
class Stratum:
    """One unit of a plan.

    Attributes:
        level: Of the area right above the unit.
        eligible: Transactions in the frame.
        wanted: How many of them are drawn.
    """

    unit: str
    level: str
    eligible: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A sampling plan."""

    plan_id: UUID
    name: str
    period: Period
    method: Method
    minimum: int
    frame_sha256: str
    seed: str | None
    strata: tuple[Stratum, ...]


@dataclass(frozen=True, slots=True)
class SampleCheck:
    """Whether a sample is what its plan and seed give; `faults` say what is not.

    Attributes:
        drawn: Transactions in the sample.
        undrawn: Whether the plan has no seed yet, so that there is no sample to hold against it.
    """

    name: str
    drawn: int
    faults: tuple[str, ...]
    undrawn: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def plan_sample(
    database: Database,
    name: str,
    period: Period,
    wanted: Mapping[str, int],
    *,
    actor: str,
    method: Method = Method.PROPORTIONAL,
    minimum: int = 0,
) -> Plan:
    """Fix who may be drawn and how many in each unit, and log it.

    Args:
        database: Where transactions and plans are.
        name: A code for the plan.
        period: Days of the transactions; levels are those of the last one.
        wanted: Code of a level -> size of its sample.
        actor: Who plans.
        method: How a level's sample is shared out.
        minimum: Least number in each unit.

    Raises:
        TableRefused: The name is taken, or a level has no transaction that could be drawn.
    """
    with database.transaction() as connection:
        if connection.execute("SELECT 1 FROM sampling_plans WHERE name = %s", (name,)).fetchone():
            raise TableRefused("There is a sampling plan '{name}' already: choose another name.", name=name)
        frame, levels = _frame(connection, period), _levels(connection, period)
        strata = _strata(frame, levels, wanted, method, minimum)
        empty = sorted(set(wanted) - {stratum.level for stratum in strata})
        if empty:
            raise TableRefused(
                "Level '{level}' has no transaction that could be drawn: import transaction numbers first.",
                level=empty[0],
            )
        mark = frame_hash({stratum.unit: frame[stratum.unit] for stratum in strata})
        plan = Plan(UUID(bytes=uuid7().bytes), name, period, method, minimum, mark.hex(), None, strata)
        index = log.append(connection, log.Kind.SAMPLE_PLANNED, {**_plan_body(plan), "actor": actor})
        connection.execute(
            "INSERT INTO sampling_plans (plan_id, name, first_day, until_day, method, minimum, frame_sha256, "
            "planned_by, plan_index) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (plan.plan_id, name, period.first, period.until, method.value, minimum, mark, actor, index),
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO sampling_strata (plan_id, unit, level, eligible, wanted) "
                "VALUES (%s, %s, %s, %s, %s)",
                [(plan.plan_id, item.unit, item.level, item.eligible, item.wanted) for item in strata],
            )
    return plan


def draw_sample(database: Database, name: str, seed: str, *, actor: str) -> int:
    """Draw the sample of a plan by a seed, log both, and return how many were drawn. A plan is drawn once.

    Raises:
        TableRefused: There is no such plan, it was drawn before, its frame has changed, or the seed is short.
    """
    if len(seed.strip()) < SHORTEST_SEED:
        raise TableRefused("A seed has at least {shortest} characters.", shortest=SHORTEST_SEED)
    with database.transaction() as connection:
        connection.execute("SELECT 1 FROM sampling_plans WHERE name = %s FOR UPDATE", (name,))
        plan = find_plan(connection, name)
        if plan.seed is not None:
            raise TableRefused("The sample of '{name}' was drawn before: a plan is drawn once.", name=name)
        drawn = _drawn(connection, plan, seed)
        if drawn is None:
            raise TableRefused(
                "The transactions of '{name}' are not the ones that were planned with: make a new plan.",
                name=name,
            )
        body = {
            "plan": plan.plan_id,
            "seed": seed,
            "sample_sha256": _sample_hash(drawn).hex(),
            "actor": actor,
        }
        index = log.append(connection, log.Kind.SAMPLE_DRAWN, body)
        connection.execute(
            "UPDATE sampling_plans SET seed = %s, drawn_by = %s, drawn_at = clock_timestamp(), "
            "draw_index = %s WHERE plan_id = %s",
            (seed, actor, index, plan.plan_id),
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO sampled_transactions (plan_id, unit, position, digest) VALUES (%s, %s, %s, %s)",
                [
                    (plan.plan_id, unit, position, digest)
                    for unit, digests in sorted(drawn.items())
                    for position, digest in enumerate(digests, 1)
                ],
            )
    return sum(map(len, drawn.values()))


def verify_sample(database: Database, name: str) -> SampleCheck:
    """Work out frame, allocation and draw again, and hold them against the tables and the log.

    Raises:
        TableRefused: There is no such plan.
    """
    faults: list[str] = []
    with database.transaction() as connection:
        plan = find_plan(connection, name)
        rows = connection.execute(
            "SELECT unit, digest FROM sampled_transactions WHERE plan_id = %s ORDER BY unit, position",
            (plan.plan_id,),
        ).fetchall()
        kept: dict[str, tuple[bytes, ...]] = {}
        for unit, digest in rows:
            kept[unit] = (*kept.get(unit, ()), bytes(digest))
        said = _said(connection, log.Kind.SAMPLE_PLANNED, plan.plan_id)
        if any(said.get(key) != value for key, value in _plan_body(plan).items()):
            faults.append("the plan is not the one in the log")
        wanted: dict[str, int] = {}
        for stratum in plan.strata:
            wanted[stratum.level] = wanted.get(stratum.level, 0) + stratum.wanted
        frame, levels = _frame(connection, plan.period), _levels(connection, plan.period)
        found = {item.unit: frame.get(item.unit, ()) for item in plan.strata}
        if frame_hash(found).hex() != plan.frame_sha256:
            faults.append("the eligible transactions are not the ones that were planned with")
        elif _strata(frame, levels, wanted, plan.method, plan.minimum) != plan.strata:
            faults.append("the allocation is not the one that the frame gives")
        if plan.seed is not None:
            drawn = _drawn(connection, plan, plan.seed)
            if drawn is not None and {u: d for u, d in drawn.items() if d} != kept:
                faults.append("the sample is not the one that the seed draws")
            told = _said(connection, log.Kind.SAMPLE_DRAWN, plan.plan_id)
            if (told.get("seed"), told.get("sample_sha256")) != (plan.seed, _sample_hash(kept).hex()):
                faults.append("seed or sample are not the ones in the log")
        elif kept:
            faults.append("there is a sample without a draw")
    return SampleCheck(name, len(rows), tuple(faults), undrawn=plan.seed is None)


def find_plan(connection: Connection, name: str) -> Plan:
    """Return a plan.

    Raises:
        TableRefused: There is none.
    """
    row = connection.execute(
        "SELECT plan_id, first_day, until_day, method, minimum, frame_sha256, seed FROM sampling_plans "
        "WHERE name = %s",
        (name,),
    ).fetchone()
    if row is None:
        raise TableRefused(_NO_PLAN, name=name[:64])
    strata = connection.execute(
        "SELECT unit, level, eligible, wanted FROM sampling_strata WHERE plan_id = %s ORDER BY unit",
        (row[0],),
    ).fetchall()
    return Plan(
        *(row[0], name, Period(row[1], row[2]), Method(row[3]), row[4], bytes(row[5]).hex(), row[6]),
        strata=tuple(Stratum(*item) for item in strata),
    )


def _plan_body(plan: Plan) -> dict[str, Any]:
    return {
        "plan": str(plan.plan_id),
        "name": plan.name,
        "first": plan.period.first.isoformat(),
        "until": plan.period.until.isoformat(),
        "method": plan.method.value,
        "minimum": plan.minimum,
        "frame_sha256": plan.frame_sha256,
        "strata": [
            {"unit": item.unit, "level": item.level, "eligible": item.eligible, "wanted": item.wanted}
            for item in plan.strata
        ],
    }


def _frame(connection: Connection, period: Period) -> dict[str, tuple[bytes, ...]]:
    frame: dict[str, list[bytes]] = {}
    for unit, digest in connection.execute(
        "SELECT unit, digest FROM transaction_digests WHERE day >= %s AND day < %s ORDER BY unit, digest",
        (period.first, period.until),
    ):
        frame.setdefault(unit, []).append(bytes(digest))
    return {unit: tuple(digests) for unit, digests in frame.items()}


def _levels(connection: Connection, period: Period) -> dict[str, str]:
    """Return the level of the area right above each unit, as it was last in the period."""
    rows = connection.execute(
        "SELECT DISTINCT ON (unit) unit, level FROM organisation_paths WHERE level <> %s "
        "AND valid_from < %s AND valid_until > %s ORDER BY unit, valid_until DESC, distance",
        (UNIT_LEVEL, period.until, period.first),
    ).fetchall()
    return {row[0]: row[1] for row in rows}


def _strata(
    frame: Mapping[str, tuple[bytes, ...]],
    levels: Mapping[str, str],
    wanted: Mapping[str, int],
    method: Method,
    minimum: int,
) -> tuple[Stratum, ...]:
    strata = []
    for level, count in wanted.items():
        sizes = {unit: len(digests) for unit, digests in frame.items() if levels.get(unit) == level}
        least = minimum
        if method is Method.EQUAL and sizes:
            least = max(minimum, count // len(sizes))
        shares = allocate(sizes, count, minimum=least)
        strata += [Stratum(unit, level, sizes[unit], shares[unit]) for unit in sizes]
    return tuple(sorted(strata, key=lambda stratum: stratum.unit))


def _drawn(connection: Connection, plan: Plan, seed: str) -> dict[str, tuple[bytes, ...]] | None:
    """Draw; None where the frame is not the plan's."""
    frame = _frame(connection, plan.period)
    found = {item.unit: frame.get(item.unit, ()) for item in plan.strata}
    if frame_hash(found).hex() != plan.frame_sha256:
        return None
    return {item.unit: draw(seed, found[item.unit], item.wanted) for item in plan.strata}


def _sample_hash(drawn: Mapping[str, tuple[bytes, ...]]) -> bytes:
    mixed = hashlib.sha256()
    for unit in sorted(drawn):
        for digest in drawn[unit]:
            mixed.update(f"{unit}\t{digest.hex()}\n".encode())
    return mixed.digest()


def _said(connection: Connection, kind: log.Kind, plan_id: UUID) -> dict[str, Any]:
    row = connection.execute(
        "SELECT convert_from(body, 'UTF8')::jsonb FROM central_log WHERE kind = %s "
        "AND convert_from(body, 'UTF8')::jsonb ->> 'plan' = %s ORDER BY idx LIMIT 1",
        (kind.value, str(plan_id)),
    ).fetchone()
    return {} if row is None else dict(row[0])
