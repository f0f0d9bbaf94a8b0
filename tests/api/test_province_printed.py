"""Everything that the province prints, read off its files and pages as people get them, and attacked."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from typer.testing import CliRunner

from api.central_log import CentralLog
from api.database import Database
from api.figure_files import Sheet, as_csv, as_xlsx
from api.figure_table import COLUMNS, OVERALL, TOGETHER, figure_rows, values_of
from api.index.calibrations import Calibrations, kept_calibrations
from api.index.cells import partition
from api.index.counting import count_month
from api.index.formula import CHANNELS, FACTORS, KIOSK, kept_formulas
from api.index.period import Period, Span
from api.index.publication import published_figure
from api.index.reading import Reading, Standing
from api.index.releases import kept_cells, release_month
from api.register import Register, register_of
from api.release_proof import ReleaseProof, release_proof
from api.report import Report, pdf
from api.trends import local_today
from hailong import app
from tests.api.printed_attack import Print, found_out, small_cells
from tests.api.printed_facts import (
    Fact,
    of_csv,
    of_json,
    of_list_page,
    of_pdf,
    of_place_page,
    of_xlsx,
)
from tests.api.province_console import OBSERVER, ProvinceConsole, province_console
from tests.api.province_places import BUSY_COUNTERS, LONELY_COUNTER, SMALL_COUNTERS
from tests.api.running import PASSWORD
from tests.api.simulated_province import MINIMUM_N

if TYPE_CHECKING:
    from api.postgres import EmbeddedPostgres

FEW = (*SMALL_COUNTERS, LONELY_COUNTER)
LATE = {
    BUSY_COUNTERS[0]: 17,
    "ben-nua.quay-1": 14,
    "cho-moi.quay-3": 6,
    "lang-ha.quay-3": 5,
    "lang-thuong.quay-1": 4,
}
"""Ballots that come after the first release: enough in a cell, enough together only, and too few."""

pytestmark = pytest.mark.timeout(900)
"""Everything is read in the set-up of the first test."""


@dataclass(frozen=True, slots=True)
class _Service:
    """The service as an observer asks it."""

    console: ProvinceConsole
    client: httpx.Client
    config: Path
    register: Register

    @property
    def periods(self) -> tuple[str, ...]:
        months = self.console.province.months
        return tuple(sorted({str(Period.holding(month, span)) for month in months for span in Span}))

    def table(self, period: str) -> dict[str, frozenset[Fact]]:
        """Return what the table of a period says, for the whole."""
        return {"csv": of_csv(self.get(f"/figures.csv?period={period}"))}

    def told(self, period: str) -> dict[str, frozenset[Fact]]:
        """Return what the command tells of a period, which is all that there is."""
        done = CliRunner().invoke(app, ["central", "index", "show", period, "--json", "-c", str(self.config)])
        assert done.exit_code == 0, done.output
        figures = {place: item["figure"] for place, item in json.loads(done.stdout).items() if item["figure"]}
        return {"json": of_json(period, figures)}

    def workbook(self, period: str) -> dict[str, frozenset[Fact]]:
        """Return what the workbook of a period says, for the whole."""
        return {"xlsx": of_xlsx(self.get(f"/figures.xlsx?period={period}"))}

    def pages(self, period: str, *, every: bool) -> dict[str, frozenset[Fact]]:
        """Return what pages and reports of a period say: of every place, or of those around few ballots."""
        names = {spot.name_en: spot.place for spot in self.register.spots.values() if spot.name_en}
        found = {}
        for channel in ("", *(CHANNELS if every else (KIOSK,))):
            page = self.get(f"/?period={period}&lang=en&channel={channel}").decode()
            found[f"list of {channel}"] = of_list_page(page, period, channel or TOGETHER)
        around = {f"counter:{code}" for code in FEW}
        around |= {spot.place for name in around for spot in self.register.way(name)}
        for spot in self.register.spots.values():
            if every or spot.place in around:
                page = self.get(f"{spot.path}?period={period}&lang=en").decode()
                found[f"page of {spot.place}"] = of_place_page(page, spot.place, period, self.periods)
            if not spot.is_counter and (every or spot.place in around):
                report = self.get(f"/report.pdf?period={period}&place={spot.place}&lang=en")
                found[f"report of {spot.place}"] = of_pdf(report, spot.place, period, names)
        return found

    def get(self, path: str) -> bytes:
        answer = self.client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.content

    def printed(self, *, every: bool, table_only: bool = False) -> tuple[dict[str, frozenset[Fact]], Print]:
        """Read everything, and count what is behind it."""
        newest = str(Period(self.console.province.months[-1], Span.MONTH))
        media: dict[str, frozenset[Fact]] = {}
        for period in self.periods:
            found = self.table(period)
            if not table_only:
                found |= self.told(period)
                if every or period == newest:
                    found |= self.workbook(period) | self.pages(period, every=every)
            media |= {f"{name} {period}": facts for name, facts in found.items()}
        months = self.console.province.months
        with Database(self.console.central.dsn) as database:
            with database.transaction() as connection:
                cells = kept_cells(connection, months)
                curves = kept_calibrations(connection)
            items = {
                month: count_month(
                    database, month, Calibrations.for_month(curves, month), minimum_n=MINIMUM_N
                )
                for month in months
            }
        return media, Print(frozenset(itertools.chain(*media.values())), items, cells)


@dataclass(frozen=True, slots=True)
class _Read:
    service: _Service
    first: Mapping[str, frozenset[Fact]]
    prints: tuple[Print, Print]


@pytest.fixture(scope="module")
def read(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Read]:
    with _province_read(postgres, tmp_path_factory.mktemp("printed"), months=2, every=False) as found:
        yield found


@contextlib.contextmanager
def _province_read(postgres: EmbeddedPostgres, folder: Path, *, months: int, every: bool) -> Iterator[_Read]:
    """Read everything twice: as it was released, and after late ballots were."""
    config = folder / "central.toml"
    with province_console(postgres, months=months) as console, Database(console.central.dsn) as database:
        config.write_text(
            f'[database]\ndsn = "{console.central.dsn}"\n[log]\ndata_dir = "{console.log_folder}"\n', "utf-8"
        )
        register = register_of(database, local_today())
        with httpx.Client(base_url=console.central.address, timeout=60, follow_redirects=True) as client:
            page = client.get("/login").text
            token = re.search(r'name="csrf" value="([^"]+)"', page)
            assert token is not None
            client.post("/login", data={"csrf": token[1], "name": OBSERVER, "password": PASSWORD})
            service = _Service(console, client, config, register)
            media, first = service.printed(every=every)
            month = console.province.months[-1]
            _come_late(database, month)
            release_month(database, month, today=local_today(), minimum_n=MINIMUM_N)
            _, second = service.printed(every=every, table_only=not every)
            yield _Read(service, media, (first, second))


def _come_late(database: Database, month: date) -> None:
    """Let ballots of no session arrive late."""
    with database.transaction() as connection:
        for place, (counter, count) in enumerate(LATE.items(), 1):
            done = connection.execute(
                "INSERT INTO ballots (ballot_id, counter, cast_at, session_id, information_facilities, "
                "dossier_rules, officer_attitude, time_cost, edge_id, seq) SELECT gen_random_uuid(), "
                "%(counter)s, cast_at, NULL, mod(n, 3) > 0, mod(n, 4) > 0, mod(n, 7) > 0, mod(n, 5) > 0, "
                "edge_id, seq + 1000000 * (%(place)s * 100 + n) FROM "
                "(SELECT * FROM ballots WHERE counter = %(busy)s AND cast_at >= %(month)s "
                "ORDER BY cast_at LIMIT 1) one, generate_series(1, %(count)s) n",
                {
                    "counter": counter,
                    "place": place,
                    "busy": BUSY_COUNTERS[0],
                    "month": month,
                    "count": count,
                },
            )
            assert done.rowcount == count


def test_every_file_and_page_says_the_same(read: _Read) -> None:
    """No medium has a digit, or a figure, that another does not have: the JSON holds all that there is."""
    assert {name.split()[0] for name in read.first} == {"csv", "xlsx", "json", "list", "page", "report"}
    silent = {name for name, facts in read.first.items() if not facts}
    everything = frozenset(itertools.chain(*(facts for name, facts in read.first.items() if "json" in name)))
    said = {(fact.about.place, fact.about.period) for fact in everything}
    assert not {name for name in silent if tuple(name.split()[-2:]) in said}, "silent where the JSON is not"
    assert len(silent) < len(read.first) / 2
    for name, facts in read.first.items():
        assert facts <= everything, (name, sorted(facts - everything)[:3])
    places = {fact.about.place for fact in everything}
    assert len(places) > 40
    assert not places & {f"counter:{code}" for code in FEW}


def test_factors_are_hidden_together_with_the_whole(read: _Read) -> None:
    for at in read.prints:
        shown = {(fact.about.place, fact.about.period, fact.about.channel) for fact in at.facts}
        whole = {
            (fact.about.place, fact.about.period, fact.about.channel)
            for fact in at.facts
            if fact.about.factor == OVERALL
        }
        assert shown == whole


@pytest.mark.parametrize("factor", [OVERALL, pytest.param("officer", marks=pytest.mark.long)])
def test_no_cell_of_few_ballots_comes_out_of_all_that_is_printed(read: _Read, factor: str) -> None:
    """Months, quarter and year, every channel and all together, the first release and its revision."""
    first, second = read.prints
    assert first.facts != second.facts
    attacked = small_cells([first, second], factor, fewest=MINIMUM_N)
    assert len(attacked) > 100
    assert found_out(attacked, one_mind=False) == {}


@pytest.mark.long
def test_nor_of_every_page_and_report_of_four_months(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with _province_read(postgres, tmp_path, months=4, every=True) as found:
        test_every_file_and_page_says_the_same(found)
        for factor in (OVERALL, *FACTORS):
            attacked = small_cells(found.prints, factor, fewest=MINIMUM_N)
            assert found_out(attacked, one_mind=False) == {}


def test_the_same_readers_catch_a_naive_publication(read: _Read) -> None:
    """The control that must fail: everybody is in every sum, and figures of few ballots are left out."""
    naive = _naive(read)
    assert len(naive) == 4
    assert naive["csv"] == naive["xlsx"] == naive["json"] > naive["pdf"]
    items = read.prints[0].items
    cells = [cell for month, found in items.items() for cell in partition(month, found, 1)[0]]
    truth = {
        (f"{item.channel} {item.path[-1]}", f"{month:%Y-%m}")
        for month, found in items.items()
        for item in found
    }
    for medium in ("csv", "pdf"):
        # Of questionnaires such sums have the fewest answers of any question: no number of ballots.
        kept = (fact for fact in naive[medium] if fact.n >= MINIMUM_N and fact.about.channel == KIOSK)
        caught = found_out(small_cells([Print(frozenset(kept), items, cells)], fewest=MINIMUM_N))
        assert truth & set(caught) or medium == "pdf", "a place of few by itself"
        assert caught, medium


def _naive(read: _Read) -> dict[str, frozenset[Fact]]:
    """Publish the newest month without any care, and read it in every form."""
    service, items = read.service, read.prints[0].items
    cells = [cell for month, found in items.items() for cell in partition(month, found, 1)[0]]
    with Database(service.console.central.dsn) as database, database.transaction() as connection:
        formulas = kept_formulas(connection)
        log = CentralLog(database, service.console.log_folder)
        proof = release_proof(connection, log, service.console.province.months)
    spots = tuple(service.register.spots.values())
    period = Period(service.console.province.months[-1], Span.MONTH)
    readings = {}
    for spot in spots:
        figure = published_figure(spot.place, period, cells, formulas, frozenset())
        standing = Standing.NOTHING if figure is None else Standing.FIGURE
        readings[spot.place] = Reading(spot.place, period, standing, figure)
    rows = [values_of(row) for row in figure_rows(spots, readings)]
    found = {place: reading.figure for place, reading in readings.items() if reading.figure}
    return {
        "csv": of_csv(as_csv(COLUMNS, rows)),
        "xlsx": of_xlsx(as_xlsx([Sheet("s", COLUMNS, rows)], title="t", language="en")),
        "json": of_json(str(period), {place: figure.document() for place, figure in found.items()}),
        "pdf": frozenset(_reported(service.register, readings, proof, str(period))),
    }


def _reported(
    register: Register, readings: Mapping[str, Reading], proof: ReleaseProof, period: str
) -> Iterator[Fact]:
    """Read the reports of the whole and of all units: each has its own figure by channel."""
    names = {spot.name_en: spot.place for spot in register.spots.values()}
    for spot in register.spots.values():
        if not spot.is_counter:
            inside = tuple(each for each in register.spots.values() if spot in register.way(each.place))
            report = Report(register, spot, inside, readings, proof, period, MINIMUM_N)
            yield from of_pdf(pdf(report, "en"), spot.place, period, names)
