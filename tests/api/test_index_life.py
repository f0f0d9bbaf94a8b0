"""The index over time: erasures, a restore, a counter that moves, a database of before, and its commands."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import sqlalchemy
from alembic import command
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from api.commands import central
from api.database import Database, _config
from api.disclosure import Disclosure
from api.eraser import CentralEraser
from api.erasure import erase
from api.erasure_file import ErasureFile
from api.index.calibrations import FEWEST_CHANGED, calibrate, kept_calibrations
from api.index.formula import built_in, decide, document_of, from_document, kept_formulas
from api.index.period import Period
from api.index.reading import Standing, read_places
from api.index.releases import kept_cells, release_month
from api.log import log_size
from api.organisation.tree import Period as Days
from api.physical import RewriteRule
from api.rebuilding import rebuild
from api.schema import next_month
from api.survey.answers import Scope, answers_of
from api.trends import local_today
from consent.checkpoint import Ed25519Signer
from tests.api.senders import enrolled_edge
from tests.api.simulated_centre import SimulatedCentre, Visits
from tests.api.survey_files import FIELDS, TITLES, Sheet, good_row, write_csv

MONTH = date(2026, 5, 1)
UNTIL, TODAY = next_month(MONTH), date(2026, 7, 10)
N = 10
EVERYBODY = Visits(consent=(1.0, 1.0), vote=1.0, scored=1.0, spread=0.4)
SETTLED = timedelta(days=40)
"""So long before the first of this month every month is over and has settled."""
RUN = CliRunner()


@pytest.fixture
def centre(database: Database, seed: int) -> SimulatedCentre:
    return SimulatedCentre(database, seed)


def released(database: Database, month: date = MONTH) -> list[dict[str, object]]:
    """Release what is due, and return the newest cells."""
    release_month(database, month, today=TODAY, minimum_n=N)
    with database.transaction() as connection:
        return [cell.document() for cell in kept_cells(connection, [month])]


def test_an_erasure_reaches_the_next_fit_and_no_release_tells_of_it(
    database: Database, centre: SimulatedCentre, tmp_path: Path
) -> None:
    centre.serve("quay-1", MONTH, 60, EVERYBODY)
    (first,) = calibrate(database, UNTIL)
    before = released(database)
    signer = Ed25519Signer("hailong/erasure", Ed25519PrivateKey.from_private_bytes(b"e" * 32))
    eraser = CentralEraser(
        database,
        ErasureFile(tmp_path / "erasures.jsonl"),
        signer,
        rule=RewriteRule(now_mb=1000, from_hour=2, to_hour=5),
    )
    with database.transaction() as connection:
        rows = connection.execute("SELECT consent_record_id FROM signals ORDER BY arrival").fetchall()
    one, *more = [row[0] for row in rows][:FEWEST_CHANGED]
    assert erase(database, one, "withdrawn")
    assert eraser.run_once() == 1
    assert calibrate(database, UNTIL) == (), "one pair does not show by difference"
    assert released(database) == before
    for record_id in more:
        erase(database, record_id, "withdrawn")
    assert eraser.run_once() == len(more)
    (second,) = calibrate(database, UNTIL)
    assert (first.calibration.n, second.calibration.n) == (60, 60 - FEWEST_CHANGED)
    centre.serve("quay-1", MONTH, 40, EVERYBODY)
    assert released(database) == before, "what came hides nobody who went"
    centre.serve("quay-1", UNTIL, 50, EVERYBODY)
    (june,) = released(database, UNTIL)
    assert june["sums"]["signals"] == 50  # type: ignore[index] # a document of JSON


def test_formula_and_calibrations_are_put_back_after_a_restore(
    database: Database, centre: SimulatedCentre
) -> None:
    centre.serve("quay-1", MONTH, 60, EVERYBODY)
    (fitted,) = calibrate(database, UNTIL)
    changed = document_of(built_in()) | {"version": 2, "holds_from": "2026-09-01", "overall": "factors"}
    decide(database, from_document(changed), actor="an")
    with database.transaction() as connection:
        size = log_size(connection)
        connection.execute("TRUNCATE calibrations, index_formulas")
        put_back = [rebuild(connection, 0, size) for _ in range(2)]
        assert kept_calibrations(connection) == (fitted,)
        (formula,) = kept_formulas(connection)
        decided = connection.execute("SELECT decided_by, log_index FROM index_formulas").fetchone()
    assert document_of(formula) == changed
    assert decided == ("an", size - 1)
    assert put_back == [{"calibration": 1, "index-formula": 1}, {}]
    assert calibrate(database, UNTIL) == ()


def test_a_counter_that_moves_within_a_month_counts_in_both_units(
    database: Database, centre: SimulatedCentre
) -> None:
    """It is in the second unit from the 11th until the 20th, and in the first one before and after."""
    with database.transaction() as connection:
        row = connection.execute("SELECT unit FROM counter_placements WHERE counter = 'quay-1'").fetchone()
        assert row is not None
        home = str(row[0])
        connection.execute(
            "INSERT INTO organisation_nodes (code, level, name_vi, name_en, valid_from) "
            "VALUES ('u-other', 'unit', 'u', 'u', '1900-01-01')"
        )
        connection.execute(
            "INSERT INTO organisation_paths (unit, node, level, distance, valid_from, valid_until) "
            "VALUES ('u-other', 'u-other', 'unit', 0, '1900-01-01', '9999-12-31')"
        )
        connection.execute("DELETE FROM counter_placements WHERE counter = 'quay-1'")
        connection.cursor().executemany(
            "INSERT INTO counter_placements (counter, unit, valid_from, valid_until) "
            "VALUES ('quay-1', %s, %s, %s)",
            [
                (home, "1900-01-01", "2026-05-11"),
                ("u-other", "2026-05-11", "2026-05-21"),
                (home, "2026-05-21", "9999-12-31"),
            ],
        )
    centre.serve("quay-1", MONTH, 310, Visits(consent=(1.0, 1.0), vote=1.0))
    released(database)
    with database.transaction() as connection:
        cells = {cell.path[-2]: cell for cell in kept_cells(connection, [MONTH])}
    there, here = cells["unit:u-other"], cells[f"unit:{home}"]
    assert [(member.first.day, member.until.day) for member in there.members] == [(11, 21)]
    assert [(member.first.day, member.until.day) for member in here.members] == [(1, 11), (21, 1)]
    assert (there.sums["visits"], here.sums["visits"]) == (100, 210)
    places = ["unit:u-other", f"unit:{home}", "counter:quay-1", "all"]
    found = read_places(database, places, Period.parse("2026-05"), Disclosure(N, TODAY))
    assert {name: item.standing for name, item in found.items()} == dict.fromkeys(places, Standing.FIGURE)
    counts = [item.figure.completeness.visits for item in found.values() if item.figure is not None]
    assert counts == [100, 210, 310, 310]


def _upgraded(dsn: str, revision: str) -> None:
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    try:
        with engine.connect() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            connection.commit()
    finally:
        engine.dispose()


def test_counters_ballots_and_releases_of_before_are_kept(dsn: str, seed: int) -> None:
    """A database of the time before the tree, the imports and the index is brought to this version."""
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    _upgraded(dsn, "0008")
    edge_id = UUID(int=rng.getrandbits(128), version=4)
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO edges (id, name, public_key) VALUES (%s, 'edge', %s)", (edge_id, rng.randbytes(32))
        )
        connection.cursor().executemany(
            "INSERT INTO counters (code, unit, area, edge_id) VALUES (%s, %s, %s, %s)",
            [("quay-1", "Một cửa Ba Đình", "ba-dinh", edge_id), ("quay-2", "", "", edge_id)],
        )
        connection.cursor().executemany(
            "INSERT INTO ballots (ballot_id, counter, cast_at, information_facilities, dossier_rules, "
            "officer_attitude, time_cost, edge_id, seq) "
            "VALUES (gen_random_uuid(), 'quay-1', '2026-05-04 08:00+07', true, %s, true, true, %s, %s)",
            [(number % 4 > 0, edge_id, number + 1) for number in range(40)],
        )
        connection.execute(
            "INSERT INTO releases (counter, day, revision, as_of, sums, log_index) "
            "VALUES ('quay-1', '2026-05-04', 1, 7, '{\"sessions\": 12}', 3)"
        )
        kept = {
            table: connection.execute(f"SELECT to_jsonb(t) FROM {table} t ORDER BY 1").fetchall()  # noqa: S608 - names of this list
            for table in ("counters", "ballots", "releases", "edges", "central_log")
        }
    with Database(dsn) as database:
        database.migrate()
        assert database.is_current()
        with database.transaction() as connection:
            for table, rows in kept.items():
                found = connection.execute(f"SELECT to_jsonb(t) FROM {table} t ORDER BY 1").fetchall()  # noqa: S608 - as above
                assert [row[0] for row in rows] == [
                    {key: value for key, value in row[0].items() if key in rows[0][0]} for row in found
                ]
            placed = dict(connection.execute("SELECT counter, unit FROM counter_placements").fetchall())
            may = Days(MONTH, UNTIL)
            whole = answers_of(connection, Scope(node=placed["quay-1"]), may).factors[0]
        assert set(placed) == {"quay-1"}
        assert (whole.ballots, whole.share_sum_ppm) == (40, 30_000_000)
        (cell,) = release_month(database, MONTH, today=TODAY, minimum_n=N).cells
        assert (cell.ballots, cell.satisfied, cell.path[:2]) == (40, 30, ("all", "area:ba-dinh"))


def run(config: Path, *words: str, code: int = 0) -> str:
    done = RUN.invoke(central, [*words, "-c", str(config)])
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.fixture
def config(dsn: str, tmp_path: Path) -> Path:
    path = tmp_path / "central.toml"
    path.write_text(
        f"[database]\ndsn = {json.dumps(dsn)}\n[log]\ndata_dir = {json.dumps(str(tmp_path / 'log'))}\n",
        "utf-8",
    )
    return path


def test_the_commands_of_the_index(config: Path, centre: SimulatedCentre, tmp_path: Path) -> None:
    last = (local_today().replace(day=1) - SETTLED).replace(day=1)
    centre.serve("quay-1", last, 60, EVERYBODY)
    (made,) = json.loads(run(config, "calibrate", "--json"))
    assert (made["version"], made["ballots"], made["gate"], made["ece"]) == (1, 60, "too_few", None)
    assert "nothing new to calibrate" in run(config, "calibrate")
    month = f"{last:%Y-%m}"
    (done,) = json.loads(run(config, "index", "release", "--month", month, "--json"))
    assert (done["month"], done["cells"], done["formula"]) == (month, ["kiosk counter:quay-1"], 1)
    assert run(config, "index", "release").splitlines()[0] == f"{month}: 0 cells released"
    run(config, "index", "release", "--month", f"{last:%Y}", code=1)
    shown = json.loads(run(config, "index", "show", month, "--place", "counter:quay-1", "--json"))
    assert shown["counter:quay-1"]["standing"] == "figure"
    assert shown["counter:quay-1"]["figure"]["overall"]["share"]["n"] == 60
    assert "60 ballots, wilson; this is not SIPAS" in run(config, "index", "show", month, "--place", "all")
    assert run(config, "index", "show", "2020", "--place", "all") == "all: nothing is released\n"
    document = json.loads(run(config, "index", "formula"))
    assert document == document_of(built_in())
    file = tmp_path / "formula.toml"
    text = files("api.index").joinpath("formula.toml").read_text("utf-8")
    text = text.replace("version = 1", "version = 2")
    file.write_text(text.replace(built_in().holds_from.isoformat(), "2099-01-01"), "utf-8")
    assert "formula 2 holds from 2099-01: entry" in run(config, "index", "formula", "--set", str(file))
    run(config, "index", "formula", "--set", str(file), code=1)
    run(config, "index", "formula", "--set", str(tmp_path / "absent"), code=1)


TREE = """\
code;level;name_vi;parent
tinh;province;Tỉnh;
u-main;unit;Một cửa;tinh
counter-1;counter;;u-main
"""


def test_the_commands_of_organisation_samples_and_ballots(
    config: Path, database: Database, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    enrolled_edge(database, ["counter-1"])

    def file(name: str, text: str) -> str:
        (tmp_path / name).write_text(text, "utf-8")
        return str(tmp_path / name)

    assert "3 rows kept, 0 refused" in run(config, "organisation", "import", file("tree.csv", TREE))
    assert "u-main · unit · Một cửa" in run(config, "organisation", "show", "--day", "2026-03-04")
    bad = file("bad.csv", TREE.replace("u-main;unit;Một cửa;tinh", "u-two;unit;Hai;nowhere"))
    assert "refused" in run(config, "organisation", "import", bad, "--dry-run", code=1)
    numbers = "".join(f"u-main;04/03/2026;p;H29.{at:06d}\n" for at in range(20))
    listed = file("done.csv", "unit;day;procedure;transaction\n" + numbers)
    assert "20 rows kept" in run(config, "organisation", "transactions", listed)
    days = ("--first", "2026-03-01", "--last", "2026-03-31")
    run(config, "sample", "plan", "quy-1", *days, "--level", "province=5")
    assert "nothing was drawn yet" in run(config, "sample", "verify", "quy-1", code=1)
    run(config, "sample", "draw", "quy-1", "--seed", "xo-so 71493")
    assert run(config, "sample", "verify", "quy-1").startswith("5 transactions")
    rows = [good_row(rng, at) for at in range(20)]
    sheet = Sheet([[row[name] for name in FIELDS] for row in rows])
    ballots = str(write_csv(tmp_path / "ballots.csv", TITLES, sheet))
    assert json.loads(run(config, "ballots", "import", ballots, "--dry-run", "--json"))["kept"] == 20
    done = json.loads(run(config, "ballots", "import", ballots, "--json"))
    assert (done["kept"], done["refused"]) == (20, 0)
    assert run(config, "sample", "response", "quy-1") == "u-main: 5 of 5 (100.0%)\n"
    (kept,) = json.loads(run(config, "ballots", "list", "--json"))
    assert kept["import_id"] == done["import_id"]
    assert "1 imports, 20 ballots as imported" in run(config, "ballots", "check")
    with database.transaction() as connection:
        connection.execute("DELETE FROM survey_ballots WHERE line = 3")
    run(config, "ballots", "check", code=1)
    gone = run(config, "ballots", "withdraw", done["import_id"], "--why", "wrong-values")
    assert gone == "19 ballots withdrawn\n"
    assert "withdrawn: wrong-values" in run(config, "ballots", "list")
