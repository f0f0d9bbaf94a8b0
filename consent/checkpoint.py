"""Checkpoints of a log: C2SP tlog-checkpoint, signed by the log, cosigned by witnesses.

A log signs with Ed25519 (type 0x01) and, beside it, with ML-DSA-44 (type 0x06, the signature
that C2SP recommends for new logs); a witness cosigns with Ed25519 (`cosignature/v1`, type
0x04) or ML-DSA-44, and says when. The name of a log's key is the origin of the log.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from consent.errors import CheckpointRefused
from consent.merkle import HASH_BYTES
from consent.signed_note import SignatureLine, Vkey, check_name, decode, encode, split

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
ML_DSA_44: Final = 0x06
"""Signature types of C2SP; 0x06 is a timestamped signature over the root, of a log or a witness."""

LARGEST_SIZE: Final = 2**63 - 1
_PUBLIC_BYTES: Final = {ED25519: 32, COSIGNATURE: 32, ML_DSA_44: 1312}
_SIGNATURE_BYTES: Final = {ED25519: 64, COSIGNATURE: 8 + 64, ML_DSA_44: 8 + 2420}
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_LONGEST_NAME_BYTES: Final = 255


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: its identity, number of entries and root."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what could not be written and read again.

        Raises:
            CheckpointRefused: A field cannot stand in a checkpoint.
        """
        check_name(self.origin)
        if not 0 <= self.size <= LARGEST_SIZE or len(self.root) != HASH_BYTES:
            raise CheckpointRefused(
                f"no checkpoint has size {self.size} and a root of {len(self.root)} bytes"
            )
        if any(not line or not line.isprintable() for line in self.extensions):
            raise CheckpointRefused("an extension line is empty or holds a control character")

    def body(self) -> bytes:
        """Return the text that is signed."""
        lines = (self.origin, str(self.size), encode(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines).encode()

    @classmethod
    def parse(cls, body: bytes) -> Checkpoint:
        """Read the text of a checkpoint.

        Raises:
            CheckpointRefused: It is none.
        """
        try:
            lines = body.decode("utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise CheckpointRefused(f"the checkpoint is no UTF-8: {error.reason}") from error
        if len(lines) < 4 or lines[-1]:  # noqa: PLR2004 - origin, size, root and what follows the last newline
            raise CheckpointRefused("a checkpoint has an origin, a size and a root, a line each")
        found = cls(lines[0], parse_size(lines[1]), decode(lines[2]), tuple(lines[3:-1]))
        if found.body() != body:
            raise CheckpointRefused("the checkpoint is not written as its own fields are")
        return found


class Signer(Protocol):
    """Somebody who signs checkpoints: a log or a witness."""

    @property
    def name(self) -> str:
        """The name of the key; the origin, for a log."""
        ...

    def line(self, body: bytes) -> str:
        """Return the signature line over a checkpoint's text, with its newline."""
        ...

    def vkey(self) -> str:
        """Return the public key as text."""
        ...


class Ed25519Signer:
    """A log that signs with Ed25519."""

    def __init__(self, name: str, private_key: Ed25519PrivateKey) -> None:
        """Sign in this name, which is the origin of the log."""
        self.name = name
        self._key = private_key
        self._vkey = Vkey(check_name(name), ED25519, private_key.public_key().public_bytes_raw())

    def line(self, body: bytes) -> str:
        """Return the signature line over a checkpoint's text."""
        return str(SignatureLine(self.name, self._vkey.key_id, self._key.sign(body)))

    def vkey(self) -> str:
        """Return the public key as text."""
        return str(self._vkey)


class CosignatureSigner:
    """A witness that cosigns with Ed25519 and the time of its look."""

    def __init__(
        self, name: str, private_key: Ed25519PrivateKey, now_s: Callable[[], float] = time.time
    ) -> None:
        """Sign in this name; `now_s` tells seconds since the epoch."""
        self.name = name
        self._key = private_key
        self._now_s = now_s
        self._vkey = Vkey(check_name(name), COSIGNATURE, private_key.public_key().public_bytes_raw())

    def line(self, body: bytes) -> str:
        """Return the cosignature line over a checkpoint's text."""
        at_s = int(self._now_s())
        signed = at_s.to_bytes(8, "big") + self._key.sign(_cosigned_text(at_s, body))
        return str(SignatureLine(self.name, self._vkey.key_id, signed))

    def vkey(self) -> str:
        """Return the public key as text."""
        return str(self._vkey)


class MlDsa44Signer:
    """A log or a witness that signs with ML-DSA-44, against whoever gets a quantum computer."""

    def __init__(
        self, name: str, private_key: MLDSA44PrivateKey, now_s: Callable[[], float] | None = None
    ) -> None:
        """Sign in this name; without a clock (a log) no statement is made about the time."""
        self.name = name
        self._key = private_key
        self._now_s = now_s
        self._vkey = Vkey(check_name(name), ML_DSA_44, private_key.public_key().public_bytes_raw())

    def line(self, body: bytes) -> str:
        """Return the signature line over a checkpoint's text."""
        at_s = int(self._now_s()) if self._now_s is not None else 0
        message = _cosigned_message(self.name, at_s, Checkpoint.parse(body))
        signed = at_s.to_bytes(8, "big") + self._key.sign(message)
        return str(SignatureLine(self.name, self._vkey.key_id, signed))

    def vkey(self) -> str:
        """Return the public key as text."""
        return str(self._vkey)


def ml_dsa_offered() -> bool:
    """Tell whether the cryptography library of this machine can do ML-DSA-44."""
    try:
        MLDSA44PrivateKey.from_seed_bytes(bytes(32))
    except UnsupportedAlgorithm:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key that signatures are checked against."""

    key: Vkey

    @property
    def name(self) -> str:
        """Whose key it is."""
        return self.key.name

    def vkey(self) -> str:
        """Return the public key as text."""
        return str(self.key)

    def made(self, line: SignatureLine) -> bool:
        """Tell whether a line claims to be of this key."""
        return (line.name, line.key_id) == (self.key.name, self.key.key_id)

    def check(self, body: bytes, signature: bytes) -> int | None:
        """Verify one signature over a checkpoint's text; returns its time in seconds, None when it has none.

        Raises:
            CheckpointRefused: The signature does not hold.
        """
        if len(signature) != _SIGNATURE_BYTES[self.key.kind]:
            raise CheckpointRefused(f"the signature of {self.name} has a wrong length")
        at_s = 0 if self.key.kind == ED25519 else int.from_bytes(signature[:8], "big")
        if at_s > LARGEST_SIZE:
            raise CheckpointRefused(f"the signature of {self.name} is of no time")
        try:
            if self.key.kind == ED25519:
                Ed25519PublicKey.from_public_bytes(self.key.public).verify(signature, body)
            elif self.key.kind == COSIGNATURE:
                public = Ed25519PublicKey.from_public_bytes(self.key.public)
                public.verify(signature[8:], _cosigned_text(at_s, body))
            else:
                message = _cosigned_message(self.name, at_s, Checkpoint.parse(body))
                MLDSA44PublicKey.from_public_bytes(self.key.public).verify(signature[8:], message)
        except (InvalidSignature, ValueError) as error:
            raise CheckpointRefused(f"the signature of {self.name} does not hold over this text") from error
        except UnsupportedAlgorithm as error:
            raise CheckpointRefused(
                f"this machine cannot check the ML-DSA-44 signature of {self.name}: check with the Ed25519 "
                "key alone, or install a cryptography package that offers ML-DSA"
            ) from error
        return at_s or None


def verifier(vkey: str) -> Verifier:
    """Return what checks the signatures of a key given as text.

    Raises:
        CheckpointRefused: The text is no key, or one of a type that is not used here.
    """
    key = Vkey.parse(vkey)
    if _PUBLIC_BYTES.get(key.kind) != len(key.public):
        raise CheckpointRefused(
            f"the key of {key.name} is none of Ed25519, cosignature/v1 and ML-DSA-44 (type {key.kind:#04x})"
        )
    return Verifier(key)


def sign(checkpoint: Checkpoint, signers: Sequence[Signer]) -> bytes:
    """Return the signed note of a checkpoint.

    Raises:
        CheckpointRefused: Nobody signs, or a signer's name is not the origin of the log.
    """
    wrong = [signer.name for signer in signers if signer.name != checkpoint.origin]
    if wrong or not signers:
        raise CheckpointRefused(f"a checkpoint of {checkpoint.origin} is signed in that name, not by {wrong}")
    body = checkpoint.body()
    return body + b"\n" + "".join(signer.line(body) for signer in signers).encode()


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that holds.

    Attributes:
        by: The key that made it.
        at_s: Seconds since the epoch; None when the signature says no time.
    """

    by: Verifier
    at_s: int | None


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A checkpoint that at least one known key signed.

    Attributes:
        signatures: The signatures that hold, in the order of the note.
        unknown: Signatures of keys that are not known here; they say nothing.
    """

    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]
    unknown: int

    @property
    def verified(self) -> tuple[str, ...]:
        """Names of the keys whose signatures hold."""
        return tuple(signature.by.name for signature in self.signatures)


def open_note(note: bytes, verifiers: Iterable[Verifier]) -> OpenedNote:
    """Read a signed checkpoint.

    Raises:
        CheckpointRefused: It is malformed, a known key's signature is wrong or there twice, or no known
            key signed it.
    """
    known = tuple(verifiers)
    body, lines = split(note)
    checkpoint = Checkpoint.parse(body)
    found: list[Signature] = []
    for line in lines:
        by = next((key for key in known if key.made(line)), None)
        if by is None:
            continue
        if any(signature.by == by for signature in found):
            raise CheckpointRefused(f"{by.name} signed twice with one key")
        found.append(Signature(by, by.check(body, line.signature)))
    if not found:
        names = ", ".join(sorted({key.name for key in known})) or "nobody"
        raise CheckpointRefused(
            f"no known key signed this checkpoint of {checkpoint.origin} (known: {names})"
        )
    return OpenedNote(checkpoint, tuple(found), len(lines) - len(found))


def peek(note: bytes) -> Checkpoint:
    """Return what a note says, UNVERIFIED: to choose the keys with which it is then opened."""
    return Checkpoint.parse(split(note)[0])


def with_signatures(note: bytes, lines: str) -> bytes:
    """Return the note with signature lines added; a newer line of the same key replaces the older.

    Raises:
        CheckpointRefused: The note or a line is malformed.
    """
    body, kept = split(note)
    if not lines.endswith("\n"):
        raise CheckpointRefused("a signature line ends with a newline")
    signatures = {(line.name, line.key_id): line for line in kept}
    for text in lines[:-1].split("\n"):
        line = SignatureLine.parse(text)
        signatures[line.name, line.key_id] = line
    return body + b"\n" + "".join(map(str, signatures.values())).encode()


@dataclass(frozen=True, slots=True)
class KeyPeriod:
    """One key of a log and the sizes of the log at which it signs.

    Attributes:
        from_size: First size it signs.
        until_size: First size it no longer signs; None while it is in use.
    """

    vkey: str
    from_size: int = 0
    until_size: int | None = None

    def holds_at(self, size: int) -> bool:
        """Tell whether a checkpoint of this size is signed with this key."""
        return self.from_size <= size and (self.until_size is None or size < self.until_size)


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """The keys of one log, past and present: after a rotation, old checkpoints and proofs stay valid."""

    periods: tuple[KeyPeriod, ...]

    @classmethod
    def of(cls, vkeys: Iterable[str]) -> KeyHistory:
        """Return the history of a log that never changed its keys."""
        return cls(tuple(KeyPeriod(vkey) for vkey in vkeys))

    def rotated(self, vkey: str, at_size: int) -> KeyHistory:
        """Return the history with a new key from a size on, in place of the key of the same type.

        Raises:
            CheckpointRefused: The new key is malformed, or of another log.
        """
        new = verifier(vkey).key
        periods = []
        for period in self.periods:
            old = verifier(period.vkey).key
            if old.name != new.name:
                raise CheckpointRefused(f"the key of {new.name} is no key of {old.name}")
            ends = period.until_size is None and old.kind == new.kind
            periods.append(replace(period, until_size=at_size) if ends else period)
        return KeyHistory((*periods, KeyPeriod(vkey, at_size)))

    def verifiers(self, size: int) -> tuple[Verifier, ...]:
        """Return the keys that sign the log at a size."""
        return tuple(verifier(period.vkey) for period in self.periods if period.holds_at(size))

    def open(self, note: bytes) -> OpenedNote:
        """Open a checkpoint with the keys of its size, as `open_note` does."""
        return open_note(note, self.verifiers(peek(note).size))


@dataclass(frozen=True, slots=True)
class WitnessedCheckpoint:
    """A checkpoint that the log signed, and who outside has seen it.

    Attributes:
        witnesses: Name and time (seconds since the epoch) of each cosignature that holds.
        witnessed: Whether the quorum is reached. Without it an insider may have rewritten the log.
    """

    checkpoint: Checkpoint
    witnesses: tuple[tuple[str, int], ...]
    witnessed: bool


@dataclass(frozen=True, slots=True)
class WitnessPolicy:
    """Whose signatures make a checkpoint one to rely on.

    Attributes:
        log: Keys of the log: all of them must have signed.
        witnesses: Keys of the witnesses; one with several keys counts once, and a log never for itself.
        quorum: How many witnesses there must be.
    """

    log: tuple[Verifier, ...] | KeyHistory
    witnesses: tuple[Verifier, ...] = ()
    quorum: int = 1

    def check(self, note: bytes) -> WitnessedCheckpoint:
        """Open a checkpoint and count its witnesses.

        Raises:
            CheckpointRefused: The log did not sign it with each of its keys, a signature is wrong, or it
                is a checkpoint of another log.
        """
        log = self.log.verifiers(peek(note).size) if isinstance(self.log, KeyHistory) else self.log
        opened = open_note(note, (*log, *self.witnesses))
        made = {signature.by: signature.at_s for signature in opened.signatures}
        if not log or any(key not in made for key in log):
            raise CheckpointRefused("the checkpoint is not signed with every key of its log")
        if any(key.name != opened.checkpoint.origin for key in log):
            raise CheckpointRefused(f"a checkpoint of {opened.checkpoint.origin}, signed by another log")
        seen: dict[str, int] = {}
        for key in self.witnesses:
            if key in made and key.key.kind != ED25519 and key.name != opened.checkpoint.origin:
                seen[key.name] = max(seen.get(key.name, 0), made[key] or 0)
        return WitnessedCheckpoint(opened.checkpoint, tuple(sorted(seen.items())), len(seen) >= self.quorum)

    def require(self, note: bytes) -> WitnessedCheckpoint:
        """Open a checkpoint and insist on the quorum.

        Raises:
            CheckpointRefused: As `check`, or too few witnesses have seen it.
        """
        found = self.check(note)
        if not found.witnessed:
            raise CheckpointRefused(
                f"{len(found.witnesses)} of {self.quorum} witnesses have seen the checkpoint of size "
                f"{found.checkpoint.size}: unwitnessed"
            )
        return found


def parse_size(text: str) -> int:
    """Read a decimal number without leading zeros.

    Raises:
        CheckpointRefused: It is written in another way, or too large.
    """
    if not _NUMBER.fullmatch(text) or int(text) > LARGEST_SIZE:
        raise CheckpointRefused(f"'{text[:30]}' is no size of a log")
    return int(text)


def _cosigned_text(at_s: int, body: bytes) -> bytes:
    return f"cosignature/v1\ntime {at_s}\n".encode() + body


def _cosigned_message(name: str, at_s: int, checkpoint: Checkpoint) -> bytes:
    """Return the `cosigned_message` of tlog-cosignature, for a whole tree."""
    if checkpoint.extensions:
        raise CheckpointRefused("an ML-DSA-44 signature does not cover extension lines: leave them out")
    held, origin = name.encode(), checkpoint.origin.encode()
    if max(len(held), len(origin)) > _LONGEST_NAME_BYTES:
        raise CheckpointRefused("a name or an origin is longer than 255 bytes")
    return b"".join(
        (
            b"subtree/v1\n\0",
            bytes([len(held)]) + held,
            struct.pack(">Q", at_s),
            bytes([len(origin)]) + origin,
            struct.pack(">QQ", 0, checkpoint.size),
            checkpoint.root,
        )
    )
