"""Everything an edge writes into its log besides the events of a consent.

One leaf of the log is one RFC 8785 JSON document with a `kind`. Events of a consent are
in `consent.event`, erasures in `consent.erasure`; the rest is here: the slot of a
session, the gaps in it, the keys that sign the log, the runs of the retention, the
times at which an installer aimed a camera, and the reads of kept quotes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias
from uuid import UUID

import rfc8785
from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaSerializer

from consent.canonical import canonical_serializer
from consent.erasure import Begun, ErasureCertificate
from consent.errors import CertificateRefused, EntryRefused
from consent.event import Event, EventKind
from consent.purpose import Purpose
from consent.record import Code, Sha256

Count = Annotated[int, Field(ge=0, le=10**9)]
Milliseconds = Annotated[int, Field(ge=0, le=10**12)]
Ticket = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z./_-]{1,38}[0-9A-Za-z]$")]
"""Number of a case, such as `YC-2026/0142`; 3 to 40 characters, no words about anybody."""
Size = Annotated[int, Field(ge=0, le=2**53 - 1)]
Vkey = Annotated[str, StringConstraints(pattern=r"^[^\s+]{1,200}\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{40,4000}$")]
"""A public key as C2SP text: name, hash, algorithm and key."""
SignatureLine = Annotated[str, StringConstraints(pattern=r"^\u2014 \S{1,200} [A-Za-z0-9+/=]{90,6000}$")]

LONGEST_MAINTENANCE_S: Final = 3600
"""Longest look through a camera without a consent, seconds; the log takes no entry of a longer one."""
_STRICT: Final = ConfigDict(extra="forbid")
_PLAIN: Final = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False
)


class EntryKind(StrEnum):
    """Kinds of entries that are no event of a consent."""

    GENESIS = "genesis"
    SESSION_STARTED = "session-started"
    SESSION_ENDED = "session-ended"
    CAPTURE_GAP = "capture-gap"
    ERASURE_STARTED = "erasure-started"
    ERASURE_DONE = "erasure-done"
    KEY_INTRODUCED = "key-introduced"
    KEY_RETIRED = "key-retired"
    RETENTION_RUN = "retention-run"
    MAINTENANCE_STARTED = "maintenance-started"
    MAINTENANCE_ENDED = "maintenance-ended"
    QUOTES_READ = "quotes-read"


class ReadPurpose(StrEnum):
    """Why somebody reads what is kept of a citizen; the same five as at the centre."""

    SUBJECT_REQUEST = "subject-request"
    COMPLAINT = "complaint"
    BREACH = "breach"
    INSPECTION = "inspection"
    QUALITY_CHECK = "quality-check"


class Outcome(StrEnum):
    """What came of a session."""

    SIGNAL = "signal"
    ABSTAINED = "abstained"
    """A signal left that names no figure: too little evidence."""
    NOTHING = "nothing"
    """An empty seat, or a device that gave nothing."""
    WITHDRAWN = "withdrawn"
    STOPPED = "stopped"
    """The controller or the authority ended it."""
    FAILED = "failed"
    """A fault of ours, or a consent log that could not be read."""


class MaintenanceEnd(StrEnum):
    """What ended a look through a camera that no citizen consented to."""

    TIME = "time"
    STOPPED = "stopped"
    """The operator, or the end of the program."""
    UNWATCHED = "unwatched"
    """Nobody looked any more."""
    DEVICE = "device"
    """The camera did not open, or broke off."""
    FAILED = "failed"
    """A fault of ours."""
    UNFINISHED = "unfinished"
    """The program was killed; a later start closed the entry."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """The first entry: which log this is."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    log: UUID
    kind: Literal[EntryKind.GENESIS] = EntryKind.GENESIS
    schema_version: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """A slot is open: written before a device is; without its end the session counts as lost.

    Attributes:
        purposes: What was given, and so what may be opened.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    record_id: UUID
    session_id: UUID
    counter: Code
    at: AwareDatetime
    purposes: tuple[Purpose, ...]
    kind: Literal[EntryKind.SESSION_STARTED] = EntryKind.SESSION_STARTED
    schema_version: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class Processed:
    """Length of the media that was read, by purpose, on the media's own clock."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    image: Milliseconds = 0
    voice: Milliseconds = 0


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """What a session did; becomes its `session-ended` entry.

    Attributes:
        processed_ms: What was read.
        units: Frames and chunks.
        gaps: Times a device was lost.
        gap_ms: Time without media because of that, and media dropped because we were too slow.
        outcome: What came of it.
        commitment: HMAC-SHA256 of the signal's canonical payload under the session key, in
            hexadecimal; None where no signal left.
    """

    processed_ms: Processed = Processed()
    units: int = 0
    gaps: int = 0
    gap_ms: int = 0
    outcome: Outcome = Outcome.NOTHING
    commitment: str | None = None


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A slot is closed.

    Attributes:
        consented_ms: From the answer to the end of the consent or of the capture, whichever came
            first, on the monotonic clock; 0 when the machine was restarted in between.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    record_id: UUID
    session_id: UUID
    counter: Code
    at: AwareDatetime
    processed_ms: Processed
    consented_ms: Milliseconds
    units: Count
    gaps: Count
    gap_ms: Milliseconds
    outcome: Outcome
    commitment: Sha256 | None = None
    kind: Literal[EntryKind.SESSION_ENDED] = EntryKind.SESSION_ENDED
    schema_version: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class CaptureGap:
    """Time of a session in which a permitted device gave nothing.

    Attributes:
        losses: How often a device was lost in it.
        gap_ms: How long nothing came.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    record_id: UUID
    session_id: UUID
    counter: Code
    at: AwareDatetime
    losses: Count
    gap_ms: Milliseconds
    kind: Literal[EntryKind.CAPTURE_GAP] = EntryKind.CAPTURE_GAP
    schema_version: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class KeyIntroduced:
    """A key that signs checkpoints from `from_size` on.

    Attributes:
        vkey: Its public half.
        from_size: The smallest log it signs.
        endorsement: Signature line of the key before it over `endorsed()`; None for the first.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    at: AwareDatetime
    log: UUID
    vkey: Vkey
    from_size: Size
    endorsement: SignatureLine | None = None
    kind: Literal[EntryKind.KEY_INTRODUCED] = EntryKind.KEY_INTRODUCED
    schema_version: Literal[1] = 1

    def endorsed(self) -> bytes:
        """Return what the key before it signs: which key follows it, where, from which size on."""
        document: dict[str, Any] = {
            "from_size": self.from_size,
            "kind": "key-endorsed",
            "log": str(self.log),
            "vkey": self.vkey,
        }
        return _plain(document) + b"\n"


@dataclass(frozen=True, slots=True)
class KeyRetired:
    """A key that signs no log larger than `until_size`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    at: AwareDatetime
    vkey: Vkey
    until_size: Size
    kind: Literal[EntryKind.KEY_RETIRED] = EntryKind.KEY_RETIRED
    schema_version: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class RetentionStep:
    """What one rule of the retention removed."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    category: Code
    days: Annotated[int, Field(ge=0, le=36_500)]
    removed: Count


@dataclass(frozen=True, slots=True)
class RetentionRun:
    """One run of the retention: what each rule removed."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    at: AwareDatetime
    steps: tuple[RetentionStep, ...]
    kind: Literal[EntryKind.RETENTION_RUN] = EntryKind.RETENTION_RUN
    schema_version: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class MaintenanceStarted:
    """An operator is about to aim a camera: written before the device is opened, or it is not opened.

    Attributes:
        operator: Who looks, as the agency names its installers.
        limit_s: When the device is closed at the latest; an hour is the most there is.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    maintenance_id: UUID
    counter: Code
    operator: Code
    at: AwareDatetime
    limit_s: Annotated[int, Field(ge=1, le=LONGEST_MAINTENANCE_S)]
    kind: Literal[EntryKind.MAINTENANCE_STARTED] = EntryKind.MAINTENANCE_STARTED
    schema_version: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class MaintenanceEnded:
    """The device is closed again.

    Attributes:
        frames: Pictures that were masked and shown; None where the program was killed.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    maintenance_id: UUID
    counter: Code
    operator: Code
    at: AwareDatetime
    ended_by: MaintenanceEnd
    frames: Count | None = None
    kind: Literal[EntryKind.MAINTENANCE_ENDED] = EntryKind.MAINTENANCE_ENDED
    schema_version: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class QuotesRead:
    """Somebody is about to read the kept quotes of a consent: written first, or they are not opened.

    Attributes:
        reader: Who reads, as the agency names its privacy officers.
        purpose: Why.
        ticket: The case it belongs to.
        quotes: How many were kept then.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    record_id: UUID
    at: AwareDatetime
    reader: Code
    purpose: ReadPurpose
    ticket: Ticket
    quotes: Count
    kind: Literal[EntryKind.QUOTES_READ] = EntryKind.QUOTES_READ
    schema_version: Literal[1] = 1


OwnEntry: TypeAlias = (
    Genesis
    | SessionStarted
    | SessionEnded
    | CaptureGap
    | KeyIntroduced
    | KeyRetired
    | RetentionRun
    | MaintenanceStarted
    | MaintenanceEnded
    | QuotesRead
)
Slot: TypeAlias = SessionStarted | SessionEnded | CaptureGap
"""What is known of a session, beside its consent."""
Entry: TypeAlias = Event | OwnEntry | Begun | ErasureCertificate
"""Everything a leaf of an edge's log can hold."""

_OWN: Final[Mapping[str, type[OwnEntry]]] = {
    EntryKind.GENESIS: Genesis,
    EntryKind.SESSION_STARTED: SessionStarted,
    EntryKind.SESSION_ENDED: SessionEnded,
    EntryKind.CAPTURE_GAP: CaptureGap,
    EntryKind.KEY_INTRODUCED: KeyIntroduced,
    EntryKind.KEY_RETIRED: KeyRetired,
    EntryKind.RETENTION_RUN: RetentionRun,
    EntryKind.MAINTENANCE_STARTED: MaintenanceStarted,
    EntryKind.MAINTENANCE_ENDED: MaintenanceEnded,
    EntryKind.QUOTES_READ: QuotesRead,
}
_ERASURES: Final = frozenset({EntryKind.ERASURE_STARTED.value, EntryKind.ERASURE_DONE.value})
EVENT_KINDS: Final = frozenset(kind.value for kind in EventKind)
KINDS: Final = EVENT_KINDS | frozenset(kind.value for kind in EntryKind)


def body_of(entry: OwnEntry) -> bytes:
    """Return an entry as RFC 8785 canonical JSON: the bytes that are stored and hashed."""
    return _serializer(entry.kind).to_json(entry)


def body_of_note(kind: str, document: Mapping[str, object]) -> bytes:
    """Return the stored bytes of an entry given as JSON values, checked field by field.

    Raises:
        EntryRefused: An edge's log has no such kind, or a field is missing, unknown or out of bounds.
    """
    merged = {"schema_version": 1, **document, "kind": kind}
    body = rfc8785.dumps(json.loads(json.dumps(merged)))
    parse_entry(body)
    return body


def parse_entry(body: bytes) -> Entry:
    """Read one leaf.

    Raises:
        EntryRefused: It is no entry of an edge's log, or not in its canonical form.
    """
    try:
        kind = json.loads(body)["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise EntryRefused(f"this is no entry of a log ({error})") from error
    return parse_as(str(kind), body)


def parse_as(kind: str, body: bytes) -> Entry:
    """Read one leaf whose kind is known.

    Raises:
        EntryRefused: It is of another kind, or not in its canonical form.
    """
    if kind not in KINDS:
        raise EntryRefused(f"an edge's log has no entry of the kind {kind!r}")
    try:
        if kind in EVENT_KINDS:
            entry, canonical = _read_event(kind, body)
        elif kind in _OWN:
            entry, canonical = _read_own(kind, body)
        else:
            entry, canonical = _read_erasure(kind, body)
    except EntryRefused:
        raise
    except (ValidationError, CertificateRefused, ValueError) as error:
        raise EntryRefused(f"this is no entry of the kind {kind!r}: {error}") from error
    if canonical != body:
        raise EntryRefused(f"the entry of the kind {kind!r} is not in its canonical form")
    return entry


def _read_event(kind: str, body: bytes) -> tuple[Entry, bytes]:
    event = Event.parse(body)
    if event.kind != kind:
        raise EntryRefused(f"this is no entry of the kind {kind!r}")
    return event, event.canonical()


def _read_own(kind: str, body: bytes) -> tuple[Entry, bytes]:
    entry = _adapter(kind).validate_json(body)
    return entry, body_of(entry)


def _read_erasure(kind: str, body: bytes) -> tuple[Entry, bytes]:
    fields = json.loads(body)
    if not isinstance(fields, dict) or fields.pop("kind", None) != kind:
        raise EntryRefused(f"this is no entry of the kind {kind!r}")
    read: Begun | ErasureCertificate
    if kind == EntryKind.ERASURE_DONE:
        read = ErasureCertificate.read(fields)
    else:
        fields.pop("schema_version", None)  # an erasure that began carries none of its own
        read = Begun.read(fields)
    return read, _plain({"schema_version": 1, **read.document(), "kind": kind})


def _plain(document: dict[str, Any]) -> bytes:
    """Return RFC 8785 for documents without fractions and with ASCII names, at the speed of C.

    A document that rfc8785 itself would refuse is never equal to a stored body.
    """
    return _PLAIN.encode(document).encode()


@cache
def _adapter(kind: str) -> TypeAdapter[OwnEntry]:
    return TypeAdapter(_OWN[kind])


@cache
def _serializer(kind: str) -> SchemaSerializer:
    return canonical_serializer(_adapter(kind))
