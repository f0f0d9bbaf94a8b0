"""The quick canonical form against rfc8785, which is slow and written by others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from consent.canonical import Whole, canonical_serializer
from consent.entry import parse_as
from consent.errors import EntryRefused
from consent.event import Event, EventKind
from consent.record import ConsentRecord, IndicatedBy
from tests.consent.citizens import citizen


@dataclass(frozen=True, slots=True)
class _Inner:
    zeta: str
    alpha: Whole | None
    kind: IndicatedBy


@dataclass(frozen=True, slots=True)
class _Outer:
    name: str
    inner: _Inner
    many: tuple[_Inner, ...]
    at: datetime
    id: UUID
    yes: bool
    ab: str
    a: int


_ADAPTER = TypeAdapter(_Outer)
_TEXT = st.text(st.characters(codec="utf-8"))
_INNER = st.builds(
    _Inner, _TEXT, st.none() | st.integers(-(2**53) + 1, 2**53 - 1), st.sampled_from(IndicatedBy)
)


@given(
    st.builds(
        _Outer,
        _TEXT,
        _INNER,
        st.lists(_INNER, max_size=3).map(tuple),
        st.datetimes(timezones=st.just(UTC)),
        st.uuids(),
        st.booleans(),
        _TEXT,
        st.integers(-(2**53) + 1, 2**53 - 1),
    )
)
@settings(max_examples=300, deadline=None)
def test_the_bytes_are_those_of_rfc_8785(outer: _Outer) -> None:
    assert canonical_serializer(_ADAPTER).to_json(outer) == rfc8785.dumps(
        _ADAPTER.dump_python(outer, mode="json")
    )


def _event(record: ConsentRecord) -> Event:
    return Event(
        kind=EventKind.OFFERED,
        record_id=record.record_id,
        session_id=record.session_id,
        at=datetime(2026, 11, 2, 8, tzinfo=UTC),
        monotonic_ms=1,
        boot="b",
        indicated_by=IndicatedBy.SYSTEM,
        method="offer",
        record=record,
        notice=record.notice,
    )


def test_a_real_offer_is_written_as_rfc_8785() -> None:
    event = _event(citizen())
    assert event.canonical() == rfc8785.dumps(event.document())
    assert parse_as("offered", event.canonical()) == event


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"at"', b'{ "at"'),
        (b'"boot":"b"', b'"boot":"\\u0062"'),
        (b'"monotonic_ms":1', b'"monotonic_ms":1.0'),
        (b'08:00:00Z"', b'08:00:00+00:00"'),
        (b'"boot":"b",', b'"boot":"b","boot":"b",'),
        (b'"dwell_ms":null,', b""),
        (b'"kind":"offered"', b'"kind":"shown"'),
    ],
)
def test_another_spelling_of_an_entry_is_refused(before: bytes, after: bytes) -> None:
    body = _event(citizen()).canonical()
    assert before in body
    with pytest.raises(EntryRefused):
        parse_as("offered", body.replace(before, after, 1))


def test_a_number_that_json_readers_read_apart_is_refused() -> None:
    body = replace(_event(citizen()), monotonic_ms=2**53).canonical()
    with pytest.raises(ValidationError, match="monotonic_ms"):
        Event.parse(body)
