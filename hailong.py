"""The command tree: `hailong edge|central|models|eval|...`.

Programs are imported only when one of their commands is called, so that a central
server never loads a perception library and `hailong --help` stays quick.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Final

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer import _click  # Typer carries Click inside and gives it no public name


_OURS: Final = frozenset({"capture", "models", "inference", "api", "consent"})


@dataclass(frozen=True, slots=True)
class _Program:
    """One word of the command line and where its commands are."""

    module: str
    attribute: str
    help: str
    extra: str | None
    """The optional dependencies that the program needs, as `pip install hailong[...]` names them."""


_PROGRAMS: Final = {
    "edge": _Program(
        "capture.commands", "edge", "Run the edge program: capture, kiosk, outbox, uplink.", "edge"
    ),
    "preview": _Program(
        "capture.preview_command", "preview", "Show an installer a camera with every face covered.", "edge"
    ),
    "central": _Program("api.commands", "central", "Run the central service.", "central"),
    "models": _Program("models.commands", "models", "List, verify, import and export models.", "edge"),
    "anonymise": _Program(
        "inference.anonymise_command",
        "anonymise",
        "Write a recording or pictures anew without faces.",
        "edge",
    ),
    "eval": _Program("inference.commands", "evaluate", "Measure models on evaluation data.", "edge"),
    "consent": _Program("consent.commands", "consent", "Inspect and verify the consent log.", None),
    "witness": _Program(
        "consent.witness_commands",
        "witness",
        "Cosign the log's checkpoints for an oversight body.",
        "witness",
    ),
    "audit": _Program(
        "api.audit_commands", "audit", "Export the log and verify an export with every figure.", "central"
    ),
    "simulate": _Program(
        "api.statistics.simulate_commands",
        "simulate",
        "Show by simulation what the published figures are worth.",
        "central",
    ),
    "demo": _Program(
        "capture.demo",
        "demo",
        "Stream the sample counters through the whole system.",
        "edge,central,demo",
    ),
    "bench": _Program(
        "capture.bench", "bench", "Measure stages, real-time factor and ingest.", "edge,central"
    ),
}


class _LateGroup(TyperGroup):
    """Knows every program by name and help; puts the real one in its place when it is called."""

    def resolve_command(
        self, ctx: _click.Context, args: list[str]
    ) -> tuple[str | None, _click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name in _PROGRAMS:
            command = _load(name)
        return name, command, rest


def _load(name: str) -> _click.Command:
    """Import a program and return its command.

    Raises:
        typer.Exit: a package it needs is not installed; the message names the extra that brings it.
    """
    program = _PROGRAMS[name]
    try:
        commands = getattr(importlib.import_module(program.module), program.attribute)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if program.extra is None or missing.partition(".")[0] in _OURS:
            raise
        typer.echo(
            f"'hailong {name}' needs the package '{missing}', which is not installed. "
            f"Install it with: pip install 'hailong[{program.extra}]'",
            err=True,
        )
        raise typer.Exit(1) from error
    command = typer.main.get_command(commands)
    command.name = name
    return command


app = typer.Typer(
    cls=_LateGroup,
    name="hailong",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"hailong {metadata.version('hailong')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Consent-gated measurement of satisfaction at public service counters."""


def _announce(name: str, program: _Program) -> None:
    """Give a program its line in the help, without importing it."""
    app.add_typer(typer.Typer(callback=lambda: None), name=name, help=program.help)


for _name, _program in _PROGRAMS.items():
    _announce(_name, _program)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
