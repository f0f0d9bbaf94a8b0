"""What is said of one consent is computed: change anything below it and the words change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.central_log import CentralLog
from api.consent_checks import (
    TOLERANCE_MS,
    CheckedLife,
    FirstFrame,
    Length,
    Proof,
    check_life,
    consent_before_first_frame,
    notices_in,
    processed_within_consent,
    render_again,
)
from api.consent_life import Life, life
from api.consents import find
from api.database import Database
from api.settings import LogSettings, WitnessSettings
from api.witnesses import Witnesses
from consent.checkpoint import CosignatureSigner, peek
from consent.purpose import Purpose
from tests.api.consent_sender import BUSY, CALM, ConsentSender
from tests.consent.citizens import BOTH, Clocks

NOW = datetime.now(UTC)


@pytest.fixture
def sender(database: Database, tmp_path: Path, seed: int) -> Iterator[ConsentSender]:
    folder = tmp_path / "edge"
    folder.mkdir()
    sender = ConsentSender(database, folder, seed, clocks=Clocks(wall=NOW - timedelta(days=1)))
    yield sender
    sender.close()


@pytest.fixture
def log(database: Database, tmp_path: Path) -> CentralLog:
    return CentralLog(database, tmp_path / "log")


def checked(database: Database, log: CentralLog, told: Life, *witnesses: WitnessSettings) -> CheckedLife:
    with database.transaction() as connection:
        settings = LogSettings(witnesses=witnesses, quorum=1)
        return check_life(connection, told, Witnesses(log, settings))


def told_of(database: Database, record_id: UUID) -> Life:
    found = life(database, record_id)
    assert found is not None
    return found


def test_everything_holds_up_to_the_centres_checkpoint(
    database: Database, sender: ConsentSender, log: CentralLog
) -> None:
    log.open()
    record = sender.whole(CALM)
    sender.ship()
    before = checked(database, log, told_of(database, record.record_id))
    assert (before.edge, before.folded, before.holds, before.wrong) == (
        *(Proof.HOLDS, Proof.WAITING, False, False),
    )
    log.checkpoint()
    found = checked(database, log, told_of(database, record.record_id))
    assert (found.holds, found.wrong, found.witnessed, found.cosigned) == (True, False, False, ())
    order = consent_before_first_frame(found)
    assert order.verdict is FirstFrame.PROVEN
    assert order.given is not None
    assert order.started == order.given + 1
    ((notice_id, version, language, sha256),) = notices_in(found)
    rendered = render_again(notice_id, version, language, sha256)
    assert rendered.purposes == record.purposes
    assert render_again(notice_id, version, language, "0" * 64).purposes is None
    assert render_again(notice_id, "0.1", language, sha256).notice is None


def test_witnessed_is_what_a_cosignature_that_holds_makes_it(
    database: Database, sender: ConsentSender, log: CentralLog
) -> None:
    log.open()
    record = sender.whole(CALM)
    sender.ship()
    note = log.checkpoint()
    tree = peek(note)
    outside = CosignatureSigner(
        "oversight.example/w1", Ed25519PrivateKey.generate(), now_s=lambda: 1_790_000_000
    )
    stranger = CosignatureSigner(outside.name, Ed25519PrivateKey.generate())
    known = WitnessSettings(url="http://127.0.0.1:1", vkey=outside.vkey())
    told = told_of(database, record.record_id)
    assert not checked(database, log, told, known).witnessed

    def keep(line: str) -> None:
        with database.transaction() as connection:
            connection.execute("DELETE FROM cosignatures")
            connection.execute(
                "INSERT INTO cosignatures (size, witness, line, cosigned_at) VALUES (%s, %s, %s, now())",
                (tree.size, outside.name, line),
            )

    keep(stranger.line(tree.body()))
    assert not checked(database, log, told, known).witnessed, "a row says so, and no signature does"
    keep(outside.line(tree.body()))
    found = checked(database, log, told, known)
    assert found.holds
    assert found.witnessed
    assert found.cosigned == ((outside.name, datetime.fromtimestamp(1_790_000_000, UTC)),)
    assert not checked(database, log, told).witnessed, "a witness nobody named counts for nothing"


def test_each_forgery_is_seen_where_it_is(database: Database, sender: ConsentSender, log: CentralLog) -> None:
    log.open()
    record = sender.whole(CALM)
    sender.whole(CALM)
    sender.ship()
    log.checkpoint()
    told = told_of(database, record.record_id)
    assert told.anchor is not None
    anchor = told.anchor
    given = next(item for item in told.entries if item.kind == "given")
    place = told.entries.index(given)

    def with_entry(**changed: object) -> Life:
        entries = list(told.entries)
        entries[place] = replace(given, **changed)  # type: ignore[arg-type]  # named as LifeEntry names them
        return replace(told, entries=tuple(entries))

    forged: dict[str, tuple[Life, Proof]] = {
        "body": (with_entry(body=given.body.replace(b'"given"', b'"refus"', 1)), Proof.CHANGED),
        "kind": (with_entry(kind="refused"), Proof.CHANGED),
        "hash": (with_entry(leaf_hash=bytes(32)), Proof.CHANGED),
        "index": (with_entry(index=given.index + 1), Proof.REFUSED),
        "proof": (with_entry(proof=(bytes(32), *given.proof[1:])), Proof.REFUSED),
    }
    for name, (life_, proof) in forged.items():
        found = checked(database, log, life_)
        assert found.entries[place].proof is proof, name
        assert (found.wrong, found.holds) == (True, False), name
        assert consent_before_first_frame(found).verdict is not FirstFrame.PROVEN, name
    other = replace(anchor, edge_note=anchor.edge_note.replace(b"\n", b"\nx", 1))
    assert checked(database, log, replace(told, anchor=other)).edge is Proof.REFUSED
    shorter = replace(anchor, edge_size=anchor.edge_size - 1)
    assert checked(database, log, replace(told, anchor=shorter)).edge is Proof.REFUSED
    for changed in (
        replace(anchor, index=anchor.index - 1),
        replace(anchor, leaf=anchor.leaf.replace(b'"size"', b'"sixe"')),
        replace(anchor, note=anchor.note.replace(b"hailong", b"hailonk", 1)),
    ):
        assert checked(database, log, replace(told, anchor=changed)).folded is Proof.REFUSED
    nothing = checked(database, log, replace(told, anchor=None))
    assert (nothing.edge, {item.proof for item in nothing.entries}) == (Proof.WAITING, {Proof.WAITING})


def test_devices_before_the_consent_are_a_violation(
    database: Database, sender: ConsentSender, log: CentralLog
) -> None:
    log.open()
    record, refused = sender.whole(CALM), sender.offer(CALM)
    sender.answer(refused, ())
    sender.ship()
    log.checkpoint()
    found = checked(database, log, told_of(database, record.record_id))
    late = [item for item in found.entries if item.entry.kind != "given"]
    assert consent_before_first_frame(replace(found, entries=tuple(late))).verdict is FirstFrame.VIOLATED
    swapped = [
        replace(item, entry=replace(item.entry, index=99)) if item.entry.kind == "given" else item
        for item in found.entries
    ]
    assert consent_before_first_frame(replace(found, entries=tuple(swapped))).verdict is FirstFrame.VIOLATED
    never = checked(database, log, told_of(database, refused.record_id))
    assert consent_before_first_frame(never).verdict is FirstFrame.NO_CAPTURE


def test_processed_time_is_held_against_each_purpose_of_the_consent(
    database: Database, sender: ConsentSender
) -> None:
    record = sender.offer(BUSY, purposes=BOTH)
    sender.answer(record, (Purpose.IMAGE,))
    sender.serve(record, (Purpose.IMAGE,), seconds=30, longer_ms=TOLERANCE_MS)
    sender.ship()
    row = find(database, record.record_id)
    assert row is not None
    assert (row.consented_ms, row.processed_image_ms, row.processed_voice_ms) == (30_000, 31_000, 0)

    def verdict(**changed: object) -> Length:
        return processed_within_consent(replace(row, **changed), NOW)  # type: ignore[arg-type]  # as Consent names them

    assert verdict() is Length.WITHIN
    assert verdict(processed_image_ms=31_001) is Length.MORE
    assert verdict(processed_voice_ms=1) is Length.MORE, "the voice was refused"
    assert verdict(voice="given", processed_voice_ms=31_000) is Length.WITHIN
    assert verdict(consented_ms=None) is Length.MORE
    assert verdict(session_ended_at=None) is Length.LOST
    assert verdict(session_ended_at=None, session_started_at=NOW) is Length.RUNNING
    assert verdict(session_ended_at=None, session_started_at=None) is Length.NO_CAPTURE
