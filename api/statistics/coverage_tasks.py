"""Cells as tasks: seeded one by one, drawn again where chance may have decided, kept when done."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from pydantic import TypeAdapter, ValidationError

from api.statistics.coverage import Cell, ConsentCell, simulate_cell, simulate_consent
from api.statistics.coverage_control import ControlCell, simulate_control
from api.statistics.synthetic_visits import Consenting, Visits

MORE_RUNS: Final = 12
"""How many times the runs a cell gets, drawn anew, when chance may have decided its verdict."""

Found: TypeAlias = Cell | ConsentCell | ControlCell
_KINDS: Final = {kind.__name__: TypeAdapter[Found](kind) for kind in (Cell, ConsentCell, ControlCell)}


@dataclass(frozen=True, slots=True)
class Task:
    """A cell to simulate, with its own seed: cells come out the same in any order.

    Attributes:
        month: What the months are like.
        runs: Months.
        seed: Seed of the cell.
        control: How many of them, from the first, the control judges instead of the estimator; 0 for none.
    """

    month: Visits | Consenting
    runs: int
    seed: int
    control: int = 0


def tasks(months: Sequence[Visits | Consenting], runs: int, seed: int, *, control: int = 0) -> list[Task]:
    """Give each kind of month a seed that follows from the seed of the whole."""
    seeds = np.random.SeedSequence(seed).generate_state(len(months), np.uint64)
    return [Task(month, runs, int(own), control) for month, own in zip(months, seeds, strict=True)]


def run(task: Task) -> Found:
    """Simulate one cell; a verdict in doubt is taken again with more runs of another seed."""
    if isinstance(task.month, Consenting):
        found = simulate_consent(task.month, task.runs, task.seed)
        return simulate_consent(task.month, MORE_RUNS * task.runs, task.seed + 1) if found.in_doubt else found
    if task.control:
        return simulate_control(task.month, task.runs, task.seed, task.control)
    first = simulate_cell(task.month, task.runs, task.seed)
    return simulate_cell(task.month, MORE_RUNS * task.runs, task.seed + 1) if first.in_doubt else first


def run_all(todo: Sequence[Task], jobs: int, kept: KeptCells | None = None) -> Iterator[Found]:
    """Simulate cells in order, in as many processes as asked; those kept from before are not drawn again."""
    before = {} if kept is None else kept.read()
    left = [task for task in todo if task not in before]
    made = _made(left, jobs)
    for task in todo:
        if task in before:
            yield before[task]
            continue
        found = next(made)
        if kept is not None:
            kept.add(task, found)
        yield found


class KeptCells:
    """A file of finished cells, a line each, so that a simulation that was stopped goes on where it was.

    A cell is taken from the file only for the same month, runs, seed and code.
    """

    def __init__(self, path: Path, code: str) -> None:
        """Use a file.

        Args:
            path: The file; it need not be there.
            code: What made the cells: a digest of everything that they depend on.
        """
        self._path = path
        self._code = code

    def read(self) -> dict[Task, Found]:
        """Return the cells of this code; a line that was cut off in the middle of writing is left out."""
        found: dict[Task, Found] = {}
        if not self._path.exists():
            return found
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                kept = _LINE.validate_json(line)
                if kept.code == self._code:
                    found[kept.task] = _KINDS[kept.kind].validate_python(kept.found)
            except (ValidationError, KeyError):
                continue
        return found

    def add(self, task: Task, found: Found) -> None:
        """Append a finished cell."""
        line = {
            "code": self._code,
            "task": asdict(task),
            "kind": type(found).__name__,
            "found": asdict(found),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@dataclass(frozen=True, slots=True)
class _Line:
    code: str
    task: Task
    kind: str
    found: dict[str, object]


_LINE: Final = TypeAdapter(_Line)


def code_of(versions: dict[str, str]) -> str:
    """Return a digest of the code and the packages that cells depend on."""
    digest = hashlib.sha256(json.dumps(versions, sort_keys=True).encode())
    for name in ("coverage", "coverage_control", "mover", "prediction_powered", "synthetic_visits", "wilson"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()


def _made(todo: Sequence[Task], jobs: int) -> Iterator[Found]:
    if jobs <= 1:
        yield from map(run, todo)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(run, todo, chunksize=4)
