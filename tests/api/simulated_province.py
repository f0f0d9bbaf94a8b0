"""Two years of an invented province in the tables, within seconds: for pages, screenshots and attacks.

Visits are drawn here and put into the tables by a few statements, as ingest and the projection of edges' logs
would have. There are no edges' logs behind them: what needs real logs uses `audited_centre`. Ballots of other
channels, transactions, tree, sample, calibrations and releases go through the program's own functions.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.actions import ActionKind, Draft, note_action
from api.database import Database
from api.disclosure import Disclosure
from api.enrolment import enrol, make_token
from api.index.calibrations import KeptCalibration, keep
from api.index.model_key import model_key
from api.index.releases import has_settled, release_month
from api.organisation.sampling import Method, draw_sample, plan_sample
from api.organisation.transactions import import_transactions
from api.organisation.tree import Period
from api.organisation.tree_import import import_tree
from api.releases import shown_days
from api.schema import DAY_ZONE, PPM, ROLLUP_SUMS, create_partition, next_month
from api.statistics.calibration import fit
from api.survey.channels import Channel
from api.survey.imports import import_ballots
from api.survey.questionnaire import questionnaire_of
from api.trends import local_today
from inference.signal import ModelVersion
from tests.api.province_places import (
    AREAS,
    BUSY_COUNTERS,
    CIVIL,
    DROPPED_COUNTER,
    DROPPED_MONTH,
    LAND,
    MONTHS,
    NOTED_DAY,
    PROVINCE,
    SIGNAL_COUNTER,
    UNITS,
    Kind,
    Unit,
    counters_of,
    drawn_apart,
    kind_of,
    kind_on,
)
from tests.api.senders import public_text

SEED: Final = 2026
MINIMUM_N: Final = 10
ACTOR: Final = "simulation"
SAMPLE: Final = "quy-cuoi"
"""Name of the sampling plan: the last released quarter's transactions, planned and drawn."""
MODELS: Final = (
    ModelVersion(name="centerface", version="1", sha256="0" * 64),
    ModelVersion(name="centerface", version="2", sha256="1" * 64),
)
MODEL_MONTH: Final = 12
"""From this month on the second model; in its first month there is no calibration for it."""
_ZONE: Final = ZoneInfo(DAY_ZONE)
_SATURDAY: Final = 5
_CHANNEL_BALLOTS: Final = {Channel.ONLINE: 8, Channel.SMS: 5, Channel.CALL: 4, Channel.PORTAL: 3}
"""Ballots of a unit and month; paper comes in April and October only."""
_PAPER: Final = 25


@dataclass(frozen=True, slots=True)
class Province:
    """What was made.

    Attributes:
        months: First days of the released months, the oldest first.
        today: The running day; visits go on until the day before it.
    """

    months: tuple[date, ...]
    today: date
    visits: int
    ballots: int
    signals: int
    survey_ballots: int


def fill_province(
    database: Database,
    folder: Path,
    *,
    seed: int = SEED,
    today: date | None = None,
    release: bool = True,
    months: int = MONTHS,
) -> Province:
    """Put the province into an empty database.

    Args:
        database: A migrated database.
        folder: For files of imports and, in `log`, the key of digests: the service's `log.data_dir`.
        seed: Another seed makes other visitors.
        today: The running day; now in Viet Nam else.
        release: Whether the settled months are released, and the days of the busy counters.
        months: How many settled months there are, the last of the two years where fewer.
    """
    today = today or local_today()
    firsts = _settled(today, months)
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    _place(database, folder)
    edges = [_enrol(database, unit) for unit in UNITS]
    visits = _visits(rng, firsts, today, seed)
    ballots, signals = _write(database, visits, edges, firsts[0], today)
    _calibrate(database, rng, firsts)
    survey = sum(
        _survey(database, folder, channel, rng=rng, firsts=firsts, today=today)
        for channel in (*_CHANNEL_BALLOTS, Channel.PAPER)
    )
    _transactions(database, folder, rng, firsts, today)
    _note(database, firsts, today)
    if release:
        _release(database, firsts, today)
    return Province(firsts, today, len(visits), ballots, signals, survey)


def _settled(today: date, count: int) -> tuple[date, ...]:
    month = today.replace(day=1)
    found: list[date] = []
    while len(found) < count:
        month = (month - timedelta(days=1)).replace(day=1)
        if has_settled(month, today):
            found.append(month)
    return tuple(reversed(found))


def _place(database: Database, folder: Path) -> None:
    rows = [(PROVINCE, "province", "Tỉnh Sông Hồ (mô phỏng)", "Song Ho province (simulated)", "")]
    rows += [(code, "commune", vi, en, PROVINCE) for code, (vi, en) in AREAS.items()]
    rows += [(unit.code, "unit", unit.name_vi, unit.name_en, unit.area) for unit in UNITS]
    path = _csv(folder / "don-vi.csv", ("code", "level", "name_vi", "name_en", "parent"), rows)
    done = import_tree(database, path, actor=ACTOR)
    assert done.faults == ()


def _enrol(database: Database, unit: Unit) -> object:
    token = make_token(database, counters_of(unit), actor=ACTOR, unit=unit.code, area=unit.area)
    return enrol(database, token, public_text(Ed25519PrivateKey.generate()), f"edge-{unit.code}").edge


def _visits(
    rng: np.random.Generator, firsts: Sequence[date], today: date, seed: int
) -> list[tuple[Any, ...]]:
    """Draw every visit: unit, counter, moment, what it was about, what the visitor thought and did."""
    rows: list[tuple[Any, ...]] = []
    days = [firsts[0] + timedelta(days=place) for place in range((today - firsts[0]).days)]
    for place, unit in enumerate(UNITS):
        for counter in counters_of(unit):
            own = np.random.default_rng([seed, zlib.crc32(counter.encode())])
            for day in (day for day in days if day.weekday() < _SATURDAY):
                month = _number(day, firsts)
                kind = kind_of(counter, month)
                draws, gauss = _draws(rng, kind)
                if drawn_apart(counter, month):
                    kind = kind_on(counter, month, day.day)
                    draws, gauss = _draws(own, kind)
                about_land = own.random(len(draws)) < kind.land
                moments = _moments(day, len(draws))
                rows += [
                    _visit(draw, spread, kind, month, (place, counter, at, LAND if land else CIVIL))
                    for draw, spread, at, land in zip(draws, gauss, moments, about_land.tolist(), strict=True)
                ]
    return rows


def _draws(rng: np.random.Generator, kind: Kind) -> tuple[Any, Any]:
    count = int(rng.poisson(kind.visits_a_day))
    return rng.random((count, 7)), rng.normal(size=count)


def _moments(day: date, count: int) -> list[datetime]:
    """Return when visits begin: one in the morning, one in the afternoon, and so on."""
    opens = [datetime.combine(day, at, _ZONE).astimezone(UTC) for at in (time(7, 30), time(13, 30))]
    return [opens[number % 2] + timedelta(minutes=9 * (number // 2)) for number in range(count)]


def _number(day: date, firsts: Sequence[date]) -> int:
    """Return the number of a month, of which `MONTHS` - 1 is the last that is released."""
    last = firsts[-1]
    return MONTHS - 1 + (day.year - last.year) * 12 + day.month - last.month


def _month(number: int, firsts: Sequence[date]) -> date:
    """Return the first day of a month with a number."""
    months = firsts[-1].year * 12 + firsts[-1].month - 1 + number - (MONTHS - 1)
    return date(months // 12, months % 12 + 1, 1)


def _visit(
    draw: Any, gauss: float, kind: Any, month: int, where: tuple[int, str, datetime, str]
) -> tuple[Any, ...]:
    harder = kind.satisfied_land is not None and where[-1] == LAND
    yes = bool(draw[0] < (kind.satisfied_land if harder else kind.satisfied))
    given = bool(draw[1] < kind.consent[0 if yes else 1])
    state = "completed" if given else "refused" if draw[2] < 0.7 else "deferred"
    model = int(month >= MODEL_MONTH)
    score = None
    if given and draw[3] < 0.93:
        # The newer model tells the two apart better and is squeezed: a curve of its own.
        mean, spread = (
            ((0.72, 0.16) if yes else (0.42, 0.16)) if model else ((0.7, 0.2) if yes else (0.4, 0.2))
        )
        score = round(min(1.0, max(0.0, mean + spread * gauss)) * PPM)
    wrong = {int(draw[5] * 4), int(draw[6] * 4)} if not yes else set()
    voted = bool(draw[4] < kind.vote)
    return (*where, state, given, score, model, voted, *(number not in wrong for number in range(4)))


def _write(
    database: Database, visits: Sequence[tuple[Any, ...]], edges: Sequence[object], first: date, today: date
) -> tuple[int, int]:
    with database.transaction() as connection, connection.cursor() as cursor:
        month = first
        while month <= today:
            create_partition(connection, month)
            month = next_month(month)
        connection.execute(_TEMPORARY)
        connection.execute(_ID)
        with cursor.copy(
            "COPY visit (n, edge_id, counter, at, procedure, state, given, score, model, voted, a, b, c, d) "
            "FROM STDIN"
        ) as copy:
            for number, (place, *rest) in enumerate(visits):
                copy.write_row((number, edges[place], *rest))
        for edge in edges:
            connection.execute(
                "INSERT INTO edge_logs (edge_id, sender_id, origin, size, root, note) "
                "VALUES (%s, %s, %s, (SELECT count(*) FROM visit WHERE edge_id = %s), %s, %s)",
                (edge, edge, f"hailong/edge/{edge}", edge, b"\0" * 32, b"-"),
            )
        connection.execute(_CONSENTS)
        ballots = connection.execute(_BALLOTS).rowcount
        signals = connection.execute(_SIGNALS).rowcount
        for table, key in (("rollup_counter_day", "counter"), ("rollup_area_day", "area")):
            connection.execute(_rollup(table, key))
        connection.execute("DROP TABLE visit")
    with database.transaction() as connection:
        for table in ("consents", "ballots", "signals", "rollup_counter_day"):
            connection.execute(f"ANALYZE {table}")
    return ballots, signals


_TEMPORARY: Final = (
    "CREATE TEMPORARY TABLE visit (n integer, edge_id uuid, counter text, at timestamptz, procedure text, "
    "state text, given boolean, score integer, model smallint, voted boolean, "
    "a boolean, b boolean, c boolean, d boolean)"
)
_ID: Final = (
    "CREATE FUNCTION pg_temp.id(kind integer, n integer) RETURNS uuid LANGUAGE sql IMMUTABLE "
    "RETURN (lpad(kind::text, 8, '0') || '-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid"
)
"""Identifiers that follow each other: indexes grow at their end."""
_CONSENTS: Final = """
INSERT INTO consents (record_id, receipt_id, edge_id, session_id, counter, state, notice_id, notice_version,
    notice_sha256, language, channel, offered_at, shown_at, decided_at, ended_at, session_started_at,
    session_ended_at, consented_ms, gaps, gap_ms, first_index, last_index)
SELECT pg_temp.id(1, n), pg_temp.id(2, n), edge_id, pg_temp.id(3, n), counter,
    CASE WHEN given AND n % 400 = 7 THEN 'given' ELSE state END, 'counter', '1', repeat('0', 64), 'vi',
    'kiosk', at, at, CASE WHEN state <> 'deferred' THEN at END, at + interval '5 minutes',
    CASE WHEN given THEN at END,
    CASE WHEN given AND n % 400 <> 7 THEN at + interval '4 minutes' END,
    CASE WHEN given THEN 240000 END, CASE WHEN given AND n % 50 = 3 THEN 1 ELSE 0 END,
    CASE WHEN given AND n % 50 = 3 THEN 9000 ELSE 0 END,
    row_number() OVER (PARTITION BY edge_id ORDER BY n), row_number() OVER (PARTITION BY edge_id ORDER BY n)
FROM visit
"""
_BALLOTS: Final = """
INSERT INTO ballots (ballot_id, counter, cast_at, session_id, information_facilities, dossier_rules,
    officer_attitude, time_cost, procedure, edge_id, seq)
SELECT pg_temp.id(4, n), counter, at + interval '5 minutes', pg_temp.id(3, n), a, b, c, d, procedure,
    edge_id, row_number() OVER (PARTITION BY edge_id ORDER BY n)
FROM visit WHERE voted
"""
_SIGNALS: Final = """
INSERT INTO signals (signal_id, window_start, window_end, session_id, consent_record_id, counter, edge_id,
    seq, image_permitted, voice_permitted, score_ppm, low_ppm, high_ppm, variance_ppm2, abstained, change_ppm,
    officer_ppm, result_ppm, face_ms, speech_ms, gap_ms, gaps, dropped_ms, payload)
SELECT pg_temp.id(5, n), at, at + interval '4 minutes', pg_temp.id(3, n),
    pg_temp.id(1, n), counter, edge_id, n + 1000000, true, true, score, low, high,
    round(((high - low) / (2 * 1.6448536269514722)) ^ 2), NULL, NULL, score, score, 90000, 30000,
    CASE WHEN n % 50 = 3 THEN 9000 ELSE 0 END, CASE WHEN n % 50 = 3 THEN 1 ELSE 0 END, 0,
    jsonb_build_object('schema_version', 1, 'signal_id', pg_temp.id(5, n),
        'session_id', pg_temp.id(3, n), 'consent_record_id', pg_temp.id(1, n),
        'counter', counter, 'window_start', at, 'window_end', at + interval '4 minutes',
        'image_permitted', true, 'voice_permitted', true, 'overall', estimate,
        'factors', jsonb_build_array(
            jsonb_build_object('factor', 'officer', 'estimate', estimate, 'mentions', 1),
            jsonb_build_object('factor', 'result', 'estimate', estimate, 'mentions', 1)),
        'change', '{"delta": null, "low": null, "high": null, "abstained": "no_evidence"}'::jsonb,
        'quality', jsonb_build_object('face_s', 90, 'speech_s', 30, 'utterances', 4, 'noise_dbfs', -50,
            'gap_s', CASE WHEN n % 50 = 3 THEN 9 ELSE 0 END, 'gaps', CASE WHEN n % 50 = 3 THEN 1 ELSE 0 END,
            'dropped_s', 0),
        'models', jsonb_build_array(jsonb_build_object('name', 'centerface', 'version', (model + 1)::text,
            'sha256', repeat(model::text, 64))),
        'software', 'hailong-0.1.0')
FROM (SELECT visit.*, low, high, jsonb_build_object('score', score / 1e6, 'low', low / 1e6,
        'high', high / 1e6, 'abstained', NULL) AS estimate
    FROM visit,
        LATERAL (SELECT greatest(0, score - 100000) AS low, least(1000000, score + 100000) AS high) ends
    WHERE score IS NOT NULL) scored
"""


def _rollup(table: str, key: str) -> str:
    names, sums = ", ".join(ROLLUP_SUMS), ", ".join(ROLLUP_SUMS.values())
    return (
        f"INSERT INTO {table} ({key}, day, {names}, last_received) SELECT {key}, "  # noqa: S608 - names are ours
        f"(window_start AT TIME ZONE '{DAY_ZONE}')::date, {sums}, clock_timestamp() "
        "FROM signals JOIN counters ON counters.code = signals.counter GROUP BY 1, 2"
    )


def _calibrate(database: Database, rng: np.random.Generator, firsts: Sequence[date]) -> None:
    """Keep the curves that ballots of months before would have given: one a model."""
    for version, model, number in ((1, MODELS[0], 0), (2, MODELS[1], MODEL_MONTH + 1)):
        until = _month(number, firsts)
        satisfied = rng.random(3000) < 0.85
        newer = version > 1
        scores = np.where(satisfied, 0.72 if newer else 0.7, 0.42 if newer else 0.4)
        scores = np.clip(scores + rng.normal(size=3000) * (0.16 if newer else 0.2), 0, 1).round(6)
        key = model_key([model])
        fitted = fit(key, until, scores.tolist(), satisfied.tolist())
        assert fitted.usable
        with database.transaction() as connection:
            keep(connection, KeptCalibration(version, key, (f"{model.name} {model.version}",), fitted))


def _survey(
    database: Database,
    folder: Path,
    channel: Channel,
    *,
    rng: np.random.Generator,
    firsts: Sequence[date],
    today: date,
) -> int:
    questions = questionnaire_of("sipas-1").questions
    rows = []
    for month in firsts:
        count = _CHANNEL_BALLOTS.get(channel, _PAPER if month.month in {4, 10} else 0)
        for unit in UNITS:
            for number in range(count):
                high = rng.random() < 0.84
                levels = rng.integers(4, 6, len(questions)) if high else rng.integers(1, 5, len(questions))
                # Some online ballots answer the sample: they name transactions that could be drawn.
                prefix = "h29" if channel is Channel.ONLINE and month in firsts[-3:] else channel.value
                code = f"{prefix}.{month:%y%m}.{unit.code}.{number}".upper()
                feedback = bool(rng.random() < 0.2)
                answers = [
                    "" if item.code.startswith("feedback.") and not feedback else int(level)
                    for item, level in zip(questions, levels, strict=True)
                ]
                rows.append(
                    (month + timedelta(days=number % 28), unit.code, code, "x" if feedback else "", *answers)
                )
    if not rows:
        return 0
    names = ("day", "unit", "transaction", "feedback", *(item.code for item in questions))
    path = _csv(folder / f"phieu-{channel.value}.csv", names, rows)
    done = import_ballots(
        database, path, actor=ACTOR, data_folder=folder / "log", channel=channel, today=today
    )
    assert done.faults == (), done.faults[:3]
    return done.kept


def _transactions(
    database: Database, folder: Path, rng: np.random.Generator, firsts: Sequence[date], today: date
) -> None:
    counts = [
        (unit.code, month + timedelta(days=14), "ho-tich", int(unit.counters * rng.integers(120, 160)))
        for month in firsts
        for unit in UNITS
    ]
    named = [
        (
            unit.code,
            month + timedelta(days=number),
            "dat-dai",
            f"H29.{month:%y%m}.{unit.code}.{number}".upper(),
        )
        for month in firsts[-3:]
        for unit in UNITS
        for number in range(1, 21)
    ]
    for name, column, rows in (("ho-so.csv", "completed", counts), ("ma-ho-so.csv", "transaction", named)):
        path = _csv(folder / name, ("unit", "day", "procedure", column), rows)
        done = import_transactions(database, path, actor=ACTOR, data_folder=folder / "log", today=today)
        assert done.faults == (), done.faults[:3]
    period = Period(firsts[-3:][0], next_month(firsts[-1]))
    plan_sample(
        database, SAMPLE, period, {"commune": 120}, actor=ACTOR, method=Method.PROPORTIONAL, minimum=5
    )
    draw_sample(database, SAMPLE, "vé số miền Bắc 12345 67890", actor=ACTOR)


def _note(database: Database, firsts: Sequence[date], today: date) -> None:
    """Write down what was done at the counter that dropped."""
    done = _month(DROPPED_MONTH, firsts).replace(day=NOTED_DAY)
    if done >= firsts[0]:
        draft = Draft(done, ActionKind.HOURS, "Mở thêm một bàn tiếp nhận buổi sáng")
        note_action(database, DROPPED_COUNTER, draft, actor=ACTOR, today=today)


def _release(database: Database, firsts: Sequence[date], today: date) -> None:
    for month in firsts:
        release_month(database, month, today=today, minimum_n=MINIMUM_N)
        shown_days(database, [*BUSY_COUNTERS, SIGNAL_COUNTER], month, Disclosure(MINIMUM_N, today))


def _csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(names)
        writer.writerows(rows)
    return path
