"""C2SP signed notes: text, a blank line, signature lines; parsed strictly.

Each byte of an accepted note is the byte that was signed or written: lines end with a newline
and nothing else, and base64 must be what its own bytes encode to. A parser that forgives
here lets a signed note be altered without a signature failing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from consent.errors import CheckpointRefused

LONGEST_NOTE_BYTES: Final = 256 * 1024
MOST_SIGNATURES: Final = 64
"""C2SP asks for 16 at least; one of ML-DSA-44 takes 3.3 KB."""

_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DASH: Final = "\N{EM DASH} "
_KEY_ID_BYTES: Final = 4
_VKEY: Final = re.compile(r"([^+]+)\+([0-9a-f]{8})\+(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature of a note, not yet verified."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        """Return the line with its newline."""
        return f"{_DASH}{self.name} {encode(self.key_id + self.signature)}\n"

    @classmethod
    def parse(cls, line: str) -> SignatureLine:
        """Read a line without its newline.

        Raises:
            CheckpointRefused: It is no signature line.
        """
        words = line.removeprefix(_DASH).split(" ")
        if not line.startswith(_DASH) or len(words) != 2:  # noqa: PLR2004 - a name and a signature
            raise CheckpointRefused("a line below the blank line is not '\N{EM DASH} NAME SIGNATURE'")
        data = decode(words[1])
        if len(data) <= _KEY_ID_BYTES:
            raise CheckpointRefused(f"the signature of {words[0]} is too short")
        return cls(check_name(words[0]), data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class Vkey:
    """A public key as C2SP writes it: `NAME+KEY ID+base64(TYPE, KEY)`."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that name the key, its type and its holder in a signature line."""
        held = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return hashlib.sha256(held).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        """Return the text that is handed around."""
        return f"{self.name}+{self.key_id.hex()}+{encode(bytes([self.kind]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> Vkey:
        """Read a key and check that its id is its own.

        Raises:
            CheckpointRefused: The text is no key.
        """
        found = _VKEY.fullmatch(text)
        data = decode(found[3]) if found else b""
        if found is None or len(data) <= 1:
            raise CheckpointRefused(f"'{text[:80]}' is no key: expected NAME+KEYID+BASE64")
        key = cls(check_name(found[1]), data[0], data[1:])
        if key.key_id.hex() != found[2]:
            raise CheckpointRefused(f"the key of {key.name} has not the id it says: copy it again, whole")
        return key


def encode(data: bytes) -> str:
    """Return standard base64."""
    return base64.b64encode(data).decode("ascii")


def decode(text: str) -> bytes:
    """Decode base64 and refuse every spelling but the one that encoding gives back.

    Raises:
        CheckpointRefused: It is none, or has spare bits set, or lacks padding.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise CheckpointRefused(f"no base64: {error}") from error
    if encode(data) != text:
        raise CheckpointRefused("base64 with another spelling than its bytes have")
    return data


def check_name(name: str) -> str:
    """Return a key name, or an origin, that can stand in a note.

    Raises:
        CheckpointRefused: It is empty or holds white space, a plus or a control character.
    """
    if not name or "+" in name or any(mark.isspace() for mark in name) or _CONTROL.search(name):
        raise CheckpointRefused(f"'{name[:80]}' cannot name a key: no spaces, no '+', not empty")
    return name


def split(note: bytes) -> tuple[bytes, tuple[SignatureLine, ...]]:
    """Return the signed text of a note and its signature lines, none of them verified.

    Raises:
        CheckpointRefused: It is no signed note, or one larger than any of ours.
    """
    if len(note) > LONGEST_NOTE_BYTES:
        raise CheckpointRefused(f"a note of {len(note)} bytes; {LONGEST_NOTE_BYTES} is the most")
    try:
        text = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointRefused(f"the note is no UTF-8: {error.reason}") from error
    if _CONTROL.search(text):
        raise CheckpointRefused("the note holds a control character")
    body, blank, rest = text.rpartition("\n\n")
    if not blank or not rest.endswith("\n"):
        raise CheckpointRefused("the note has no blank line with signature lines below it")
    lines = rest[:-1].split("\n")
    if len(lines) > MOST_SIGNATURES:
        raise CheckpointRefused(f"the note has {len(lines)} signatures; {MOST_SIGNATURES} is the most")
    return (body + "\n").encode(), tuple(SignatureLine.parse(line) for line in lines)
