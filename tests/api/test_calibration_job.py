"""The job that calibrates: from linked ballots before a month, by model, logged, without erased sessions."""

from __future__ import annotations

import json
from datetime import date

import pytest

from api.database import Database
from api.index.calibrations import (
    FEWEST_CHANGED,
    FEWEST_PAIRS,
    Calibrations,
    KeptCalibration,
    calibrate,
    kept_calibrations,
)
from api.index.worker import keep_up
from api.statistics.reliability import Gate
from tests.api.simulated_centre import KEY_A, KEY_B, MODEL_B, SimulatedCentre, Visits

MONTH, UNTIL = date(2026, 5, 1), date(2026, 6, 1)
EVERYBODY = Visits(consent=(1.0, 1.0), vote=1.0, scored=1.0, spread=0.4)


@pytest.fixture
def centre(database: Database, seed: int) -> SimulatedCentre:
    return SimulatedCentre(database, seed)


def leaves(database: Database) -> list[str]:
    with database.transaction() as connection:
        rows = connection.execute("SELECT body FROM central_log WHERE kind = 'calibration'").fetchall()
    return [bytes(row[0]).decode() for row in rows]


def test_each_set_of_models_has_a_curve_of_its_own(database: Database, centre: SimulatedCentre) -> None:
    other = Visits(consent=(1.0, 1.0), vote=1.0, scored=1.0, spread=0.4, model=MODEL_B)
    centre.serve("quay-1", MONTH, 60, EVERYBODY)
    centre.serve("quay-2", MONTH, 50, other)
    centre.serve("quay-1", UNTIL, 40, EVERYBODY)  # not before the month: not seen
    made = calibrate(database, UNTIL)
    assert {(item.model, item.calibration.n) for item in made} == {(KEY_A, 60), (KEY_B, 50)}
    assert {item.calibration.reliability.gate for item in made} == {Gate.TOO_FEW}
    assert calibrate(database, UNTIL) == (), "the same pairs make no new version"
    with database.transaction() as connection:
        kept = kept_calibrations(connection)
    assert kept == made
    assert sorted(map(KeptCalibration.parse, map(json.loads, leaves(database))), key=_version) == list(made)
    assert Calibrations.for_month(kept, UNTIL).by_model == {}, "a closed gate lets no score in"


def test_an_erased_session_is_in_no_later_fit_and_no_version_tells_of_it_alone(
    database: Database, centre: SimulatedCentre
) -> None:
    """Two versions that differ by one pair would give it away; ten at once do not."""
    centre.serve("quay-1", MONTH, FEWEST_PAIRS + FEWEST_CHANGED, EVERYBODY)
    (first,) = calibrate(database, UNTIL)
    for erased in range(1, FEWEST_CHANGED + 1):
        assert calibrate(database, UNTIL) == ()
        with database.transaction() as connection:
            connection.execute(
                "DELETE FROM signals WHERE session_id = (SELECT min(session_id::text)::uuid FROM signals)"
            )
        if erased < FEWEST_CHANGED:
            assert calibrate(database, UNTIL) == (), erased
    (second,) = calibrate(database, UNTIL)
    assert (first.calibration.n, second.calibration.n) == (FEWEST_PAIRS + FEWEST_CHANGED, FEWEST_PAIRS)
    assert (first.version, second.version) == (1, 2)
    with database.transaction() as connection:
        connection.execute("UPDATE ballots SET session_id = NULL")
    assert calibrate(database, UNTIL) == (), "nothing is fitted to few pairs"


@pytest.mark.parametrize(("came", "versions"), [(FEWEST_CHANGED - 1, 0), (FEWEST_CHANGED, 1)])
def test_the_next_month_has_a_version_where_enough_came(
    database: Database, centre: SimulatedCentre, came: int, versions: int
) -> None:
    """As many as came may have been removed by the retention: the number of pairs alone would not tell."""
    centre.serve("quay-1", MONTH, 60, EVERYBODY)
    calibrate(database, UNTIL)
    centre.serve("quay-1", UNTIL, came, EVERYBODY)
    with database.transaction() as connection:
        connection.execute(
            "DELETE FROM signals WHERE session_id IN "
            "(SELECT session_id FROM signals ORDER BY window_start LIMIT %s)",
            (came,),
        )
    made = calibrate(database, date(2026, 7, 1))
    assert [item.calibration.n for item in made] == [60] * versions


def test_no_pair_is_in_the_log(database: Database, centre: SimulatedCentre) -> None:
    centre.serve("quay-1", MONTH, 60, EVERYBODY)
    calibrate(database, UNTIL)
    (text,) = leaves(database)
    with database.transaction() as connection:
        sessions = connection.execute("SELECT session_id, signal_id FROM signals").fetchall()
    assert not [name for row in sessions for name in row if str(name) in text]


@pytest.mark.parametrize("until", [MONTH, UNTIL])
def test_a_month_uses_a_curve_that_has_not_seen_it(centre: SimulatedCentre, until: date) -> None:
    kept = centre.calibrated(until, EVERYBODY)
    assert Calibrations.for_month([kept], UNTIL).of(KEY_A) == kept


def test_a_month_uses_no_curve_of_its_own_ballots(centre: SimulatedCentre) -> None:
    kept = centre.calibrated(date(2026, 7, 1), EVERYBODY)
    assert Calibrations.for_month([kept], UNTIL).of(KEY_A) is None


def test_the_upkeep_calibrates_and_releases_what_has_settled(
    database: Database, centre: SimulatedCentre
) -> None:
    centre.serve("quay-1", MONTH, 60, EVERYBODY)
    early = keep_up(database, today=date(2026, 6, 3), minimum_n=10)
    assert [item.version for item in early.calibrations] == [1]
    assert early.releases == ()
    later = keep_up(database, today=date(2026, 6, 4), minimum_n=10)
    assert later.calibrations == ()
    assert [(item.month, len(item.cells)) for item in later.releases] == [(MONTH, 1)]
    assert keep_up(database, today=date(2026, 6, 5), minimum_n=10).releases == ()


def _version(item: KeptCalibration) -> int:
    return item.version
