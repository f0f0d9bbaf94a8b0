"""The simulation of coverage as a picture: how far cells reach, and how wide intervals are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from api.statistics.coverage import HIGHEST, LOWEST
from api.statistics.coverage_report import CoverageReport, mean
from api.statistics.synthetic_visits import Telling, Visits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLE: Final[dict[Any, Any]] = {  # matplotlib types its keys as one literal of 300 names
    "svg.fonttype": "none",
    "svg.hashsalt": "hailong",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
}
_OURS: Final = "#0b5c8a"
_PALER: Final = "#5aa0c8"
_GREY: Final = "#8a96a3"
_CONTROL: Final = "#b3402a"
_BAND: Final = "#e3e8ed"


def as_svg(report: CoverageReport) -> bytes:
    """Draw the coverage of cells beside Wilson's and the control's, and the widths.

    Cells of one share and one number of ballots are one line from the least to the most; 864 dots would
    weigh ten times as much and say no more.
    """
    import matplotlib as mpl  # noqa: PLC0415 - half a second that only a picture should cost
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _coverage(left, report)
        _widths(right, report)
        output = io.BytesIO()
        figure.savefig(
            output, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None}
        )
    return output.getvalue()


def _coverage(axes: Axes, report: CoverageReport) -> None:
    rows = sorted({(cell.visits.p, cell.visits.n) for cell in report.cells})
    shares = sorted({p for p, _ in rows})
    place = {row: index + shares.index(row[0]) for index, row in enumerate(rows)}  # a gap after each share
    axes.axhspan(LOWEST * 100, HIGHEST * 100, color=_BAND, zorder=0)
    control = [(cell.visits, cell.coverage) for cell in report.control]
    _reaches(axes, place, control, _CONTROL, "ppi_mean_ci (control)")
    _reaches(axes, place, [(cell.visits, cell.coverage) for cell in report.cells], _OURS, "ours")
    exact = {(cell.visits.p, cell.visits.n): cell.wilson_coverage * 100 for cell in report.cells}
    axes.plot(
        [place[row] for row in rows],
        [exact[row] for row in rows],
        linestyle="none",
        marker="_",
        markersize=6,
        markeredgewidth=1.2,
        color="black",
        label="Wilson, ballots alone",
    )
    axes.set(
        xlabel="share of satisfied visits; within each, ballots from few to many",
        ylabel="intervals that hold it, %",
    )
    middles = [mean(place[row] for row in rows if row[0] == p) for p in shares]
    axes.set_xticks(middles, [f"{p:g}" for p in shares])
    axes.tick_params(axis="x", length=0)
    axes.legend(loc="lower left", frameon=False)


def _reaches(
    axes: Axes,
    place: dict[tuple[float, int], int],
    found: Sequence[tuple[Visits, float]],
    colour: str,
    label: str,
) -> None:
    """Draw one path of lines from the least to the most coverage of each row."""
    ends: dict[tuple[float, int], list[float]] = {}
    for visits, coverage in found:
        ends.setdefault((visits.p, visits.n), []).append(coverage * 100)
    if not ends:
        return
    across, up = [], []
    for row, values in ends.items():
        across += [place[row], place[row], float("nan")]
        up += [min(values), max(values), float("nan")]
    axes.plot(across, up, color=colour, linewidth=3, solid_capstyle="butt", label=label)


def _widths(axes: Axes, report: CoverageReport) -> None:
    for telling, colour in zip(Telling, (_OURS, _PALER, _GREY), strict=True):
        told = [cell for cell in report.cells if cell.visits.telling is telling]
        aucs = sorted({cell.visits.auc for cell in told})
        axes.plot(
            aucs,
            [mean(c.width / c.wilson_width for c in told if c.visits.auc == auc) for auc in aucs],
            marker="o",
            markersize=4,
            color=colour,
            label=f"scores told {telling.value}",
        )
    axes.axhline(1, color=_GREY, linewidth=0.8)
    axes.set(xlabel="AUC of the scores", ylabel="mean width over Wilson's")
    axes.legend(loc="lower left", frameon=False)
