"""An auditor with an export and nothing else: every figure again, and every kind of falsification found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from api.audit import AuditReport, Trust, verify
from api.audit_folder import ABOUT, FIGURES, KEYS, SIGNALS, STOPS
from api.database import Database
from api.errors import ExportRefused
from consent import ledger
from consent.event import Event
from consent.record import IndicatedBy
from consent.state import State
from consent.stored import Logged, Writing
from tests.api.audited_centre import COUNTER, TODAY, AuditedCentre
from tests.api.senders import Edge
from tests.programs import call

DAYS = (TODAY - timedelta(days=8), TODAY - timedelta(days=7))


@pytest.fixture
def centre(database: Database, edge: Edge, quick_folder: Path, seed: int) -> Iterator[AuditedCentre]:
    made = AuditedCentre(database, edge, quick_folder, seed)
    yield made
    made.store.close()


@pytest.fixture
def busy(centre: AuditedCentre) -> AuditedCentre:
    for day in DAYS:
        for _ in range(13):
            centre.session(day)
        centre.unasked(day)
    centre.deliver()
    centre.publish()
    return centre


def failed(report: AuditReport) -> set[str]:
    return {finding.check for finding in report.findings if not finding.ok}


def test_every_figure_is_reproduced_to_the_last_digit(busy: AuditedCentre) -> None:
    folder, made = busy.export()
    report = verify(folder)
    assert failed(report) == set()
    assert (made.signals, made.edges, made.months) == (26, 1, 1)
    told = {finding.check: finding.detail for finding in report.findings}
    assert "2 days exactly" in told["released sums"]
    assert "26 signals" in told["signals"]
    assert told["stops"] == "28 services, 2 with a child declared, 0 ended by a second face, counted again"
    stops = json.loads((folder / STOPS).read_text("utf-8"))
    assert stops == {
        f"{COUNTER} {day.isoformat()}": {
            "services": 14,
            "sessions": 13,
            "accompanied-child": 1,
            "second-face": 0,
        }
        for day in DAYS
    }
    figures = json.loads((folder / FIGURES).read_text("utf-8"))
    (month,) = figures.values()
    assert month["mean"]["n"] == 26
    assert "UNWITNESSED" in told["witnesses"]


def test_a_key_from_elsewhere_is_believed_and_another_is_not(busy: AuditedCentre) -> None:
    folder, _ = busy.export()
    vkeys = tuple(period.vkey for period in busy.log.keys().periods)
    assert failed(verify(folder, Trust(centre=vkeys))) == set()
    (edge_key,) = [period.vkey for period in busy.store.log.keys().periods]
    assert failed(verify(folder, Trust(centre=(edge_key,)))) == {"centre's log"}
    assert failed(verify(folder, Trust(centre=vkeys, witnesses=(edge_key,)))) == {"witnesses"}


def _nudge_figure(folder: Path) -> None:
    path = folder / FIGURES
    document = json.loads(path.read_text("utf-8"))
    month = next(iter(document.values()))
    month["mean"]["value"] = str(int(month["mean"]["value"]) + 1)
    path.write_text(json.dumps(document), "utf-8")


def _drop_signal(folder: Path) -> None:
    path = folder / SIGNALS
    path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[1:]), "utf-8")


def _raise_score(folder: Path) -> None:
    path = folder / SIGNALS
    lines = path.read_text("utf-8").splitlines()
    document = json.loads(lines[0])
    document["signal"]["overall"] |= {"score": 0.99, "high": 1.0}
    path.write_text("\n".join([json.dumps(document), *lines[1:]]) + "\n", "utf-8")


def _repeat_signal(folder: Path) -> None:
    path = folder / SIGNALS
    text = path.read_text("utf-8")
    path.write_text(text + text.splitlines(keepends=True)[0], "utf-8")


def _change_leaf(folder: Path) -> None:
    bundle = next(path for path in (folder / "centre" / "tile" / "entries").rglob("*") if path.is_file())
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(bytes(data))


def _hide_stop(folder: Path) -> None:
    path = folder / STOPS
    document = json.loads(path.read_text("utf-8"))
    document[f"{COUNTER} {DAYS[0].isoformat()}"]["accompanied-child"] -= 1
    path.write_text(json.dumps(document), "utf-8")


def _drop_edge(folder: Path) -> None:
    shutil.rmtree(next((folder / "edges").iterdir()))


def _widen_rule(folder: Path) -> None:
    document = json.loads((folder / ABOUT).read_text("utf-8")) | {"minimum_n": 1}
    (folder / ABOUT).write_text(json.dumps(document), "utf-8")


@pytest.mark.parametrize(
    ("forge", "found_by"),
    [
        (_nudge_figure, {"files", "figures"}),
        (_drop_signal, {"files", "completeness", "released sums"}),
        (_raise_score, {"files", "signals", "released sums"}),
        (_repeat_signal, {"files", "signals", "released sums"}),
        (_change_leaf, {"centre's log"}),
        (_drop_edge, {"edges' logs", "signals", "released sums"}),
        (_widen_rule, {"files"}),
        (_hide_stop, {"files", "stops"}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_forged_export_is_found(
    busy: AuditedCentre, forge: Callable[[Path], None], found_by: set[str]
) -> None:
    busy.session(TODAY - timedelta(days=1))  # a newer entry, so that a missing one is late
    busy.deliver()
    folder, _ = busy.export()
    forge(folder)
    assert failed(verify(folder)) >= (found_by - {"released sums"} if forge is _drop_edge else found_by)


def test_a_manager_who_drops_a_bad_session_is_found(busy: AuditedCentre) -> None:
    busy.session(TODAY - timedelta(days=1))
    busy.deliver()
    with busy.database.transaction() as connection:
        connection.execute("DELETE FROM signals WHERE arrival = (SELECT min(arrival) FROM signals)")
    report = verify(busy.export()[0])
    assert failed(report) == {"completeness", "released sums"}


def test_a_session_that_nobody_served_is_found(busy: AuditedCentre) -> None:
    with busy.database.transaction() as connection:
        connection.execute(
            "UPDATE signals SET session_id = consent_record_id, received_at = now() - interval '1 hour', "
            "payload = jsonb_set(payload, '{session_id}', payload->'consent_record_id') "
            "WHERE arrival = (SELECT min(arrival) FROM signals)"
        )
    assert "signals" in failed(verify(busy.export()[0]))


def test_a_session_without_a_citizens_consent_is_found(
    centre: AuditedCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(12):
        centre.session(DAYS[0])
    honest = ledger._append_event

    def tampered(writing: Writing, event: Event) -> Logged:
        by = IndicatedBy.SYSTEM if event.state is State.GIVEN else event.indicated_by
        return honest(writing, replace(event, indicated_by=by))

    monkeypatch.setattr(ledger, "_append_event", tampered)
    record = centre.session(DAYS[0])
    centre.deliver()
    centre.publish()
    report = verify(centre.export()[0])
    assert failed(report) == {"consent"}
    assert any(str(record.session_id) in finding.detail for finding in report.findings)


def test_a_signal_other_than_the_committed_one_is_found(centre: AuditedCentre) -> None:
    for _ in range(12):
        centre.session(DAYS[0])
    centre.session(DAYS[0], committed=False)
    centre.deliver()
    centre.publish()
    assert failed(verify(centre.export()[0])) == {"signals"}


def test_a_figure_from_other_sums_than_the_signals_is_found(busy: AuditedCentre) -> None:
    with busy.database.transaction() as connection:
        connection.execute("UPDATE rollup_counter_day SET score_sum = score_sum + 100000")
        connection.execute("DELETE FROM releases")
    busy.publish()  # releases the falsified rollups
    assert failed(verify(busy.export()[0])) == {"released sums"}


def test_an_erased_session_is_missing_for_a_reason(busy: AuditedCentre) -> None:
    record = busy.session(DAYS[1])
    busy.deliver()
    busy.store.apply(record.record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "receipt")
    busy.ship()
    with busy.database.transaction() as connection:
        connection.execute("DELETE FROM signals WHERE consent_record_id = %s", (record.record_id,))
    report = verify(busy.export()[0])
    assert failed(report) == set()
    assert "1 erased" in next(item.detail for item in report.findings if item.check == "completeness")


def test_a_folder_that_is_none_is_refused(tmp_path: Path, busy: AuditedCentre) -> None:
    with pytest.raises(ExportRefused, match="audit export"):
        verify(tmp_path)
    folder, _ = busy.export()
    with pytest.raises(ExportRefused, match="not empty"):
        busy.export(folder.name)
    (folder / KEYS).write_text("{}", "utf-8")
    with pytest.raises(ExportRefused, match=KEYS):
        verify(folder)


def test_the_command_verifies_without_a_centre(busy: AuditedCentre) -> None:
    folder, _ = busy.export()
    good = call("audit", "verify", str(folder), "--json")
    assert (good.returncode, json.loads(good.stdout)["ok"]) == (0, True)
    _nudge_figure(folder)
    bad = call("audit", "verify", str(folder))
    assert bad.returncode == 1
    assert "FAILED  figures" in bad.stdout
