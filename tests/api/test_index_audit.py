"""An auditor counts the index again: sums from signals and edges' logs, every figure to the last digit."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api import log
from api.audit import AuditReport, verify
from api.audit_folder import INDEX
from api.audit_index import IndexAudit, Released, figures
from api.database import Database
from api.index import releases
from api.index.calibrations import KeptCalibration, keep
from api.index.cells import Cell, Item, Sums, partition
from api.index.errors import IndexRefused
from api.index.ledger import LedgerRecount
from api.index.releases import MonthRelease, release_month
from api.privacy_budget import release_privately
from api.statistics.calibration import fit
from api.statistics.private_release import Mechanism
from api.statistics.suppression_lattice import Counts, month_table
from tests.api.audited_centre import COUNTER, MINIMUM_N, TODAY, AuditedCentre
from tests.api.senders import Edge
from tests.api.simulated_centre import KEY_A

MONTH = TODAY.replace(day=1)
SETTLED = date(2026, 12, 10)
DAYS = (TODAY - timedelta(days=8), TODAY - timedelta(days=7))


@pytest.fixture
def centre(database: Database, edge: Edge, quick_folder: Path, seed: int) -> Iterator[AuditedCentre]:
    made = AuditedCentre(database, edge, quick_folder, seed)
    yield made
    made.store.close()


@pytest.fixture
def busy(centre: AuditedCentre) -> AuditedCentre:
    """Sixty measured visits, of which half voted, and twenty-four others, of which all voted."""
    _calibrate(centre.database)
    voted: list[tuple[UUID | None, Any]] = []
    for day in DAYS:
        for number in range(30):
            record = centre.session(day)
            if number % 2:
                voted.append((record.session_id, centre.now))
        for _ in range(12):
            centre.unasked(day)
            voted.append((None, centre.now))
    centre.deliver()
    with centre.database.transaction() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ballots (ballot_id, counter, cast_at, session_id, information_facilities, "
            "dossier_rules, officer_attitude, time_cost, edge_id, seq) "
            "VALUES (gen_random_uuid(), %s, %s, %s, true, %s, true, true, %s, %s)",
            [
                (COUNTER, at, session, number % 5 > 0, centre.edge.id, number + 1)
                for number, (session, at) in enumerate(voted)
            ],
        )
    return centre


def _calibrate(database: Database) -> None:
    rng = random.Random(1)  # noqa: S311 - a seeded sequence, no secret
    scores = [rng.random() for _ in range(4000)]
    kept = KeptCalibration(
        1, KEY_A, ("centerface 1",), fit(KEY_A, MONTH, scores, [rng.random() < f for f in scores])
    )
    assert kept.calibration.usable
    with database.transaction() as connection:
        keep(connection, kept)


def release(database: Database) -> MonthRelease:
    return release_month(database, MONTH, today=SETTLED, minimum_n=MINIMUM_N)


def failed(report: AuditReport) -> set[str]:
    return {finding.check for finding in report.findings if not finding.ok}


def told(report: AuditReport) -> Mapping[str, str]:
    return {finding.check: finding.detail for finding in report.findings}


def test_every_figure_of_the_index_is_reproduced(busy: AuditedCentre) -> None:
    (cell,) = release(busy.database).cells
    assert cell.strata == ("scored", "others")
    assert (cell.sums["scored.n"], cell.sums["passive.n"], cell.sums["others.n"]) == (30, 30, 24)
    assert (cell.sums["visits"], cell.sums["given"]) == (84, 60)
    folder, _ = busy.export()
    report = verify(folder)
    assert failed(report) == set()
    assert told(report)["index sums"].startswith("1 cells exactly, 0 with")
    published = json.loads((folder / INDEX).read_text("utf-8"))
    assert {f"counter:{COUNTER} 2026-11", "all 2026-Q4", "all 2026"} <= set(published)
    overall = published["all 2026-11"]["overall"]["share"]
    assert (overall["n"], overall["N"]) == (54, 30)


def test_a_figure_that_was_changed_is_found(busy: AuditedCentre) -> None:
    release(busy.database)
    folder, _ = busy.export()
    document = json.loads((folder / INDEX).read_text("utf-8"))
    share = document["all 2026-11"]["overall"]["share"]
    share["value"] = str(int(share["value"]) + 1)
    (folder / INDEX).write_text(json.dumps(document), "utf-8")
    assert failed(verify(folder)) == {"files", "index figures"}


def _more(name: str, by: int) -> Callable[[Sums], Sums]:
    return lambda sums: {**sums, name: sums[name] + by}


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (_more("passive.f", 100_000), "sum up to something else"),
        (_more("scored.ff", 1), "sum up to something else"),
        (_more("signals", 1), "1 signals are missing"),
        (_more("refused", 1), "count other refused"),
        (_more("others.visits", 10), "not all visits"),
    ],
)
def test_sums_that_the_centre_forged_are_found(
    busy: AuditedCentre, monkeypatch: pytest.MonkeyPatch, forge: Callable[[Sums], Sums], reason: str
) -> None:
    """The operator signs a log with false sums, and publishes the figures that follow from them."""
    honest = partition

    def forged(month: date, items: Sequence[Item], minimum_n: int) -> tuple[list[Cell], int]:
        cells, left_out = honest(month, items, minimum_n)
        return [replace(cell, sums=forge(cell.sums)) for cell in cells], left_out

    monkeypatch.setattr(releases, "partition", forged)
    release(busy.database)
    folder, _ = busy.export()
    report = verify(folder)
    assert failed(report) == {"index sums"}
    assert reason in told(report)["index sums"]


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (_more("others.y.overall", 100), "more are satisfied than voted"),
        (_more("others.n", -20), "fewer than 10 ballots"),
    ],
)
def test_sums_that_no_ballots_have_are_named(
    busy: AuditedCentre, forge: Callable[[Sums], Sums], reason: str
) -> None:
    (cell,) = release(busy.database).cells
    released = Released(((replace(cell, sums=forge(cell.sums)), MINIMUM_N),), (), {})
    found = IndexAudit(released, (), LedgerRecount(()), erased={}, kept_from=None).sums()
    assert not found.ok
    assert reason in found.detail
    assert not figures(released, {}, MINIMUM_N).ok


def test_an_erasure_after_the_release_leaves_its_sums_and_is_told(
    busy: AuditedCentre, database: Database
) -> None:
    (before,) = release(database).cells
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT consent_record_id FROM signals ORDER BY arrival DESC LIMIT 1"
        ).fetchone()
        assert row is not None
        log.append(connection, log.Kind.ERASURE_STARTED, {"cause": "withdrawn"}, record_id=row[0])
        connection.execute("DELETE FROM signals WHERE consent_record_id = %s", row)
    assert release(database).cells == (), "one person's part does not show by difference"
    folder, _ = busy.export()
    report = verify(folder)
    assert failed(report) == set()
    assert told(report)["index sums"].startswith("0 cells exactly, 1 with sessions erased since")
    with database.transaction() as connection:
        (kept,) = releases.kept_cells(connection, [MONTH])
    assert kept.document() == before.document()


def test_a_release_is_put_back_after_a_restore(busy: AuditedCentre, database: Database) -> None:
    (made,) = release(database).cells
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT body, idx, at FROM central_log WHERE kind = 'index-release'"
        ).fetchone()
        assert row is not None
        connection.execute("DELETE FROM index_cells")
        leaf = json.loads(bytes(row[0])) | {"index": row[1], "logged_at": row[2]}
        assert releases.restore(connection, leaf) == 1
        assert releases.restore(connection, leaf) == 0
        (kept,) = releases.kept_cells(connection, [MONTH])
    assert kept.document() == made.document()


def test_a_month_is_not_released_before_it_has_settled(database: Database) -> None:
    with pytest.raises(IndexRefused, match="2026-12-04 on"):
        release_month(database, MONTH, today=date(2026, 12, 3), minimum_n=MINIMUM_N)


def test_a_tampered_privacy_budget_is_found(centre: AuditedCentre) -> None:
    """The operator draws once more than the month may bear, beside the one function that would refuse it."""
    release_privately(
        centre.database,
        month_table({"all": None, "u": "all"}, {("u", date(2026, 3, 2)): Counts(500, 430)}),
        ["u"],
        level="unit",
        statistic="satisfied",
        mechanism=Mechanism(),
        today=TODAY,
        actor="@test",
    )
    folder, _ = centre.export("honest")
    report = verify(folder)
    assert failed(report) == set()
    assert told(report)["privacy budget"] == "1 private releases of 1 months, within their limits"
    body = {"actor": "@test", "month": "2026-03", "level": "area", "statistic": "satisfied"}
    with centre.database.transaction() as connection:
        log.append(
            connection,
            log.Kind.PRIVATE_RELEASE,
            body | {"epsilon_milli": 250, "most_ballots": 1, "part": 0, "rows": []},
        )
    folder, _ = centre.export("tampered")
    report = verify(folder)
    assert failed(report) == {"privacy budget"}
    assert "2026-03: more ε was spent than 1, by 0.25" in told(report)["privacy budget"]
