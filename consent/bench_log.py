"""What the log costs: entries appended, proofs made and checked, whole logs checked.

The log holds what an edge writes: consents from the offer to the end of their session. What is
compared with the bars (a proof below 1 ms, a million entries checked within 60 s) is said as a
ratio of CPU time: the machines this runs on are shared. Wall-clock stands beside it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.checkpoint import Checkpoint, Ed25519Signer, WitnessPolicy, sign, verifier
from consent.entry import Outcome, Processed, SessionEnded, SessionStarted, body_of
from consent.event import Event, EventKind
from consent.log import Log
from consent.merkle import MemoryNodes, check_consistency, check_inclusion, leaf_hash, root
from consent.notice import NoticeShelf
from consent.purpose import Purpose
from consent.receipt import code_digest, new_code, receipt_digest
from consent.record import Answer, ConsentRecord, IndicatedBy, PurposeDecision, draft, new_id
from consent.stored import Writing
from consent.terms import load_terms
from consent.tiles import check_folder, write_folder
from consent.verification import verify_file

APPENDED: Final = 100_000
CHECKED: Final = 1_000_000
CHECK_BAR_S: Final = 60.0
PROOF_BAR_MS: Final = 1.0

_BATCH: Final = 500
_ALONE: Final = 200
_PROOFS: Final = 1_000
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_PURPOSES: Final = (Purpose.IMAGE, Purpose.VOICE)
_ORIGIN: Final = "hailong/bench"


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of one operation, in milliseconds; `cpu_ms` is the mean CPU time."""

    tried: int
    cpu_ms: float
    mean_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class LogBench:
    """What was measured.

    Attributes:
        appended: Entries of the SQLite log.
        appended_per_s: Entries a second, 500 a transaction, each transaction durable and signed.
        append_alone: One entry, durable and signed when the call returns.
        prove: One inclusion proof read from the SQLite log.
        prove_consistency: One consistency proof read from the SQLite log.
        check_proof: One inclusion proof checked.
        verify_s: The whole SQLite log checked: bytes, fields, tree, order, signatures.
        verify_cpu_s: CPU seconds of that.
        checked: Entries of the exported log.
        export_s: The export written as tiles.
        check_s: The export checked from its checkpoint: each entry hashed, each tile compared.
        check_cpu_s: CPU seconds of that.
    """

    appended: int
    appended_per_s: float
    append_alone: Timing
    prove: Timing
    prove_consistency: Timing
    check_proof: Timing
    verify_s: float
    verify_cpu_s: float
    checked: int
    export_s: float
    check_s: float
    check_cpu_s: float

    def document(self) -> dict[str, Any]:
        """Return it for a dated record, with the ratios to the bars."""
        return asdict(self) | {
            "proof_to_bar_of_1_ms": round(self.prove.cpu_ms / PROOF_BAR_MS, 4),
            "check_to_bar_of_60_s_a_million": round(
                self.check_cpu_s / self.checked * CHECKED / CHECK_BAR_S,
                4,
            ),
            "verify_to_bar_of_60_s_a_million": round(
                self.verify_cpu_s / self.appended * CHECKED / CHECK_BAR_S,
                4,
            ),
        }


def measure_log(appended: int = APPENDED, checked: int = CHECKED) -> LogBench:
    """Measure the SQLite log of an edge and the check of an exported log, in a folder that is removed."""
    with tempfile.TemporaryDirectory(prefix="hailong-bench-") as name:
        folder = Path(name)
        path = folder / "log.sqlite"
        key = Ed25519PrivateKey.generate()
        with Log(path, signers=lambda origin: (Ed25519Signer(origin, key),)) as log:
            appended_s = _append(log, appended)
            sessions = _lives(_ALONE)
            alone = _timing(_ALONE, lambda index: _write(log, sessions[index : index + 1]))
            size, top = log.size, log.root()
            places = Random(1).choices(range(1, size), k=_PROOFS)  # noqa: S311 - repeatable, no secret
            proofs = [log.inclusion_proof(place) for place in places]
            leaves = [leaf_hash(log.entry(place).body) for place in places]
            prove = _timing(_PROOFS, lambda index: log.inclusion_proof(places[index]))
            consistency = _timing(_PROOFS, lambda index: log.consistency_proof(places[index]))
            check = _timing(
                _PROOFS,
                lambda index: check_inclusion(leaves[index], places[index], size, proofs[index], top),
            )
            old = places[0]
            check_consistency(old, log.root(old), size, top, log.consistency_proof(old))
        began, began_cpu = time.perf_counter(), time.process_time()
        verification = verify_file(path)
        verify_s, verify_cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
        if not verification.ok or verification.entries != size:
            raise RuntimeError(f"the log that was just written does not verify: {verification.reason}")
        export_s, check_s, check_cpu_s = _export(folder / "export", checked)
    return LogBench(
        appended,
        round(appended / appended_s, 1),
        alone,
        prove,
        consistency,
        check,
        round(verify_s, 3),
        round(verify_cpu_s, 3),
        checked,
        round(export_s, 3),
        round(check_s, 3),
        round(check_cpu_s, 3),
    )


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One entry that an edge would write."""

    entry: Event | SessionStarted | SessionEnded

    def append(self, writing: Writing) -> None:
        """Append it with the columns that belong to it."""
        entry = self.entry
        body = entry.canonical() if isinstance(entry, Event) else body_of(entry)
        writing.append(entry.kind.value, body, record_id=entry.record_id, session_id=entry.session_id)


def _append(log: Log, count: int) -> float:
    """Append entries, 500 a transaction; returns the seconds in which the log had them."""
    leaves = _lives(count)
    elapsed_s = 0.0
    for start in range(0, count, _BATCH):
        began = time.perf_counter()
        _write(log, leaves[start : start + _BATCH])
        elapsed_s += time.perf_counter() - began
    return elapsed_s


def _write(log: Log, leaves: Sequence[_Leaf]) -> None:
    with log.writing() as writing:
        for leaf in leaves:
            leaf.append(writing)


def _lives(count: int) -> list[_Leaf]:
    """Return so many entries of consents, each offered, shown, given, served and completed in turn."""
    shelf = NoticeShelf.load()
    notice = shelf.current("vi")
    terms = load_terms()
    pattern = draft(
        counter="bench",
        notice=notice.reference(_PURPOSES),
        purposes=_PURPOSES,
        categories=notice.categories(_PURPOSES),
        terms=terms,
        offered_at=_START,
    )
    leaves: list[_Leaf] = []
    while len(leaves) < count:
        at = _START + timedelta(minutes=len(leaves))
        leaves += _life(replace(pattern, **_ids(), offered_at=at), at)
    return leaves[:count]


def _ids() -> dict[str, Any]:
    digest = code_digest(new_code())
    return {
        "record_id": new_id(),
        "receipt_id": new_id(),
        "session_id": new_id(),
        "withdrawal_digest": digest,
    }


def _life(record: ConsentRecord, at: datetime) -> list[_Leaf]:
    """Return the six entries of one service."""
    offered = Event(
        kind=EventKind.OFFERED,
        record_id=record.record_id,
        session_id=record.session_id,
        at=at,
        monotonic_ms=1_000,
        boot="bench",
        indicated_by=IndicatedBy.SYSTEM,
        method="offer",
    )
    digest = record.withdrawal_digest
    assert digest is not None  # noqa: S101 - narrows for mypy: `_ids` gave it one
    place = (record.record_id, record.session_id, record.counter)
    return [
        _Leaf(replace(offered, record=record, notice=record.notice)),
        _Leaf(replace(offered, kind=EventKind.SHOWN, method="screen", notice=record.notice)),
        _Leaf(
            replace(
                offered,
                kind=EventKind.GIVEN,
                indicated_by=IndicatedBy.CITIZEN,
                method="tap",
                decisions=tuple(PurposeDecision(purpose, Answer.GIVEN) for purpose in record.purposes),
                dwell_ms=9_000,
                receipt_digest=receipt_digest(record.receipt_id, digest),
            )
        ),
        _Leaf(SessionStarted(*place, at, record.purposes)),
        _Leaf(replace(offered, kind=EventKind.COMPLETED, method="end-of-service")),
        _Leaf(
            SessionEnded(
                *place, at, Processed(240_000, 90_000), 300_000, 2_500, 0, 0, Outcome.SIGNAL, "ab" * 32
            )
        ),
    ]


def _export(folder: Path, count: int) -> tuple[float, float, float]:
    """Write an export of so many entries and check it; returns the seconds of both, and CPU of the check."""
    (first,) = _lives(1)
    assert isinstance(first.entry, Event)  # noqa: S101 - narrows for mypy: a life starts with an event
    plain = first.entry.canonical()

    def entries(start: int, stop: int) -> list[bytes]:
        return [b"%s %d" % (plain, index) for index in range(start, stop)]

    nodes = MemoryNodes(leaf_hash(entry) for entry in entries(0, count))
    signer = Ed25519Signer(_ORIGIN, Ed25519PrivateKey.generate())
    note = sign(Checkpoint(_ORIGIN, count, root(count, nodes)), [signer])
    began = time.perf_counter()
    write_folder(folder, note, count, nodes, entries)
    written, written_cpu = time.perf_counter(), time.process_time()
    report = check_folder(folder, WitnessPolicy((verifier(signer.vkey()),)))
    ended, ended_cpu = time.perf_counter(), time.process_time()
    if report.entries != count:
        raise RuntimeError(f"{report.entries} of {count} entries were checked")
    return written - began, ended - written, ended_cpu - written_cpu


def _timing(tried: int, call: Callable[[int], object]) -> Timing:
    times_ms, began_cpu = [], time.thread_time()
    for index in range(tried):
        began = time.perf_counter()
        call(index)
        times_ms.append((time.perf_counter() - began) * 1000)
    cpu_ms = (time.thread_time() - began_cpu) * 1000 / tried
    times_ms.sort()
    return Timing(
        tried, round(cpu_ms, 4), round(sum(times_ms) / tried, 4), round(times_ms[int(tried * 0.99)], 4)
    )
