"""What a service was about: from the configuration to the officer's page, the rating and the ballot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from capture.desk_view import OfficerView, Phase
from capture.errors import ProcedureUnknown
from capture.procedures import Procedure, ServiceProcedure
from inference.signal import Ballot, Criterion
from tests.capture.kiosks import PROCEDURES, SignedCounter
from tests.capture.test_kiosk_browser import fits, shoot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.browser import Axe, NewPage

BIRTH, COPY, MARITAL = PROCEDURES
MARKS = dict.fromkeys((criterion.value for criterion in Criterion), "yes")


@pytest.fixture
def offered() -> tuple[Procedure, ...]:
    return PROCEDURES


@pytest.fixture
def counter(tmp_path: Path, offered: tuple[Procedure, ...]) -> Iterator[SignedCounter]:
    counter = SignedCounter(tmp_path, procedures=offered)
    yield counter
    counter.close()


def say(counter: SignedCounter, code: str) -> int:
    return counter.officer.post("/officer/quay-1/procedure", data={"procedure": code}).status_code


def rated(counter: SignedCounter) -> Ballot:
    assert counter.post("/rating", **MARKS).status_code == 200
    return counter.ballots[-1]


@pytest.mark.parametrize(
    ("listed", "choosable", "by_itself"),
    [((), (), None), ((BIRTH,), (), BIRTH.code), (PROCEDURES, PROCEDURES, None)],
)
def test_one_procedure_needs_no_choice(
    listed: tuple[Procedure, ...], choosable: tuple[Procedure, ...], by_itself: str | None
) -> None:
    service = ServiceProcedure(listed)
    assert (service.choosable, service.code) == (choosable, by_itself)
    service.choose(None)
    assert service.code == by_itself
    with pytest.raises(ProcedureUnknown, match="'procedures' of the counter"):
        service.choose("9.999999")
    assert service.code == by_itself


def test_a_choice_holds_until_it_is_changed_taken_back_or_the_next_service_begins() -> None:
    service = ServiceProcedure(PROCEDURES)
    for code in (BIRTH.code, COPY.code, None, MARITAL.code):
        service.choose(code)
        assert service.code == code
    service.begin()
    assert service.code is None
    with pytest.raises(ProcedureUnknown, match=f"{BIRTH.code}, {COPY.code}, {MARITAL.code}"):
        service.choose("")


@pytest.mark.parametrize("choice", [("yes", "yes"), ("no", "no"), None])
def test_the_ballot_carries_what_the_officer_said_last(
    counter: SignedCounter, choice: tuple[str, str] | None
) -> None:
    counter.desk.offer()
    if choice is not None:
        counter.answer(*choice)
    assert (say(counter, COPY.code), say(counter, BIRTH.code)) == (200, 200)
    counter.desk.finish()
    assert say(counter, MARITAL.code) == 200  # too late: the service is over, nothing changes
    page = counter.get()
    assert f"Phiếu ghi thủ tục: <b>{BIRTH.vi}</b>" in page.text
    assert rated(counter).procedure == BIRTH.code

    counter.desk.offer()  # the next one begins open
    counter.desk.finish()
    assert "Phiếu ghi thủ tục" not in counter.get().text
    assert rated(counter).procedure is None


def test_a_choice_taken_back_leaves_the_ballot_open(counter: SignedCounter) -> None:
    counter.desk.offer()
    say(counter, COPY.code)
    say(counter, "")
    counter.desk.finish()
    ballot = rated(counter)
    assert ballot.procedure is None
    assert "procedure" not in ballot.model_dump(mode="json")


@pytest.mark.parametrize("offered", [(BIRTH,)])
def test_a_single_procedure_is_taken_and_the_officer_is_asked_nothing(counter: SignedCounter) -> None:
    counter.desk.offer()
    page = counter.officer.get("/officer/quay-1").text
    assert "/procedure" not in page
    assert say(counter, BIRTH.code) == 422
    counter.desk.finish()
    assert rated(counter).procedure == BIRTH.code


def test_the_officers_page_lists_them_while_a_service_is_open(counter: SignedCounter) -> None:
    def pressed() -> list[str]:
        page = counter.officer.get("/officer/quay-1?lang=en").text
        return [
            part.split('"')[0] for part in page.split('name="procedure" value="')[1:] if _is_pressed(part)
        ]

    assert counter.desk.officer_view() == OfficerView(service_open=False, with_child=False)
    assert "/procedure" not in counter.officer.get("/officer/quay-1").text
    assert say(counter, BIRTH.code) == 200  # nobody is served: nothing happens
    counter.desk.offer()
    assert pressed() == [""]
    say(counter, COPY.code)
    assert pressed() == [COPY.code]
    page = counter.officer.get("/officer/quay-1?lang=en").text
    assert all(item.en in page and item.vi not in page for item in PROCEDURES)
    assert json.loads(counter.officer.get("/officer/quay-1/state").text) == {
        "counter": "quay-1",
        "service": "open",
    }


def _is_pressed(part: str) -> bool:
    return 'aria-pressed="true"' in part.partition(">")[0]


def test_a_code_that_is_not_listed_says_what_to_do_and_changes_nothing(counter: SignedCounter) -> None:
    counter.desk.offer()
    say(counter, BIRTH.code)
    answer = counter.officer.post("/officer/quay-1/procedure", data={"procedure": "<b>9.999999"})
    assert answer.status_code == 422
    assert "take one of its list" in answer.text
    assert "9.999999" not in answer.text
    counter.desk.finish()
    assert rated(counter).procedure == BIRTH.code


def test_the_choice_stands_in_no_record_of_consent(counter: SignedCounter) -> None:
    counter.desk.offer()
    counter.answer("yes", "yes")
    say(counter, BIRTH.code)
    counter.desk.finish()
    rated(counter)
    assert counter.desk.view().phase is Phase.RECEIPT
    counter.store.close()
    for path in counter.folder.glob("consent.sqlite*"):
        assert BIRTH.code.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("language", "screen", "words"),
    [
        ("vi", {"width": 1280, "height": 800}, ("Không ghi thủ tục", "Phiếu ghi thủ tục")),
        ("en", {"width": 800, "height": 1280}, ("Leave it open", "The rating names the procedure")),
    ],
)
def test_the_choice_by_touch(
    counter: SignedCounter,
    new_page: NewPage,
    axe: Axe,
    *,
    language: str,
    screen: dict[str, int],
    words: tuple[str, str],
) -> None:
    officer, citizen = new_page(viewport=screen, has_touch=True), new_page(viewport=screen, has_touch=True)
    officer.goto(counter.officer_server.link)
    citizen.goto(counter.server.link)
    counter.desk.offer()
    officer.goto(f"{counter.officer_server.url}/officer/quay-1?lang={language}")
    left_open = officer.get_by_role("button", name=words[0], exact=True)
    assert left_open.get_attribute("aria-pressed") == "true"
    assert axe(officer) == ()
    button = officer.get_by_role("button", name=COPY.name(language), exact=True)
    button.tap()
    officer.wait_for_function("!document.querySelector('button[value=\"\"]').textContent.includes('✓')")
    assert (button.get_attribute("aria-pressed"), left_open.get_attribute("aria-pressed")) == (
        "true",
        "false",
    )
    assert axe(officer) == ()
    boxes = [item.bounding_box() for item in officer.locator("form[aria-labelledby] button").all()]
    assert len(boxes) == len(PROCEDURES) + 1
    assert all(box is not None and box["height"] >= 96 and box["width"] >= 96 for box in boxes)
    shoot(officer, f"officer-procedure-{language}")
    counter.desk.finish()
    citizen.goto(counter.url(language))
    citizen.get_by_text(f"{words[1]}: {COPY.name(language)}").wait_for()
    assert fits(citizen, screen)
    assert axe(citizen) == ()
    shoot(citizen, f"rating-procedure-{language}")
    citizen.evaluate("document.forms[0].noValidate = true")  # as a browser that checks nothing itself
    citizen.locator("form button[type=submit]").tap()
    citizen.get_by_role("alert").wait_for()
    citizen.get_by_text(f"{words[1]}: {COPY.name(language)}").wait_for()
    assert fits(citizen, screen), "what is missing pushes the buttons off the screen"
    assert axe(citizen) == ()
