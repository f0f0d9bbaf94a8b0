"""The commands of source systems: `hailong central source …`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from api.command_context import ConfigOption, open_database, told
from api.organisation.commands import ACTOR, JsonOption
from api.survey.channels import Channel
from api.survey.source_systems import add_source, list_sources, revoke_source

source = typer.Typer(
    name="source",
    help="Systems that bring ballots of their channels themselves, with a token.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@source.command()
def add(
    name: Annotated[str, typer.Argument(help="A code, such as mot-cua-dien-tu.")],
    channel: Annotated[list[Channel], typer.Option(help="What it may bring; repeat for more.")],
    area: Annotated[str, typer.Option(help="Code of the area or unit its ballots are of; else any.")] = "",
    config: ConfigOption = None,
) -> None:
    """Print the token of a new system; it is shown this once."""
    with told(), open_database(config) as database:
        typer.echo(add_source(database, name, channel, actor=ACTOR, area=area))


@source.command("list")
def list_command(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """List the systems, active ones first; tokens are not kept and not shown."""
    with told(), open_database(config, only_read=True) as database:
        found = list_sources(database)
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in found], default=str, ensure_ascii=False))
        return
    for item in found:
        where = f" in {item.area}" if item.area else ""
        used = f"last used {item.last_used_at:%Y-%m-%d %H:%M}" if item.last_used_at else "never used"
        state = f"revoked {item.revoked_at:%Y-%m-%d %H:%M} by {item.revoked_by}" if item.revoked_at else used
        typer.echo(f"{item.name}: {', '.join(item.channels)}{where}; {state}")


@source.command()
def revoke(
    name: Annotated[str, typer.Argument(help="As the list shows it.")], config: ConfigOption = None
) -> None:
    """Refuse everything that is sent with the token of a system from now on."""
    with told(), open_database(config) as database:
        revoke_source(database, name, actor=ACTOR)
        typer.echo(f"revoked {name}")
