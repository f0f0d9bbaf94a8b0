"""The command tree: `hailong edge|central|models|eval|...`.

Programs are imported only when one of their commands is called, so that a central
server never loads a perception library and `hailong --help` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    import click

__version__ = "0.1.0"

_PROGRAMS: Final = {
    "edge": ("capture.commands", "edge", "Run the edge program: capture, kiosk, outbox, uplink.", "edge"),
    "central": ("api.commands", "central", "Run the central service.", "central"),
    "models": ("models.commands", "models", "List, verify, import and export models.", "edge"),
    "eval": ("inference.commands", "evaluate", "Measure models on evaluation data.", "edge"),
    "consent": ("consent.commands", "consent", "Inspect and verify the consent log.", None),
    "demo": ("capture.demo", "demo", "Stream the sample counters through the whole system.", "edge,central,demo"),
    "bench": ("capture.bench", "bench", "Measure stages, real-time factor and ingest.", "edge,central"),
}
"""Command -> module, attribute of its Typer application, one-line help, extra that it needs."""


class _LateGroup(TyperGroup):
    """A command group that imports a program only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_PROGRAMS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = _PROGRAMS.get(cmd_name)
        if entry is None:
            return None
        module, attribute, help_line, extra = entry
        if ctx.resilient_parsing or _wants_listing(ctx):
            return typer.main.get_command(typer.Typer(name=cmd_name, help=help_line, no_args_is_help=True, callback=_nothing))
        try:
            program = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if extra is None or error.name in {None, module}:
                raise
            message = (
                f"'hailong {cmd_name}' needs the package '{error.name}', which is not installed. "
                f"Install it with: pip install 'hailong[{extra}]'"
            )
            raise typer.BadParameter(message) from error
        command = typer.main.get_command(program)
        command.name = cmd_name
        return command


def _nothing() -> None:
    """Stand in for a program while the list of programs is printed."""


def _wants_listing(ctx: click.Context) -> bool:
    """Tell whether the caller only prints the list of programs."""
    return not ctx.args and not ctx._protected_args  # noqa: SLF001 - click offers no public way to ask


app = typer.Typer(
    cls=_LateGroup,
    name="hailong",
    help="Consent-gated measurement of satisfaction at public service counters.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    *,
    version: bool = typer.Option(default=False, help="Print the version and exit."),
) -> None:
    """Measure satisfaction at public service counters, with consent."""
    if version:
        typer.echo(f"hailong {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
