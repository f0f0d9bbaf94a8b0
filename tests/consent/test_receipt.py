"""Receipts: what the citizen takes home, checked by us and by a script that knows nothing of us."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from consent.checkpoint import CosignatureSigner, Ed25519Signer, MlDsa44Signer, verifier, with_signatures
from consent.errors import LedgerUnavailable, ReceiptRefused
from consent.ledger import ConsentStore
from consent.merkle import leaf_hash
from consent.purpose import Purpose
from consent.receipt import Receipt, code_digest, new_code, normalised
from consent.state import State
from consent.verify_receipt import Key, check
from consent.verify_receipt import ReceiptRefused as RefusedByScript
from tests.consent.citizens import BOTH, citizen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

SCRIPT = Path(__file__).parents[2] / "consent" / "verify_receipt.py"
QR_BYTES = 2200


class Office:
    """A signed log and a citizen who answered."""

    def __init__(self, folder: Path) -> None:
        self.key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        self.store = ConsentStore(
            folder / "consent.sqlite", signers=lambda origin: (Ed25519Signer(origin, self.key),)
        )
        self.code = "0123-4567-89AB-CDEF"

    @property
    def vkey(self) -> str:
        return Ed25519Signer(self.store.log.origin, self.key).vkey()

    def answered(self, *, image: bool = True, voice: bool = False) -> UUID:
        record = replace(citizen(), withdrawal_digest=code_digest(self.code))
        self.store.offer(record)
        self.store.show(record.record_id, record.notice)
        self.store.decide(
            record.record_id,
            {Purpose.IMAGE: image, Purpose.VOICE: voice},
            "citizen",
            "kiosk-touch",
            dwell_ms=4200,
            notice=record.notice,
        )
        return record.record_id


@pytest.fixture
def office(quick_folder: Path) -> Iterator[Office]:
    made = Office(quick_folder)
    yield made
    made.store.close()


def test_codes_are_random_and_typed_in_many_ways() -> None:
    codes = {new_code() for _ in range(2000)}
    assert len(codes) == 2000
    assert all(normalised(code) == code for code in codes)
    assert {digit for code in codes for digit in code} == set("0123456789ABCDEFGHJKMNPQRSTVWXYZ-")
    assert normalised(" oil1 2345-6789abcd ") == "0111-2345-6789-ABCD"
    assert code_digest("oil1-2345-6789-abcd") == code_digest("0111-2345-6789-ABCD")
    assert code_digest("0111-2345-6789-ABCD") != code_digest("0111-2345-6789-ABCE")


@pytest.mark.parametrize(
    "code", ["", "0123", "0123-4567-89AB-CDEU", "0123-4567-89AB-CDEF-0", "0123-4567-89AB-CDÉF"]
)
def test_what_is_no_code_is_refused(office: Office, code: str) -> None:
    with pytest.raises(ReceiptRefused, match="sixteen"):
        normalised(code)
    assert office.store.find_by_code(code) is None


def test_the_code_finds_its_consent_and_no_other(office: Office) -> None:
    first = office.answered()
    office.code = new_code()
    second = office.answered(image=False)
    assert office.store.find_by_code("0123456789abcdef") == first
    assert office.store.find_by_code(office.code) == second
    assert office.store.find_by_code(new_code()) is None
    assert office.code.encode() not in office.store.path.read_bytes()


@pytest.mark.parametrize(("image", "state"), [(True, State.GIVEN), (False, State.REFUSED)])
def test_a_receipt_proves_the_answer(office: Office, image: bool, state: State) -> None:  # noqa: FBT001 - a case
    record_id = office.answered(image=image)
    receipt = office.store.receipt(record_id, office.code)
    assert Receipt.parse(receipt.text()) == receipt
    assert receipt.event().state is state
    assert (receipt.record_id, receipt.receipt_id) == (record_id, office.store.record(record_id).receipt_id)
    opened = receipt.check([verifier(office.vkey)])
    assert opened.checkpoint.size == office.store.log.size
    said = "\n".join(check(receipt.text(), Key(office.vkey), []))
    assert str(record_id) in said
    assert ("hình ảnh khuôn mặt: đồng ý" in said) is image
    assert "giọng nói: từ chối | voice: refused" in said


def test_a_receipt_needs_an_answer_its_code_and_a_signed_log(office: Office, tmp_path: Path) -> None:
    record = replace(citizen(), withdrawal_digest=code_digest(office.code))
    office.store.offer(record)
    with pytest.raises(ReceiptRefused, match="no answer"):
        office.store.receipt(record.record_id, office.code)
    office.store.apply(record.record_id, State.DEFERRED, "system", "timeout")
    with pytest.raises(ReceiptRefused, match="no answer"):
        office.store.receipt(record.record_id, office.code)
    with pytest.raises(ReceiptRefused, match="code"):
        office.store.receipt(office.answered(), new_code())
    with ConsentStore(tmp_path / "unsigned.sqlite") as unsigned:
        office.store, kept = unsigned, office.store
        record_id = office.answered()
        with pytest.raises(LedgerUnavailable, match="nothing signs"):
            unsigned.receipt(record_id, office.code)
        office.store = kept


def test_a_receipt_of_a_million_entries_fits_a_qr_code(office: Office) -> None:
    purposes = (*BOTH, Purpose.QUOTES)
    record = replace(citizen(purposes), withdrawal_digest=code_digest(office.code))
    office.store.offer(record)
    office.store.decide(
        record.record_id,
        dict.fromkeys(purposes, True),
        "citizen",
        "kiosk-touch",
        dwell_ms=123_456,
        notice=record.notice,
    )
    receipt = office.store.receipt(record.record_id, office.code)
    tall = replace(
        receipt,
        index=999_998,
        proof=tuple(leaf_hash(bytes([level])) for level in range(20)),
        checkpoint=receipt.checkpoint.replace(b"\n5\n", b"\n1000000\n", 1),
    )
    size = len(tall.text().encode())
    print(f"receipt of a log of a million entries: {size} bytes")  # noqa: T201 - the measure
    assert 1500 < size <= QR_BYTES


def test_the_qr_code_holds_no_signature_but_the_logs_ed25519_one(office: Office) -> None:
    record_id = office.answered()
    receipt = office.store.receipt(record_id, office.code)
    post_quantum = MlDsa44Signer(office.store.log.origin, MLDSA44PrivateKey.generate())
    body = receipt.checkpoint.partition(b"\n\n")[0] + b"\n"
    fat = replace(receipt, checkpoint=with_signatures(receipt.checkpoint, post_quantum.line(body)))
    assert len(fat.checkpoint) > len(receipt.checkpoint) + 3000
    assert fat.text() == receipt.text()


def test_no_single_byte_of_a_receipt_can_be_another(office: Office, seed: int) -> None:
    for _ in range(9):
        office.answered()
    receipt = office.store.receipt(office.answered(), office.code)
    text = receipt.text().encode()
    chance, key, ours = random.Random(seed), Key(office.vkey), verifier(office.vkey)  # noqa: S311 - a test's chance
    tried = accepted = 0
    for place, byte in enumerate(text):
        for other in {chance.randrange(256), 10, 32, 48, 61, (byte ^ 32), (byte + 1) & 255} - {byte}:
            tampered = text[:place] + bytes([other]) + text[place + 1 :]
            tried += 1
            try:
                check(tampered.decode(), key, [])
                accepted += 1
            except (RefusedByScript, ValueError, KeyError, TypeError, OverflowError):
                pass
            try:
                Receipt.parse(tampered.decode()).check([ours])
                accepted += 1
            except (ReceiptRefused, UnicodeDecodeError):
                pass
    print(f"seed {seed}: {tried} single-byte changes, {accepted} accepted")  # noqa: T201 - the measure
    assert tried > 6 * len(text) - len(text)
    assert accepted == 0


def _run(folder: Path, text: bytes, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of the script alone, where nothing of ours can be imported."""
    script = folder / "verify_receipt.py"
    shutil.copy(SCRIPT, script)
    receipt = folder / "receipt.txt"
    receipt.write_bytes(text)
    return subprocess.run(
        [sys.executable, "-I", str(script), str(receipt), *words],
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=folder,
        env={"LC_ALL": "C"},
    )


def test_the_script_stands_alone_and_speaks_both_languages(office: Office, tmp_path: Path) -> None:
    source = SCRIPT.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 200
    assert "import consent" not in source
    assert "from consent" not in source
    record_id = office.answered()
    receipt = office.store.receipt(record_id, office.code)
    held = _run(tmp_path, receipt.text().encode(), "--key", office.vkey)
    assert (held.returncode, held.stderr) == (0, "")
    assert f"Phiếu hợp lệ: hồ sơ đồng ý {record_id}" in held.stdout
    assert f"The receipt holds: consent record {record_id}" in held.stdout
    assert "No witness was checked" in held.stdout

    changed = receipt.text().replace('"given"', '"refused"', 1).encode()
    stranger = Ed25519Signer(office.store.log.origin, Ed25519PrivateKey.generate()).vkey()
    for text, key in ((changed, office.vkey), (receipt.text().encode(), stranger), (b"", office.vkey)):
        refused = _run(tmp_path, text, "--key", key)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "KHÔNG hợp lệ" in refused.stderr


def test_the_script_checks_a_witness(office: Office, tmp_path: Path) -> None:
    receipt = office.store.receipt(office.answered(), office.code)
    witness = CosignatureSigner("witness.example", Ed25519PrivateKey.generate(), lambda: 1_790_000_000)
    other = CosignatureSigner("other.example", Ed25519PrivateKey.generate())
    body = receipt.checkpoint.partition(b"\n\n")[0] + b"\n"
    text = receipt.text() + witness.line(body)
    seen = _run(tmp_path, text.encode(), "--key", office.vkey, "--witness", witness.vkey())
    assert seen.returncode == 0, seen.stderr
    assert "seen by the witness witness.example: 2026-09-21" in seen.stdout
    unseen = _run(tmp_path, text.encode(), "--key", office.vkey, "--witness", other.vkey())
    assert (unseen.returncode, "other.example" in unseen.stderr) == (1, True)
    early = text.replace(
        witness.line(body), CosignatureSigner("witness.example", witness._key, lambda: 5).line(body)
    )
    forged = early.encode()[:-80] + text.encode()[-80:]
    assert _run(tmp_path, forged, "--key", office.vkey, "--witness", witness.vkey()).returncode == 1


def test_no_log_passes_for_a_witness_and_no_witness_counts_twice(office: Office) -> None:
    receipt = office.store.receipt(office.answered(), office.code)
    body = receipt.checkpoint.partition(b"\n\n")[0] + b"\n"
    key = Ed25519PrivateKey.generate()
    first, alias = (CosignatureSigner(name, key) for name in ("one.example", "two.example"))
    other = CosignatureSigner("three.example", Ed25519PrivateKey.generate())
    own = CosignatureSigner("own.example", office.key)
    named = CosignatureSigner(office.store.log.origin, Ed25519PrivateKey.generate())
    signed = Ed25519Signer("four.example", Ed25519PrivateKey.generate())
    text = receipt.text() + "".join(item.line(body) for item in (first, alias, other, own, named, signed))
    log = Key(office.vkey)
    assert check(text, log, [Key(first.vkey()), Key(other.vkey())])
    for keys in ((first, first), (first, alias), (first, other, first), (own,), (named,), (signed,)):
        with pytest.raises(RefusedByScript, match="no witness twice"):
            check(text, log, [Key(item.vkey()) for item in keys])


def test_old_receipts_hold_after_the_key_was_rotated(office: Office) -> None:
    before = office.store.receipt(record_id := office.answered(), office.code)
    old_vkey, new_key = office.vkey, Ed25519PrivateKey.generate()
    history = office.store.rotate_key(lambda origin: (Ed25519Signer(origin, new_key),))
    after = office.store.receipt(record_id, office.code)
    new_vkey = Ed25519Signer(office.store.log.origin, new_key).vkey()
    assert check(before.text(), Key(old_vkey), [])
    assert check(after.text(), Key(new_vkey), [])
    for receipt, wrong in ((before, new_vkey), (after, old_vkey)):
        with pytest.raises(RefusedByScript, match="not signed by"):
            check(receipt.text(), Key(wrong), [])
        receipt.check(history.verifiers(int(receipt.checkpoint.split(b"\n")[1])))
