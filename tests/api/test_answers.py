"""Answers counted by channel, against sums made ballot by ballot; and linked to signals as they came."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

import pytest

from api.database import Database
from api.ingest import Ingest
from api.organisation.tree import Period
from api.settings import IngestSettings
from api.survey.answers import Answers, KioskLinks, Scope, answers_of, linked_ballots
from api.survey.channels import Channel
from api.survey.questionnaire import questionnaire_of, register
from api.survey.tally import RATING_FACTORS, FactorCounts
from inference.signal import Criterion, Factor
from tests.api.senders import Edge, enrolled_edge, signal
from tests.api.survey_files import place

MONTH: Final = Period(date(2026, 3, 1), date(2026, 4, 1))
FORM: Final = questionnaire_of("sipas-1")
FACTORS: Final = [Factor(code) for code in FORM.factor_codes]
MOST: Final = len(FORM.levels)
Levels = list[int | None]


def ballots_in(database: Database, version: str, rows: Sequence[tuple[str, date, Levels]]) -> None:
    """Put ballots of the unit u-main into the tables."""
    form = questionnaire_of(version)
    with database.transaction() as connection, connection.cursor() as cursor:
        register(connection, form)
        row = cursor.execute(
            "INSERT INTO ballot_imports (import_id, questionnaire, file_name, file_sha256, rows_sha256, "
            "rows_read, kept, refused, actor, log_index) SELECT gen_random_uuid(), %s, 'f', sha256(%s), "
            "sha256(%s), %s, %s, 0, 'test', count(*) FROM ballot_imports RETURNING import_id",
            (version, version.encode(), version.encode(), len(rows), len(rows)),
        ).fetchone()
        assert row is not None
        with cursor.copy(
            "COPY survey_ballots (import_id, sheet, line, channel, questionnaire, day, unit, levels) "
            "FROM STDIN"
        ) as copy:
            for line, (channel, day, levels) in enumerate(rows, 1):
                copy.write_row((row[0], 1, line, channel, version, day, "u-main", levels))


def drawn(rng: random.Random, count: int) -> list[tuple[str, date, Levels]]:
    return [
        (
            rng.choice(("online", "paper")),
            date(2026, 3, rng.randint(1, 31)),
            [rng.randint(0, MOST) or None for _ in FORM.questions],
        )
        for _ in range(count)
    ]


def shares(rows: Sequence[Levels], places: Sequence[int]) -> list[Fraction]:
    """Return the share of satisfied answers of each ballot that answered, one after the other."""
    found = []
    for levels in rows:
        said = [of for at in places if (of := levels[at]) is not None]
        if said:
            found.append(Fraction(sum(of >= FORM.satisfied_from for of in said), len(said)))
    return found


def rounded(share: Fraction) -> int:
    return int(share * 1_000_000 + Fraction(1, 2))


def answers(database: Database, scope: Scope, period: Period = MONTH) -> Answers:
    with database.transaction() as connection:
        return answers_of(connection, scope, period)


def test_answers_are_counted_as_ballot_by_ballot(database: Database, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    place(database)
    rows = drawn(rng, 150)
    nothing: Levels = [None] * len(FORM.questions)
    outside: tuple[str, date, Levels] = ("online", date(2026, 4, 1), [MOST] * len(FORM.questions))
    ballots_in(database, "sipas-1", [*rows, ("online", MONTH.first, nothing), outside])
    found = answers(database, Scope(node="u-main"))
    assert answers(database, Scope(node="u-other")).criteria == ()
    for channel in ("online", "paper"):
        mine = [levels for of, _, levels in rows if of == channel]
        criteria = [item for item in found.criteria if item.channel == channel]
        by_code = {item.criterion: item for item in criteria}
        assert [(item.factor, item.criterion) for item in criteria] == sorted(
            (factor, question.code) for factor, question in zip(FACTORS, FORM.questions, strict=True)
        )
        for at, question in enumerate(FORM.questions):
            said = Counter(levels[at] for levels in mine)
            item = by_code[question.code]
            assert item.by_level == tuple(said[of] for of in range(1, MOST + 1))
            assert item.satisfied == sum(said[of] for of in range(FORM.satisfied_from, MOST + 1))
        factors = {item.factor: item for item in found.factors if item.channel == channel}
        assert next(iter(factors)) is None, "the whole ballot comes first"
        for factor, of in factors.items():
            places = [at for at, item in enumerate(FACTORS) if factor in {None, item}]
            each = shares(mine, places)
            assert (of.ballots, of.share_sum_ppm, of.share_square_sum_ppm) == (
                *(len(each), rounded(sum(each, Fraction()))),
                rounded(sum((share**2 for share in each), Fraction())),
            )
            assert sum(of.by_level) == sum(levels[at] is not None for levels in mine for at in places)


def rate(database: Database, edge: Edge, said: Sequence[str], sessions: Sequence[UUID | None]) -> None:
    at = datetime(2026, 3, 9, 3, tzinfo=UTC)
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ballots (ballot_id, counter, cast_at, session_id, information_facilities, "
            "dossier_rules, officer_attitude, time_cost, edge_id, seq) "
            "VALUES (gen_random_uuid(), 'counter-1', %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (at + timedelta(minutes=seq), session, *(char == "+" for char in text), edge.id, seq)
                for seq, (text, session) in enumerate(zip(said, sessions, strict=True), 1)
            ],
        )


def test_a_rating_is_satisfied_as_a_whole_only_with_all_four(database: Database) -> None:
    edge = enrolled_edge(database, ["counter-1"])
    place(database)
    order = list(Criterion)
    rate(database, edge, ["++++", "++++", "+++-", "----"], [None] * 4)
    ballots_in(database, "rating-1", [("online", date(2026, 3, 9), [2, 2, None, None])])
    found = answers(database, Scope(node="u-main"))
    whole = [item for item in found.factors if item.factor is None]
    assert whole == [
        FactorCounts(Channel.KIOSK, "rating-1", None, (5, 11), 4, 2_000_000, 2_000_000),
        FactorCounts(Channel.ONLINE, "rating-1", None, (0, 2), 1, 1_000_000, 1_000_000),
    ]
    kiosk = {item.criterion: item for item in found.criteria if item.channel == Channel.KIOSK}
    assert {name: item.by_level for name, item in kiosk.items()} == {
        criterion.value: ((2, 2) if criterion is order[-1] else (1, 3)) for criterion in order
    }
    assert {item.factor for item in kiosk.values()} == set(RATING_FACTORS.values())
    assert found.kiosk == KioskLinks(0, 0, 4)
    assert answers(database, Scope(counter="counter-1")).kiosk == KioskLinks(0, 0, 4)
    assert answers(database, Scope(counter="counter-9")).factors == ()


def test_a_ballot_is_linked_to_the_signal_of_its_session(database: Database, seed: int) -> None:
    """Through ingest, as an edge sends both; a ballot without a session, or with another's, is not linked."""
    edge = enrolled_edge(database, ["counter-1", "counter-2"])
    rng = random.Random(seed)  # noqa: S311 - as above
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    sent = signal(rng, "counter-1", start=now, score=0.7312)
    silent = signal(rng, "counter-1", start=now + timedelta(minutes=5), score=None)
    entries: list[dict[str, Any]] = [{"kind": "signal", "payload": item} for item in (sent, silent)]
    sessions = (sent["session_id"], silent["session_id"], None, str(UUID(int=7)))
    entries += [
        {
            "kind": "ballot",
            "payload": {
                "schema_version": 1,
                "ballot_id": str(UUID(int=rng.getrandbits(128), version=4)),
                "counter": "counter-1",
                "cast_at": (now + timedelta(minutes=10 + number)).isoformat(),
                "session_id": session,
                "satisfied": {item.value: item is not Criterion.TIME_COST for item in Criterion},
            },
        }
        for number, session in enumerate(sessions)
    ]
    numbered = [{"seq": seq, **entry} for seq, entry in enumerate(entries, 1)]
    body = json.dumps({"edge": str(edge.id), "first_seq": 1, "entries": numbered}).encode()
    assert Ingest(database, IngestSettings()).accept(body, edge.sign(body)).quarantined == ()
    today = (now + timedelta(hours=7)).date()
    period = Period(today - timedelta(days=1), today + timedelta(days=2))
    with database.transaction() as connection:
        every = linked_ballots(connection, None, period)
        mine = linked_ballots(connection, Scope(counter="counter-1"), period)
        others = linked_ballots(connection, Scope(counter="counter-2"), period)
        links = answers_of(connection, Scope(counter="counter-1"), period).kiosk
    assert (every, others) == (mine, ())
    first, second = sorted(mine, key=lambda item: item.overall_ppm is None)
    assert (first.overall_ppm, second.overall_ppm) == (731_200, None)
    assert first.overall_satisfied is False
    assert first.satisfied == {factor: factor is not Factor.RESULT for factor in RATING_FACTORS.values()}
    models = tuple(sorted((item["name"], item["version"], item["sha256"]) for item in sent["models"]))
    assert first.models == models
    assert [item.arrival for item in mine] == sorted(item.arrival for item in mine)
    assert links == KioskLinks(3, 1, 1)


@pytest.mark.long
def test_a_hundred_thousand_ballots_are_counted_within_seconds(database: Database, seed: int) -> None:
    """Measured: see docs/measurements.md. All ballots are different, which is the worst case."""
    rng = random.Random(seed)  # noqa: S311 - as above
    place(database)
    ballots_in(database, "sipas-1", drawn(rng, 100_000))
    started = time.process_time(), time.monotonic()
    found = answers(database, Scope(node="u-main"))
    print(f"{time.monotonic() - started[1]:.1f} s, of which {time.process_time() - started[0]:.1f} s here")  # noqa: T201 - a measurement
    whole = [item.ballots for item in found.factors if item.factor is None]
    assert sum(whole) == 100_000
    assert time.process_time() - started[0] < 10
