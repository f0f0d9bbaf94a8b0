"""What the citizen takes home: proof of the answer that was logged, and the code to take it back.

The text of a receipt is what its QR code holds. It can be checked without us, with
`verify_receipt.py` alone: the code and the receipt's id hash to a digest inside the logged
answer, the answer is a leaf of the log, and the log's key signed the root above it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from consent import merkle
from consent.checkpoint import ED25519, OpenedNote, Verifier, open_note, parse_size
from consent.errors import CheckpointRefused, ProofRefused, ReceiptRefused
from consent.event import Event, EventKind
from consent.signed_note import decode, encode, split

HEADER: Final = "hailong receipt 1"
_PROOF: Final = "c2sp.org/tlog-proof@v1"
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_CHARACTERS: Final = 16
_GROUP: Final = 4
_MISREAD: Final = str.maketrans("OIL", "011")
_DECISIONS: Final = frozenset({EventKind.GIVEN, EventKind.REFUSED})
_ED25519_BYTES: Final = 64


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
    """

    receipt_id: UUID
    record_id: UUID
    code: str
    leaf: bytes
    index: int
    checkpoint: bytes
    proof: tuple[bytes, ...]

    def text(self) -> str:
        """Return the text that the QR code holds; of the signatures only the log's Ed25519 ones."""
        body, lines = split(self.checkpoint)
        kept = [str(line) for line in lines if len(line.signature) == _ED25519_BYTES]
        hashes = "".join(f"{encode(value)}\n" for value in self.proof)
        return (
            f"{HEADER}\n{self.receipt_id}\n{self.code}\n{self.leaf.decode()}\n"
            f"{_PROOF}\nindex {self.index}\n{hashes}\n{body.decode()}\n{''.join(kept)}"
        )

    @classmethod
    def parse(cls, text: str) -> Receipt:
        """Read the text of a receipt, strictly; what it says is not checked yet.

        Raises:
            ReceiptRefused: It is no receipt.
        """
        head, parted, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if not parted or len(lines) < 6:  # noqa: PLR2004 - the six lines that are named below
            raise ReceiptRefused("a receipt has six lines, a proof, an empty line and a checkpoint")
        header, receipt_id, code, leaf, proof, index, *hashes = lines
        if (header, proof) != (HEADER, _PROOF) or not index.startswith("index "):
            raise ReceiptRefused("this is no receipt of this format")
        try:
            event = Event.parse(leaf.encode())
            found = cls(
                receipt_id=UUID(receipt_id),
                record_id=event.record_id,
                code=normalised(code),
                leaf=leaf.encode(),
                index=parse_size(index.removeprefix("index ")),
                checkpoint=checkpoint.encode(),
                proof=tuple(decode(value) for value in hashes),
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


def _grouped(digits: str) -> str:
    return "-".join(digits[start : start + _GROUP] for start in range(0, _CODE_CHARACTERS, _GROUP))
