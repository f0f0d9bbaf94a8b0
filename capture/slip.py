"""The citizen's slip: what the page and its QR code show, and how a slip is read back."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final

import segno

from consent.errors import CheckpointRefused, ReceiptRefused
from consent.receipt import normalised
from consent.signed_note import decode, split

if TYPE_CHECKING:
    from consent.receipt import Receipt

LONGEST_SCAN: Final = 4_000
"""Characters of a scanned slip that are read; the text of a receipt has about half of them."""
_CODE: Final = r"([0-9A-Za-z]{4}(?:-[0-9A-Za-z]{4}){3})"
_SLIP: Final = re.compile(rf"hailong receipt 1\s*[0-9A-Fa-f-]{{36}}\s*{_CODE}", re.IGNORECASE)
_ALONE: Final = re.compile(rf"(?<![0-9A-Za-z-]){_CODE}(?![0-9A-Za-z-])")
_QUIET_ZONE: Final = 4


def qr_svg(text: str) -> str:
    """Return a QR code as an SVG element that takes the size its page gives it.

    Raises:
        segno.DataOverflowError: The text is longer than any QR code.
    """
    code = segno.make_qr(text, error="l", boost_error=False)
    out = io.BytesIO()
    code.save(
        out,
        kind="svg",
        border=_QUIET_ZONE,
        xmldecl=False,
        svgns=True,
        omitsize=True,
        nl=False,
        svgclass="qr",
        lineclass=None,
        light="#fff",
    )
    return out.getvalue().decode("utf-8")


def read_code(scanned: str) -> str:
    """Return the code of what was typed or scanned: the code alone, or the whole text of a slip.

    A scanner that acts as a keyboard may drop or change line ends, so a whole slip is not parsed:
    its code alone is looked for. Whoever knows that may withdraw.

    Raises:
        ReceiptRefused: There is no code in it.
    """
    try:
        return normalised(scanned)
    except ReceiptRefused:
        scanned = scanned[:LONGEST_SCAN]
        found = _SLIP.search(scanned) or _ALONE.search(scanned)
        if found is None:
            raise
        return normalised(found[1])


def root_in_short(receipt: Receipt) -> tuple[str, str]:
    """Return size and the first digits of the root that the receipt's checkpoint states."""
    try:
        lines = split(receipt.checkpoint)[0].decode("utf-8").split("\n")
        return lines[1], decode(lines[2]).hex()[:16]
    except (CheckpointRefused, ValueError, IndexError):
        return "", ""
