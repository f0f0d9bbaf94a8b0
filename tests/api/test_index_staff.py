"""Nothing by officer: no column of the database and no parameter of a route could name who served."""

from __future__ import annotations

from typing import Final

from api.app import build_app
from api.database import Database
from api.settings import Settings

_WORDS: Final = ("officer", "staff", "employee", "clerk")
_FACTOR: Final = {"officer_ppm", "officer_n", "officer_sum", "officer_attitude"}
"""The factor of the questionnaire: sums and answers about a counter."""


def _named(names: set[str]) -> set[str]:
    return {name for name in names if any(word in name.lower() for word in _WORDS)}


def test_no_column_of_the_centre_names_who_served(database: Database) -> None:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        ).fetchall()
    tables = {str(row[0]) for row in rows}
    assert {"index_cells", "index_formulas", "calibrations", "releases", "ballots"} <= tables
    assert _named({str(row[1]) for row in rows}) == _FACTOR
    assert _named(tables) == set()


def test_no_route_takes_or_gives_figures_by_who_served() -> None:
    paths = build_app(Settings()).openapi()["paths"]
    assert paths, "the walk finds routes"
    parameters = {
        str(parameter["name"])
        for methods in paths.values()
        for method in methods.values()
        for parameter in method.get("parameters", ())
    }
    assert _named(set(paths)) == set()
    assert _named(parameters) == set()
