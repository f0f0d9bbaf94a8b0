"""The index of a simulated centre: figures that hold the truth, and what is said where there is little."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from api.database import Database
from api.disclosure import Disclosure
from api.index.cells import CONSENTED, OTHERS, POOLED, SCORED, Cell
from api.index.errors import IndexRefused
from api.index.figures import Figure, Weighting
from api.index.formula import built_in, decide, document_of, from_document
from api.index.period import Period
from api.index.reading import Reading, Standing, read_places
from api.index.releases import kept_cells, release_month
from api.releases import shown_days
from api.schema import DAY_ZONE
from tests.api.simulated_centre import MODEL_B, SimulatedCentre, Visits

BEFORE, MONTH = date(2026, 5, 1), date(2026, 6, 1)
TODAY = date(2026, 7, 10)
N = 10
DISCLOSURE = Disclosure(N, TODAY)
BIASED = (0.6, 0.3)


@pytest.fixture
def centre(database: Database, seed: int) -> SimulatedCentre:
    return SimulatedCentre(database, seed)


def read(database: Database, place: str = "counter:quay-1", period: str = "2026-06") -> Reading:
    return read_places(database, [place], Period.parse(period), DISCLOSURE)[place]


def figure(database: Database, place: str = "counter:quay-1", period: str = "2026-06") -> Figure:
    found = read(database, place, period)
    assert found.standing is Standing.FIGURE
    assert found.figure is not None
    return found.figure


def release(database: Database, month: date = MONTH) -> tuple[Cell, ...]:
    return release_month(database, month, today=TODAY, minimum_n=N).cells


def ends(found: Figure) -> tuple[float, float]:
    assert found.overall.share is not None
    return found.overall.share.low, found.overall.share.high


def coverage(database: Database, seed: int, counters: Sequence[str], kind: Visits, visits: int) -> int:
    centre = SimulatedCentre(database, seed, counters=counters)
    centre.calibrated(MONTH, kind)
    for counter in counters:
        centre.serve(counter, MONTH, visits, kind)
    release(database)
    held = powered = 0
    places = [f"counter:{counter}" for counter in counters]
    for found in read_places(database, places, Period.parse("2026-06"), DISCLOSURE).values():
        assert found.figure is not None
        assert found.figure.overall.share is not None
        low, high = ends(found.figure)
        held += low <= kind.satisfied <= high
        powered += found.figure.overall.share.lambda_ > 0
    assert powered, "the scores take part"
    return held


@pytest.mark.parametrize("consent", [(0.6, 0.6), BIASED])
def test_figures_of_many_counters_hold_the_truth(
    database: Database, seed: int, consent: tuple[float, float]
) -> None:
    """Consent may hang on satisfaction: those who refused vote, too, and the ledger counts them."""
    counters = [f"quay-{number:02d}" for number in range(12)]
    kind = Visits(consent=consent, vote=0.5, spread=0.4)
    assert coverage(database, seed, counters, kind, 200) >= 9


@pytest.mark.long
@pytest.mark.parametrize("consent", [(0.6, 0.6), BIASED])
@pytest.mark.parametrize("spread", [0.4, 1.0])
def test_figures_of_a_whole_province_hold_the_truth(
    database: Database, seed: int, consent: tuple[float, float], spread: float
) -> None:
    counters = [f"quay-{number:03d}" for number in range(200)]
    kind = Visits(consent=consent, vote=0.4, spread=spread)
    assert coverage(database, seed, counters, kind, 300) >= 182


def test_those_who_were_measured_alone_would_miss_the_truth(
    database: Database, centre: SimulatedCentre
) -> None:
    """The control: the same ballots without the strata are far off."""
    kind = Visits(satisfied=0.7, consent=(0.8, 0.2), vote=0.5, spread=0.4)
    centre.calibrated(MONTH, kind)
    centre.serve("quay-1", MONTH, 1200, kind)
    (cell,) = release(database)
    assert cell.strata == (SCORED, CONSENTED, OTHERS)
    measured = cell.sums["scored.y.overall"] / cell.sums["scored.n"]
    found = figure(database)
    low, high = ends(found)
    assert low <= centre.share(MONTH, "quay-1") <= high
    assert measured > high
    assert found.completeness.consent_rate is not None
    assert found.completeness.consent_rate.value == cell.sums["given"] / cell.sums["visits"]
    assert found.completeness.response_rate is not None
    assert found.completeness.response_rate.n == 1200


def test_signals_without_ballots_are_a_signal_and_no_share(
    database: Database, centre: SimulatedCentre
) -> None:
    kind = Visits(vote=0.0)
    centre.calibrated(MONTH, kind)
    centre.serve_at("quay-1", [_at(MONTH, 8) + timedelta(minutes=item) for item in range(80)], kind)
    assert release(database) == ()
    shown_days(database, ["quay-1"], MONTH, DISCLOSURE)
    for place in ("counter:quay-1", "area:ha-noi", "all"):
        found = read(database, place)
        assert found.standing is Standing.UNCALIBRATED
        assert found.figure is None
        assert found.signal is not None
        assert found.signal.mean.n > N
    assert read(database, "area:elsewhere").standing is Standing.NOTHING


def test_few_ballots_of_a_counter_count_with_the_others_of_its_unit(
    database: Database, centre: SimulatedCentre
) -> None:
    centre.serve("quay-1", MONTH, 200, Visits())
    centre.ballots_only("quay-2", MONTH, N - 1, 0.5)
    cells = release(database)
    assert {cell.key for cell in cells} == {"kiosk counter:quay-1"}
    assert read(database, "counter:quay-2").standing is Standing.NOTHING
    unit = next(place for place in cells[0].path if place.startswith("unit:"))
    assert figure(database, unit).cells == 1  # the few of the other counter are in no figure


def test_two_counters_of_few_ballots_are_enough_together(database: Database, centre: SimulatedCentre) -> None:
    centre.ballots_only("quay-1", MONTH, 7, 0.6)
    centre.ballots_only("quay-2", MONTH, 8, 0.6)
    (cell,) = release(database)
    assert (cell.places, cell.ballots, cell.path[-1][:5]) == (2, 15, "unit:")
    assert read(database).standing is Standing.NOTHING
    assert figure(database, "all").weighting is Weighting.BALLOTS


def test_ballots_alone_are_a_plain_share(database: Database, centre: SimulatedCentre) -> None:
    centre.ballots_only("quay-1", MONTH, 60, 0.8)
    (cell,) = release(database)
    assert cell.strata == (POOLED,)
    found = figure(database)
    share = found.overall.share
    assert share is not None
    assert (share.method, share.n, share.N, share.lambda_) == ("wilson", 60, 0, 0.0)
    assert share.value == cell.sums["pooled.y.overall"] / 60
    assert found.factors["officer"].share is not None
    assert found.factors["feedback"].share is None
    assert found.completeness.consent_rate is None


def test_scores_of_a_model_without_a_calibration_take_no_part(
    database: Database, centre: SimulatedCentre
) -> None:
    known, unknown = Visits(vote=0.6, spread=0.4), Visits(vote=0.6, spread=0.4, model=MODEL_B)
    kept = centre.calibrated(MONTH, known)
    centre.serve("quay-1", MONTH, 300, known)
    centre.serve("quay-1", MONTH, 300, unknown)
    centre.serve("quay-2", MONTH, 300, unknown)
    cells = {cell.key: cell for cell in release(database)}
    one, two = cells["kiosk counter:quay-1"], cells["kiosk counter:quay-2"]
    assert one.basis.calibrations == {kept.version}
    assert one.basis.models == {"centerface 1", "centerface 2"}
    assert one.sums["consented.visits"] > 100, "consented, and without a usable score"
    assert SCORED not in two.strata
    assert two.basis.calibrations == frozenset()
    both = centre.calibrated(MONTH, unknown, version=2)
    centre.serve("quay-1", date(2026, 4, 1), 300, unknown)
    before = release(database, date(2026, 4, 1))
    assert before[0].basis.calibrations == frozenset(), "a calibration has seen no ballot of its month"
    assert both.model != kept.model


def test_a_unanimous_counter_is_printed_as_a_bound(database: Database, centre: SimulatedCentre) -> None:
    centre.ballots_only("quay-1", MONTH, 30, 1.0)
    release(database)
    document = figure(database).overall.document()["share"]
    assert (document["value"], document["high"]) == ("≥97", "100")


def test_months_make_quarters_and_years(database: Database, centre: SimulatedCentre) -> None:
    centre.ballots_only("quay-1", BEFORE, 40, 0.5)
    centre.ballots_only("quay-1", MONTH, 60, 0.9)
    release(database, BEFORE)
    release(database)
    for period in ("2026-Q2", "2026"):
        share = figure(database, period=period).overall.share
        assert share is not None
        assert share.n == 100
    assert read(database, period="2026-Q1").standing is Standing.NOTHING


def test_a_day_begins_at_midnight_in_viet_nam(database: Database, centre: SimulatedCentre) -> None:
    """Sessions of 23:59 on the last day of May and of 0:01 on the first of June, both on May 31 in UTC."""
    kind = Visits(consent=(1.0, 1.0), vote=1.0, scored=1.0)
    late = [_at(MONTH, 0) - timedelta(minutes=1)] * 20
    early = [_at(MONTH, 0) + timedelta(minutes=1)] * 30
    centre.serve_at("quay-1", [*late, *early], kind)
    counts = {}
    for month in (BEFORE, MONTH):
        (cell,) = release(database, month)
        counts[month] = (cell.sums["visits"], cell.sums["signals"], cell.ballots)
    # The ballots of the late ones were cast after midnight; they belong to their sessions.
    assert counts == {BEFORE: (20, 20, 20), MONTH: (30, 30, 30)}


def test_transactions_weigh_when_all_are_known(database: Database, seed: int) -> None:
    large = SimulatedCentre(database, seed, area="ha-noi", counters=("quay-1",))
    small = SimulatedCentre(database, seed + 1, area="hue", counters=("quay-2",))
    large.serve("quay-1", MONTH, 200, Visits(satisfied=0.95, vote=0.5))
    small.serve("quay-2", MONTH, 200, Visits(satisfied=0.5, vote=0.5))
    with database.transaction() as connection:
        units = connection.execute("SELECT counter, unit FROM counter_placements ORDER BY counter").fetchall()
        connection.execute(
            "INSERT INTO organisation_imports (import_id, kind, file_name, file_sha256, rows_read, kept, "
            "refused, actor, log_index) "
            "VALUES (gen_random_uuid(), 'transactions', 'f', %s, 2, 2, 0, 'test', 0)",
            (b"0" * 32,),
        )
        for (_, unit), completed in zip(units, (9000, 1000), strict=True):
            connection.execute(
                "INSERT INTO completed_transactions (unit, procedure, day, completed, import_id) "
                "SELECT %s, 'p', %s, %s, import_id FROM organisation_imports",
                (unit, MONTH, completed),
            )
    release(database)
    whole = figure(database, "all")
    parts = [figure(database, f"counter:quay-{number}").overall.share for number in (1, 2)]
    assert whole.weighting is Weighting.TRANSACTIONS
    assert whole.overall.share is not None
    assert all(part is not None for part in parts)
    mixed = sum(weight * part.value for weight, part in zip((0.9, 0.1), parts, strict=True) if part)
    assert whole.overall.share.value == pytest.approx(mixed)


def _survey(database: Database, unit: str, answers: Sequence[Sequence[int]]) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO questionnaires (version, sha256, levels, satisfied_from, criteria, factors) VALUES "
            "('q-1', %s, 5, 4, '{seats,listening}', '{access,officer}') ON CONFLICT DO NOTHING",
            (b"0" * 32,),
        )
        connection.execute(
            "INSERT INTO ballot_imports (import_id, questionnaire, file_name, file_sha256, rows_sha256, "
            "rows_read, kept, refused, actor, log_index) "
            "VALUES (gen_random_uuid(), 'q-1', 'f', %s, %s, 1, 1, 0, 'test', 0)",
            (b"0" * 32, b"0" * 32),
        )
        for line, levels in enumerate(answers):
            connection.execute(
                "INSERT INTO survey_ballots (import_id, sheet, line, channel, questionnaire, day, unit, "
                "levels) SELECT import_id, 1, %s, 'online', 'q-1', %s, %s, %s FROM ballot_imports",
                (line, MONTH, unit, list(levels)),
            )


def test_channels_are_shown_apart_and_together(database: Database, centre: SimulatedCentre) -> None:
    centre.ballots_only("quay-1", MONTH, 60, 1.0)
    with database.transaction() as connection:
        row = connection.execute("SELECT unit FROM counter_placements LIMIT 1").fetchone()
    assert row is not None
    _survey(database, row[0], [(5, 1)] * 20 + [(2, 4)] * 20)
    release(database)
    found = figure(database, f"unit:{row[0]}")
    line = found.overall
    assert line.share is not None
    assert set(line.channels) == {"kiosk", "online"}
    assert (line.channels["online"].value, line.channels["online"].n) == (0.5, 40)
    assert line.channels["online"].weight == pytest.approx(0.4)
    # All sixty were satisfied, which is printed as a bound; together it counts as printed.
    assert line.share.value == pytest.approx(0.6 * 59 / 60 + 0.4 * 0.5)
    access = found.factors["access"].channels["online"]
    assert (access.value, access.n) == (0.5, 40)
    assert set(figure(database).overall.channels) == {"kiosk"}, "the unit's survey is of no single counter"


def test_another_formula_holds_from_its_month_on_and_is_logged(
    database: Database, centre: SimulatedCentre
) -> None:
    centre.ballots_only("quay-1", BEFORE, 40, 0.5)
    centre.ballots_only("quay-1", MONTH, 40, 0.5)
    release(database, BEFORE)
    changed: dict[str, Any] = document_of(built_in()) | {
        "version": 2,
        "holds_from": MONTH.isoformat(),
        "overall": "factors",
        "factors": {"access": 1, "procedure": 0, "officer": 0, "result": 0, "feedback": 0},
    }
    with pytest.raises(IndexRefused, match="2026-05 are released"):
        decide(database, from_document(changed | {"holds_from": "2026-05-01"}), actor="an")
    with pytest.raises(IndexRefused, match="version 1: give the new one 2"):
        decide(database, from_document(changed | {"version": 3}), actor="an")
    entry = decide(database, from_document(changed), actor="an")
    release(database)
    with database.transaction() as connection:
        row = connection.execute("SELECT kind FROM central_log WHERE idx = %s", (entry,)).fetchone()
    assert row == ("index-formula",)
    old, new = figure(database, period="2026-05"), figure(database)
    assert (old.versions.formula, new.versions.formula) == (1, 2)
    assert new.overall.share is not None
    assert new.factors["access"].share is not None
    assert new.overall.share.value == new.factors["access"].share.value
    assert old.overall.share is not None
    assert old.factors["access"].share is not None
    assert old.overall.share.value < old.factors["access"].share.value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"overall": "mean"}, "overall"),
        ({"factors": {"access": 1}}, "name each factor"),
        (
            {"channels": dict.fromkeys(("kiosk", "online", "sms", "call", "portal", "paper"), 0)},
            "at least one",
        ),
        ({"holds_from": "2026-06-02"}, "first day of a month"),
        ({"rating": {"time_cost": "result"}}, "name the factor of each"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_formula_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(IndexRefused, match=message):
        from_document(document_of(built_in()) | change)


@pytest.mark.parametrize("text", ["2026-11", "2026-Q4", "2026"])
def test_periods_are_written_as_they_are_read(text: str) -> None:
    assert str(Period.parse(text)) == text


@pytest.mark.parametrize("text", ["2026-13", "2026-Q5", "0000", "2026-W12", "2026-11-03", ""])
def test_other_windows_are_refused(text: str) -> None:
    with pytest.raises(IndexRefused, match="is no period"):
        Period.parse(text)


def _at(day: date, hour: int) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(DAY_ZONE))


def test_no_table_of_the_index_can_hold_a_person(database: Database, centre: SimulatedCentre) -> None:
    """Neither a session nor an officer: only cells of places, whose sums have names of this list."""
    centre.serve("quay-1", MONTH, 200, Visits())
    cells = release(database)
    with database.transaction() as connection:
        columns = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_name = ANY(%s)",
            (["index_cells", "index_formulas", "calibrations"],),
        ).fetchall()
        text = str(connection.execute("SELECT document FROM index_cells").fetchall())
        sessions = connection.execute("SELECT session_id FROM consents").fetchall()
    assert len(columns) > 10, "the walk finds columns"
    assert not {name for _, name in columns if any(word in name for word in ("session", "officer", "staff"))}
    assert all(str(row[0]) not in text for row in sessions)
    assert {cell.channel for cell in cells} == {"kiosk"}
    with pytest.raises(psycopg.errors.CheckViolation), database.transaction() as connection:
        connection.execute("UPDATE index_cells SET month = '2026-06-02'")


def test_cells_are_read_back_as_they_were_released(database: Database, centre: SimulatedCentre) -> None:
    centre.serve("quay-1", MONTH, 300, Visits())
    made = release(database)
    with database.transaction() as connection:
        kept = kept_cells(connection, [MONTH])
    assert [cell.document() for cell in kept] == [cell.document() for cell in made]
