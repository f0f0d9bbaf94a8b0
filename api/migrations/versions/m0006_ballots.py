"""Ballots of the kiosk's rating.

A migration keeps its own copy of names: it must still mean the same when the code has moved on.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE ballots (
    ballot_id uuid PRIMARY KEY,
    counter text NOT NULL REFERENCES counters,
    cast_at timestamptz NOT NULL,
    session_id uuid,
    information_facilities boolean NOT NULL,
    dossier_rules boolean NOT NULL,
    officer_attitude boolean NOT NULL,
    time_cost boolean NOT NULL,
    edge_id uuid NOT NULL REFERENCES edges,
    seq bigint NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (edge_id, seq)
);
CREATE INDEX ballots_by_counter ON ballots (counter, cast_at);
CREATE INDEX ballots_by_session ON ballots (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX ballots_by_time ON ballots (cast_at);
ALTER TABLE ballots ALTER COLUMN session_id SET STATISTICS 0;
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
