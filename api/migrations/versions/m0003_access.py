"""Roles, reasons for reading personal data, back-off of wrong passwords.

A migration keeps its own copy of names: it must still mean the same when the code has moved on.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATEMENTS = """
ALTER TABLE users DROP CONSTRAINT users_role_check;
ALTER TABLE users ADD CONSTRAINT users_role_check
    CHECK (role IN ('administrator', 'supervisor', 'privacy-officer', 'observer'));
ALTER TABLE users DROP COLUMN failures, DROP COLUMN locked_until;
ALTER TABLE sessions
    ADD COLUMN last_seen_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN purpose text,
    ADD COLUMN ticket text,
    ADD COLUMN reason_until timestamptz,
    ADD CONSTRAINT sessions_reason_whole CHECK
        ((purpose IS NULL) = (ticket IS NULL) AND (purpose IS NULL) = (reason_until IS NULL));
CREATE TABLE login_failures (
    key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    failures integer NOT NULL,
    blocked_until timestamptz NOT NULL,
    last_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX login_failures_by_age ON login_failures (last_at);
CREATE TABLE login_addresses (
    user_name text NOT NULL REFERENCES users ON DELETE CASCADE,
    address text NOT NULL,
    last_login timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_name, address)
);
"""


def upgrade() -> None:
    """Change the tables of accounts and sessions."""
    for statement in _STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Refuse: what was logged stays."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
