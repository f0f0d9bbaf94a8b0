"""Erasures with the state of each store, retention runs, salts of signals.

A migration keeps its own copy of names: it must still mean the same when the code has moved on.
"""

from __future__ import annotations

import sqlalchemy
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE signals ADD COLUMN salt bytea;
CREATE INDEX signals_by_record ON signals (consent_record_id);
CREATE TABLE erasures (
    record_id uuid PRIMARY KEY,
    session_id uuid,
    cause text NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'started', 'done')),
    queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    done_at timestamptz,
    fault text,
    certificate bytea
);
CREATE INDEX erasures_open ON erasures (queued_at) WHERE state <> 'done';
CREATE INDEX erasures_by_time ON erasures (queued_at, record_id);
CREATE INDEX erasures_by_session ON erasures (session_id) WHERE session_id IS NOT NULL;
CREATE TABLE erasure_entries (
    record_id uuid NOT NULL REFERENCES erasures,
    edge_id uuid NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (record_id, edge_id, seq)
);
CREATE TABLE erasure_stores (
    record_id uuid NOT NULL REFERENCES erasures,
    name text NOT NULL,
    position smallint NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done')),
    removed bigint NOT NULL DEFAULT 0,
    note text NOT NULL DEFAULT '',
    done_at timestamptz,
    PRIMARY KEY (record_id, name)
);
CREATE TABLE erasure_rewrites (
    record_id uuid NOT NULL REFERENCES erasures,
    relation text NOT NULL,
    PRIMARY KEY (record_id, relation)
);
CREATE TABLE retention_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    category text NOT NULL,
    ran_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    days integer NOT NULL,
    source text NOT NULL,
    decided_by text NOT NULL,
    cutoff timestamptz NOT NULL,
    removed bigint NOT NULL,
    oldest timestamptz,
    newest timestamptz,
    partitions text[] NOT NULL DEFAULT '{}',
    log_index bigint NOT NULL
);
CREATE INDEX retention_runs_by_time ON retention_runs (ran_at, id);
CREATE INDEX quarantine_by_time ON quarantine (received_at);
CREATE INDEX receipts_by_time ON receipts USING brin (received_at);
"""
_PERSONAL = {
    "signals": (
        *("signal_id", "session_id", "consent_record_id"),
        *("score_ppm", "low_ppm", "high_ppm", "variance_ppm2", "change_ppm"),
        *("access_ppm", "procedure_ppm", "officer_ppm", "result_ppm", "feedback_ppm", "time_cost_ppm"),
        *("face_ms", "speech_ms", "gap_ms", "gaps", "dropped_ms", "payload", "salt"),
    ),
    "quarantine": ("payload",),
    "receipts": ("digest",),
}
"""Columns whose values the planner's statistics must not hold: they would outlive an erasure there."""


def upgrade() -> None:
    """Create the tables, and keep personal values out of the planner's statistics."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    found = op.get_bind().execute(
        sqlalchemy.text(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'signals'::regclass"
        )
    )
    partitions = [str(row[0]) for row in found]
    sums = op.get_bind().execute(
        sqlalchemy.text(
            "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attrelid IN "
            "('rollup_counter_day'::regclass, 'rollup_area_day'::regclass) "
            "AND atttypid IN ('bigint'::regtype, 'numeric'::regtype)"
        )
    )
    for table, column in sums:  # the sum of a day with one session is that session's
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")
    for table, columns in _PERSONAL.items():
        for name in (table, *(partitions if table == "signals" else ())):
            parts = ", ".join(f"ALTER COLUMN {column} SET STATISTICS 0" for column in columns)
            op.execute(f"ALTER TABLE {name} {parts}")


def downgrade() -> None:
    """Refuse: what was logged stays."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
