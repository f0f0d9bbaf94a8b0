"""Systems of the province that bring ballots themselves, with a token; what they were told of each import.

A migration keeps its own copy of names: it must still mean the same when the code has moved on.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE source_systems (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    channels text[] NOT NULL CHECK (cardinality(channels) > 0
        AND channels <@ ARRAY['online', 'sms', 'call', 'portal', 'paper']),
    area text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at timestamptz,
    revoked_by text,
    revoked_at timestamptz,
    CHECK (num_nonnulls(revoked_by, revoked_at) IN (0, 2))
);
CREATE UNIQUE INDEX source_systems_by_name ON source_systems (name) WHERE revoked_at IS NULL;
ALTER TABLE ballot_imports ADD COLUMN report jsonb;
CREATE INDEX ballot_imports_with_report ON ballot_imports (imported_at) WHERE report IS NOT NULL;
"""


def upgrade() -> None:
    """Create the table, and the column for what a system was told."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Refuse: what was imported stays."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
