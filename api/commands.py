"""The commands of the central program: `hailong central …`."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated, Final
from uuid import UUID

import typer

from api.accounts import Accounts
from api.app import build_app
from api.central_log import CentralLog
from api.command_context import (
    FAILED,
    ConfigOption,
    open_database,
    settings_of,
    told,
)
from api.enrolment import make_token
from api.enrolment import revoke_edge as revoke
from api.eraser import central_eraser
from api.erasure import list_erasures
from api.errors import SettingsInvalid
from api.index.commands import calibrate_command, index
from api.log_check import verify
from api.organisation.commands import organisation, sample
from api.retention import central_retention
from api.server import CentralServer, configure_logging
from api.settings import Settings
from api.survey.commands import ballots
from api.survey.source_commands import source
from api.witnesses import Witnesses

central = typer.Typer(
    name="central", help="Run the central service.", no_args_is_help=True, pretty_exceptions_enable=False
)
admin = typer.Typer(
    name="admin", help="Administer accounts.", no_args_is_help=True, pretty_exceptions_enable=False
)
for _group in (admin, organisation, sample, ballots, source, index):
    central.add_typer(_group)
central.command("calibrate")(calibrate_command)

_TEMPLATE: Final = """\
# Settings of the central service. Every key may be left out; unknown keys are refused.
# HAILONG_CENTRAL__SERVER__PORT=8443 in the environment overrides [server] port, and so on.

[server]
host = "127.0.0.1"
port = 8080
# tls_certificate = "/etc/hailong/central.pem"
# tls_key = "/etc/hailong/central.key"

[database]
data_dir = {data_dir}
# dsn = "postgresql://hailong@db.example/hailong"   # any PostgreSQL 15 or newer instead of our own

[pages]
language = "vi"
minimum_n = 10
"""


def _stop_in_order() -> None:
    """Let SIGTERM and Ctrl-C leave through every `with`, so that PostgreSQL is stopped, once.

    Uvicorn raises the signal again after its own shutdown; the default would end the process there.
    """

    def leave(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)


@central.command()
def run(config: ConfigOption = None) -> None:
    """Run the central service until it is stopped."""
    with told():
        settings = settings_of(config)
        configure_logging(settings.log_level)
        _stop_in_order()
        with CentralServer(settings) as server:
            sys.stdout.write(server.greeting + "\n")
            sys.stdout.flush()
            server.serve()


@central.command()
def init(path: Annotated[Path, typer.Argument(help="File to write.")] = Path("central.toml")) -> None:
    """Write a settings file with the defaults."""
    with told():
        text = _TEMPLATE.format(data_dir=json.dumps(str(Settings().database.data_dir)))
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise SettingsInvalid(f"{path} is there already: name another file or remove it") from None
        except OSError as error:
            raise SettingsInvalid(f"{path} cannot be written: {error.strerror}") from None
        typer.echo(f"wrote {path}; start with: hailong central run -c {path}")


@central.command("check-config")
def check_config(config: ConfigOption = None) -> None:
    """Read the settings and say what is wrong with them."""
    with told():
        settings = settings_of(config)
        typer.echo(settings.model_dump_json(indent=2))


@central.command("enrol-token")
def enrol_token(
    counter: Annotated[list[str], typer.Option(help="Code of a counter the edge serves; repeat for more.")],
    unit: Annotated[str, typer.Option(help="Name of the one-stop unit, for new counters.")] = "",
    area: Annotated[str, typer.Option(help="Code of the area, for new counters.")] = "",
    config: ConfigOption = None,
) -> None:
    """Print a one-time enrolment token for an edge."""
    with told():
        hours = settings_of(config).ingest.token_hours
        with open_database(config) as database:
            typer.echo(make_token(database, counter, actor="command", hours=hours, unit=unit, area=area))


@central.command("revoke-edge")
def revoke_edge(edge: UUID, config: ConfigOption = None) -> None:
    """Refuse everything an edge sends from now on."""
    with told(), open_database(config) as database:
        revoke(database, edge, actor="command")
        typer.echo(f"revoked {edge}")


@central.command("replay-erasures")
def replay_erasures(config: ConfigOption = None) -> None:
    """Erase again whatever of the list of erasures is in the database, after a restore from a backup."""
    with told():
        settings = settings_of(config)
        configure_logging(settings.log_level)
        with open_database(config) as database:
            eraser = central_eraser(settings, database)
            asked = eraser.replay()
            eraser.run_once()
            rest = [found for found in list_erasures(database, limit=1000) if found.state != "done"]
        typer.echo(f"{asked} erasures asked for again, {len(rest)} not complete yet")
        for found in rest:
            waits = "; ".join(
                f"{store.name}: {store.note or 'pending'}" for store in found.stores if not store.done
            )
            typer.echo(f"{found.record_id}: {waits or found.fault or 'queued'}", err=True)
        if rest:
            typer.echo("the running service, or the next start of it, goes on with them", err=True)
            raise typer.Exit(FAILED)


@central.command("run-retention")
def run_retention(
    config: ConfigOption = None,
    *,
    trial: Annotated[bool, typer.Option("--trial", help="Only count what would go.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Remove what has been kept long enough, and log what was removed."""
    with told():
        settings = settings_of(config)
        configure_logging(settings.log_level)
        with open_database(config) as database:
            results = central_retention(settings, database).run(trial=trial, actor="@command")
        if as_json:
            typer.echo(json.dumps([asdict(result) for result in results], default=str))
            return
        for result in results:
            typer.echo(f"{result.category}: {result.removed} from before {result.before:%Y-%m-%d}")


@central.command("rotate-log-key")
def rotate_log_key(config: ConfigOption = None) -> None:
    """Sign the log with new keys from now on; what the old ones signed stays valid."""
    with told(), open_database(config) as database:
        log = CentralLog(database, settings_of(config).log_dir)
        for period in log.rotate_keys().periods:
            until = "now" if period.until_size is None else f"before {period.until_size}"
            typer.echo(f"{period.vkey} signs from size {period.from_size} to {until}")


@central.command("verify-log")
def verify_log(config: ConfigOption = None) -> None:
    """Check every entry, node and checkpoint of the centre's log; the exit code is 1 when one is wrong."""
    with told(), open_database(config, only_read=True) as database:
        settings = settings_of(config)
        log = CentralLog(database, settings.log_dir)
        found = verify(log, Witnesses(log, settings.log).policy())
        seen = "unwitnessed" if found.witnessed_size is None else f"witnessed up to {found.witnessed_size}"
        typer.echo(f"{found.entries} entries, root {found.root}, {found.checkpoints} checkpoints, {seen}")
        if not found.ok:
            typer.echo(f"entry {found.broken_index}: {found.reason}", err=True)
            raise typer.Exit(FAILED)


@admin.command("reset-password")
def reset_password(name: Annotated[str, typer.Argument()] = "admin", config: ConfigOption = None) -> None:
    """Give an account a new one-time password and end its sessions."""
    with told(), open_database(config) as database:
        typer.echo(Accounts(database).reset_password(name, actor="command"))


@central.command()
def openapi() -> None:
    """Print the OpenAPI schema of the service."""
    typer.echo(json.dumps(build_app(Settings()).openapi(), indent=2, ensure_ascii=False))


@central.command("access-matrix")
def access_matrix(
    into: Annotated[
        Path | None, typer.Option(help="Document whose table is replaced; without it the table is printed.")
    ] = None,
) -> None:
    """Work out from the policies which role may do what."""
    from api.access_matrix import rendered, write_into  # noqa: PLC0415 - the service itself never needs it

    with told():
        if into is None:
            typer.echo(rendered())
        else:
            write_into(into)


@central.command("bench-ingest")
def bench_ingest(
    seconds: Annotated[
        float, typer.Option(min=0.5, max=120, help="How long to send at each batch size.")
    ] = 3.0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure how many signals a second this machine commits, on a throw-away database."""
    from api.bench_ingest import measure_ingest  # noqa: PLC0415 - the service itself never needs it

    rates = measure_ingest(duration_s=seconds)
    if as_json:
        rows = [{"batch": rate.batch, "signals": rate.signals, "per_s": round(rate.per_s)} for rate in rates]
        typer.echo(json.dumps({"ingest": rows}))
        return
    for rate in rates:
        typer.echo(f"batch {rate.batch}: {rate.per_s:.0f} signals a second")


@central.command("bench-pages")
def bench_pages(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """Measure pages, first charts and an import on a made-up province; exit code 1 beyond a bar."""
    from api.bench_pages import measure_pages  # noqa: PLC0415 - as above

    found = measure_pages()
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"within_bars": found.within_bars}))
        return
    for page in found.pages:
        typer.echo(
            f"{page.path}: {page.first_s:.2f} s, then {page.again_s:.2f} s, "
            f"{page.plain_bytes} bytes, sent as {page.sent_bytes}"
        )
    typer.echo(f"95 of 100 within {found.p95_s:.2f} s, first chart {found.first_chart_s:.2f} s")
    typer.echo(f"import: {found.import_rows_per_s:.0f} rows a second")
    if not found.within_bars:
        raise typer.Exit(FAILED)
