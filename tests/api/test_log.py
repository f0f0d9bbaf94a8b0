from __future__ import annotations

import hashlib
import json
import threading
from uuid import UUID, uuid4

import psycopg
import pytest

from api.database import Database
from api.errors import LogDamaged
from api.log import Leaf, append, append_all, log_size
from api.tree import StoredNodes, peaks
from consent.merkle import MemoryNodes, leaf_hash, root


def bodies(database: Database) -> list[bytes]:
    with database.transaction() as connection:
        rows = connection.execute("SELECT idx, body FROM central_log ORDER BY idx").fetchall()
    assert [row[0] for row in rows] == list(range(len(rows)))
    return [bytes(row[1]) for row in rows]


def test_an_entry_is_stored_exactly_as_it_is_hashed_and_names_what_it_is_about(database: Database) -> None:
    record = uuid4()
    with database.transaction() as connection:
        assert append(connection, "access", {"actor": "lan", "edge": record}, record_id=record) == 1
        row = connection.execute(
            "SELECT leaf_hash, kind, record_id, body FROM central_log WHERE idx = 1"
        ).fetchone()
    assert row is not None
    body = bytes(row[3])
    assert bytes(row[0]) == hashlib.sha256(b"\0" + body).digest()
    document = json.loads(body)
    assert (row[1], row[2]) == ("access", record)
    assert document.pop("at").endswith("Z")
    assert document == {
        "kind": "access",
        "record_id": str(record),
        "schema_version": 1,
        "actor": "lan",
        "edge": str(record),
    }


def test_the_first_entry_names_the_log_and_is_made_by_the_migration_alone(database: Database) -> None:
    (genesis,) = bodies(database)
    assert json.loads(genesis)["kind"] == "genesis"
    with database.transaction() as connection:
        connection.execute("ALTER TABLE central_log DISABLE TRIGGER ALL")
        connection.execute("TRUNCATE central_log")
    with pytest.raises(LogDamaged, match="first entry"), database.transaction() as connection:
        append(connection, "access", {})
    assert bodies(database) == []


@pytest.mark.parametrize("body", [{"kind": "release"}, {"record_id": str(UUID(int=2))}])
def test_a_body_cannot_speak_of_another_kind_or_record(database: Database, body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="leave it out"), database.transaction() as connection:
        append(connection, "access", body, record_id=UUID(int=1))
    with pytest.raises(ValueError, match="'gossip'"), database.transaction() as connection:
        append(connection, "gossip", {})
    assert len(bodies(database)) == 1


def test_what_is_rolled_back_leaves_no_entry_and_no_gap(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        _ = append(connection, "access", {"number": 1}) // 0
    with database.transaction() as connection:
        assert append(connection, "access", {"number": 2}) == 1
    assert len(bodies(database)) == 2


@pytest.mark.parametrize("statement", ["UPDATE {} SET idx = idx", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
@pytest.mark.parametrize("table", ["central_log", "central_log_nodes", "edge_log_entries", "edge_log_nodes"])
def test_the_tables_refuse_every_change(database: Database, table: str, statement: str) -> None:
    with (
        pytest.raises(psycopg.errors.RaiseException, match="append-only"),
        database.transaction() as connection,
    ):
        connection.execute(statement.format(table))


def test_many_writers_make_one_log_without_a_gap_whose_root_is_the_oracles(dsn: str) -> None:
    failures: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for number in range(12):
                with database.transaction() as connection:
                    leaves = [
                        Leaf("access", {"writer": writer, "number": number, "part": part}) for part in (1, 2)
                    ]
                    append_all(connection, leaves[: 1 + number % 2])
        except BaseException as error:  # noqa: BLE001 - told by the test below
            failures.append(error)

    with Database(dsn, pool_size=8) as database:
        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        stored = bodies(database)
        assert len(stored) == 1 + 8 * 18
        oracle = MemoryNodes(leaf_hash(body) for body in stored)
        with database.transaction() as connection:
            assert log_size(connection) == len(stored)
            nodes = StoredNodes(connection)
            for size in (1, 2, 7, 64, 100, len(stored)):
                assert root(size, nodes) == root(size, oracle)


def test_a_missing_node_or_row_stops_the_writer_instead_of_making_another_log(database: Database) -> None:
    with database.transaction() as connection:
        append_all(connection, [Leaf("access", {"number": number}) for number in range(6)])
        connection.execute("ALTER TABLE central_log DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM central_log WHERE idx = 6")
    with (
        pytest.raises(LogDamaged, match="do not fit together at entry 6"),
        database.transaction() as connection,
    ):
        append(connection, "access", {})


@pytest.mark.parametrize("size", [0, 1, 2, 3, 8, 13, 2**20 - 1])
def test_peaks_cover_a_tree_of_any_size(size: int) -> None:
    covered = 0
    for level, index in peaks(size):
        assert index << level == covered
        covered += 1 << level
    assert covered == size
