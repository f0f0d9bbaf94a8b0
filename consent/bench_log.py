"""What the log costs: entries appended, proofs made and checked, whole logs checked.

What is compared with the bars (a proof below 1 ms, a million entries checked within 60 s) is
said as a ratio of CPU time: the machines this runs on are shared. Wall-clock stands beside it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.checkpoint import Checkpoint, Ed25519Signer, WitnessPolicy, sign, verifier
from consent.entry import EntryKind, RetentionRun, RetentionStep, body_of
from consent.log import Log
from consent.merkle import MemoryNodes, check_consistency, check_inclusion, leaf_hash, root
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
_KIND: Final = EntryKind.RETENTION_RUN.value
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
            alone = _timing(_ALONE, lambda index: log.append(_KIND, _body(appended + index)))
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


def _append(log: Log, count: int) -> float:
    """Append entries, 500 a transaction; returns the seconds in which the log had them."""
    elapsed_s = 0.0
    for start in range(0, count, _BATCH):
        bodies = [_body(index) for index in range(start, min(start + _BATCH, count))]
        began = time.perf_counter()
        with log.writing() as writing:
            for body in bodies:
                writing.append(_KIND, body)
        elapsed_s += time.perf_counter() - began
    return elapsed_s


def _export(folder: Path, count: int) -> tuple[float, float, float]:
    """Write an export of so many entries and check it; returns the seconds of both, and CPU of the check."""
    plain = _body(0)

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


def _body(index: int) -> bytes:
    steps = (RetentionStep("sessions", 30, index % 100), RetentionStep("quarantine", 7, 0))
    return body_of(RetentionRun(_START + timedelta(seconds=index), steps))
