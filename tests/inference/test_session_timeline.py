"""The timeline as a picture that a screen reader can announce, and as a table."""

from __future__ import annotations

import csv
import io
from types import MappingProxyType
from xml.etree import ElementTree as ET

import pytest

from inference.anonymizer import Doubt
from inference.camera_view import CameraTrouble
from inference.face_moments import FaceEvidence
from inference.face_quality import Rejection
from inference.inspection import Blind, Occasion, SessionRecord, Sight, SightMoment
from inference.inspection_words import LANGUAGES
from inference.session_timeline import Timeline
from inference.utterance_reader import SpokenEvidence
from inference.voice_evidence import VoiceEvidence

NS = 1_000_000_000
START = 1_700_000_000 * NS
LABEL = "SYNTHETIC: <invented> & drawn"
SVG = "{http://www.w3.org/2000/svg}"


def sight(at_s: float, kind: Sight = Sight.READ, valence: float | None = None) -> SightMoment:
    rejection = Rejection.BLURRED if kind is Sight.REFUSED else None
    confidence = None if valence is None else 0.8
    return SightMoment(START + int(at_s * NS), kind, rejection, valence, confidence, 1, 1)


def said(at_s: float, positive: float, negative: float) -> SpokenEvidence:
    start = START + int(at_s * NS)
    neutral = 1 - positive - negative
    return SpokenEvidence(start, start + NS, negative, neutral, positive, MappingProxyType({}), None)


@pytest.fixture
def record() -> SessionRecord:
    """A visit of 75 s: neutral, then a blur, then two people, then a smile; three utterances."""
    sights = [sight(step / 4, valence=-0.1) for step in range(80)]
    sights += [sight(20 + step / 4, Sight.REFUSED) for step in range(8)]
    sights += [sight(22 + step / 4, Sight.SECOND_FACE) for step in range(12)]
    sights += [sight(25 + step / 4, valence=0.9) for step in range(200)]
    voice = VoiceEvidence(utterances=(said(3, 0.8, 0.1), said(30, 0.1, 0.1), said(60, 0.0, 0.9)))
    return SessionRecord(
        started_ns=START,
        ended_ns=START + 75 * NS,
        sights=sights,
        blind=[
            Blind(START + 50 * NS, START + 52 * NS, None),
            Blind(START + 60 * NS, START + 74 * NS, CameraTrouble.DEFOCUSED),
        ],
        face=FaceEvidence(),
        voice=voice,
    )


@pytest.mark.parametrize("language", ["vi", "en"])
def test_the_picture_says_what_it_shows(record: SessionRecord, language: str) -> None:
    words = LANGUAGES[language]
    root = ET.fromstring(Timeline(record, words, LABEL).picture())  # noqa: S314 - our own picture
    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert title.text == words.timeline
    assert "280" in (description.text or ""), "readings"
    assert LABEL in (description.text or "")
    shown = [found.text for found in root.iter(f"{SVG}text")]
    assert {"00:00", "00:30", "01:00"} <= set(shown), "minutes and seconds"
    assert {
        words.start,
        words.end,
        words.second_face,
        words.camera,
        words.troubles["defocused"],
        LABEL,
    } <= set(shown)


def test_every_mark_is_drawn_once(record: SessionRecord) -> None:
    root = ET.fromstring(Timeline(record, LANGUAGES["en"], None).picture())  # noqa: S314 - our own picture
    dots = [found for found in root.iter(f"{SVG}circle") if found.attrib["r"] == "2.2"]
    assert len(dots) == 280 + 1, "and one in the key"
    means = [found for found in root.iter(f"{SVG}polyline") if found.attrib["stroke-width"] == "2.6"]
    assert len(means) == 2 + 1, "nothing joins the readings before and after the gap of five seconds"


def test_nobody_is_said_and_drawn() -> None:
    empty = SessionRecord(started_ns=START, ended_ns=START + 12 * NS)
    timeline = Timeline(empty, LANGUAGES["vi"], None)
    assert LANGUAGES["vi"].no_reading in timeline.picture()
    assert timeline.told() == LANGUAGES["vi"].no_reading
    assert timeline.table() == "kind,from_s,to_s,value,low,high,note\n"


def test_a_session_that_never_began_is_a_picture_too() -> None:
    assert ET.fromstring(Timeline(SessionRecord(), LANGUAGES["en"], None).picture()).tag == f"{SVG}svg"  # noqa: S314 - our own picture


def test_the_table_holds_what_is_drawn_and_no_words(record: SessionRecord) -> None:
    rows = list(csv.DictReader(io.StringIO(Timeline(record, LANGUAGES["en"], LABEL).table())))
    count = {kind: sum(row["kind"] == kind for row in rows) for kind in {row["kind"] for row in rows}}
    assert count.pop("mean") > 100
    assert count == {"reading": 280, "refused": 8, "second_face": 12, "utterance": 3, "camera": 2}
    assert [row["value"] for row in rows if row["kind"] == "utterance"] == ["positive", "neutral", "negative"]
    assert [float(row["from_s"]) for row in rows] == sorted(float(row["from_s"]) for row in rows)
    assert {row["note"] for row in rows if row["kind"] == "refused"} == {"blurred"}


@pytest.mark.parametrize("language", ["vi", "en"])
def test_every_state_has_a_word_in_every_language(language: str) -> None:
    words = LANGUAGES[language]
    assert set(words.sights) == set(Sight)
    assert set(words.occasions) == set(Occasion)
    assert set(words.rejections) >= {reason.value for reason in Rejection}
    assert set(words.doubts) >= {doubt.value for doubt in Doubt}
    assert set(words.troubles) >= {trouble.value for trouble in CameraTrouble}
