"""The formula of the index as versioned data: what counts, how much, and from which month on.

Version 1 comes with the program. Every other version is an administrator's act: a row, and an entry of
the centre's log, from whose copy an auditor computes the figures again. A version never changes, and none
can be made for months whose figures are released already.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from importlib.resources import files
from typing import Annotated, Any, Final, Literal

from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from api import log
from api.database import Connection, Database
from api.index.errors import IndexRefused
from inference.signal import Code, Criterion

KIOSK: Final = "kiosk"
"""The channel of the rating at the counter, the only one with passive signals beside it."""
CHANNELS: Final = (KIOSK, "online", "sms", "call", "portal", "paper")
FACTORS: Final = ("access", "procedure", "officer", "result", "feedback")
Weight = Annotated[int, Field(ge=0, le=1000)]
"""Whole numbers: a weight is the same on every machine."""
_LOCK: Final = 0x66_6F_72_6D
_TOML_PLACE: Final = re.compile(r"at line (\d+), column (\d+)")
REFUSALS: Final[Mapping[str, str]] = {
    "missing": "the formula, {place}: this key is missing",
    "extra_forbidden": "the formula, {place}: there is no such key; take it out",
    "literal_error": "the formula, {place}: write one of {expected}",
    "enum": "the formula, {place}: write one of {expected}",
    "greater_than_equal": "the formula, {place}: write at least {ge}",
    "less_than_equal": "the formula, {place}: write at most {le}",
    "names_missing": "name each factor and each channel, with 0 where it does not count",
    "no_weight": "at least one factor and one channel needs a weight above 0",
    "criteria_missing": "name the factor of each of {criteria}",
    "not_first_day": "a version holds from the first day of a month: change holds_from",
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_from_float"), "the formula, {place}: write a whole number"
    ),
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"),
        "the formula, {place}: write a day such as 2027-01-01",
    ),
}
"""Kind of a fault -> what is said; the pages have these texts in their own languages."""
_UNUSABLE: Final = "the formula, {place}: this value cannot be used"


class Formula(BaseModel):
    """One version of the formula.

    Attributes:
        holds_from: First month it is used for, until the next version's.
        overall: `rating` or `factors`, see formula.toml.
        combination: `ballots` or `fixed`.
        factors: Factor -> its weight in the overall figure.
        channels: Channel -> its weight; 0 leaves it out.
        rating: Criterion of the rating at the counter -> factor.
        criteria: Criterion of a questionnaire -> its weight within its factor; others weigh 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[int, Field(ge=1)]
    holds_from: date
    overall: Literal["rating", "factors"]
    combination: Literal["ballots", "fixed"]
    factors: dict[Literal["access", "procedure", "officer", "result", "feedback"], Weight]
    channels: dict[Literal["kiosk", "online", "sms", "call", "portal", "paper"], Weight]
    rating: dict[Criterion, Literal["access", "procedure", "officer", "result", "feedback"]]
    criteria: dict[Code, Weight] = {}

    @model_validator(mode="after")
    def _whole(self) -> Formula:
        if set(self.factors) != set(FACTORS) or set(self.channels) != set(CHANNELS):
            raise PydanticCustomError("names_missing", "name each factor and each channel")
        if not any(self.factors.values()) or not any(self.channels.values()):
            raise PydanticCustomError("no_weight", "at least one factor and one channel has a weight")
        if set(self.rating) != set(Criterion):
            raise PydanticCustomError("criteria_missing", "name the factor of each criterion")
        if self.holds_from.day != 1:
            raise PydanticCustomError("not_first_day", "a version holds from the first day of a month")
        return self

    def factor_weight(self, factor: str) -> int:
        """Return the weight of a factor in the overall figure; 0 for one that it does not know."""
        return {str(name): weight for name, weight in self.factors.items()}.get(factor, 0)

    def channel_weight(self, channel: str) -> int:
        """Return the weight of a channel; 0 for one that it does not know."""
        return {str(name): weight for name, weight in self.channels.items()}.get(channel, 0)

    def criterion_weight(self, criterion: str) -> int:
        """Return the weight of a criterion within its factor."""
        return self.criteria.get(criterion, 1)


@dataclass(frozen=True, slots=True)
class Decided:
    """A version that was decided.

    Attributes:
        reason: Why, as the log tells; empty for a decision that gave none.
        log_index: Its entry in the centre's log.
    """

    formula: Formula
    decided_by: str
    decided_at: datetime
    reason: str
    log_index: int


@functools.lru_cache(maxsize=1)
def built_in() -> Formula:
    """Return the version that comes with the program."""
    return parse(files("api.index").joinpath("formula.toml").read_text(encoding="utf-8"))


def parse(text: str) -> Formula:
    """Read a formula from TOML.

    Raises:
        IndexRefused: It is no TOML, or no formula; the message names the key.
    """
    try:
        return Formula.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise _no_toml(error) from error
    except ValidationError as error:
        raise _refused(error) from error


def from_document(document: Mapping[str, Any]) -> Formula:
    """Read a formula as `document_of` wrote it.

    Raises:
        IndexRefused: It is none.
    """
    try:
        return Formula.model_validate(document)
    except ValidationError as error:
        raise _refused(error) from error


def document_of(formula: Formula) -> dict[str, Any]:
    """Return a formula as it stands in the log."""
    return formula.model_dump(mode="json")


def choose(versions: Iterable[Formula], month: date) -> Formula:
    """Return the version that holds in a month; of several from the same month the newest.

    Args:
        versions: Those that were decided; version 1 is always there.
        month: First day of the month.
    """
    known = [item for item in (built_in(), *versions) if item.holds_from <= month]
    return max(known, key=lambda item: (item.holds_from, item.version))


def kept_formulas(connection: Connection) -> tuple[Formula, ...]:
    """Return the decided versions, oldest first."""
    rows = connection.execute("SELECT document FROM index_formulas ORDER BY version").fetchall()
    return tuple(from_document(row[0]) for row in rows)


def decided_formulas(connection: Connection) -> tuple[Decided, ...]:
    """Return the decided versions with who decided them when and why, oldest first."""
    rows = connection.execute(
        "SELECT f.document, f.decided_by, f.decided_at, f.log_index, "
        "coalesce(convert_from(l.body, 'UTF8')::jsonb ->> 'reason', '') FROM index_formulas f "
        "LEFT JOIN central_log l ON l.idx = f.log_index ORDER BY f.version"
    ).fetchall()
    return tuple(Decided(from_document(row[0]), row[1], row[2], row[4], row[3]) for row in rows)


def as_toml(formula: Formula) -> str:
    """Return a formula as `parse` reads it."""
    lines = [f"version = {formula.version}", f"holds_from = {formula.holds_from.isoformat()}"]
    lines += [f"overall = {json.dumps(formula.overall)}", f"combination = {json.dumps(formula.combination)}"]
    document = document_of(formula)
    for name in ("factors", "channels", "rating", "criteria"):
        lines += ["", f"[{name}]"]
        lines += [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in document[name].items()]
    return "\n".join(lines) + "\n"


def decide(database: Database, formula: Formula, *, actor: str, reason: str = "") -> int:
    """Make a new version hold, and write it into the log with its reason; returns the log's entry.

    Raises:
        IndexRefused: The version is not the next one, or a month that it would hold in is released.
    """
    with database.transaction() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        newest = max((item.version for item in kept_formulas(connection)), default=built_in().version)
        if formula.version != newest + 1:
            raise IndexRefused(
                "the newest formula is version {newest}: give the new one {following}",
                newest=newest,
                following=newest + 1,
            )
        row = connection.execute("SELECT max(month) FROM index_cells").fetchone()
        if row is not None and row[0] is not None and formula.holds_from <= row[0]:
            raise IndexRefused(
                "figures up to {month} are released: a new formula holds from a later month on",
                month=f"{row[0]:%Y-%m}",
            )
        document = document_of(formula)
        connection.execute(
            "INSERT INTO administrative_acts (actor, act, object) VALUES (%s, 'index-formula', %s)",
            (actor, str(formula.version)),
        )
        body: dict[str, object] = {"actor": actor, "formula": document}
        if reason:
            body["reason"] = reason
        index = log.append(connection, log.Kind.INDEX_FORMULA, body)
        connection.execute(
            "INSERT INTO index_formulas (version, holds_from, document, decided_by, log_index) "
            "VALUES (%s, %s, %s, %s, %s)",
            (formula.version, formula.holds_from, Jsonb(document), actor, index),
        )
    return index


def restore(connection: Connection, leaf: Mapping[str, Any]) -> int:
    """Put a version back that a leaf of the log tells of, after a restore."""
    formula = from_document(leaf["formula"])
    return connection.execute(
        "INSERT INTO index_formulas (version, holds_from, document, decided_by, log_index, decided_at) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            *(formula.version, formula.holds_from, Jsonb(document_of(formula)), leaf["actor"]),
            *(leaf["index"], leaf["logged_at"]),
        ),
    ).rowcount


def _no_toml(error: tomllib.TOMLDecodeError) -> IndexRefused:
    found = _TOML_PLACE.search(str(error))
    if found is None:
        return IndexRefused("the formula is no TOML: its end is missing")
    return IndexRefused(
        "the formula is no TOML: look at line {line}, column {column}", line=found[1], column=found[2]
    )


def _refused(error: ValidationError) -> IndexRefused:
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    values = {name: str(value) for name, value in first.get("ctx", {}).items()}
    text = REFUSALS.get(first["type"], _UNUSABLE)
    return IndexRefused(text, **({"place": place, "criteria": ", ".join(Criterion)} | values))
