"""The columns of signals and rollups, and the monthly partitions.

Scores are stored as whole millionths (ppm) and times as whole milliseconds, so that
sums are exact in every order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Final

import psycopg

from inference.signal import Factor, Signal

PPM: Final = 1_000_000
DAY_ZONE: Final = "Asia/Ho_Chi_Minh"
"""The day of a rollup is the calendar day in Viet Nam, where the counters are."""
_Z90: Final = 1.6448536269514722
_PARTITION_LOCK: Final = 0x68_61_69_6C

FACTORS: Final = tuple(factor.value for factor in Factor)

SIGNAL_COLUMNS: Final[dict[str, str]] = {
    "signal_id": "uuid",
    "window_start": "timestamptz",
    "window_end": "timestamptz",
    "session_id": "uuid",
    "consent_record_id": "uuid",
    "counter": "text",
    "edge_id": "uuid",
    "seq": "bigint",
    "image_permitted": "boolean",
    "voice_permitted": "boolean",
    "score_ppm": "integer",
    "low_ppm": "integer",
    "high_ppm": "integer",
    "variance_ppm2": "bigint",
    "abstained": "text",
    "change_ppm": "integer",
    **{f"{name}_ppm": "integer" for name in FACTORS},
    "face_ms": "integer",
    "speech_ms": "integer",
    "gap_ms": "integer",
    "gaps": "integer",
    "dropped_ms": "integer",
    "payload": "jsonb",
    "salt": "bytea",
}
"""Column of the signals table -> type, in the order of the insert."""

PERSONAL_COLUMNS: Final = (
    *("signal_id", "session_id", "consent_record_id"),
    *("score_ppm", "low_ppm", "high_ppm", "variance_ppm2", "change_ppm"),
    *(f"{name}_ppm" for name in FACTORS),
    *("face_ms", "speech_ms", "gap_ms", "gaps", "dropped_ms", "payload", "salt"),
)
"""Columns of signals that say something of one session."""

ROLLUP_SUMS: Final[dict[str, str]] = {
    "sessions": "count(*)",
    "scored": "count(score_ppm)",
    "score_sum": "coalesce(sum(score_ppm), 0)",
    "score_square_sum": "coalesce(sum(score_ppm::numeric * score_ppm), 0)",
    "variance_sum": "coalesce(sum(variance_ppm2)::numeric, 0)",
    "changes": "count(change_ppm)",
    "change_sum": "coalesce(sum(change_ppm), 0)",
    "change_square_sum": "coalesce(sum(change_ppm::numeric * change_ppm), 0)",
    **{f"{name}_n": f"count({name}_ppm)" for name in FACTORS},
    **{f"{name}_sum": f"coalesce(sum({name}_ppm), 0)" for name in FACTORS},
    "face_ms": "coalesce(sum(face_ms), 0)",
    "speech_ms": "coalesce(sum(speech_ms), 0)",
    "gap_ms": "coalesce(sum(gap_ms), 0)",
    "gaps": "coalesce(sum(gaps), 0)",
    "dropped_ms": "coalesce(sum(dropped_ms), 0)",
}
"""Column of both rollups -> how it is made from a group of new signals; all are sums, so they add up."""

WIDE_SUMS: Final = frozenset({"score_square_sum", "variance_sum", "change_square_sum"})
"""Rollup columns that may exceed 64 bits over a nation and a year."""


def ppm(value: float | None) -> int | None:
    """Return a score as whole millionths."""
    return None if value is None else round(value * PPM)


def signal_row(signal: Signal, *, edge_id: object, seq: int, salt: bytes | None = None) -> tuple[object, ...]:
    """Return the values of one signal in the order of SIGNAL_COLUMNS."""
    overall, quality = signal.overall, signal.quality
    variance = None
    if overall.low is not None and overall.high is not None:
        variance = round(((overall.high - overall.low) / (2 * _Z90)) ** 2 * PPM * PPM)
    factors: dict[str, int | None] = {item.factor: ppm(item.estimate.score) for item in signal.factors}
    return (
        signal.signal_id,
        signal.window_start,
        signal.window_end,
        signal.session_id,
        signal.consent_record_id,
        signal.counter,
        edge_id,
        seq,
        signal.image_permitted,
        signal.voice_permitted,
        ppm(overall.score),
        ppm(overall.low),
        ppm(overall.high),
        variance,
        None if overall.abstained is None else overall.abstained.value,
        ppm(signal.change.delta),
        *(factors.get(name) for name in FACTORS),
        round(quality.face_s * 1000),
        round(quality.speech_s * 1000),
        round(quality.gap_s * 1000),
        quality.gaps,
        round(quality.dropped_s * 1000),
        signal.model_dump_json(),  # as we write it: nothing rides on a sender's spelling
        salt,
    )


def signal_arrays(rows: Sequence[tuple[object, ...]]) -> list[object]:
    """Return rows of `signal_row` as one array a column, in the order of SIGNAL_COLUMNS.

    Written as array literals here: the driver escapes the elements of a list one quote at a time, which
    took three quarters of the whole ingest.
    """
    columns = zip(*rows, strict=True)
    return [_LITERALS[kind](column) for kind, column in zip(SIGNAL_COLUMNS.values(), columns, strict=True)]


def _plain(column: Sequence[object]) -> str:
    """Write numbers, times, identifiers and booleans, of which none needs quotes."""
    return "{" + ",".join("NULL" if value is None else str(value) for value in column) + "}"


def _quoted(column: Sequence[object]) -> str:
    """Write codes and JSON texts."""
    texts = (
        "NULL" if value is None else '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
        for value in column
    )
    return "{" + ",".join(texts) + "}"


def _bytes(column: Sequence[object]) -> str:
    texts = ('"\\\\x' + value.hex() + '"' if isinstance(value, bytes) else "NULL" for value in column)
    return "{" + ",".join(texts) + "}"


_LITERALS: Final[dict[str, Callable[[Sequence[object]], str]]] = {
    **dict.fromkeys(("uuid", "timestamptz", "bigint", "boolean", "integer"), _plain),
    **dict.fromkeys(("text", "jsonb"), _quoted),
    "bytea": _bytes,
}


def months_of(moments: Iterable[datetime]) -> set[date]:
    """Return the first days of the UTC months in which the moments lie."""
    return {moment.astimezone(UTC).date().replace(day=1) for moment in moments}


def next_month(first: date) -> date:
    """Return the first day of the following month."""
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)


def create_partition(connection: psycopg.Connection[tuple[object, ...]], first: date) -> None:
    """Create the partition of one month if it is missing; concurrent callers wait for each other."""
    name = f"signals_{first:%Y_%m}"
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_PARTITION_LOCK,))
    if connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() == (None,):
        connection.execute(
            f"CREATE TABLE {name} PARTITION OF signals FOR VALUES "
            f"FROM ('{first.isoformat()} 00:00+00') TO ('{next_month(first).isoformat()} 00:00+00')"
        )
        # The planner's samples of personal values would outlive their erasure in the catalogue.
        parts = ", ".join(f"ALTER COLUMN {column} SET STATISTICS 0" for column in PERSONAL_COLUMNS)
        connection.execute(f"ALTER TABLE {name} {parts}")


def ingest_statement() -> str:
    """Return the one statement that inserts new signals and adds exactly them to both rollups.

    Rows are sorted by key everywhere, so that concurrent senders take locks in one order.
    """
    columns = ", ".join(SIGNAL_COLUMNS)
    arrays = ", ".join(f"%s::{kind}[]" for kind in SIGNAL_COLUMNS.values())
    returning = ", ".join(
        name for name in SIGNAL_COLUMNS if name not in {"payload", "low_ppm", "high_ppm", "salt"}
    )
    parts = [
        (
            f"WITH new AS (INSERT INTO signals ({columns}) "  # noqa: S608 - names are ours, values are bound
            f"SELECT * FROM unnest({arrays}) AS t({columns}) ORDER BY t.signal_id, t.seq "
            f"ON CONFLICT (signal_id, window_start) DO NOTHING RETURNING {returning})"
        ),
        (
            f"dated AS (SELECT new.*, (window_start AT TIME ZONE '{DAY_ZONE}')::date AS day, counters.area "  # noqa: S608 - as above
            "FROM new JOIN counters ON counters.code = new.counter)"
        ),
    ]
    for table, key in (("rollup_counter_day", "counter"), ("rollup_area_day", "area")):
        names = ", ".join(ROLLUP_SUMS)
        sums = ", ".join(f"{source} AS {name}" for name, source in ROLLUP_SUMS.items())
        adds = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in ROLLUP_SUMS)
        parts.append(
            f"by_{key} AS (INSERT INTO {table} ({key}, day, {names}, last_received) "  # noqa: S608 - as above
            f"SELECT {key}, day, {sums}, clock_timestamp() FROM dated "
            f"GROUP BY {key}, day ORDER BY {key}, day "
            f"ON CONFLICT ({key}, day) DO UPDATE SET {adds}, "
            f"last_received = greatest({table}.last_received, excluded.last_received))"
        )
    return ", ".join(parts) + " SELECT seq FROM new"  # noqa: S608 - as above
