"""Erasure of one consent's data: entry first, then every store, a signed receipt last.

The order makes a crash harmless. The log says that the erasure began before anything
is destroyed; each store erases as often as it is asked; the certificate is written when
all of them have answered. What was begun and never finished is done again at the next
start, and after a restore from a backup every erasure of the log is done once more.

The receipt of the destroyed key is a C2SP signed note over one line of canonical JSON,
made with a key that signs nothing else: whoever can rewrite the log cannot also say that
something was erased.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, Final, Literal, Protocol
from uuid import UUID

import rfc8785
import structlog
from pydantic import AwareDatetime, ConfigDict, TypeAdapter, ValidationError

from consent.checkpoint import ED25519, verifier
from consent.errors import CertificateRefused, CheckpointRefused, ErasureIncomplete
from consent.record import Code, Line, Sha256
from consent.signed_note import SignatureLine

_log = structlog.get_logger(__name__)
_STRICT: Final = ConfigDict(extra="forbid")


class ErasableStore(Protocol):
    """One place that may hold something of a consent."""

    @property
    def name(self) -> str:
        """What the certificate calls it: a code such as `outbox` or `session-key`."""
        ...

    def erase(self, record_id: UUID) -> int:
        """Remove everything of this consent, durably, and return how many things that were.

        Asked again, it finds nothing and returns 0. It raises when it cannot tell.
        """
        ...


class ReceiptSigner(Protocol):
    """Signs the receipts; `consent.checkpoint.Ed25519Signer` is one."""

    def line(self, body: bytes) -> str:
        """Return the signature line of a signed note over `body`."""
        ...

    def vkey(self) -> str:
        """Return the public half as C2SP text."""
        ...


@dataclass(frozen=True, slots=True)
class Begun:
    """An erasure that the log knows to have begun: written before anything is destroyed.

    Attributes:
        record_id: Whose data.
        cause: Why: `withdrawn`, `invalidated`, `retention`, `request`.
        at: Wall clock, for people.
        stores: The stores that will be asked, in this order.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    record_id: UUID
    cause: Code
    at: AwareDatetime
    stores: tuple[Code, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON values, for the body of a log entry."""
        document: dict[str, Any] = _begun_adapter().dump_python(self, mode="json")
        return document

    @classmethod
    def read(cls, document: object) -> Begun:
        """Read it back from the body of a log entry; unknown fields are refused."""
        return _begun_adapter().validate_python(document, strict=False)


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What one store did.

    Attributes:
        name: Which store.
        removed: How many things it removed. After a crash, what the last run still found.
        done_at: When it answered.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: Code
    removed: int
    done_at: AwareDatetime


@dataclass(frozen=True, slots=True)
class DestructionReceipt:
    """The statement, signed apart, that the key of one consent is gone.

    Attributes:
        record_id: Whose key.
        destroyed_at: When the last store had answered.
        certificate_sha256: Hash of the certificate's other fields, so that they are signed too.
        vkey: The erasure key, as C2SP text. Trust the one you were given, not this.
        signature: The signature line of the signed note.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    record_id: UUID
    destroyed_at: AwareDatetime
    certificate_sha256: Sha256
    vkey: Line
    signature: Line

    def body(self) -> bytes:
        """Return the signed text: one line of canonical JSON."""
        return (
            rfc8785.dumps(
                {
                    "certificate_sha256": self.certificate_sha256,
                    "destroyed_at": self.destroyed_at.isoformat(),
                    "kind": "key-destroyed",
                    "record_id": str(self.record_id),
                }
            )
            + b"\n"
        )

    def note(self) -> bytes:
        """Return the whole signed note, as other C2SP programs read it."""
        return self.body() + b"\n" + self.signature.encode() + b"\n"


@dataclass(frozen=True, slots=True)
class ErasureCertificate:
    """What was erased, where and when; what the citizen is given.

    Attributes:
        cause: Why.
        started_at: When the entry before the first destructive step was written.
        done_at: When the last store had answered.
        stores: What each did, in order.
        resumed: Whether a crash or a restore came between: counts are then those of the last run.
        destruction: The receipt, signed by the erasure key.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    record_id: UUID
    cause: Code
    started_at: AwareDatetime
    done_at: AwareDatetime
    stores: tuple[StoreStatus, ...]
    destruction: DestructionReceipt
    resumed: bool = False
    schema_version: Literal[1] = 1

    def canonical(self) -> bytes:
        """Return the certificate as RFC 8785 canonical JSON."""
        return rfc8785.dumps(self.document())

    def document(self) -> dict[str, Any]:
        """Return it as JSON values, for the body of a log entry."""
        document: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return document

    @classmethod
    def parse(cls, data: bytes) -> ErasureCertificate:
        """Read a certificate back; unknown fields are refused.

        Raises:
            CertificateRefused: It is none.
        """
        try:
            return _adapter().validate_json(data)
        except ValidationError as error:
            raise CertificateRefused(f"this is no erasure certificate: {error}") from error

    @classmethod
    def read(cls, document: object) -> ErasureCertificate:
        """Read it back from the body of a log entry."""
        return cls.parse(json.dumps(document).encode())

    def removed(self) -> int:
        """Return how many things all stores removed."""
        return sum(status.removed for status in self.stores)

    def verify(self, vkey: str) -> None:
        """Check the receipt under the erasure key and that it covers this certificate.

        Raises:
            CertificateRefused: A field was changed, or another key signed.
        """
        if self.destruction.certificate_sha256 != self._signed_part():
            raise CertificateRefused("the receipt covers another certificate: a field was changed")
        if (self.destruction.record_id, self.destruction.destroyed_at) != (self.record_id, self.done_at):
            raise CertificateRefused("the receipt names another consent or another time")
        _check_line(self.destruction.body(), self.destruction.signature, vkey)

    def _signed_part(self) -> str:
        document = self.document()
        del document["destruction"]
        return hashlib.sha256(rfc8785.dumps(document)).hexdigest()


class Journal(Protocol):
    """Where erasures are written down: the log, on the edge and at the centre."""

    def begin(self, begun: Begun) -> None:
        """Write `erasure-started`; durable when it returns."""
        ...

    def done(self, certificate: ErasureCertificate) -> None:
        """Write `erasure-done`; durable when it returns."""
        ...

    def open(self) -> tuple[Begun, ...]:
        """Return what was begun and never finished, oldest first."""
        ...

    def finished(self) -> tuple[ErasureCertificate, ...]:
        """Return every certificate of the log, the newest of each consent, oldest first."""
        ...

    def certificate(self, record_id: UUID) -> ErasureCertificate | None:
        """Return the newest certificate of a consent, None while there is none."""
        ...


def _now() -> datetime:
    return datetime.now(UTC)


class Eraser:
    """Erases one consent at a time, in the order that survives a crash at every step.

    Not thread-safe: one thread erases.

    Args:
        journal: The log.
        stores: Every place that may hold something, in the order in which they are asked.
        receipt_signer: The erasure key; it signs nothing else.
        now: Wall clock, for people.
    """

    def __init__(
        self,
        journal: Journal,
        stores: Sequence[ErasableStore],
        *,
        receipt_signer: ReceiptSigner,
        now: Callable[[], datetime] = _now,
    ) -> None:
        """Prepare an eraser; nothing is erased."""
        names = [store.name for store in stores]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"an eraser needs at least one store, each with its own name, not {names}")
        self._journal = journal
        self._stores = tuple(stores)
        self._signer = receipt_signer
        self._now = now

    def erase(self, record_id: UUID, cause: str) -> ErasureCertificate:
        """Erase everything of one consent; asked again, return what was certified.

        Raises:
            ErasureIncomplete: A store could not erase. The entry stands, nothing is certified,
                and `resume` does the rest.
        """
        certificate = self._journal.certificate(record_id)
        begun = next((item for item in self._journal.open() if item.record_id == record_id), None)
        if begun is not None:
            return self._finish(begun, resumed=True)
        if certificate is not None:
            return self._again(certificate) or certificate
        begun = Begun(record_id, cause, self._now(), tuple(store.name for store in self._stores))
        self._journal.begin(begun)
        return self._finish(begun, resumed=False)

    def resume(self) -> tuple[ErasureCertificate, ...]:
        """Finish every erasure that was begun and never finished; call it at the start.

        One that cannot be finished now does not keep the others from it.

        Returns:
            The certificates of those that are finished now.
        """
        finished = []
        for begun in self._journal.open():
            try:
                finished.append(self._finish(begun, resumed=True))
            except ErasureIncomplete as error:
                _log.error("erasure_not_resumed", record_id=str(begun.record_id), error=str(error))
        return tuple(finished)

    def replay(self) -> tuple[ErasureCertificate, ...]:
        """Do every erasure of the log once more; call it after a restore from a backup.

        Where nothing came back, nothing is written.

        Returns:
            New certificates of the consents of which something had come back.

        Raises:
            ErasureIncomplete: A store could not erase; the others were asked all the same.
        """
        renewed, failures = list(self.resume()), []
        for certificate in self._journal.finished():
            try:
                again = self._again(certificate)
            except ErasureIncomplete as error:
                failures.append(str(error))
            else:
                renewed += [again] if again is not None else []
        if failures:
            raise ErasureIncomplete("; ".join(failures))
        return tuple(renewed)

    def _again(self, certificate: ErasureCertificate) -> ErasureCertificate | None:
        """Ask all stores again; certify anew where one still held something."""
        statuses = self._ask(certificate.record_id)
        if not any(status.removed for status in statuses):
            return None
        renewed = self._certify(
            certificate.record_id, certificate.cause, certificate.started_at, statuses, resumed=True
        )
        self._journal.done(renewed)
        return renewed

    def _finish(self, begun: Begun, *, resumed: bool) -> ErasureCertificate:
        statuses = self._ask(begun.record_id)
        certificate = self._certify(begun.record_id, begun.cause, begun.at, statuses, resumed=resumed)
        self._journal.done(certificate)
        return certificate

    def _ask(self, record_id: UUID) -> tuple[StoreStatus, ...]:
        statuses, failures = [], []
        for store in self._stores:
            try:
                removed = store.erase(record_id)
            except Exception as error:  # noqa: BLE001 - whatever one store met, the others are still asked
                failures.append(f"{store.name}: {type(error).__name__}: {error}")
            else:
                statuses.append(StoreStatus(store.name, removed, self._now()))
        if failures:
            raise ErasureIncomplete(
                f"the erasure of consent {record_id} is not complete: {'; '.join(failures)}. "
                "It is tried again until it is; nothing was certified."
            )
        return tuple(statuses)

    def _certify(
        self,
        record_id: UUID,
        cause: str,
        started_at: datetime,
        statuses: tuple[StoreStatus, ...],
        *,
        resumed: bool,
    ) -> ErasureCertificate:
        done_at = max(status.done_at for status in statuses)
        blank = DestructionReceipt(record_id, done_at, "0" * 64, self._signer.vkey(), "")
        certificate = ErasureCertificate(
            record_id, cause, started_at, done_at, statuses, blank, resumed=resumed
        )
        certificate = ErasureCertificate.parse(certificate.canonical())  # the times as they are read back
        receipt = replace(
            certificate.destruction,
            certificate_sha256=certificate._signed_part(),  # noqa: SLF001 - of the same file
        )
        receipt = replace(receipt, signature=self._signer.line(receipt.body()).rstrip("\n"))
        return replace(certificate, destruction=receipt)


def _check_line(body: bytes, line: str, vkey: str) -> None:
    """Check one Ed25519 signature line of a signed note, strictly."""
    try:
        key, signature = verifier(vkey), SignatureLine.parse(line)
        if key.key.kind != ED25519 or not key.made(signature):
            raise CertificateRefused("the receipt was signed by another key")
        key.check(body, signature.signature)
    except CheckpointRefused as error:
        raise CertificateRefused(f"the receipt of the erasure does not hold: {error}") from error


@cache
def _adapter() -> TypeAdapter[ErasureCertificate]:
    return TypeAdapter(ErasureCertificate)


@cache
def _begun_adapter() -> TypeAdapter[Begun]:
    return TypeAdapter(Begun)
