"""The kiosk in a real browser: the whole flow in both languages, by touch."""

from __future__ import annotations

import os
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from capture.kiosk import KioskSecret
from consent.purpose import Purpose
from consent.record import IndicatedBy
from consent.state import State
from inference.signal import Criterion
from tests.capture.kiosks import SignedCounter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import FloatRect, Page

    from tests.browser import Axe, NewPage

WORDS = {
    "vi": {
        "idle": "Kính chào anh/chị",
        "question": "Anh/chị có đồng ý cho hệ thống đo mức độ hài lòng trong lần giao dịch này không?",
        "on": "Đang phân tích: hình ảnh khuôn mặt",
        "off": "Camera và micrô đang tắt",
        "withdrawn": "Đã rút lại đồng ý",
        "serving": "Máy không phân tích",
        "rating": "Anh/chị đánh giá lần giao dịch này thế nào?",
        "slip": "Phiếu của anh/chị",
        "show": "Xem phiếu của tôi",
        "done": "Xong",
        "erased": "Chứng nhận xóa",
        "thanks": "Cảm ơn anh/chị",
        "stopped": "Máy đã dừng",
        "second": "Có người thứ hai ở chỗ ngồi, nên máy đã dừng",
        "child": "Có trẻ em đi cùng, nên máy đã dừng",
        "unasked": "Có trẻ em đi cùng, nên máy không hỏi",
        "switch": "Có trẻ em đi cùng",
        "noted": "Đã ghi: có trẻ em đi cùng",
        "next_child": "Mời người tiếp theo, có trẻ em đi cùng",
    },
    "en": {
        "idle": "Welcome",
        "question": "Do you agree that the system measures how satisfied you are with today's service?",
        "on": "Analysing: image of your face",
        "off": "Camera and microphone are off",
        "withdrawn": "Your consent is withdrawn",
        "serving": "Nothing is analysed",
        "rating": "How was the service today?",
        "slip": "Your slip",
        "show": "Show my slip",
        "done": "Done",
        "erased": "Certificate of erasure",
        "thanks": "Thank you",
        "stopped": "The machine has stopped",
        "second": "A second person is at the seat, so the machine has stopped",
        "child": "A child is with you, so the machine has stopped",
        "unasked": "A child is with you, so the machine asks nothing",
        "switch": "Accompanied by a child",
        "noted": "Noted: accompanied by a child",
        "next_child": "Next citizen, with a child",
    },
}
SCREENS = [{"width": 1280, "height": 800}, {"width": 800, "height": 1280}]


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[SignedCounter]:
    kiosk = SignedCounter(tmp_path)
    yield kiosk
    kiosk.close()


@pytest.fixture
def new_page(kiosk: SignedCounter, new_page: NewPage) -> NewPage:
    """Open pages in browsers that have the link's cookie, as the citizen's screen does after its start."""

    def open_page(**options: Any) -> Page:
        page = new_page(**options)
        page.goto(kiosk.server.link)
        page.goto("about:blank")
        return page

    return open_page


def choose(page: Page, purpose: str, answer: str) -> None:
    page.locator(f"#choice-{purpose} label", has=page.locator(f"input[value={answer}]")).tap()


def sizes(page: Page, selector: str) -> list[FloatRect]:
    found = page.locator(selector).all()
    boxes = [item.bounding_box() for item in found]
    return [box for box in boxes if box is not None]


def fits(page: Page, screen: dict[str, int]) -> bool:
    page.wait_for_load_state("load")
    return bool(page.evaluate("document.documentElement.scrollHeight") <= screen["height"])


@pytest.mark.parametrize("language", ["vi", "en"])
@pytest.mark.parametrize("screen", SCREENS, ids=["landscape", "portrait"])
def test_from_welcome_to_thanks(  # noqa: PLR0915 - one walk through the whole flow
    kiosk: SignedCounter, new_page: NewPage, axe: Axe, language: str, screen: dict[str, int]
) -> None:
    words = WORDS[language]
    page = new_page(viewport=screen, has_touch=True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(kiosk.url(language))
    page.get_by_role("heading", name=words["idle"]).wait_for()
    assert axe(page) == ()

    page.goto("about:blank")  # or the page's own script would go to the question in the same moment
    record_id = kiosk.desk.offer()
    page.goto(kiosk.url(language))
    page.get_by_role("heading", name=words["question"]).wait_for()
    assert page.evaluate("document.documentElement.lang") == language
    assert page.evaluate("document.documentElement.scrollHeight") <= screen["height"], "the question scrolls"
    assert page.locator("input:checked").count() == 0
    assert page.get_by_role("status").inner_text().strip() == words["off"]
    answers = sizes(page, ".answer")
    assert len(answers) == 4
    assert min(box["height"] for box in answers) >= 96
    assert min(box["width"] for box in answers) >= 96
    assert len({(round(box["width"]), round(box["height"])) for box in answers}) == 1, "unequal buttons"
    styles = page.locator(".answer span").evaluate_all(
        "spans => spans.map(span => { const s = getComputedStyle(span);"
        " return [s.color, s.backgroundColor, s.borderColor, s.fontSize, s.fontWeight].join(); })"
    )
    assert len(set(styles)) == 1, "one answer looks more inviting than the other"
    (confirm,) = sizes(page, ".confirm button")
    assert confirm["height"] >= 96
    assert axe(page) == ()

    choose(page, "image", "yes")
    choose(page, "voice", "no")
    assert kiosk.store.state(record_id) is State.OFFERED
    page.locator(".confirm button").tap()
    page.get_by_role("status", name="").get_by_text(words["on"]).wait_for()
    (grant,) = kiosk.grants
    assert grant.purposes == {Purpose.IMAGE}
    record = kiosk.store.record(record_id)
    assert record.notice.language == language
    assert record.dwell_ms is not None
    page.wait_for_load_state("load")  # the words can be there before the style sheet
    (withdraw,) = sizes(page, ".withdraw")
    assert withdraw["height"] >= 96
    assert axe(page) == ()

    page.get_by_role("link", name=words["show"]).tap()
    page.get_by_role("heading", name=words["slip"]).wait_for()
    assert page.get_by_role("status").inner_text().strip().startswith(words["on"].split(":")[0])
    assert fits(page, screen), "the slip scrolls"
    (button,) = sizes(page, ".withdraw")
    assert button["height"] >= 96
    assert axe(page) == ()

    page.locator(".withdraw").tap()
    page.get_by_role("heading", name=words["withdrawn"]).wait_for()
    assert grant.ended()
    assert page.get_by_role("status").inner_text().strip() == words["off"]
    assert axe(page) == ()

    kiosk.desk.finish()
    page.get_by_role("heading", name=words["rating"]).wait_for()
    assert fits(page, screen), "the rating scrolls"
    assert page.locator("input:checked").count() == 0
    marks = sizes(page, ".answer")
    assert len(marks) == 8
    assert len({(round(box["width"]), round(box["height"])) for box in marks}) == 1, "unequal buttons"
    assert min(box["height"] for box in [*marks, *sizes(page, ".sending button")]) >= 96
    assert axe(page) == ()
    for criterion in Criterion:
        page.locator(f"#mark-{criterion} label").first.tap()
    page.locator(".sending button[type=submit]").dblclick()
    page.get_by_role("heading", name=words["slip"]).wait_for()
    assert [ballot.overall for ballot in kiosk.ballots] == [True], "a double tap is one rating"
    assert fits(page, screen), "the receipt scrolls"
    assert axe(page) == ()
    page.get_by_role("button", name=words["done"]).tap()
    page.get_by_role("heading", name=words["thanks"]).wait_for()
    assert kiosk.desk.slip() is None
    assert axe(page) == ()
    assert {url.removeprefix(kiosk.server.url)[:1] for url in asked} == {"/"}, "a request left this server"


def test_the_screen_follows_the_desk_by_itself(kiosk: SignedCounter, new_page: NewPage) -> None:
    page = new_page(has_touch=True)
    page.goto(kiosk.url("en"))
    kiosk.desk.offer()
    page.get_by_role("heading", name=WORDS["vi"]["question"]).wait_for()
    kiosk.desk.finish()
    page.get_by_role("heading", name=WORDS["vi"]["rating"]).wait_for()


@pytest.mark.parametrize(("language", "screen"), [("vi", SCREENS[0]), ("en", SCREENS[1])])
def test_a_code_typed_on_the_screen_withdraws(
    kiosk: SignedCounter, new_page: NewPage, axe: Axe, language: str, screen: dict[str, int]
) -> None:
    record_id = kiosk.desk.offer()
    kiosk.answer("yes", "yes")
    slip = kiosk.desk.slip()
    assert slip is not None
    kiosk.desk.finish()
    page = new_page(viewport=screen, has_touch=True)
    page.goto(kiosk.url(language, "/withdraw"))
    assert fits(page, screen)
    page.locator("[data-key='7']").tap()
    page.locator("[data-key=back]").tap()
    page.locator(".withdraw").tap()  # empty: the browser asks for it
    assert axe(page) == ()
    for character in slip.code.replace("-", ""):
        page.locator(f"[data-key='{character}']").tap()
    assert page.locator("textarea").input_value() == slip.code
    page.locator(".withdraw").tap()
    page.get_by_role("heading", name=WORDS[language]["withdrawn"]).wait_for()
    page.get_by_text(WORDS[language]["erased"]).wait_for()
    assert fits(page, screen)
    assert axe(page) == ()
    assert kiosk.store.state(record_id) is State.WITHDRAWN


def test_a_scanned_slip_withdraws_without_a_script(kiosk: SignedCounter, new_page: NewPage) -> None:
    record_id = kiosk.desk.offer()
    kiosk.answer("yes", "no")
    slip = kiosk.desk.slip()
    assert slip is not None
    assert slip.receipt is not None
    kiosk.desk.finish()
    options: dict[str, Any] = {"java_script_enabled": False, "has_touch": True}
    page = new_page(**options)
    page.goto(kiosk.url("vi", "/withdraw"))
    page.locator("textarea").focus()
    page.keyboard.type(slip.receipt.text())  # as a scanner does: keys, with Enter at each line end
    page.locator(".withdraw").tap()
    page.get_by_role("heading", name=WORDS["vi"]["withdrawn"]).wait_for()
    assert kiosk.store.state(record_id) is State.WITHDRAWN


def test_the_next_question_takes_the_screen_from_every_page(kiosk: SignedCounter, new_page: NewPage) -> None:
    page = new_page(has_touch=True)
    page.goto(kiosk.url("vi", "/withdraw"))
    kiosk.desk.offer()
    page.get_by_role("heading", name=WORDS["vi"]["question"]).wait_for()


@pytest.mark.parametrize("screen", SCREENS, ids=["landscape", "portrait"])
def test_the_notice_can_be_heard_where_set_up_made_a_sound(  # noqa: PLR0917 - fixtures come by name
    kiosk: SignedCounter,
    new_page: NewPage,
    axe: Axe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    screen: dict[str, int],
) -> None:
    notice = kiosk.desk.notices.current("vi")
    monkeypatch.setenv("HAILONG_SPEECH_DIR", str(tmp_path))
    assert kiosk.get("/notice.wav").status_code == 404
    kiosk.desk.offer()
    page = new_page(viewport=screen, has_touch=True)
    page.goto(kiosk.url())
    assert page.locator("audio").count() == 0
    name = notice.reference(kiosk.desk.purposes).sha256
    with wave.open(str(tmp_path / f"{name}.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 800, "NONE", ""))
        sound.writeframes(bytes(1600))
    page.reload()
    assert page.locator("audio").bounding_box() is not None
    assert fits(page, screen), "the question scrolls"
    assert axe(page) == ()
    assert kiosk.get("/notice.wav").headers["content-type"] == "audio/wav"


def test_neither_language_switch_nor_taps_elsewhere_nor_silence_give(
    kiosk: SignedCounter, new_page: NewPage
) -> None:
    kiosk.desk.decision_timeout_s = 20.0
    record_id = kiosk.desk.offer()
    page = new_page(viewport=SCREENS[0], has_touch=True)
    page.goto(kiosk.url())
    for spot in ((5, 795), (640, 300), (1270, 400), (640, 45)):
        page.touchscreen.tap(*spot)
    page.locator(".language").tap()
    page.get_by_role("heading", name=WORDS["en"]["question"]).wait_for()
    page.locator(".language").dblclick()
    page.locator(".confirm button").dblclick()
    page.keyboard.press("Escape")
    assert kiosk.store.state(record_id) is State.OFFERED
    kiosk.desk._deadline_ns = 0
    page.get_by_role("heading", name=WORDS["vi"]["serving"]).or_(
        page.get_by_role("heading", name=WORDS["en"]["serving"])
    ).wait_for()
    assert kiosk.store.state(record_id) is State.DEFERRED
    assert kiosk.grants == []


def test_a_double_tap_on_confirm_does_not_withdraw_or_give_twice(
    kiosk: SignedCounter, new_page: NewPage
) -> None:
    record_id = kiosk.desk.offer()
    page = new_page(viewport=SCREENS[0], has_touch=True)
    page.goto(kiosk.url())
    choose(page, "image", "yes")
    choose(page, "voice", "yes")
    page.locator(".confirm button").dblclick()
    page.locator(".withdraw").wait_for()
    assert kiosk.store.state(record_id) is State.GIVEN
    assert len(kiosk.grants) == 1


def test_the_page_works_without_a_script(kiosk: SignedCounter, new_page: NewPage) -> None:
    options: dict[str, Any] = {"java_script_enabled": False, "has_touch": True}
    page = new_page(**options)
    page.goto(kiosk.officer_server.link)
    page.get_by_role("button", name="Mời người tiếp theo", exact=True).tap()
    page.get_by_role("heading", name="Đang phục vụ").wait_for()
    page.goto(kiosk.url())
    choose(page, "image", "no")
    choose(page, "voice", "no")
    page.locator(".confirm button").tap()
    page.get_by_role("heading", name=WORDS["vi"]["serving"]).wait_for()
    assert kiosk.desk.view().state is State.REFUSED
    assert kiosk.grants == []


def test_without_the_link_the_screen_says_what_to_do(kiosk: SignedCounter, page: Page, axe: Axe) -> None:
    page.context.clear_cookies()
    for language, words in (("vi", "Trang này đang khóa"), ("en", "This page is locked")):
        page.goto(kiosk.url(language))
        page.get_by_role("heading", name=words).wait_for()
        assert "hailong edge kiosk-link" in page.content()
        assert axe(page) == ()


def test_a_renewed_link_shuts_what_stands_on_the_screen(kiosk: SignedCounter, new_page: NewPage) -> None:
    page = new_page()
    page.goto(kiosk.url())
    page.get_by_role("heading", name=WORDS["vi"]["idle"]).wait_for()
    KioskSecret(kiosk.folder, renew=True)
    page.get_by_role("heading", name="Trang này đang khóa").wait_for()


def shoot(page: Page, name: str) -> None:
    """Keep a picture where HAILONG_SHOTS says."""
    folder = os.environ.get("HAILONG_SHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"kiosk-{name}.png", full_page=True)


@pytest.mark.parametrize(("language", "screen"), [("vi", SCREENS[0]), ("en", SCREENS[1])])
def test_a_second_face_is_told_on_the_citizens_screen_and_nowhere_else(
    kiosk: SignedCounter, new_page: NewPage, axe: Axe, language: str, screen: dict[str, int]
) -> None:
    words = WORDS[language]
    page = new_page(viewport=screen, has_touch=True)
    record_id = kiosk.desk.offer()
    kiosk.answer("yes", "yes")
    before = [view.content for view in kiosk.officer_sees()]
    page.goto(kiosk.url(language))
    page.get_by_role("status").get_by_text(words["on"]).wait_for()
    kiosk.store.apply(record_id, State.REVOKED, IndicatedBy.CONTROLLER, "second-face")
    page.get_by_role("heading", name=words["stopped"]).wait_for()
    page.get_by_text(words["second"]).wait_for()
    assert page.get_by_role("status").inner_text().strip() == words["off"]
    assert [view.content for view in kiosk.officer_sees()] == before
    assert axe(page) == ()
    assert fits(page, screen)
    shoot(page, f"second-face-{language}")


@pytest.mark.parametrize(
    ("language", "screen", "touch"), [("vi", SCREENS[0], True), ("en", SCREENS[1], False)]
)
def test_the_switch_by_touch_and_by_keyboard(
    kiosk: SignedCounter, new_page: NewPage, axe: Axe, language: str, screen: dict[str, int], *, touch: bool
) -> None:
    words = WORDS[language]
    officer, page = new_page(viewport=screen, has_touch=True), new_page(viewport=screen, has_touch=True)
    officer.goto(kiosk.officer_server.link)
    officer.goto(f"{kiosk.officer_server.url}/officer/quay-1?lang={language}")

    def press(name: str) -> None:
        button = officer.get_by_role("button", name=name, exact=True)
        if touch:
            button.tap()
            return
        button.focus()
        officer.keyboard.press("Enter")

    switch = officer.get_by_role("button", name=words["switch"], exact=True)
    assert switch.is_disabled(), "nobody is being served"
    kiosk.desk.offer()
    kiosk.answer("yes", "no")
    officer.reload()
    page.goto(kiosk.url(language))
    page.get_by_role("status").get_by_text(words["on"]).wait_for()
    assert switch.get_attribute("aria-pressed") == "false"
    assert axe(officer) == ()
    press(words["switch"])
    noted = officer.get_by_role("button", name=words["noted"], exact=True)
    noted.wait_for()
    assert noted.is_disabled()
    assert noted.get_attribute("aria-pressed") == "true"
    assert axe(officer) == ()
    assert min(box["height"] for box in sizes(officer, "button")) >= 96
    shoot(officer, f"officer-noted-{language}")
    page.get_by_role("heading", name=words["stopped"]).wait_for()
    page.get_by_text(words["child"]).wait_for()
    assert page.get_by_role("status").inner_text().strip() == words["off"]
    assert kiosk.grants[0].ended()
    assert axe(page) == ()
    shoot(page, f"child-stopped-{language}")
    kiosk.desk.finish()
    page.get_by_role("heading", name=words["rating"]).wait_for()

    officer.reload()
    press(words["next_child"])
    noted.wait_for()
    page.get_by_text(WORDS["vi"]["unasked"]).or_(page.get_by_text(words["unasked"])).wait_for()
    page.goto(kiosk.url(language))
    page.get_by_text(words["unasked"]).wait_for()
    assert axe(page) == ()
    shoot(page, f"child-unasked-{language}")
    assert kiosk.desk.view().state is State.DEFERRED
    assert len(kiosk.grants) == 1
    kiosk.desk.finish()
    page.get_by_role("heading", name=words["rating"]).wait_for()


def test_the_officers_page_breaks_no_rule(kiosk: SignedCounter, page: Page, axe: Axe) -> None:
    page.goto(f"{kiosk.officer_server.url}/officer/quay-1")
    page.get_by_role("heading", name="Trang này đang khóa").wait_for()
    assert axe(page) == ()
    page.goto(kiosk.officer_server.link)
    for language in ("vi", "en"):
        page.goto(f"{kiosk.officer_server.url}/officer/quay-1?lang={language}")
        assert axe(page) == ()
    kiosk.desk.offer()
    page.goto(f"{kiosk.officer_server.url}/officer/quay-1")
    assert axe(page) == ()
