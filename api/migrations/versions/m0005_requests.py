"""Requests and breaches with their clocks."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_CODE = "~ '^[a-z0-9](?:[a-z0-9._:-]{0,62}[a-z0-9])?$'"

_TABLES = f"""
CREATE TABLE data_requests (
    request_id uuid PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    kind text NOT NULL CHECK (kind {_CODE}),
    channel text NOT NULL CHECK (channel {_CODE}),
    receipt_id uuid,
    record_id uuid,
    reference text CHECK (reference {_CODE}),
    with_processor boolean NOT NULL DEFAULT false,
    received_at timestamptz NOT NULL,
    registered_at timestamptz NOT NULL,
    acknowledge_due_at timestamptz,
    answer_due_at timestamptz NOT NULL,
    due_provisional boolean NOT NULL,
    law text NOT NULL,
    acknowledged_at timestamptz CHECK (acknowledged_at >= received_at),
    answered_at timestamptz CHECK (answered_at >= received_at),
    outcome text CHECK (outcome {_CODE}),
    note text NOT NULL DEFAULT '' CHECK (length(note) <= 200),
    CHECK (num_nonnulls(receipt_id, record_id, reference) > 0),
    CHECK ((answered_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX data_requests_open ON data_requests (answer_due_at) WHERE answered_at IS NULL;
CREATE INDEX data_requests_of_record ON data_requests (record_id) WHERE record_id IS NOT NULL;
CREATE TABLE breaches (
    breach_id uuid PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    nature text NOT NULL CHECK (nature {_CODE}),
    cause text NOT NULL CHECK (cause {_CODE}),
    scope text[] NOT NULL CHECK (cardinality(scope) > 0),
    affected bigint CHECK (affected >= 0),
    measures text[] NOT NULL DEFAULT '{{}}',
    detected_at timestamptz NOT NULL,
    registered_at timestamptz NOT NULL,
    notify_due_at timestamptz NOT NULL,
    law text NOT NULL,
    notified_at timestamptz CHECK (notified_at >= detected_at),
    authority_reference text CHECK (authority_reference {_CODE}),
    closed_at timestamptz CHECK (closed_at >= detected_at),
    file_until date,
    note text NOT NULL DEFAULT '' CHECK (length(note) <= 200),
    CHECK ((closed_at IS NULL) = (file_until IS NULL))
);
CREATE INDEX breaches_open ON breaches (notify_due_at) WHERE notified_at IS NULL;
"""


def upgrade() -> None:
    """Create the tables."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Refuse: what was logged stays."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
