"""After the service: rating, receipt, withdrawal by its code; the same for everybody."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from capture.desk_view import Phase
from capture.farewell import Farewell, FarewellTimes, Stage
from capture.outbox import OutboxFull
from capture.slip import qr_svg, read_code, root_in_short
from consent.errors import ReceiptRefused
from consent.purpose import Purpose
from consent.receipt import Receipt, new_code
from consent.state import State
from inference.signal import Criterion
from tests.capture.kiosks import SignedCounter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inference.signal import Ballot

SECOND = 1_000_000_000
CHOICES: tuple[tuple[str, str] | None, ...] = (("yes", "yes"), ("yes", "no"), ("no", "no"), None)
MARKS = dict.fromkeys((criterion.value for criterion in Criterion), "yes")


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[SignedCounter]:
    counter = SignedCounter(tmp_path)
    yield counter
    counter.close()


def serve(counter: SignedCounter, choice: tuple[str, str] | None) -> None:
    counter.desk.offer()
    if choice is not None:
        counter.answer(*choice)
    counter.desk.finish()


def test_each_page_ends_by_itself_and_no_tap_ends_two() -> None:
    farewell = Farewell(FarewellTimes(60, 30, 10), 0, (Stage.RATING, Stage.RECEIPT))
    assert farewell.stage(0) is Stage.RATING
    assert farewell.leave(Stage.RATING, 5 * SECOND)
    assert not farewell.leave(Stage.RATING, 6 * SECOND)
    assert farewell.stage(34 * SECOND) is Stage.RECEIPT
    assert farewell.remaining_s(34 * SECOND) == 1.0
    assert farewell.stage(36 * SECOND) is Stage.THANKS
    assert farewell.stage(46 * SECOND) is Stage.OVER
    assert Farewell(FarewellTimes(60, 30, 10), 0, (Stage.RATING,)).stage(10_000 * SECOND) is Stage.OVER


def test_a_rating_is_offered_whatever_was_chosen_and_does_not_tell(counter: SignedCounter) -> None:
    pages = []
    for choice in CHOICES:
        serve(counter, choice)
        page = counter.get()
        assert page.text.count('type="radio"') == 8
        assert "checked" not in page.text
        pages.append(re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|<b data-countdown>\d+", "", page.text))
        counter.post("/rating", **MARKS)
    assert len(set(pages)) == 1, "the rating page tells what was chosen"
    shapes = {tuple(sorted(ballot.model_dump(mode="json"))) for ballot in counter.ballots}
    assert (len(counter.ballots), len(shapes)) == (4, 1)
    assert all(ballot.session_id is not None for ballot in counter.ballots)
    assert all(ballot.overall for ballot in counter.ballots)


@pytest.mark.parametrize("when", ["in-the-service", "after-it"])
def test_a_rating_after_a_withdrawal_names_no_service_and_looks_the_same(
    counter: SignedCounter, when: str
) -> None:
    pages, officers = [], []
    for withdraws in (False, True):
        counter.desk.offer()
        counter.answer("yes", "yes")
        slip = counter.desk.slip()
        assert slip is not None
        if withdraws and when == "in-the-service":
            counter.post("/withdrawal")
        counter.desk.finish()
        if withdraws and when == "after-it":
            counter.post("/withdraw", code=slip.code)
        pages.append(re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|<b data-countdown>\d+", "", counter.get().text))
        assert counter.desk.view().phase is Phase.RATING
        counter.post("/rating", **MARKS)
        officers.append([answer.content for answer in counter.officer_sees()])
    kept, stripped = counter.ballots
    assert kept.session_id is not None
    assert stripped.session_id is None
    assert stripped.overall
    assert pages[0] == pages[1]
    assert officers[0] == officers[1]


def test_satisfied_is_satisfied_with_all_four(counter: SignedCounter) -> None:
    serve(counter, ("no", "no"))
    counter.post("/rating", **MARKS | {"time_cost": "no"})
    (ballot,) = counter.ballots
    assert ballot.satisfied[Criterion.TIME_COST] is False
    assert not ballot.overall


def test_half_a_rating_is_none_and_a_second_one_is_none(counter: SignedCounter) -> None:
    serve(counter, ("no", "no"))
    response = counter.post("/rating", **{**MARKS, "time_cost": ""})
    assert (response.status_code, counter.ballots) == (422, [])
    assert 'role="alert"' in response.text
    record = str(counter.record_id)
    counter.post("/rating", **MARKS)
    counter.post("/rating", record=record, **MARKS)
    assert len(counter.ballots) == 1
    serve(counter, ("no", "no"))
    counter.post("/rating", record=record, **MARKS)
    assert len(counter.ballots) == 1
    assert counter.desk.view().phase is Phase.RATING


def test_skipping_costs_one_tap_and_sends_nothing(counter: SignedCounter) -> None:
    serve(counter, ("yes", "yes"))
    page = counter.post("/rating", skip="yes")
    assert (counter.ballots, counter.desk.view().phase) == ([], Phase.RECEIPT)
    assert 'class="qr"' in page.text


def test_a_rating_that_cannot_be_stored_is_asked_for_again(
    counter: SignedCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(counter, ("no", "no"))

    def full(_: Ballot) -> None:
        raise OutboxFull

    monkeypatch.setattr(counter.desk, "_cast", full)
    response = counter.post("/rating", **MARKS)
    assert response.status_code == 500
    assert 'role="alert"' in response.text
    monkeypatch.setattr(counter.desk, "_cast", counter.ballots.append)
    counter.post("/rating", **MARKS)
    assert len(counter.ballots) == 1


@pytest.mark.parametrize("choice", [("yes", "no"), ("no", "no")])
def test_the_receipt_holds_offline_and_its_code_is_forgotten(
    counter: SignedCounter, choice: tuple[str, str]
) -> None:
    serve(counter, choice)
    slip = counter.desk.slip()
    assert slip is not None
    assert slip.receipt is not None
    page = counter.post("/rating", skip="yes").text
    size, root = root_in_short(slip.receipt)
    for shown in (slip.code, str(slip.record.receipt_id), str(slip.record.record_id), root, size):
        assert shown in page
    receipt = Receipt.parse(slip.receipt.text())
    receipt.check(counter.store.log.keys().verifiers(counter.store.log.size))
    assert receipt.code == slip.code
    counter.post("/receipt/done")
    assert counter.desk.slip() is None
    assert slip.code not in counter.get("/receipt").text
    assert slip.code not in str(vars(counter.desk))


def test_the_receipt_is_at_hand_during_the_session_with_lamp_and_button(counter: SignedCounter) -> None:
    counter.desk.offer()
    assert "data-print" not in counter.get("/receipt").text
    counter.answer("yes", "no")
    page = counter.get("/receipt").text
    slip = counter.desk.slip()
    assert slip is not None
    assert slip.code in page
    assert "lamp-on" in page
    assert 'class="withdraw"' in page


def test_a_code_withdraws_long_after_the_service(counter: SignedCounter) -> None:
    serve(counter, ("yes", "yes"))
    record_id, slip = counter.record_id, counter.desk.slip()
    assert record_id is not None
    assert slip is not None
    assert slip.receipt is not None
    assert counter.store.state(record_id) is State.COMPLETED
    counter.desk.offer()
    page = counter.post("/withdraw", code=slip.receipt.text().replace("\n", "\r\n"))
    assert counter.store.state(record_id) is State.WITHDRAWN
    assert str(record_id) in page.text
    until = time.monotonic() + 20
    while counter.erasure.certificate(record_id) is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    again = counter.post("/withdraw", code=slip.code.lower())
    certificate = counter.erasure.certificate(record_id)
    assert certificate is not None
    assert certificate.destruction.certificate_sha256[:16] in again.text
    assert "hàng chờ gửi" in again.text


def test_a_code_stops_the_capture_under_way(counter: SignedCounter) -> None:
    counter.desk.offer()
    counter.answer("yes", "yes")
    slip = counter.desk.slip()
    assert slip is not None
    counter.post("/withdraw", code=slip.code)
    assert counter.grants[0].ended()
    assert counter.desk.view().phase is Phase.SERVING


def test_what_is_no_code_and_what_is_another_ones_changes_nothing(counter: SignedCounter) -> None:
    counter.desk.offer()
    counter.answer("yes", "yes")
    for code in ("", "12", "x" * 5000, new_code(), str(counter.record_id)):
        response = counter.post("/withdraw", code=code)
        assert response.status_code == 422
        assert 'role="alert"' in response.text
    assert not counter.grants[0].ended()


def test_whoever_refused_has_nothing_to_withdraw(counter: SignedCounter) -> None:
    counter.desk.offer()
    counter.answer("no", "no")
    slip = counter.desk.slip()
    assert slip is not None
    assert "Không có gì để rút lại" in counter.post("/withdraw", code=slip.code).text
    assert counter.store.state(slip.record.record_id) is State.REFUSED


def test_a_scanner_may_change_line_ends_and_letters() -> None:
    code = new_code()
    text = f"hailong receipt 1\n0191e2c5-7b3a-7c1d-8e2f-001122334455\n{code}\n{{}}\n"
    for scanned in (code, code.lower(), code.replace("-", ""), text, text.replace("\n", ""), text.lower()):
        assert read_code(scanned) == code
    with pytest.raises(ReceiptRefused):
        read_code("0191e2c5-7b3a-7c1d-8e2f-001122334455")


def test_the_officer_sees_the_same_through_the_whole_flow(counter: SignedCounter) -> None:
    seen: list[tuple[bytes, ...]] = []
    for choice in (*CHOICES, "withdraw"):
        views = [counter.officer.post("/officer/quay-1/next")]
        if isinstance(choice, tuple):
            counter.answer(*choice)
        elif choice == "withdraw":
            counter.answer("yes", "yes")
            slip = counter.desk.slip()
            assert slip is not None
            counter.post("/withdraw", code=slip.code)
        views += counter.officer_sees()
        counter.get("/receipt")
        views += [*counter.officer_sees(), counter.officer.post("/officer/quay-1/finish")]
        views += counter.officer_sees()
        counter.post("/rating", **MARKS)
        views += counter.officer_sees()
        counter.post("/receipt/done")
        views += counter.officer_sees()
        seen.append(tuple(b"%d %b" % (view.status_code, view.content) for view in views))
    assert len(set(seen)) == 1, "the officer's side depends on the choice"


def test_the_pages_after_a_service_take_the_same_time_for_everybody(counter: SignedCounter) -> None:
    lengths = []
    for choice in CHOICES[:3]:
        serve(counter, choice)
        farewell = counter.desk._farewell
        assert farewell is not None
        lengths.append(tuple((stage, farewell._times.of(stage)) for stage in farewell._left))
    assert len(set(lengths)) == 1
    assert counter.desk.view().capture_on is False


def test_the_qr_code_is_small_and_has_no_style_of_its_own() -> None:
    drawn = qr_svg("hailong " * 200)
    assert len(drawn) < 40_000
    assert "style=" not in drawn
    assert "<script" not in drawn


def test_no_page_is_heavy(counter: SignedCounter) -> None:
    static = sum(len(counter.client.get(f"/static/{name}").content) for name in ("kiosk.css", "kiosk.js"))
    counter.desk.offer()
    counter.answer("yes", "no")
    assert Purpose.IMAGE in counter.grants[0].purposes
    assert static + len(counter.get("/receipt").content) < 60_000
