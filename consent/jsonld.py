"""One consent as JSON-LD: terms of W3C DPV 2.3, our own where it has none, checked by SHACL.

The context is part of the document, so a reader fetches nothing, and neither do we. Addresses
of vocabularies are names. DPV has no term for a consent that ended with its transaction:
`vn:ConsentCompleted` is ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Final

from consent.errors import ExportRefused
from consent.export import ErasureBlock, ProvenEvent, ProvenRead, RecordDocument, SessionBlock
from consent.purpose import Purpose
from consent.record import Answer
from consent.state import State

STATUS: Final[Mapping[State, str]] = MappingProxyType(
    {
        State.OFFERED: "dpv:ConsentRequested",
        State.GIVEN: "dpv:ConsentGiven",
        State.REFUSED: "dpv:ConsentRefused",
        State.DEFERRED: "dpv:ConsentRequestDeferred",
        State.WITHDRAWN: "dpv:ConsentWithdrawn",
        State.EXPIRED: "dpv:ConsentExpired",
        State.COMPLETED: "vn:ConsentCompleted",
        State.REVOKED: "dpv:ConsentRevoked",
        State.INVALIDATED: "dpv:ConsentInvalidated",
    }
)
"""State of the machine -> status of the vocabulary."""

_ANSWERS: Final[Mapping[Answer, str]] = MappingProxyType(
    {
        Answer.OPEN: "dpv:ConsentRequested",
        Answer.GIVEN: "dpv:ConsentGiven",
        Answer.REFUSED: "dpv:ConsentRefused",
    }
)


def can_check() -> bool:
    """Tell whether the program that applies the shapes is installed."""
    return find_spec("pyshacl") is not None


def vocabulary(name: str) -> str:
    """Return a file of the vocabulary: `context.jsonld`, `shapes.ttl`, `vn-pdpl.ttl`."""
    return resources.files("consent").joinpath("vocabulary", name).read_text("utf-8")


def linked(document: RecordDocument) -> dict[str, Any]:
    """Return the document as JSON-LD."""
    record, terms, evidence = document.record, document.terms, document.evidence
    fields: dict[str, Any] = {
        "@context": json.loads(vocabulary("context.jsonld"))["@context"],
        "id": record.record_id.urn,
        "type": "dpv:ConsentRecord",
        "schemaVersion": record.schema_version,
        "receipt": record.receipt_id.urn,
        "session": record.session_id.urn,
        "counter": record.counter,
        "deviceKey": record.device_key_id,
        "subject": _present({"type": "dpv:DataSubject", "pseudonym": record.subject_pseudonym}),
        "status": STATUS[document.state],
        "offeredAt": record.offered_at.isoformat(),
        "shownAt": None if record.shown_at is None else record.shown_at.isoformat(),
        "decidedAt": None if record.decided_at is None else record.decided_at.isoformat(),
        "dwellMs": record.dwell_ms,
        "oneTransaction": record.one_transaction,
        "duration": f"PT{record.validity_s}S",
        "notice": [
            {
                "type": "dpv:ConsentNotice",
                "identifier": record.notice.notice_id,
                "version": record.notice.version,
                "sha256": record.notice.sha256,
                "language": record.notice.language,
                "channel": record.notice.channel.value,
            },
            {"type": "dpv:RightNotice", "description": dict(terms.rights_notice)},
        ],
        "process": [_process(document, index) for index in range(len(record.decisions))],
        "processing": [f"vn:{code}" for code in terms.processing],
        "oversight": {
            "type": "dpv:HumanInvolvementForOversight",
            "description": dict(terms.human_oversight),
        },
        "legalBasis": [
            {"type": "dpv:ExplicitlyExpressedConsent", "law": basis.law, "description": dict(basis.words)}
            for basis in terms.legal_basis
        ],
        "controller": {
            "type": "dpv:DataController",
            "name": record.parties.controller,
            "contact": record.parties.contact,
        },
        "processor": None
        if record.parties.processor is None
        else {"type": "dpv:DataProcessor", "name": record.parties.processor},
        "authority": {"type": "dpv:DataProtectionAuthority", "description": dict(terms.authority)},
        "recipient": [{"type": "dpv:Recipient", "description": dict(words)} for words in terms.recipients],
        "storage": [
            {"type": "dpv:StorageLocation", "description": dict(terms.storage_place)},
            *(
                {"type": "dpv:StorageDuration", "category": item.category, "retentionDays": item.days}
                for item in terms.retention
            ),
        ],
        "right": [f"vn:right-{code}" for code in terms.rights],
        "control": [{"type": "dpv:WithdrawConsent", "method": code} for code in terms.withdrawal_methods],
        "terms": {
            "type": "vn:Terms",
            "identifier": record.terms.terms_id,
            "version": record.terms.version,
            "sha256": record.terms.sha256,
        },
        "event": [_event(item) for item in document.events],
        "quotesRead": [_read(item) for item in document.reads] or None,
        "capture": None if document.session is None else _capture(document.session),
        "erasure": None if document.erasure is None else _erasure(document.erasure),
        "evidence": _present(
            {
                "type": "vn:Evidence",
                "origin": evidence.origin,
                "treeSize": evidence.size,
                "treeRoot": evidence.root.hex(),
                "checkpoint": None if evidence.checkpoint is None else evidence.checkpoint.decode(),
                "proven": [
                    {
                        "type": "vn:ProvenEntry",
                        "logIndex": item.index,
                        "leaf": item.leaf.decode(),
                        "leafHash": item.leaf_hash.hex(),
                        "inclusionProof": [value.hex() for value in item.proof],
                    }
                    for item in evidence.entries
                ],
            }
        ),
    }
    return _present(fields)


def check(linked_document: Mapping[str, Any]) -> None:
    """Apply the shapes to a document.

    Raises:
        ExportRefused: It lacks something, with the places; or pyshacl is not installed.
    """
    if not can_check():
        raise ExportRefused("pyshacl is not installed: install hailong[audit] to check exports")
    # Late: reading RDF costs a second that only exports should pay.
    import pyshacl  # noqa: PLC0415 - see above
    from rdflib import RDF, Graph, URIRef  # noqa: PLC0415 - see above

    data = Graph().parse(data=json.dumps(linked_document), format="json-ld")
    records = list(data.subjects(RDF.type, URIRef("https://w3id.org/dpv#ConsentRecord")))
    for triple in _graph("vn-pdpl.ttl"):  # our own terms name their classes
        data.add(triple)
    conforms, _, report = pyshacl.validate(data, shacl_graph=_graph("shapes.ttl"), inference="none")
    if not conforms or len(records) != 1:
        raise ExportRefused(
            f"the document is no complete consent record and was not written.\n{report}\n"
            "Tell the privacy officer; the log itself is untouched."
        )


def encoded(document: RecordDocument) -> bytes:
    """Return the JSON-LD as bytes, checked where pyshacl is installed.

    Raises:
        ExportRefused: It does not keep the shapes.
    """
    made = linked(document)
    if can_check():
        check(made)
    return (json.dumps(made, ensure_ascii=False, indent=1) + "\n").encode()


@cache
def _graph(name: str) -> Any:  # noqa: ANN401 - rdflib is imported late
    from rdflib import Graph  # noqa: PLC0415 - as above

    return Graph().parse(data=vocabulary(name), format="turtle")


def _process(document: RecordDocument, index: int) -> dict[str, Any]:
    record = document.record
    decision, category = record.decisions[index], record.categories[index]
    answer = _ANSWERS[decision.answer]
    if document.state is State.DEFERRED:
        answer = "dpv:ConsentRequestDeferred"
    return {
        "type": "dpv:Process",
        "purpose": _purpose(document, decision.purpose),
        "status": answer,
        "personalData": {
            "type": "dpv:SensitivePersonalData" if category.sensitive else "dpv:PersonalData",
            "category": category.code,
            "sentenceShown": category.sentence,
        },
    }


def _purpose(document: RecordDocument, purpose: Purpose) -> dict[str, Any]:
    words = document.terms.purposes[purpose]
    return {"id": f"vn:purpose-{purpose}", "type": "dpv:Purpose", "description": dict(words)}


def _event(item: ProvenEvent) -> dict[str, Any]:
    event = item.event
    state = event.state
    return _present(
        {
            "type": "vn:ConsentEvent",
            "logIndex": item.entry.index,
            "leafHash": item.entry.leaf_hash.hex(),
            "status": None if state is None else STATUS[state],
            "fact": event.kind.value if state is None else None,
            "indicatedAt": event.at.isoformat(),
            "indicatedBy": f"vn:by-{event.indicated_by}",
            "indicationMethod": event.method,
        }
    )


def _read(item: ProvenRead) -> dict[str, Any]:
    return {
        "type": "vn:QuotesRead",
        "logIndex": item.entry.index,
        "leafHash": item.entry.leaf_hash.hex(),
        "readAt": item.read.at.isoformat(),
        "reader": item.read.reader,
        "reason": item.read.purpose.value,
        "ticket": item.read.ticket,
    }


def _capture(block: SessionBlock) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": "vn:Capture", "startedAt": block.started.at.isoformat()}
    if block.ended is not None:
        fields |= {
            "endedAt": block.ended.at.isoformat(),
            "processedImageMs": block.ended.processed_ms.image,
            "processedVoiceMs": block.ended.processed_ms.voice,
            "consentedMs": block.ended.consented_ms,
            "outcome": block.ended.outcome.value,
        }
    return fields


def _erasure(block: ErasureBlock) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "type": "vn:Erasure",
        "cause": block.begun.cause,
        "startedAt": block.begun.at.isoformat(),
    }
    if block.certificate is not None:
        fields |= {
            "endedAt": block.certificate.done_at.isoformat(),
            "store": [
                {
                    "type": "vn:StoreStatus",
                    "identifier": status.name,
                    "removed": status.removed,
                    "endedAt": status.done_at.isoformat(),
                }
                for status in block.certificate.stores
            ],
            "destructionReceipt": block.certificate.destruction.note().decode(),
        }
    return fields


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
