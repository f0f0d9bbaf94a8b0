"""Notices: whole in both languages, rendered to fixed bytes, never edited after publication."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from consent.errors import NoticeError
from consent.notice import Notice, NoticeShelf
from consent.purpose import Purpose
from consent.terms import load_terms
from tests.consent.citizens import BOTH, citizen

if TYPE_CHECKING:
    from pathlib import Path

PUBLISHED = {
    ("counter", "1.0", "vi"): "1b85b5bdd612ac877fcc9afba4efc55173310edd5f9990d171b5e1c60bcc62a8",
    ("counter", "1.0", "en"): "5de0392cde6abdc6df2257fbf85308c4d8b86f8269ef6d1defededb655dd11e4",
    ("counter-quotes", "1.0", "vi"): "029619fee4460934195dcc8319f048c2ba3aeb4ddf1eff32c3bc130b37a229b6",
    ("counter-quotes", "1.0", "en"): "a7f4d86fa53d21bdeb3a3792318a17625c53e6ec0ba9f65efcdcf272f67e7c92",
}
"""What was published never changes: a new wording is a new version with its own hash here."""


@pytest.mark.parametrize("key", PUBLISHED)
def test_a_published_version_is_never_edited(key: tuple[str, str, str]) -> None:
    notice = NoticeShelf.load().get(*key)
    asked = (*BOTH, Purpose.QUOTES) if key[0] == "counter-quotes" else BOTH
    assert hashlib.sha256(notice.rendered(asked)).hexdigest() == PUBLISHED[key]


def test_every_shipped_notice_is_pinned_here() -> None:
    assert set(NoticeShelf.load()._notices) == set(PUBLISHED)


@pytest.mark.parametrize("language", ["vi", "en"])
def test_the_stored_hash_equals_a_re_render(language: str) -> None:
    record = citizen(language=language)
    NoticeShelf.load().check(record.notice, record.purposes)
    notice = NoticeShelf.load().get("counter", "1.0", language)
    assert record.notice.sha256 == hashlib.sha256(notice.rendered(record.purposes)).hexdigest()


def test_the_vietnamese_notice_says_what_the_law_asks_for() -> None:
    text = NoticeShelf.load().current("vi").rendered(BOTH).decode()
    for words in (
        "hình ảnh khuôn mặt",
        "giọng nói",
        "dữ liệu nhạy cảm",
        "trí tuệ nhân tạo",
        "vẫn được giải quyết như nhau",
        "vẫn rút lại được",
        "Không đồng ý",
    ):
        assert words in text


@pytest.mark.parametrize("language", ["vi", "en"])
def test_whoever_is_asked_for_quotes_reads_another_notice(language: str) -> None:
    shelf = NoticeShelf.load()
    plain, more = shelf.asking(language, BOTH), shelf.asking(language, (*BOTH, Purpose.QUOTES))
    assert (plain.notice_id, more.notice_id) == ("counter", "counter-quotes")
    assert plain == shelf.current(language), "nobody else reads anything new"
    assert more.paragraphs[0] != plain.paragraphs[0], "that nothing is kept would be untrue"
    assert more.paragraphs[1] == plain.paragraphs[1]
    terms = load_terms()
    (days,) = (item.days for item in terms.retention if item.category == "redacted-quotes")
    assert f" {days} " in more.choices[Purpose.QUOTES].sentence, "notice and terms name the same time"


def test_each_language_asks_for_the_same_purposes() -> None:
    shelf = NoticeShelf.load()
    assert shelf.languages == ("vi", "en")
    asked = {language: set(shelf.current(language).choices) for language in shelf.languages}
    assert asked == {"vi": set(Purpose), "en": set(Purpose)}


def test_the_opening_is_escaped_and_only_bold_is_markup() -> None:
    notice = Notice(
        notice_id="test",
        version="1",
        language="vi",
        in_force_from=NoticeShelf.load().current("vi").in_force_from,
        question="<script>?",
        paragraphs=("a **b** & c",),
        agree="yes",
        refuse="no",
        choices={},
    )
    assert notice.opening() == '<h1 id="question">&lt;script&gt;?</h1>\n<p>a <strong>b</strong> &amp; c</p>\n'
    with pytest.raises(NoticeError, match="no words for image"):
        notice.choice(Purpose.IMAGE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for item in resources.files("consent").joinpath("notices").iterdir():
        with resources.as_file(item) as path:
            shutil.copy(path, tmp_path)
    return tmp_path


def test_an_edited_notice_no_longer_matches_its_records(folder: Path) -> None:
    record = citizen()
    path = folder / "counter-1.0.vi.toml"
    path.write_text(path.read_text("utf-8").replace("Không lưu hình", "Có lưu hình"), "utf-8")
    with pytest.raises(NoticeError, match="edited after it was published"):
        NoticeShelf.load(folder).check(record.notice, record.purposes)


def test_a_removed_version_is_missed(folder: Path) -> None:
    record = citizen(language="en")
    (folder / "counter-1.0.en.toml").unlink()
    with pytest.raises(NoticeError, match="restore its file"):
        NoticeShelf.load(folder).check(record.notice, record.purposes)


def test_a_newer_version_is_the_current_one(folder: Path) -> None:
    text = (folder / "counter-1.0.vi.toml").read_text("utf-8")
    for version in ("1.9", "1.10"):
        newer = text.replace('version = "1.0"', f'version = "{version}"')
        (folder / f"counter-{version}.vi.toml").write_text(newer, "utf-8")
    assert NoticeShelf.load(folder).current("vi").version == "1.10"


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("agree = ", "agre = ", "agre"),
        ('version = "1.0"', "", "version"),
        ("question = ", "question", "line"),
    ],
)
def test_a_broken_notice_names_file_and_field(folder: Path, before: str, after: str, named: str) -> None:
    path = folder / "counter-1.0.en.toml"
    path.write_text(path.read_text("utf-8").replace(before, after), "utf-8")
    with pytest.raises(NoticeError, match=rf"(?s)counter-1\.0\.en\.toml.*{named}"):
        NoticeShelf.load(folder)


def test_without_vietnamese_there_is_no_shelf(folder: Path) -> None:
    (folder / "counter-1.0.vi.toml").unlink()
    with pytest.raises(NoticeError, match="'vi'"):
        NoticeShelf.load(folder)


def test_the_agency_puts_its_own_name_into_the_terms() -> None:
    terms = load_terms(controller="UBND phường Hạ Long")
    assert terms.agency() == replace(load_terms().agency(), controller="UBND phường Hạ Long")
    assert terms.reference() == load_terms().reference(), "the document is the same for every agency"
