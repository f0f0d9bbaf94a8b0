"""The tree with its changes over time: two tiers, mergers, moved counters; every bad row named."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from api.database import Database
from api.organisation.transactions import completed_by_unit, import_transactions
from api.organisation.tree import Period, counter_spans, history_of, tree_of, unit_spans
from api.organisation.tree_import import import_tree
from api.spreadsheets.faults import Reason
from tests.api.senders import Edge

BEFORE, AFTER = date(2025, 6, 30), date(2025, 7, 1)
YEAR = Period(date(2025, 1, 1), date(2026, 1, 1))
HEAD = "mã;cấp;tên;tên tiếng anh;trực thuộc;từ ngày;đến ngày;kế tiếp\n"
THREE_TIERS = """\
ha-noi;province;Hà Nội;Ha Noi;;;;
ba-dinh;district;Ba Đình;Ba Dinh;ha-noi;;01/07/2025;
kim-ma;commune;Kim Mã;Kim Ma;ba-dinh;;01/07/2025;giang-vo
giang-vo;commune;Giảng Võ;Giang Vo;ba-dinh;;;
giang-vo;commune;Giảng Võ;Giang Vo;ha-noi;01/07/2025;;
mc-kim-ma;unit;Một cửa Kim Mã;;kim-ma;;01/07/2025;mc-giang-vo
mc-giang-vo;unit;Một cửa Giảng Võ;;giang-vo;;;
counter-1;counter;;;mc-kim-ma;;01/07/2025;
counter-1;counter;;;mc-giang-vo;01/07/2025;;
counter-2;counter;;;mc-giang-vo;;;
"""


def file_of(folder: Path, text: str, name: str = "tree.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def centre(database: Database, edge: Edge, tmp_path: Path) -> Database:
    done = import_tree(database, file_of(tmp_path, HEAD + THREE_TIERS), actor="lan")
    assert done.faults == ()
    assert (done.kept, done.refused) == (10, 0)
    return database


def test_each_day_has_its_own_tree(centre: Database) -> None:
    with centre.transaction() as connection:
        old, new = tree_of(connection, BEFORE), tree_of(connection, AFTER)
    assert [node.code for node in old.path("mc-kim-ma")] == ["ha-noi", "ba-dinh", "kim-ma", "mc-kim-ma"]
    assert [node.code for node in new.path("mc-giang-vo")] == ["ha-noi", "giang-vo", "mc-giang-vo"]
    assert new.path("mc-kim-ma") == ()
    assert "ba-dinh" not in new.nodes
    assert old.counters_of("ba-dinh") == ("counter-1", "counter-2")
    assert old.counters_of("kim-ma") == ("counter-1",)
    assert new.counters_of("giang-vo") == ("counter-1", "counter-2")
    assert old.nodes["kim-ma"].successor == "giang-vo"
    assert (old.nodes["ha-noi"].name("vi"), old.nodes["ha-noi"].name("en")) == ("Hà Nội", "Ha Noi")


def test_figures_of_a_period_use_the_tree_of_each_day(centre: Database) -> None:
    with centre.transaction() as connection:
        spans = {code: counter_spans(connection, code, YEAR) for code in ("ha-noi", "ba-dinh", "giang-vo")}
        units = unit_spans(connection, "ba-dinh", YEAR)
    end = YEAR.until
    assert [(s.counter, s.unit, s.first, s.until) for s in spans["ha-noi"]] == [
        ("counter-1", "mc-kim-ma", YEAR.first, AFTER),
        ("counter-1", "mc-giang-vo", AFTER, end),
        ("counter-2", "mc-giang-vo", YEAR.first, AFTER),
        ("counter-2", "mc-giang-vo", AFTER, end),
    ]
    assert [(s.counter, s.first, s.until) for s in spans["ba-dinh"]] == [
        ("counter-1", YEAR.first, AFTER),
        ("counter-2", YEAR.first, AFTER),
    ]
    first = spans["giang-vo"][0]
    assert (first.counter, first.first, first.until) == ("counter-1", AFTER, end)
    assert {(s.unit, s.until) for s in units} == {("mc-kim-ma", AFTER), ("mc-giang-vo", AFTER)}


def test_a_later_file_ends_what_stood_before(centre: Database, tmp_path: Path) -> None:
    more = (
        "giang-vo;commune;Giảng Võ mới;;ha-noi;01/01/2026;;\ncounter-2;counter;;;mc-giang-vo;01/02/2026;;\n"
    )
    assert import_tree(centre, file_of(tmp_path, HEAD + more), actor="lan").kept == 2
    with centre.transaction() as connection:
        found = history_of(connection, "giang-vo")
    assert [(node.name_vi, node.parent, node.valid_from, node.valid_until) for node in found] == [
        ("Giảng Võ", "ba-dinh", date(1900, 1, 1), AFTER),
        ("Giảng Võ", "ha-noi", AFTER, date(2026, 1, 1)),
        ("Giảng Võ mới", "ha-noi", date(2026, 1, 1), date.max),
    ]


def test_a_row_with_a_known_day_corrects_it(centre: Database, tmp_path: Path) -> None:
    import_tree(centre, file_of(tmp_path, HEAD + "ha-noi;province;Thành phố Hà Nội;;;;;\n"), actor="lan")
    with centre.transaction() as connection:
        (node,) = history_of(connection, "ha-noi")
    assert node.name_vi == "Thành phố Hà Nội"


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ("x;kingdom;X;;;;;", "B", Reason.UNKNOWN_LEVEL),
        ("x;commune;;;ha-noi;;;", "C", Reason.MISSING),
        ("X Y;commune;X;;ha-noi;;;", "A", Reason.NOT_A_CODE),
        ("x;commune;X;;nowhere;;;", "E", Reason.UNKNOWN_PARENT),
        ("x;commune;X;;ba-dinh;;;", "E", Reason.UNKNOWN_PARENT),
        ("x;province;X;;ba-dinh;;01/07/2025;", "E", Reason.PARENT_NOT_ABOVE),
        ("x;commune;X;;ha-noi;02/02/2026;01/02/2026;", "G", Reason.ENDS_BEFORE_IT_BEGINS),
        ("x;commune;X;;ha-noi;;;nowhere", "H", Reason.UNKNOWN_SUCCESSOR),
        ("giang-vo;commune;X;;ba-dinh;01/01/2025;01/08/2025;", "F", Reason.DAYS_OVERLAP),
        ("counter-7;counter;;;mc-giang-vo;;;", "A", Reason.UNKNOWN_COUNTER),
        ("counter-1;counter;;;giang-vo;01/01/2026;;", "E", Reason.UNKNOWN_UNIT),
        ("counter-1;counter;;;;;;", "E", Reason.MISSING),
        ("x;commune;X;;ha-noi;31/02/2026;;", "F", Reason.NO_SUCH_DAY),
    ],
)
def test_a_bad_row_is_named_and_the_good_one_is_taken(
    centre: Database, tmp_path: Path, row: str, column: str, reason: Reason
) -> None:
    text = HEAD + row + "\nngoc-ha;commune;Ngọc Hà;;ha-noi;;;\n"
    done = import_tree(centre, file_of(tmp_path, text), actor="lan")
    assert [(fault.line, fault.column, fault.reason) for fault in done.faults] == [(2, column, reason)]
    assert (done.kept, done.refused) == (1, 1)


def test_what_hangs_from_a_refused_row_is_refused_too(centre: Database, tmp_path: Path) -> None:
    text = HEAD + "p;commune;P;;nowhere;;;\nu;unit;U;;p;;;\nu;unit;U;;p;;;\n"
    done = import_tree(centre, file_of(tmp_path, text), actor="lan")
    assert [(fault.line, fault.reason) for fault in done.faults] == [
        (2, Reason.UNKNOWN_PARENT),
        (3, Reason.UNKNOWN_PARENT),
        (4, Reason.GIVEN_TWICE),
    ]
    assert done.import_id is None


def test_counters_of_an_older_database_are_in_the_tree(database: Database, edge: Edge) -> None:
    with database.transaction() as connection:
        tree = tree_of(connection, AFTER)
    assert tree.counters_of("area-1") == ("counter-1", "counter-2")
    assert tree.nodes["area-1"].level == "area"
    (unit,) = tree.children("area-1")
    assert unit.name_vi == "Một cửa"


def test_transactions_are_counted_by_unit_procedure_and_day(centre: Database, tmp_path: Path) -> None:
    text = (
        "Đơn vị,Ngày,Thủ tục,Số hồ sơ đã trả,Mã hồ sơ\n"
        "mc-kim-ma,01/06/2025,ho-tich,12,\n"
        "mc-kim-ma,02/06/2025,ho-tich,,H1.001\n"
        "mc-kim-ma,02/06/2025,ho-tich,,H1.002\n"
        "mc-giang-vo,02/07/2025,dat-dai,3,\n"
        "mc-kim-ma,02/07/2025,ho-tich,3,\n"
        "mc-kim-ma,01/06/2025,ho-tich,13,\n"
        "mc-kim-ma,03/06/2025,ho-tich,,h1.001\n"
        "mc-kim-ma,03/06/2025,ho-tich,-4,\n"
        "mc-kim-ma,03/06/2025,ho-tich,,\n"
    )
    path = file_of(tmp_path, text, "transactions.csv")
    done = import_transactions(centre, path, actor="lan", data_folder=tmp_path, today=date(2026, 1, 1))
    assert [(f.line, f.column, f.reason, f.detail) for f in done.faults] == [
        (6, "A", Reason.UNKNOWN_UNIT, ""),
        (7, "D", Reason.GIVEN_TWICE, "2"),
        (8, "E", Reason.TRANSACTION_TWICE, "3"),
        (9, "D", Reason.NOT_A_COUNT, ""),
        (10, "D", Reason.MISSING, ""),
    ]
    with centre.transaction() as connection:
        assert completed_by_unit(connection, "ha-noi", YEAR) == {"mc-giang-vo": 3, "mc-kim-ma": 14}
        assert completed_by_unit(connection, "ba-dinh", YEAR) == {"mc-kim-ma": 14}
        assert "H1" not in str(connection.execute("SELECT * FROM transaction_digests").fetchall())
    again = import_transactions(centre, path, actor="lan", data_folder=tmp_path, today=date(2026, 1, 1))
    assert Reason.TRANSACTION_KNOWN in {fault.reason for fault in again.faults}
    with centre.transaction() as connection:
        assert completed_by_unit(connection, "ha-noi", YEAR) == {"mc-giang-vo": 3, "mc-kim-ma": 14}
