"""What raises an alert, and what does not: changes, silence, consent, calibrations; each told once."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from api.accounts import Accounts
from api.alerts.alert import AlertKind, Finding, acknowledge, list_alerts, raise_alerts
from api.alerts.findings import changed, consent_fell, fall, silent, weekdays_between
from api.alerts.words import sentence
from api.alerts.worker import look
from api.authorization import Role
from api.database import Database
from api.disclosure import Disclosure
from api.errors import CaseRefused
from api.index.releases import release_month
from api.language import day_text
from api.schema import PPM, next_month
from api.settings import Settings
from api.trends import local_today
from tests.api.running import PASSWORD, running
from tests.api.senders import Edge, enrolled_edge
from tests.api.simulated_centre import SimulatedCentre, Visits

TODAY = date(2026, 11, 20)
C1, C2 = "counter-1", "counter-2"


def day_of_scores(database: Database, counter: str, day: date, mean: float, n: int = 40) -> None:
    """Put one day into the rollup: scores alternate 0.3 above and below their mean."""
    scores = [mean + (0.2 if place % 2 else -0.2) for place in range(n)]
    sums = {
        "sessions": n,
        "scored": n,
        "score_sum": sum(round(score * PPM) for score in scores),
        "score_square_sum": sum(round(score * PPM) ** 2 for score in scores),
    }
    names = ", ".join(sums)
    with database.transaction() as connection:
        connection.execute(
            f"INSERT INTO rollup_counter_day (counter, day, {names}, last_received) "  # noqa: S608 - names are ours
            "VALUES (%s, %s, %s, %s, %s, %s, now())",
            (counter, day, *sums.values()),
        )


def serve(database: Database, counter: str, days: tuple[date, date], mean: float, rng: random.Random) -> None:
    for ahead in range((days[1] - days[0]).days + 1):
        day = days[0] + timedelta(ahead)
        if day.weekday() < 5:
            day_of_scores(database, counter, day, mean + rng.uniform(-0.02, 0.02))


def changes(database: Database, today: date = TODAY) -> list[Finding]:
    return changed(database, [C1, C2], Disclosure(10, today), false_alarms_a_month=1.0)


def test_a_fall_is_found_dated_and_told_once(database: Database, edge: Edge, seed: int) -> None:
    del edge
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    serve(database, C1, (date(2026, 8, 3), date(2026, 10, 30)), 0.75, rng)
    serve(database, C1, (date(2026, 11, 2), date(2026, 11, 19)), 0.55, rng)
    serve(database, C2, (date(2026, 8, 3), date(2026, 11, 19)), 0.75, rng)
    (found,) = changes(database)
    assert (found.kind, found.counter, found.values["direction"]) == (AlertKind.CHANGE, C1, "fell")
    assert date(2026, 10, 29) <= date.fromisoformat(str(found.values["since"])) <= date(2026, 11, 4)
    assert 73 <= int(found.values["before"]) <= 77
    assert 53 <= int(found.values["after"]) <= 57
    with database.transaction() as connection:
        assert len(raise_alerts(connection, [found])) == 1
        assert raise_alerts(connection, [found]) == ()
        # A late release moves the day by which the chart is sure: it is the same change.
        moved = dict(found.values) | {"noticed": "2026-11-12"}
        assert raise_alerts(connection, [Finding(found.kind, C1, "fell 2026-11-12", moved)]) == ()
        other = moved | {"direction": "rose"}
        assert len(raise_alerts(connection, [Finding(found.kind, C1, "rose 2026-11-12", other)])) == 1
    assert changes(database, date(2027, 1, 15)) == [], "what was noticed long ago is history"


def test_days_of_too_few_sessions_and_the_last_day_say_nothing(
    database: Database, edge: Edge, seed: int
) -> None:
    del edge
    rng = random.Random(seed)  # noqa: S311 - as above
    serve(database, C1, (date(2026, 8, 3), date(2026, 10, 30)), 0.75, rng)
    for ahead in range(12):
        day_of_scores(database, C1, date(2026, 11, 2) + timedelta(ahead), 0.3, n=8)
    day_of_scores(database, C1, TODAY - timedelta(1), 0.21, n=400)
    assert changes(database) == []
    with database.transaction() as connection:
        row = connection.execute("SELECT max(day) FROM releases WHERE counter = %s", (C1,)).fetchone()
    assert row == (date(2026, 10, 30),), "a day is judged, and released for that, a day after it is over"


@pytest.mark.parametrize(
    ("last", "today", "days"),
    [
        (date(2026, 11, 13), date(2026, 11, 16), 0),  # Friday, Monday
        (date(2026, 11, 13), date(2026, 11, 19), 3),
        (date(2026, 11, 19), date(2026, 11, 20), 0),
        (date(2026, 11, 20), date(2026, 11, 20), 0),
    ],
)
def test_weekends_do_not_count_as_silence(last: date, today: date, days: int) -> None:
    assert weekdays_between(last, today) == days


def test_a_silent_counter_is_told_by_its_last_day(database: Database, edge: Edge) -> None:
    del edge
    for ahead in range(5):
        day_of_scores(database, C1, date(2026, 11, 9) + timedelta(ahead), 0.7)
        day_of_scores(database, C2, date(2026, 11, 12) + timedelta(ahead), 0.7)
    assert silent(database, date(2026, 11, 18)) == []
    (found,) = silent(database, date(2026, 11, 19))
    assert (found.counter, found.mark, found.values["weekdays"]) == (C1, "2026-11-13", 3)
    assert silent(database, date(2027, 3, 1)) == [], "it was given up"


def test_a_holiday_is_one_alert_for_all(database: Database) -> None:
    codes = [f"quay-{number}" for number in range(8)]
    enrolled_edge(database, codes)
    for code in codes:
        for ahead in range(5):
            day_of_scores(database, code, date(2026, 2, 9) + timedelta(ahead), 0.7)
    (found,) = silent(database, date(2026, 2, 20))
    assert (found.counter, found.values["counters"], found.values["of"]) == (None, 8, 8)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [((0.8, 400), (0.6, 100), 4.19), ((0.5, 100), (0.5, 100), 0.0), ((1.0, 50), (1.0, 50), 0.0)],
)
def test_a_fall_is_measured_in_standard_deviations(
    before: tuple[float, int], after: tuple[float, int], expected: float
) -> None:
    assert fall(*before, *after) == pytest.approx(expected, abs=0.01)


def test_fewer_consents_are_told_from_printed_months(database: Database, seed: int) -> None:
    centre = SimulatedCentre(database, seed)
    first = date(2026, 8, 1)
    months = [first, next_month(first), next_month(next_month(first))]
    for place, month in enumerate(months):
        yes = 0.7 if place < 2 else 0.35
        centre.serve("quay-1", month, 300, Visits(consent=(yes, yes)))
        centre.serve("quay-2", month, 300, Visits(consent=(0.7, 0.7)))
        release_month(database, month, today=TODAY, minimum_n=10)
    (found,) = consent_fell(database, ["quay-1", "quay-2"], Disclosure(10, TODAY), false_alarms_a_month=1.0)
    assert (found.counter, found.mark) == ("quay-1", "2026-10-01")
    assert float(str(found.values["after"])) == pytest.approx(35, abs=9)
    with database.transaction() as connection:
        (alert,) = raise_alerts(connection, [found])
    assert "October 2026" in sentence(alert, "en")
    assert "tháng 10 năm 2026" in sentence(alert, "vi")


def test_the_daily_look_raises_and_keeps(database: Database, edge: Edge) -> None:
    del edge
    for ahead in range(6):
        day_of_scores(database, C1, date(2026, 11, 2) + timedelta(ahead), 0.7)
    settings = Settings.model_validate({"alerts": {"enabled": True}})
    (alert,) = look(database, settings, TODAY)
    assert (alert.kind, alert.counter) == (AlertKind.SILENT, C1)
    assert look(database, settings, TODAY + timedelta(1)) == ()
    acknowledge(database, alert.alert_id, actor="lan")
    with pytest.raises(CaseRefused):
        acknowledge(database, alert.alert_id, actor="hoa")
    assert list_alerts(database, [C1], only_open=True) == ()
    assert [item.acknowledged_by for item in list_alerts(database, [C1])] == ["lan"]
    assert list_alerts(database, [C2]) == ()
    with database.transaction() as connection:
        (body,) = connection.execute("SELECT body FROM central_log WHERE kind = 'alert-acknowledged'")
    told: dict[str, Any] = json.loads(bytes(body[0]))
    assert (told["alert"], told["actor"], told["counter"]) == (str(alert.alert_id), "lan", C1)


@pytest.fixture
def client(dsn: str, database: Database) -> Iterator[httpx.Client]:
    enrolled_edge(database, ["ba-dinh.1"], area="ha-noi")
    enrolled_edge(database, ["hue.1"], area="hue")
    with database.transaction() as connection:
        raise_alerts(
            connection,
            [
                Finding(AlertKind.SILENT, code, "x", {"since": "2026-11-02", "weekdays": 4})
                for code in ("ba-dinh.1", "hue.1")
            ],
        )
    chosen = {"mail_domains": ["tinh.example"], "webhook_hosts": ["hook.example"]}
    with (
        running(dsn, alerts=chosen) as central,
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


def test_a_supervisor_sees_and_acknowledges_their_own(client: httpx.Client, database: Database) -> None:
    csrf = enter(client, database, Role.SUPERVISOR)
    text = client.get("/alerts").text
    assert "ba-dinh.1" in text
    assert "hue.1" not in text
    assert "about 6.0 false alarms a year" in text
    assert "turned off on this service" in text
    numbers = {alert.counter: str(alert.alert_id) for alert in list_alerts(database, ["ba-dinh.1", "hue.1"])}
    for wrong in (numbers["hue.1"], "none", str(next(iter(numbers.values())))[:-4] + "0000"):
        answer = client.post("/alerts/acknowledge", data={"csrf": csrf, "alert": wrong})
        assert answer.status_code == 404
    mine = {"csrf": csrf, "alert": numbers["ba-dinh.1"]}
    assert client.post("/alerts/acknowledge", data=mine).status_code == 303
    assert client.post("/alerts/acknowledge", data=mine).status_code == 422
    assert "No open alert." in client.get("/alerts").text
    assert "ba-dinh.1" in client.get("/alerts?show=all").text


def test_a_counters_page_says_whether_a_notice_passed_the_limit_of_alerts(
    client: httpx.Client, database: Database, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - as above
    serve(database, "ba-dinh.1", (date(2026, 7, 1), date(2026, 10, 2)), 0.75, rng)
    serve(database, "ba-dinh.1", (date(2026, 10, 5), date(2026, 10, 30)), 0.55, rng)
    enter(client, database, Role.SUPERVISOR)
    page = client.get("/counters/ba-dinh.1?period=2026-10").text
    told = changed(
        database, ["ba-dinh.1", "hue.1"], Disclosure(10, date(2026, 11, 2)), false_alarms_a_month=1.0
    )
    (alarm,) = [date.fromisoformat(str(found.values["noticed"])) for found in told]
    assert f"It passed the limit of alerts on {day_text(alarm, 'en')}" in page
    assert "be less sure" not in page
    client.headers["Cookie"] = client.headers["Cookie"].replace("language=en", "language=vi")
    assert "vượt cả ngưỡng cảnh báo" in client.get("/counters/ba-dinh.1?period=2026-10").text


def test_subscriptions_over_http(client: httpx.Client, database: Database) -> None:
    csrf = enter(client, database, Role.SUPERVISOR)
    form = {"csrf": csrf, "kinds": ["silent", "change"], "way": "mail", "target": "lan@tinh.example"}
    assert client.post("/alerts/subscribe", data=form).status_code == 303
    assert "lan@tinh.example" in client.get("/alerts").text
    wrong: list[dict[str, Any]] = [
        {"target": "lan@no.example"},
        {"way": "pigeon"},
        {"kinds": []},
        {"kinds": ["all"]},
    ]
    for change in wrong:
        answer = client.post("/alerts/subscribe", data=form | change)
        assert answer.status_code == 422, change
    hook = client.post("/alerts/subscribe", data=form | {"way": "webhook", "target": "https://hook.example/"})
    shown = re.search(r"<code>([0-9a-f]{64})</code>", hook.text)
    assert shown, "the key is shown once"
    assert shown[1] not in client.get("/alerts").text
    number = re.search(r'name="number" value="([^"]+)"', client.get("/alerts").text)
    assert number
    gone = {"csrf": csrf, "number": number[1]}
    assert client.post("/alerts/unsubscribe", data=gone).status_code == 303
    assert client.post("/alerts/unsubscribe", data=gone).status_code == 422
    assert client.post("/alerts/unsubscribe", data=gone | {"number": "x"}).status_code == 404


def test_an_observer_reads_and_writes_nothing(client: httpx.Client, database: Database) -> None:
    csrf = enter(client, database, Role.OBSERVER)
    text = client.get("/alerts").text
    assert "ba-dinh.1" in text
    assert "hue.1" in text
    assert "/alerts/acknowledge" not in text
    assert "/alerts/subscribe" not in text
    for path in ("acknowledge", "subscribe", "unsubscribe"):
        assert client.post(f"/alerts/{path}", data={"csrf": csrf}).status_code == 403


def test_settings_need_a_sender() -> None:
    with pytest.raises(ValueError, match="mail_from"):
        Settings.model_validate({"alerts": {"smtp_host": "mail.example"}})
    assert Settings().alerts.enabled is False
    assert local_today() >= TODAY
