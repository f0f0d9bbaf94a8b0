"""What the commands of the central program share: settings, the database, errors told as one message."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from api.database import Database
from api.errors import ApiError, PortTaken, PostgresBusy, RetentionInvalid, SettingsInvalid
from api.postgres import EmbeddedPostgres
from api.server import configure_logging, continue_log_after_restore, running_database
from api.settings import Settings, load_settings

WRONG_SETTINGS: Final = 2
FAILED: Final = 1

ConfigOption = Annotated[
    Path | None,
    typer.Option("-c", "--config", help="TOML file; without it: central.toml here, else the defaults."),
]


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn our errors into one message and an exit code."""
    try:
        yield
    except (SettingsInvalid, RetentionInvalid, PortTaken) as error:
        typer.echo(f"hailong central: {error}", err=True)
        raise typer.Exit(WRONG_SETTINGS) from None
    except ApiError as error:
        typer.echo(f"hailong central: {error}", err=True)
        raise typer.Exit(FAILED) from None


def settings_of(config: Path | None) -> Settings:
    """Read the settings: the named file, central.toml here, or the defaults."""
    here = Path("central.toml")
    return load_settings(config if config is not None else here if here.exists() else None)


@contextlib.contextmanager
def open_database(config: Path | None, *, only_read: bool = False) -> Iterator[Database]:
    """Open the database: through the running service's server, or by starting it for this command.

    What a command adds to the log of a restored database must come after what that had before.
    """
    settings = settings_of(config)
    configure_logging(settings.log_level)  # to standard error: standard output may be one JSON document
    with contextlib.ExitStack() as stack:
        try:
            dsn = stack.enter_context(running_database(settings.database))
        except PostgresBusy:
            # The service runs: its server answers on the same socket.
            dsn = EmbeddedPostgres(settings.database.data_dir, run_as=settings.database.run_as).dsn()
        database = stack.enter_context(Database(dsn, pool_size=2))
        if not only_read:
            continue_log_after_restore(database, settings.log_dir)
        yield database
