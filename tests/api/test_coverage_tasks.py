"""Finished cells are kept: a simulation that was stopped goes on, and only with the same code."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.statistics import coverage_tasks
from api.statistics.coverage import Cell
from api.statistics.coverage_control import ControlCell
from api.statistics.coverage_report import CoverageReport
from api.statistics.coverage_tasks import Found, KeptCells, Task, run, run_all, tasks
from api.statistics.synthetic_visits import Consenting, Visits

_MONTHS: list[Visits | Consenting] = [
    Visits(0.8, 40, 400, 0.86),
    Consenting(0.8, 200, 0.6, 0.3, 0.5, 0.86),
    Visits(0.9, 30, 60, 0.7),
]


def test_kept_cells_are_not_drawn_again_and_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    todo = tasks(_MONTHS, 20, seed)
    kept = KeptCells(tmp_path / "cells.jsonl", "code")
    whole = list(run_all(todo, 1))
    assert list(run_all(todo[:2], 1, kept)) == whole[:2]
    with (tmp_path / "cells.jsonl").open("a") as file:
        file.write('{"code": "code", "task": {"mon')  # stopped in the middle of a line
    (tmp_path / "cells.jsonl").write_text((tmp_path / "cells.jsonl").read_text() + "\n")
    drawn: list[Task] = []

    def counted(task: Task) -> Found:
        drawn.append(task)
        return run(task)

    monkeypatch.setattr(coverage_tasks, "run", counted)

    assert list(run_all(todo, 1, kept)) == whole
    assert drawn == todo[2:]
    assert list(run_all(todo, 1, KeptCells(tmp_path / "cells.jsonl", "other code"))) == whole
    assert drawn == [*todo[2:], *todo]


def test_a_control_that_meets_the_bar_fails_the_whole() -> None:
    visits = _MONTHS[0]
    assert isinstance(visits, Visits)
    cell = Cell(visits, 2000, 0.95, 0.001, 0.95, 0.1, 0.0, 1.0, 0.95, 0.2)

    def report(*coverages: float) -> CoverageReport:
        control = tuple(ControlCell(visits, 2000, coverage, 0.1) for coverage in coverages)
        return CoverageReport(1, 2000, (cell,), (), (), control)

    assert report().passes
    assert report(0.85, 0.95).passes
    assert not report(0.95, 0.925).passes  # within three standard errors of the border: chance may do that
