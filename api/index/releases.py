"""Released months: cells frozen and logged when their month may first be read, as the sums of days are.

A month is released once it has been over for `SETTLING_DAYS`, so that signals, ballots and edges' logs have
arrived. Its cells and what they were counted from become leaves of the centre's log in the transaction that
keeps them. A cell is released again, as its next revision, only when what was added could be published by
itself (`api.index.revisions`); who is in a cell stays as it was. Counters, and questionnaires of units, that
come later are cells of their own where they are enough.

An erasure after the release leaves the sums over many people as they are, as it does for days; the session
is in no later release, in no later calibration, and an auditor sees how many are gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import rfc8785
from psycopg.types.json import Jsonb

from api import log
from api.database import Connection, Database
from api.index.calibrations import Calibrations, kept_calibrations
from api.index.cells import Cell, partition
from api.index.counting import count_month
from api.index.errors import IndexRefused
from api.index.formula import choose, document_of, kept_formulas
from api.index.revisions import revisions
from api.schema import next_month

SETTLING_DAYS: Final = 3
"""Days after a month in which late arrivals still belong to its first release."""
REVISION: Final = -1
"""Stands for the number of those left out where a released month was looked at again."""
_LOCK: Final = 0x69_64_78_72
_LEAF_BYTES: Final = 40_000
"""An entry of the log has at most 65,535 bytes (C2SP)."""
_NEWEST: Final = (
    "SELECT DISTINCT ON (month, key) document FROM index_cells WHERE month = ANY(%s) "
    "AND (%s::text IS NULL OR path @> ARRAY[%s::text]) ORDER BY month, key, revision DESC"
)


@dataclass(frozen=True, slots=True)
class MonthRelease:
    """What one run released of a month.

    Attributes:
        cells: New cells and new revisions.
        left_out: Counters and units that are too few even together; `REVISION` for a released month.
        formula: Version of the formula that holds in the month.
    """

    month: date
    cells: tuple[Cell, ...]
    left_out: int
    formula: int


def months_to_release(database: Database, today: date) -> tuple[date, ...]:
    """Return the months with data that have settled, oldest first; released ones too, for their revisions."""
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT least((SELECT min(day) FROM rollup_counter_day), "
            "(SELECT (min(cast_at) AT TIME ZONE 'Asia/Ho_Chi_Minh')::date FROM ballots), "
            "(SELECT min(day) FROM survey_ballots))"
        ).fetchone()
    if row is None or row[0] is None:
        return ()
    months, month = [], row[0].replace(day=1)
    while has_settled(month, today):
        months.append(month)
        month = next_month(month)
    return tuple(months)


def has_settled(month: date, today: date) -> bool:
    """Tell whether a month may be released."""
    return today >= next_month(month) + timedelta(days=SETTLING_DAYS)


def release_month(database: Database, month: date, *, today: date, minimum_n: int) -> MonthRelease:
    """Count a month and release what is due of it.

    Args:
        database: Where everything is.
        month: Its first day.
        today: The running day in Viet Nam.
        minimum_n: Fewest people behind a released sum.

    Raises:
        IndexRefused: The month is not over, or has not settled.
        DatabaseUnavailable: Nothing was released; ask again later.
    """
    if month.day != 1 or not has_settled(month, today):
        settled = next_month(month.replace(day=1)) + timedelta(days=SETTLING_DAYS)
        raise IndexRefused(f"{month:%Y-%m} is released from {settled} on: late sessions still arrive")
    with database.transaction() as connection:
        kept = kept_calibrations(connection)
        released = kept_cells(connection, [month])
    if released:  # with other curves every score would change, and no difference would be of few people
        used = frozenset().union(*(cell.basis.calibrations for cell in released))
        kept = tuple(item for item in kept if item.version in used)
    calibrations = Calibrations.for_month(kept, month)
    items = count_month(database, month, calibrations, minimum_n=minimum_n)
    with database.transaction() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        formula = choose(kept_formulas(connection), month)
        before = {cell.key: cell for cell in kept_cells(connection, [month])}
        if before:
            cells, left_out = revisions(items, before, month, minimum_n), REVISION
        else:
            made, left_out = partition(month, items, minimum_n)
            cells = tuple(made)
        body = {
            "month": month.isoformat(),
            "minimum_n": minimum_n,
            "left_out": left_out,
            "formula": document_of(formula),
        }
        _keep(connection, cells, body)
    return MonthRelease(month, cells, left_out, formula.version)


def kept_cells(connection: Connection, months: Sequence[date], place: str | None = None) -> tuple[Cell, ...]:
    """Return the newest revision of each cell of these months, at or below a place."""
    rows = connection.execute(_NEWEST, (list(months), place, place)).fetchall()
    return tuple(Cell.parse(row[0]) for row in rows)


def released_months(connection: Connection) -> tuple[date, ...]:
    """Return the months of which anything is released, oldest first."""
    rows = connection.execute("SELECT DISTINCT month FROM index_cells ORDER BY month").fetchall()
    return tuple(row[0] for row in rows)


def restore(connection: Connection, leaf: Mapping[str, Any]) -> int:
    """Put cells back that a leaf of the log tells of, after a restore; returns how many were missing."""
    added = 0
    for document in leaf["cells"]:
        cell = Cell.parse(document)
        added += _insert(connection, cell, int(leaf["index"]), leaf["logged_at"])
    return added


def _keep(connection: Connection, cells: Sequence[Cell], body: Mapping[str, Any]) -> None:
    for group in _leaves(cells):
        documents = [cell.document() for cell in group]
        index = log.append(connection, log.Kind.INDEX_RELEASE, {**body, "cells": documents})
        for cell in group:
            _insert(connection, cell, index, None)


def _leaves(cells: Sequence[Cell]) -> list[list[Cell]]:
    groups: list[list[Cell]] = []
    room = 0
    for cell in cells:
        size = len(rfc8785.dumps(cell.document())) + 1
        if size > room:
            groups.append([])
            room = _LEAF_BYTES
        groups[-1].append(cell)
        room -= size
    return groups


def _insert(connection: Connection, cell: Cell, index: int, at: object) -> int:
    return connection.execute(
        "INSERT INTO index_cells (month, key, revision, path, document, log_index, released_at) "
        "VALUES (%s, %s, %s, %s, %s, %s, coalesce(%s, clock_timestamp())) ON CONFLICT DO NOTHING",
        (cell.month, cell.key, cell.revision, list(cell.path), Jsonb(cell.document()), index, at),
    ).rowcount
