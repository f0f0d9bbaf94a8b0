"""Ballots by HTTP from source systems: one import for files and bodies, each system within its bounds."""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from api.app import build_app
from api.physical import RewriteRule
from api.retention import Retention
from api.settings import Settings
from api.spreadsheets.faults import Fault, Reason, letter_of
from api.survey import deliveries
from api.survey.deliveries import CSV, JSON, XLSX
from api.survey.import_check import check_imports
from api.survey.imports import WithdrawalReason, list_imports, withdraw_import
from setup.layout import ROOT
from tests.api.source_centre import LARGEST, PATH, SEATS, Centre, ballot, said, source_centre
from tests.api.survey_files import (
    FIELDS,
    KINDS,
    TITLES,
    Sheet,
    bad_sheet,
    take,
    write_csv,
    write_xlsx,
)

if TYPE_CHECKING:
    from api.postgres import EmbeddedPostgres

NOBODY = "hls_" + "A" * 43
LETTERS = {letter_of(position): name for position, name in enumerate(FIELDS)}


@pytest.fixture(scope="module")
def centre(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    with source_centre(postgres, "ballot_api", tmp_path_factory.mktemp("log")) as found:
        yield found


def own_numbers(sheet: Sheet, prefix: str) -> Sheet:
    """Give the transactions of a sheet numbers of their own."""
    at = FIELDS.index("transaction")
    for row in sheet.rows:
        if isinstance(row[at], str):
            row[at] = row[at].replace("H29.", f"{prefix}.")
    return sheet


def body_of(sheet: Sheet, media_type: str, path: Path) -> bytes:
    if media_type == JSON:
        ballots = [dict(zip(FIELDS, row, strict=True)) for row in sheet.rows]
        return json.dumps({"questionnaire": "sipas-1", "ballots": ballots}, ensure_ascii=False).encode()
    return (write_csv if media_type == CSV else write_xlsx)(path, TITLES, sheet).read_bytes()


@pytest.mark.parametrize(
    ("media_type", "kind", "first"), [(JSON, "json", 1), (CSV, "csv", 2), (XLSX, "xlsx", 2)]
)
def test_two_hundred_bad_rows_are_all_named_and_no_good_row_is_lost(  # noqa: PLR0917 - pytest passes them by name
    centre: Centre, tmp_path: Path, seed: int, media_type: str, kind: str, first: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    sheet = own_numbers(bad_sheet(rng, kind, bad=200, good=300, first=first), kind)
    answer = centre.send(body_of(sheet, media_type, tmp_path / "a"), media_type=media_type)
    expected = sorted(sheet.expected, key=lambda item: (item[0], len(item[1]), item[1]))
    told = [
        (fault["row"], fault["column"], fault["code"], fault["detail"]) for fault in answer.json()["faults"]
    ]
    if media_type == JSON:
        assert told == [(line, LETTERS.get(letter, ""), *rest) for line, letter, *rest in expected]
        assert answer.json()["faults"][0]["pointer"].startswith(f"/ballots/{told[0][0] - 1}")
    else:
        assert told == expected
    found = answer.json()
    assert (found["state"], found["rows_read"], found["kept"], found["refused"]) == (
        "imported",
        500,
        300,
        200,
    )
    assert centre.lines(found["import_id"]) == sheet.good
    assert {code for _, _, code, _ in told} >= {
        item.reason for bad in KINDS if bad.only in {"", kind} for item in bad.expected
    }
    assert sum(item["ballots"] for item in found["by_channel"]) == 300
    assert check_imports(centre.database).ok


WRONG: Sequence[tuple[Any, str, str]] = (
    ([1, 2], "", "not-an-object"),
    ("a text", "", "not-an-object"),
    (None, "", "not-an-object"),
    ({}, "", "no-answers"),
    ({"note": "nobody reads this"}, "", "no-answers"),
    (ballot("wrong", unit=None), "unit", "no-place"),
    (ballot("wrong") | {"transaction": None}, "transaction", "missing"),
    (ballot("wrong", unit=["u-main"]), "unit", "not-one-value"),
    (ballot("wrong", day={"y": 2026}), "day", "not-one-value"),
    (ballot("wrong", **{SEATS: [4]}), SEATS, "not-one-value"),
    (ballot("wrong", **{SEATS: True}), SEATS, "not-a-level"),
    (ballot("wrong", **{SEATS: 4.5}), SEATS, "not-a-level"),
    (ballot("wrong", **{SEATS: "=4"}), SEATS, "formula"),
    (ballot("wrong", **{SEATS: "\ud800"}), SEATS, "control-character"),
    (ballot("wrong", transaction=10**17), "transaction", "digits-lost"),
    (ballot("wrong", transaction=10**70), "transaction", "not-a-transaction"),
    (ballot("wrong", transaction=1e300), "transaction", "digits-lost"),
    (ballot("wrong", day=46085.5e300), "day", "not-a-day"),
    (ballot("wrong", feedback=3), "feedback", "not-yes-or-no"),
)


def test_what_json_alone_can_get_wrong_costs_its_own_ballot(centre: Centre) -> None:
    ballots = [part for number, (bad, _, _) in enumerate(WRONG) for part in (bad, ballot(f"right{number}"))]
    text = json.dumps({"ballots": ballots})
    twice = '{"day": "2026-03-04", "day": "2026-03-05", "unit": "u-main"}'
    raw = '{"day": NaN, "unit": "u-main", "channel": "sms", "transaction": "K1.nan", "access.seats": 1e999}'
    text = text.removesuffix("]}") + f", {twice}, {raw}]}}"
    answer = centre.send(text.encode())
    last = len(ballots)
    assert said(answer) == [
        *[(2 * number + 1, column, code) for number, (_, column, code) in enumerate(WRONG)],
        (last + 1, "", "field-twice"),
        (last + 2, "day", "not-a-day"),
        (last + 2, SEATS, "not-a-level"),
    ]
    assert answer.json()["faults"][-1]["pointer"] == f"/ballots/{last + 1}/{SEATS}"
    assert centre.lines(answer.json()["import_id"]) == {2 * number + 2 for number in range(len(WRONG))}


def test_values_are_taken_as_programs_write_them(centre: Centre) -> None:
    answer = centre.send(
        {
            "channel": "portal",
            "ballots": [
                ballot("v1", channel=None, **{SEATS: 5, "feedback": True, "feedback.easy": 2.0}),
                ballot("v2", transaction=202600000000123, **{SEATS: "Rất hài lòng"}),
                ballot("v3", channel="paper", transaction=None, unit=None, counter="counter-1"),
            ],
        }
    )
    assert said(answer) == []
    found = answer.json()
    assert found["by_channel"] == [
        {"channel": "online", "ballots": 1},
        {"channel": "portal", "ballots": 1},
        {"channel": "paper", "ballots": 1},
    ]
    assert found["batch"] is not None
    with centre.database.transaction() as connection:
        rows = connection.execute(
            "SELECT levels[1], gave_feedback, counter FROM survey_ballots WHERE import_id = %s ORDER BY line",
            (found["import_id"],),
        ).fetchall()
    assert rows == [(5, True, None), (5, None, None), (4, None, "counter-1")]


def test_a_token_of_one_channel_brings_no_other(centre: Centre) -> None:
    before = centre.count()
    refused = centre.send({"channel": "online", "ballots": [ballot("c1", channel=None)]}, "tong-dai")
    assert (refused.status_code, refused.json()["kind"]) == (403, "channel-not-own")
    assert "but for call" in refused.json()["detail"]
    rows = write_sheet([ballot("c1") | {"channel": word} for word in ("online", "1022", "")])
    assert centre.send(rows, "tong-dai", CSV, channel="portal").status_code == 403
    assert centre.count() == before
    answer = centre.send(
        {"ballots": [ballot("c1"), ballot("c2", channel=None), ballot("c3", channel="1022")]}, "tong-dai"
    )
    assert said(answer) == [(1, "channel", "channel-not-own")]
    assert answer.json()["by_channel"] == [{"channel": "call", "ballots": 2}]


def write_sheet(ballots: Sequence[dict[str, Any]]) -> bytes:
    names = list(dict.fromkeys(name for item in ballots for name in item))
    lines = [";".join(names), *(";".join(str(item.get(name, "")) for name in names) for item in ballots)]
    return "\n".join(lines).encode()


def test_an_area_is_held_against_the_unit_of_each_row(centre: Centre) -> None:
    with centre.database.transaction() as connection:  # a unit that was closed, with a counter still in it
        connection.execute("INSERT INTO counters (code) VALUES ('counter-8')")
        connection.execute(
            "INSERT INTO organisation_nodes (code, level, name_vi, name_en, valid_from, valid_until) "
            "VALUES ('u-closed', 'unit', 'u', 'u', '1900-01-01', '2026-01-01')"
        )
        connection.execute(
            "INSERT INTO counter_placements (counter, unit, valid_from) "
            "VALUES ('counter-8', 'u-closed', '1900-01-01')"
        )
    answer = centre.send(
        {
            "ballots": [
                ballot("a1"),
                ballot("a2", unit="u-other"),
                ballot("a3", unit=None, counter="counter-9"),
                ballot("a4", unit=None, counter="counter-1"),
                ballot("a5", unit="nowhere"),
                ballot("a6", unit=None, counter="counter-8"),
                ballot("a7", unit="u-closed", counter="counter-8"),
            ]
        },
        "mc-main",
    )
    assert said(answer) == [
        (2, "unit", "outside-area"),
        (3, "counter", "outside-area"),
        (5, "unit", "unknown-unit"),
        (6, "counter", "outside-area"),
        (7, "unit", "unknown-unit"),
    ]
    assert answer.json()["faults"][0]["reason"] == Fault(2, "", "", "", Reason.OUTSIDE_AREA).message("en")
    assert centre.lines(answer.json()["import_id"]) == {1, 4}


def test_the_same_body_again_is_the_same_import_and_another_systems_is_not_told(centre: Centre) -> None:
    body = {
        "channel": "call",
        "ballots": [ballot("r1", channel=None), ballot("r2", channel=None, day="hôm qua")],
    }
    first, again = (centre.send(body).json() for _ in range(2))
    assert (first.pop("state"), again.pop("state")) == ("imported", "imported-before")
    assert first == again
    assert (first["kept"], first["faults"][0]["reason"]) == (
        1,
        "this is no day; write it as 31/12/2026 or 2026-12-31",
    )
    own = centre.client.get(f"{PATH}/{first['import_id']}", headers=centre.headers("igate", "vi-VN,en;q=0.5"))
    assert (own.status_code, own.headers["Content-Language"]) == (200, "vi")
    assert own.json()["faults"][0]["reason"] == "không phải là ngày; hãy ghi như 31/12/2026 hoặc 2026-12-31"
    assert own.json()["state"] == "imported"
    other = centre.client.get(f"{PATH}/{first['import_id']}", headers=centre.headers("tong-dai"))
    assert (other.status_code, other.json()["kind"]) == (404, "no-such-import")
    stolen = centre.send(body, "tong-dai")
    assert (stolen.status_code, stolen.json()["kind"]) == (409, "imported-before")
    withdraw_import(centre.database, UUID(first["import_id"]), WithdrawalReason.WRONG_VALUES, actor="t")
    gone = centre.client.get(f"{PATH}/{first['import_id']}", headers=centre.headers("igate")).json()
    assert (gone["state"], gone["kept"]) == ("withdrawn", 1)
    anew = centre.send(body).json()
    assert (anew["state"], anew["kept"]) == ("imported", 1)
    assert anew["import_id"] != first["import_id"]
    assert check_imports(centre.database).ok


def test_a_file_that_a_person_brought_counts_once(centre: Centre, tmp_path: Path) -> None:
    body = write_sheet([ballot("p1")])
    path = tmp_path / "a.csv"
    path.write_bytes(body)
    take(centre.database, path, data_folder=centre.log_folder)
    answer = centre.send(body, media_type=CSV)
    assert (answer.status_code, answer.json()["kind"]) == (409, "imported-before")
    known = centre.send({"ballots": [ballot("p1")]})
    assert (said(known), known.json()["state"], known.json()["import_id"]) == (
        [(1, "transaction", "transaction-known")],
        "nothing-kept",
        None,
    )
    twice = centre.send({"ballots": [ballot("p2"), ballot("p3"), ballot("p2")]}).json()
    assert [(fault["row"], fault["detail"]) for fault in twice["faults"]] == [(3, "1")]


def test_the_same_body_at_once_counts_once(centre: Centre) -> None:
    body = {"ballots": [ballot(f"once{number}") for number in range(60)]}
    gate = threading.Barrier(6)

    def send(_: int) -> dict[str, Any]:
        gate.wait()
        found: dict[str, Any] = centre.send(body).json()
        return found

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(6)))
    assert Counter(answer["state"] for answer in answers) == {"imported": 1, "imported-before": 5}
    (import_id,) = {answer["import_id"] for answer in answers}
    assert len(centre.lines(import_id)) == 60
    assert check_imports(centre.database).ok


def test_a_body_waits_for_an_import_that_runs_but_not_for_ever(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _other_import(centre) as ended:
        timer = threading.Timer(0.6, ended.set)
        timer.start()
        assert centre.send({"ballots": [ballot("w1")]}).json()["kept"] == 1
        timer.join()
    monkeypatch.setattr(deliveries, "_WAIT_S", 0.0)
    with _other_import(centre):
        busy = centre.send({"ballots": [ballot("w2")]}, language="vi")
    assert (busy.status_code, busy.json()["kind"], busy.headers["Retry-After"]) == (
        503,
        "import-running",
        "5",
    )
    assert busy.json()["detail"].startswith("Đang có một lần nhập phiếu khác")


@contextlib.contextmanager
def _other_import(centre: Centre) -> Iterator[threading.Event]:
    """Hold what makes an import the only one, until the event."""
    began, ended = threading.Event(), threading.Event()

    def hold() -> None:
        with centre.database.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (0x62_61_6C_69,))
            began.set()
            ended.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    began.wait(10)
    try:
        yield ended
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("body", "status", "kind", "detail"),
    [
        (b"", 400, "not-json", "dòng 1, ký tự 1"),
        (b'{"ballots": [', 400, "not-json", "dòng 1, ký tự 14"),
        (b'{"ballots": ["\xff"]}', 400, "not-json", "UTF-8"),
        (b"[" * 100_000, 400, "not-json", "lồng quá sâu"),
        (b"[]", 422, "table-refused", "không đúng dạng"),
        (b'{"ballots": {}}', 422, "table-refused", "không đúng dạng"),
        (b'{"ballots": [], "note": 1}', 422, "table-refused", "không đúng dạng"),
        (b'{"channel": "pigeon", "ballots": [{}]}', 422, "table-refused", "không đúng dạng"),
        (b'{"ballots": [], "ballots": [{}]}', 422, "table-refused", "hai lần"),
        (b'{"ballots": []}', 422, "table-refused", "không có phiếu nào"),
        (b'{"channel": "kiosk", "ballots": [{}]}', 422, "table-refused", "do máy tại quầy gửi"),
        (b'{"ballots": [{"day": "2026-03-04"}]}', 422, "table-refused", "không có cột"),
        (b'{"questionnaire": "sipas-0", "ballots": [{}]}', 422, "table-refused", "sipas-0"),
    ],
)
def test_a_document_that_is_none_is_refused_as_a_whole(
    centre: Centre, body: bytes, status: int, kind: str, detail: str
) -> None:
    answer = centre.send(body, language="vi")
    assert (answer.status_code, answer.json()["kind"]) == (status, kind)
    assert detail in answer.json()["detail"]
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("media_type", "body", "asked", "status", "kind"),
    [
        (CSV, b"", {}, 422, "table-refused"),
        (CSV, b"no;header\n1;2\n", {}, 422, "table-refused"),
        (XLSX, b"PK\x03\x04 no workbook", {}, 422, "table-refused"),
        (CSV, b"day;access.seats\n", {"questionnaire": "sipas-0"}, 422, "table-refused"),
        (CSV, b"day;access.seats\n", {"channel": "pigeon"}, 422, "bad-request"),
        (CSV, b"day;access.seats\n", {"trial": "perhaps"}, 422, "bad-request"),
        ("application/xml", b"<ballots/>", {}, 415, "unknown-form"),
        ("", b"{}", {}, 415, "unknown-form"),
        (JSON, b" " * (LARGEST + 1), {}, 413, "body-too-large"),
    ],
)
def test_bodies_that_cannot_be_used(  # noqa: PLR0917 - pytest passes them by name
    centre: Centre, media_type: str, body: bytes, asked: dict[str, str], status: int, kind: str
) -> None:
    answer = centre.send(body, media_type=media_type, **asked)
    assert (answer.status_code, answer.json()["kind"]) == (status, kind)


def test_a_body_of_unknown_length_is_cut_off_and_a_packed_one_refused(centre: Centre) -> None:
    headers = centre.headers("igate") | {"Content-Type": JSON}
    long = centre.client.post(PATH, content=(b" " * (LARGEST // 4) for _ in range(5)), headers=headers)
    assert (long.status_code, long.json()["kind"]) == (413, "body-too-large")
    packed = centre.client.post(PATH, content=b"x", headers=headers | {"Content-Encoding": "gzip"})
    assert (packed.status_code, packed.json()["kind"]) == (415, "packed")


def test_a_trial_writes_nothing(centre: Centre) -> None:
    body = {"ballots": [ballot("t1"), ballot("t2", unit="nowhere")]}
    before = centre.count(), len(list_imports(centre.database))
    tried = centre.send(body, trial="true").json()
    assert (tried["state"], tried["import_id"], tried["kept"], tried["refused"]) == ("trial", None, 1, 1)
    assert (centre.count(), len(list_imports(centre.database))) == before
    assert centre.send(body).json()["kept"] == 1


def test_what_stood_in_a_bad_cell_is_neither_answered_nor_kept(centre: Centre) -> None:
    name = "Nguyễn Thị Hồng Nhung 0912345678"
    bad = ballot("s1", day=name, unit=name) | {"ho_ten": name}
    answer = centre.send({"ballots": [bad, ballot("s2")]}, language="vi")
    assert len(said(answer)) == 2
    with centre.database.transaction() as connection:
        kept = connection.execute(
            "SELECT i::text, convert_from(l.body, 'UTF8') FROM ballot_imports i "
            "JOIN central_log l ON l.idx = i.log_index WHERE import_id = %s",
            (answer.json()["import_id"],),
        ).fetchone()
    assert kept is not None
    for text in (answer.text, *kept):
        assert "Nhung" not in text
        assert "0912" not in text
    assert '"actor":"source:igate"' in kept[1]


def test_old_faults_are_forgotten_and_the_import_stays(centre: Centre) -> None:
    sent = centre.send({"ballots": [ballot("f1"), ballot("f2", day="x")]}).json()
    with centre.database.transaction() as connection:
        connection.execute(
            "UPDATE ballot_imports SET imported_at = imported_at - interval '91 days' WHERE import_id = %s",
            (sent["import_id"],),
        )
    Retention(centre.database, (), rewrite_rule=RewriteRule(0, 0, 24)).run()  # no import need come after it
    found = centre.client.get(f"{PATH}/{sent['import_id']}", headers=centre.headers("igate")).json()
    assert (found["faults"], found["faults_forgotten"], found["refused"]) == ([], True, 1)
    assert sent["faults_forgotten"] is False


def test_the_example_of_the_document_is_answered_as_it_says(centre: Centre) -> None:
    text = (ROOT / "docs" / "central.md").read_text(encoding="utf-8")
    section = text.split("### Ballots by program", 1)[1].split("\n## ", 1)[0]
    body, *faults = [json.loads(part.split("```", 1)[0]) for part in section.split("```json\n")[1:]]
    sent = json.loads(json.dumps(body).replace("mc-giang-vo", "u-main"))
    vi, en = (centre.send(sent, language=language).json() for language in ("vi", "en"))
    assert [vi["faults"], en["faults"]] == faults
    assert (vi["state"], en["state"], vi["kept"], vi["refused"]) == ("imported", "imported-before", 1, 1)


@pytest.mark.parametrize("media_type", [JSON, CSV])
def test_the_examples_of_the_schema_are_good_ballots(centre: Centre, media_type: str) -> None:
    schema = build_app(Settings()).openapi()
    example = schema["paths"][PATH]["post"]["requestBody"]["content"][media_type]["example"]
    text = example if isinstance(example, str) else json.dumps(example)
    body = text.replace("mc-giang-vo", "u-main").replace("H29.000123", f"K1.{len(text)}")
    assert said(centre.send(body.encode(), media_type=media_type)) == []
