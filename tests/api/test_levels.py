"""Levels of the tree are set by command: two tiers or six, without touching the tables, and the log tells."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.database import Database
from api.errors import TableRefused
from api.organisation.commands import organisation
from api.organisation.levels import remove_level, set_level
from api.organisation.tree import Level, levels_of, tree_of
from api.organisation.tree_import import import_tree

RUN = CliRunner()
REGION = Level("region", 5, "Vùng", "Region")
TREE = """\
code;level;name_vi;parent
dong-bac;region;Vùng Đông Bắc;
tinh;province;Tỉnh;dong-bac
xa;commune;Xã;tinh
mc-xa;unit;Một cửa xã;xa
"""


def told(database: Database) -> list[dict[str, object]]:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT body FROM central_log WHERE kind = 'organisation-import' ORDER BY idx"
        ).fetchall()
    return [json.loads(bytes(row[0])) for row in rows]


def codes(database: Database) -> list[str]:
    with database.transaction() as connection:
        return [level.code for level in levels_of(connection)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree.csv"
    path.write_text(TREE, "utf-8")
    return path


def test_two_tiers_need_no_new_level_and_no_sql(database: Database, tree: Path) -> None:
    """As since July 2025: communes right below the province, no district anywhere."""
    tree.write_text(
        TREE.replace("dong-bac;region;Vùng Đông Bắc;\n", "").replace("Tỉnh;dong-bac", "Tỉnh;"), "utf-8"
    )
    assert import_tree(database, tree, actor="lan").faults == ()
    with database.transaction() as connection:
        path = tree_of(connection, date(2026, 1, 1)).path("mc-xa")
    assert [node.level for node in path] == ["province", "commune", "unit"]


def test_a_level_is_added_used_renamed_and_stays_while_something_is_on_it(
    database: Database, tree: Path
) -> None:
    assert import_tree(database, tree, actor="lan", trial=True).refused > 0
    set_level(database, REGION, actor="lan")
    assert codes(database) == ["region", "province", "district", "commune", "area", "unit"]
    assert import_tree(database, tree, actor="lan").faults == ()
    entry = set_level(database, Level("region", 6, "Vùng kinh tế", "Economic region"), actor="lan")
    leaf = told(database)[-1]
    assert (leaf["what"], leaf["level"], leaf["rank"], leaf["name_vi"], leaf["actor"], leaf["removed"]) == (
        *("level", "region", 6, "Vùng kinh tế", "lan"),
        False,
    )
    assert entry > 0
    with pytest.raises(TableRefused, match="it stays"):
        remove_level(database, "region", actor="lan")
    remove_level(database, "district", actor="lan")
    assert told(database)[-1]["removed"] is True
    assert codes(database) == ["region", "province", "commune", "area", "unit"]


@pytest.mark.parametrize(
    ("level", "why"),
    [
        (Level("region", 10, "Vùng", "Region"), "another level's"),
        (Level("region", 0, "Vùng", "Region"), "A rank is 1 to 999"),
        (Level("region", 95, "Vùng", "Region"), "Units are the lowest"),
        (Level("unit", 25, "Bộ phận", "Unit"), "Units are the lowest"),
        (Level("region", 5, " ", "Region"), "a name in Vietnamese"),
        (Level("counter", 95, "Quầy", "Counter"), "no level of the tree"),
        (Level("Vùng", 5, "Vùng", "Region"), "is no code"),
        (Level("province", 35, "Tỉnh", "Province"), "would no longer stand below 'tinh'"),
    ],
)
def test_a_level_that_does_not_fit_changes_nothing(
    database: Database, tree: Path, level: Level, why: str
) -> None:
    set_level(database, REGION, actor="lan")
    assert import_tree(database, tree, actor="lan").faults == ()
    if level.code == "region":
        level = Level("zone", level.rank, level.name_vi, level.name_en)
    before = told(database), codes(database)
    with pytest.raises(TableRefused, match=why):
        set_level(database, level, actor="lan")
    assert (told(database), codes(database)) == before


@pytest.mark.parametrize("code", ["unit", "no-such"])
def test_what_is_no_level_or_is_needed_is_not_taken_away(database: Database, code: str) -> None:
    before = codes(database)
    with pytest.raises(TableRefused):
        remove_level(database, code, actor="lan")
    assert codes(database) == before


def test_the_commands_set_list_and_remove(dsn: str, tmp_path: Path) -> None:
    config = tmp_path / "central.toml"
    config.write_text(f'[database]\ndsn = "{dsn}"\n', "utf-8")
    more = ["-c", str(config)]
    made = RUN.invoke(
        organisation, ["set-level", "region", "--rank", "5", "--vi", "Vùng", "--en", "Region", *more]
    )
    assert made.exit_code == 0, made.output
    listed = RUN.invoke(organisation, ["levels", *more])
    assert listed.stdout.splitlines()[0].strip() == "5 region · Vùng · Region"
    again = RUN.invoke(
        organisation, ["set-level", "zone", "--rank", "5", "--vi", "Khu", "--en", "Zone", *more]
    )
    assert again.exit_code == 1
    assert RUN.invoke(organisation, ["remove-level", "region", *more]).exit_code == 0
    assert "region" not in RUN.invoke(organisation, ["levels", *more]).stdout
