"""Check the receipt of a consent without the system that made it. | Kiểm tra phiếu đồng ý độc lập.

    python verify_receipt.py receipt.txt --key VKEY [--centre VKEY] [--witness VKEY ...]

Needs Python 3.11 and the package `cryptography`. VKEY: a published public key (name+hash+base64). Checks:
1. the code and the number on the slip are the ones in the logged answer,
2. that answer is entry N of the desk's log (RFC 6962), whose state --key signed (C2SP signed note),
3. of a witnessed receipt: that state is an entry of the centre's log, which --centre and --witness signed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519, COSIGNATURE = 1, 4
VI = {"image": "hình ảnh khuôn mặt", "voice": "giọng nói", "quotes": "trích lời nói đã ẩn danh"}
EN = {"image": "facial image", "voice": "voice", "quotes": "redacted quotes"}
FORMS = {"hailong receipt 1": 3, "hailong witnessed receipt 1": 6}  # blocks of the text
UNWITNESSED = (
    "CHƯA kiểm tra bên chứng kiến nào: ai giữ khoá có thể đã ký lại nhật ký. | "
    "No witness was checked: who holds the keys may have signed another log."
)
UNPROVEN = "Không chứng minh: đến nay chưa rút lại. | Not shown: that it was not withdrawn since."
ANSWERS = {"given": "đồng ý", "refused": "từ chối"}


class ReceiptRefused(Exception):  # noqa: N818 - named for what happened
    """The receipt does not hold."""


def sha256(data: bytes) -> bytes:
    """Return the SHA-256 of data."""
    return hashlib.sha256(data).digest()


def strict_base64(text: str) -> bytes:
    """Decode base64; every other spelling of the same bytes is refused."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ReceiptRefused(f"not the one base64 spelling: {text[:20]}")
    return data


def number(text: str, before: str = "") -> int:
    """Read a number; every other spelling of it is refused."""
    if not (found := re.fullmatch(f"{before}(0|[1-9][0-9]{{0,18}})", text)):
        raise ReceiptRefused(f"no place or size in a log: {text[:50]!r}")
    return int(found[1])


class Key:
    """A public key given as text."""

    def __init__(self, vkey: str) -> None:
        """Read it; its hash must be its own."""
        self.name, hash_text, text = (*vkey.split("+", 2), "", "")[:3]
        data = strict_base64(text)
        self.kind, self.public = sum(data[:1]), data[1:]
        self.id = sha256(self.name.encode() + b"\n" + data)[:4]
        if self.id.hex() != hash_text or self.kind not in {ED25519, COSIGNATURE} or len(self.public) != 32:  # noqa: PLR2004 - bytes of an Ed25519 key
            raise ReceiptRefused(f"the key of {self.name} is damaged or not Ed25519: copy it again, whole")

    def verify(self, body: bytes, signature: bytes) -> str:
        """Check a signature over the text of a checkpoint; returns when it was made, if it says so."""
        at_s = 0
        if self.kind == COSIGNATURE:
            at_s = int.from_bytes(signature[:8], "big")
            body, signature = f"cosignature/v1\ntime {at_s}\n".encode() + body, signature[8:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, body)
        except InvalidSignature as error:
            raise ReceiptRefused(f"the signature of {self.name} does not hold") from error
        return datetime.fromtimestamp(at_s, UTC).isoformat() if at_s else ""


def root_of(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """Climb from a leaf to the root that the proof leads to (RFC 9162, 2.1.3.2)."""
    if index >= size:
        raise ReceiptRefused(f"there is no entry {index} in a log of {size}")
    found, place, last = sha256(b"\x00" + leaf), index, size - 1
    for sibling in proof:
        if last == 0 or len(sibling) != 32:  # noqa: PLR2004 - bytes of a SHA-256
            raise ReceiptRefused("the proof does not fit the log")
        if place & 1 or place == last:
            found = sha256(b"\x01" + sibling + found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = sha256(b"\x01" + found + sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise ReceiptRefused("the proof is too short for the log")
    return found


def signatures(lines: list[str], body: bytes, keys: list[Key]) -> list[str]:
    """Check that each of these keys signed the body, once; returns what they say of the time."""
    made: dict[tuple[str, bytes], bytes] = {}
    for line in lines:
        words = line.split(" ")
        if len(words) != 3 or words[0] != "\u2014":  # noqa: PLR2004 - dash, name, signature
            raise ReceiptRefused("a line below the checkpoint is no signature")
        data = strict_base64(words[2])
        if (words[1], data[:4]) in made:
            raise ReceiptRefused(f"{words[1]} signed twice")
        made[words[1], data[:4]] = data[4:]
    if missing := [key.name for key in keys if (key.name, key.id) not in made]:
        raise ReceiptRefused(f"not signed by {', '.join(missing)}")
    return [key.verify(body, made[key.name, key.id]) for key in keys]


def proven(lines: list[str], note: str, signed: str, keys: list[Key]) -> tuple[str, int, list[str]]:
    """Check that a leaf is in a log whose state all the keys signed; the first is the log's own."""
    leaf, form, place, *hashes = lines
    tree, log = note.split("\n"), keys[0]
    if form != "c2sp.org/tlog-proof@v1" or len(tree) != 3:  # noqa: PLR2004 - origin, size, root
        raise ReceiptRefused("this is no proof of a format that this program knows")
    index, siblings = number(place, "index "), [strict_base64(item) for item in hashes]
    if root_of(leaf.encode(), index, number(tree[1]), siblings) != strict_base64(tree[2]):
        raise ReceiptRefused(f"entry {index} is not in the signed log {tree[0]}")
    if (log.kind, log.name) != (ED25519, tree[0]):
        raise ReceiptRefused(f"the key of {log.name} is not a key of the log {tree[0]}")
    return leaf, index, signatures(signed.split("\n"), f"{note}\n".encode(), keys)[1:]


def check(text: str, log: Key, witnesses: list[Key], centre: Key | None = None) -> list[str]:
    """Check a receipt; returns what is proven and what is not, in Vietnamese and English."""
    blocks = text[:-1].split("\n\n")
    if not text.endswith("\n") or FORMS.get(text.partition("\n")[0]) != len(blocks):
        raise ReceiptRefused("this is no receipt, or only a part of one")
    _, slip, code, *lines = blocks[0].split("\n")
    if (centre is None) != (len(blocks) == FORMS["hailong receipt 1"]):
        raise ReceiptRefused("--centre goes with a witnessed receipt, and only with one")
    marks = [mark for key in (log, centre, *witnesses) if key for mark in (key.name, key.public)]
    if len(set(marks)) < len(marks) or not all(key.kind == COSIGNATURE for key in witnesses):
        raise ReceiptRefused("each --witness is a key of a witness, no witness twice and none a log")
    leaf, index, times = proven(lines, blocks[1], blocks[2], [log, *([] if centre else witnesses)])
    event = json.loads(leaf)
    secret = sha256(f"hailong withdrawal code 1\n{code}".encode()).hex()
    tied = sha256(f"hailong receipt 1\n{slip}\n{secret}\n".encode()).hex()
    if tied != event["receipt_digest"] or event["kind"] not in ANSWERS:
        raise ReceiptRefused("the code and the number are not those of the logged answer")
    said = [f"Mục {index} của nhật ký {log.name}, có chữ ký. | Entry {index} of that log, signed."]
    if centre:
        leaf, index, times = proven(blocks[3].split("\n"), blocks[4], blocks[5], [centre, *witnesses])
        told, (origin, size, root) = json.loads(leaf), blocks[1].split("\n")
        ours = ("edge-checkpoint", origin, int(size), strict_base64(root).hex())
        if (told["kind"], told["origin"], told["size"], told["root"]) != ours:
            raise ReceiptRefused("the centre's log names another state of the desk's log")
        said.append(f"Nằm trong nhật ký trung tâm, mục {index}. | In the centre's log, entry {index}.")
    for witness, when in zip(witnesses, times, strict=True):
        said.append(f"Bên chứng kiến đã ký | seen by the witness {witness.name}: {when}")
    return [*answer_of(event), *said, *([] if witnesses else [UNWITNESSED]), UNPROVEN]


def answer_of(event: dict[str, Any]) -> list[str]:
    """Say what was answered."""
    of = f"{event['record_id']}, {event['at']}"
    found = [f"Phiếu hợp lệ: hồ sơ đồng ý {of}.", f"The receipt holds: consent record {of}."]
    for item in event["decisions"]:
        name, answer = item["purpose"], item["answer"]
        found.append(f"  {VI[name]}: {ANSWERS[answer]} | {EN[name]}: {answer}")
    if notice := event["notice"]:
        words = [notice[name] for name in ("notice_id", "version", "language", "sha256")]
        found.append(f"  thông báo | notice: {' '.join(words)}")
    return found


def main() -> int:
    """Run the check from the command line."""
    parser = argparse.ArgumentParser(description="Check the receipt of a consent. Kiểm tra phiếu đồng ý.")
    parser.add_argument("receipt", help="the text of the QR code in a file, or - for standard input")
    parser.add_argument("--key", required=True, help="public key of the log, as the agency publishes it")
    parser.add_argument("--centre", help="public key of the centre's log, for a witnessed receipt")
    parser.add_argument("--witness", action="append", default=[], help="public key of a witness")
    asked = parser.parse_args()
    try:
        data = sys.stdin.buffer.read() if asked.receipt == "-" else Path(asked.receipt).read_bytes()
        centre = Key(asked.centre) if asked.centre else None
        found = check(data.decode("utf-8"), Key(asked.key), [Key(vkey) for vkey in asked.witness], centre)
    except (ReceiptRefused, OSError, OverflowError, ValueError, KeyError, TypeError) as refused:
        sys.stderr.buffer.write(f"KHÔNG hợp lệ. | The receipt does NOT hold: {refused}\n".encode())
        return 1
    sys.stdout.buffer.write("".join(f"{line}\n" for line in found).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
