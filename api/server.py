"""The central service as one running whole: PostgreSQL, schema, first administrator, HTTP."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import psycopg
import structlog
import uvicorn
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import ExcInfo

from api.accounts import FIRST_ADMINISTRATOR, Accounts
from api.alerts.worker import alert_worker
from api.app import build_app
from api.central_log import CentralLog
from api.daily_worker import DailyWorker
from api.database import Database
from api.eraser import ErasureWorker, central_eraser
from api.errors import ApiError, DatabaseUnavailable, KeysUnusable, LogDamaged, PortTaken
from api.index.worker import index_worker
from api.physical import maintenance, remove_orphans
from api.postgres import EmbeddedPostgres
from api.retention import RetentionWorker, central_retention, load_rules
from api.settings import DatabaseSettings, Settings

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_KEEP_ALIVE_S: Final = 15
_GRACE_S: Final = 10
_log: Final = structlog.get_logger("api.server")


def _to_standard_error(*_: object) -> structlog.PrintLogger:
    """Make a logger of the stream as it is now: who replaces it may close the one before."""
    return structlog.PrintLogger(sys.stderr)


def configure_logging(level: str) -> None:
    """Write one JSON object a line to standard error; payloads are never among the fields."""
    web = logging.getLogger("uvicorn.error")
    web.setLevel(logging.WARNING)
    if _without_traceback not in web.filters:
        web.addFilter(_without_traceback)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Without the values of variables: passwords, tokens and payloads are among them.
            structlog.processors.ExceptionRenderer(_Tracebacks(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_to_standard_error,
        cache_logger_on_first_use=False,
    )


class _Tracebacks(ExceptionDictTransformer):
    """Tracebacks with the messages of our own errors only: others may show rows or input."""

    def __call__(self, exc_info: ExcInfo) -> list[dict[str, Any]]:
        """Return the traceback as JSON values."""
        stacks = super().__call__(exc_info)
        error: BaseException | None = exc_info[1]
        for stack in stacks:
            if not isinstance(error, ApiError) or stack["exc_type"] != type(error).__name__:
                stack["exc_value"] = "(left out: it may show values)"
                stack.pop("exc_notes", None)
            error = None if error is None else error.__cause__ or error.__context__
        return stacks


def _without_traceback(record: logging.LogRecord) -> bool:
    """Drop the traceback that the web server writes beside ours, messages and all."""
    record.exc_info = None
    record.exc_text = None
    return True


@contextlib.contextmanager
def running_database(settings: DatabaseSettings) -> Iterator[str]:
    """Give the address of a database with the newest schema, starting our own server if none is named.

    Raises:
        PostgresError: Our own server cannot run.
        DatabaseUnavailable: The named server does not answer.
    """
    with contextlib.ExitStack() as stack:
        if settings.dsn is not None:
            dsn = settings.dsn.get_secret_value()
        else:
            dsn = stack.enter_context(EmbeddedPostgres(settings.data_dir, run_as=settings.run_as)).dsn()
            with maintenance(dsn) as connection:  # nobody else is connected yet
                remove_orphans(connection, settings.data_dir)
        try:
            Database(dsn).migrate()
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable(f"database.dsn: the server does not answer: {error}") from error
        yield dsn


def continue_log_after_restore(database: Database, folder: Path) -> None:
    """Continue the log of a restored database; where that cannot be, say why and leave it unsigned."""
    try:
        CentralLog(database, folder).catch_up()
    except (LogDamaged, KeysUnusable, OSError) as error:
        _log.error("the log cannot be continued", reason=str(error))


def bind(host: str, port: int) -> socket.socket:
    """Take the address before anything else starts.

    Raises:
        PortTaken: Another program listens there, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns off delayed sending on every connection it accepts.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Listening now makes a second program fail here, not after it has opened the database.
        listener.listen(512)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"port {port} of {host} is taken by another program: "
                "stop it, or set server.port (0 takes a free one)"
            ) from None
        raise PortTaken(
            f"cannot listen on {host} port {port}: {error.strerror}; set server.host and server.port"
        ) from None
    return listener


class CentralServer:
    """Everything of the central service; use as a context manager, then call `serve`.

    Attributes:
        address: Where the service answers, known once entered.
        first_password: One-time password of the first administrator when it was made now.
        dsn: Address of the database.
    """

    def __init__(self, settings: Settings) -> None:
        """Keep the settings; nothing is started."""
        self._settings = settings
        self._stack = contextlib.ExitStack()
        self._listener: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self.address = ""
        self.dsn = ""
        self.first_password: str | None = None

    def __enter__(self) -> Self:
        """Bind the port, start PostgreSQL, migrate, make the first administrator."""
        settings = self._settings
        load_rules(settings.retention.days)
        with contextlib.ExitStack() as stack:
            self._listener = stack.enter_context(bind(settings.server.host, settings.server.port))
            self.dsn = stack.enter_context(running_database(settings.database))
            with Database(self.dsn, pool_size=2) as database:
                continue_log_after_restore(database, settings.log_dir)  # before anything is added to it
                self.first_password = Accounts(database).create_first_administrator()
                # Before anything is served: what was erased stays so, also after a restore from a backup.
                central_eraser(settings, database).catch_up()
            self._stack = stack.pop_all()
        host, port = self._listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self.address = f"{'https' if settings.server.tls_key else 'http'}://{shown}:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        """Stop PostgreSQL and free the port."""
        self._stack.close()

    @property
    def greeting(self) -> str:
        """One line for the person who started the service."""
        line = f"hailong central is ready at {self.address}"
        if self.first_password is not None:
            line += f" ; first login: {FIRST_ADMINISTRATOR} one-time password: {self.first_password}"
        return line

    def serve(self) -> None:
        """Answer requests until SIGTERM, SIGINT or `stop`."""
        settings = self._settings
        database = Database(self.dsn, pool_size=settings.database.pool_size, wait_s=settings.database.wait_s)
        config = uvicorn.Config(
            build_app(settings, database),
            log_config=None,
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
            limit_concurrency=settings.server.max_connections,
            server_header=False,
            proxy_headers=False,
            ssl_certfile=settings.server.tls_certificate,
            ssl_keyfile=settings.server.tls_key,
        )
        self._server = uvicorn.Server(config)
        assert self._listener is not None  # noqa: S101 - serve() is called inside `with`
        with Database(self.dsn, pool_size=3, wait_s=settings.database.wait_s) as own:
            workers: list[ErasureWorker | RetentionWorker | DailyWorker] = [
                ErasureWorker(central_eraser(settings, own)),
                index_worker(own, settings.pages.minimum_n),
            ]
            if settings.retention.daily:
                workers.append(RetentionWorker(central_retention(settings, own)))
            if settings.alerts.enabled:
                workers.append(alert_worker(own, settings))
            for worker in workers:
                worker.start()
            try:
                self._server.run(sockets=[self._listener])
            finally:
                for worker in workers:
                    worker.stop()

    def stop(self) -> None:
        """Ask a running `serve` to end; safe from other threads."""
        if self._server is not None:
            self._server.should_exit = True
