"""The simulation of coverage as JSON for programs, as a table and as a picture for readers."""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

import numpy as np

from api.statistics.coverage import HIGHEST, LOWEST, Cell, ConsentCell, ControlCell
from api.statistics.synthetic_visits import Telling, Visits

_PACKAGES: Final = ("hailong", "numpy", "scipy", "ppi-python")
_STYLE: Final[dict[Any, Any]] = {  # matplotlib types its keys as one literal of 300 names
    "svg.fonttype": "none",
    "svg.hashsalt": "hailong",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
}


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """A whole simulation.

    Attributes:
        seed: Its seed.
        runs: Months a cell.
        cells: The grid of the bar.
        ratios: Cells with fewer and with more scores a ballot.
        consent: Months with consent bias.
        control: What `ppi_mean_ci` makes of the grid; empty if it was not asked for.
    """

    seed: int
    runs: int
    cells: tuple[Cell, ...]
    ratios: tuple[Cell, ...]
    consent: tuple[ConsentCell, ...]
    control: tuple[ControlCell, ...]

    @property
    def passes(self) -> bool:
        """Whether every cell meets the bar."""
        return not self.outside

    @property
    def outside(self) -> list[Cell | ConsentCell]:
        """The cells that do not meet the bar."""
        every: list[Cell | ConsentCell] = [*self.cells, *self.ratios, *self.consent]
        return [cell for cell in every if not cell.passes]


def as_json(report: CoverageReport) -> str:
    """Return everything as JSON."""
    found = {
        "seed": report.seed,
        "runs": report.runs,
        "versions": {"python": platform.python_version(), **_versions()},
        "passes": report.passes,
        "cells": [_cell(cell) for cell in report.cells],
        "ratios": [_cell(cell) for cell in report.ratios],
        "consent_bias": [_consent(cell) for cell in report.consent],
        "control": [
            {**_visits(cell.visits), "runs": cell.runs, "coverage": cell.coverage, "width": cell.width}
            for cell in report.control
        ],
    }
    return json.dumps(found, indent=1, allow_nan=False)


def as_markdown(report: CoverageReport) -> str:
    """Return what a reader wants to see: a row for each share and number of ballots."""
    aucs = sorted({cell.visits.auc for cell in report.cells})
    lines = [
        f"{report.runs:,} runs a cell (more where that left doubt), seed {report.seed}; {_verdict(report)}",
        "",
        "| p | n | Wilson covers, % | ours covers, % (least, most) | "
        + " | ".join(f"width, AUC {auc}" for auc in aucs)
        + " | `ppi_mean_ci` covers, % (mean) |",
        "|---|---|---|---|" + "---|" * (len(aucs) + 1),
    ]
    for p, n in sorted({(cell.visits.p, cell.visits.n) for cell in report.cells}):
        row = [cell for cell in report.cells if (cell.visits.p, cell.visits.n) == (p, n)]
        widths = [
            float(np.mean([cell.width / cell.wilson_width for cell in row if cell.visits.auc == auc]))
            for auc in aucs
        ]
        controls = [cell.coverage for cell in report.control if (cell.visits.p, cell.visits.n) == (p, n)]
        lines.append(
            f"| {p:g} | {n} | {row[0].wilson_coverage * 100:.1f} | "
            f"{_ends(cell.coverage for cell in row)} | "
            + " | ".join(f"{width:.3f}" for width in widths)
            + f" | {f'{_mean(controls) * 100:.1f}' if controls else '—'} |"
        )
    return "\n".join([*lines, "", *_ratio_table(report.ratios), "", *_consent_table(report.consent), ""])


def as_svg(report: CoverageReport) -> bytes:
    """Draw the coverage of every cell beside Wilson's and the control's, and the widths."""
    import matplotlib as mpl  # noqa: PLC0415 - half a second that only a picture should cost
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.axhspan(LOWEST * 100, HIGHEST * 100, color="#e3e8ed", zorder=0)
        ours, control = report.cells, report.control
        left.scatter(
            _spread([cell.visits for cell in control], 0.006),
            [cell.coverage * 100 for cell in control],
            s=7,
            color="#b3402a",
            label="ppi_mean_ci (control)",
        )
        left.scatter(
            _spread([cell.visits for cell in ours], -0.006),
            [cell.wilson_coverage * 100 for cell in ours],
            s=7,
            color="#8a96a3",
            label="Wilson, ballots alone",
        )
        left.scatter(
            _spread([cell.visits for cell in ours], 0.0),
            [cell.coverage * 100 for cell in ours],
            s=7,
            color="#0b5c8a",
            label="ours",
        )
        left.set(xlabel="share of satisfied visits", ylabel="intervals that hold it, %")
        left.legend(loc="lower left", frameon=False)
        for telling, colour in zip(Telling, ("#0b5c8a", "#5aa0c8", "#8a96a3"), strict=True):
            told = [cell for cell in ours if cell.visits.telling is telling]
            aucs = sorted({cell.visits.auc for cell in told})
            right.plot(
                aucs,
                [_mean(c.width / c.wilson_width for c in told if c.visits.auc == auc) for auc in aucs],
                marker="o",
                markersize=4,
                color=colour,
                label=f"scores told {telling.value}",
            )
        right.axhline(1, color="#8a96a3", linewidth=0.8)
        right.set(xlabel="AUC of the scores", ylabel="mean width over Wilson's")
        right.legend(loc="lower left", frameon=False)
        output = io.BytesIO()
        figure.savefig(
            output, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None}
        )
    return output.getvalue()


def _verdict(report: CoverageReport) -> str:
    every = len(report.cells) + len(report.ratios) + len(report.consent)
    out = len(report.outside)
    return f"all {every} cells meet the bar" if not out else f"**{out} of {every} cells miss the bar**"


def _ratio_table(cells: Sequence[Cell]) -> list[str]:
    lines = ["| scores a ballot | covers, % (least, most) | width over Wilson's |", "|---|---|---|"]
    for ratio in sorted({cell.visits.more // cell.visits.n for cell in cells}):
        row = [cell for cell in cells if cell.visits.more // cell.visits.n == ratio]
        lines.append(
            f"| {ratio} | {_ends(c.coverage for c in row)} | "
            f"{_mean(c.width / c.wilson_width for c in row):.3f} |"
        )
    return lines


def _consent_table(cells: Sequence[ConsentCell]) -> list[str]:
    lines = [
        "| p | offers | ballots | both, % (least) | consenters only, % (least, most) | s² added, % (least) |",
        "|---|---|---|---|---|---|",
    ]
    kinds = sorted({(c.month.p, c.month.offers, c.month.ballots) for c in cells})
    for p, offers, ballots in kinds:
        row = [c for c in cells if (c.month.p, c.month.offers, c.month.ballots) == (p, offers, ballots)]
        lines.append(
            f"| {p:g} | {offers} | {_mean(c.ballots for c in row):.0f} "
            f"| {min(c.coverage for c in row) * 100:.1f} "
            f"| {_ends(c.inside for c in row)} | {min(c.weighted for c in row) * 100:.1f} |"
        )
    return lines


def _ends(shares: Iterable[float]) -> str:
    found = sorted(shares)
    return f"{found[0] * 100:.1f}, {found[-1] * 100:.1f}"


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _spread(visits: Sequence[Visits], aside: float) -> list[float]:
    return [visit.p + aside for visit in visits]


def _visits(visits: Visits) -> dict[str, Any]:
    return {
        "p": visits.p,
        "n": visits.n,
        "N": visits.more,
        "auc": visits.auc,
        "calibrated": visits.telling is Telling.RIGHT,
        "scores": visits.telling.value,
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        **_visits(cell.visits),
        "runs": cell.runs,
        "coverage": cell.coverage,
        "coverage_error": cell.error,
        "coverage_counted": cell.counted,
        "width": cell.width,
        "scores_used": cell.used,
        "wilson_coverage": cell.wilson_coverage,
        "wilson_width": cell.wilson_width,
        "passes": cell.passes,
    }


def _consent(cell: ConsentCell) -> dict[str, Any]:
    month = cell.month
    return {
        "p": month.p,
        "offers": month.offers,
        "consent_if_satisfied": month.if_satisfied,
        "consent_if_not": month.if_not,
        "ballots": cell.ballots,
        "auc": month.auc,
        "runs": cell.runs,
        "coverage": cell.coverage,
        "width": cell.width,
        "coverage_inside_consenters": cell.inside,
        "coverage_variances_added": cell.weighted,
        "passes": cell.passes,
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
