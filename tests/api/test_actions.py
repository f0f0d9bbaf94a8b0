"""Notes on counters: kept with their history, logged, without names; before and after with an interval."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from api.accounts import Accounts
from api.actions import ActionKind, Draft, actions_of, marks_of, note_action, revise_action, text_hash
from api.actions_effect import Effect, effect_of
from api.actions_text import LONGEST, checked, likely_names
from api.authorization import Role
from api.database import Database
from api.errors import CaseRefused
from api.index.figures import Completeness, Figure, Line, Share, Versions, Weighting
from api.index.period import Period, Span
from api.index.reading import Reading, Standing, UncalibratedMean
from api.interval import Mean
from tests.api.running import PASSWORD, running
from tests.api.senders import Edge, enrolled_edge

TODAY = date(2026, 11, 22)
DRAFT = Draft(date(2026, 11, 2), ActionKind.GUIDANCE, "Thêm bảng chỉ dẫn ở cửa")


def leaves(database: Database, kind: str) -> list[dict[str, Any]]:
    with database.transaction() as connection:
        rows = connection.execute("SELECT body FROM central_log WHERE kind = %s ORDER BY idx", (kind,))
        return [json.loads(bytes(row[0])) for row in rows]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Nhờ chị Lan hướng dẫn", ("chị Lan",)),
        ("Ông Nguyễn Văn A đã sửa máy in", ("Ông Nguyễn Văn A",)),
        ("Nguyễn Thị Minh Khai, máy số 2", ("Nguyễn Thị Minh Khai",)),
        ("sua theo y kien Tran Van Binh", ("Tran Van Binh",)),
        ("đ/c Hùng và Mr. Bean", ("đ/c Hùng", "Mr. Bean")),
        ("Trần nhà quét vôi lại", ()),
        ("Các chị em nghỉ trưa lệch ca", ()),
        ("Chuyển hồ sơ về Hà Nội", ()),
        ("Thêm ghế ở Bộ phận Một cửa", ()),
        ("Lê. Sau đó Quầy 2 mở", ()),
    ],
)
def test_what_looks_like_a_name_is_asked_about(text: str, names: tuple[str, ...]) -> None:
    assert likely_names(text) == names


@pytest.mark.parametrize(
    "text",
    ["", "  ab ", "x" * (LONGEST + 1), "viết cho a.b@tinh.gov.vn", "gọi 0912 345 678", "số 001.203.004.567"],
)
def test_what_is_certainly_about_a_person_is_refused(text: str) -> None:
    with pytest.raises(CaseRefused):
        checked(text)


def test_a_text_is_kept_composed_and_without_control_letters() -> None:
    assert checked("  Thêm\u0000\n\u202e bảng  20/11/2026 ") == "Thêm bảng 20/11/2026"
    assert checked("Che\u0302\u0301 đo\u0323\u0302") == "Chế độ"


def test_a_change_is_a_new_version_and_both_are_in_the_log(database: Database, edge: Edge) -> None:
    del edge
    first = note_action(database, "counter-1", DRAFT, actor="lan", today=TODAY)
    changed = Draft(date(2026, 11, 3), ActionKind.ROOM, "Thêm ghế chờ", struck=False)
    revise_action(database, "counter-1", first.action_id, 1, changed, actor="hoa", today=TODAY)
    with pytest.raises(CaseRefused, match="meanwhile"):
        revise_action(database, "counter-1", first.action_id, 1, DRAFT, actor="lan", today=TODAY)
    with pytest.raises(CaseRefused, match="no such note"):
        revise_action(database, "counter-2", first.action_id, 2, DRAFT, actor="lan", today=TODAY)

    (kept,) = actions_of(database, "counter-1")
    assert [(note.revision, note.text, note.actor) for note in kept.history] == [
        (2, "Thêm ghế chờ", "hoa"),
        (1, "Thêm bảng chỉ dẫn ở cửa", "lan"),
    ]
    assert actions_of(database, "counter-2") == ()
    told = leaves(database, "counter-action")
    assert [item["text_sha256"] for item in told] == [
        text_hash(first.action_id, note.revision, note.text) for note in reversed(kept.history)
    ]
    assert not any("ghế" in json.dumps(item, ensure_ascii=False) for item in told)
    assert [(mark.day, mark.kind) for mark in marks_of(database, "counter-1")] == [
        (date(2026, 11, 3), ActionKind.ROOM)
    ]
    gone = Draft(changed.day, changed.kind, changed.text, struck=True)
    revise_action(database, "counter-1", first.action_id, 2, gone, actor="hoa", today=TODAY)
    assert marks_of(database, "counter-1") == ()
    assert len(actions_of(database, "counter-1")[0].history) == 3


@pytest.mark.parametrize("away", [1, -4 * 366])
def test_a_day_to_come_or_long_ago_is_refused(database: Database, edge: Edge, away: int) -> None:
    del edge
    draft = Draft(TODAY + timedelta(away), ActionKind.OTHER, "Sửa cửa")
    with pytest.raises(CaseRefused):
        note_action(database, "counter-1", draft, actor="lan", today=TODAY)
    with database.transaction() as connection:
        row = connection.execute("SELECT count(*) FROM counter_actions").fetchone()
    assert row == (0,)


def test_the_log_and_the_table_are_written_together(database: Database) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        note_action(database, "no-such-counter", DRAFT, actor="lan", today=TODAY)
    assert leaves(database, "counter-action") == []


def month_figure(month: int, percent: int, n: int = 50, *, satisfied: int | None = None) -> Reading:
    value = percent / 100
    kept = round(value * n) if satisfied is None else satisfied
    share = Share(value, value - 0.1, value + 0.08, n, kept, 0, n, 0.0, "classical")
    figure = Figure(
        "counter:c",
        Period(date(2026, month, 1), Span.MONTH),
        Line(share),
        {},
        Weighting.BALLOTS,
        Completeness(0, 0, 0, 0, 0, 0, 0, 0, 0),
        Versions(1, (), (), ()),
        1,
        1,
    )
    return Reading("counter:c", figure.period, Standing.FIGURE, figure=figure)


def month_signal(month: int, percent: int) -> Reading:
    mean = Mean(percent / 100, percent / 100 - 0.02, percent / 100 + 0.02, 200)
    period = Period(date(2026, month, 1), Span.MONTH)
    return Reading("counter:c", period, Standing.UNCALIBRATED, signal=UncalibratedMean(mean, 20))


def test_before_and_after_have_an_interval_of_their_difference() -> None:
    found = effect_of([month_figure(3, 70), month_figure(4, 99), month_figure(5, 90)], date(2026, 4, 10))
    assert isinstance(found, Effect)
    assert found.before.value == pytest.approx(70)
    assert found.after.value == pytest.approx(90)
    assert found.before.n == 50
    # Each side of each interval by itself: below √(10² + 8²), above √(8² + 10²).
    assert found.difference == pytest.approx(20)
    assert found.low == pytest.approx(20 - 164**0.5)
    assert found.high == pytest.approx(20 + 164**0.5)
    assert found.clear
    same = effect_of([month_figure(3, 70), month_figure(5, 72)], date(2026, 4, 10))
    assert same is not None
    assert not same.clear


def test_three_months_on_each_side_weigh_by_their_people() -> None:
    course = [month_figure(m, p, n) for m, p, n in ((1, 10, 50), (2, 60, 50), (3, 60, 50), (4, 90, 100))]
    found = effect_of([*course, month_figure(6, 80)], date(2026, 5, 31))
    assert found is not None
    assert found.before.value == pytest.approx((60 + 60 + 180) / 4)
    assert (found.before.first, found.before.last, found.before.n) == (
        date(2026, 2, 1),
        date(2026, 4, 1),
        200,
    )


def test_signals_and_shares_are_never_subtracted_from_each_other() -> None:
    assert effect_of([month_signal(3, 60), month_figure(5, 90)], date(2026, 4, 1)) is None
    found = effect_of([month_signal(3, 60), month_signal(5, 70), month_figure(6, 90)], date(2026, 4, 1))
    assert found is not None
    assert found.standing is Standing.UNCALIBRATED
    assert effect_of([month_figure(3, 70)], date(2026, 4, 1)) is None


def test_a_bound_is_no_value_to_subtract() -> None:
    course = [month_figure(3, 100, 30, satisfied=30), month_figure(5, 80)]
    assert effect_of(course, date(2026, 4, 1)) is None


@pytest.fixture
def client(dsn: str, database: Database) -> Iterator[httpx.Client]:
    enrolled_edge(database, ["ba-dinh.1"], area="ha-noi")
    enrolled_edge(database, ["hue.1"], area="hue")
    with (
        running(dsn) as central,
        httpx.Client(base_url=central.address, timeout=30, trust_env=False) as found,
    ):
        yield found


def enter(client: httpx.Client, database: Database, role: Role) -> str:
    accounts = Accounts(database)
    password = accounts.create(role.value, role, actor="t", areas=["ha-noi"])
    cookie = accounts.change_password(role.value, password, PASSWORD)
    client.headers["Cookie"] = f"hailong_language=en; hailong_session={cookie}"
    token = re.search(r'name="csrf" value="([^"]+)"', client.get("/password").text)
    assert token
    return token[1]


FORM = {"day": "2026-11-02", "kind": "guidance", "text": "Thêm bảng <b>chỉ dẫn</b>"}


def test_a_supervisor_writes_about_their_own_counters_only(client: httpx.Client, database: Database) -> None:
    csrf = enter(client, database, Role.SUPERVISOR)
    path = "/counters/ba-dinh.1/actions"
    assert client.post(path, data=FORM).status_code == 403
    done = client.post(path, data=FORM | {"csrf": csrf})
    assert (done.status_code, done.headers["location"]) == (303, "/counters/ba-dinh.1#actions")
    text = client.get(path).text
    assert "Thêm bảng &lt;b&gt;chỉ dẫn&lt;/b&gt;" in text
    assert "no proof of a cause" in text
    for other in ("/counters/hue.1/actions", "/counters/none/actions"):
        assert client.get(other).status_code == 404
        assert client.post(other, data=FORM | {"csrf": csrf}).status_code == 404
    assert actions_of(database, "hue.1") == ()


def test_a_name_is_asked_about_before_anything_is_kept(client: httpx.Client, database: Database) -> None:
    csrf = enter(client, database, Role.ADMINISTRATOR)
    path, form = "/counters/ba-dinh.1/actions", FORM | {"csrf": csrf, "text": "Chị Lan dạy quầy 2"}
    asked = client.post(path, data=form)
    assert asked.status_code == 422
    assert "This looks like the name of a person" in asked.text
    assert 'name="sure"' in asked.text
    assert "Chị Lan dạy quầy 2</textarea>" in asked.text
    assert actions_of(database, "ba-dinh.1") == ()
    assert client.post(path, data=form | {"sure": "1"}).status_code == 303
    (kept,) = actions_of(database, "ba-dinh.1")
    bad = client.post(path, data=form | {"day": "hôm qua", "sure": "1"})
    assert (bad.status_code, "Choose a day and what was changed." in bad.text) == (422, True)
    struck = form | {"action_id": str(kept.action_id), "revision": "1", "struck": "1"}
    assert client.post(path, data=struck).status_code == 303
    assert [note.struck for note in actions_of(database, "ba-dinh.1")[0].history] == [True, False]


@pytest.mark.parametrize("role", [Role.OBSERVER, Role.PRIVACY_OFFICER, Role.DATA_ENTRY])
def test_others_read_and_write_nothing(client: httpx.Client, database: Database, role: Role) -> None:
    note_action(database, "ba-dinh.1", DRAFT, actor="lan", today=TODAY)
    csrf = enter(client, database, role)
    page = client.get("/counters/ba-dinh.1/actions")
    assert page.status_code == 200
    assert "Thêm bảng chỉ dẫn ở cửa" in page.text
    assert "<textarea" not in page.text
    assert client.post("/counters/ba-dinh.1/actions", data=FORM | {"csrf": csrf}).status_code == 403
    assert len(actions_of(database, "ba-dinh.1")) == 1
