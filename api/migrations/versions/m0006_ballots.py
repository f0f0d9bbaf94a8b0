"""Ballots of the kiosk's rating."""

from __future__ import annotations

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""


def downgrade() -> None:
    """Refuse: what was logged stays."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
