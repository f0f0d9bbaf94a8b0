"""The kiosk in a real browser: the whole flow in both languages, by touch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from capture.desk import Desk
from capture.kiosk import KioskServer
from capture.officer import OfficerSecret, OfficerServer
from consent.gate import Gate, Grant
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
        "thanks": "Cảm ơn anh/chị",
    },
    "en": {
        "idle": "Welcome",
        "question": "Do you agree that the system measures how satisfied you are with today's service?",
        "on": "Analysing: image of your face",
        "off": "Camera and microphone are off",
        "withdrawn": "Your consent is withdrawn",
        "serving": "Nothing is analysed",
        "thanks": "Thank you",
    },
}
SCREENS = [{"width": 1280, "height": 800}, {"width": 800, "height": 1280}]


class Kiosk:
    def __init__(self, folder: Path) -> None:
        self.store = ConsentStore(folder / "consent.sqlite")
        self.grants: list[Grant] = []
        self.desk = Desk("quay-1", self.store, Gate(self.store), start_capture=self.grants.append)
        self.server = KioskServer({"quay-1": self.desk}, port=0)
        self.server.start()
        self.officer = OfficerServer({"quay-1": self.desk}, OfficerSecret(folder), port=0)
        self.officer.start()

    def url(self, language: str = "vi") -> str:
        return f"{self.server.url}/kiosk/quay-1?lang={language}"

    def close(self) -> None:
        self.officer.stop()
        self.server.stop()
        self.store.close()


@pytest.fixture
def kiosk(tmp_path: Path) -> Iterator[Kiosk]:
    kiosk = Kiosk(tmp_path)
    yield kiosk
    kiosk.close()


def choose(page: Page, purpose: str, answer: str) -> None:
    page.locator(f"#choice-{purpose} label", has=page.locator(f"input[value={answer}]")).tap()


def sizes(page: Page, selector: str) -> list[FloatRect]:
    found = page.locator(selector).all()
    boxes = [item.bounding_box() for item in found]
    return [box for box in boxes if box is not None]


@pytest.mark.parametrize("language", ["vi", "en"])
@pytest.mark.parametrize("screen", SCREENS, ids=["landscape", "portrait"])
def test_from_welcome_to_thanks(
    kiosk: Kiosk, new_page: NewPage, axe: Axe, language: str, screen: dict[str, int]
) -> None:
    words = WORDS[language]
    page = new_page(viewport=screen, has_touch=True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(kiosk.url(language))
    page.get_by_role("heading", name=words["idle"]).wait_for()
    assert axe(page) == ()

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

    page.locator(".withdraw").tap()
    page.get_by_role("heading", name=words["withdrawn"]).wait_for()
    assert grant.ended()
    assert page.get_by_role("status").inner_text().strip() == words["off"]
    assert axe(page) == ()

    kiosk.desk.finish()
    page.goto(kiosk.url(language))
    page.get_by_role("heading", name=words["thanks"]).wait_for()
    assert axe(page) == ()
    assert {url.removeprefix(kiosk.server.url)[:1] for url in asked} == {"/"}, "a request left this server"


def test_the_screen_follows_the_desk_by_itself(kiosk: Kiosk, new_page: NewPage) -> None:
    page = new_page(has_touch=True)
    page.goto(kiosk.url("en"))
    kiosk.desk.offer()
    page.get_by_role("heading", name=WORDS["vi"]["question"]).wait_for()
    kiosk.desk.finish()
    page.get_by_role("heading", name=WORDS["vi"]["thanks"]).wait_for()


def test_neither_language_switch_nor_taps_elsewhere_nor_silence_give(kiosk: Kiosk, new_page: NewPage) -> None:
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


def test_a_double_tap_on_confirm_does_not_withdraw_or_give_twice(kiosk: Kiosk, new_page: NewPage) -> None:
    record_id = kiosk.desk.offer()
    page = new_page(viewport=SCREENS[0], has_touch=True)
    page.goto(kiosk.url())
    choose(page, "image", "yes")
    choose(page, "voice", "yes")
    page.locator(".confirm button").dblclick()
    page.locator(".withdraw").wait_for()
    assert kiosk.store.state(record_id) is State.GIVEN
    assert len(kiosk.grants) == 1


def test_the_page_works_without_a_script(kiosk: Kiosk, new_page: NewPage) -> None:
    options: dict[str, Any] = {"java_script_enabled": False, "has_touch": True}
    page = new_page(**options)
    page.goto(kiosk.officer.link)
    page.get_by_role("button", name="Mời người tiếp theo").tap()
    page.get_by_role("heading", name="Đang phục vụ").wait_for()
    page.goto(kiosk.url())
    choose(page, "image", "no")
    choose(page, "voice", "no")
    page.locator(".confirm button").tap()
    page.get_by_role("heading", name=WORDS["vi"]["serving"]).wait_for()
    assert kiosk.desk.view().state is State.REFUSED
    assert kiosk.grants == []


def test_the_officers_page_breaks_no_rule(kiosk: Kiosk, page: Page, axe: Axe) -> None:
    page.goto(f"{kiosk.officer.url}/officer/quay-1")
    page.get_by_role("heading", name="Trang này đang khóa").wait_for()
    assert axe(page) == ()
    page.goto(kiosk.officer.link)
    for language in ("vi", "en"):
        page.goto(f"{kiosk.officer.url}/officer/quay-1?lang={language}")
        assert axe(page) == ()
    kiosk.desk.offer()
    page.goto(f"{kiosk.officer.url}/officer/quay-1")
    assert axe(page) == ()
