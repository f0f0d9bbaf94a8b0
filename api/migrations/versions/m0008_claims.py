"""Tombstones whose consent no log has named yet, and an index for the withdrawn consents of a log."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE erasure_claims (
    record_id uuid NOT NULL,
    edge_id uuid NOT NULL REFERENCES edges,
    seq bigint NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (record_id, edge_id, seq)
)
"""
_INDEX = """
CREATE INDEX consents_to_erase ON consents (edge_id, last_index) WHERE state IN ('withdrawn', 'invalidated')
"""


def upgrade() -> None:
    """Create both."""
    op.execute(_TABLE)
    op.execute(_INDEX)


def downgrade() -> None:
    """Refuse: what was asked for stays asked for."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
