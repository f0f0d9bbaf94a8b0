"""The simulation of coverage as JSON and CSV for programs and as a table for readers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from api.statistics.coverage import HIGHEST, LOWEST, Cell, ConsentCell
from api.statistics.coverage_control import ControlCell
from api.statistics.coverage_tasks import MORE_RUNS
from api.statistics.provenance import commit, made_with, versions
from api.statistics.synthetic_visits import Telling, Visits

PACKAGES: Final = ("hailong", "numpy", "scipy", "ppi-python")
"""Packages that a simulation of coverage hangs on."""


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
        """Whether every cell meets the bar, and the control, if asked for, does not."""
        return not self.outside and self.control_fails

    @property
    def every(self) -> list[Cell | ConsentCell]:
        """All cells but the control's."""
        return [*self.cells, *self.ratios, *self.consent]

    @property
    def outside(self) -> list[Cell | ConsentCell]:
        """The cells that do not meet the bar."""
        return [cell for cell in self.every if not cell.passes]

    @property
    def drawn_again(self) -> list[Cell | ConsentCell]:
        """The cells whose first verdict chance may have decided."""
        return [cell for cell in self.every if cell.runs > self.runs]

    @property
    def control_fails(self) -> bool:
        """Whether the control misses the bar beyond chance; what passes everything shows nothing."""
        return not self.control or any(cell.surely_low for cell in self.control)


def as_json(report: CoverageReport) -> str:
    """Return everything as JSON."""
    found = {
        "seed": report.seed,
        "runs": report.runs,
        "versions": versions(*PACKAGES),
        "commit": commit(),
        "passes": report.passes,
        "control_fails": report.control_fails if report.control else None,
        "cells": [_cell(cell) for cell in report.cells],
        "ratios": [_cell(cell) for cell in report.ratios],
        "consent_bias": [_consent(cell) for cell in report.consent],
        "control": [_control(cell) for cell in report.control],
    }
    return json.dumps(found, indent=1, allow_nan=False)


def as_csv(report: CoverageReport) -> str:
    """Return the grid of the bar, a line a cell, beside it what the control made of the same months."""
    controls = {cell.visits: _control(cell) for cell in report.control}
    rows = []
    for cell in report.cells:
        beside = controls.get(cell.visits, {})
        names = ("runs", "coverage", "width", "passes")
        rows.append({**_cell(cell), **{f"control_{name}": beside.get(name) for name in names}})
    output = io.StringIO()
    if rows:
        writer = csv.DictWriter(output, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return output.getvalue()


def as_markdown(report: CoverageReport) -> str:
    """Return what a reader wants to see: a row for each share and number of ballots."""
    aucs = sorted({cell.visits.auc for cell in report.cells})
    lines = [
        *_verdicts(report),
        "",
        "| p | n | Wilson covers, % | ours covers, % (least, most) | "
        + " | ".join(f"width, AUC {auc}" for auc in aucs)
        + " | `ppi_mean_ci` covers, % (least, most) |",
        "|---|---|---|---|" + "---|" * (len(aucs) + 1),
    ]
    for p, n in sorted({(cell.visits.p, cell.visits.n) for cell in report.cells}):
        row = [cell for cell in report.cells if (cell.visits.p, cell.visits.n) == (p, n)]
        widths = [
            mean(cell.width / cell.wilson_width for cell in row if cell.visits.auc == auc) for auc in aucs
        ]
        controls = [cell.coverage for cell in report.control if (cell.visits.p, cell.visits.n) == (p, n)]
        lines.append(
            f"| {p:g} | {n} | {row[0].wilson_coverage * 100:.1f} | "
            f"{_ends(cell.coverage for cell in row)} | "
            + " | ".join(f"{width:.3f}" for width in widths)
            + f" | {_ends(controls) if controls else '—'} |"
        )
    parts = [lines, _ratio_table(report.ratios), _consent_table(report.consent)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def mean(values: Iterable[float]) -> float:
    """Return the mean of some figures."""
    return float(np.mean(list(values)))


def _verdicts(report: CoverageReport) -> list[str]:
    """Return in sentences what came out, by which rule, and what made it."""
    out, every = len(report.outside), len(report.every)
    verdict = f"all {every} cells meet the bar" if not out else f"**{out} of {every} cells miss the bar**"
    again = report.drawn_again
    still = [cell for cell in again if cell.in_doubt]
    plain = {_row(cell.visits): cell.wilson_coverage for cell in report.cells}
    rows = {row: share for row, share in plain.items() if not LOWEST <= share <= HIGHEST}
    named = "; ".join(f"p {p:g}, n {n}: {share * 100:.2f} %" for (p, n), share in sorted(rows.items()))
    beyond = [cell for cell in report.cells if not LOWEST <= cell.coverage <= HIGHEST]
    elsewhere = [cell for cell in beyond if _row(cell.visits) not in rows]
    doubt = (
        f"- {len(again)} cells lay within three standard errors of a border and were drawn anew with "
        f"{MORE_RUNS * report.runs:,} runs; {len(still)} of them still do: there the estimate decides."
    )
    wilson = (
        f"- Wilson's own coverage lies outside {_percent(LOWEST)} to {_percent(HIGHEST)} in {len(rows)} rows"
        f"{f' ({named})' if rows else ''}. Of ours {len(beyond)} cells lie outside, {len(elsewhere)} of them "
        "in other rows."
    )
    made = f"Made with {made_with(report.seed, *PACKAGES)}."
    return [f"{report.runs:,} runs a cell; {verdict}. {made}", "", doubt, wilson, *_control_verdict(report)]


def _control_verdict(report: CoverageReport) -> list[str]:
    if not report.control:
        return []
    cells = report.control
    missed = sum(not cell.passes for cell in cells)
    low = sum(cell.surely_low for cell in cells)
    worst = min(cells, key=lambda cell: cell.coverage)
    visits = worst.visits
    found = (
        f"- `ppi_mean_ci` with {worst.runs:,} months a cell: {missed} of {len(cells)} cells miss the bar, "
        f"{low} lie under {_percent(LOWEST)} by more than three standard errors. The least is "
        f"{_percent(worst.coverage)} (p {visits.p:g}, n {visits.n}, AUC {visits.auc:g}, scores told "
        f"{visits.telling.value})."
    )
    return [found]


def _ratio_table(cells: Sequence[Cell]) -> list[str]:
    lines = ["| scores a ballot | covers, % (least, most) | width over Wilson's |", "|---|---|---|"]
    for ratio in sorted({cell.visits.more // cell.visits.n for cell in cells}):
        row = [cell for cell in cells if cell.visits.more // cell.visits.n == ratio]
        lines.append(
            f"| {ratio} | {_ends(c.coverage for c in row)} | "
            f"{mean(c.width / c.wilson_width for c in row):.3f} |"
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
            f"| {p:g} | {offers} | {mean(c.ballots for c in row):.0f} "
            f"| {min(c.coverage for c in row) * 100:.1f} "
            f"| {_ends(c.inside for c in row)} | {min(c.weighted for c in row) * 100:.1f} |"
        )
    return lines


def _row(visits: Visits) -> tuple[float, int]:
    return visits.p, visits.n


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _ends(shares: Iterable[float]) -> str:
    found = sorted(shares)
    return f"{found[0] * 100:.1f}, {found[-1] * 100:.1f}"


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
        "width_error": cell.width_error,
        "scores_used": cell.used,
        "wilson_coverage": cell.wilson_coverage,
        "wilson_width": cell.wilson_width,
        "passes": cell.passes,
    }


def _control(cell: ControlCell) -> dict[str, Any]:
    return {
        **_visits(cell.visits),
        "runs": cell.runs,
        "coverage": cell.coverage,
        "coverage_error": cell.error,
        "width": cell.width,
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
