"""What the citizen takes home: proof of the answer that was logged, and the code to take it back.

The text of a receipt is what its QR code holds. It can be checked without us, with
`verify_receipt.py` alone: the code and the receipt's id hash to a digest inside the logged
answer, the answer is a leaf of the log, and the log's key signed the root above it.

Witnesses follow the centre's log, not the desk's. A *witnessed* receipt, which the centre gives out,
goes on from there: the desk's checkpoint is a leaf of the centre's log, and witnesses cosigned that.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from consent import merkle
from consent.checkpoint import (
    ED25519,
    OpenedNote,
    Verifier,
    WitnessedCheckpoint,
    WitnessPolicy,
    open_note,
    parse_size,
)
from consent.errors import CheckpointRefused, ProofRefused, ReceiptRefused
from consent.event import Event, EventKind
from consent.signed_note import decode, encode, split

HEADER: Final = "hailong receipt 1"
WITNESSED_HEADER: Final = "hailong witnessed receipt 1"
_PROOF: Final = "c2sp.org/tlog-proof@v1"
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_CHARACTERS: Final = 16
_GROUP: Final = 4
_MISREAD: Final = str.maketrans("OIL", "011")
_FOLDED: Final = "edge-checkpoint"
_DECISIONS: Final = frozenset({EventKind.GIVEN, EventKind.REFUSED})
_ED25519_BYTES: Final = 64
_COSIGNATURE_BYTES: Final = 8 + 64


def new_code() -> str:
    """Return a fresh withdrawal code: 80 random bits, XXXX-XXXX-XXXX-XXXX in Crockford's base 32."""
    number = secrets.randbits(_CODE_CHARACTERS * 5)
    digits = "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_CODE_CHARACTERS))
    return _grouped(digits)


def normalised(code: str) -> str:
    """Return a code as it was given out, however it was typed: O read as 0, I and L as 1.

    Raises:
        ReceiptRefused: It is no code.
    """
    digits = "".join(code.split()).replace("-", "").upper().translate(_MISREAD)
    if len(digits) != _CODE_CHARACTERS or not set(digits) <= set(_ALPHABET):
        raise ReceiptRefused("a withdrawal code has sixteen letters and digits: XXXX-XXXX-XXXX-XXXX")
    return _grouped(digits)


def code_digest(code: str) -> str:
    """Return what the record keeps of a code: nobody can read the code from it.

    Raises:
        ReceiptRefused: It is no code.
    """
    return hashlib.sha256(b"hailong withdrawal code 1\n" + normalised(code).encode()).hexdigest()


def receipt_digest(receipt_id: UUID, withdrawal_digest: str) -> str:
    """Return what ties the logged answer to one receipt."""
    text = f"hailong receipt 1\n{receipt_id}\n{withdrawal_digest}\n"
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Folding:
    """The desk's checkpoint as an entry of the centre's log.

    Attributes:
        leaf: The entry, the exact bytes.
        index: Its place in the centre's log.
        checkpoint: State of the centre's log, signed and cosigned.
        proof: Inclusion proof of the leaf in it.
    """

    leaf: bytes
    index: int
    checkpoint: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt.

    Attributes:
        receipt_id: What the slip is called; it names no person.
        record_id: The consent.
        code: Whoever knows it may withdraw.
        leaf: The logged answer, the exact bytes.
        index: Its place in the log.
        checkpoint: Signed state of the log.
        proof: Inclusion proof of the leaf in it.
        folding: What leads on to the witnesses; the slip from the kiosk has none.
    """

    receipt_id: UUID
    record_id: UUID
    code: str
    leaf: bytes
    index: int
    checkpoint: bytes
    proof: tuple[bytes, ...]
    folding: Folding | None = None

    def text(self) -> str:
        """Return the text that the QR code or the file holds; of the signatures only Ed25519 ones."""
        header = HEADER if self.folding is None else WITNESSED_HEADER
        own = _proof_text(self.leaf, self.index, self.proof, self.checkpoint, {_ED25519_BYTES})
        text = f"{header}\n{self.receipt_id}\n{self.code}\n{own}"
        if self.folding is None:
            return text
        on, sizes = self.folding, {_ED25519_BYTES, _COSIGNATURE_BYTES}
        return f"{text}\n{_proof_text(on.leaf, on.index, on.proof, on.checkpoint, sizes)}"

    @classmethod
    def parse(cls, text: str) -> Receipt:
        """Read the text of a receipt, of either form, strictly; what it says is not checked yet.

        Raises:
            ReceiptRefused: It is no receipt.
        """
        blocks = text.split("\n\n")
        header, *rest = blocks[0].split("\n", 3)
        if len(rest) != 3 or (header, len(blocks)) not in {(HEADER, 3), (WITNESSED_HEADER, 6)}:  # noqa: PLR2004 - blocks of the two forms
            raise ReceiptRefused("this is no receipt of this format, or only a part of one")
        receipt_id, code, own = rest
        try:
            leaf, index, proof = _parse_proof(own)
            event = Event.parse(leaf)
            note = f"{blocks[1]}\n\n{blocks[2]}"
            found = cls(
                receipt_id=UUID(receipt_id),
                record_id=event.record_id,
                code=normalised(code),
                leaf=leaf,
                index=index,
                checkpoint=(note if header == HEADER else f"{note}\n").encode(),
                proof=proof,
            )
            if header == WITNESSED_HEADER:
                leaf, index, proof = _parse_proof(blocks[3])
                found = replace(
                    found, folding=Folding(leaf, index, f"{blocks[4]}\n\n{blocks[5]}".encode(), proof)
                )
            same = found.text() == text
        except (ValueError, CheckpointRefused) as error:
            raise ReceiptRefused(f"the receipt cannot be read: {error}") from error
        if not same or event.kind not in _DECISIONS:
            raise ReceiptRefused("the receipt is not written as its own fields are, or names no answer")
        return found

    def event(self) -> Event:
        """Return the logged answer."""
        return Event.parse(self.leaf)

    def check(self, keys: Sequence[Verifier]) -> OpenedNote:
        """Check that code, answer, proof and checkpoint belong together and that a key signed.

        Raises:
            ReceiptRefused: They do not.
        """
        if self.event().receipt_digest != receipt_digest(self.receipt_id, code_digest(self.code)):
            raise ReceiptRefused("the code or the number of the receipt is not the one of the logged answer")
        try:
            opened = open_note(self.checkpoint, keys)
            tree = opened.checkpoint
            merkle.check_inclusion(merkle.leaf_hash(self.leaf), self.index, tree.size, self.proof, tree.root)
        except (CheckpointRefused, ProofRefused) as error:
            raise ReceiptRefused(f"the receipt does not hold: {error}") from error
        if not any(item.by.key.kind == ED25519 for item in opened.signatures):
            raise ReceiptRefused("no Ed25519 key of the log signed the receipt")
        return opened

    def check_witnessed(self, keys: Sequence[Verifier], centre: WitnessPolicy) -> WitnessedCheckpoint:
        """Check all of a witnessed receipt, up to the quorum of the centre's witnesses.

        Args:
            keys: Keys of the desk's log.
            centre: The Ed25519 keys of the centre's log, its witnesses, and how many there must be.

        Raises:
            ReceiptRefused: It does not hold, or it is one from the kiosk.
        """
        tree, on = self.check(keys).checkpoint, self.folding
        if on is None:
            raise ReceiptRefused("no witness stands behind the slip of a kiosk: fetch the witnessed receipt")
        try:
            told = json.loads(on.leaf)
            named = told["kind"], told["origin"], told["size"], told["root"]
            found = centre.require(on.checkpoint)
            seen = found.checkpoint
            merkle.check_inclusion(merkle.leaf_hash(on.leaf), on.index, seen.size, on.proof, seen.root)
        except (CheckpointRefused, ProofRefused, ValueError, KeyError, TypeError) as error:
            raise ReceiptRefused(f"the receipt does not lead to the witnesses: {error}") from error
        if named != (_FOLDED, tree.origin, tree.size, tree.root.hex()):
            raise ReceiptRefused("the centre's log names another checkpoint than the one of the receipt")
        return found


def _proof_text(leaf: bytes, index: int, proof: Sequence[bytes], note: bytes, kept: set[int]) -> str:
    """Write a leaf, its proof and the checkpoint, with signatures of these lengths alone."""
    body, lines = split(note)
    hashes = "".join(f"{encode(value)}\n" for value in proof)
    signed = "".join(str(line) for line in lines if len(line.signature) in kept)
    return f"{leaf.decode()}\n{_PROOF}\nindex {index}\n{hashes}\n{body.decode()}\n{signed}"


def _parse_proof(text: str) -> tuple[bytes, int, tuple[bytes, ...]]:
    leaf, proof, index, *hashes = text.split("\n")
    if proof != _PROOF or not index.startswith("index "):
        raise ReceiptRefused("this is no proof of this format")
    place = parse_size(index.removeprefix("index "))
    return leaf.encode(), place, tuple(decode(value) for value in hashes)


def _grouped(digits: str) -> str:
    return "-".join(digits[start : start + _GROUP] for start in range(0, _CODE_CHARACTERS, _GROUP))
