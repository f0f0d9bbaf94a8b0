"""Terms: complete in both languages, named by their hash, never edited after publication."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import pytest

from consent.errors import NoticeError
from consent.notice import NoticeShelf
from consent.purpose import Purpose
from consent.record import TermsReference
from consent.terms import find_terms, load_terms, parse_terms
from tests.consent.citizens import citizen

PUBLISHED = {
    "1.1": "ee0df6126cd399440cd629602e33ca75e72d3d81c9cfe344a7e3077de0a42286",
    "1.2": "a8f69e023afa2240472acdcdfdb32d9a43b80242074d306acfda424e6725c95d",
}
"""What was published never changes: other terms are a new version with its own hash here."""


@pytest.fixture
def text() -> str:
    return resources.files("consent").joinpath("notices/terms-1.1.toml").read_text("utf-8")


def test_published_terms_are_never_edited() -> None:
    assert load_terms().version == max(PUBLISHED)
    for version, sha256 in PUBLISHED.items():
        reference = TermsReference("counter-terms", version, sha256)
        assert find_terms(reference).reference() == reference


def test_a_record_leads_to_its_terms() -> None:
    record = citizen()
    terms = find_terms(record.terms)
    assert terms.reference() == record.terms
    assert record.terms.sha256 == PUBLISHED[record.terms.version]


def test_terms_speak_of_everything_that_is_asked_and_kept() -> None:
    terms = load_terms()
    assert set(terms.purposes) == set(Purpose)
    categories = {item.code for item in NoticeShelf.load().current("vi").categories(Purpose)}
    kept = {item.category: item.days for item in terms.retention}
    assert categories <= set(kept)
    assert (kept["face-image"], kept["voice-sample"]) == (0, 0), "never stored, as the notice says"
    assert {"kiosk-button", "receipt-code"} <= set(terms.withdrawal_methods)
    assert {"withdraw", "access", "correct", "delete", "restrict", "object"} <= set(terms.rights)


def test_the_agency_names_itself_without_changing_the_document() -> None:
    named = load_terms(controller="UBND phường Hạ Long", contact="0203 000 000", processor="Công ty A")
    assert (named.agency().controller, named.agency().processor) == ("UBND phường Hạ Long", "Công ty A")
    assert named.reference() == load_terms().reference()


def test_terms_that_are_gone_or_edited_are_missed() -> None:
    reference = load_terms().reference()
    with pytest.raises(NoticeError, match="restore their file"):
        find_terms(replace(reference, version="0.9"))
    with pytest.raises(NoticeError, match="edited after it was published"):
        find_terms(replace(reference, sha256="0" * 64))


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('vi = "Cơ quan vận hành quầy này"', "", "controller"),
        ("days = 1825", "days = -1", "days"),
        ("in_force_from = 2026-01-01", "", "in_force_from"),
        ("terms_id = ", "terms_id ", "line 3"),
    ],
)
def test_incomplete_terms_name_file_and_field(text: str, before: str, after: str, named: str) -> None:
    assert before in text
    with pytest.raises(NoticeError, match=rf"(?s)terms-x\.toml.*{named}"):
        parse_terms("terms-x.toml", text.replace(before, after))
