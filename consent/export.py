"""One consent as one document: the record, its terms, what happened, the proof, what was erased.

The logged record is small and never changes. The document is what ISO/IEC TS 27560 calls the
whole record: header, processing, parties and events, with the evidence that the log holds each
of them and, after a withdrawal, the certificate of the erasure. The same log gives the same
bytes.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import rfc8785

from consent import merkle, storage
from consent.entry import CaptureGap, QuotesRead, SessionEnded, SessionStarted, parse_entry
from consent.erasure import Begun, ErasureCertificate
from consent.errors import ExportRefused, LedgerCorrupt, UnknownRecord
from consent.event import Event
from consent.evidence import Evidence, ProvenEntry
from consent.head import Head
from consent.life import fold
from consent.notice import NoticeShelf
from consent.record import ConsentRecord
from consent.state import State
from consent.stored import StoredNodes, log_id_of, origin_of, read_entries, size_of, tree_of
from consent.terms import Terms, find_terms

FORMAT: Final = "hailong consent document 1"


@dataclass(frozen=True, slots=True)
class ProvenEvent:
    """One event of the consent and its place in the log."""

    event: Event
    entry: ProvenEntry


@dataclass(frozen=True, slots=True)
class ProvenRead:
    """One reading of the kept quotes and its place in the log."""

    read: QuotesRead
    entry: ProvenEntry


@dataclass(frozen=True, slots=True)
class ErasureBlock:
    """An erasure that began; the certificate follows when every store has answered."""

    begun: Begun
    certificate: ErasureCertificate | None


@dataclass(frozen=True, slots=True)
class SessionBlock:
    """What was captured under the consent."""

    started: SessionStarted
    gaps: tuple[CaptureGap, ...]
    ended: SessionEnded | None


@dataclass(frozen=True, slots=True)
class RecordDocument:
    """Everything there is to say about one consent.

    Attributes:
        record: As offered, with the answers, times and notice of the decision laid over it.
        state: Where it stands.
        terms: The document whose hash the record names.
        events: In the order of the log.
        session: None where no device was opened.
        erasure: None where nothing asked for one.
        evidence: Every leaf with its proof under one checkpoint.
        reads: Who read the kept quotes, in the order of the log.
    """

    record: ConsentRecord
    state: State
    terms: Terms
    events: tuple[ProvenEvent, ...]
    session: SessionBlock | None
    erasure: ErasureBlock | None
    evidence: Evidence
    reads: tuple[ProvenRead, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return the document as JSON values; every leaf stands in it as it was hashed."""
        document = {
            "format": FORMAT,
            "state": self.state.value,
            "record": json.loads(self.record.canonical()),
            "terms": json.loads(self.terms.canonical()),
            "session": None if self.session is None else _session(self.session),
            "erasure": None if self.erasure is None else _erasure(self.erasure),
            "evidence": self.evidence.document(),
        }
        document["events"] = [
            {"index": item.entry.index, "leaf_hash": item.entry.leaf_hash.hex()}
            | _without_record(item.event.canonical())
            for item in self.events
        ]
        if self.reads:
            document["quotes_read"] = [
                {"index": item.entry.index, "leaf_hash": item.entry.leaf_hash.hex()}
                | _without_record(item.entry.leaf)
                for item in self.reads
            ]
        return document

    def canonical(self) -> bytes:
        """Return the document as RFC 8785 canonical JSON."""
        return rfc8785.dumps(self.plain())


def record_document(evidence: Evidence, notices: NoticeShelf | None = None) -> RecordDocument:
    """Put the document of one consent together from its leaves.

    Args:
        evidence: Every entry of the record; each proof is checked here.
        notices: The notices that were published here; those of this release when left out.

    Raises:
        ProofRefused: A proof does not hold.
        EntryRefused: A leaf is no entry of an edge's log.
        UnknownRecord: There is no offer among the leaves.
        NoticeError: The notice or the terms of the record are gone, or were edited.
        ExportRefused: A leaf is of another record.
    """
    evidence.check()
    events: list[ProvenEvent] = []
    started: SessionStarted | None = None
    ended: SessionEnded | None = None
    gaps: list[CaptureGap] = []
    reads: list[ProvenRead] = []
    begun: Begun | None = None
    certificate: ErasureCertificate | None = None
    for item in evidence.entries:
        entry = parse_entry(item.leaf)
        if getattr(entry, "record_id", None) != evidence.record_id:
            raise ExportRefused(
                f"entry {item.index} is not of the consent {evidence.record_id}: the index of the log is "
                "wrong. Run `hailong consent verify`."
            )
        if isinstance(entry, Event):
            events.append(ProvenEvent(entry, item))
        elif isinstance(entry, SessionStarted):
            started = entry
        elif isinstance(entry, CaptureGap):
            gaps.append(entry)
        elif isinstance(entry, SessionEnded):
            ended = entry
        elif isinstance(entry, QuotesRead):
            reads.append(ProvenRead(entry, item))
        elif isinstance(entry, Begun):
            begun = begun or entry
        elif isinstance(entry, ErasureCertificate):
            certificate = entry
    record, state = fold(evidence.record_id, [item.event for item in events])
    record = _as_answered(record, notices or NoticeShelf.load())
    return RecordDocument(
        record=record,
        state=state,
        terms=find_terms(record.terms),
        events=tuple(events),
        session=None if started is None else SessionBlock(started, tuple(gaps), ended),
        erasure=None if begun is None else ErasureBlock(begun, certificate),
        evidence=evidence,
        reads=tuple(reads),
    )


def _as_answered(record: ConsentRecord, notices: NoticeShelf) -> ConsentRecord:
    """Put in the sentences of the language that was answered; the offer holds those it began with."""
    shown = record.notice
    notices.check(shown, record.purposes)
    notice = notices.get(shown.notice_id, shown.version, shown.language)
    return replace(record, categories=notice.categories(record.purposes))


def read_evidence(path: Path, record_id: UUID) -> Evidence:
    """Return the evidence of a record from a log file, without writing to it and without a key.

    The entries are proven in the signed state that is kept beside the log; where that is older
    than the record's newest entry, or nothing signs the log, in its present and unsigned state.

    Raises:
        LedgerUnavailable: There is no such file, or it cannot be read.
        LedgerCorrupt: It is damaged, or the kept state is not one of this log.
        UnknownRecord: The log holds nothing of this record.
    """
    with storage.typed(path), closing(storage.connect_read_only(path)) as connection:
        storage.tables(connection, path)
        head = Head.read(path)
        with storage.snapshot(connection):
            log_id, nodes = log_id_of(connection), StoredNodes(connection)
            found = read_entries(connection, "record_id = ?", str(record_id))
            if not found:
                raise UnknownRecord(
                    f"the log holds no consent {record_id}. `hailong consent list` shows what there is."
                )
            signed = head is not None and b"\n\n" in head.data and head.checkpoint.size > found[-1].index
            size = head.checkpoint.size if signed and head is not None else size_of(connection)
            root = tree_of(connection, log_id, size).root
            entries = tuple(
                ProvenEntry(item.index, item.kind, item.body, merkle.inclusion_proof(item.index, size, nodes))
                for item in found
            )
    checkpoint = head.data if signed and head is not None else None
    if checkpoint is not None and head is not None and head.checkpoint.root != root:
        raise LedgerCorrupt(
            f"the state kept beside {path} is not one of this log: run `hailong consent verify`"
        )
    return Evidence(record_id, origin_of(log_id), size, root, checkpoint, entries)


def _session(block: SessionBlock) -> dict[str, Any]:
    ended = block.ended
    document: dict[str, Any] = {
        "started_at": block.started.at.isoformat(),
        "purposes": [purpose.value for purpose in block.started.purposes],
        "gaps": [
            {"at": gap.at.isoformat(), "losses": gap.losses, "gap_ms": gap.gap_ms} for gap in block.gaps
        ],
        "ended": None,
    }
    if ended is not None:
        document["ended"] = {
            "at": ended.at.isoformat(),
            "processed_ms": {"image": ended.processed_ms.image, "voice": ended.processed_ms.voice},
            "consented_ms": ended.consented_ms,
            "units": ended.units,
            "gaps": ended.gaps,
            "gap_ms": ended.gap_ms,
            "outcome": ended.outcome.value,
            "commitment": ended.commitment,
        }
    return document


def _erasure(block: ErasureBlock) -> dict[str, Any]:
    return {
        "begun": block.begun.document(),
        "certificate": None if block.certificate is None else block.certificate.document(),
    }


def _without_record(body: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(body)
    document.pop("record", None)  # stands above, once
    return document
