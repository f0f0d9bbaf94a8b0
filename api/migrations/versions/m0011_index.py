"""The index: versions of its formula, calibrations of the passive scores, released cells of months.

A migration keeps its own copy of names: it must still mean the same when the code has moved on.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE index_formulas (
    version integer PRIMARY KEY CHECK (version >= 1),
    holds_from date NOT NULL CHECK (extract(day FROM holds_from) = 1),
    document jsonb NOT NULL,
    decided_by text NOT NULL,
    log_index bigint NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE calibrations (
    version integer PRIMARY KEY CHECK (version >= 1),
    model text NOT NULL CHECK (model ~ '^[0-9a-f]{16}$'),
    document jsonb NOT NULL,
    log_index bigint NOT NULL,
    fitted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX calibrations_by_model ON calibrations (model, version);
CREATE TABLE index_cells (
    month date NOT NULL CHECK (extract(day FROM month) = 1),
    key text NOT NULL,
    revision integer NOT NULL CHECK (revision >= 1),
    path text[] NOT NULL,
    document jsonb NOT NULL,
    log_index bigint NOT NULL,
    released_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (month, key, revision)
);
CREATE INDEX index_cells_by_place ON index_cells USING gin (path);
"""


def upgrade() -> None:
    """Create the tables."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Refuse: what was released stays released."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
