"""The centre's log, the edges' logs folded into it, and what they say about each consent.

A migration keeps its own copy of names: it must still mean the same when the code has moved on.
"""

from __future__ import annotations

import hashlib
import json
import uuid

import sqlalchemy
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE central_log (
    idx bigint PRIMARY KEY CHECK (idx >= 0),
    leaf_hash bytea NOT NULL CHECK (octet_length(leaf_hash) = 32),
    kind text NOT NULL,
    record_id uuid,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    body bytea NOT NULL
);
CREATE INDEX central_log_of_record ON central_log (record_id, idx) WHERE record_id IS NOT NULL;
CREATE INDEX central_log_of_kind ON central_log (kind, idx);
CREATE TABLE central_log_nodes (
    level smallint NOT NULL,
    idx bigint NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, idx)
);
CREATE TABLE central_checkpoints (
    size bigint PRIMARY KEY,
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    note bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE cosignatures (
    size bigint NOT NULL REFERENCES central_checkpoints,
    witness text NOT NULL,
    line text NOT NULL,
    cosigned_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (size, witness)
);
CREATE TABLE edge_logs (
    edge_id uuid PRIMARY KEY REFERENCES edges,
    sender_id uuid NOT NULL REFERENCES edges,
    origin text NOT NULL UNIQUE,
    size bigint NOT NULL,
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    note bytea NOT NULL,
    last_contact timestamptz NOT NULL DEFAULT clock_timestamp(),
    folded_size bigint NOT NULL DEFAULT 0,
    folded_index bigint,
    folded_at timestamptz,
    forked_at timestamptz
);
CREATE INDEX edge_logs_of_sender ON edge_logs (sender_id);
CREATE TABLE edge_log_keys (
    edge_id uuid NOT NULL REFERENCES edge_logs,
    vkey text NOT NULL,
    from_size bigint NOT NULL,
    until_size bigint,
    PRIMARY KEY (edge_id, vkey)
);
CREATE TABLE edge_log_entries (
    edge_id uuid NOT NULL REFERENCES edge_logs,
    idx bigint NOT NULL CHECK (idx >= 0),
    leaf_hash bytea NOT NULL CHECK (octet_length(leaf_hash) = 32),
    kind text NOT NULL,
    record_id uuid,
    body bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (edge_id, idx)
);
CREATE INDEX edge_log_entries_of_record ON edge_log_entries (record_id, idx) WHERE record_id IS NOT NULL;
CREATE INDEX edge_log_entries_of_kind ON edge_log_entries (edge_id, kind, idx);
CREATE TABLE edge_log_nodes (
    edge_id uuid NOT NULL REFERENCES edge_logs,
    level smallint NOT NULL,
    idx bigint NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (edge_id, level, idx)
);
CREATE TABLE edge_checkpoints (
    edge_id uuid NOT NULL REFERENCES edge_logs,
    size bigint NOT NULL,
    note bytea NOT NULL,
    central_index bigint NOT NULL,
    PRIMARY KEY (edge_id, size)
);
CREATE TABLE edge_log_forks (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    edge_id uuid NOT NULL REFERENCES edge_logs,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    size bigint NOT NULL,
    reason text NOT NULL,
    kept_note bytea NOT NULL,
    sent_note bytea NOT NULL,
    sent_body bytea NOT NULL,
    evidence_sha256 bytea NOT NULL,
    UNIQUE (edge_id, evidence_sha256)
);
CREATE TABLE edge_log_anomalies (
    edge_id uuid NOT NULL REFERENCES edge_logs,
    idx bigint NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (edge_id, idx, reason)
);
CREATE TABLE consents (
    record_id uuid PRIMARY KEY,
    receipt_id uuid NOT NULL,
    edge_id uuid NOT NULL REFERENCES edge_logs,
    session_id uuid NOT NULL,
    counter text NOT NULL,
    state text NOT NULL,
    notice_id text NOT NULL,
    notice_version text NOT NULL,
    notice_sha256 text NOT NULL,
    language text NOT NULL,
    channel text NOT NULL,
    offered_at timestamptz NOT NULL,
    shown_at timestamptz,
    decided_at timestamptz,
    ended_at timestamptz,
    dwell_ms bigint,
    image text,
    voice text,
    quotes text,
    withdrawal_digest text,
    withdrawn_at timestamptz,
    session_started_at timestamptz,
    session_ended_at timestamptz,
    processed_image_ms bigint,
    processed_voice_ms bigint,
    consented_ms bigint,
    units bigint,
    gaps bigint NOT NULL DEFAULT 0,
    gap_ms bigint NOT NULL DEFAULT 0,
    outcome text,
    commitment text,
    first_index bigint NOT NULL,
    decision_index bigint,
    last_index bigint NOT NULL
);
CREATE INDEX consents_by_counter ON consents (counter, offered_at);
CREATE INDEX consents_by_time ON consents (offered_at, record_id);
CREATE INDEX consents_by_state ON consents (state, offered_at);
CREATE INDEX consents_by_notice ON consents (notice_version, offered_at);
CREATE INDEX consents_by_session ON consents (session_id);
CREATE INDEX consents_by_receipt ON consents (receipt_id);
CREATE INDEX consents_by_code ON consents (withdrawal_digest) WHERE withdrawal_digest IS NOT NULL;
CREATE INDEX consents_open_slots ON consents (session_started_at)
    WHERE session_started_at IS NOT NULL AND session_ended_at IS NULL;
CREATE TABLE withdrawal_requests (
    record_id uuid PRIMARY KEY REFERENCES consents,
    edge_id uuid NOT NULL REFERENCES edge_logs,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    method text NOT NULL,
    actor text NOT NULL DEFAULT 'citizen',
    central_index bigint NOT NULL,
    listed_at timestamptz,
    settled_at timestamptz
);
CREATE INDEX withdrawal_requests_open ON withdrawal_requests (edge_id) WHERE settled_at IS NULL;
"""
_APPEND_ONLY = (
    *("central_log", "central_log_nodes"),
    *("edge_log_entries", "edge_log_nodes", "edge_checkpoints", "edge_log_forks"),
)
_REFUSAL = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the table % is append-only', TG_TABLE_NAME;
END $$
"""
_TRIGGER = (
    "CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
)


def upgrade() -> None:
    """Create the tables and the first entry, which names the log.

    The first entry is made here and nowhere else: a log that lost its table must not begin again.
    """
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    # RFC 8785 for this document: sorted keys, no spaces, plain ASCII.
    document = {"kind": "genesis", "log": str(uuid.uuid4()), "schema_version": 1}
    body = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    leaf = hashlib.sha256(b"\0" + body).digest()
    op.get_bind().execute(
        sqlalchemy.text(
            "INSERT INTO central_log (idx, leaf_hash, kind, body) VALUES (0, :leaf, 'genesis', :body)"
        ),
        {"leaf": leaf, "body": body},
    )
    op.get_bind().execute(
        sqlalchemy.text("INSERT INTO central_log_nodes (level, idx, hash) VALUES (0, 0, :leaf)"),
        {"leaf": leaf},
    )
    op.execute(_REFUSAL)
    for table in _APPEND_ONLY:
        op.execute(_TRIGGER.format(table=table))


def downgrade() -> None:
    """Refuse: what was logged stays."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
