"""A session key seals, opens its commitment, and is gone for good once it is destroyed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from consent.errors import KeyDestroyed, KeysUnavailable
from consent.session_keys import SessionKeys, commitment, opens, seal, unseal

RECORD = UUID(int=7)


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[SessionKeys]:
    with SessionKeys(tmp_path / "keys.sqlite") as made:
        yield made


def stored(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_one_key_a_consent_and_it_stays(keys: SessionKeys) -> None:
    first = keys.make(RECORD)
    assert len(first) == 32
    assert keys.make(RECORD) == first == keys.get(RECORD)
    assert keys.make(uuid4()) != first
    assert keys.path.stat().st_mode & 0o777 == 0o600


def test_a_key_that_was_never_made_is_not_destroyed(keys: SessionKeys) -> None:
    with pytest.raises(KeyDestroyed, match="never made"):
        keys.get(RECORD)
    assert not keys.destroyed(RECORD)


def test_no_byte_of_a_destroyed_key_stays_in_any_file(keys: SessionKeys, tmp_path: Path) -> None:
    secrets = {UUID(int=number): keys.make(UUID(int=number)) for number in range(40)}
    assert all(secret in stored(tmp_path) for secret in secrets.values())  # the search has teeth
    for number in range(0, 40, 2):
        assert keys.destroy(UUID(int=number))
    for record_id, secret in secrets.items():
        assert (secret in stored(tmp_path)) is bool(record_id.int % 2)
    assert len(keys.record_ids()) == 20


def test_a_plain_deletion_leaves_the_key_behind(tmp_path: Path) -> None:
    path = tmp_path / "control.sqlite"
    with SessionKeys(path) as keys:
        secret = keys.make(RECORD)
        plain = sqlite3.connect(path, isolation_level=None)
        plain.execute("PRAGMA secure_delete = OFF")
        plain.execute("DELETE FROM session_key")
        assert secret in stored(tmp_path)  # what the two measures are for
        plain.close()


def test_destroyed_is_final_and_may_be_asked_again(keys: SessionKeys) -> None:
    keys.make(RECORD)
    assert keys.erase(RECORD) == 1
    assert keys.erase(RECORD) == 0
    assert keys.destroyed(RECORD)
    for use in (keys.get, keys.make):
        with pytest.raises(KeyDestroyed, match="was destroyed"):
            use(RECORD)


def test_a_destroyed_key_stays_destroyed_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    with SessionKeys(path) as keys:
        keys.make(RECORD)
        keys.destroy(RECORD)
    with SessionKeys(path) as again, pytest.raises(KeyDestroyed):
        again.make(RECORD)


def test_without_its_key_a_commitment_opens_for_no_payload(keys: SessionKeys) -> None:
    payload = b'{"score":0.25}'
    secret = keys.make(RECORD)
    committed = commitment(secret, payload)
    assert opens(committed, secret, payload)
    assert not opens(committed, secret, b'{"score":0.26}')
    assert not opens(committed, keys.make(uuid4()), payload)


def test_a_sealed_payload_opens_under_its_key_and_consent_only(keys: SessionKeys) -> None:
    secret, payload = keys.make(RECORD), b"what the citizen said" * 10
    sealed = seal(secret, payload, RECORD)
    assert payload[:8] not in sealed
    assert seal(secret, payload, RECORD) != sealed
    assert unseal(secret, sealed, RECORD) == payload
    for wrong in (
        (keys.make(uuid4()), sealed, RECORD),
        (secret, sealed, uuid4()),
        (secret, sealed[:-1] + bytes([sealed[-1] ^ 1]), RECORD),
        (secret, sealed[:5], RECORD),
        (secret, payload, RECORD),
    ):
        with pytest.raises(KeyDestroyed):
            unseal(*wrong)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    path.write_bytes(b"no database, but long enough to be taken for one" * 50)
    with pytest.raises(KeysUnavailable, match=r"keys\.sqlite"):
        SessionKeys(path)
