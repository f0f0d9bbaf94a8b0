"""The printed record: both languages, the same bytes, every value as text."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest

from consent import printable
from consent.entry import Outcome
from consent.errors import ExportRefused
from consent.event import EventKind
from consent.export import RecordDocument, record_document
from consent.record import Answer, Channel, IndicatedBy
from consent.state import State
from consent.terms import load_terms
from tests.consent.citizens import Clocks
from tests.consent.lives import lived, open_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[State, RecordDocument]:
    clocks = Clocks()
    with open_store(tmp_path_factory.mktemp("log") / "consent.sqlite", clocks) as store:
        return {end: record_document(store.evidence(lived(store, clocks, end))) for end in State}


def _words(language: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("consent").joinpath(f"printing/{language}.toml").read_text("utf-8"))


@pytest.mark.parametrize("end", State)
def test_each_end_prints(documents: dict[State, RecordDocument], end: State) -> None:
    language = printable.LANGUAGES[list(State).index(end) % 2]
    assert printable.pdf(documents[end], language).startswith(b"%PDF-")


@pytest.mark.parametrize("language", printable.LANGUAGES)
def test_the_same_document_prints_as_the_same_bytes(
    documents: dict[State, RecordDocument], language: str
) -> None:
    document = documents[State.WITHDRAWN]
    assert printable.pdf(document, language) == printable.pdf(document, language)


def test_languages_and_records_differ(documents: dict[State, RecordDocument]) -> None:
    ends = (State.REFUSED, State.WITHDRAWN)
    made = {printable.pdf(documents[end], language) for end in ends for language in printable.LANGUAGES}
    assert len(made) == 4


def test_pages_can_be_looked_at(documents: dict[State, RecordDocument]) -> None:
    pages = printable.pictures(documents[State.WITHDRAWN], "vi")
    assert len(pages) == 2
    assert all(page.startswith(b"\x89PNG") for page in pages)


def test_both_languages_say_everything() -> None:
    vietnamese, english = _words("vi"), _words("en")

    def shape(words: dict[str, Any]) -> dict[str, Any]:
        return {key: set(value) if isinstance(value, dict) else "" for key, value in words.items()}

    assert shape(vietnamese) == shape(english)
    for words in (vietnamese, english):
        assert set(words["state"]) == set(words["state_means"]) == set(State)
        assert set(words["answers"]) == set(Answer)
        assert set(words["event_kinds"]) == set(EventKind)
        assert set(words["indicated_by"]) == set(IndicatedBy)
        assert set(words["channels"]) == set(Channel)
        terms = load_terms()
        codes = {*terms.processing, *terms.withdrawal_methods, *(item.category for item in terms.retention)}
        assert codes | set(Outcome) <= set(words["codes"])


def test_vietnamese_letters_are_all_in_the_embedded_font() -> None:
    import typst  # noqa: PLC0415 - as the code under test does

    letters = "ăâđêôơư" + "".join(
        chr(code) for code in (*range(0x1EA0, 0x1EFA), 0xE0, 0xE1, 0xE3, 0xF2, 0xFD, 0x129, 0x169)
    )

    def glyphs(text: str) -> int:
        source = f'#set text(font: "Libertinus Serif", fallback: false)\n{text}'.encode()
        made = typst.Compiler(ignore_system_fonts=True).compile(source, format="svg", timestamp=0)
        assert isinstance(made, bytes)
        return made.count(b"<symbol ")

    assert [letter for letter in letters if glyphs(letter) == 0] == []
    assert glyphs(letters) == len(set(letters)), "two letters share one glyph: one of them is the empty box"


def test_values_are_text_and_never_markup(tmp_path: Path, documents: dict[State, RecordDocument]) -> None:
    values = printable._Page(documents[State.REFUSED], "vi", printable._words("vi")).values()
    assert values["purposes"][0]["answer"] == "Không đồng ý"
    assert ["Hỏi lúc", "02/11/2026 15:00:00", ""] in values["question"]
    clocks = Clocks()
    with open_store(tmp_path / "consent.sqlite", clocks) as store:
        record_id = lived(store, clocks, State.REFUSED)
        store.close_service(record_id, IndicatedBy.SYSTEM, "a-code")
        document = record_document(store.evidence(record_id))
    parties = replace(document.record.parties, controller='#panic("read as code") $x^2$ *đậm*')
    hostile = replace(document, record=replace(document.record, parties=parties))
    assert printable.pdf(hostile, "vi").startswith(b"%PDF-")


def test_an_unknown_language_is_refused(documents: dict[State, RecordDocument]) -> None:
    with pytest.raises(ExportRefused, match="vi or en"):
        printable.pdf(documents[State.GIVEN], "fr")


def test_without_the_typesetter_the_message_says_what_to_install(
    documents: dict[State, RecordDocument], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent.printable.find_spec", lambda _: None)
    with pytest.raises(ExportRefused, match=r"hailong\[audit\]"):
        printable.pdf(documents[State.GIVEN], "vi")
