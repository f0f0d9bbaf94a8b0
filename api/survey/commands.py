"""The commands of imported ballots: `hailong central ballots …`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer

from api.command_context import FAILED, ConfigOption, open_database, settings_of, told
from api.organisation.commands import (
    ACTOR,
    FileArgument,
    JsonOption,
    LanguageOption,
    TrialOption,
    told_faults,
)
from api.survey.channels import Channel
from api.survey.import_check import check_imports
from api.survey.imports import (
    WithdrawalReason,
    document_of,
    import_ballots,
    list_imports,
    withdraw_import,
)
from api.survey.questionnaire import DEFAULT

ballots = typer.Typer(
    name="ballots",
    help="Import ballots of other channels, withdraw and check imports.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@ballots.command("import")
def import_file(
    file: FileArgument,
    channel: Annotated[Channel | None, typer.Option(help="Channel of rows that name none.")] = None,
    questionnaire: Annotated[str, typer.Option(help="Version that the file answers.")] = DEFAULT,
    config: ConfigOption = None,
    language: LanguageOption = "vi",
    *,
    trial: TrialOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import ballots; good rows are kept, bad ones reported. The exit code is 1 when a row was refused."""
    with told(), open_database(config) as database:
        done = import_ballots(
            database,
            file,
            actor=ACTOR,
            data_folder=settings_of(config).log_dir,
            channel=channel,
            questionnaire=questionnaire,
            trial=trial,
            progress=_show_progress if sys.stderr.isatty() else None,
        )
    if as_json:
        typer.echo(json.dumps(document_of(done, language), default=str, ensure_ascii=False))
    else:
        for line in told_faults(done.faults, file, language):
            typer.echo(line, err=True)
        if done.faults_left_out:
            typer.echo(f"and {done.faults_left_out} faults more", err=True)
        for name in done.unread_sheets:
            typer.echo(f"sheet '{name}' has no header and was not read", err=True)
        batch = f", batch {done.batch}" if done.batch else ""
        typer.echo(
            f"{done.kept} ballots kept, {done.refused} refused{batch}, {done.import_id or 'nothing written'}"
        )
    if done.refused:
        raise typer.Exit(FAILED)


@ballots.command()
def withdraw(
    import_id: Annotated[UUID, typer.Argument(help="As the list shows it.")],
    why: Annotated[WithdrawalReason, typer.Option(help="Reason, for the log.")],
    config: ConfigOption = None,
) -> None:
    """Withdraw an import as a whole: its ballots are deleted, the log keeps both entries."""
    with told(), open_database(config) as database:
        typer.echo(f"{withdraw_import(database, import_id, why, actor=ACTOR)} ballots withdrawn")


@ballots.command("list")
def list_command(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """List the imports, the newest first."""
    with told(), open_database(config, only_read=True) as database:
        found = list_imports(database)
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in found], default=str, ensure_ascii=False))
        return
    for item in found:
        state = f"withdrawn: {item.withdrawn_why}" if item.withdrawn_at else f"{item.kept} ballots"
        typer.echo(
            f"{item.import_id} {item.imported_at:%Y-%m-%d %H:%M} {item.actor} {item.file_name}: {state}"
        )


@ballots.command()
def check(config: ConfigOption = None) -> None:
    """Hash every import again and compare with the log; the exit code is 1 when one is not as imported."""
    with told(), open_database(config, only_read=True) as database:
        found = check_imports(database)
    typer.echo(f"{found.imports} imports, {found.ballots} ballots as imported, {found.aged} imports aged")
    for fault in found.faults:
        typer.echo(f"{fault.import_id}: {fault.fault}", err=True)
    if not found.ok:
        raise typer.Exit(FAILED)


def _show_progress(rows: int) -> None:
    sys.stderr.write(f"\r{rows} rows read")
    sys.stderr.flush()
