"""A whole unit audited: real logs of an edge, three counters, one of few ballots, a note, every figure."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api.actions import ActionKind, Draft, note_action
from api.audit import verify
from api.audit_folder import INDEX, NOTES
from api.audit_index import Released, figures
from api.database import Database
from api.disclosure import Disclosure
from api.index.releases import release_month
from api.releases import shown_days
from tests.api.audited_centre import MINIMUM_N, TODAY, AuditedCentre
from tests.api.senders import enrolled_edge

MONTH = TODAY.replace(day=1)
SETTLED = date(2026, 12, 10)
DAY = TODAY - timedelta(days=8)
BUSY, CALM, FEW = "quay-1", "quay-2", "quay-3"
SESSIONS = {BUSY: 26, CALM: 14, FEW: 3}
UNASKED = {BUSY: 12, CALM: 12, FEW: 2}


@dataclass(frozen=True, slots=True)
class _Audited:
    """An export of the unit.

    Attributes:
        released: What its log tells of the index.
    """

    folder: Path
    published: dict[str, Any]
    released: Released


@pytest.fixture
def audited(database: Database, quick_folder: Path, seed: int) -> Iterator[_Audited]:
    edge = enrolled_edge(database, tuple(SESSIONS), area="ba-dinh")
    centre = AuditedCentre(database, edge, quick_folder, seed)
    rows: list[tuple[str, datetime, UUID | None, bool]] = []
    for counter, count in SESSIONS.items():
        for number in range(count):
            record = centre.session(DAY, counter=counter)
            rows.append((counter, centre.now, record.session_id, number % 4 > 0))
        for number in range(UNASKED[counter]):
            centre.unasked(DAY, counter=counter)
            rows.append((counter, centre.now, None, number % 5 > 0))
    centre.deliver()
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ballots (ballot_id, counter, cast_at, session_id, information_facilities, "
            "dossier_rules, officer_attitude, time_cost, edge_id, seq) "
            "VALUES (gen_random_uuid(), %s, %s, %s, %s, true, true, true, %s, %s)",
            [(*row, edge.id, number) for number, row in enumerate(rows, 1)],
        )
    draft = Draft(DAY, ActionKind.ROOM, "Thêm ghế chờ")
    note_action(database, BUSY, draft, actor="lan", today=TODAY)
    shown_days(database, list(SESSIONS), MONTH, Disclosure(MINIMUM_N, TODAY))
    release_month(database, MONTH, today=SETTLED, minimum_n=MINIMUM_N)
    with database.transaction() as connection:
        leaves = connection.execute(
            "SELECT body FROM central_log WHERE kind IN ('index-release', 'index-formula', 'calibration') "
            "ORDER BY idx"
        ).fetchall()
    folder, _ = centre.export()
    published = json.loads((folder / INDEX).read_text("utf-8"))
    yield _Audited(folder, published, Released.of(json.loads(bytes(row[0])) for row in leaves))
    centre.store.close()


def test_every_figure_of_a_unit_is_reproduced_from_real_logs(audited: _Audited) -> None:
    report = verify(audited.folder)
    assert [item for item in report.findings if not item.ok] == []
    told = {item.check: item.detail for item in report.findings}
    assert told["index sums"].startswith("2 cells exactly")
    assert told["notes"].startswith("1 revisions")
    assert len(json.loads((audited.folder / NOTES).read_text("utf-8"))) == 1
    ballots = {
        name.removesuffix(" 2026-11"): figure["overall"]["share"]["n"]
        for name, figure in audited.published.items()
        if name.endswith(" 2026-11")
    }
    assert (ballots[f"counter:{BUSY}"], ballots[f"counter:{CALM}"]) == (38, 26)
    assert f"counter:{FEW}" not in ballots
    assert ballots["all"] == ballots["area:ba-dinh"] == 38 + 26, "the few are in no sum"


def test_one_digit_of_one_place_is_found(audited: _Audited) -> None:
    for place in (f"counter:{CALM}", "area:ba-dinh", "all"):
        for period in ("2026-11", "2026-Q4", "2026"):
            forged = copy.deepcopy(audited.published)
            share = forged[f"{place} {period}"]["overall"]["share"]
            share["low"] = str(int(float(share["low"])) + 1)
            found = figures(audited.released, forged, MINIMUM_N)
            assert not found.ok
            assert f"{place} {period}" in found.detail
    assert figures(audited.released, audited.published, MINIMUM_N).ok
