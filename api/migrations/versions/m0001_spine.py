"""The spine: edges, counters, signals, rollups, accounts.

A migration keeps its own copy of names: it must still mean the same when the code has moved on.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_FACTORS = ("access", "procedure", "officer", "result", "feedback", "time_cost")
_SUMS = (
    *("sessions", "scored", "score_sum", "changes", "change_sum"),
    *(f"{name}_n" for name in _FACTORS),
    *(f"{name}_sum" for name in _FACTORS),
    *("face_ms", "speech_ms", "gap_ms", "gaps", "dropped_ms"),
)
_WIDE_SUMS = ("score_square_sum", "variance_sum", "change_square_sum")

_TABLES = """
CREATE TABLE edges (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    public_key bytea NOT NULL UNIQUE CHECK (octet_length(public_key) = 32),
    high_water bigint NOT NULL DEFAULT 0,
    enrolled_at timestamptz NOT NULL DEFAULT now(),
    last_received timestamptz,
    revoked_at timestamptz
);
CREATE TABLE counters (
    code text PRIMARY KEY,
    unit text NOT NULL DEFAULT '',
    area text NOT NULL DEFAULT '',
    edge_id uuid REFERENCES edges,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX counters_of_edge ON counters (edge_id);
CREATE TABLE enrolment_tokens (
    token_hash bytea PRIMARY KEY,
    counters text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    edge_id uuid REFERENCES edges
);
CREATE TABLE receipts (
    edge_id uuid NOT NULL REFERENCES edges,
    seq bigint NOT NULL,
    digest bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (edge_id, seq)
);
CREATE TABLE quarantine (
    edge_id uuid NOT NULL REFERENCES edges,
    seq bigint NOT NULL,
    kind text NOT NULL,
    reason text NOT NULL,
    payload bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (edge_id, seq)
);
CREATE TABLE signals (
    signal_id uuid NOT NULL,
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    session_id uuid NOT NULL,
    consent_record_id uuid NOT NULL,
    counter text NOT NULL,
    edge_id uuid NOT NULL,
    seq bigint NOT NULL,
    image_permitted boolean NOT NULL,
    voice_permitted boolean NOT NULL,
    score_ppm integer,
    low_ppm integer,
    high_ppm integer,
    variance_ppm2 bigint,
    abstained text,
    change_ppm integer,
    {factor_columns},
    face_ms integer NOT NULL,
    speech_ms integer NOT NULL,
    gap_ms integer NOT NULL,
    gaps integer NOT NULL,
    dropped_ms integer NOT NULL,
    payload jsonb NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    arrival bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (signal_id, window_start)
) PARTITION BY RANGE (window_start);
CREATE INDEX signals_by_counter ON signals (counter, window_start);
CREATE INDEX signals_by_arrival ON signals (arrival);
CREATE TABLE rollup_counter_day (
    counter text NOT NULL REFERENCES counters,
    day date NOT NULL,
    {sums},
    last_received timestamptz NOT NULL,
    PRIMARY KEY (counter, day)
);
CREATE TABLE rollup_area_day (
    area text NOT NULL,
    day date NOT NULL,
    {sums},
    last_received timestamptz NOT NULL,
    PRIMARY KEY (area, day)
);
CREATE TABLE users (
    name text PRIMARY KEY,
    role text NOT NULL CHECK (role IN ('administrator', 'supervisor')),
    password_hash text NOT NULL,
    must_change boolean NOT NULL DEFAULT true,
    areas text[] NOT NULL DEFAULT '{{}}',
    counters text[] NOT NULL DEFAULT '{{}}',
    failures integer NOT NULL DEFAULT 0,
    locked_until timestamptz,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE sessions (
    token_hash bytea PRIMARY KEY,
    user_name text NOT NULL REFERENCES users ON DELETE CASCADE,
    csrf text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_name);
CREATE TABLE administrative_acts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    act text NOT NULL,
    object text NOT NULL
);
CREATE TABLE secrets (name text PRIMARY KEY, value bytea NOT NULL);
"""


def upgrade() -> None:
    """Create everything."""
    sums = [f"{name} bigint NOT NULL DEFAULT 0" for name in _SUMS]
    sums += [f"{name} numeric NOT NULL DEFAULT 0" for name in _WIDE_SUMS]
    factor_columns = ",\n    ".join(f"{name}_ppm integer" for name in _FACTORS)
    for statement in _TABLES.format(factor_columns=factor_columns, sums=",\n    ".join(sums)).split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Refuse: dropping the first tables would drop every signal."""
    msg = "the first migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
