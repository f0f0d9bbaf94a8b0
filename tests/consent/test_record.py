"""Records: canonical, bounded, and without a place for what must never be in them."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from itertools import pairwise
from typing import Any, get_type_hints

import pytest
from pydantic import ValidationError

from consent.errors import TransitionRefused
from consent.event import Event
from consent.purpose import Purpose
from consent.record import Answer, ConsentRecord, new_id
from consent.state import DECIDED, ERASING, PERMITTING, TRANSITIONS, State, check_step
from tests.consent.citizens import citizen

FORBIDDEN = ("face_", "image_", "voice_", "name", "score", "embedding", "text", "number", "officer", "media")


def test_a_record_survives_its_canonical_form() -> None:
    record = citizen((Purpose.IMAGE, Purpose.VOICE, Purpose.QUOTES))
    body = record.canonical()
    assert ConsentRecord.parse(body) == record
    assert ConsentRecord.parse(body).canonical() == body
    keys = list(json.loads(body))
    assert keys == sorted(keys)


def test_every_answer_starts_open_and_each_category_is_called_sensitive() -> None:
    record = citizen()
    assert {item.answer for item in record.decisions} == {Answer.OPEN}
    assert record.given() == frozenset()
    assert [item.code for item in record.categories] == ["face-image", "voice-sample"]
    assert all(item.sensitive and "nhạy cảm" in item.sentence for item in record.categories)


def test_a_record_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        citizen().counter = "quay-2"  # type: ignore[misc] # the point of the test


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("validity_s", 3601),
        ("validity_s", 0),
        ("one_transaction", False),
        ("counter", "Nguyễn Văn A"),
        ("subject_pseudonym", "012345678901"),
        ("decisions", []),
        ("schema_version", 1),
        ("score", 0.5),
    ],
)
def test_what_is_out_of_bounds_is_refused(field: str, value: object) -> None:
    document = json.loads(citizen().canonical()) | {field: value}
    with pytest.raises(ValidationError, match=field):
        ConsentRecord.parse(json.dumps(document).encode())


def _names(kind: Any) -> set[str]:
    """All field names that can be reached from a dataclass."""
    found: set[str] = set()
    waiting, seen = [kind], set()
    while waiting:
        item = waiting.pop()
        if is_dataclass(item) and item not in seen:
            seen.add(item)
            found |= {entry.name for entry in fields(item)}
            waiting += list(get_type_hints(item).values())
        waiting += list(getattr(item, "__args__", ()))
    return found


@pytest.mark.parametrize("kind", [ConsentRecord, Event])
def test_no_field_could_hold_a_person_or_a_score(kind: type) -> None:
    names = _names(kind)
    assert {"sentence", "sha256", "purpose"} <= names, "the walk does not reach the nested parts"
    assert [name for name in names if any(word in name for word in FORBIDDEN)] == []


def _fields_of(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict):
        return {found for name, inner in value.items() for found in _fields_of(inner, f"{path}.{name}")}
    if isinstance(value, list) and value:
        return {found for item in value for found in _fields_of(item, f"{path}[]")}
    return {path.removeprefix(".")}


def test_the_logged_record_holds_these_fields_and_no_other() -> None:
    """A new field is a decision about the citizen's data: it is made here, in the open.

    No list of events, no evidence, no erasure: those are of the log and of the exported document.
    """
    record = citizen((Purpose.IMAGE, Purpose.VOICE, Purpose.QUOTES))
    assert _fields_of(json.loads(record.canonical())) == {
        "schema_version",
        "record_id",
        "receipt_id",
        "session_id",
        "subject_pseudonym",
        "counter",
        "device_key_id",
        "notice.notice_id",
        "notice.version",
        "notice.sha256",
        "notice.language",
        "notice.channel",
        "offered_at",
        "shown_at",
        "decided_at",
        "dwell_ms",
        "decisions[].purpose",
        "decisions[].answer",
        "categories[].code",
        "categories[].sensitive",
        "categories[].sentence",
        "terms.terms_id",
        "terms.version",
        "terms.sha256",
        "parties.controller",
        "parties.processor",
        "parties.contact",
        "validity_s",
        "one_transaction",
        "withdrawal_digest",
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("events", []),
        ("evidence", {}),
        ("erasure", None),
        ("face", "aGVsbG8="),
        ("citizen_name", "Nguyễn Văn A"),
        ("citizen_number", "012345678901"),
    ],
)
def test_a_field_that_is_not_of_the_record_is_refused(field: str, value: object) -> None:
    document = json.loads(citizen().canonical()) | {field: value}
    with pytest.raises(ValidationError, match=field):
        ConsentRecord.parse(json.dumps(document).encode())


def test_a_record_stays_small() -> None:
    assert len(citizen().canonical()) < 1400, "terms are named by their hash and not repeated"


def test_ids_are_version_7_and_in_order() -> None:
    ids = [new_id() for _ in range(200)]
    assert {item.version for item in ids} == {7}
    assert all(first < second for first, second in pairwise(ids))


ALLOWED = {
    ("offered", "given"),
    ("offered", "refused"),
    ("offered", "deferred"),
    ("given", "withdrawn"),
    ("given", "expired"),
    ("given", "completed"),
    ("given", "revoked"),
    ("given", "invalidated"),
    ("completed", "withdrawn"),
    ("expired", "withdrawn"),
}


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_only_the_steps_of_the_specification_exist(before: State, after: State) -> None:
    if (before.value, after.value) in ALLOWED:
        check_step(before, after)
    else:
        with pytest.raises(TransitionRefused, match=f"{before} cannot become {after}"):
            check_step(before, after)


def test_every_state_is_in_the_table_and_one_alone_permits() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {State.GIVEN} == PERMITTING
    assert {State.GIVEN, State.REFUSED} == DECIDED
    assert {State.WITHDRAWN, State.INVALIDATED} == ERASING


def test_replacing_an_answer_shows_in_what_is_given() -> None:
    record = citizen()
    decisions = (replace(record.decisions[0], answer=Answer.GIVEN), record.decisions[1])
    assert replace(record, decisions=decisions).given() == {Purpose.IMAGE}
