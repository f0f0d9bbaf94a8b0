"""Which encoding a text file is in: offices send UTF-8, UTF-16 and Windows-1258, with and without a mark."""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 1 << 20
_PROBE_BYTES: Final = 4096
_NUL_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What one pass over a file tells.

    Attributes:
        encoding: Name of the codec, without a byte order mark's characters in what it gives.
        head: The first bytes.
    """

    sha256: bytes
    size: int
    encoding: str
    head: bytes


def examine(path: Path) -> FileFacts:
    """Hash a file and find its encoding, in one pass and little memory.

    A file with a few wrong bytes among well-formed UTF-8 is UTF-8: those bytes are replaced when it is read,
    and the cells they stand in are refused, not the file. Without any well-formed one it is Windows-1258.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    head = b""
    size = wrong = right = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            head = head or chunk[:_PROBE_BYTES]
            digest.update(chunk)
            size += len(chunk)
            text = decoder.decode(chunk)
            if not text.isascii():
                bad = text.count("\N{REPLACEMENT CHARACTER}")
                wrong += bad
                right += sum(char > "\x7f" for char in text) - bad
    wrong += decoder.decode(b"", final=True).count("\N{REPLACEMENT CHARACTER}")
    return FileFacts(digest.digest(), size, _encoding(head, wrong, right), head)


def _encoding(head: bytes, wrong: int, right: int) -> str:
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for first, name in ((0, "utf-16-be"), (1, "utf-16-le")):
        half = head[first::2]
        if half and half.count(0) / len(half) > _NUL_SHARE:
            return name
    return "utf-8" if right >= wrong else "cp1258"
