"""Ballots of the other channels: questionnaires, imports, answers; and the role of data entry.

A migration keeps its own copy of names: it must still mean the same when the code has moved on.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_DAY = "(cast_at AT TIME ZONE 'Asia/Ho_Chi_Minh')::date"
_TABLES = f"""
ALTER TABLE users DROP CONSTRAINT users_role_check;
ALTER TABLE users ADD CONSTRAINT users_role_check
    CHECK (role IN ('administrator', 'supervisor', 'privacy-officer', 'observer', 'data-entry'));
CREATE TABLE questionnaires (
    version text PRIMARY KEY,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    levels smallint NOT NULL CHECK (levels BETWEEN 2 AND 10),
    satisfied_from smallint NOT NULL CHECK (satisfied_from BETWEEN 2 AND levels),
    criteria text[] NOT NULL CHECK (cardinality(criteria) > 0),
    factors text[] NOT NULL CHECK (cardinality(factors) = cardinality(criteria)),
    first_used_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE SEQUENCE paper_batches;
CREATE TABLE ballot_imports (
    import_id uuid PRIMARY KEY,
    questionnaire text NOT NULL REFERENCES questionnaires,
    file_name text NOT NULL,
    file_sha256 bytea NOT NULL CHECK (octet_length(file_sha256) = 32),
    rows_sha256 bytea NOT NULL CHECK (octet_length(rows_sha256) = 32),
    rows_read bigint NOT NULL,
    kept bigint NOT NULL,
    refused bigint NOT NULL,
    batch bigint UNIQUE,
    actor text NOT NULL,
    log_index bigint NOT NULL UNIQUE,
    imported_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    withdrawn_at timestamptz,
    withdrawn_by text,
    withdrawn_why text,
    withdrawn_index bigint,
    CHECK (num_nonnulls(withdrawn_at, withdrawn_by, withdrawn_why, withdrawn_index) IN (0, 4))
);
CREATE INDEX ballot_imports_by_time ON ballot_imports (imported_at);
CREATE TABLE survey_ballots (
    import_id uuid NOT NULL REFERENCES ballot_imports DEFERRABLE INITIALLY DEFERRED,
    sheet smallint NOT NULL,
    line integer NOT NULL,
    channel text NOT NULL CHECK (channel IN ('online', 'sms', 'call', 'portal', 'paper')),
    questionnaire text NOT NULL,
    day date NOT NULL,
    unit text NOT NULL,
    counter text REFERENCES counters,
    procedure text,
    gave_feedback boolean,
    levels smallint[] NOT NULL,
    transaction_digest bytea UNIQUE CHECK (octet_length(transaction_digest) = 32),
    PRIMARY KEY (import_id, sheet, line)
);
CREATE INDEX survey_ballots_by_unit ON survey_ballots (unit, day);
CREATE INDEX survey_ballots_by_counter ON survey_ballots (counter, day) WHERE counter IS NOT NULL;
CREATE INDEX survey_ballots_by_day ON survey_ballots (day);
ALTER TABLE survey_ballots ALTER COLUMN transaction_digest SET STATISTICS 0;
CREATE VIEW survey_answers AS
SELECT s.channel, s.unit, s.counter, s.day, s.questionnaire, q.factors[a.position] AS factor,
    q.criteria[a.position] AS criterion, a.level, a.level >= q.satisfied_from AS satisfied
FROM survey_ballots s JOIN questionnaires q ON q.version = s.questionnaire,
    unnest(s.levels) WITH ORDINALITY AS a (level, position)
WHERE a.level IS NOT NULL
UNION ALL
SELECT 'kiosk', p.unit, b.counter, {_DAY}, 'rating-1', a.factor, a.criterion,
    CASE WHEN a.satisfied THEN 2 ELSE 1 END, a.satisfied
FROM ballots b
LEFT JOIN counter_placements p ON p.counter = b.counter
    AND {_DAY} >= p.valid_from AND {_DAY} < p.valid_until,
    LATERAL (VALUES
        ('access', 'information_facilities', b.information_facilities),
        ('procedure', 'dossier_rules', b.dossier_rules),
        ('officer', 'officer_attitude', b.officer_attitude),
        ('result', 'time_cost', b.time_cost)
    ) AS a (factor, criterion, satisfied);
"""  # noqa: S608 - constants of this file


def upgrade() -> None:
    """Create the tables."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Refuse: what was imported stays."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
