"""Slots of sessions, notes of erasures, and the evidence of a consent."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.checkpoint import Ed25519Signer, verifier
from consent.entry import (
    KINDS,
    CaptureGap,
    EntryKind,
    Genesis,
    KeyIntroduced,
    KeyRetired,
    MaintenanceEnd,
    MaintenanceEnded,
    MaintenanceStarted,
    Outcome,
    Processed,
    QuotesRead,
    ReadPurpose,
    RetentionRun,
    RetentionStep,
    SessionEnded,
    SessionStarted,
    SessionSummary,
    _plain,
    body_of,
    body_of_note,
    parse_as,
    parse_entry,
)
from consent.erasure import Begun
from consent.errors import EntryRefused, ProofRefused, TransitionRefused, UnknownRecord
from consent.event import Event, EventKind
from consent.ledger import ConsentStore
from consent.life import Slot
from consent.merkle import leaf_hash
from consent.purpose import Purpose
from consent.record import IndicatedBy
from consent.signed_note import SignatureLine
from consent.state import State
from tests.consent.citizens import citizen

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from tests.consent.citizens import Clocks

NOW = datetime(2026, 11, 22, 4, tzinfo=UTC)
DIGEST = "ab" * 32
SUMMARY = SessionSummary(
    processed_ms=Processed(image=59_000, voice=58_000),
    units=1234,
    gaps=1,
    gap_ms=800,
    outcome=Outcome.SIGNAL,
    commitment=DIGEST,
)


def answered(store: ConsentStore, *, image: bool = True) -> UUID:
    record = citizen()
    store.offer(record)
    choices = {Purpose.IMAGE: image, Purpose.VOICE: False}
    store.decide(record.record_id, choices, "citizen", "kiosk-touch")
    return record.record_id


def kinds(store: ConsentStore, record_id: UUID) -> list[str]:
    return [entry.kind for entry in store.log.of_record(record_id)]


def test_a_session_is_a_slot_from_its_start(store: ConsentStore, clocks: Clocks) -> None:
    record_id = answered(store)
    assert store.slot(record_id) == Slot()
    store.session_started(record_id)
    assert store.unended() == (record_id,)
    clocks.advance(30)
    store.gap(record_id, losses=1, gap_ms=800)
    clocks.advance(30)
    store.complete(record_id, SUMMARY)
    slot = store.slot(record_id)
    assert slot.started is not None
    assert slot.started.purposes == (Purpose.IMAGE,)
    assert [(gap.losses, gap.gap_ms) for gap in slot.gaps] == [(1, 800)]
    assert slot.ended is not None
    assert (slot.ended.processed_ms.image, slot.ended.consented_ms) == (59_000, 60_000)
    assert (slot.ended.outcome, slot.ended.commitment) == (Outcome.SIGNAL, DIGEST)
    assert (store.state(record_id), store.unended()) == (State.COMPLETED, ())
    assert kinds(store, record_id) == [
        "offered",
        "given",
        "session-started",
        "capture-gap",
        "completed",
        "session-ended",
    ]
    assert store.verify().ok


def test_the_consented_time_ends_with_the_consent(store: ConsentStore, clocks: Clocks) -> None:
    record_id = answered(store)
    store.session_started(record_id)
    clocks.advance(12.5)
    store.apply(record_id, State.WITHDRAWN, "citizen", "kiosk-touch")
    clocks.advance(100)
    store.session_ended(record_id, SessionSummary(outcome=Outcome.WITHDRAWN))
    ended = store.slot(record_id).ended
    assert ended is not None
    assert (ended.consented_ms, ended.commitment) == (12_500, None)


def test_a_slot_opens_once_and_only_while_the_consent_is_given(store: ConsentStore) -> None:
    refused, given_one, withdrawn = answered(store, image=False), answered(store), answered(store)
    store.apply(withdrawn, State.WITHDRAWN, "citizen", "kiosk-touch")
    for record_id in (refused, withdrawn):
        with pytest.raises(TransitionRefused, match="only for a consent that is given"):
            store.session_started(record_id)
    with pytest.raises(TransitionRefused, match="between the start and the end"):
        store.gap(given_one, losses=1, gap_ms=1)
    with pytest.raises(TransitionRefused, match="between the start and the end"):
        store.session_ended(given_one, SUMMARY)
    store.session_started(given_one)
    with pytest.raises(TransitionRefused, match="opens once"):
        store.session_started(given_one)
    with pytest.raises(UnknownRecord):
        store.session_started(uuid4())
    assert store.log.size == 1 + 6 + 1 + 1


def test_completing_writes_both_entries_or_neither(store: ConsentStore) -> None:
    record_id = answered(store)
    with pytest.raises(TransitionRefused, match="between the start and the end"):
        store.complete(record_id, SUMMARY)  # no slot: the completion must not stand alone
    assert store.state(record_id) is State.GIVEN
    assert store.permitted(record_id) == frozenset(), "what was told to stop stays stopped"
    other = answered(store)
    store.session_started(other)
    store.apply(other, State.WITHDRAWN, "citizen", "kiosk-touch")
    with pytest.raises(TransitionRefused):
        store.complete(other, SUMMARY)
    assert store.slot(other).ended is None


def test_a_start_after_a_crash_invents_no_end(store: ConsentStore, log_path: Path, clocks: Clocks) -> None:
    lost, done = answered(store), answered(store)
    for record_id in (lost, done):
        store.session_started(record_id)
    store.complete(done, SUMMARY)
    with ConsentStore(log_path, now=clocks.now, monotonic_ns=clocks.monotonic_ns) as after:
        assert after.recover() == (lost,)
        assert after.state(lost) is State.EXPIRED
        assert after.slot(lost).ended is None
        assert after.unended() == (lost,)
        assert after.verify().ok


def test_erasures_and_retention_are_notes(store: ConsentStore) -> None:
    record_id = answered(store)
    begun = Begun(record_id, "withdrawn", NOW, ("outbox", "session-key"))
    logged = store.note(EntryKind.ERASURE_STARTED, begun.document())
    assert store.log.entry(logged.index).entry() == begun
    assert store.log.entry(logged.index).record_id == record_id
    store.note(EntryKind.RETENTION_RUN, {"at": NOW.isoformat().replace("+00:00", "Z"), "steps": []})
    assert kinds(store, record_id)[-1] == "erasure-started"
    assert store.state(record_id) is State.GIVEN, "a note is no step of the consent"
    assert store.verify().ok
    for kind in ("given", "session-ended", "key-introduced", "genesis", "rumour"):
        with pytest.raises(EntryRefused, match="not written as a note"):
            store.note(kind, {})
    with pytest.raises(EntryRefused):
        store.note(EntryKind.ERASURE_STARTED, {**begun.document(), "face": "no such field"})


@pytest.mark.parametrize(
    "change",
    [{"decisions": ()}, {"indicated_by": IndicatedBy.SYSTEM}, {"kind": EventKind.REFUSED}],
)
def test_the_check_finds_an_answer_that_no_citizen_gave(
    store: ConsentStore, change: dict[str, object]
) -> None:
    answered(store)
    yes = store.events()[-1].event
    record = citizen()
    store.offer(record)
    assert store.verify().ok
    forged = replace(yes, record_id=record.record_id, session_id=record.session_id, **change)  # type: ignore[arg-type] # fields of an event
    store.log.append(
        forged.kind, forged.canonical(), record_id=record.record_id, session_id=record.session_id
    )
    found = store.verify()
    assert not found.ok
    assert found.broken_index == store.log.size - 1


def test_listeners_of_consents_hear_no_slots_and_those_of_the_log_hear_all(store: ConsentStore) -> None:
    consents: list[str] = []
    everything: list[str] = []
    store.subscribe(lambda logged: consents.append(logged.event.kind.value))
    store.log.subscribe(lambda entry: everything.append(entry.kind))
    record_id = answered(store)
    store.session_started(record_id)
    store.complete(record_id, SUMMARY)
    assert consents == ["offered", "given", "completed"]
    assert everything == ["offered", "given", "session-started", "completed", "session-ended"]


def test_evidence_proves_every_entry_of_a_consent(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    with ConsentStore(
        tmp_path / "consent.sqlite", signers=lambda origin: (Ed25519Signer(origin, key),)
    ) as store:
        for _ in range(3):
            answered(store)
        record_id = answered(store)
        store.session_started(record_id)
        store.complete(record_id, SUMMARY)
        evidence = store.evidence(record_id)
        evidence.check()
        assert [item.kind for item in evidence.entries] == kinds(store, record_id)
        assert evidence.checkpoint == store.log.checkpoint()
        document: dict[str, Any] = json.loads(evidence.canonical())
        for item in document["entries"]:
            assert leaf_hash(item["leaf"].encode()).hex() == item["leaf_hash"]
        bent = replace(
            evidence,
            entries=(replace(evidence.entries[0], leaf=evidence.entries[1].leaf), *evidence.entries[1:]),
        )
        with pytest.raises(ProofRefused):
            bent.check()
        with pytest.raises(UnknownRecord):
            store.evidence(uuid4())


# -- entries ----------------------------------------------------------------------------------------


def _vkey(name: str = "hailong/edge/x") -> str:
    return Ed25519Signer(name, Ed25519PrivateKey.from_private_bytes(bytes(32))).vkey()


RECORD, SESSION = uuid4(), uuid4()
EXAMPLES = [
    Genesis(log=uuid4()),
    SessionStarted(RECORD, SESSION, "quay-1", NOW, purposes=(Purpose.IMAGE, Purpose.VOICE)),
    SessionEnded(
        RECORD,
        SESSION,
        "quay-1",
        NOW,
        processed_ms=Processed(1, 2),
        consented_ms=3,
        units=4,
        gaps=5,
        gap_ms=6,
        outcome=Outcome.ABSTAINED,
    ),
    CaptureGap(RECORD, SESSION, "quay-1", NOW, losses=1, gap_ms=2),
    KeyIntroduced(at=NOW, log=uuid4(), vkey=_vkey(), from_size=7),
    KeyRetired(at=NOW, vkey=_vkey(), until_size=7),
    RetentionRun(at=NOW, steps=(RetentionStep("signal", 30, 12),)),
    MaintenanceStarted(uuid4(), "quay-1", "nv-07", NOW, limit_s=900),
    MaintenanceEnded(uuid4(), "quay-1", "nv-07", NOW, MaintenanceEnd.TIME, frames=13),
    QuotesRead(RECORD, NOW, "dpo-1", ReadPurpose.COMPLAINT, "YC-2026/0142", quotes=3),
]


@pytest.mark.parametrize("entry", EXAMPLES, ids=lambda entry: entry.kind)
def test_every_entry_reads_back_from_its_canonical_bytes(entry: Any) -> None:
    body = body_of(entry)
    assert parse_entry(body) == entry
    assert rfc8785.dumps(json.loads(body)) == body
    for change in ({"face": 1}, {"schema_version": 2}, {"at": "yesterday", "log": "none"}):
        with pytest.raises(EntryRefused):
            parse_entry(rfc8785.dumps(json.loads(body) | change))
    with pytest.raises(EntryRefused, match="canonical"):
        parse_entry(body.replace(b",", b", ", 1))
    with pytest.raises(EntryRefused):
        parse_as("retention-run" if entry.kind != "retention-run" else "genesis", body)


def test_the_kinds_of_the_contract_exist() -> None:
    assert {kind.value for kind in EventKind} | {
        "genesis",
        "session-started",
        "session-ended",
        "capture-gap",
        "erasure-started",
        "erasure-done",
        "key-introduced",
        "key-retired",
        "retention-run",
        "maintenance-started",
        "maintenance-ended",
        "quotes-read",
    } == KINDS


@settings(max_examples=40, deadline=None)
@given(
    document=st.dictionaries(
        st.text("abcdefghij_", min_size=1, max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
            lambda part: (
                st.lists(part, max_size=3) | st.dictionaries(st.text("xyz", max_size=3), part, max_size=3)
            ),
            max_leaves=6,
        ),
    )
)
def test_the_quick_canonical_form_is_rfc_8785(document: dict[str, Any]) -> None:
    try:
        expected = rfc8785.dumps(document)
    except rfc8785.CanonicalizationError:
        return  # lone surrogates: refused by both
    assert _plain(document) == expected


def test_an_event_of_another_spelling_is_refused(store: ConsentStore) -> None:
    record_id = answered(store)
    body = store.log.of_record(record_id)[1].body
    assert isinstance(parse_entry(body), Event)
    for other in (body + b" ", body.replace(b'"schema_version":1', b'"schema_version":1.0')):
        with pytest.raises(EntryRefused, match="canonical"):
            parse_entry(other)
    with pytest.raises(EntryRefused):
        body_of_note("given", {})


def test_an_endorsement_names_log_key_and_size() -> None:
    signer = Ed25519Signer("hailong/edge/x", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    entry = KeyIntroduced(at=NOW, log=uuid4(), vkey=_vkey(), from_size=7)
    line = signer.line(entry.endorsed()).rstrip("\n")
    endorsed = replace(entry, endorsement=line)
    assert parse_entry(body_of(endorsed)) == endorsed
    check = verifier(signer.vkey())
    signature = SignatureLine.parse(line).signature
    check.check(endorsed.endorsed(), signature)
    for other in (replace(entry, from_size=8), replace(entry, log=uuid4())):
        with pytest.raises(Exception, match="does not hold"):
            check.check(other.endorsed(), signature)
