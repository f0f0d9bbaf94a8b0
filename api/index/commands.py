"""The commands of the index: `hailong central calibrate`, `hailong central index …`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from api.command_context import ConfigOption, open_database, settings_of, told
from api.database import Database
from api.disclosure import Disclosure
from api.index.calibrations import KeptCalibration, calibrate
from api.index.errors import IndexRefused
from api.index.formula import built_in, choose, decide, document_of, kept_formulas, parse
from api.index.period import Period, Span
from api.index.places import ALL
from api.index.reading import Reading, Standing, read_places, released_places
from api.index.releases import MonthRelease, months_to_release, release_month
from api.trends import local_today

index = typer.Typer(
    name="index", help="The satisfaction index.", no_args_is_help=True, pretty_exceptions_enable=False
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def calibrate_command(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Fit the calibrations of the running month from linked ballots, and log those that are new."""
    with _opened(config) as (database, _):
        made = calibrate(database, local_today().replace(day=1))
        if as_json:
            typer.echo(json.dumps([_calibration(item) for item in made]))
            return
        for item in made:
            held = item.calibration.reliability
            error = "not judged" if held.ece is None else f"error {held.ece:.3f}"
            typer.echo(
                f"version {item.version}, {', '.join(item.networks)}: {item.calibration.n} ballots, {error}, "
                f"gate {held.gate.value}"
            )
        if not made:
            typer.echo("nothing new to calibrate: too few linked ballots, or the same as before")


@index.command()
def release(
    month: Annotated[str | None, typer.Option(help="One month, as 2026-11; without it: every month.")] = None,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Release what is due of the months that have settled; they are in the log from then on."""
    with _opened(config) as (database, minimum_n):
        today = local_today()
        wanted = months_to_release(database, today) if month is None else (_month(month),)
        done = [release_month(database, item, today=today, minimum_n=minimum_n) for item in wanted]
        if as_json:
            typer.echo(json.dumps([_release(item) for item in done]))
            return
        for item in done:
            typer.echo(f"{item.month:%Y-%m}: {len(item.cells)} cells released")


@index.command()
def show(
    period: Annotated[str, typer.Argument(help="2026-11, 2026-Q4 or 2026.")],
    place: Annotated[
        list[str] | None, typer.Option(help="all, unit:CODE, counter:CODE; without it: every place.")
    ] = None,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Print the released figures of a period."""
    with _opened(config) as (database, minimum_n):
        window = Period.parse(period)
        places = place or list(released_places(database, window)) or [ALL]
        found = read_places(database, places, window, Disclosure(minimum_n, local_today()))
        if as_json:
            typer.echo(json.dumps({name: _reading(item) for name, item in found.items()}, ensure_ascii=False))
            return
        for name, item in found.items():
            typer.echo(f"{name}: {_sentence(item)}")


@index.command()
def formula(
    file: Annotated[
        Path | None, typer.Option("--set", help="TOML of the next version; without it: print what holds.")
    ] = None,
    actor: Annotated[str, typer.Option(help="Who decides; the log will tell.")] = "command",
    config: ConfigOption = None,
) -> None:
    """Print the formula that holds today, or decide its next version, which the log will tell."""
    with _opened(config) as (database, _):
        if file is not None:
            try:
                text = file.read_text(encoding="utf-8")
            except OSError as error:
                raise IndexRefused(f"{file} cannot be read: {error.strerror}") from error
            made = parse(text)
            entry = decide(database, made, actor=actor)
            typer.echo(f"formula {made.version} holds from {made.holds_from:%Y-%m}: entry {entry} of the log")
            return
        with database.transaction() as connection:
            kept = kept_formulas(connection)
        holding = choose(kept, local_today().replace(day=1))
        typer.echo(json.dumps(document_of(holding), ensure_ascii=False, indent=1))
        if holding == built_in():
            typer.echo("This is the version that comes with the program.", err=True)


@contextlib.contextmanager
def _opened(config: Path | None) -> Iterator[tuple[Database, int]]:
    """Give the database and the fewest people behind a figure; our errors become a message."""
    with told():
        minimum_n = settings_of(config).pages.minimum_n
        with open_database(config) as database:
            yield database, minimum_n


def _month(text: str) -> date:
    period = Period.parse(text)
    if period.span is not Span.MONTH:
        raise IndexRefused(f"{text} is no month: months are released, quarters and years are made of them")
    return period.first


def _sentence(item: Reading) -> str:
    if item.figure is not None and item.figure.overall.share is not None:
        share = item.figure.overall.share
        value, low, high = share.texts()
        return f"{value} % satisfied ({low} to {high}), {share.n} ballots, {share.method}; this is not SIPAS"
    if item.signal is not None:
        mean = item.signal.mean
        score = f"{mean.value * 100:.0f} of 100 ({mean.n} sessions)"
        return f"uncalibrated signal {score}: no share of satisfied people"
    return {
        Standing.WITHHELD: "held back: it would tell what single people said",
        Standing.NOTHING: "nothing is released",
    }.get(item.standing, item.standing.value)


def _reading(item: Reading) -> dict[str, Any]:
    signal = None
    if item.signal is not None:
        mean = item.signal.mean
        signal = {
            "uncalibrated_signal": round(mean.value * 100),
            "low": round(mean.low * 100),
            "high": round(mean.high * 100),
            "n": mean.n,
        }
    return {
        "standing": item.standing.value,
        "figure": None if item.figure is None else item.figure.document(),
        "signal": signal,
    }


def _release(item: MonthRelease) -> dict[str, Any]:
    return {
        "month": f"{item.month:%Y-%m}",
        "cells": [cell.key for cell in item.cells],
        "left_out": item.left_out,
        "formula": item.formula,
    }


def _calibration(item: KeptCalibration) -> dict[str, Any]:
    held = item.calibration.reliability
    return {
        "version": item.version,
        "networks": list(item.networks),
        "ballots": item.calibration.n,
        "kind": item.calibration.kind.value,
        "ece": held.ece,
        "gate": held.gate.value,
    }
