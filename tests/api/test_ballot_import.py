"""Imports of ballots: every bad row is named rightly, no good one is lost, nothing is counted twice."""

from __future__ import annotations

import json
import random
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.database import Database
from api.errors import KeysUnusable, TableRefused
from api.spreadsheets.faults import Reason
from api.survey.channels import Channel
from api.survey.import_check import check_imports
from api.survey.imports import WithdrawalReason, list_imports, withdraw_import
from tests.api.survey_files import (
    CRITERIA,
    FIELDS,
    KINDS,
    TITLES,
    TODAY,
    Sheet,
    bad_sheet,
    good_row,
    lines_in,
    place,
    take,
    write_csv,
    write_xlsx,
)


@pytest.fixture
def centre(database: Database) -> Database:
    place(database)
    return database


def good_file(path: Path, rng: random.Random, count: int = 3, *, start: int = 0, **change: Any) -> Path:
    rows = [good_row(rng, start + number) | change for number in range(count)]
    return write_csv(path, TITLES, Sheet([[row[name] for name in FIELDS] for row in rows]))


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_two_hundred_bad_rows_are_all_named_and_no_good_row_is_lost(
    centre: Database, tmp_path: Path, seed: int, kind: str
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    sheet = bad_sheet(rng, kind, bad=200, good=300, first=2)
    write = write_csv if kind == "csv" else write_xlsx
    done = take(centre, write(tmp_path / f"ballots.{kind}", TITLES, sheet))
    found = [(fault.line, fault.column, fault.reason.value, fault.detail) for fault in done.faults]
    assert found == sorted(sheet.expected, key=lambda item: (item[0], len(item[1]), item[1]))
    assert lines_in(centre) == sheet.good
    assert (done.rows_read, done.kept, done.refused, done.faults_left_out) == (500, 300, 200, 0)
    assert {fault.reason.value for fault in done.faults} >= {
        item.reason for bad in KINDS if bad.only in {"", kind} for item in bad.expected
    }
    assert all(fault.title for fault in done.faults if fault.column and fault.reason is not Reason.STRAY_CELL)
    assert check_imports(centre).ok


def test_what_stood_in_a_cell_is_shown_short_and_harmless(
    centre: Database, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    rows = [good_row(rng, 1) | {"day": "x" * 500}, good_row(rng, 2) | {CRITERIA[0]: "\x1b[31mđỏ"}]
    sheet = Sheet([[row[name] for name in FIELDS] for row in rows])
    first, second = take(centre, write_csv(tmp_path / "a.csv", TITLES, sheet)).faults
    assert first.value == "x" * 39 + "…"
    assert second.value == "\ufffd[31mđỏ"
    assert first.message("vi") == "không phải là ngày; hãy ghi như 31/12/2026 hoặc 2026-12-31"
    assert first.message("en") == "this is no day; write it as 31/12/2026 or 2026-12-31"
    assert (first.title, first.column, first.line) == ("Ngày", "A", 2)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_said_in_both_languages(reason: Reason) -> None:
    from api.spreadsheets.faults import Fault  # noqa: PLC0415 - for this one

    fault = Fault(1, "", "", "", reason)
    assert fault.message("vi") != fault.message("en")


def test_a_transaction_counts_once_in_a_file_and_over_files(
    centre: Database, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    numbers = ["H29.000001", "h29.000001", "H29. 000001", "H29.000002"]
    rows = [good_row(rng, 0) | {"transaction": number} for number in numbers]
    sheet = Sheet([[row[name] for name in FIELDS] for row in rows])
    done = take(centre, write_csv(tmp_path / "a.csv", TITLES, sheet))
    assert [(fault.line, fault.reason, fault.detail) for fault in done.faults] == [
        (3, Reason.TRANSACTION_TWICE, "2"),
        (4, Reason.TRANSACTION_TWICE, "2"),
    ]
    again = take(centre, good_file(tmp_path / "b.csv", rng, 4, start=1))
    assert [(fault.line, fault.reason) for fault in again.faults] == [
        (2, Reason.TRANSACTION_KNOWN),
        (3, Reason.TRANSACTION_KNOWN),
    ]
    assert (again.kept, again.refused) == (2, 2)
    with centre.transaction() as connection:
        kept = str(connection.execute("SELECT * FROM survey_ballots").fetchall())
        log = str(connection.execute("SELECT convert_from(body, 'UTF8') FROM central_log").fetchall())
    assert "H29" not in kept + log


def test_twice_in_rows_far_apart_is_found(centre: Database, tmp_path: Path, seed: int) -> None:
    """The rows are written a thousand at a time; the first and the last are in different parts."""
    rng = random.Random(seed)  # noqa: S311 - as above
    rows = [good_row(rng, number) for number in range(1500)]
    rows[-1]["transaction"] = rows[0]["transaction"]
    sheet = Sheet([[row[name] for name in FIELDS] for row in rows])
    done = take(centre, write_csv(tmp_path / "a.csv", TITLES, sheet))
    assert [(fault.line, fault.detail) for fault in done.faults] == [(1501, "2")]
    assert done.kept == 1499


def test_the_same_file_is_taken_once_even_without_transactions(
    centre: Database, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    path = good_file(tmp_path / "a.csv", rng, channel="giấy", transaction="")
    done = take(centre, path)
    assert (done.kept, done.batch) == (3, 1)
    with pytest.raises(TableRefused, match="imported before"):
        take(centre, path)
    assert done.import_id is not None
    assert withdraw_import(centre, done.import_id, WithdrawalReason.WRONG_VALUES, actor="lan") == 3
    assert take(centre, path).batch == 2


def test_an_import_is_one_entry_in_the_log(centre: Database, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    done = take(centre, good_file(tmp_path / "a.csv", rng))
    with centre.transaction() as connection:
        rows = connection.execute(
            "SELECT idx, body FROM central_log WHERE kind LIKE 'ballot-import%' ORDER BY idx"
        ).fetchall()
    ((index, body),) = rows
    said = json.loads(bytes(body))
    assert index == done.log_index
    assert said["file_sha256"] == done.file_sha256
    assert (said["kept"], said["refused"], said["rows_read"], said["actor"]) == (3, 0, 3, "lan")
    assert said["import"] == str(done.import_id)
    (kept,) = list_imports(centre)
    assert (kept.kept, kept.actor, kept.withdrawn_at) == (3, "lan", None)


@pytest.mark.parametrize(
    "tamper",
    [
        "UPDATE survey_ballots SET levels[1] = 5 - levels[1] + 1 WHERE line = 2 AND levels[1] <> 3",
        "UPDATE survey_ballots SET day = day + 1 WHERE line = 3",
        "UPDATE survey_ballots SET unit = 'u-other' WHERE line = 3",
        "DELETE FROM survey_ballots WHERE line = 3",
        (
            "INSERT INTO survey_ballots (import_id, sheet, line, channel, questionnaire, day, unit, levels) "
            "SELECT import_id, 1, 99, channel, questionnaire, day, unit, levels FROM survey_ballots "
            "WHERE line = 2"
        ),
    ],
)
def test_a_ballot_changed_dropped_or_slipped_in_is_found(
    centre: Database, tmp_path: Path, seed: int, tamper: str
) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    answer: dict[str, Any] = {CRITERIA[0]: "1"}
    done = take(centre, good_file(tmp_path / "a.csv", rng, 3, **answer))
    assert check_imports(centre).ok
    with centre.transaction() as connection:
        assert connection.execute(tamper).rowcount == 1
    (fault,) = check_imports(centre).faults
    assert fault.import_id == done.import_id


def test_a_whole_import_slipped_in_behind_the_log_is_found(
    centre: Database, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    take(centre, good_file(tmp_path / "a.csv", rng))
    with centre.transaction() as connection:
        connection.execute(
            "INSERT INTO ballot_imports SELECT gen_random_uuid(), questionnaire, 'x', file_sha256, "
            "rows_sha256, 1, 1, 0, NULL, actor, 99 FROM ballot_imports"
        )
        connection.execute(
            "INSERT INTO survey_ballots (import_id, sheet, line, channel, questionnaire, day, unit, levels) "
            "SELECT i.import_id, 1, 7, 'sms', 'sipas-1', '2026-01-01', 'u-main', '{5}' "
            "FROM ballot_imports i WHERE file_name = 'x'"
        )
    assert [fault.fault for fault in check_imports(centre).faults] == ["1 ballots that no entry names"]


def test_a_withdrawn_import_leaves_two_entries_and_no_ballot(
    centre: Database, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    path = good_file(tmp_path / "a.csv", rng)
    done = take(centre, path)
    assert done.import_id is not None
    assert withdraw_import(centre, done.import_id, WithdrawalReason.WRONG_FILE, actor="hoa") == 3
    assert lines_in(centre) == set()
    with pytest.raises(TableRefused, match="no import"):
        withdraw_import(centre, done.import_id, WithdrawalReason.WRONG_FILE, actor="hoa")
    (kept,) = list_imports(centre)
    assert (kept.withdrawn_by, kept.withdrawn_why) == ("hoa", "wrong-file")
    assert check_imports(centre) == check_imports(centre)
    assert check_imports(centre).ok
    assert take(centre, path).kept == 3, "the corrected file may come again"


def test_a_trial_keeps_nothing(centre: Database, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    path = good_file(tmp_path / "a.csv", rng)
    done = take(centre, path, trial=True)
    assert (done.kept, done.import_id, done.log_index) == (3, None, None)
    assert lines_in(centre) == set()
    assert take(centre, path).kept == 3


def test_a_file_without_a_good_row_leaves_no_entry(centre: Database, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    done = take(centre, good_file(tmp_path / "a.csv", rng, unit="nowhere"))
    assert (done.kept, done.refused, done.import_id, done.log_index) == (0, 3, None, None)


def test_the_channel_may_be_given_for_the_whole_file(centre: Database, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    path = good_file(tmp_path / "a.csv", rng, channel="")
    done = take(centre, path, channel=Channel.PORTAL)
    assert [(item.channel, item.ballots) for item in done.by_channel] == [(Channel.PORTAL, 3)]


def test_a_counter_alone_gives_the_unit_of_that_day(centre: Database, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    take(centre, good_file(tmp_path / "a.csv", rng, 1, unit="", counter="counter-1"))
    with centre.transaction() as connection:
        row = connection.execute("SELECT unit, counter FROM survey_ballots").fetchone()
    assert row == ("u-main", "counter-1")


def test_two_imports_at_once_do_not_count_a_transaction_twice(
    centre: Database, tmp_path: Path, seed: int
) -> None:
    paths = [
        good_file(tmp_path / f"{n}.csv", random.Random(seed + n), 400)  # noqa: S311 - as above
        for n in range(3)
    ]
    results: list[str] = []

    def run(path: Path) -> None:
        try:
            results.append(f"kept {take(centre, path).kept}")
        except TableRefused as error:
            results.append(str(error)[:14])

    threads = [threading.Thread(target=run, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("kept 400") == 1
    assert len(lines_in(centre)) == 400
    assert check_imports(centre).ok


def test_without_the_key_of_the_digests_nothing_is_taken(centre: Database, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    take(centre, good_file(tmp_path / "a.csv", rng))
    key = tmp_path / "log" / "keys" / "transaction-digest.key"
    assert key.stat().st_mode & 0o077 == 0
    for content in (b"\0" * 32, b"short"):
        key.write_bytes(content)
        with pytest.raises(KeysUnusable, match="restore it"):
            take(centre, good_file(tmp_path / "b.csv", rng, start=50))
    key.unlink()
    with pytest.raises(KeysUnusable):
        take(centre, good_file(tmp_path / "b.csv", rng, start=50))
    assert len(lines_in(centre)) == 3


def test_a_changed_questionnaire_is_refused(centre: Database, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    take(centre, good_file(tmp_path / "a.csv", rng))
    with centre.transaction() as connection:
        connection.execute("UPDATE questionnaires SET sha256 = %s", (b"\1" * 32,))
    with pytest.raises(TableRefused, match="changed after"):
        take(centre, good_file(tmp_path / "b.csv", rng, start=50))


def test_the_day_of_import_is_the_last_that_counts(centre: Database, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    path = good_file(tmp_path / "a.csv", rng, 1, day=f"{TODAY:%d/%m/%Y}")
    assert take(centre, path, today=TODAY - timedelta(days=1)).refused == 1
    assert take(centre, path).kept == 1


def test_the_database_itself_refuses_a_transaction_twice(centre: Database, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    take(centre, good_file(tmp_path / "a.csv", rng, 1))
    with pytest.raises(psycopg.errors.UniqueViolation), centre.transaction() as connection:
        connection.execute(
            "INSERT INTO survey_ballots (import_id, sheet, line, channel, questionnaire, day, unit, levels, "
            "transaction_digest) SELECT import_id, 1, 9, channel, questionnaire, day, unit, levels, "
            "transaction_digest FROM survey_ballots"
        )
