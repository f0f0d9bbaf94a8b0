"""The intervals hold what they say: a small simulation always, the whole grid nightly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from api.statistics import coverage_picture, coverage_report, simulate_commands
from api.statistics.coverage import (
    Cell,
    ConsentCell,
    consent_grid,
    grid,
    ratio_grid,
    simulate_cell,
    simulate_consent,
    wilson_coverage,
)
from api.statistics.coverage_tasks import run, tasks
from api.statistics.errors import SimulationRefused
from api.statistics.prediction_powered import PairSums, ScoreSums
from api.statistics.synthetic_visits import Consenting, Telling, Visits, draw, draw_pairs
from api.statistics.wilson import NORMAL, Values

_HARD = [
    Visits(0.7, 30, 300, 0.92, Telling.RIGHT),
    Visits(0.8, 30, 300, 0.98, Telling.RIGHT),
    Visits(0.95, 75, 750, 0.98, Telling.TIMID),
    Visits(0.95, 50, 500, 0.98, Telling.OVERCONFIDENT),
    Visits(0.9, 100, 1000, 0.86, Telling.OVERCONFIDENT),
    Visits(0.8, 100, 200, 0.86, Telling.RIGHT),
]


@pytest.mark.parametrize("visits", _HARD, ids=str)
def test_the_intervals_hold_the_truth(visits: Visits, seed: int) -> None:
    cell = simulate_cell(visits, 4000, seed)

    assert 0.93 - 3 * cell.error <= cell.coverage <= 0.97 + 3 * cell.error
    assert cell.width <= cell.wilson_width


@pytest.mark.parametrize("visits", [Visits(0.95, 30, 300, 0.86), Visits(0.9, 30, 300, 0.98)], ids=str)
def test_walds_interval_would_fail(visits: Visits, seed: int) -> None:
    def wald(pairs: PairSums, scores: ScoreSums) -> tuple[Values, Values, Values]:
        share = np.asarray(pairs.satisfied) / np.asarray(pairs.n)
        half = NORMAL * np.sqrt(share * (1 - share) / np.asarray(pairs.n))
        return share - half, share + half, np.zeros_like(share)

    cell = simulate_cell(visits, 4000, seed, wald)

    assert cell.coverage < 0.93 - 3 * cell.error
    assert not cell.passes


def test_scores_without_ballots_would_fail(seed: int) -> None:
    """A miscalibrated model says something else than the ballots, and says it with certainty."""

    def believed(pairs: PairSums, scores: ScoreSums) -> tuple[Values, Values, Values]:
        n = np.asarray(scores.n, dtype=np.float64)
        mean = np.asarray(scores.score) / n
        half = NORMAL * np.sqrt((np.asarray(scores.score_squared) / n - mean * mean) / n)
        return mean - half, mean + half, np.ones_like(mean)

    cell = simulate_cell(Visits(0.85, 100, 1000, 0.86, Telling.TIMID), 1000, seed, believed)

    assert cell.coverage < 0.01


@pytest.mark.parametrize("auc", [0.7, 0.98])
def test_consent_that_follows_the_mood_is_undone_by_the_strata(auc: float, seed: int) -> None:
    cell = simulate_consent(Consenting(0.8, 600, 0.6, 0.3, 0.5, auc), 4000, seed)

    assert cell.coverage >= 0.94 - 3 * 0.0037
    assert cell.inside < 0.25


def test_few_offers_leave_both_strata_honest_where_adding_variances_does_not(seed: int) -> None:
    cell = simulate_consent(Consenting(0.9, 200, 0.6, 0.3, 0.15, 0.86), 4000, seed)

    assert cell.coverage >= 0.93
    assert cell.weighted < 0.93


@pytest.mark.parametrize(
    ("p", "n", "share"), [(0.95, 30, 0.939228438691256), (0.9, 50, 0.970308289088089), (0.5, 2, 1.0)]
)
def test_wilsons_coverage_is_exact(p: float, n: int, share: float) -> None:
    assert wilson_coverage(p, n) == pytest.approx(share, abs=1e-12)


def test_a_cell_is_judged_by_both_borders_and_the_width() -> None:
    def cell(coverage: float, width: float, wilson: float, error: float = 0.001) -> bool:
        return Cell(
            Visits(0.8, 50, 500, 0.86), 2000, coverage, error, coverage, width, 0.0, 1.0, wilson, 0.2
        ).passes

    assert cell(0.95, 0.2, 0.95)
    assert not cell(0.95, 0.201, 0.95)
    assert not cell(0.929, 0.1, 0.94)
    assert not cell(0.971, 0.1, 0.96)
    assert cell(0.928, 0.1, 0.929)
    assert not cell(0.926, 0.1, 0.929)
    assert cell(0.975, 0.1, 0.974)


def test_the_invented_visits_are_what_they_are_said_to_be(seed: int) -> None:
    y, f, g = draw_pairs(np.random.default_rng(seed), Visits(0.8, 40_000, 40_000, 0.86))
    above = np.mean(
        np.random.default_rng(seed).choice(f[y > 0], 40_000)
        > np.random.default_rng(seed + 1).choice(f[y == 0], 40_000)
    )

    assert float(y.mean()) == pytest.approx(0.8, abs=0.01)
    assert above == pytest.approx(0.86, abs=0.015)
    assert float(f.mean()) == pytest.approx(float(y.mean()), abs=0.01)
    assert float(g.mean()) == pytest.approx(0.8, abs=0.01)
    near = (f > 0.65) & (f < 0.75)
    assert float(y[near].mean()) == pytest.approx(float(f[near].mean()), abs=0.05)


def test_the_same_seed_makes_the_same_months() -> None:
    visits = Visits(0.8, 40, 400, 0.86)
    one, two = (draw(np.random.default_rng(5), visits, 30) for _ in range(2))

    assert np.array_equal(one[0].product, two[0].product)
    assert np.array_equal(one[1].score, two[1].score)
    assert simulate_cell(visits, 50, 7) != simulate_cell(visits, 50, 8)


def test_a_simulation_without_runs_is_refused() -> None:
    with pytest.raises(SimulationRefused, match="at least one run"):
        simulate_cell(_HARD[0], 0, 1)


def test_the_grids_hold_what_the_bar_names() -> None:
    cells = grid()

    assert {cell.p for cell in cells} >= {0.5, 0.8, 0.95, 0.97}
    assert {cell.n for cell in cells} >= {30, 50, 100, 300}
    assert {cell.auc for cell in cells} >= {0.6, 0.86, 0.98}
    assert {cell.telling for cell in cells} == set(Telling)
    assert {cell.more // cell.n for cell in ratio_grid()} == {1, 2, 5, 20}


def test_the_command_writes_its_report_and_fails_when_a_cell_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(simulate_commands, "grid", lambda: [Visits(0.8, 100, 1000, 0.9)])
    monkeypatch.setattr(simulate_commands, "ratio_grid", lambda: [Visits(0.8, 100, 200, 0.9)])
    monkeypatch.setattr(simulate_commands, "consent_grid", lambda: consent_grid()[:1])
    asked = [
        "coverage",
        "--runs",
        "3000",
        "--jobs",
        "1",
        "--seed",
        str(seed),
        "--json",
        "--out",
        str(tmp_path),
    ]
    done = CliRunner().invoke(simulate_commands.simulate, asked)

    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["passes"] is True
    assert found["seed"] == seed
    (cell,) = found["cells"]
    assert (cell["p"], cell["n"], cell["auc"], cell["calibrated"]) == (0.8, 100, 0.9, True)
    assert 0.93 < cell["coverage"] < 0.97
    assert cell["width"] < cell["wilson_width"]
    assert json.loads((tmp_path / "coverage.json").read_text()) == found
    assert "all 3 cells meet the bar" in (tmp_path / "coverage.md").read_text()
    assert (tmp_path / "coverage.svg").read_text().count("<svg") == 1

    monkeypatch.setattr("api.statistics.coverage.LOWEST_OF_CONSENT", 1.001)
    failed = CliRunner().invoke(simulate_commands.simulate, asked)
    assert failed.exit_code == 1
    assert "miss the bar" in failed.stderr


def test_a_refused_folder_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grid", "ratio_grid", "consent_grid"):
        monkeypatch.setattr(simulate_commands, name, list)
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(simulate_commands.simulate, ["coverage", "--out", str(tmp_path / "file")])

    assert done.exit_code == 1
    assert "hailong simulate:" in done.stderr


@pytest.mark.parametrize("name", ["change", "disclosure"])
def test_the_other_simulations_are_there(name: str) -> None:
    done = CliRunner().invoke(simulate_commands.simulate, [name, "--help"])

    assert done.exit_code == 0
    assert f"simulate {name}" in done.stdout


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_whole_grid_meets_the_bar(seed: int) -> None:
    for kind in (grid(), ratio_grid(), consent_grid()):
        for task in tasks(kind, 2000, seed):
            cell = run(task)
            if isinstance(cell, ConsentCell):
                assert cell.coverage >= 0.94 - 3 * 0.0053, cell
            else:
                assert isinstance(cell, Cell)
                assert cell.passes, cell


def test_a_picture_of_the_same_figures_is_the_same(seed: int) -> None:
    report = coverage_report.CoverageReport(
        seed, 100, tuple(simulate_cell(visits, 100, seed) for visits in _HARD), (), (), ()
    )

    assert coverage_picture.as_svg(report) == coverage_picture.as_svg(report)
