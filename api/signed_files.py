"""A file that leaves the centre, with a signature beside it: a C2SP signed note over its SHA-256.

The note also names the entry of the centre's log that tells of the export, so whoever holds the file can ask
an auditor whether the log vouches for it. The export key signs nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from api.errors import ExportRefused
from consent.checkpoint import ED25519, Signer, verifier
from consent.errors import CheckpointRefused
from consent.signed_note import split

_HEADER: Final = "hailong export 1"
_TEXT: Final = re.compile(
    rf"{_HEADER}\nfile ([^\n/]{{1,200}})\nsha256 ([0-9a-f]{{64}})\nat ([^\n]{{1,40}})\n"
    r"entry (0|[1-9][0-9]{0,18}) of ([^\n ]{1,200})\n"
)


@dataclass(frozen=True, slots=True)
class FileStatement:
    """What the signature says.

    Attributes:
        name: Name under which the file left.
        sha256: Of its bytes, hexadecimal.
        at: When, as ISO 8601.
        index: Entry of the centre's log that tells of the export.
        origin: That log.
    """

    name: str
    sha256: str
    at: str
    index: int
    origin: str

    def body(self) -> bytes:
        """Return the text that is signed."""
        return (
            f"{_HEADER}\nfile {self.name}\nsha256 {self.sha256}\nat {self.at}\n"
            f"entry {self.index} of {self.origin}\n"
        ).encode()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read the text, strictly.

        Raises:
            ExportRefused: It is none.
        """
        found = _TEXT.fullmatch(body.decode("utf-8", "replace"))
        if found is None:
            raise ExportRefused("the signature is not over a file of an export: take the .sig beside it")
        statement = cls(found[1], found[2], found[3], int(found[4]), found[5])
        if statement.body() != body:
            raise ExportRefused("the signed text is not written as its own fields are")
        return statement


def sign_file(statement: FileStatement, signer: Signer) -> bytes:
    """Return the signed note that goes beside the file."""
    body = statement.body()
    return body + b"\n" + signer.line(body).encode()


def check_file(data: bytes, note: bytes, vkeys: Iterable[str]) -> FileStatement:
    """Check a file against the note beside it.

    Args:
        data: The file.
        note: The signed note.
        vkeys: Export keys that you were given apart, as C2SP text.

    Raises:
        ExportRefused: Another file, another key, or no signature.
    """
    try:
        body, lines = split(note)
        statement = FileStatement.parse(body)
        signed = False
        for key in map(verifier, vkeys):
            if key.key.kind != ED25519:
                raise ExportRefused(f"the key of {key.name} is no Ed25519 key: copy the export key")
            for line in lines:
                if key.made(line):
                    key.check(body, line.signature)
                    signed = True
    except CheckpointRefused as error:
        raise ExportRefused(f"the signature does not hold: {error}") from error
    if not signed:
        raise ExportRefused("none of the keys you named signed this file: compare them with /log/keys")
    if hashlib.sha256(data).hexdigest() != statement.sha256:
        raise ExportRefused("the file is not the one that was signed: a byte of it was changed")
    return statement
