"""Released figures: what a page has shown stays as it was shown."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE releases (
    counter text NOT NULL REFERENCES counters,
    day date NOT NULL,
    revision integer NOT NULL CHECK (revision >= 1),
    as_of bigint NOT NULL,
    sums jsonb NOT NULL,
    log_index bigint NOT NULL,
    released_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (counter, day, revision)
)
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(_TABLE)


def downgrade() -> None:
    """Refuse: what was released stays released."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
