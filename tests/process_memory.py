"""What a core image of a running process would hold: its memory, searched from outside.

Read from `/proc/PID/mem` while the process stands still: every readable stretch that a core image
takes, which is all but files that are mapped and unchanged. Needles are searched in every form in
which a program may hold text: UTF-8, UTF-16, UTF-32, Latin-1, JSON escapes; as written, in lower case, in
capitals, each word with a capital, composed and decomposed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_CODES = ("utf-8", "utf-16-le", "utf-32-le", "latin-1")
_BLOCK = 1 << 22
_ANCHOR = 4
_HASH_BITS = 20


def forms(needle: str) -> frozenset[bytes]:
    """Return the bytes that a text may be held as."""
    found = set()
    for norm in ("NFC", "NFD"):
        text = unicodedata.normalize(norm, needle)
        for case in (text, text.lower(), text.upper(), text.title(), text.capitalize()):
            found.add(json.dumps(case)[1:-1].encode())
            for code in _CODES:
                with contextlib.suppress(UnicodeEncodeError):
                    found.add(case.encode(code))
    return frozenset(found)


class Needles:
    """Texts that are searched together, in one pass over the bytes.

    Of each form the rarest four bytes in a row are looked for by a table of hashes; where they are, the
    whole form is compared.

    Args:
        texts: What to look for, four letters or more each.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = frozenset(texts)
        self.longest = 1
        self._of_anchor: dict[int, list[tuple[int, bytes, str]]] = {}
        for text in self.texts:
            for form in forms(text):
                at = max(range(len(form) - _ANCHOR + 1), key=lambda at: _rarity(form[at : at + _ANCHOR]))
                anchor = int.from_bytes(form[at : at + _ANCHOR], "little")
                self._of_anchor.setdefault(anchor, []).append((at, form, text))
                self.longest = max(self.longest, len(form))
        self._table = np.zeros(1 << _HASH_BITS, bool)
        self._table[_hashed(np.array(list(self._of_anchor), np.uint32))] = True

    def count(self, data: bytes) -> Counter[str]:
        """Count each text in some bytes."""
        found: Counter[str] = Counter()
        for shift in range(_ANCHOR):
            words = np.frombuffer(data, "<u4", (len(data) - shift) // _ANCHOR, shift)
            hits = np.flatnonzero(self._table[_hashed(words)])
            for start, anchor in zip((hits * _ANCHOR + shift).tolist(), words[hits].tolist(), strict=True):
                for at, form, text in self._of_anchor.get(anchor, ()):
                    found[text] += start >= at and data.startswith(form, start - at)
        return +found


def _hashed(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return (words * np.uint32(2_654_435_761)) >> np.uint32(32 - _HASH_BITS)


def _rarity(four: bytes) -> tuple[int, int]:
    """Order four bytes by how rare they are: letters beyond ASCII before letters before zeros."""
    return sum(byte > 0x7F or 0 < byte < 0x20 for byte in four), sum(byte != 0 for byte in four)


def searched(process_id: int, needles: Needles) -> Counter[str]:
    """Count each text in the memory of a process, which stands still meanwhile."""
    found: Counter[str] = Counter()
    with standing_still(process_id):
        for block in _blocks(process_id, needles.longest):
            found += needles.count(block)
    return found


@contextlib.contextmanager
def standing_still(process_id: int) -> Iterator[None]:
    """Stop a process, and let it go on."""
    os.kill(process_id, signal.SIGSTOP)
    try:
        until = time.monotonic() + 30
        while _state(process_id) != "T":
            assert time.monotonic() < until, "the process does not stop"
            time.sleep(0.01)
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


def _blocks(process_id: int, overlap: int) -> Iterator[bytes]:
    read = 0
    with Path(f"/proc/{process_id}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{process_id}/maps").read_text("utf-8").splitlines():
            span, rights, _, _, inode, *_ = line.split()
            if "r" not in rights or (inode != "0" and "w" not in rights) or line.endswith("[vvar]"):
                continue
            start, end = (int(item, 16) for item in span.split("-"))
            while start < end:
                try:
                    block = os.pread(memory.fileno(), min(_BLOCK, end - start), start)
                except OSError:  # a page that the kernel keeps to itself
                    break
                if not block:
                    break
                read += len(block)
                if block.count(0) != len(block):
                    yield block
                start += len(block)
                if start < end:
                    start -= min(overlap, len(block) - 1)
    assert read > 1 << 20, "nothing of the process could be read"


def _state(process_id: int) -> str:
    return Path(f"/proc/{process_id}/stat").read_text("utf-8").rpartition(")")[2].split()[0]


def children(process_id: int) -> Mapping[int, str]:
    """Return the children of a process with the state of each; `Z` is one that was not reaped."""
    found: dict[int, str] = {}
    for thread in Path(f"/proc/{process_id}/task").iterdir():
        for child in (thread / "children").read_text("ascii").split():
            with contextlib.suppress(FileNotFoundError):
                found[int(child)] = _state(int(child))
    return found
