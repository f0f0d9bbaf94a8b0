"""Questionnaires as versioned data: factors, criteria, levels, in Vietnamese and English.

A version is one TOML file in `questionnaires/`. Once ballots were taken by it, its hash is in the database,
and a file that was changed afterwards is refused: make a new version instead.
"""

from __future__ import annotations

import functools
import hashlib
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.database import Connection
from api.errors import TableRefused
from api.spreadsheets.cells import BrokenCell, CellError, CellValue, Formula, folded, text_of
from api.spreadsheets.faults import Reason
from api.spreadsheets.header import Column
from inference.signal import Factor

DEFAULT: Final = "sipas-1"
_WORDS_KEPT: Final = 1000
_Text = Annotated[str, Field(min_length=1, max_length=200)]
_Version = Annotated[str, Field(pattern=r"^[a-z0-9]+(?:[.-][a-z0-9]+)*$", max_length=40)]
_CriterionCode = Annotated[str, Field(pattern=r"^[a-z]+(?:[._][a-z]+)*$", max_length=64)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Level(_Frozen):
    """A level of answers and the words that offices write for it."""

    vi: _Text
    en: _Text
    words: tuple[str, ...] = ()


class Question(_Frozen):
    """One criterion."""

    code: _CriterionCode
    vi: _Text
    en: _Text
    titles: tuple[str, ...] = ()


class FactorQuestions(_Frozen):
    """The criteria of one factor."""

    code: Factor
    vi: _Text
    en: _Text
    only_after_feedback: bool = False
    criteria: Annotated[tuple[Question, ...], Field(min_length=1)]


class Questionnaire(_Frozen):
    """One version.

    Attributes:
        satisfied_from: The lowest level, from 1, that counts as satisfied.
        levels: From the lowest to the highest.
    """

    version: _Version
    satisfied_from: Annotated[int, Field(ge=2)]
    levels: Annotated[tuple[Level, ...], Field(min_length=2, max_length=10)]
    factors: Annotated[tuple[FactorQuestions, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        codes = [question.code for question in self.questions]
        if len(set(codes)) != len(codes):
            msg = "a criterion stands there twice"
            raise ValueError(msg)
        if self.satisfied_from > len(self.levels):
            msg = "satisfied_from is no level"
            raise ValueError(msg)
        words = [folded(word) for level in self.levels for word in {level.vi, level.en, *level.words}]
        if len(set(words)) != len(words):
            msg = "a word means two levels"
            raise ValueError(msg)
        return self

    @property
    def questions(self) -> tuple[Question, ...]:
        """The criteria in their order; an answer's position is its place here."""
        return tuple(question for factor in self.factors for question in factor.criteria)

    @property
    def factor_codes(self) -> tuple[str, ...]:
        """The factor of each criterion, in their order."""
        return tuple(factor.code.value for factor in self.factors for _ in factor.criteria)

    @property
    def after_feedback(self) -> frozenset[str]:
        """Criteria that only those answer who gave feedback."""
        return frozenset(
            question.code
            for factor in self.factors
            if factor.only_after_feedback
            for question in factor.criteria
        )

    def columns(self) -> tuple[Column, ...]:
        """Return a column for each criterion."""
        return tuple(Column(item.code, (item.vi, item.en, *item.titles)) for item in self.questions)

    def reader(self) -> LevelReader:
        """Return what turns cells into levels."""
        return LevelReader(self)


class LevelReader:
    """Turns cells into levels: 1 (the lowest) to the highest, words in Vietnamese or English, initials."""

    def __init__(self, questionnaire: Questionnaire) -> None:
        """Learn the words."""
        self._levels = len(questionnaire.levels)
        self._known: dict[str, int] = {}
        for number, level in enumerate(questionnaire.levels, 1):
            for word in (str(number), level.vi, level.en, *level.words):
                self._known[folded(word)] = number
        self._seen: dict[str, int] = {}

    def seen(self, value: CellValue) -> int | None:
        """Return the level of a cell as it was written before: most cells are, and this is quick."""
        return self._seen.get(value) if type(value) is str else None

    def level(self, value: CellValue) -> int | None:
        """Return the level in a cell, None where nothing stands there.

        Raises:
            CellError: It is no level.
        """
        if value is None:
            return None
        text = text_of(value)
        if not text:
            return None
        # 4,5 and -1 are no levels, and would be read as one if the punctuation fell away.
        known = self._known.get(folded(text)) if not any(char in "+-,.=*/" for char in text) else None
        if known is None or isinstance(value, bool):
            raise CellError(Reason.NOT_A_LEVEL)
        if (
            isinstance(value, str)
            and not isinstance(value, Formula | BrokenCell)
            and len(self._seen) < _WORDS_KEPT
        ):
            self._seen[value] = known
        return known


@functools.cache
def questionnaires() -> Mapping[str, Questionnaire]:
    """Return every version in the program."""
    folder = files("api.survey").joinpath("questionnaires")
    found = {}
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if file.name.endswith(".toml"):
            read = Questionnaire.model_validate(tomllib.loads(file.read_text("utf-8")))
            found[read.version] = read
    return found


def questionnaire_of(version: str) -> Questionnaire:
    """Return a version.

    Raises:
        TableRefused: There is none.
    """
    known = questionnaires()
    if version not in known:
        raise TableRefused(
            "There is no questionnaire '{version}': use one of {known}.",
            version=version[:40],
            known=", ".join(known),
        )
    return known[version]


def fingerprint(questionnaire: Questionnaire) -> bytes:
    """Return the hash of what a version asks and how it counts."""
    return hashlib.sha256(questionnaire.model_dump_json().encode()).digest()


def register(connection: Connection, questionnaire: Questionnaire) -> None:
    """Keep a version in the database when it is used first.

    Raises:
        TableRefused: The version was used before and asked for something else.
    """
    mark = fingerprint(questionnaire)
    connection.execute(
        "INSERT INTO questionnaires (version, sha256, levels, satisfied_from, criteria, factors) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            questionnaire.version,
            mark,
            len(questionnaire.levels),
            questionnaire.satisfied_from,
            [question.code for question in questionnaire.questions],
            list(questionnaire.factor_codes),
        ),
    )
    row = connection.execute(
        "SELECT sha256 FROM questionnaires WHERE version = %s", (questionnaire.version,)
    ).fetchone()
    if row is None or bytes(row[0]) != mark:
        raise TableRefused(
            "The questionnaire '{version}' was changed after ballots had been taken by it: restore it and "
            "give the changed one a version of its own.",
            version=questionnaire.version,
        )
