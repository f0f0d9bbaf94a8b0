"""The commands of simulations: `hailong simulate coverage|change|disclosure`."""

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
from api.statistics.coverage import (
    Cell,
    ConsentCell,
    ControlCell,
    Task,
    consent_grid,
    grid,
    ratio_grid,
    run_all,
    tasks,
)
from api.statistics.coverage_report import CoverageReport, as_json, as_markdown, as_svg

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
    control_runs: Annotated[int, typer.Option(min=1, help="Simulated months a cell of the control.")] = 500,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    as_text: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="A folder for coverage.json, coverage.md and coverage.svg.")
    ] = None,
) -> None:
    """Count how often the intervals hold the truth; fails when a cell misses the bar."""
    try:
        report = CoverageReport(
            seed=seed,
            runs=runs,
            cells=_done("coverage", tasks(grid(), runs, seed), jobs, Cell),
            ratios=_done("scores a ballot", tasks(ratio_grid(), runs, seed + 1), jobs, Cell),
            consent=_done("consent bias", tasks(consent_grid(), runs, seed + 2), jobs, ConsentCell),
            control=_done("ppi_mean_ci", tasks(grid(), control_runs, seed, control=True), jobs, ControlCell)
            if control
            else (),
        )
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            (out / "coverage.json").write_text(as_json(report) + "\n", encoding="utf-8")
            (out / "coverage.md").write_text(as_markdown(report), encoding="utf-8")
            (out / "coverage.svg").write_bytes(as_svg(report))
    except (ApiError, OSError) as error:
        typer.echo(f"hailong simulate: {error}", err=True)
        raise typer.Exit(_FAILED) from error
    typer.echo(as_json(report) if as_text else as_markdown(report))
    if not report.passes:
        typer.echo(f"hailong simulate: {len(report.outside)} cells miss the bar.", err=True)
        raise typer.Exit(_FAILED)


@simulate.command("change", add_help_option=False, context_settings=_LATE)
def change(context: typer.Context) -> None:
    """Show how soon the charts notice a change, and how often for nothing."""
    _call(context, "change")


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


def _done(what: str, todo: Sequence[Task], jobs: int, kind: type[_Result]) -> tuple[_Result, ...]:
    """Simulate cells behind a progress bar."""
    bar = tqdm(
        run_all(todo, jobs),
        desc=what,
        total=len(todo),
        file=sys.stderr,
        mininterval=0.2 if sys.stderr.isatty() else 10,
    )
    return tuple(cell for cell in bar if isinstance(cell, kind))
