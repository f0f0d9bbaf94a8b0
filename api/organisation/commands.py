"""The commands of organisation and samples: `hailong central organisation|sample …`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from api.command_context import FAILED, ConfigOption, open_database, settings_of, told
from api.errors import TableRefused
from api.organisation.levels import remove_level, set_level
from api.organisation.rates import response_rates
from api.organisation.sampling import Method, draw_sample, plan_sample, verify_sample
from api.organisation.transactions import import_transactions
from api.organisation.tree import Level, Node, Period, Tree, levels_of, tree_of
from api.organisation.tree_import import OrganisationImport, import_tree
from api.spreadsheets.faults import Fault
from api.trends import local_today

organisation = typer.Typer(
    name="organisation",
    help="Import and show the tree of areas, units and counters, and completed transactions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
sample = typer.Typer(
    name="sample",
    help="Plan, draw and verify samples of transactions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
ACTOR: Final = "command"
FileArgument = Annotated[Path, typer.Argument(help="CSV or XLSX file.")]
TrialOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would become of it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
LanguageOption = Annotated[str, typer.Option(help="Language of the reasons: vi or en.")]
DayOption = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"])]


def told_faults(faults: Sequence[Fault], file: Path, language: str) -> list[str]:
    """Return a line for each fault: file, sheet, line, column, value, reason."""
    return [
        f"{file.name}{f' [{fault.sheet}]' if fault.sheet else ''}, "
        f"{'line' if language == 'en' else 'dòng'} {fault.line}"
        + (f", {fault.column} ({fault.title})" if fault.column else "")
        + (f": '{fault.value}'" if fault.value else "")
        + f": {fault.message(language)}"
        for fault in faults
    ]


def _tell(done: OrganisationImport, file: Path, language: str, *, as_json: bool) -> None:
    if as_json:
        document = asdict(done)
        document["faults"] = [asdict(fault) | {"text": fault.message(language)} for fault in done.faults]
        typer.echo(json.dumps(document, default=str, ensure_ascii=False))
    else:
        for line in told_faults(done.faults, file, language):
            typer.echo(line, err=True)
        typer.echo(f"{done.kept} rows kept, {done.refused} refused, {done.import_id or 'nothing written'}")
    if done.refused:
        raise typer.Exit(FAILED)


@organisation.command("import")
def import_file(
    file: FileArgument,
    config: ConfigOption = None,
    language: LanguageOption = "vi",
    *,
    trial: TrialOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import areas, units and the places of counters; the exit code is 1 when a row was refused."""
    with told(), open_database(config) as database:
        _tell(import_tree(database, file, actor=ACTOR, trial=trial), file, language, as_json=as_json)


@organisation.command()
def transactions(
    file: FileArgument,
    config: ConfigOption = None,
    language: LanguageOption = "vi",
    *,
    trial: TrialOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import completed transactions, by count or by number; the exit code is 1 when a row was refused."""
    with told(), open_database(config) as database:
        folder = settings_of(config).log_dir
        done = import_transactions(database, file, actor=ACTOR, data_folder=folder, trial=trial)
        _tell(done, file, language, as_json=as_json)


@organisation.command()
def show(
    config: ConfigOption = None,
    day: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Default: today.")] = None,
    language: LanguageOption = "vi",
) -> None:
    """Print the tree as it was on a day."""
    with told(), open_database(config, only_read=True) as database, database.transaction() as connection:
        tree = tree_of(connection, local_today() if day is None else day.date())
    for line in _drawn(tree, tree.children(None), language, 0):
        typer.echo(line)


@organisation.command()
def levels(config: ConfigOption = None) -> None:
    """Print the levels of the tree, the highest first."""
    with told(), open_database(config, only_read=True) as database, database.transaction() as connection:
        for item in levels_of(connection):
            typer.echo(f"{item.rank:3} {item.code} · {item.name_vi} · {item.name_en}")


@organisation.command("set-level")
def set_level_command(
    code: Annotated[str, typer.Argument(help="Code of the level, such as region.")],
    rank: Annotated[int, typer.Option(help="Its place: a lower rank stands higher; 'levels' prints them.")],
    vi: Annotated[str, typer.Option(help="What it is called in Vietnamese.")],
    en: Annotated[str, typer.Option(help="What it is called in English.")],
    config: ConfigOption = None,
) -> None:
    """Add a level of the tree, or give one another rank or other names; the log tells of it."""
    with told(), open_database(config) as database:
        entry = set_level(database, Level(code, rank, vi, en), actor=ACTOR)
        typer.echo(f"level {code} has rank {rank}: entry {entry} of the log")


@organisation.command("remove-level")
def remove_level_command(
    code: Annotated[str, typer.Argument(help="Code of a level on which nothing has ever been.")],
    config: ConfigOption = None,
) -> None:
    """Take a level away that nothing is or was on; the log tells of it."""
    with told(), open_database(config) as database:
        typer.echo(f"level {code} is gone: entry {remove_level(database, code, actor=ACTOR)} of the log")


@sample.command()
def plan(  # noqa: PLR0917 - Typer passes them by name
    name: Annotated[str, typer.Argument(help="A code for the plan.")],
    first: DayOption,
    last: DayOption,
    wanted: Annotated[list[str], typer.Option("--level", help="LEVEL=SIZE of its sample; repeat for more.")],
    config: ConfigOption = None,
    method: Annotated[Method, typer.Option(help="How a level is shared out.")] = Method.PROPORTIONAL,
    minimum: Annotated[int, typer.Option(min=0, help="Least number in each unit.")] = 0,
) -> None:
    """Fix who may be drawn and how many in each unit, before there is a seed."""
    with told(), open_database(config) as database:
        done = plan_sample(
            database,
            name,
            _period(first.date(), last.date()),
            _sizes(wanted),
            actor=ACTOR,
            method=method,
            minimum=minimum,
        )
        for item in done.strata:
            typer.echo(f"{item.level} {item.unit}: {item.wanted} of {item.eligible}")
        typer.echo(f"frame {done.frame_sha256}")


@sample.command("draw")
def draw_command(
    name: Annotated[str, typer.Argument()],
    seed: Annotated[str, typer.Option(help="Published after the plan, such as a lottery's numbers.")],
    config: ConfigOption = None,
) -> None:
    """Draw the sample of a plan by a published seed; once."""
    with told(), open_database(config) as database:
        typer.echo(f"{draw_sample(database, name, seed, actor=ACTOR)} transactions drawn")


@sample.command()
def verify(name: Annotated[str, typer.Argument()], config: ConfigOption = None) -> None:
    """Draw again and compare; the exit code is 1 when something differs or nothing was drawn yet."""
    with told(), open_database(config, only_read=True) as database:
        found = verify_sample(database, name)
        if found.undrawn:
            plan = "is the one in the log" if found.ok else "is NOT the one in the log"
            typer.echo(f"nothing was drawn yet, and the plan {plan}: draw with 'hailong central sample draw'")
        else:
            typer.echo(f"{found.drawn} transactions, {'as drawn' if found.ok else 'NOT as drawn'}")
        for fault in found.faults:
            typer.echo(fault, err=True)
        if found.undrawn or not found.ok:
            raise typer.Exit(FAILED)


@sample.command()
def response(name: Annotated[str, typer.Argument()], config: ConfigOption = None) -> None:
    """Print how many of the drawn have answered, by unit."""
    with told(), open_database(config, only_read=True) as database, database.transaction() as connection:
        for item in response_rates(connection, name):
            share = "–" if item.rate is None else f"{item.rate:.1%}"  # noqa: RUF001 - the dash of none
            typer.echo(f"{item.unit}: {item.answered} of {item.sampled} ({share})")


def _period(first: date, last: date) -> Period:
    if last < first:
        raise TableRefused("The last day comes before the first.")
    return Period(first, last + timedelta(days=1))


def _sizes(wanted: Sequence[str]) -> dict[str, int]:
    sizes = {}
    for item in wanted:
        level, _, size = item.partition("=")
        if not size.isdecimal():
            raise TableRefused("'{given}' is not of the form LEVEL=SIZE.", given=item[:40])
        sizes[level] = int(size)
    return sizes


def _drawn(tree: Tree, nodes: Sequence[Node], language: str, depth: int) -> list[str]:
    lines = []
    for node in nodes:
        lines.append(f"{'  ' * depth}{node.code} · {node.level} · {node.name(language)}")
        lines += [
            f"{'  ' * depth}  {code} · counter" for code, unit in tree.counters.items() if unit == node.code
        ]
        lines += _drawn(tree, tree.children(node.code), language, depth + 1)
    return lines
