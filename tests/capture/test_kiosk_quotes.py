"""Keeping redacted quotes is asked apart: an empty box that needs the voice, in words of its own."""

from __future__ import annotations

import hashlib
import os
import re
import wave
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from capture.desk import ASKED_WITH_QUOTES
from consent.notice import NoticeShelf
from consent.purpose import Purpose
from consent.record import Answer
from consent.state import State
from tests.capture.kiosks import SignedCounter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.browser import Axe, NewPage

SCREENS = {
    "landscape": {"width": 1280, "height": 800},
    "portrait": {"width": 800, "height": 1280},
    "desktop": {"width": 1920, "height": 1080},
    "phone": {"width": 390, "height": 844},
}
WORDS = {
    "vi": {
        "box": "Thêm: giữ lại câu nói đã che thông tin riêng",
        "alert": "Câu nói chỉ giữ được khi anh/chị đồng ý cho giọng nói.",
        "on": "trích lời đã che",
        "held": "Câu nói đã che thông tin riêng được mã hóa",
        "kept": "Câu nói được giữ",
        "slip": "Phiếu của anh/chị",
    },
    "en": {
        "box": "Also keep sentences with private details removed",
        "alert": "Sentences can only be kept if you agree to the analysis of your voice.",
        "on": "redacted quotes",
        "held": "Sentences with private details removed are encrypted",
        "kept": "Sentences kept",
        "slip": "Your slip",
    },
}


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[SignedCounter]:
    kiosk = SignedCounter(tmp_path, purposes=ASKED_WITH_QUOTES)
    yield kiosk
    kiosk.close()


def answer(kiosk: SignedCounter, **fields: str) -> int:
    kiosk.get()
    return kiosk.post("/decision", **fields).status_code


def answers(kiosk: SignedCounter) -> dict[Purpose, Answer]:
    record_id = kiosk.record_id
    assert record_id is not None
    return {item.purpose: item.answer for item in kiosk.store.record(record_id).decisions}


def test_the_page_shows_the_bytes_whose_hash_is_in_the_record(kiosk: SignedCounter) -> None:
    kiosk.desk.offer()
    page = kiosk.get().text
    notice = NoticeShelf.load().asking("vi", ASKED_WITH_QUOTES)
    for part in (notice.opening(), *(notice.choice(purpose) for purpose in ASKED_WITH_QUOTES)):
        assert part.strip() in page
    assert answer(kiosk, image="yes", voice="yes", quotes="yes") == 200
    record = kiosk.store.record(kiosk.record_id)  # type: ignore[arg-type]  # a service is open
    assert (record.notice.notice_id, record.notice.version) == ("counter-quotes", "1.0")
    assert record.notice.sha256 == hashlib.sha256(notice.rendered(ASKED_WITH_QUOTES)).hexdigest()
    assert [item.code for item in record.categories] == ["face-image", "voice-sample", "redacted-quotes"]


@pytest.mark.parametrize(
    ("fields", "state", "quotes"),
    [
        ({"image": "yes", "voice": "yes", "quotes": "yes"}, State.GIVEN, Answer.GIVEN),
        ({"image": "yes", "voice": "yes"}, State.GIVEN, Answer.REFUSED),
        ({"image": "no", "voice": "yes", "quotes": "yes"}, State.GIVEN, Answer.GIVEN),
        ({"image": "no", "voice": "no"}, State.REFUSED, Answer.REFUSED),
    ],
)
def test_an_empty_box_is_a_no(
    kiosk: SignedCounter, fields: dict[str, str], state: State, quotes: Answer
) -> None:
    record_id = kiosk.desk.offer()
    assert answer(kiosk, **fields) == 200
    assert kiosk.store.state(record_id) is state
    assert answers(kiosk)[Purpose.QUOTES] is quotes
    given = {item for grant in kiosk.grants for item in grant.purposes}
    assert (Purpose.QUOTES in given) is (quotes is Answer.GIVEN)


@pytest.mark.parametrize(
    "fields",
    [
        {"image": "yes", "voice": "no", "quotes": "yes"},
        {"image": "no", "voice": "no", "quotes": "yes"},
        {"image": "yes", "quotes": "yes"},
        {"image": "yes", "voice": "yes", "quotes": "on"},
        {"quotes": "yes"},
    ],
)
def test_nothing_is_decided_by_a_form_that_contradicts_itself(
    kiosk: SignedCounter, fields: dict[str, str]
) -> None:
    record_id = kiosk.desk.offer()
    assert answer(kiosk, **fields) == 422
    assert kiosk.store.state(record_id) is State.OFFERED
    assert kiosk.grants == []
    assert not re.findall(r"<input[^>]*checked", kiosk.get().text)


def test_the_slip_names_the_last_day_and_not_after_a_withdrawal(kiosk: SignedCounter) -> None:
    record_id = kiosk.desk.offer()
    answer(kiosk, image="no", voice="yes", quotes="yes")
    slip = kiosk.desk.slip()
    record = kiosk.store.record(record_id)
    assert slip is not None
    assert slip.quotes_until is not None
    assert record.decided_at is not None
    assert slip.quotes_until == record.decided_at + timedelta(hours=1, days=30)
    assert slip.quotes_until.astimezone().strftime("%d/%m/%Y") in kiosk.get("/receipt").text
    kiosk.desk.withdraw(record_id)
    assert 'id="quotes-kept"' not in kiosk.get("/receipt").text


def test_without_the_setting_nothing_is_said_of_quotes(tmp_path: Path) -> None:
    kiosk = SignedCounter(tmp_path)
    try:
        kiosk.desk.offer()
        assert "quotes" not in kiosk.get().text
        assert answer(kiosk, image="yes", voice="yes", quotes="yes") == 200
        assert Purpose.QUOTES not in answers(kiosk)
        assert kiosk.grants[0].purposes == {Purpose.IMAGE, Purpose.VOICE}
        assert "quotes-kept" not in kiosk.get("/receipt").text
    finally:
        kiosk.close()


# --- in a real browser -----------------------------------------------------------------------------


@pytest.fixture
def spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the notice be read out as well: the control for it needs its room too."""
    for language in WORDS:
        rendered = NoticeShelf.load().asking(language, ASKED_WITH_QUOTES).rendered(ASKED_WITH_QUOTES)
        with wave.open(str(tmp_path / f"{hashlib.sha256(rendered).hexdigest()}.wav"), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(22_050)
            sound.writeframes(bytes(22_050))
    monkeypatch.setenv("HAILONG_SPEECH_DIR", str(tmp_path))


def picture(page: Page, name: str) -> None:
    """Keep a screenshot where somebody asked to look at the pages."""
    folder = os.environ.get("HAILONG_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")


def scrolls(page: Page, screen: dict[str, int]) -> bool:
    page.wait_for_load_state("load")
    return bool(page.evaluate("document.documentElement.scrollHeight") > screen["height"])


def wide(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


@pytest.mark.parametrize("language", ["vi", "en"])
@pytest.mark.parametrize("name", SCREENS)
@pytest.mark.usefixtures("spoken")
def test_the_extra_choice_on_a_screen(  # noqa: PLR0915 - one walk from the question to the slip
    kiosk: SignedCounter, new_page: NewPage, axe: Axe, name: str, language: str
) -> None:
    words, screen = WORDS[language], SCREENS[name]
    options: dict[str, Any] = {"viewport": screen, "has_touch": True}
    page = new_page(**options)
    page.goto(kiosk.server.link)
    page.goto("about:blank")
    record_id = kiosk.desk.offer()
    page.goto(kiosk.url(language))
    box = page.get_by_role("checkbox", name=words["box"])
    box.wait_for()
    picture(page, f"quotes-asking-{name}-{language}")
    assert page.locator("audio").count() == 1
    assert not box.is_checked()
    assert page.locator("input:checked").count() == 0
    assert not wide(page)
    assert name == "phone" or not scrolls(page, screen), "the question scrolls"
    size = page.locator("#choice-quotes").bounding_box()
    assert size is not None
    assert size["height"] >= 96
    assert axe(page) == ()

    for purpose, value in (("image", "no"), ("voice", "no")):
        page.locator(f"#choice-{purpose} label", has=page.locator(f"input[value={value}]")).tap()
    page.locator("#choice-quotes").tap()
    assert box.is_checked()
    page.locator(".confirm button").tap()
    page.get_by_role("alert").get_by_text(words["alert"]).wait_for()
    assert kiosk.store.state(record_id) is State.OFFERED
    assert page.locator("input:checked").count() == 0
    alert = page.get_by_role("alert").bounding_box()
    assert alert is not None
    assert 0 <= alert["y"] < screen["height"] / 2 or name == "phone", "nobody sees why"
    assert axe(page) == ()

    for purpose, value in (("image", "no"), ("voice", "yes")):
        page.locator(f"#choice-{purpose} label", has=page.locator(f"input[value={value}]")).tap()
    page.locator("#choice-quotes").tap()
    page.locator(".confirm button").tap()
    page.get_by_text(words["held"]).wait_for()
    picture(page, f"quotes-capturing-{name}-{language}")
    assert words["on"] in page.get_by_role("status").inner_text()
    assert kiosk.grants[0].purposes == {Purpose.VOICE, Purpose.QUOTES}
    assert not wide(page)
    assert axe(page) == ()

    page.goto(kiosk.url(language, "/receipt"))
    page.get_by_role("heading", name=words["slip"]).wait_for()
    picture(page, f"quotes-slip-{name}-{language}")
    assert page.get_by_text(words["kept"], exact=True).is_visible()
    assert not wide(page)
    assert name == "phone" or not scrolls(page, screen), "the slip scrolls"
    assert axe(page) == ()
    page.goto("about:blank")  # or the page's own script would go on in the same moment
    kiosk.desk.finish()
    kiosk.desk.rate(record_id, None)
    page.goto(kiosk.url(language))
    page.get_by_role("heading", name=words["slip"]).wait_for()
    picture(page, f"quotes-slip-after-{name}-{language}")
    assert name == "phone" or not scrolls(page, screen), "the slip scrolls after the service"


def test_a_page_that_answered_a_form_follows_the_desk_in_its_own_language(
    kiosk: SignedCounter, new_page: NewPage
) -> None:
    page = new_page(has_touch=True)
    page.goto(kiosk.server.link)
    kiosk.desk.offer()
    page.goto(kiosk.url("en"))
    for purpose in ("image", "voice"):
        page.locator(f"#choice-{purpose} label", has=page.locator("input[value=no]")).tap()
    page.locator("#choice-quotes").tap()
    page.locator(".confirm button").tap()
    page.get_by_role("alert").get_by_text(WORDS["en"]["alert"]).wait_for()
    assert "lang" not in page.url
    assert answer(kiosk, image="no", voice="yes", quotes="yes") == 200
    page.get_by_text(WORDS["en"]["held"]).wait_for()
