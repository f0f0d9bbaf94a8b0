"""The waist of the system: the small things that leave the counter, signals and ballots.

A signal states how one consented session looked, by satisfaction factor, with an
interval and a way to say "not enough evidence". It has no field that could hold
media, text, an embedding or anything about the officer: strings are codes with a
fixed alphabet, everything else is a bounded number, a time or an identifier.

Only the standard library and pydantic are imported here, so that the central
program can use it without any perception library.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_SESSION = timedelta(hours=4)

Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$")]
"""Lower-case identifier of at most 64 characters: counters, models, versions."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Unit = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Signed = Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0.0, le=MAX_SESSION.total_seconds(), allow_inf_nan=False)]


class Factor(StrEnum):
    """What people are satisfied with: the five SIPAS factors and time and cost.

    SIPAS counts time and cost under procedure and result; the two-level counter
    rating asks for them apart, and so do we.
    """

    ACCESS = "access"
    PROCEDURE = "procedure"
    OFFICER = "officer"
    RESULT = "result"
    FEEDBACK = "feedback"
    TIME_COST = "time_cost"


class Abstention(StrEnum):
    """Why a figure is withheld."""

    NO_EVIDENCE = "no_evidence"
    TOO_LITTLE_EVIDENCE = "too_little_evidence"
    LOW_QUALITY = "low_quality"
    CONFLICTING_EVIDENCE = "conflicting_evidence"
    NOT_PERMITTED = "not_permitted"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, ser_json_inf_nan="null")


class Estimate(_Frozen):
    """A score in [0, 1] (0 dissatisfied, 1 satisfied) with its 90 % interval, or an abstention.

    The score is a passive, uncalibrated signal: it is not a share of satisfied people.
    """

    score: Unit | None = None
    low: Unit | None = None
    high: Unit | None = None
    abstained: Abstention | None = None

    @model_validator(mode="after")
    def _score_or_abstention(self) -> Self:
        if self.abstained is not None:
            if (self.score, self.low, self.high) != (None, None, None):
                msg = "an abstained estimate carries no figures"
                raise ValueError(msg)
            return self
        if self.score is None or self.low is None or self.high is None:
            msg = "an estimate has score, low and high, or says why it abstained"
            raise ValueError(msg)
        if not self.low <= self.score <= self.high:
            msg = "an estimate satisfies low <= score <= high"
            raise ValueError(msg)
        return self


class FactorEstimate(_Frozen):
    """The estimate of one factor and the number of utterances that spoke about it."""

    factor: Factor
    estimate: Estimate
    mentions: Annotated[int, Field(ge=0, le=10_000)] = 0


class Change(_Frozen):
    """Mood at the end of the session less mood at its start, with its 90 % interval.

    In [-1, 1]; positive when the citizen left in a better mood than they came in.
    """

    delta: Signed | None = None
    low: Signed | None = None
    high: Signed | None = None
    abstained: Abstention | None = None

    @model_validator(mode="after")
    def _delta_or_abstention(self) -> Self:
        figures = (self.delta, self.low, self.high)
        if self.abstained is not None:
            if figures != (None, None, None):
                msg = "an abstained change carries no figures"
                raise ValueError(msg)
            return self
        if self.delta is None or self.low is None or self.high is None:
            msg = "a change has delta, low and high, or says why it abstained"
            raise ValueError(msg)
        if not self.low <= self.delta <= self.high:
            msg = "a change satisfies low <= delta <= high"
            raise ValueError(msg)
        return self


class Quality(_Frozen):
    """How much evidence the signal stands on and what was wrong with it.

    Attributes:
        face_s: Seconds in which the citizen's face was read.
        speech_s: Seconds of the citizen's own speech that were read.
        utterances: Citizen utterances that gave text.
        noise_dbfs: Level of the citizen's channel outside speech; None without voice.
        gap_s: Seconds in which a permitted device gave nothing.
        gaps: Number of such gaps.
        dropped_s: Seconds of speech dropped because the speaker was unsure.
    """

    face_s: Seconds = 0.0
    speech_s: Seconds = 0.0
    utterances: Annotated[int, Field(ge=0, le=100_000)] = 0
    noise_dbfs: Annotated[float, Field(ge=-120.0, le=0.0, allow_inf_nan=False)] | None = None
    gap_s: Seconds = 0.0
    gaps: Annotated[int, Field(ge=0, le=100_000)] = 0
    dropped_s: Seconds = 0.0


class ModelVersion(_Frozen):
    """One network that took part: its card's name and version, and the hash of its file."""

    name: Code
    version: Code
    sha256: Sha256


class Signal(_Frozen):
    """The result of one consented session at one counter.

    `window_start` is part of the primary key at the centre, so it is inside the
    signed payload. Identifiers are UUIDv7 made on the edge.
    """

    schema_version: Literal[1] = 1
    signal_id: UUID
    session_id: UUID
    consent_record_id: UUID
    counter: Code
    window_start: AwareDatetime
    window_end: AwareDatetime
    image_permitted: bool
    voice_permitted: bool
    overall: Estimate
    factors: Annotated[tuple[FactorEstimate, ...], Field(max_length=len(Factor))]
    change: Change
    quality: Quality
    models: Annotated[tuple[ModelVersion, ...], Field(max_length=16)]
    software: Code

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.window_end < self.window_start:
            msg = "a session does not end before it starts: check the clock of the edge"
            raise ValueError(msg)
        if self.window_end - self.window_start > MAX_SESSION:
            msg = f"a session lasts at most {MAX_SESSION}"
            raise ValueError(msg)
        named = [item.factor for item in self.factors]
        if len(set(named)) != len(named):
            msg = "each factor appears at most once"
            raise ValueError(msg)
        if not (self.image_permitted or self.voice_permitted):
            msg = "a signal rests on at least one permitted purpose"
            raise ValueError(msg)
        return self

    def day(self) -> datetime:
        """Return midnight (UTC) of the day on which the session started."""
        return self.window_start.replace(hour=0, minute=0, second=0, microsecond=0)


class Criterion(StrEnum):
    """What the two-level counter rating asks for, in the order of the form."""

    INFORMATION_FACILITIES = "information_facilities"
    DOSSIER_RULES = "dossier_rules"
    OFFICER_ATTITUDE = "officer_attitude"
    TIME_COST = "time_cost"


def _is_none(value: object) -> bool:
    return value is None


class Ballot(_Frozen):
    """One citizen's own rating at the counter: two levels, four criteria.

    It rests on no consent to capture and says nothing about that choice.

    Attributes:
        session_id: The service it speaks of; removed where a withdrawal asks for it.
        satisfied: True or false for every criterion.
        procedure: Code of what the service was about, a fact about the service and not about its citizen;
            None where nobody said. It is left out of the document then, as edges wrote it before the field.
    """

    schema_version: Literal[1] = 1
    ballot_id: UUID
    counter: Code
    cast_at: AwareDatetime
    session_id: UUID | None
    satisfied: dict[Criterion, bool]
    procedure: Annotated[Code | None, Field(exclude_if=_is_none)] = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if set(self.satisfied) != set(Criterion):
            msg = "a ballot answers each of the four criteria"
            raise ValueError(msg)
        return self

    @property
    def overall(self) -> bool:
        """Whether the citizen is satisfied: with all four criteria."""
        return all(self.satisfied.values())
