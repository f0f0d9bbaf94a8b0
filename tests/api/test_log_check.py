"""Tampering with the centre's log at the database, with and without a witness."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from api.central_log import HEAD_NAME, CentralLog
from api.database import Database
from api.errors import LogDamaged
from api.log import append
from api.log_check import verify
from api.settings import LogSettings
from api.witnesses import Standing, Witnesses
from consent.checkpoint import Checkpoint, peek, sign
from consent.head import write_head
from consent.merkle import MemoryNodes, leaf_hash, root
from consent.witness import Witness
from consent.witness_server import build_app

ENTRIES = 9


@dataclass
class House:
    dsn: str
    log: CentralLog
    witnesses: Witnesses
    witness: Witness

    def grow(self, count: int = 1) -> None:
        for number in range(count):
            with self.log.database.transaction() as connection:
                append(connection, "access", {"number": number})
        self.log.checkpoint()

    def tamper(self, *statements: str, values: tuple[Any, ...] = ()) -> None:
        """Do what whoever owns the database can do."""
        with psycopg.connect(self.dsn) as connection:
            for table in ("central_log", "central_log_nodes"):
                connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
            for statement in statements:
                connection.execute(statement.encode(), values if "%s" in statement else None)

    def bodies(self) -> list[bytes]:
        return [leaf.body for leaf in self.log.entries(0, 100)]

    def rewrite(self, bodies: list[bytes]) -> None:
        """Put another history into the tables, with every hash and node right."""
        self.tamper("DELETE FROM central_log", "DELETE FROM central_log_nodes")
        with psycopg.connect(self.dsn) as connection:
            for index, body in enumerate(bodies):
                connection.execute(
                    "INSERT INTO central_log (idx, leaf_hash, kind, at, body) VALUES "
                    "(%s, %s, convert_from(%s, 'UTF8')::json->>'kind', coalesce("
                    "(convert_from(%s, 'UTF8')::json->>'at')::timestamptz, now()), %s)",
                    (index, leaf_hash(body), body, body, body),
                )
            nodes = MemoryNodes()
            for body in bodies:
                for node in nodes.append(leaf_hash(body)):
                    connection.execute(
                        "INSERT INTO central_log_nodes VALUES (%s, %s, %s)",
                        (node.level, node.index, node.hash),
                    )

    def resign(self) -> None:
        """Sign the present tables with the centre's own keys; forget every older checkpoint and kept leaf."""
        shutil.rmtree(self.log.leaves.folder)
        bodies = self.bodies()
        nodes = MemoryNodes(leaf_hash(body) for body in bodies)
        tree = Checkpoint(self.log.origin, nodes.size, root(nodes.size, nodes))
        note = sign(tree, self.log.keys_folder.log_signers(self.log.origin))
        self.tamper("DELETE FROM cosignatures", "DELETE FROM central_checkpoints")
        with psycopg.connect(self.dsn) as connection:
            connection.execute(
                "INSERT INTO central_checkpoints (size, root, note) VALUES (%s, %s, %s)",
                (tree.size, tree.root, note),
            )
        write_head(self.log.folder / HEAD_NAME, note)


class _Local(httpx.BaseTransport):
    """Reaches the witness's own application without a socket."""

    def __init__(self, witness: Witness) -> None:
        self._app = httpx.ASGITransport(build_app(witness))
        self.reachable = True

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not self.reachable:
            raise httpx.ConnectError("nobody there", request=request)

        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._app) as client:
                return await client.post(request.url, content=request.read())

        answer = asyncio.run(ask())
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@pytest.fixture
def house(dsn: str, tmp_path: Path) -> Iterator[House]:
    with Database(dsn) as database:
        log = CentralLog(database, tmp_path / "log")
        log.checkpoint()
        witness = Witness.create(tmp_path / "witness", "oversight.example")
        for key in log.keys().verifiers(log.size()):
            witness.add_log(key.vkey())
        settings = LogSettings.model_validate(
            {"witnesses": [{"url": "http://oversight.example", "vkey": witness.vkeys[0]}]}
        )
        house = House(dsn, log, Witnesses(log, settings, _Local(witness)), witness)
        house.grow(ENTRIES)
        assert house.witnesses.submit()
        yield house


def swap(house: House) -> None:
    house.tamper(
        "UPDATE central_log SET idx = 1000 WHERE idx = 5",
        "UPDATE central_log SET idx = 5 WHERE idx = 6",
        "UPDATE central_log SET idx = 6 WHERE idx = 1000",
    )


def other_key_entry(house: House) -> None:
    house.tamper("UPDATE central_log SET kind = 'access' WHERE kind = 'key-introduced' AND idx = 1")


CLUMSY: dict[str, Callable[[House], None]] = {
    "flip a byte": lambda house: house.tamper(
        "UPDATE central_log SET body = set_byte(body, 20, get_byte(body, 20) # 1) WHERE idx = 5"
    ),
    "flip a hash": lambda house: house.tamper(
        "UPDATE central_log SET leaf_hash = set_byte(leaf_hash, 3, get_byte(leaf_hash, 3) # 1) WHERE idx = 5"
    ),
    "flip a node": lambda house: house.tamper(
        "UPDATE central_log_nodes SET hash = set_byte(hash, 3, get_byte(hash, 3) # 1) "
        "WHERE level = 1 AND idx = 1"
    ),
    "another kind": lambda house: house.tamper("UPDATE central_log SET kind = 'export' WHERE idx = 6"),
    "another time": lambda house: house.tamper(
        "UPDATE central_log SET at = at - interval '1 day' WHERE idx = 6"
    ),
    "another record": lambda house: house.tamper(
        "UPDATE central_log SET record_id = gen_random_uuid() WHERE idx = 6"
    ),
    "drop": lambda house: house.tamper("DELETE FROM central_log WHERE idx = 5"),
    "drop a node": lambda house: house.tamper("DELETE FROM central_log_nodes WHERE level = 2 AND idx = 0"),
    "truncate": lambda house: house.tamper("DELETE FROM central_log WHERE idx > 7"),
    "truncate all": lambda house: house.tamper("DELETE FROM central_log", "DELETE FROM central_log_nodes"),
    "swap": swap,
    "duplicate": lambda house: house.tamper(
        "INSERT INTO central_log SELECT 12, leaf_hash, kind, record_id, at, body FROM central_log "
        "WHERE idx = 5"
    ),
    "surplus node": lambda house: house.tamper(
        "INSERT INTO central_log_nodes SELECT 9, 9, hash FROM central_log_nodes WHERE level = 0 AND idx = 0"
    ),
    "hide a key": other_key_entry,
    "another checkpoint": lambda house: house.tamper(
        "UPDATE central_checkpoints SET root = set_byte(root, 0, get_byte(root, 0) # 1) WHERE size > 5"
    ),
    "another note": lambda house: house.tamper(
        "UPDATE central_checkpoints SET note = set_byte(note, 300, get_byte(note, 300) # 1) WHERE size > 5"
    ),
}
SKILLED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "flip": lambda bodies: [*bodies[:5], bodies[5].replace(b'"number"', b'"numbel"'), *bodies[6:]],
    "drop": lambda bodies: bodies[:5] + bodies[6:],
    "swap": lambda bodies: [*bodies[:5], bodies[6], bodies[5], *bodies[7:]],
    "duplicate": lambda bodies: [*bodies[:6], *bodies[5:]],
    "truncate": lambda bodies: bodies[:-3],
    "insert": lambda bodies: [*bodies[:5], bodies[4].replace(b'"number":0', b'"number":77'), *bodies[5:]],
    "splice": lambda bodies: [*bodies[:5], *reversed(bodies[5:])],
}


def test_a_whole_log_is_found_whole_and_witnessed(house: House) -> None:
    found = verify(house.log, house.witnesses.policy())
    size = 3 + ENTRIES
    assert (found.ok, found.entries, found.witnessed_size) == (True, size, size)
    assert found.root == house.log.root().hex()
    status = house.witnesses.status()
    assert (status.size, status.witnessed, status.witnessed_size) == (size, True, size)
    house.grow()
    status = house.witnesses.status()
    assert (status.size, status.witnessed, status.witnessed_size) == (size + 1, False, size)
    assert house.witnesses.submit()
    assert house.witnesses.status().witnessed


@pytest.mark.parametrize("kind", CLUMSY)
def test_rows_that_were_changed_are_found(house: House, kind: str) -> None:
    CLUMSY[kind](house)
    found = verify(house.log, house.witnesses.policy())
    assert not found.ok
    assert found.broken_index is not None
    assert found.reason


@pytest.mark.parametrize("kind", SKILLED)
def test_another_history_with_every_hash_right_does_not_reach_the_kept_checkpoint(
    house: House, kind: str
) -> None:
    before = house.bodies()
    after = SKILLED[kind](before)
    assert after != before
    house.rewrite(after)
    assert not verify(house.log).ok
    with pytest.raises(LogDamaged):
        house.log.checkpoint()
    if kind == "truncate":  # a true beginning, as after a restore: the kept leaves put the rest back
        CentralLog(house.log.database, house.log.folder).checkpoint()
        assert house.bodies()[: len(before)] == before
        assert verify(house.log).ok
        return
    with pytest.raises(LogDamaged):
        CentralLog(house.log.database, house.log.folder).checkpoint()


@pytest.mark.parametrize("kind", SKILLED)
@pytest.mark.parametrize("grown", [0, 5])
def test_a_signed_rewrite_passes_every_check_inside_and_no_witness(
    house: House, kind: str, grown: int
) -> None:
    house.rewrite(SKILLED[kind](house.bodies()))
    house.resign()
    insider = CentralLog(house.log.database, house.log.folder)
    settings = LogSettings.model_validate(
        {"witnesses": [{"url": "http://oversight.example", "vkey": house.witness.vkeys[0]}]}
    )
    witnesses = Witnesses(insider, settings, _Local(house.witness))
    again = House(house.dsn, insider, witnesses, house.witness)
    if grown:
        again.grow(grown)
    # The half that every log without a witness must admit.
    found = verify(insider, witnesses.policy())
    assert found.ok
    assert found.witnessed_size is None
    # The other half.
    assert not witnesses.submit()
    (state,) = witnesses.status().witnesses
    assert state.standing is Standing.REFUSED
    assert not witnesses.status().witnessed
    assert house.witness.logs()[0].size == 3 + ENTRIES


def test_an_unreachable_witness_leaves_the_log_unwitnessed_and_is_asked_again(house: House) -> None:
    transport = house.witnesses._transport
    assert isinstance(transport, _Local)
    transport.reachable = False
    house.grow()
    assert not house.witnesses.submit()
    (state,) = house.witnesses.status().witnesses
    assert (state.standing, state.size) == (Standing.UNREACHABLE, 3 + ENTRIES)
    transport.reachable = True
    assert house.witnesses.submit()
    assert peek(house.witnesses.newest_witnessed() or b"").size == 4 + ENTRIES


def test_a_cosignature_that_somebody_wrote_into_the_table_is_not_believed(house: House) -> None:
    house.grow()
    house.tamper("UPDATE cosignatures SET size = (SELECT max(size) FROM central_checkpoints)")
    status = house.witnesses.status()
    assert (status.witnessed, status.witnessed_size) == (False, None)
    assert verify(house.log, house.witnesses.policy()).witnessed_size is None
