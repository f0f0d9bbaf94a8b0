"""The organisation with its changes over time, completed transactions, sampling plans.

A migration keeps its own copy of names: it must still mean the same when the code has moved on.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_CODE = "~ '^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$'"
_BEGINNING = "DATE '1900-01-01'"
_OPEN = "DATE '9999-12-31'"

_TABLES = f"""
CREATE TABLE organisation_levels (
    code text PRIMARY KEY CHECK (code {_CODE}),
    rank smallint NOT NULL UNIQUE,
    name_vi text NOT NULL,
    name_en text NOT NULL
);
INSERT INTO organisation_levels (code, rank, name_vi, name_en) VALUES
    ('province', 10, 'Tỉnh, thành phố', 'Province'),
    ('district', 20, 'Quận, huyện', 'District'),
    ('commune', 30, 'Xã, phường', 'Commune'),
    ('area', 40, 'Khu vực chưa xếp cấp', 'Area whose level was not stated'),
    ('unit', 90, 'Bộ phận một cửa', 'One-stop unit');
CREATE TABLE organisation_imports (
    import_id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('tree', 'transactions')),
    file_name text NOT NULL,
    file_sha256 bytea NOT NULL CHECK (octet_length(file_sha256) = 32),
    rows_read bigint NOT NULL,
    kept bigint NOT NULL,
    refused bigint NOT NULL,
    actor text NOT NULL,
    log_index bigint NOT NULL,
    imported_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE organisation_nodes (
    code text NOT NULL CHECK (code {_CODE}),
    level text NOT NULL REFERENCES organisation_levels,
    name_vi text NOT NULL,
    name_en text NOT NULL,
    parent text,
    valid_from date NOT NULL,
    valid_until date NOT NULL DEFAULT {_OPEN},
    successor text,
    PRIMARY KEY (code, valid_from),
    CHECK (valid_until > valid_from),
    CHECK (parent <> code),
    CHECK (successor <> code)
);
CREATE INDEX organisation_nodes_by_parent ON organisation_nodes (parent);
CREATE TABLE counter_placements (
    counter text NOT NULL REFERENCES counters ON DELETE CASCADE,
    unit text NOT NULL,
    valid_from date NOT NULL,
    valid_until date NOT NULL DEFAULT {_OPEN},
    PRIMARY KEY (counter, valid_from),
    CHECK (valid_until > valid_from)
);
CREATE INDEX counter_placements_by_unit ON counter_placements (unit);
CREATE TABLE organisation_paths (
    unit text NOT NULL,
    node text NOT NULL,
    level text NOT NULL,
    distance smallint NOT NULL,
    valid_from date NOT NULL,
    valid_until date NOT NULL,
    PRIMARY KEY (unit, node, valid_from)
);
CREATE INDEX organisation_paths_by_node ON organisation_paths (node, unit);
CREATE TABLE completed_transactions (
    unit text NOT NULL,
    procedure text NOT NULL,
    day date NOT NULL,
    completed integer NOT NULL CHECK (completed > 0),
    import_id uuid NOT NULL REFERENCES organisation_imports,
    PRIMARY KEY (unit, procedure, day)
);
CREATE INDEX completed_transactions_by_day ON completed_transactions (day);
CREATE TABLE transaction_digests (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    unit text NOT NULL,
    procedure text NOT NULL,
    day date NOT NULL,
    import_id uuid NOT NULL REFERENCES organisation_imports
);
CREATE INDEX transaction_digests_by_unit ON transaction_digests (unit, day);
ALTER TABLE transaction_digests ALTER COLUMN digest SET STATISTICS 0;
CREATE TABLE sampling_plans (
    plan_id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name {_CODE}),
    first_day date NOT NULL,
    until_day date NOT NULL CHECK (until_day > first_day),
    method text NOT NULL,
    minimum integer NOT NULL CHECK (minimum >= 0),
    frame_sha256 bytea NOT NULL CHECK (octet_length(frame_sha256) = 32),
    planned_by text NOT NULL,
    planned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    plan_index bigint NOT NULL,
    seed text,
    drawn_by text,
    drawn_at timestamptz,
    draw_index bigint,
    CHECK (num_nonnulls(seed, drawn_by, drawn_at, draw_index) IN (0, 4))
);
CREATE TABLE sampling_strata (
    plan_id uuid NOT NULL REFERENCES sampling_plans,
    unit text NOT NULL,
    level text NOT NULL,
    eligible integer NOT NULL CHECK (eligible >= 0),
    wanted integer NOT NULL CHECK (wanted >= 0 AND wanted <= eligible),
    PRIMARY KEY (plan_id, unit)
);
CREATE TABLE sampled_transactions (
    plan_id uuid NOT NULL,
    unit text NOT NULL,
    position integer NOT NULL CHECK (position >= 1),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    PRIMARY KEY (plan_id, unit, position),
    UNIQUE (plan_id, digest),
    FOREIGN KEY (plan_id, unit) REFERENCES sampling_strata
);
ALTER TABLE sampled_transactions ALTER COLUMN digest SET STATISTICS 0;
"""  # noqa: S608 - constants of this file

# Counters that are enrolled with the name of a unit and the code of an area get their place from them,
# so that every counter is somewhere in the tree; an import puts them where they really belong.
_PLACING = f"""
CREATE FUNCTION place_counter() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unit_code text := NEW.unit;
BEGIN
    IF NEW.unit = '' AND NEW.area = '' THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM organisation_nodes WHERE code = NEW.unit AND level = 'unit') THEN
        unit_code := 'u-' || left(md5(NEW.area || chr(31) || NEW.unit), 16);
        IF NEW.area {_CODE} THEN
            INSERT INTO organisation_nodes (code, level, name_vi, name_en, valid_from)
            SELECT NEW.area, 'area', NEW.area, NEW.area, {_BEGINNING}
            WHERE NOT EXISTS (SELECT 1 FROM organisation_nodes WHERE code = NEW.area);
        END IF;
        INSERT INTO organisation_nodes (code, level, name_vi, name_en, parent, valid_from)
        SELECT unit_code, 'unit', coalesce(nullif(NEW.unit, ''), NEW.area),
            coalesce(nullif(NEW.unit, ''), NEW.area),
            CASE WHEN NEW.area {_CODE} THEN NEW.area END, {_BEGINNING}
        WHERE NOT EXISTS (SELECT 1 FROM organisation_nodes WHERE code = unit_code);
        INSERT INTO organisation_paths (unit, node, level, distance, valid_from, valid_until)
        SELECT unit_code, unit_code, 'unit', 0, {_BEGINNING}, {_OPEN}
        ON CONFLICT DO NOTHING;
        INSERT INTO organisation_paths (unit, node, level, distance, valid_from, valid_until)
        SELECT unit_code, above.node, above.level, above.distance, above.valid_from, above.valid_until
        FROM (
            WITH RECURSIVE up (node, level, parent, distance, valid_from, valid_until) AS (
                SELECT code, level, parent, 1, valid_from, valid_until
                FROM organisation_nodes WHERE code = NEW.area
                UNION ALL
                SELECT n.code, n.level, n.parent, up.distance + 1,
                    greatest(n.valid_from, up.valid_from), least(n.valid_until, up.valid_until)
                FROM up JOIN organisation_nodes n ON n.code = up.parent
                WHERE n.valid_from < up.valid_until AND n.valid_until > up.valid_from AND up.distance < 16
            )
            SELECT node, level, distance, valid_from, valid_until FROM up
        ) AS above
        ON CONFLICT DO NOTHING;
    END IF;
    INSERT INTO counter_placements (counter, unit, valid_from) VALUES (NEW.code, unit_code, {_BEGINNING});
    RETURN NEW;
END $$
"""  # noqa: S608 - constants of this file
_TRIGGER = """
CREATE TRIGGER counters_are_placed AFTER INSERT ON counters FOR EACH ROW EXECUTE FUNCTION place_counter()
"""
_EXISTING = f"""
INSERT INTO organisation_nodes (code, level, name_vi, name_en, valid_from)
SELECT DISTINCT area, 'area', area, area, {_BEGINNING} FROM counters WHERE area {_CODE};
INSERT INTO organisation_nodes (code, level, name_vi, name_en, parent, valid_from)
SELECT DISTINCT 'u-' || left(md5(area || chr(31) || unit), 16), 'unit', coalesce(nullif(unit, ''), area),
    coalesce(nullif(unit, ''), area), CASE WHEN area {_CODE} THEN area END, {_BEGINNING}
FROM counters WHERE unit <> '' OR area <> '';
INSERT INTO counter_placements (counter, unit, valid_from)
SELECT code, 'u-' || left(md5(area || chr(31) || unit), 16), {_BEGINNING}
FROM counters WHERE unit <> '' OR area <> '';
INSERT INTO organisation_paths (unit, node, level, distance, valid_from, valid_until)
SELECT code, code, level, 0, valid_from, valid_until FROM organisation_nodes WHERE level = 'unit'
UNION ALL
SELECT unit.code, area.code, area.level, 1, area.valid_from, area.valid_until
FROM organisation_nodes unit JOIN organisation_nodes area ON area.code = unit.parent
"""  # noqa: S608 - constants of this file


def upgrade() -> None:
    """Create the tables and put the present counters into the tree."""
    for statement in (*_TABLES.split(";\n"), _PLACING, _TRIGGER, *_EXISTING.split(";\n")):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Refuse: what was imported stays."""
    msg = "this migration cannot be undone: restore a backup instead"
    raise RuntimeError(msg)
