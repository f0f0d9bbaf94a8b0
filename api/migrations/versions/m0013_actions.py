"""What was done at counters; alerts, who wants them and what is on its way to whom.

A migration keeps its own copy of names: it must still mean the same when the code has moved on.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE counter_actions (
    action_id uuid NOT NULL,
    revision integer NOT NULL CHECK (revision >= 1),
    counter text NOT NULL REFERENCES counters,
    day date NOT NULL,
    kind text NOT NULL,
    content text NOT NULL CHECK (length(content) <= 500),
    struck boolean NOT NULL DEFAULT false,
    actor text NOT NULL,
    log_index bigint NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (action_id, revision)
);
CREATE INDEX counter_actions_by_counter ON counter_actions (counter, action_id, revision);
CREATE TABLE alerts (
    alert_id uuid PRIMARY KEY,
    kind text NOT NULL,
    counter text REFERENCES counters,
    mark text NOT NULL,
    document jsonb NOT NULL,
    raised_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    acknowledged_at timestamptz,
    acknowledged_by text,
    CHECK (num_nonnulls(acknowledged_at, acknowledged_by) IN (0, 2)),
    UNIQUE NULLS NOT DISTINCT (kind, counter, mark)
);
CREATE INDEX alerts_by_time ON alerts (raised_at);
CREATE TABLE alert_subscriptions (
    subscription_id uuid PRIMARY KEY,
    account text NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    area text NOT NULL,
    kinds text[] NOT NULL CHECK (cardinality(kinds) > 0),
    way text NOT NULL CHECK (way IN ('mail', 'webhook')),
    target text NOT NULL,
    language text NOT NULL,
    signing_key bytea CHECK ((way = 'webhook') = (signing_key IS NOT NULL)),
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX alert_subscriptions_by_account ON alert_subscriptions (account);
CREATE TABLE alert_messages (
    message_id uuid PRIMARY KEY,
    subscription_id uuid NOT NULL REFERENCES alert_subscriptions ON DELETE CASCADE,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamptz,
    given_up_at timestamptz,
    fault text NOT NULL DEFAULT ''
);
CREATE INDEX alert_messages_waiting ON alert_messages (next_at) WHERE sent_at IS NULL AND given_up_at IS NULL;
CREATE TABLE alert_message_items (
    subscription_id uuid NOT NULL REFERENCES alert_subscriptions ON DELETE CASCADE,
    alert_id uuid NOT NULL REFERENCES alerts ON DELETE CASCADE,
    message_id uuid NOT NULL REFERENCES alert_messages ON DELETE CASCADE,
    PRIMARY KEY (subscription_id, alert_id)
);
CREATE INDEX alert_message_items_by_message ON alert_message_items (message_id);
"""


def upgrade() -> None:
    """Create the tables."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Refuse: what was noted and acknowledged stays."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
