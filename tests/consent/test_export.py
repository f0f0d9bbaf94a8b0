"""The document of one consent: complete, proven, and the same bytes each time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from consent import merkle
from consent.checkpoint import open_note, verifier
from consent.errors import ExportRefused, NoticeError, ProofRefused, UnknownRecord
from consent.export import read_evidence, record_document
from consent.notice import NoticeShelf
from consent.purpose import Purpose
from consent.record import IndicatedBy, new_id
from consent.state import State
from tests.consent.citizens import BOTH, Clocks, citizen
from tests.consent.lives import lived, open_store, signers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def withdrawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    clocks = Clocks()
    with open_store(tmp_path_factory.mktemp("log") / "consent.sqlite", clocks) as store:
        record_id = lived(store, clocks, State.WITHDRAWN, pseudonym="ab" * 32)
        return record_document(store.evidence(record_id)).plain()


@pytest.mark.parametrize("end", State)
def test_each_end_of_a_consent_has_its_whole_document(log_path: Path, clocks: Clocks, end: State) -> None:
    with open_store(log_path, clocks) as store:
        evidence = store.evidence(lived(store, clocks, end, pseudonym="ab" * 32))
    document = record_document(evidence)
    plain = document.plain()
    assert (document.state, plain["state"]) == (end, end.value)
    assert json.loads(document.canonical()) == plain
    assert plain["record"]["subject_pseudonym"] == "ab" * 32
    assert plain["terms"]["version"] == plain["record"]["terms"]["version"]
    assert [item["index"] for item in plain["events"]] == [item.entry.index for item in document.events]
    captured = end not in {State.OFFERED, State.REFUSED, State.DEFERRED}
    assert (plain["session"] is not None) is captured
    assert (plain["erasure"] is not None) is (end is State.WITHDRAWN)


SPECIFIED = (
    "record.schema_version record.record_id record.receipt_id record.subject_pseudonym record.session_id "
    "record.counter record.device_key_id record.notice.notice_id record.notice.version record.notice.sha256 "
    "record.notice.language record.notice.channel record.shown_at record.decided_at record.dwell_ms "
    "record.decisions.0.purpose record.decisions.0.answer record.categories.0.code "
    "record.categories.0.sensitive record.categories.0.sentence terms.legal_basis.0.law "
    "terms.legal_basis.0.words.vi terms.processing.0 terms.human_oversight.vi record.parties.controller "
    "record.parties.contact terms.authority.vi terms.recipients.0.vi terms.storage_place.vi "
    "terms.retention.0.category terms.retention.0.days record.one_transaction record.validity_s "
    "terms.withdrawal_methods.0 terms.rights.0 terms.rights_notice.vi events.0.kind events.0.at "
    "events.0.indicated_by events.0.method evidence.checkpoint evidence.entries.0.index "
    "evidence.entries.0.proof erasure.begun.cause erasure.certificate.destruction.signature"
)
"""Each item of the list of record fields in the specification, in its order."""


@pytest.mark.parametrize("path", SPECIFIED.split())
def test_each_field_of_the_specification_has_its_place(withdrawn: dict[str, Any], path: str) -> None:
    place: Any = withdrawn
    for step in path.split("."):
        place = place[int(step)] if step.isdigit() else place[step]
    assert place is not None or path == "record.device_key_id", "an edge that is not enrolled has no key yet"


def test_a_withdrawn_consent_shows_what_was_erased(log_path: Path, clocks: Clocks) -> None:
    with open_store(log_path, clocks) as store:
        plain = record_document(store.evidence(lived(store, clocks, State.WITHDRAWN))).plain()
    certificate = plain["erasure"]["certificate"]
    assert [(item["name"], item["removed"]) for item in certificate["stores"]] == [
        ("outbox", 1),
        ("buffers", 0),
        ("session-key", 1),
    ]
    assert plain["session"]["ended"]["processed_ms"] == {"image": 119_000, "voice": 0}
    assert plain["session"]["ended"]["consented_ms"] == 120_000
    assert plain["session"]["gaps"][0]["gap_ms"] == 800
    assert [item["kind"] for item in plain["evidence"]["entries"]] == [
        "offered",
        "shown",
        "given",
        "session-started",
        "capture-gap",
        "withdrawn",
        "session-ended",
        "erasure-started",
        "erasure-done",
    ]


def test_a_reader_checks_the_document_with_nothing_but_itself(log_path: Path, clocks: Clocks) -> None:
    with open_store(log_path, clocks) as store:
        plain = record_document(store.evidence(lived(store, clocks, State.COMPLETED))).plain()
        (signer,) = signers(store.log.origin)
    evidence = plain["evidence"]
    note = open_note(evidence["checkpoint"].encode(), [verifier(signer.vkey())])
    for entry in evidence["entries"]:
        merkle.check_inclusion(
            merkle.leaf_hash(entry["leaf"].encode()),
            entry["index"],
            note.checkpoint.size,
            [bytes.fromhex(value) for value in entry["proof"]],
            note.checkpoint.root,
        )


def test_the_file_of_the_log_gives_the_same_document_without_a_key(log_path: Path, clocks: Clocks) -> None:
    with open_store(log_path, clocks) as store:
        record_id = lived(store, clocks, State.COMPLETED)
        expected = record_document(store.evidence(record_id)).canonical()
    before = log_path.read_bytes()
    document = record_document(read_evidence(log_path, record_id))
    assert document.canonical() == expected
    assert document.evidence.checkpoint is not None
    assert log_path.read_bytes() == before
    with pytest.raises(UnknownRecord, match="consent list"):
        read_evidence(log_path, new_id())


def test_a_changed_leaf_makes_no_document(log_path: Path, clocks: Clocks) -> None:
    with open_store(log_path, clocks) as store:
        evidence = store.evidence(lived(store, clocks, State.COMPLETED))
    first, *rest = evidence.entries
    forged = replace(first, leaf=first.leaf.replace(b"quay-1", b"quay-2"))
    assert forged.leaf != first.leaf
    with pytest.raises(ProofRefused):
        record_document(replace(evidence, entries=(forged, *rest)))


def test_a_leaf_of_another_citizen_makes_no_document(log_path: Path, clocks: Clocks) -> None:
    with open_store(log_path, clocks) as store:
        one, other = (lived(store, clocks, State.REFUSED) for _ in range(2))
        evidence = store.evidence(one)
        stray = store.evidence(other).entries[-1]
    with pytest.raises(ExportRefused, match="not of the consent"):
        record_document(replace(evidence, entries=(*evidence.entries, stray)))


def test_the_sentences_are_those_of_the_language_that_was_answered(log_path: Path, clocks: Clocks) -> None:
    record = citizen()
    english = NoticeShelf.load().current("en")
    with open_store(log_path, clocks) as store:
        store.offer(record)
        store.show(record.record_id, record.notice)
        store.show(record.record_id, english.reference(BOTH))
        choices = dict.fromkeys(BOTH, False)
        store.decide(
            record.record_id,
            choices,
            IndicatedBy.CITIZEN,
            "kiosk-touch",
            dwell_ms=4000,
            notice=english.reference(BOTH),
        )
        document = record_document(store.evidence(record.record_id))
    assert document.record.notice.language == "en"
    assert [item.sentence for item in document.record.categories] == [
        english.choices[purpose].sentence for purpose in (Purpose.IMAGE, Purpose.VOICE)
    ]


def test_terms_or_notices_that_changed_make_no_document(
    log_path: Path, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(log_path, clocks) as store:
        evidence = store.evidence(lived(store, clocks, State.REFUSED))
    vietnamese = NoticeShelf.load().current("vi")
    edited = NoticeShelf([replace(vietnamese, question="Anh/chị đồng ý chứ?")])
    with pytest.raises(NoticeError, match="edited after it was published"):
        record_document(evidence, edited)
    monkeypatch.setattr("consent.terms._shipped", lambda: ())
    with pytest.raises(NoticeError, match="never removed"):
        record_document(evidence)
