"""A JSON document of ballots as a table: the same rows, checked in the same way as those of files.

Fields are the names of columns (`day`, `unit`, …) and the codes of criteria; others stay unread. What is no
object, or has a field twice, costs its own ballot and no other one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.errors import DocumentUnreadable, TableRefused
from api.spreadsheets.cells import CellValue, Formula, Nested, is_empty
from api.spreadsheets.csv_rows import RawRow
from api.spreadsheets.encodings import FileFacts, examine
from api.spreadsheets.faults import Fault, Reason
from api.spreadsheets.header import Column
from api.spreadsheets.tables import Table, table_of
from api.survey.channels import IMPORTED, Channel

_LONGEST_NUMBER: Final = 40
"""Digits; what is longer is no number that a ballot can hold, and stays text."""


class _TwiceGiven(dict[str, Any]):
    """An object in which a field stands twice: which of the two is meant nobody knows."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: Channel | None = None
    questionnaire: Annotated[str, Field(max_length=40)] | None = None
    ballots: list[Any]


@dataclass(frozen=True, slots=True)
class BallotDocument:
    """What a system sent.

    Attributes:
        channel: Of ballots that name none.
        questionnaire: Version that they answer, where the document says so.
        ballots: As they came.
    """

    facts: FileFacts
    channel: Channel | None
    questionnaire: str | None
    ballots: Sequence[object]

    def table(self, _path: Path, columns: Sequence[Column]) -> Table:
        """Return the ballots as a table; a row's line is its place in the list, from 1."""
        names = {column.name for column in columns}
        present = {
            name for ballot in self.ballots if isinstance(ballot, dict) for name in ballot if name in names
        }
        return table_of(self.facts, columns, frozenset(present), self._rows(columns))

    def _rows(self, columns: Sequence[Column]) -> Iterator[RawRow | Fault]:
        for line, ballot in enumerate(self.ballots, 1):
            if isinstance(ballot, _TwiceGiven):
                yield Fault(line, "", "", "", Reason.FIELD_TWICE)
                continue
            if not isinstance(ballot, dict):
                yield Fault(line, "", "", "", Reason.NOT_AN_OBJECT)
                continue
            cells = tuple(_cell(ballot.get(column.name)) for column in columns)
            if all(map(is_empty, cells)):  # a line without anything is no ballot in a file; here it was meant
                yield Fault(line, "", "", "", Reason.NO_ANSWERS)
                continue
            yield RawRow(line, cells)


def read_document(path: Path) -> BallotDocument:
    """Read a document.

    Raises:
        DocumentUnreadable: It is no JSON in UTF-8.
        TableRefused: It is none of ballots, or has no ballot.
    """
    facts = examine(path)
    try:
        found = json.loads(
            path.read_bytes().decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=str,
        )
    except UnicodeDecodeError:
        raise DocumentUnreadable("The body is no JSON: it is not in UTF-8.") from None
    except json.JSONDecodeError as error:
        raise DocumentUnreadable(
            "The body is no JSON: line {line}, character {column}.", line=error.lineno, column=error.colno
        ) from None
    except RecursionError:
        raise DocumentUnreadable("The body is no JSON of ballots: it is nested too deeply.") from None
    try:
        if isinstance(found, _TwiceGiven):
            raise TableRefused("A field of the document stands there twice.")
        document = _Document.model_validate(found)
    except ValidationError:
        raise TableRefused(
            "The document is not of the form {form}.",
            form='{"channel": …, "questionnaire": …, "ballots": [{…}, …]}',
        ) from None
    if document.channel is not None and document.channel not in IMPORTED:
        raise TableRefused("Ballots of the screen at the counter are sent by its computer alone.")
    if not document.ballots:
        raise TableRefused("The document has no ballot.")
    return BallotDocument(facts, document.channel, document.questionnaire, document.ballots)


def _cell(value: object) -> CellValue:
    if isinstance(value, str):
        return Formula(value) if value[:1] == "=" else value
    if isinstance(value, dict | list):
        return Nested("{…}" if isinstance(value, dict) else "[…]")
    assert value is None or isinstance(value, int | float)  # noqa: S101 - JSON has nothing else
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _TwiceGiven(found)


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _LONGEST_NUMBER else text


def _float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text
