"""The centre's log outlives its database: a restored one is continued, or refused, and never forks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

import api.central_log
import api.log_recovery
from api.breaches import Breaches
from api.central_log import CentralLog
from api.database import Database
from api.errors import LogDamaged
from api.leaf_file import LeafFile
from api.log import append
from api.log_check import verify
from api.postgres import EmbeddedPostgres
from api.requests import Requests
from consent.checkpoint import Checkpoint, peek
from consent.merkle import check_consistency
from tests.api.backups import Backup


@pytest.fixture
def backup(postgres: EmbeddedPostgres, dsn: str, tmp_path: Path) -> Iterator[Backup]:
    """Give a backup of a log of five entries whose service went on signing after it."""
    with Database(dsn) as database:
        grow(database, 2)
        log_of(database, tmp_path).checkpoint()
    made = Backup.of(postgres, dsn)
    yield made
    made.remove()


def log_of(database: Database, folder: Path) -> CentralLog:
    return CentralLog(database, folder / "log")


def grow(database: Database, count: int) -> None:
    for number in range(count):
        with database.transaction() as connection:
            append(connection, "access", {"number": number, "actor": "án"}, record_id=UUID(int=number + 1))


def bodies(dsn: str) -> list[bytes]:
    with psycopg.connect(dsn) as connection:
        return [bytes(row[0]) for row in connection.execute("SELECT body FROM central_log ORDER BY idx")]


def go_on(dsn: str, folder: Path, count: int = 6) -> tuple[list[bytes], Checkpoint]:
    """Let the service write and sign after its backup; return what was there and signed then."""
    with Database(dsn) as database:
        grow(database, count)
        note = log_of(database, folder).checkpoint()
    return bodies(dsn), peek(note)


def test_a_restored_log_is_continued_with_the_same_bytes_and_goes_on(
    dsn: str, backup: Backup, tmp_path: Path
) -> None:
    with Database(dsn) as database:
        log_of(database, tmp_path).rotate_keys()
    before, signed = go_on(dsn, tmp_path)
    backup.restore()
    restored = len(bodies(dsn))
    assert restored < len(before)
    with Database(dsn) as database:
        log = log_of(database, tmp_path)
        assert not verify(log).ok
        note = peek(log.checkpoint())
        after = bodies(dsn)
        assert after[: len(before)] == before
        (told,) = [json.loads(body) for body in after[len(before) :]]
        assert (told["kind"], told["from_size"], told["size"], told["leaves"]) == (
            "log-recovered",
            restored,
            len(before),
            len(before) - restored,
        )
        found = verify(log)
        assert found.ok, found.reason
        proof = log.consistency_proof(signed.size, note.size)
        check_consistency(signed.size, signed.root, note.size, note.root, proof)
        grow(database, 1)
        assert peek(log.checkpoint()).size == len(after) + 1
        assert list(log.leaves.read()) == bodies(dsn)
    with Database(dsn) as database:  # nothing is recovered twice
        assert peek(log_of(database, tmp_path).checkpoint()).size == len(after) + 1


def test_a_growing_log_costs_its_new_leaves_only(database: Database, tmp_path: Path) -> None:
    log = log_of(database, tmp_path)
    grow(database, 40)
    log.checkpoint()
    path = tmp_path / "log" / "leaves" / "000000000000.jsonl"
    inode, length = path.stat().st_ino, path.stat().st_size
    before = path.read_bytes()
    grow(database, 1)
    read: list[tuple[int, int]] = []
    extend = LeafFile.extend

    def watched(self: LeafFile, size: int, source: Callable[[int, int], list[bytes]]) -> int:
        return extend(self, size, lambda start, stop: read.append((start, stop)) or source(start, stop))  # type: ignore[func-returns-value,redundant-expr]  # append gives None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LeafFile, "extend", watched)
        log.checkpoint()
    assert read == [(43, 44)]
    assert path.stat().st_ino == inode
    assert path.read_bytes()[:length] == before


@pytest.mark.parametrize("step", ["after-leaves", "while-recovering", "torn-line"])
def test_a_kill_at_a_step_is_made_good(
    dsn: str, backup: Backup, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = go_on(dsn, tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if step == "after-leaves":  # the leaves lie there, the signature over them does not
        with Database(dsn) as database, monkeypatch.context() as patch:
            patch.setattr(api.central_log, "write_head", killed)
            grow(database, 2)
            with pytest.raises(KeyboardInterrupt):
                log_of(database, tmp_path).checkpoint()
        before = bodies(dsn)
    if step == "torn-line":
        with (tmp_path / "log" / "leaves" / "000000000000.jsonl").open("ab") as file:
            file.write(b'{"actor":"half a l')
    backup.restore()
    if step == "while-recovering":
        untouched = bodies(dsn)
        with Database(dsn) as database, monkeypatch.context() as patch:
            patch.setattr(api.central_log, "tell", killed)
            with pytest.raises(KeyboardInterrupt):
                log_of(database, tmp_path).open()
        assert bodies(dsn) == untouched
    with Database(dsn) as database:
        log = log_of(database, tmp_path)
        log.checkpoint()
        assert bodies(dsn)[: len(before)] == before
        found = verify(log)
        assert found.ok, found.reason
        assert list(log.leaves.read()) == bodies(dsn)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    place = data.rindex(b'"number":2') + len(b'"number":')
    data[place] ^= 1
    path.write_bytes(data)


def shorten(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))


def swap(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[-1], lines[-2] = lines[-2], lines[-1]
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize("damage", [flip, shorten, swap, Path.unlink])
def test_damaged_leaves_are_refused_and_nothing_is_appended(
    dsn: str, backup: Backup, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    go_on(dsn, tmp_path)
    backup.restore()
    untouched = bodies(dsn)
    whole = tmp_path / "whole"
    shutil.copytree(tmp_path / "log" / "leaves", whole)
    damage(tmp_path / "log" / "leaves" / "000000000000.jsonl")
    with Database(dsn) as database:
        for _ in range(2):
            with pytest.raises(LogDamaged, match=r"othing is signed"):
                log_of(database, tmp_path).open()
        assert bodies(dsn) == untouched
        shutil.rmtree(tmp_path / "log" / "leaves")  # as the message says: that folder's own backup
        shutil.copytree(whole, tmp_path / "log" / "leaves")
        log = log_of(database, tmp_path)
        log.checkpoint()
        assert verify(log).ok


def test_a_restored_log_that_went_its_own_way_is_refused(dsn: str, backup: Backup, tmp_path: Path) -> None:
    go_on(dsn, tmp_path)
    backup.restore()
    with Database(dsn) as database:
        with database.transaction() as connection:
            append(connection, "access", {"number": 99})
        untouched = bodies(dsn)
        with pytest.raises(LogDamaged, match="not the beginning"):
            log_of(database, tmp_path).open()
    assert bodies(dsn) == untouched


def test_kept_leaves_of_another_log_stop_the_signing(database: Database, tmp_path: Path) -> None:
    log = log_of(database, tmp_path)
    log.checkpoint()
    shorten(tmp_path / "log" / "leaves" / "000000000000.jsonl")
    with (tmp_path / "log" / "leaves" / "000000000000.jsonl").open("ab") as file:
        file.write(b'{"kind":"genesis"}\n')
    with pytest.raises(LogDamaged, match="not those of the centre's log"):
        log_of(database, tmp_path).checkpoint()
    assert not verify(log).ok
    shutil.rmtree(log.leaves.folder)  # as the message says: the database is whole
    assert log_of(database, tmp_path).checkpoint() == log.newest()
    assert verify(log).ok


def test_leaves_lie_in_files_of_one_width(tmp_path: Path) -> None:
    leaves = [b'{"n":%d}' % number for number in range(23)]
    kept = LeafFile(tmp_path / "leaves", leaves_a_file=8)
    for size in (3, 8, 9, 23):
        kept.extend(size, lambda start, stop: leaves[start:stop])
        again = LeafFile(tmp_path / "leaves", leaves_a_file=8)
        assert again.size() == kept.size() == size
        assert again.last() == leaves[size - 1]
        assert list(again.read()) == leaves[:size]
    assert list(kept.read(6, 18)) == leaves[6:18]
    (tmp_path / "leaves" / "000000000008.jsonl").unlink()
    with pytest.raises(LogDamaged, match="a file is missing"):
        LeafFile(tmp_path / "leaves", leaves_a_file=8).size()


def test_what_leaves_tell_is_put_back_into_its_tables(dsn: str, backup: Backup, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    body = {"request": UUID(int=7), "actor": "cán bộ", "received_at": now - timedelta(days=1)}
    body |= {"answer_due_at": now + timedelta(days=9), "law": "l-91-2025 1"}
    breach = {"breach": UUID(int=8), "actor": "cán bộ", "detected_at": now - timedelta(hours=3)}
    breach |= {"notify_due_at": now + timedelta(hours=69), "law": "l-91-2025 1"}
    with Database(dsn) as database:
        for kind, said in (
            ("request", body | {"act": "received", "request_kind": "view", "channel": "paper"}),
            ("request", body | {"act": "answered", "outcome": "done"}),
            (
                "breach",
                breach | {"act": "detected", "nature": "loss", "cause": "theft", "scope": ["signal"]},
            ),
            ("breach", breach | {"act": "notified", "notified_at": now}),
            ("withdrawal-requested", {"method": "receipt", "actor": "citizen", "edge": UUID(int=1)}),
            ("release", {"minimum_n": 10, "cells": [{"counter": "no-such", "day": "2026-11-01"}]}),
        ):
            about = UUID(int=5) if kind == "withdrawal-requested" else None
            with database.transaction() as connection:
                append(connection, kind, said, record_id=about)
        log_of(database, tmp_path).checkpoint()
    backup.restore()
    with Database(dsn) as database:
        log_of(database, tmp_path).open()
        with database.transaction() as connection:
            request = Requests().get(connection, UUID(int=7))
            found = Breaches().get(connection, UUID(int=8))
            erasing = connection.execute("SELECT record_id, cause FROM erasures").fetchall()
    assert (request.kind, request.outcome) == ("view", "done")
    assert request.answer_due_at == body["answer_due_at"]
    assert (found.nature, found.notified_at) == ("loss", now)
    assert erasing == [(UUID(int=5), "withdrawn")]
    told = json.loads(bodies(dsn)[-1])
    assert told["rebuilt"] == {"breach": 2, "left-out": 1, "request": 2}
