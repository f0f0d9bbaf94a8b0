from __future__ import annotations

from pathlib import Path

import pytest

from api.central_log import HEAD_NAME, CentralLog
from api.database import Database
from api.errors import KeysUnusable, LogDamaged
from api.log import append
from consent.checkpoint import ML_DSA_44, peek, verifier
from consent.merkle import check_consistency, check_inclusion


@pytest.fixture
def log(database: Database, tmp_path: Path) -> CentralLog:
    log = CentralLog(database, tmp_path / "log")
    log.checkpoint()
    return log


def grow(database: Database, count: int) -> None:
    for number in range(count):
        with database.transaction() as connection:
            append(connection, "access", {"number": number})


def test_a_checkpoint_is_signed_by_both_keys_and_proves_every_entry(
    database: Database, log: CentralLog
) -> None:
    grow(database, 9)
    note = log.checkpoint()
    opened = log.keys().open(note)
    assert {signature.by.key.kind for signature in opened.signatures} == {1, ML_DSA_44}
    tree = opened.checkpoint
    assert (tree.origin, tree.size) == (log.origin, 1 + 2 + 9)
    for leaf in log.entries(0, tree.size):
        check_inclusion(
            leaf.leaf_hash, leaf.index, tree.size, log.inclusion_proof(leaf.index, tree.size), tree.root
        )
    for old in range(1, tree.size):
        check_consistency(old, log.root(old), tree.size, tree.root, log.consistency_proof(old, tree.size))
    assert log.checkpoint() == note == log.newest(), "what did not grow is not signed again"


def test_keys_are_for_their_owner_alone_and_a_key_that_others_read_is_refused(
    database: Database, log: CentralLog
) -> None:
    files = sorted(log.keys_folder.path.iterdir())
    assert [file.name for file in files] == ["log-ed25519.pem", "log-ml-dsa-44.pem"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    files[0].chmod(0o644)
    with pytest.raises(KeysUnusable, match="read by others"):
        CentralLog(database, log.folder).open()


def test_a_restarted_service_continues_and_another_services_keys_are_refused(
    database: Database, log: CentralLog, tmp_path: Path
) -> None:
    grow(database, 3)
    again = CentralLog(database, log.folder)
    assert peek(again.checkpoint()).size == 6
    with pytest.raises(KeysUnusable, match="not the ones that the log names"):
        CentralLog(database, tmp_path / "empty").open()
    assert not (tmp_path / "empty" / "keys").exists(), "a log that has keys is given no others"
    CentralLog(database, tmp_path / "other").keys_folder.log_signers(log.origin)
    with pytest.raises(KeysUnusable, match="not the ones that the log names"):
        CentralLog(database, tmp_path / "other").open()
    (log.folder / f"{HEAD_NAME}.head").unlink()
    with pytest.raises(LogDamaged, match="missing in"):
        CentralLog(database, log.folder).open()


def test_rotation_keeps_old_checkpoints_and_proofs_valid(database: Database, log: CentralLog) -> None:
    grow(database, 4)
    old_note = log.checkpoint()
    old_keys = {key.vkey() for key in log.keys().verifiers(7)}
    log.rotate_keys()
    grow(database, 2)
    new_note = log.checkpoint()
    history = log.keys()
    old, new = history.open(old_note), history.open(new_note)
    assert {item.by.vkey() for item in old.signatures} == old_keys
    assert old_keys.isdisjoint(item.by.vkey() for item in new.signatures)
    assert len(new.signatures) == 2
    proof = log.consistency_proof(old.checkpoint.size, new.checkpoint.size)
    check_consistency(
        old.checkpoint.size, old.checkpoint.root, new.checkpoint.size, new.checkpoint.root, proof
    )
    assert CentralLog(database, log.folder).checkpoint() == new_note, "the next start has the new keys"


@pytest.mark.parametrize("moved", [False, True])
def test_a_rotation_that_breaks_off_leaves_keys_that_the_log_knows(
    database: Database, log: CentralLog, monkeypatch: pytest.MonkeyPatch, *, moved: bool
) -> None:
    place = type(log.keys_folder).put_next_in_place

    def broken(folder: object) -> None:
        if moved:
            place(folder)  # type: ignore[arg-type]  # called through the class
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(log.keys_folder), "put_next_in_place", broken)
        with pytest.raises(KeyboardInterrupt):
            log.rotate_keys()
    again = CentralLog(database, log.folder)
    opened = again.keys().open(again.checkpoint())
    assert len(opened.signatures) == 2
    assert not again.keys_folder.has_next()
    # The service that ran beside the command takes the new keys up by itself.
    grow(database, 1)
    assert len(log.keys().open(log.checkpoint()).signatures) == 2


def test_a_key_that_no_key_endorsed_is_no_key_of_the_log(database: Database, log: CentralLog) -> None:
    stranger = verifier(log.keys().periods[0].vkey).vkey().replace("+", "+")
    log_id = log.origin.rpartition("/")[2]
    other = CentralLog(database, log.folder).keys_folder.next_signers(log.origin)[0].vkey()
    assert other != stranger
    with database.transaction() as connection:
        body = {"log": log_id, "vkey": other, "from_size": 20, "endorsement": None}
        append(connection, "key-introduced", body)
    with pytest.raises(LogDamaged, match="no key before it endorses"):
        log.checkpoint()
