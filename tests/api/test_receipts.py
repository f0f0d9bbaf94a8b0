"""A receipt that a witness backs, given out by the centre and checked by a script that knows neither."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.central_log import CentralLog
from api.database import Database
from api.edge_logs import EdgeLogs
from api.errors import ReceiptNotWitnessed
from api.log import append
from api.receipts import witnessed_receipt
from api.settings import LogSettings
from api.witnesses import Witnesses
from consent.checkpoint import Checkpoint, Ed25519Signer, WitnessPolicy, peek, sign, verifier
from consent.errors import ReceiptRefused
from consent.merkle import leaf_hash
from consent.purpose import Purpose
from consent.receipt import Folding, Receipt, new_code
from consent.verify_receipt import Key, check
from consent.verify_receipt import ReceiptRefused as RefusedByScript
from consent.witness import Witness
from tests.api.edge_consents import CITIZEN, EdgeLog
from tests.api.local_witness import LocalWitness
from tests.api.senders import Edge

CODE = "0123-4567-89AB-CDEF"
NEVER_HELD = (RefusedByScript, ValueError, KeyError, TypeError, OverflowError)


@dataclass
class Office:
    """An edge, the centre that its log is shipped to, and the witness of the centre."""

    database: Database
    edge: EdgeLog
    logs: EdgeLogs
    log: CentralLog
    witness: Witness
    witnesses: Witnesses
    sent: int = 0

    def answer(self, code: str, *, given: bool = True) -> UUID:
        record = self.edge.offer(code=code)
        self.edge.store.show(record.record_id, record.notice)
        answers = {Purpose.IMAGE: given, Purpose.VOICE: False}
        self.edge.store.decide(record.record_id, answers, CITIZEN, "tap", dwell_ms=4000, notice=record.notice)
        return record.record_id

    def ship(self) -> None:
        self.edge.send(self.logs, self.sent)
        self.sent = self.edge.size

    def cosign(self) -> None:
        self.log.checkpoint()
        assert self.witnesses.submit()

    def text(self, code: str = CODE) -> str:
        found = witnessed_receipt(self.log, self.witnesses, code)
        assert found is not None
        return found

    @property
    def edge_vkey(self) -> str:
        return self.edge.store.log.keys().periods[-1].vkey

    @property
    def centre_vkey(self) -> str:
        size = self.log.size()
        return next(key.vkey() for key in self.log.keys().verifiers(size) if key.key.kind == 1)

    def check(self, text: str) -> list[str]:
        witness = Key(self.witness.vkeys[0])
        return check(text, Key(self.edge_vkey), [witness], Key(self.centre_vkey))

    def policy(self) -> WitnessPolicy:
        return WitnessPolicy((verifier(self.centre_vkey),), (verifier(self.witness.vkeys[0]),))


@pytest.fixture
def office(database: Database, edge: Edge, tmp_path: Path) -> Iterator[Office]:
    log = CentralLog(database, tmp_path / "log")
    log.checkpoint()
    witness = Witness.create(tmp_path / "witness", "oversight.example")
    for key in log.keys().verifiers(log.size()):
        witness.add_log(key.vkey())
    settings = LogSettings.model_validate(
        {"fold_s": 0, "witnesses": [{"url": "http://oversight.example", "vkey": witness.vkeys[0]}]}
    )
    made = EdgeLog.make(edge, tmp_path)
    witnesses = Witnesses(log, settings, LocalWitness(witness))
    yield Office(database, made, EdgeLogs(database, settings), log, witness, witnesses)
    made.store.close()


@pytest.fixture
def seen(office: Office) -> Office:
    for _ in range(3):
        office.answer(new_code())
    office.answer(CODE)
    office.ship()
    office.answer(new_code())
    office.ship()
    office.cosign()
    return office


def test_a_witness_stands_behind_the_receipt_of_the_centre(seen: Office) -> None:
    text = seen.text("0123456789abcdef")
    said = "\n".join(seen.check(text))
    assert "seen by the witness oversight.example: 20" in said
    assert "In the centre's log, entry" in said
    assert "No witness was checked" not in said
    assert "Not shown: that it was not withdrawn since" in said
    receipt = Receipt.parse(text)
    assert receipt.text() == text
    found = receipt.check_witnessed([verifier(seen.edge_vkey)], seen.policy())
    assert found.witnessed
    unwatched = "\n".join(check(text, Key(seen.edge_vkey), [], Key(seen.centre_vkey)))
    assert "No witness was checked" in unwatched


def test_no_code_no_receipt_and_no_receipt_before_the_witness_looked(office: Office) -> None:
    office.answer(CODE, given=False)
    assert witnessed_receipt(office.log, office.witnesses, CODE) is None, "the log has not come yet"
    office.cosign()
    office.ship()
    with pytest.raises(ReceiptNotWitnessed, match="ask again"):
        witnessed_receipt(office.log, office.witnesses, CODE)
    office.log.checkpoint()
    with pytest.raises(ReceiptNotWitnessed, match="ask again"):
        witnessed_receipt(office.log, office.witnesses, CODE)
    office.cosign()
    assert "từ chối | facial image: refused" in "\n".join(office.check(office.text()))
    assert witnessed_receipt(office.log, office.witnesses, new_code()) is None
    assert witnessed_receipt(office.log, office.witnesses, "nonsense") is None


def test_each_form_is_checked_as_what_it_is(seen: Office) -> None:
    text = seen.text()
    slip = seen.edge.store.receipt(Receipt.parse(text).record_id, CODE)
    with pytest.raises(ReceiptRefused, match="no witness stands behind"):
        slip.check_witnessed([verifier(seen.edge_vkey)], seen.policy())
    with pytest.raises(RefusedByScript, match="--centre goes with"):
        seen.check(slip.text())
    with pytest.raises(RefusedByScript, match="--centre goes with"):
        check(text, Key(seen.edge_vkey), [])


def test_an_old_receipt_holds_while_the_log_goes_on(seen: Office) -> None:
    before = seen.text()
    seen.answer(new_code())
    seen.ship()
    seen.cosign()
    after = seen.text()
    assert before != after
    assert seen.check(before)
    assert seen.check(after)
    old, new = (_cosignature(text) for text in (before, after))
    with pytest.raises(RefusedByScript, match=r"oversight\.example does not hold"):
        seen.check(after.replace(new, old))


def _cosignature(text: str) -> str:
    (line,) = [line for line in text.split("\n") if line.startswith("\N{EM DASH} oversight.example ")]
    return line


def test_a_stranger_is_neither_witness_nor_centre_nor_edge(seen: Office) -> None:
    text, stranger = seen.text(), Ed25519PrivateKey.generate()
    other = Witness.create(seen.log.folder / "other", "other.example").vkeys[0]
    keys = Key(seen.edge_vkey), Key(seen.centre_vkey), Key(seen.witness.vkeys[0])
    for edge, centre, witness in (
        (keys[0], keys[1], Key(other)),
        (keys[0], Key(Ed25519Signer(seen.log.origin, stranger).vkey()), keys[2]),
        (Key(Ed25519Signer(keys[0].name, stranger).vkey()), keys[1], keys[2]),
        (keys[1], keys[0], keys[2]),
        (keys[0], keys[1], keys[1]),
    ):
        with pytest.raises(RefusedByScript):
            check(text, edge, [witness], centre)
    with pytest.raises(ReceiptRefused, match="lead to the witnesses"):
        Receipt.parse(text).check_witnessed(
            [verifier(seen.edge_vkey)], WitnessPolicy((verifier(seen.centre_vkey),), (verifier(other),))
        )


def test_the_checkpoint_of_another_edge_proves_nothing_of_this_one(seen: Office) -> None:
    """An honest, witnessed leaf about another log, or about another size of this one, is put in."""
    with seen.database.transaction() as connection:
        index = append(
            connection,
            "edge-checkpoint",
            {"edge": uuid4(), "origin": f"hailong/edge/{uuid4()}", "size": 3, "root": "ab" * 32, "note": ""},
        )
    seen.cosign()
    receipt = Receipt.parse(seen.text())
    size = seen.log.size()
    for place in (index, next(_folded(seen, not_of=receipt)), 0):
        (leaf,) = seen.log.entries(place, place + 1)
        note = seen.witnesses.newest_witnessed()
        assert note is not None
        on = Folding(leaf.body, place, note, seen.log.inclusion_proof(place, size))
        forged = replace(receipt, folding=on)
        with pytest.raises((RefusedByScript, KeyError)):
            seen.check(forged.text())
        with pytest.raises(ReceiptRefused):
            forged.check_witnessed([verifier(seen.edge_vkey)], seen.policy())


def _folded(office: Office, *, not_of: Receipt) -> Iterator[int]:
    assert not_of.folding is not None
    for leaf in office.log.entries(0, office.log.size()):
        if json.loads(leaf.body)["kind"] == "edge-checkpoint" and leaf.index != not_of.folding.index:
            yield leaf.index


def test_an_insider_with_every_key_but_the_witness_s_is_caught_by_the_witness_alone(seen: Office) -> None:
    """Another answer, another edge log, another centre log, all signed anew: only the cosignature is old."""
    receipt = Receipt.parse(seen.text())
    assert receipt.folding is not None
    leaf = receipt.leaf.replace(b'"answer":"given"', b'"answer":"refused"', 1)
    assert leaf != receipt.leaf
    edge_tree = Checkpoint(peek(receipt.checkpoint).origin, 1, leaf_hash(leaf))
    edge_note = sign(edge_tree, [Ed25519Signer(edge_tree.origin, seen.edge.edge.key)])
    told = json.loads(receipt.folding.leaf) | {"size": 1, "root": edge_tree.root.hex()}
    central_leaf = json.dumps(told).encode()
    tree = Checkpoint(seen.log.origin, 1, leaf_hash(central_leaf))
    note = sign(tree, seen.log.keys_folder.log_signers(seen.log.origin))
    forged = Receipt(
        receipt.receipt_id,
        receipt.record_id,
        receipt.code,
        leaf,
        0,
        edge_note,
        (),
        Folding(central_leaf, 0, note + f"{_cosignature(receipt.text())}\n".encode(), ()),
    )
    unwatched = check(forged.text(), Key(seen.edge_vkey), [], Key(seen.centre_vkey))
    assert any("No witness was checked" in line for line in unwatched), "it passes every check of our own"
    with pytest.raises(RefusedByScript, match=r"oversight\.example does not hold"):
        seen.check(forged.text())
    with pytest.raises(ReceiptRefused, match="witnesses"):
        forged.check_witnessed([verifier(seen.edge_vkey)], seen.policy())


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.long)])
def test_no_single_byte_of_a_witnessed_receipt_can_be_another(seen: Office, seed: int, step: int) -> None:
    text = seen.text().encode()
    chance, ours, policy = random.Random(seed), verifier(seen.edge_vkey), seen.policy()  # noqa: S311 - a test's chance
    tried = accepted = 0
    for place, byte in list(enumerate(text))[seed % step :: step]:
        for other in {chance.randrange(256), byte ^ 32} - {byte}:
            tampered = text[:place] + bytes([other]) + text[place + 1 :]
            tried += 1
            try:
                seen.check(tampered.decode())
                accepted += 1
            except NEVER_HELD:
                pass
            try:
                Receipt.parse(tampered.decode()).check_witnessed([ours], policy)
                accepted += 1
            except (ReceiptRefused, UnicodeDecodeError):
                pass
    print(f"seed {seed}: {tried} single-byte changes of {len(text)} bytes, {accepted} accepted")  # noqa: T201 - the measure
    assert tried > 1.8 * (len(text) // step)
    assert accepted == 0


def test_cut_short_it_is_no_receipt(seen: Office) -> None:
    text = seen.text()
    parts = [match.start() for match in re.finditer("\n", text)]
    for stop in (*parts, *(stop + 1 for stop in parts[:-1])):
        with pytest.raises(NEVER_HELD):
            seen.check(text[:stop])
        with pytest.raises(ReceiptRefused):
            Receipt.parse(text[:stop]).check_witnessed([verifier(seen.edge_vkey)], seen.policy())
