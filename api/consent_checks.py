"""What can be said about one consent after computing it: proofs, the order of events, time, the notice.

Nothing here is believed because a row says so: hashes are computed from the stored bytes, proofs are
followed to roots that signatures cover, notices are rendered again.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Final
from uuid import UUID

from api.consent_life import Anchor, Life, LifeEntry
from api.database import Connection
from api.projection import Consent
from api.witnesses import Witnesses
from consent.checkpoint import KeyHistory, KeyPeriod
from consent.entry import Entry, parse_entry
from consent.errors import CheckpointRefused, EntryRefused, NoticeError, ProofRefused
from consent.event import Event
from consent.merkle import check_inclusion, leaf_hash
from consent.notice import Notice, NoticeShelf
from consent.purpose import Purpose
from consent.record import Answer

TOLERANCE_MS: Final = 1000
"""Media run on the clock of their device: one second more than the consent is no excess."""
LOST_AFTER: Final = timedelta(hours=2)
"""A consent lasts an hour at most; a slot that is open for longer is lost."""


class Proof(StrEnum):
    """What following the proof of one entry, or of a checkpoint, gave."""

    HOLDS = "holds"
    WAITING = "waiting"
    """Nothing that covers it has been signed yet."""
    CHANGED = "changed"
    """The bytes are not the ones that were hashed, or tell of another record."""
    REFUSED = "refused"
    """The proof does not lead to the signed root, or the signature is wrong."""


class FirstFrame(StrEnum):
    """Whether the consent stood in the log before a device could be opened."""

    PROVEN = "proven"
    WAITING = "waiting"
    """In the right order, and not both proven yet."""
    VIOLATED = "violated"
    """A slot was opened without a consent before it."""
    NO_CAPTURE = "no-capture"


class Length(StrEnum):
    """Time of the media that was processed, against the time of the consent."""

    WITHIN = "within"
    MORE = "more"
    NO_CAPTURE = "no-capture"
    RUNNING = "running"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class CheckedEntry:
    """One entry of the log, read and checked; `told` is None where it cannot be read."""

    entry: LifeEntry
    told: Entry | None
    proof: Proof


@dataclass(frozen=True, slots=True)
class CheckedLife:
    """One consent's entries and the chain of signatures above them.

    Attributes:
        edge: The edge's checkpoint over the entries.
        folded: That this checkpoint is a leaf of the centre's log.
        cosigned: Name and time of each witness whose signature holds.
        witnessed: Whether they are enough.
    """

    entries: tuple[CheckedEntry, ...]
    edge: Proof
    folded: Proof
    cosigned: tuple[tuple[str, datetime], ...]
    witnessed: bool

    @property
    def holds(self) -> bool:
        """Whether everything is proven, up to the centre's checkpoint."""
        parts = [item.proof for item in self.entries] + [self.edge, self.folded]
        return all(part is Proof.HOLDS for part in parts)

    @property
    def wrong(self) -> bool:
        """Whether anything was found that cannot be: not merely unfinished."""
        parts = [item.proof for item in self.entries] + [self.edge, self.folded]
        return any(part in {Proof.CHANGED, Proof.REFUSED} for part in parts)


def check_life(connection: Connection, life: Life, witnesses: Witnesses) -> CheckedLife:
    """Follow every proof of one consent's life up to the witnesses."""
    anchor = life.anchor
    root = None if anchor is None else _edge_root(connection, life.consent.edge_id, anchor)
    entries = tuple(_check_entry(item, life.consent.record_id, anchor, root) for item in life.entries)
    if anchor is None:
        return CheckedLife(entries, Proof.WAITING, Proof.WAITING, (), witnessed=False)
    edge = Proof.REFUSED if root is None else Proof.HOLDS
    if not anchor.note:
        return CheckedLife(entries, edge, Proof.WAITING, (), witnessed=False)
    try:
        if json.loads(anchor.leaf)["note"].encode() != anchor.edge_note:
            return CheckedLife(entries, edge, Proof.CHANGED, (), witnessed=False)
        seen = witnesses.check(connection, anchor.size, anchor.note)
        tree = seen.checkpoint
        check_inclusion(leaf_hash(anchor.leaf), anchor.index, tree.size, anchor.proof, tree.root)
    except (CheckpointRefused, ProofRefused, ValueError, KeyError):
        return CheckedLife(entries, edge, Proof.REFUSED, (), witnessed=False)
    cosigned = tuple((name, datetime.fromtimestamp(at_s, UTC)) for name, at_s in seen.witnesses)
    return CheckedLife(entries, edge, Proof.HOLDS, cosigned, seen.witnessed and bool(cosigned))


def _edge_root(connection: Connection, edge: UUID, anchor: Anchor) -> bytes | None:
    """Return the root that the edge signed, None when it did not sign it."""
    rows = connection.execute(
        "SELECT vkey, from_size, until_size FROM edge_log_keys WHERE edge_id = %s ORDER BY from_size, vkey",
        (edge,),
    )
    try:
        tree = KeyHistory(tuple(KeyPeriod(*row) for row in rows)).open(anchor.edge_note).checkpoint
    except CheckpointRefused:
        return None
    return tree.root if tree.size == anchor.edge_size else None


def _check_entry(item: LifeEntry, record_id: UUID, anchor: Anchor | None, root: bytes | None) -> CheckedEntry:
    try:
        told: Entry | None = parse_entry(item.body)
    except EntryRefused:
        told = None
    same = told is not None and getattr(told, "record_id", None) == record_id
    kind = json.loads(item.body).get("kind") if told is not None else None
    if not same or kind != item.kind or leaf_hash(item.body) != item.leaf_hash:
        return CheckedEntry(item, told, Proof.CHANGED)
    if anchor is None:
        return CheckedEntry(item, told, Proof.WAITING)
    if root is None:
        return CheckedEntry(item, told, Proof.REFUSED)
    try:
        check_inclusion(leaf_hash(item.body), item.index, anchor.edge_size, item.proof, root)
    except ProofRefused:
        return CheckedEntry(item, told, Proof.REFUSED)
    return CheckedEntry(item, told, Proof.HOLDS)


@dataclass(frozen=True, slots=True)
class Order:
    """Where the consent and the slot stand in the log; None for what is not there."""

    verdict: FirstFrame
    given: int | None
    started: int | None


def consent_before_first_frame(checked: CheckedLife) -> Order:
    """Compare the places of the consent and of the slot, which is written before a device is opened."""
    places: dict[str, CheckedEntry] = {}
    for item in checked.entries:
        places.setdefault(item.entry.kind, item)
    given, started = places.get("given"), places.get("session-started")
    if started is None:
        return Order(FirstFrame.NO_CAPTURE, given.entry.index if given else None, None)
    if given is None or given.entry.index >= started.entry.index:
        return Order(FirstFrame.VIOLATED, given.entry.index if given else None, started.entry.index)
    proven = given.proof is Proof.HOLDS and started.proof is Proof.HOLDS
    verdict = FirstFrame.PROVEN if proven and checked.edge is Proof.HOLDS else FirstFrame.WAITING
    return Order(verdict, given.entry.index, started.entry.index)


def processed_within_consent(consent: Consent, now: datetime) -> Length:
    """Compare the length of what was processed with the length of the consent, purpose by purpose."""
    if consent.session_started_at is None:
        return Length.NO_CAPTURE
    if consent.session_ended_at is None:
        return Length.LOST if now - consent.session_started_at > LOST_AFTER else Length.RUNNING
    parts = (
        (consent.answer(Purpose.IMAGE), consent.processed_image_ms or 0),
        (consent.answer(Purpose.VOICE), consent.processed_voice_ms or 0),
    )
    for answer, processed_ms in parts:
        allowed_ms = (consent.consented_ms or 0) + TOLERANCE_MS if answer == Answer.GIVEN else 0
        if processed_ms > allowed_ms:
            return Length.MORE
    return Length.WITHIN


@dataclass(frozen=True, slots=True)
class Rendered:
    """A notice rendered again.

    Attributes:
        notice: The version on the shelf; None when it is gone.
        purposes: The purposes with which it hashes to what was shown; None when no choice of them does.
    """

    notice: Notice | None
    purposes: tuple[Purpose, ...] | None


@cache
def render_again(notice_id: str, version: str, language: str, sha256: str) -> Rendered:
    """Render a published notice again and look for the hash of what was shown."""
    try:
        notice = NoticeShelf.load().get(notice_id, version, language)
    except NoticeError:
        return Rendered(None, None)
    asked = [item for item in Purpose if item in notice.choices]
    for count in range(len(asked), 0, -1):
        for purposes in itertools.combinations(asked, count):
            if notice.reference(purposes).sha256 == sha256:
                return Rendered(notice, purposes)
    return Rendered(notice, None)


def notices_in(checked: CheckedLife) -> tuple[tuple[str, str, str, str], ...]:
    """Return id, version, language and hash of each notice that the entries name, in their order."""
    found: dict[tuple[str, str, str, str], None] = {}
    for item in checked.entries:
        if isinstance(item.told, Event) and item.told.notice is not None:
            notice = item.told.notice
            found[notice.notice_id, notice.version, notice.language, notice.sha256] = None
    return tuple(found)
