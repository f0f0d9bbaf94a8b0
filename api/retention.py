"""Retention: what is kept how long, as data; a job removes the rest and writes down what it removed."""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Annotated, Any, Final, Literal

import psycopg
import structlog
from psycopg import sql
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from api import log
from api.database import Connection, Database
from api.erasure_stores import ERASURE_LOCK
from api.errors import ApiError, ErasurePending, RetentionInvalid
from api.physical import RewriteRule, flush_wal, maintenance, powers, rewrite, size_mb
from api.schema import next_month
from api.settings import Settings
from api.survey.import_reports import forget_old_reports
from inference.signal import Code

SHORTEST_SIGNAL_DAYS: Final = 62
"""Signals go month by month, so that no month is dropped that still runs."""
SCHEDULE: Final = "@schedule"
"""Who asks for a run that nobody asked for: the daily job. No account can have the name."""
_PAUSE: Final = timedelta(hours=20)
"""A day, less what a run may come late."""
_RUN_LOCK: Final = 0x72_65_74_6E
_CHECK_S: Final = 600.0
_REWRITTEN: Final = frozenset({"quarantine", "sessions", "enrolment_tokens"})
"""Small tables with personal or secret content: what is deleted there leaves the disk, too."""
_log: Final = structlog.get_logger("api.retention")


class Rule(BaseModel):
    """How long one category is kept.

    Attributes:
        store: `table` rows older than `days`, `partitions` of signals, `log` and `never`: nothing to remove.
        days: The longest time.
        source: Where that comes from.
        decided_by: Who decided it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    category: Code
    store: Literal["table", "partitions", "log", "never"] = "table"
    table: Annotated[str, Field(pattern=r"^[a-z_]+$")] | None = None
    column: Annotated[str, Field(pattern=r"^[a-z_]+$")] | None = None
    days: Annotated[int, Field(ge=0, le=36_500)] | None = None
    source: Annotated[str, Field(min_length=1, max_length=300)]
    decided_by: Annotated[str, Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _whole(self) -> Rule:
        if (self.store == "table") != (self.table is not None and self.column is not None):
            msg = "a rule of the store 'table' names table and column, and no other does"
            raise ValueError(msg)
        if (self.store in {"table", "partitions"}) != (self.days is not None):
            msg = "a rule has days where something is removed, and only there"
            raise ValueError(msg)
        if self.store == "partitions" and self.days is not None and self.days < SHORTEST_SIGNAL_DAYS:
            msg = f"signals are kept at least {SHORTEST_SIGNAL_DAYS} days"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True)
class RetentionResult:
    """What one rule removed, or would remove.

    Attributes:
        before: Everything older than this is gone.
        oldest: Moment of the oldest thing removed; None when nothing was.
        partitions: Whole months of signals that were dropped.
        log_index: Entry of the log that tells it; None in a trial.
        actor: The account that asked for the run, or SCHEDULE.
    """

    category: str
    days: int
    source: str
    decided_by: str
    before: datetime
    removed: int
    oldest: datetime | None
    newest: datetime | None
    partitions: tuple[str, ...] = ()
    log_index: int | None = None
    ran_at: datetime | None = None
    actor: str = SCHEDULE


def load_rules(days: Mapping[str, int] | None = None) -> tuple[Rule, ...]:
    """Return the rules of the service, with other days where the settings say so.

    Raises:
        RetentionInvalid: The settings name an unknown category, or days that a rule cannot have.
    """
    text = files("api").joinpath("retention.toml").read_text(encoding="utf-8")
    raw = {item["category"]: item for item in tomllib.loads(text)["rules"]}
    for category, wanted in (days or {}).items():
        if category not in raw or "days" not in raw[category]:
            known = ", ".join(sorted(name for name, item in raw.items() if "days" in item))
            raise RetentionInvalid(
                f"retention.days: there is no category '{category}' with days; known: {known}"
            )
        if wanted > raw[category]["days"]:
            raise RetentionInvalid(
                f"retention.days: '{category}' may be kept {raw[category]['days']} days at most, "
                f"not {wanted}: more than the notice says needs a new notice"
            )
        raw[category] |= {"days": wanted, "decided_by": "settings"}
    try:
        return tuple(Rule.model_validate(item) for item in raw.values())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise RetentionInvalid(f"retention.days: {first['msg']}") from error


class Retention:
    """Applies the rules.

    Args:
        database: Where everything is.
        rules: How long what is kept.
        rewrite_rule: Up to which size a table is rewritten afterwards.
    """

    def __init__(self, database: Database, rules: Iterable[Rule], *, rewrite_rule: RewriteRule) -> None:
        """Keep them; nothing is removed."""
        self._database = database
        self._rules = tuple(rule for rule in rules if rule.days is not None)
        self._rewrite_rule = rewrite_rule

    def run(
        self, *, trial: bool = False, now: datetime | None = None, actor: str = SCHEDULE
    ) -> tuple[RetentionResult, ...]:
        """Apply every rule, each in a transaction of its own with its entry in the log.

        Args:
            trial: Only count what would go.
            now: The moment from which days are counted back.
            actor: The account that asked for it.

        Raises:
            psycopg.OperationalError: The server is lost; the next run does the rest.
        """
        moment = now or datetime.now(UTC)
        results = []
        with maintenance(self._database.dsn) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_RUN_LOCK,))
            for rule in self._rules:
                with connection.transaction():
                    result = _apply(connection, rule, moment, trial=trial)
                    if not trial:
                        result = _record(connection, replace(result, actor=actor))
                results.append(result)
                if result.removed:
                    _log.info("retention", category=rule.category, removed=result.removed, trial=trial)
            if not trial:
                with connection.transaction():
                    forget_old_reports(connection)
                gone = {result.category for result in results if result.removed}
                tables = {str(rule.table) for rule in self._rules if rule.category in gone and rule.table}
                self._clear(connection, tables & _REWRITTEN)
        return tuple(results)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that remove something."""
        return self._rules

    def due(self, now: datetime) -> bool:
        """Tell whether a day has passed since the last run."""
        return self.next_run(now) <= now

    def next_run(self, now: datetime) -> datetime:
        """Return when the daily job runs next, at the earliest; `now` where it never did."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT max(ran_at) FROM retention_runs").fetchone()
        return now if row is None or row[0] is None else max(now, row[0] + _PAUSE)

    def _clear(self, connection: Connection, tables: set[str]) -> None:
        """Let the bytes of what was deleted leave the disk, as far as we may and it is small enough."""
        may = powers(connection)
        for table in sorted(tables):
            if may.rewrite and self._rewrite_rule.allows(
                size_mb(connection, table), datetime.now().astimezone()
            ):
                try:
                    rewrite(connection, table)
                    if may.wal:
                        flush_wal(connection)
                except ErasurePending as pending:  # the next run meets it again
                    _log.info("retention left dead rows", table=table, reason=str(pending))


def central_retention(settings: Settings, database: Database) -> Retention:
    """Return the retention of the service.

    Raises:
        RetentionInvalid: The settings of the retention are wrong.
    """
    rule = RewriteRule(
        settings.erasure.rewrite_now_mb, settings.erasure.night_from_hour, settings.erasure.night_to_hour
    )
    return Retention(database, load_rules(settings.retention.days), rewrite_rule=rule)


def list_runs(database: Database, *, limit: int = 200) -> tuple[RetentionResult, ...]:
    """Return what was removed, the newest run first."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT category, days, source, decided_by, cutoff, removed, oldest, newest, partitions, "
            "log_index, ran_at, coalesce((SELECT convert_from(body, 'UTF8')::jsonb ->> 'actor' "
            "FROM central_log WHERE idx = log_index), %s) FROM retention_runs ORDER BY id DESC LIMIT %s",
            (SCHEDULE, limit),
        ).fetchall()
    return tuple(
        RetentionResult(
            *(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]), tuple(row[8]), *row[9:12]
        )
        for row in rows
    )


def _apply(connection: Connection, rule: Rule, now: datetime, *, trial: bool) -> RetentionResult:
    assert rule.days is not None  # noqa: S101 - rules without days were left out
    before = now - timedelta(days=rule.days)
    empty = RetentionResult(rule.category, rule.days, rule.source, rule.decided_by, before, 0, None, None)
    if rule.store == "partitions":
        return _drop_partitions(connection, empty, trial=trial)
    if rule.table == "consents" and not trial:  # what was asked about a consent goes with it
        connection.execute(
            "DELETE FROM withdrawal_requests USING consents WHERE consents.record_id = "
            "withdrawal_requests.record_id AND consents.offered_at < %s",
            (before,),
        )
    table, column = sql.Identifier(str(rule.table)), sql.Identifier(str(rule.column))
    verb = (
        sql.SQL("SELECT {1} AS at FROM {0} WHERE {1} < %s")
        if trial
        else sql.SQL("DELETE FROM {0} WHERE {1} < %s RETURNING {1} AS at")
    )
    row = connection.execute(
        sql.SQL(
            "WITH gone AS ({}) SELECT count(*), min(at)::timestamptz, max(at)::timestamptz FROM gone"
        ).format(verb.format(table, column)),
        (before,),
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always gives a row
    return replace(empty, removed=int(row[0]), oldest=row[1], newest=row[2])


def _drop_partitions(connection: Connection, empty: RetentionResult, *, trial: bool) -> RetentionResult:
    """Drop every month that began before the bound: nothing is kept longer than was told."""
    # An erasure that is under way in a month may not lose it half-way.
    connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (ERASURE_LOCK,))
    names = [
        str(row[0])
        for row in connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = 'signals'::regclass ORDER BY 1"
        )
    ]
    months = {name: datetime.strptime(name + "+0000", "signals_%Y_%m%z") for name in names}
    due = [name for name, first in months.items() if first < empty.before]
    removed, oldest, newest = 0, None, None
    for name in due:
        row = connection.execute(
            sql.SQL("SELECT count(*), min(window_start), max(window_start) FROM {}").format(
                sql.Identifier(name)
            )
        ).fetchone()
        assert row is not None  # noqa: S101 - an aggregate always gives a row
        removed += int(row[0])
        oldest = min((at for at in (oldest, row[1]) if at is not None), default=None)
        newest = max((at for at in (newest, row[2]) if at is not None), default=None)
        if not trial:
            connection.execute(
                sql.SQL("ALTER TABLE signals DETACH PARTITION {}").format(sql.Identifier(name))
            )
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    if not due:
        return empty
    end = next_month(max(months[name] for name in due).date())
    bound = datetime(end.year, end.month, end.day, tzinfo=UTC)
    return replace(empty, before=bound, removed=removed, oldest=oldest, newest=newest, partitions=tuple(due))


def _record(connection: Connection, result: RetentionResult) -> RetentionResult:
    body: dict[str, Any] = {
        "category": result.category,
        "days": result.days,
        "source": result.source,
        "decided_by": result.decided_by,
        "before": result.before,
        "removed": result.removed,
        "oldest": result.oldest,
        "newest": result.newest,
        "partitions": list(result.partitions),
        "actor": result.actor,
    }
    index = log.append(connection, log.Kind.RETENTION_RUN, body)
    row = connection.execute(
        "INSERT INTO retention_runs (category, days, source, decided_by, cutoff, removed, oldest, newest, "
        "partitions, log_index) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING ran_at",
        (
            *(result.category, result.days, result.source, result.decided_by, result.before),
            *(result.removed, result.oldest, result.newest, list(result.partitions), index),
        ),
    ).fetchone()
    return replace(result, log_index=index, ran_at=None if row is None else row[0])


class RetentionWorker:
    """Runs the retention once a day for as long as the service runs."""

    def __init__(self, retention: Retention) -> None:
        """Prepare the thread; `start` starts it."""
        self._retention = retention
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, grace_s: float = 10.0) -> None:
        """Ask the thread to end after the rule it applies."""
        self._stop.set()
        self._thread.join(grace_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._retention.due(datetime.now(UTC)):
                    self._retention.run()
            except (ApiError, psycopg.Error) as error:
                _log.error("retention waits", reason=type(error).__name__)
            self._stop.wait(_CHECK_S)
