"""The centre's log and the edges' logs folded into it."""

from __future__ import annotations

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""


def downgrade() -> None:
    """Refuse: what was logged stays."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
