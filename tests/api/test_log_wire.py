"""The log over HTTP: edges send theirs, anybody reads the tree, a killed service keeps each entry once."""

from __future__ import annotations

import random
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from api.accounts import Accounts
from api.authorization import Role
from api.database import Database
from api.postgres import EmbeddedPostgres
from consent.checkpoint import open_note, peek, verifier
from consent.merkle import Frontier, leaf_hash
from consent.tiles import Tile, parse_bundle, tiles_of
from tests.api.edge_consents import EdgeLog
from tests.api.running import PASSWORD, Central, running
from tests.api.senders import enrolled_edge
from tests.api.test_server import _Program


@dataclass(frozen=True, slots=True)
class House:
    central: Central
    sent: EdgeLog
    client: httpx.Client

    def post(self, first: int, stop: int | None = None) -> httpx.Response:
        body = self.sent.body(first, stop)
        return self.client.post(
            "/v1/log", content=body, headers={"Hailong-Signature": self.sent.edge.sign(body)}
        )

    def eventually(self, path: str, pattern: str) -> str:
        """Wait for what the keeper of the log does in the background."""
        text = ""
        for _ in range(200):
            text = self.client.get(path).text
            if re.search(pattern, text):
                return text
            time.sleep(0.05)
        pytest.fail(f"{path} never showed {pattern}: {text}")


@pytest.fixture
def house(dsn: str, tmp_path: Path) -> Iterator[House]:
    settings = {"data_dir": str(tmp_path / "log"), "checkpoint_s": 0.05, "fold_s": 0}
    with Database(dsn) as database:
        edge = enrolled_edge(database, ["counter-1"])
    with (
        running(dsn, log=settings) as central,
        httpx.Client(base_url=central.address, timeout=20, trust_env=False) as client,
    ):
        yield House(central, EdgeLog.make(edge, tmp_path / "edge"), client)


def test_an_edge_sends_its_log_and_reads_how_much_is_kept(house: House) -> None:
    answer = house.post(house.sent.size)
    assert (answer.status_code, answer.json()["kind"], answer.json()["size"]) == (409, "log-behind", 0)
    house.sent.whole()
    answer = house.post(0)
    assert (answer.status_code, answer.json()) == (200, {"size": house.sent.size, "withdrawals": []})
    assert house.post(0).json()["size"] == house.sent.size
    text = house.client.get("/metrics").text
    assert f"hailong_edge_log_entries_total {float(house.sent.size)}" in text
    body = house.sent.body(0)
    answer = house.client.post("/v1/log", content=body)
    assert (answer.status_code, answer.json()["kind"]) == (401, "not-authenticated")
    too_large = b"x" * (8 * 1024 * 1024 + 1)
    assert house.client.post("/v1/log", content=too_large).status_code == 413


def test_anybody_can_check_the_tree_and_only_readers_of_the_log_its_entries(house: House) -> None:
    house.sent.whole()
    assert house.post(0).status_code == 200
    house.eventually("/metrics", r"hailong_log_size [1-9]")
    time.sleep(0.2)
    note = house.client.get("/log/checkpoint").content
    tree = peek(note)
    assert tree.origin.startswith("hailong/centre/")
    with Database(house.central.dsn) as database:
        accounts = Accounts(database)
        first = accounts.create("quan-sat", Role.OBSERVER, actor="test")
        cookie = accounts.change_password("quan-sat", first, PASSWORD)
        first = accounts.create("giam-sat", Role.SUPERVISOR, actor="test")
        supervisor = accounts.change_password("giam-sat", first, PASSWORD)
        with database.transaction() as connection:
            keys = [
                row[0]
                for row in connection.execute(
                    "SELECT convert_from(body, 'UTF8')::json->>'vkey' FROM central_log "
                    "WHERE kind = 'key-introduced'"
                )
            ]
    assert len(open_note(note, [verifier(key) for key in keys]).signatures) == 2
    frontier, hashes = Frontier(), b""
    for tile in tiles_of(tree.size):
        path = f"/log/{tile.path}"
        if tile.level is None:
            assert house.client.get(path).status_code == 303
            headers = {"Cookie": f"hailong_session={supervisor}"}
            assert house.client.get(path, headers=headers).status_code == 403
            answer = house.client.get(path, headers={"Cookie": f"hailong_session={cookie}"})
            for entry in parse_bundle(answer.content):
                frontier.append(leaf_hash(entry))
                hashes += leaf_hash(entry)
        else:
            answer = house.client.get(path)
            assert answer.content == hashes
        assert "immutable" in answer.headers["cache-control"]
    assert frontier.root() == tree.root
    behind = Tile(0, 0, 255).path
    for path in (f"/log/{behind}", "/log/tile/0/1", "/log/tile/x", "/log/checkpoint/witnessed"):
        assert house.client.get(path).status_code == 404


def test_a_log_that_was_cut_short_is_not_served_as_sound(house: House) -> None:
    assert house.client.get("/readyz").json()["log"] is True
    sizes = [-1, 0]
    while sizes[-1] != sizes[-2]:  # the first start logs runs of the retention
        time.sleep(0.7)
        found = re.search(r"hailong_log_size (\d\S*)", house.client.get("/metrics").text)
        sizes.append(int(float(found[1])) if found else 0)
    with psycopg.connect(house.central.dsn) as connection:
        connection.execute("ALTER TABLE central_log DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM central_log WHERE idx = (SELECT max(idx) FROM central_log)")
    assert "cut short" in house.eventually("/readyz", "not-ready")
    assert "hailong_log_damaged 1.0" in house.client.get("/metrics").text


@pytest.mark.parametrize("kills_wanted", [2, pytest.param(12, marks=pytest.mark.long)])
def test_a_service_killed_while_it_takes_a_log_keeps_each_entry_once(
    open_dir: Path, seed: int, kills_wanted: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    config = open_dir / "central.toml"
    config.write_text(
        f'[server]\nport = 0\n[database]\ndata_dir = "{open_dir}/pg"\n[log]\nfold_s = 0\n', encoding="utf-8"
    )
    program = _Program(config)
    program.start()
    dsn = EmbeddedPostgres(open_dir / "pg").dsn()
    with Database(dsn) as database:
        edge = enrolled_edge(database, ["counter-1"])
    sent = EdgeLog.make(edge, open_dir / "edge")
    while sent.size < 60 * kills_wanted:
        sent.whole()
    kept, kills = 0, 0
    while kept < sent.size:
        stop = min(sent.size, kept + rng.randint(5, 25))
        body = sent.body(kept, stop)
        head = {"Hailong-Signature": edge.sign(body)}
        if kills < kills_wanted and kept > kills * 50:
            host, port = program.address[7:].split(":")
            with socket.create_connection((host, int(port))) as raw:
                lines = f"POST /v1/log HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                raw.sendall(f"{lines}Hailong-Signature: {head['Hailong-Signature']}\r\n\r\n".encode() + body)
                time.sleep(rng.random() * 0.05)
                program.kill(postgres=kills % 2 == 0)
            kills += 1
            program.start()
        else:
            answer = httpx.post(
                f"{program.address}/v1/log", content=body, headers=head, timeout=20, trust_env=False
            )
            assert answer.status_code in {200, 409}, answer.text
            kept = answer.json()["size"]
    assert httpx.get(f"{program.address}/readyz", timeout=20, trust_env=False).json()["log"] is True
    with Database(dsn) as database, database.transaction() as connection:
        rows = connection.execute("SELECT idx, body FROM edge_log_entries ORDER BY idx").fetchall()
        folded = connection.execute(
            "SELECT convert_from(body, 'UTF8')::json->>'size' FROM central_log "
            "WHERE kind = 'edge-checkpoint' ORDER BY idx DESC LIMIT 1"
        ).fetchone()
    assert [row[0] for row in rows] == list(range(sent.size))
    assert [bytes(row[1]) for row in rows] == [entry.body for entry in sent.store.log.entries()]
    assert folded == (str(sent.size),)
    assert program.stop() == 0
