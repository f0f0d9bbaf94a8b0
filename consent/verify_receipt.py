"""Check the receipt of a consent without the system that made it. | Kiểm tra phiếu đồng ý độc lập.

    python verify_receipt.py receipt.txt --key VKEY [--witness VKEY ...]

Needs Python 3.11 and the package `cryptography`, nothing of ours. VKEY is the public key of the
log as the agency publishes it (name+hash+base64). It checks, in this order, that
1. the code and the number on the slip are the ones in the logged answer,
2. the logged answer is entry N of a log with a certain root (Merkle proof, RFC 6962),
3. the key you named signed that root (C2SP signed note), and each named witness as well.
Exit code 0: all of it holds. 1: something does not.
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
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
PLACE = re.compile(r"index (?:0|[1-9][0-9]{0,18})")
PURPOSES = {
    "image": ("hình ảnh khuôn mặt", "facial image"),
    "voice": ("giọng nói", "voice"),
    "quotes": ("trích lời nói đã ẩn danh", "redacted quotes"),
}
ANSWERS = {"given": ("đồng ý", "given"), "refused": ("từ chối", "refused")}


class ReceiptRefused(Exception):  # noqa: N818 - named for what happened
    """The receipt does not hold."""


def sha256(data: bytes) -> bytes:
    """Return the SHA-256 of data."""
    return hashlib.sha256(data).digest()


def strict_base64(text: str) -> bytes:
    """Decode base64; every other spelling of the same bytes is refused."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError as error:
        raise ReceiptRefused(f"not base64: {text[:20]}") from error
    if base64.b64encode(data).decode() != text:
        raise ReceiptRefused(f"not the one base64 spelling: {text[:20]}")
    return data


def matched(pattern: re.Pattern[str], text: str, what: str) -> str:
    """Return the text if all of it is what is expected."""
    if not pattern.fullmatch(text):
        raise ReceiptRefused(f"no {what}: {text[:50]!r}")
    return text


class Key:
    """A public key given as text."""

    def __init__(self, vkey: str) -> None:
        """Read it; its hash must be its own."""
        parts = vkey.split("+", 2)
        if len(parts) != 3:  # noqa: PLR2004 - name, hash, key
            raise ReceiptRefused(f"no key: {vkey[:50]!r}; expected NAME+HASH+BASE64")
        self.name, hash_text, data = parts[0], parts[1], strict_base64(parts[2])
        self.kind, self.public = sum(data[:1]), data[1:]
        self.id = sha256(self.name.encode() + b"\n" + data)[:4]
        if self.id.hex() != hash_text or self.kind not in {ED25519, COSIGNATURE} or len(self.public) != 32:  # noqa: PLR2004 - bytes of an Ed25519 key
            raise ReceiptRefused(f"the key of {self.name} is damaged or not Ed25519: copy it again, whole")

    def verify(self, body: bytes, signature: bytes) -> str:
        """Check a signature over the text of a checkpoint; returns when it was made, if it says so."""
        when = ""
        if self.kind == COSIGNATURE:
            at_s = int.from_bytes(signature[:8], "big")
            body, signature = f"cosignature/v1\ntime {at_s}\n".encode() + body, signature[8:]
            when = datetime.fromtimestamp(at_s, UTC).isoformat()
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, body)
        except InvalidSignature as error:
            raise ReceiptRefused(f"the signature of {self.name} does not hold") from error
        return when


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


def check(text: str, log: Key, witnesses: list[Key]) -> list[str]:
    """Check a receipt; returns what is proven, in Vietnamese and English."""
    head, _, rest = text.partition("\n\n")
    note, _, signed = rest.partition("\n\n")
    lines, tree = head.split("\n"), note.split("\n")
    if len(lines) < 6 or len(tree) != 3 or not signed.endswith("\n"):  # noqa: PLR2004 - the lines named below
        raise ReceiptRefused("this is no receipt, or only a part of one")
    header, number, code, leaf, proof_header, place, *hashes = lines
    if (header, proof_header) != ("hailong receipt 1", "c2sp.org/tlog-proof@v1"):
        raise ReceiptRefused("this is no receipt of a format that this program knows")
    index = int(matched(PLACE, place, "place in the log")[6:])
    size = int(matched(NUMBER, tree[1], "size of the log"))
    event = json.loads(leaf)
    secret = sha256(f"hailong withdrawal code 1\n{code}".encode()).hex()
    tied = f"hailong receipt 1\n{number}\n{secret}\n"
    if sha256(tied.encode()).hex() != event["receipt_digest"] or event["kind"] not in ANSWERS:
        raise ReceiptRefused("the code and the number are not those of the logged answer")
    if root_of(leaf.encode(), index, size, [strict_base64(item) for item in hashes]) != strict_base64(
        tree[2]
    ):
        raise ReceiptRefused("the logged answer is not in the signed log")
    if (log.kind, log.name) != (ED25519, tree[0]):
        raise ReceiptRefused(f"the key of {log.name} is not a key of the log {tree[0]}")
    times = signatures(signed[:-1].split("\n"), f"{note}\n".encode(), [log, *witnesses])
    said = [
        f"Mục số {index} trong nhật ký {size} mục của {log.name}, có chữ ký.",
        f"Entry {index} of the signed log of {size} entries of {log.name}.",
    ]
    for witness, when in zip(witnesses, times[1:], strict=True):
        said.append(f"Bên chứng kiến đã ký | seen by the witness {witness.name}: {when}")
    if not witnesses:
        said.append("Chưa kiểm tra bên chứng kiến nào. | No witness was checked: name one with --witness.")
    return [*answer_of(event), *said]


def answer_of(event: dict[str, Any]) -> list[str]:
    """Say what was answered."""
    found = [
        f"Phiếu hợp lệ: hồ sơ đồng ý {event['record_id']}, lúc {event['at']}.",
        f"The receipt holds: consent record {event['record_id']}, at {event['at']}.",
    ]
    for item in event["decisions"]:
        (name_vi, name_en), (vi, en) = PURPOSES[item["purpose"]], ANSWERS[item["answer"]]
        found.append(f"  {name_vi}: {vi} | {name_en}: {en}")
    if notice := event["notice"]:
        words = f"{notice['notice_id']} {notice['version']} {notice['language']}"
        found.append(f"  thông báo | notice: {words}, SHA-256 {notice['sha256']}")
    return found


def main() -> int:
    """Run the check from the command line."""
    parser = argparse.ArgumentParser(description="Check the receipt of a consent. Kiểm tra phiếu đồng ý.")
    parser.add_argument("receipt", help="the text of the QR code in a file, or - for standard input")
    parser.add_argument("--key", required=True, help="public key of the log, as the agency publishes it")
    parser.add_argument("--witness", action="append", default=[], help="public key of a witness")
    asked = parser.parse_args()
    try:
        data = sys.stdin.buffer.read() if asked.receipt == "-" else Path(asked.receipt).read_bytes()
        found = check(data.decode("utf-8"), Key(asked.key), [Key(vkey) for vkey in asked.witness])
    except (ReceiptRefused, OSError, OverflowError, ValueError, KeyError, TypeError) as refused:
        sys.stderr.buffer.write(f"KHÔNG hợp lệ. | The receipt does NOT hold: {refused}\n".encode())
        return 1
    sys.stdout.buffer.write("".join(f"{line}\n" for line in found).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
