"""One consent: what was asked, in which words, what was answered, under which terms.

The structure follows ISO/IEC TS 27560: header, processing, parties; the events stand in the
log and `consent.export` puts all four together. What is the same for thousands of citizens
(legal basis, processing, recipients, retention, rights) is the terms document, which a record
names by its hash. There is no field that could hold a face, a voice, a name, a citizen's
number or a score.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal
from uuid import UUID

import uuid6
from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints, TypeAdapter
from pydantic_core import SchemaSerializer

from consent.canonical import Whole, canonical_serializer
from consent.purpose import Purpose

if TYPE_CHECKING:
    from consent.terms import Terms

SCHEMA_VERSION: Final = 2
VALIDITY_LIMIT_S: Final = 60 * 60
"""No consent is good for longer than this, whatever a record says."""

Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9._:-]{0,62}[a-z0-9])?$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
Line = Annotated[str, StringConstraints(max_length=600)]


class Answer(StrEnum):
    """The answer for one purpose."""

    OPEN = "open"
    GIVEN = "given"
    REFUSED = "refused"


class Channel(StrEnum):
    """How the notice reached the citizen."""

    KIOSK = "kiosk"
    FILE = "file"
    """A consent file beside a recording, for replay."""


class IndicatedBy(StrEnum):
    """Who caused an event."""

    CITIZEN = "citizen"
    SYSTEM = "system"
    CONTROLLER = "controller"
    AUTHORITY = "authority"


_STRICT: Final = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class NoticeReference:
    """The exact notice that was shown: its rendered bytes hash to `sha256`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    notice_id: Code
    version: Code
    sha256: Sha256
    language: Language
    channel: Channel


@dataclass(frozen=True, slots=True)
class PurposeDecision:
    """One purpose and its own answer."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    purpose: Purpose
    answer: Answer = Answer.OPEN


@dataclass(frozen=True, slots=True)
class DataCategory:
    """A category of data, whether it is sensitive, and the sentence that said so."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    code: Code
    sensitive: bool
    sentence: Line


@dataclass(frozen=True, slots=True)
class TermsReference:
    """The exact terms behind the notice: `consent.terms.find_terms` gives the document of this hash."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    terms_id: Code
    version: Code
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Parties:
    """Who decides about the processing, who does it for them, and where they are reached."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    controller: Line
    processor: Line | None
    contact: Line


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """One consent of one transaction at one counter.

    Attributes:
        record_id: UUIDv7.
        receipt_id: UUIDv7; what the citizen takes home names this, not the record.
        subject_pseudonym: HMAC of the transaction number under the agency's key, or
            None where the counter has no transaction number.
        device_key_id: Key of the edge device, once it is enrolled.
        withdrawal_digest: SHA-256 of the code on the citizen's receipt; whoever knows the code
            may withdraw, and nobody can read it here.
        shown_at: When the notice in the deciding language was on the screen.
        dwell_ms: From then to the decision, on the monotonic clock.
        validity_s: Hard limit; the end of the transaction ends it earlier.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    record_id: UUID
    receipt_id: UUID
    session_id: UUID
    counter: Code
    notice: NoticeReference
    offered_at: AwareDatetime
    decisions: Annotated[tuple[PurposeDecision, ...], Field(min_length=1, max_length=len(Purpose))]
    categories: tuple[DataCategory, ...]
    terms: TermsReference
    parties: Parties
    validity_s: Annotated[int, Field(gt=0, le=VALIDITY_LIMIT_S)] = VALIDITY_LIMIT_S
    one_transaction: Literal[True] = True
    subject_pseudonym: Sha256 | None = None
    device_key_id: Sha256 | None = None
    withdrawal_digest: Sha256 | None = None
    shown_at: AwareDatetime | None = None
    decided_at: AwareDatetime | None = None
    dwell_ms: Annotated[Whole, Field(ge=0)] | None = None
    schema_version: Literal[2] = SCHEMA_VERSION

    @property
    def purposes(self) -> tuple[Purpose, ...]:
        """The purposes that were offered, in the order of the notice."""
        return tuple(item.purpose for item in self.decisions)

    def given(self) -> frozenset[Purpose]:
        """Return the purposes whose answer is `given`."""
        return frozenset(item.purpose for item in self.decisions if item.answer is Answer.GIVEN)

    def canonical(self) -> bytes:
        """Return the record as RFC 8785 canonical JSON."""
        return _record_serializer().to_json(self)

    @classmethod
    def parse(cls, data: bytes) -> ConsentRecord:
        """Read a record back from JSON; unknown fields are refused."""
        return _record_adapter().validate_json(data)


@cache
def _record_adapter() -> TypeAdapter[ConsentRecord]:
    return TypeAdapter(ConsentRecord)


@cache
def _record_serializer() -> SchemaSerializer:
    return canonical_serializer(_record_adapter())


def new_id() -> UUID:
    """Return a fresh UUIDv7."""
    return UUID(int=uuid6.uuid7().int)


def draft(
    *,
    counter: str,
    notice: NoticeReference,
    purposes: tuple[Purpose, ...],
    categories: tuple[DataCategory, ...],
    terms: Terms,
    offered_at: datetime,
    session_id: UUID | None = None,
    device_key_id: str | None = None,
    subject_pseudonym: str | None = None,
    withdrawal_digest: str | None = None,
    validity_s: int = VALIDITY_LIMIT_S,
) -> ConsentRecord:
    """Build the record of a question that is about to be asked, checked field by field.

    Raises:
        pydantic.ValidationError: A field is outside its bounds; the message names it.
    """
    record = ConsentRecord(
        record_id=new_id(),
        receipt_id=new_id(),
        session_id=session_id or new_id(),
        counter=counter,
        notice=notice,
        offered_at=offered_at,
        decisions=tuple(PurposeDecision(purpose) for purpose in purposes),
        categories=categories,
        terms=terms.reference(),
        parties=terms.agency(),
        validity_s=validity_s,
        device_key_id=device_key_id,
        subject_pseudonym=subject_pseudonym,
        withdrawal_digest=withdrawal_digest,
    )
    return ConsentRecord.parse(record.canonical())
