"""What a citizen may ask with the slip in hand: is it good, what became of it, who looked, take it back.

Nobody logs in. The code of 80 random bits is the proof; a code that no slip carries and one that the centre
does not know yet are answered alike. Each look is one entry of the log, as that of any other reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from api.access_log import Access, list_accesses, record_own_read
from api.authorization import Action
from api.consent_checks import CheckedLife, check_life
from api.consent_life import life_in
from api.consents import find_in
from api.database import Connection, Database
from api.erasure import Erasure, certificate_in, find_erasure_in
from api.projection import Consent
from api.tree import StoredNodes
from api.withdrawals import WITHDRAWABLE, Withdrawal, withdrawal_in
from api.witnesses import Witnesses
from consent.checkpoint import KeyHistory, KeyPeriod, peek
from consent.entry import Entry, QuotesRead
from consent.erasure import ErasureCertificate
from consent.errors import CheckpointRefused, NoticeError, ReceiptRefused
from consent.event import Event
from consent.merkle import leaf_hash, root
from consent.receipt import Receipt, code_digest
from consent.record import Answer
from consent.state import KEEPING, PERMITTING, State
from consent.terms import find_terms

_QUOTES: Final = "redacted-quotes"


class SlipFinding(StrEnum):
    """What checking the whole text of a slip gave."""

    GOOD = "good"
    """Signed by a key of that counter's log, and the centre keeps the same log."""
    SIGNED = "signed"
    """Signed by a key of that counter's log; the centre has not received that part of the log yet."""
    UNREADABLE = "unreadable"
    UNKNOWN_LOG = "unknown-log"
    REFUSED = "refused"
    """Code, answer, proof and signature do not belong together."""
    SPLIT = "split"
    """Signed by the counter's key, yet the centre keeps another log: somebody shows two histories."""


@dataclass(frozen=True, slots=True)
class CheckedSlip:
    """A slip and what was found; `receipt` is None where the text is none."""

    finding: SlipFinding
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class OwnRecord:
    """What the centre tells the person who holds the slip.

    Attributes:
        certificate: Of the erasure at the centre.
        at_edge: Of the erasure at the counter, as its log tells.
        accesses: Who looked, the newest first; `withdrawable` says whether it can still be taken back.
        quotes_read: Who read the quotes that are kept at the counter, the newest first.
        quotes_until: When those are removed at the latest; None where none may be kept.
    """

    consent: Consent
    checked: CheckedLife
    decision_index: int | None
    withdrawal: Withdrawal | None
    erasure: Erasure | None
    certificate: ErasureCertificate | None
    at_edge: ErasureCertificate | None
    accesses: tuple[Access, ...]
    withdrawable: bool
    quotes_read: tuple[QuotesRead, ...] = ()
    quotes_until: datetime | None = None


def check_slip(connection: Connection, text: str) -> CheckedSlip:
    """Check the text of a slip's QR code against the keys and the logs that the centre keeps."""
    try:
        receipt = Receipt.parse(text)
        tree = peek(receipt.checkpoint)
    except (ReceiptRefused, CheckpointRefused):
        return CheckedSlip(SlipFinding.UNREADABLE)
    kept = connection.execute(
        "SELECT edge_id, size FROM edge_logs WHERE origin = %s", (tree.origin,)
    ).fetchone()
    if kept is None:
        return CheckedSlip(SlipFinding.UNKNOWN_LOG, receipt)
    edge, size = kept
    rows = connection.execute(
        "SELECT vkey, from_size, until_size FROM edge_log_keys WHERE edge_id = %s ORDER BY from_size, vkey",
        (edge,),
    )
    keys = KeyHistory(tuple(KeyPeriod(*row) for row in rows))
    try:
        receipt.check(keys.verifiers(tree.size))
    except ReceiptRefused:
        return CheckedSlip(SlipFinding.REFUSED, receipt)
    if tree.size > size:
        return CheckedSlip(SlipFinding.SIGNED, receipt)
    same_root = root(tree.size, StoredNodes(connection, edge)) == tree.root
    entry = connection.execute(
        "SELECT leaf_hash FROM edge_log_entries WHERE edge_id = %s AND idx = %s", (edge, receipt.index)
    ).fetchone()
    same = same_root and entry is not None and bytes(entry[0]) == leaf_hash(receipt.leaf)
    return CheckedSlip(SlipFinding.GOOD if same else SlipFinding.SPLIT, receipt)


def consent_of_code(connection: Connection, code: str) -> Consent | None:
    """Return the consent whose slip carries a code; None for every other text, whatever it is."""
    try:
        digest = code_digest(code)
    except ReceiptRefused:
        return None
    row = connection.execute(
        "SELECT record_id FROM consents WHERE withdrawal_digest = %s", (digest,)
    ).fetchone()
    return None if row is None else find_in(connection, row[0])


def own_record(database: Database, witnesses: Witnesses, code: str) -> OwnRecord | None:
    """Return what the centre knows of the consent of a code, and log that its citizen looked.

    Raises:
        DatabaseUnavailable: Ask again later.
        LogDamaged: A node that a proof needs is missing.
    """
    with database.transaction() as connection:
        consent = consent_of_code(connection, code)
        if consent is None:
            return None
        told = _told(connection, witnesses, consent)
        record_own_read(connection, Action.VIEW_OWN_RECEIPT, consent.record_id)
        return told


def own_certificate(database: Database, code: str) -> ErasureCertificate | None:
    """Return the certificate of erasure of the consent of a code, and log that its citizen took it."""
    with database.transaction() as connection:
        consent = consent_of_code(connection, code)
        found = None if consent is None else certificate_in(connection, consent.record_id)
        if consent is not None and found is not None:
            record_own_read(connection, Action.VIEW_OWN_RECEIPT, consent.record_id)
        return found


def _told(connection: Connection, witnesses: Witnesses, consent: Consent) -> OwnRecord | None:
    record_id: UUID = consent.record_id
    life = life_in(connection, record_id)
    if life is None:
        return None
    checked = check_life(connection, life, witnesses)
    asked = withdrawal_in(connection, record_id)
    told = [item.told for item in checked.entries]
    at_edge = next((item for item in told if isinstance(item, ErasureCertificate)), None)
    return OwnRecord(
        consent=consent,
        checked=checked,
        decision_index=consent.decision_index,
        withdrawal=asked,
        erasure=find_erasure_in(connection, record_id),
        certificate=certificate_in(connection, record_id),
        at_edge=at_edge,
        accesses=list_accesses(connection, record_id=record_id),
        withdrawable=State(consent.state) in WITHDRAWABLE and asked is None,
        quotes_read=tuple(item for item in reversed(told) if isinstance(item, QuotesRead)),
        quotes_until=_quotes_until(consent, told),
    )


def _quotes_until(consent: Consent, told: Sequence[Entry | None]) -> datetime | None:
    """Return when quotes are gone at the latest: a counter may keep them for less, as its slip says."""
    record = next((item.record for item in told if isinstance(item, Event) and item.record), None)
    kept = consent.quotes == Answer.GIVEN and State(consent.state) in KEEPING | PERMITTING
    if record is None or not kept or consent.decided_at is None:
        return None
    try:
        retention = find_terms(record.terms).retention
    except NoticeError:  # terms of another release: nothing is promised that is not known
        return None
    days = next((item.days for item in retention if item.category == _QUOTES), 0)
    return consent.decided_at + timedelta(days=days, seconds=record.validity_s)
