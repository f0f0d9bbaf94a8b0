"""The preview's page in a real browser: the picture moves, the seat is drawn with mouse and keyboard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from capture.config import parse_config
from consent.ledger import ConsentStore
from tests.capture.test_preview import Running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.browser import Axe, NewPage

_WORDS: Final = {
    "vi": ("Xem thử camera", "Đang hiện hình, khuôn mặt đã che", "Đã dừng; camera đã tắt"),
    "en": ("Camera preview", "Picture shown, faces covered", "Stopped; the camera is closed"),
}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with ConsentStore(tmp_path / "consent.sqlite") as store:
        found = Running(tmp_path, store)
        yield found
        found.close()


def line(page: Any) -> str:
    return str(page.locator("#line").input_value())


@pytest.mark.parametrize("language", ["vi", "en"])
def test_the_seat_is_drawn_by_mouse_and_by_keyboard(
    running: Running, new_page: NewPage, axe: Axe, tmp_path: Path, language: str
) -> None:
    title, good, stopped = _WORDS[language]
    page = new_page(viewport={"width": 1000, "height": 1400})
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.goto(running.server.link)
    page.goto(f"{running.server.url}/preview?lang={language}")
    page.get_by_role("heading", name=title).wait_for()
    page.get_by_text(good, exact=True).wait_for()
    assert axe(page) == ()
    assert page.evaluate("document.querySelector('.stage img').naturalWidth") == 320

    drawing = page.locator("#drawing")
    box = drawing.bounding_box()
    assert box is not None
    for x, y in ((0.25, 0.2), (0.75, 0.2), (0.5, 0.9)):
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    found = [float(number) for number in re.findall(r"[\d.]+", line(page))]
    assert found == pytest.approx([0.25, 0.2, 0.75, 0.2, 0.5, 0.9], abs=0.003)
    assert page.locator("#shape").get_attribute("points") != ""

    page.locator("#clear").click()
    assert line(page) == "seat_zone = []"
    drawing.focus()
    page.mouse.move(0, 0)
    for _ in range(200):  # to the corner, wherever the mouse had left the point
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Shift+ArrowUp")
        if page.locator("#point").inner_text() == "0.000, 0.000":
            break
    page.keyboard.press("Enter")
    for key in ("Shift+ArrowRight", "ArrowRight", "Enter", "Shift+ArrowDown", "Enter", "Enter", "Backspace"):
        page.keyboard.press(key)
    text = line(page)
    assert text == "seat_zone = [[0.000, 0.000], [0.055, 0.000], [0.055, 0.050]]"
    config = f'[[counters]]\ncode = "quay-1"\ncamera = "lavfi:testsrc"\n{text}\n'
    (counter,) = parse_config(config, tmp_path / "edge.toml").counters
    assert counter.seat_zone == [(0.0, 0.0), (0.055, 0.0), (0.055, 0.05)]

    running.preview.stop()
    page.get_by_text(stopped, exact=True).wait_for()
    assert axe(page) == ()
    assert told == [], "no script or style was refused"
