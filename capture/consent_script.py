"""Consent files: what the citizen of a recording decided, for replays and the demo.

A recording `NAME.mp4` may have `NAME.consent.toml` beside it. Without one (and without
an explicit `--consent`), nothing of the recording is read.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from capture.errors import CaptureError
from consent.errors import TransitionRefused
from consent.notice import NoticeShelf
from consent.purpose import Purpose
from consent.record import Channel, IndicatedBy, draft
from consent.state import State
from consent.terms import load_terms

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from consent.ledger import ConsentStore

_log = structlog.get_logger(__name__)
_OFFERED: Final = (Purpose.IMAGE, Purpose.VOICE)


class ConsentScriptError(CaptureError, ValueError):
    """A consent file is missing or cannot be used."""


class ConsentScript(BaseModel):
    """What one citizen does at the kiosk.

    Attributes:
        decision: `given`, `refused`, or `silent` (no tap until the time-out, which means no).
        purposes: What is given; empty unless the decision is `given`.
        decides_after_s: Seconds between the notice and the tap.
        withdraws_after_s: Seconds of capture after which the citizen withdraws.
        language: Language of the notice that was shown.
        synthetic: What a made recording says of itself; None where it may show real people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    decision: Literal["given", "refused", "silent"]
    purposes: frozenset[Purpose] = frozenset()
    decides_after_s: Annotated[float, Field(ge=0, le=600)] = 1.0
    withdraws_after_s: Annotated[float, Field(ge=0, le=3600)] | None = None
    language: Literal["vi", "en"] = "vi"
    synthetic: Annotated[str, Field(min_length=10, max_length=300)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.decision == "given") != bool(self.purposes):
            msg = "purposes are named when, and only when, the decision is 'given'"
            raise ValueError(msg)
        if self.withdraws_after_s is not None and self.decision != "given":
            msg = "only what was given can be withdrawn"
            raise ValueError(msg)
        return self


def consent_file_of(media: Path) -> Path:
    """Return where the consent file of a recording is looked for."""
    return media.with_suffix(".consent.toml")


def load_consent_script(media: Path) -> ConsentScript:
    """Read the consent file beside a recording.

    Raises:
        ConsentScriptError: There is none, or it cannot be used; nothing may be read then.
    """
    path = consent_file_of(media)
    if not path.exists():
        raise ConsentScriptError(
            f"{media} has no consent file {path.name} beside it, so nothing of it is read. Write one "
            '(decision = "given", purposes = ["image", "voice"]), or say what was consented to with '
            "--consent image,voice."
        )
    return read_consent_script(path)


def read_consent_script(path: Path) -> ConsentScript:
    """Read a consent file.

    Raises:
        ConsentScriptError: It is not there or cannot be used.
    """
    try:
        return ConsentScript.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConsentScriptError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'file'}: {p['msg']}" for p in error.errors())
        raise ConsentScriptError(f"{path} cannot be used: {problems}") from error


def offer_scripted(
    store: ConsentStore, counter: str, script: ConsentScript, *, session_id: UUID | None = None
) -> UUID:
    """Log that the citizen of a recording is asked; returns the record's id."""
    notice = NoticeShelf.load().current(script.language)
    record = draft(
        counter=counter,
        notice=notice.reference(_OFFERED, Channel.FILE),
        purposes=_OFFERED,
        categories=notice.categories(_OFFERED),
        terms=load_terms(),
        offered_at=datetime.now(UTC),
        session_id=session_id,
    )
    store.offer(record)
    store.show(record.record_id, record.notice, "file")
    return record.record_id


def decide_scripted(store: ConsentStore, record_id: UUID, script: ConsentScript) -> State:
    """Log what the citizen of a recording decides; returns the state it leads to."""
    if script.decision == "silent":
        store.apply(record_id, State.DEFERRED, IndicatedBy.SYSTEM, "timeout")
        return State.DEFERRED
    return store.decide(
        record_id,
        {purpose: purpose in script.purposes for purpose in _OFFERED},
        IndicatedBy.CITIZEN,
        "file",
        dwell_ms=round(script.decides_after_s * 1000),
    )


def withdraw_scripted(store: ConsentStore, record_id: UUID) -> None:
    """Log that the citizen of a recording withdraws, unless the session is over already."""
    try:
        store.apply(record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "file")
    except TransitionRefused:
        _log.info("nothing left to withdraw", record=str(record_id))
