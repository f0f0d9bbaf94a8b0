"""Who changes what was logged, how, and who notices: the table of the tamper suite.

Three attackers: one edits stored files, one also recomputes the whole tree, and an insider
signs anew with the log's own key. Two verifiers that share no code: the check of an export
(`consent.tiles`) and the stand-alone script for receipts (`consent/verify_receipt.py`).
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
import rfc8785

from consent import verify_receipt
from consent.checkpoint import Checkpoint, WitnessPolicy, peek, verifier, with_signatures
from consent.errors import CheckpointRefused, CosignatureRefused, TilesRefused, WitnessBehind
from consent.merkle import inclusion_proof
from consent.receipt import Receipt, code_digest, new_code, receipt_digest
from consent.signed_note import split
from consent.tiles import TILE_WIDTH, check_folder, entry_bundle
from consent.witness import Witness
from setup.layout import ROOT
from tests.consent.logs import SmallLog

_SIZE: Final = 300
"""Entries: a full and a partial tile, and a level above."""
_NAME: Final = "ombudsman.example/w1"
_RECEIPT_AT: Final = 123
_RECEIPT_ID: Final = UUID("0190b5a0-0000-7000-8000-00000000cafe")
_RECORD_ID: Final = UUID("0190b5a0-0000-7000-8000-00000000beef")


class _Attacker(Enum):
    FILES = "edits files"
    TREE = "recomputes the tree"
    KEY = "signs anew"


_Change = Callable[[list[bytes], random.Random], list[bytes]]


def _flip(items: list[bytes], chance: random.Random) -> list[bytes]:
    place = chance.choice([place for place, item in enumerate(items) if item])
    altered = bytearray(items[place])
    altered[chance.randrange(len(altered))] ^= 1 << chance.randrange(8)
    return [*items[:place], bytes(altered), *items[place + 1 :]]


def _drop(items: list[bytes], chance: random.Random) -> list[bytes]:
    place = chance.randrange(len(items))
    return items[:place] + items[place + 1 :]


def _swap(items: list[bytes], chance: random.Random) -> list[bytes]:
    first, second = chance.sample(range(len(items)), 2)
    swapped = [*items]
    swapped[first], swapped[second] = items[second], items[first]
    return swapped


def _duplicate(items: list[bytes], chance: random.Random) -> list[bytes]:
    place = chance.randrange(len(items))
    return [*items[:place], chance.choice(items), *items[place:]]


def _truncate(items: list[bytes], chance: random.Random) -> list[bytes]:
    return items[: chance.randrange(len(items))]


def _insert(items: list[bytes], chance: random.Random) -> list[bytes]:
    """Put something before an entry; after the last one it would be an honest append."""
    place = chance.randrange(len(items))
    return [*items[:place], chance.randbytes(12).hex().encode(), *items[place:]]


def _splice(items: list[bytes], chance: random.Random) -> list[bytes]:
    """Put a stretch of another log in the place of ours."""
    first = chance.randrange(len(items))
    last = chance.randint(first + 1, len(items))
    return [*items[:first], *(b"other " + item for item in items[first:last]), *items[last:]]


_KINDS: Final[dict[str, _Change]] = {
    "flip": _flip,
    "drop": _drop,
    "swap": _swap,
    "duplicate": _duplicate,
    "truncate": _truncate,
    "insert": _insert,
    "splice": _splice,
}


@dataclass
class _World:
    """A log with a receipt in it, that a witness has seen."""

    folder: Path
    log: SmallLog
    witness: Witness
    code: str

    @property
    def alone(self) -> WitnessPolicy:
        return WitnessPolicy((self.log.verifier(),), quorum=0)

    @property
    def witnessed(self) -> WitnessPolicy:
        return WitnessPolicy((self.log.verifier(),), tuple(map(verifier, self.witness.vkeys)))

    def latest(self) -> bytes:
        """Return the latest checkpoint as the witness keeps it."""
        return self.witness.logs()[0].note

    def classic_line(self, note: bytes) -> str:
        """Return the witness's Ed25519 line of a note, the only kind that a receipt has room for."""
        key = verifier(self.witness.vkeys[0])
        return next(str(line) for line in split(note)[1] if key.made(line))

    def notes(self, forged: SmallLog) -> Iterator[bytes]:
        """Yield what an insider can pass off as a witnessed checkpoint of a forged log."""
        note = forged.note()
        yield note
        _, lines = split(self.latest())
        yield with_signatures(note, "".join(str(line) for line in lines if line.name == _NAME))
        known = self.witness.logs()[0].size
        for old in {0, known}:
            try:
                yield with_signatures(
                    note, self.witness.add_checkpoint(forged.request(min(old, forged.size)))
                )
            except (CosignatureRefused, WitnessBehind):
                continue


def _leaf(code: str, answered: str = "refused") -> bytes:
    """Return the logged answer that a receipt is for."""
    answer = {"purpose": "image", "answer": answered}
    return rfc8785.dumps(
        {
            "kind": answered,
            "at": "2026-11-02T08:00:07Z",
            "record_id": str(_RECORD_ID),
            "decisions": [answer],
            "notice": None,
            "receipt_digest": receipt_digest(_RECEIPT_ID, code_digest(code)),
        }
    )


@pytest.fixture
def world(tmp_path: Path) -> _World:
    code = new_code()
    log = SmallLog.of(_SIZE)
    log.entries[_RECEIPT_AT] = _leaf(code)
    witness = Witness.create(tmp_path / "witness", _NAME)
    witness.add_log(log.signer.vkey())
    witness.add_checkpoint(log.request(0))
    return _World(tmp_path, log, witness, code)


def _passes(folder: Path, policy: WitnessPolicy, known: tuple[Checkpoint, ...] = ()) -> bool:
    try:
        report = check_folder(folder, policy, known=known)
    except (TilesRefused, CheckpointRefused):
        return False
    return report.witnessed.witnessed


class _Table:
    """Counts what was tried and who noticed."""

    def __init__(self, title: str) -> None:
        self._title = title
        self.rows: dict[tuple[str, str], list[int]] = {}

    def count(self, kind: str, attacker: str, *, alone: bool, witnessed: bool) -> None:
        row = self.rows.setdefault((kind, attacker), [0, 0, 0])
        row[0] += 1
        row[1] += alone
        row[2] += witnessed

    def show(self, capsys: pytest.CaptureFixture[str]) -> None:
        lines = [f"\n{self._title:<12}{'attacker':<22}{'tried':>7}{'self-check':>12}{'witness':>9}"]
        for (kind, attacker), (tried, alone, witnessed) in self.rows.items():
            lines.append(
                f"{kind:<12}{attacker:<22}{tried:>7}{alone * 100 // tried:>11}%{witnessed * 100 // tried:>8}%"
            )
        with capsys.disabled():
            sys.stdout.write("\n".join(lines) + "\n")


def _edit_bundles(folder: Path, entries: list[bytes]) -> None:
    """Write these entries over the stored ones, and touch nothing else."""
    bundles = folder / "tile" / "entries"
    for path in (bundles / "000", bundles / "001.p" / str(_SIZE - TILE_WIDTH)):
        path.write_bytes(entry_bundle(entries[:TILE_WIDTH]))
        entries = entries[TILE_WIDTH:]
    if entries:
        path = bundles / "002.p" / str(len(entries))
        path.parent.mkdir(parents=True)
        path.write_bytes(entry_bundle(entries))


_MANY: Final = pytest.mark.parametrize(
    "tries", [8, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)


@_MANY
def test_an_export_that_was_tampered_with_is_found_out(
    world: _World, seed: int, tries: int, capsys: pytest.CaptureFixture[str]
) -> None:
    table = _Table("export")
    chance = random.Random(seed)  # noqa: S311 - repeatable, no secret
    latest = (peek(world.latest()),)
    genuine = world.log.write(world.folder / "genuine", world.latest())
    assert _passes(genuine, world.alone, latest)
    assert _passes(genuine, world.witnessed, latest)
    for kind, change in _KINDS.items():
        for number in range(tries):
            forged = SmallLog(change(world.log.entries, chance))
            if forged.entries == world.log.entries:
                continue
            for attacker in _Attacker:
                name = f"{kind}-{number}-{attacker.name}"
                alone, witnessed = True, True
                if attacker is _Attacker.KEY:
                    for place, note in enumerate(world.notes(forged)):
                        folder = forged.write(world.folder / f"{name}-{place}", note)
                        alone = alone and not _passes(folder, world.alone)
                        witnessed = witnessed and not _passes(folder, world.witnessed, latest)
                else:
                    if attacker is _Attacker.FILES:
                        folder = world.log.write(world.folder / name, world.latest())
                        _edit_bundles(folder, forged.entries)
                    else:
                        body = forged.checkpoint().body()
                        signatures = world.latest().partition(b"\n\n")[2]
                        folder = forged.write(world.folder / name, body + b"\n" + signatures)
                    alone = not _passes(folder, world.alone)
                    witnessed = not _passes(folder, world.witnessed, latest)
                table.count(kind, attacker.value, alone=alone, witnessed=witnessed)
    table.show(capsys)
    for (_, attacker_name), (tried, alone_count, witnessed_count) in table.rows.items():
        insider = attacker_name == _Attacker.KEY.value
        assert alone_count == (0 if insider else tried), "an insider passes every self-check, others none"
        assert witnessed_count == tried, "with a witness everybody is found out"
    assert {item.kind for item in world.witness.evidence()} == {"fork", "inconsistent"}


def test_any_byte_of_any_file_counts(world: _World, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - repeatable, no secret
    note = with_signatures(world.log.note(), world.classic_line(world.latest()))
    policy = WitnessPolicy((world.log.verifier(),), (verifier(world.witness.vkeys[0]),))
    folder = world.log.write(world.folder / "log", note)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) == 6
    for path in files:
        data = path.read_bytes()
        for _ in range(40):
            place = chance.randrange(len(data))
            altered = bytes([data[place] ^ 1 << chance.randrange(8)])
            path.write_bytes(data[:place] + altered + data[place + 1 :])
            noticed = not _passes(folder, policy)
            path.write_bytes(data)
            assert noticed, f"byte {place} of {path.relative_to(folder)}"
    assert _passes(folder, policy)


def test_an_older_state_passes_until_it_is_held_against_the_witness(world: _World) -> None:
    older = world.latest()
    world.log.entries.append(b"a withdrawal")
    world.witness.add_checkpoint(world.log.request(_SIZE))
    world.log.entries.pop()
    folder = world.log.write(world.folder / "older", older)
    assert _passes(folder, world.witnessed), "it was true once, and was cosigned"
    assert not _passes(folder, world.witnessed, (peek(world.latest()),))


# ---- receipts, by the script that a citizen can read


def _receipt(log: SmallLog, code: str, note: bytes, index: int = _RECEIPT_AT) -> bytes:
    """Return the text of a receipt under a note."""
    receipt = Receipt(
        receipt_id=_RECEIPT_ID,
        record_id=_RECORD_ID,
        code=code,
        leaf=log.entries[index],
        index=index,
        checkpoint=log.note(),
        proof=inclusion_proof(index, log.size, log.nodes),
    )
    return receipt.text().encode().removesuffix(log.note()) + note


def _holds(text: bytes, world: _World, *, witnessed: bool) -> bool:
    key = verify_receipt.Key(world.log.signer.vkey())
    witnesses = [verify_receipt.Key(world.witness.vkeys[0])] if witnessed else []
    try:
        verify_receipt.check(text.decode(), key, witnesses)
    except (verify_receipt.ReceiptRefused, ValueError, KeyError, TypeError):  # those its `main` refuses
        return False
    return True


def _says(text: bytes) -> tuple[bytes, ...]:
    """Return what a receipt says: signature lines in another order say the same."""
    *head, signatures = text.rpartition(b"\n\n")
    return (*head, *sorted(signatures.split(b"\n")))


@pytest.mark.parametrize("tries", [60, pytest.param(3000, marks=pytest.mark.long)])
def test_a_receipt_that_was_tampered_with_is_found_out(
    world: _World, seed: int, tries: int, capsys: pytest.CaptureFixture[str]
) -> None:
    table = _Table("receipt")
    chance = random.Random(seed)  # noqa: S311 - repeatable, no secret
    line = world.classic_line(world.latest())
    plain = _receipt(world.log, world.code, world.log.note())
    cosigned = _receipt(world.log, world.code, with_signatures(world.log.note(), line))
    assert _holds(plain, world, witnessed=False)
    assert _holds(cosigned, world, witnessed=True)
    other_code = new_code()
    other = SmallLog(SmallLog.of(_SIZE - 1).entries, origin="hailong/edge/another", key="another")
    other.entries[_RECEIPT_AT] = _leaf(other_code, "given")
    others = _receipt(other, other_code, other.note()).split(b"\n")

    def splice(items: list[bytes], dice: random.Random) -> list[bytes]:
        first = dice.randrange(min(len(items), len(others)) - 1)
        last = dice.randint(first + 1, min(len(items), len(others)))
        return [*items[:first], *others[first:last], *items[last:]]

    for kind, change in (_KINDS | {"splice": splice}).items():
        for _ in range(tries):
            forged_plain = b"\n".join(change(plain.split(b"\n"), chance))
            forged_cosigned = b"\n".join(change(cosigned.split(b"\n"), chance))
            if _says(forged_plain) == _says(plain) or _says(forged_cosigned) == _says(cosigned):
                continue
            table.count(
                kind,
                _Attacker.FILES.value,
                alone=not _holds(forged_plain, world, witnessed=False),
                witnessed=not _holds(forged_cosigned, world, witnessed=True),
            )
    for number in range(max(3, tries // 20)):
        rewritten = world.log.rewritten(_RECEIPT_AT, _leaf(world.code, "given"))
        rewritten.entries[number % _RECEIPT_AT] = b"rewritten %d" % number
        signatures = (world.log.note().partition(b"\n\n")[2], rewritten.note().partition(b"\n\n")[2])
        for attacker, signature in zip((_Attacker.TREE, _Attacker.KEY), signatures, strict=True):
            note = rewritten.checkpoint().body() + b"\n" + signature
            text = _receipt(rewritten, world.code, note)
            table.count(
                "re-sign" if attacker is _Attacker.KEY else "rewrite",
                attacker.value,
                alone=not _holds(text, world, witnessed=False),
                witnessed=not _holds(text, world, witnessed=True)
                and not _holds(text + line.encode(), world, witnessed=True),
            )
    table.show(capsys)
    for (kind, _), (tried, alone_count, witnessed_count) in table.rows.items():
        assert alone_count == (0 if kind == "re-sign" else tried)
        assert witnessed_count == tried


def test_the_script_alone_tells_the_forged_receipt_by_the_witness(world: _World) -> None:
    forged = world.log.rewritten(_RECEIPT_AT, _leaf(world.code, "given"))
    line = world.classic_line(world.latest())
    for name, log, found in (("genuine", world.log, (0, 0)), ("forged", forged, (0, 1))):
        file = world.folder / f"{name}.txt"
        file.write_bytes(_receipt(log, world.code, with_signatures(log.note(), line)))
        for witnesses, code in zip(([], ["--witness", world.witness.vkeys[0]]), found, strict=True):
            words = [str(file), "--key", world.log.signer.vkey(), *witnesses]
            done = subprocess.run(
                [sys.executable, "-I", str(ROOT / "consent" / "verify_receipt.py"), *words],
                capture_output=True,
                check=False,
            )
            assert done.returncode == code, done.stderr.decode()
