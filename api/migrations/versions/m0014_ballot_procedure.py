"""What the service of a ballot was about, where the edge says so.

A migration keeps its own copy of names: it must still mean the same when the code has moved on.
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; ballots of before stay without a procedure."""
    op.execute("ALTER TABLE ballots ADD COLUMN procedure text")


def downgrade() -> None:
    """Refuse: what was cast stays."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
