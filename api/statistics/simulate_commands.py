"""The commands of simulations: `hailong simulate coverage|change|alerts|disclosure`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn, TypeVar

import typer
from tqdm import tqdm

from api.errors import ApiError
from api.statistics.coverage import Cell, ConsentCell, consent_grid, grid, ratio_grid
from api.statistics.coverage_control import ControlCell
from api.statistics.coverage_picture import as_svg
from api.statistics.coverage_report import PACKAGES, CoverageReport, as_csv, as_json, as_markdown
from api.statistics.coverage_tasks import KeptCells, Task, code_of, run_all, tasks
from api.statistics.provenance import versions

if TYPE_CHECKING:
    from typer import _click  # Typer carries Click inside and gives it no public name

simulate = typer.Typer(
    name="simulate",
    help="Show by simulation what the published figures are worth.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_FAILED: Final = 1
_LATE: Final = {"allow_extra_args": True, "ignore_unknown_options": True}
_Result = TypeVar("_Result", Cell, ConsentCell, ControlCell)


@simulate.command("coverage")
def coverage(
    *,
    runs: Annotated[int, typer.Option(min=1, help="Simulated months a cell.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the whole.")] = 20260101,
    control: Annotated[
        bool, typer.Option("--control", help="Judge ppi-python's ppi_mean_ci as well (developers).")
    ] = False,
    control_runs: Annotated[
        int | None,
        typer.Option(min=1, help="How many of the months of --runs the control judges; by default all."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    as_text: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder for coverage.json, .csv, .md and .svg. Finished cells are kept there in "
            "cells.jsonl: the same command, stopped and given again, goes on where it was."
        ),
    ] = None,
) -> None:
    """Count how often intervals hold the truth; fails when cells miss the bar or the control does not."""
    try:
        kept = None if out is None else _kept(out)
        judged = tasks(grid(), runs, seed, control=control_runs or runs) if control else []
        report = CoverageReport(
            seed=seed,
            runs=runs,
            cells=_done("coverage", tasks(grid(), runs, seed), jobs, Cell, kept),
            ratios=_done("scores a ballot", tasks(ratio_grid(), runs, seed + 1), jobs, Cell, kept),
            consent=_done("consent bias", tasks(consent_grid(), runs, seed + 2), jobs, ConsentCell, kept),
            control=_done("ppi_mean_ci", judged, jobs, ControlCell, kept),
        )
        if out is not None:
            (out / "coverage.json").write_text(as_json(report) + "\n", encoding="utf-8")
            (out / "coverage.csv").write_text(as_csv(report), encoding="utf-8")
            (out / "coverage.md").write_text(as_markdown(report), encoding="utf-8")
            (out / "coverage.svg").write_bytes(as_svg(report))
    except (ApiError, OSError) as error:
        typer.echo(f"hailong simulate: {error}", err=True)
        raise typer.Exit(_FAILED) from error
    typer.echo(as_json(report) if as_text else as_markdown(report))
    if report.outside:
        typer.echo(f"hailong simulate: {len(report.outside)} cells miss the bar.", err=True)
    if not report.control_fails:
        typer.echo(
            "hailong simulate: the control meets the bar, so this would not notice a bad interval; "
            "give more --runs.",
            err=True,
        )
    if not report.passes:
        raise typer.Exit(_FAILED)


@simulate.command("change", add_help_option=False, context_settings=_LATE)
def change(context: typer.Context) -> None:
    """Show how soon the charts notice a change, and how often for nothing."""
    _call(context, "change")


@simulate.command("alerts", add_help_option=False, context_settings=_LATE)
def alerts(context: typer.Context) -> None:
    """Show how soon the alarm of a counter's own ballots comes, and how often for nothing."""
    _call(context, "alerts")


@simulate.command("disclosure", add_help_option=False, context_settings=_LATE)
def disclosure(context: typer.Context) -> None:
    """Attack a simulated month of published tables."""
    _call(context, "disclosure")


def _call(context: typer.Context, name: str) -> NoReturn:
    """Run a command that is imported only when it is called."""
    late = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    late.command()(getattr(importlib.import_module(f"api.statistics.{name}_command"), name))
    command: _click.Command = typer.main.get_command(late)
    command.main(context.args, prog_name=f"hailong simulate {name}")
    raise typer.Exit


def _kept(folder: Path) -> KeptCells:
    folder.mkdir(parents=True, exist_ok=True)
    return KeptCells(folder / "cells.jsonl", code_of(versions(*PACKAGES)))


def _done(
    what: str, todo: Sequence[Task], jobs: int, kind: type[_Result], kept: KeptCells | None
) -> tuple[_Result, ...]:
    """Simulate cells behind a progress bar."""
    bar = tqdm(
        run_all(todo, jobs, kept),
        desc=what,
        total=len(todo),
        file=sys.stderr,
        disable=not todo,
        mininterval=0.2 if sys.stderr.isatty() else 10,
    )
    return tuple(cell for cell in bar if isinstance(cell, kind))
