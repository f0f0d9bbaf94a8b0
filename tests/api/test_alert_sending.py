"""Alerts leave the centre once, encrypted and signed, to allowed places only, and none is lost."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.accounts import Accounts
from api.alerts.alert import Alert, AlertKind, Finding, raise_alerts
from api.alerts.outbox import LEASE, enqueue, lease, newest_messages
from api.alerts.sending import SIGNATURE
from api.alerts.subscriptions import Way, Wish, end_subscription, subscribe, subscriptions
from api.alerts.targets import Endpoint, TargetRefused, mail_target, resolved, webhook_target
from api.alerts.worker import deliver
from api.authorization import Role
from api.database import Database
from api.errors import CaseRefused
from api.settings import AlertsSettings, Settings
from tests.api.alert_receivers import HOST, Calls, Mailbox, hook_server, mail_server, make_certificate
from tests.api.running import PASSWORD
from tests.api.senders import enrolled_edge

ALL = tuple(AlertKind)
MAIL = Wish("", ALL, Way.MAIL, "lan@tinh.example", "vi")
OURS, THEIRS = "ba-dinh.1", "hue.1"
NOW = datetime.now(UTC)


def to_loopback(_: Endpoint) -> str:
    return "127.0.0.1"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return make_certificate(tmp_path)


@pytest.fixture
def mailbox(certificate: Path) -> Iterator[Mailbox]:
    with mail_server(certificate) as box:
        yield box


@pytest.fixture
def calls(certificate: Path) -> Iterator[Calls]:
    with hook_server(certificate) as found:
        yield found


@pytest.fixture(autouse=True)
def lan(database: Database) -> str:
    """A supervisor of one of two areas."""
    enrolled_edge(database, [OURS], area="ha-noi")
    enrolled_edge(database, [THEIRS], area="hue")
    accounts = Accounts(database)
    password = accounts.create("lan", Role.SUPERVISOR, actor="t", areas=["ha-noi"])
    accounts.change_password("lan", password, PASSWORD)
    return "lan"


def settings(certificate: Path, **values: Any) -> Settings:
    common = {
        "enabled": True,
        "smtp_host": "127.0.0.1",
        "smtp_ca": certificate,
        "mail_from": "hailong@tinh.example",
        "mail_domains": ["tinh.example"],
        "webhook_ca": certificate,
        "public_url": "https://hailong.example/",
        "timeout_s": 5.0,
    }
    return Settings.model_validate({"alerts": common | values})


def raised(database: Database, *counters: str | None, mark: str = "2026-11-16") -> tuple[Alert, ...]:
    found = [
        Finding(AlertKind.SILENT, code, mark, {"since": mark, "weekdays": 4, "counters": 9, "of": 9})
        for code in counters
    ]
    with database.transaction() as connection:
        made = raise_alerts(connection, found)
        enqueue(connection, made)
    return made


def test_a_mail_goes_once_and_holds_what_its_reader_may_see(
    database: Database, mailbox: Mailbox, certificate: Path
) -> None:
    chosen = settings(certificate, smtp_port=mailbox.port)
    subscribe(database, "lan", MAIL, chosen.alerts)
    assert len(raised(database, OURS, THEIRS, None)) == 3
    assert raised(database, OURS, THEIRS, None) == ()
    assert deliver(database, chosen) == 1
    assert deliver(database, chosen, now=NOW + timedelta(days=2)) == 0
    (mail,) = mailbox.mails
    text = mail.get_content()
    assert (mail["To"], mail["Subject"]) == ("lan@tinh.example", "hailong: 2 cảnh báo mới")
    assert OURS in text
    assert "toàn trung tâm" in text
    assert THEIRS not in text
    assert "https://hailong.example/alerts" in text
    assert mailbox.plain == ["EHLO", "STARTTLS"], "nothing but these before the connection is encrypted"
    (state,) = newest_messages(database, "lan")
    assert state.sent_at is not None


def test_a_server_that_turns_a_mail_away_gets_it_later_under_the_same_number(
    database: Database, mailbox: Mailbox, certificate: Path
) -> None:
    chosen = settings(certificate, smtp_port=mailbox.port)
    mailbox.refusals = 2
    subscribe(database, "lan", MAIL, chosen.alerts)
    raised(database, OURS)
    moment = datetime.now(UTC)
    assert deliver(database, chosen, now=moment) == 0
    (state,) = newest_messages(database, "lan")
    assert (state.attempts, state.sent_at, "451" in state.fault or "Refused" in state.fault) == (
        1,
        None,
        True,
    )
    assert deliver(database, chosen, now=moment + timedelta(seconds=30)) == 0, "it waits a minute first"
    assert newest_messages(database, "lan")[0].attempts == 1
    assert deliver(database, chosen, now=moment + timedelta(seconds=80)) == 0
    assert deliver(database, chosen, now=moment + timedelta(seconds=130)) == 0, "and two the second time"
    assert deliver(database, chosen, now=moment + timedelta(minutes=5)) == 1
    assert len(mailbox.mails) == 1


def test_a_message_is_given_up_after_three_days_and_says_so(database: Database, certificate: Path) -> None:
    chosen = settings(certificate, smtp_port=9)  # nobody listens there
    subscribe(database, "lan", MAIL, chosen.alerts)
    raised(database, OURS)
    assert deliver(database, chosen, now=NOW + timedelta(days=2)) == 0
    assert newest_messages(database, "lan")[0].given_up_at is None
    assert deliver(database, chosen, now=NOW + timedelta(days=4)) == 0
    state = newest_messages(database, "lan")[0]
    assert state.given_up_at is not None
    assert "ConnectionRefusedError" in state.fault


@pytest.mark.parametrize("at_once", [False, True])
def test_a_server_with_another_certificate_gets_nothing(
    database: Database, certificate: Path, tmp_path: Path, *, at_once: bool
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with mail_server(make_certificate(other), at_once=at_once) as box:
        chosen = settings(certificate, smtp_port=box.port, smtp_security="tls" if at_once else "starttls")
        subscribe(database, "lan", MAIL, chosen.alerts)
        raised(database, OURS)
        assert deliver(database, chosen) == 0
        assert box.mails == []
        assert "SSL" in newest_messages(database, "lan")[0].fault


def test_a_connection_that_is_encrypted_from_the_start(database: Database, certificate: Path) -> None:
    with mail_server(certificate, at_once=True) as box:
        chosen = settings(certificate, smtp_port=box.port, smtp_security="tls")
        subscribe(database, "lan", MAIL, chosen.alerts)
        raised(database, OURS)
        assert deliver(database, chosen) == 1
        assert box.plain == []


def hook(calls: Calls, certificate: Path) -> tuple[Settings, Wish]:
    chosen = settings(certificate, webhook_hosts=[f"{HOST}:{calls.port}"])
    return chosen, Wish("", ALL, Way.WEBHOOK, f"https://{HOST}:{calls.port}/in?x=1", "en")


def test_a_call_is_signed_and_tried_again(database: Database, calls: Calls, certificate: Path) -> None:
    chosen, wish = hook(calls, certificate)
    key = subscribe(database, "lan", wish, chosen.alerts)
    assert key is not None
    calls.statuses = [503]
    (alert,) = raised(database, OURS)
    moment = datetime.now(UTC)
    assert deliver(database, chosen, now=moment, resolve=to_loopback) == 0
    assert deliver(database, chosen, now=moment + timedelta(minutes=2), resolve=to_loopback) == 1
    first, second = calls.headers
    assert first["Idempotency-Key"] == second["Idempotency-Key"]
    assert second["Host"] == f"{HOST}:{calls.port}"
    body = calls.bodies[1]
    seconds, given = second[SIGNATURE].removeprefix("t=").split(",v1=")
    assert given == hmac.new(key, f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    assert abs(int(seconds) - datetime.now(UTC).timestamp()) < 60
    (told,) = json.loads(body)["alerts"]
    assert (told["alert"], told["counter"], told["values"]["weekdays"]) == (str(alert.alert_id), OURS, 4)
    assert "4 working days" in told["text"]


def test_a_redirection_is_not_followed(database: Database, calls: Calls, certificate: Path) -> None:
    chosen, wish = hook(calls, certificate)
    subscribe(database, "lan", wish, chosen.alerts)
    calls.statuses = [307]
    raised(database, OURS)
    assert deliver(database, chosen, resolve=to_loopback) == 0
    assert len(calls.bodies) == 1
    assert newest_messages(database, "lan")[0].fault == "the host answered 307"


def test_a_host_that_is_no_longer_allowed_gets_nothing(
    database: Database, calls: Calls, certificate: Path
) -> None:
    chosen, wish = hook(calls, certificate)
    subscribe(database, "lan", wish, chosen.alerts)
    raised(database, OURS)
    assert deliver(database, settings(certificate), resolve=to_loopback) == 0
    assert calls.bodies == []
    assert newest_messages(database, "lan")[0].given_up_at is not None


def test_a_name_that_points_inside_gets_nothing(database: Database, calls: Calls, certificate: Path) -> None:
    target = f"localhost:{calls.port}"
    chosen = settings(certificate, webhook_hosts=[target])
    subscribe(database, "lan", Wish("", ALL, Way.WEBHOOK, f"https://{target}/", "vi"), chosen.alerts)
    raised(database, OURS)
    assert deliver(database, chosen) == 0
    assert calls.bodies == []
    assert "nothing is sent there" in newest_messages(database, "lan")[0].fault


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),  # named as such in the settings
        ("10.1.2.3", True),
        ("localhost", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - an address that must be refused
        ("::ffff:169.254.169.254", False),
        ("fe80::1", False),
    ],
)
def test_addresses_of_the_machine_and_its_network_are_no_targets(
    host: str,
    allowed: bool,  # noqa: FBT001 - a table's column
) -> None:
    endpoint = Endpoint(host, 443, "/")
    if allowed:
        assert resolved(endpoint) == host
    else:
        with pytest.raises(TargetRefused):
            resolved(endpoint)


@pytest.mark.parametrize(
    "target",
    [
        "http://ok.example/",
        "https://ok.example:8443/",
        "https://no.example/",
        "https://lan:x@ok.example/",
        "https://ok.example/#x",
        "https://ok.example\\@no.example/",
        "https://ok.example/a b",
        "https://ok.example:port/",
        "https://ok.example/\r\nHost: no",
        "https://ok.example.no.example/",
        "ftp://ok.example/",
        "ok.example",
        "https://ok.example/" + "a" * 500,
    ],
)
def test_only_plain_addresses_of_allowed_hosts_are_called(target: str) -> None:
    allowed = AlertsSettings(webhook_hosts=("ok.example", "ok.example:444"))
    assert webhook_target("https://OK.example/a?b=c", allowed) == Endpoint("ok.example", 443, "/a?b=c")
    assert webhook_target("https://ok.example:444", allowed) == Endpoint("ok.example", 444, "/")
    with pytest.raises(CaseRefused):
        webhook_target(target, allowed)


@pytest.mark.parametrize(
    "target", ["lan", "lan@no.example", "a@b@tinh.example", "lan@tinh.example\r\nBcc: x@y.z", "@tinh.example"]
)
def test_only_addresses_of_allowed_domains_are_written_to(target: str) -> None:
    allowed = AlertsSettings(mail_domains=("Tinh.example",))
    assert mail_target(" lan@tinh.EXAMPLE ", allowed) == "lan@tinh.EXAMPLE"
    with pytest.raises(CaseRefused):
        mail_target(target, allowed)
    with pytest.raises(CaseRefused):
        mail_target("lan@tinh.example", AlertsSettings())


def test_rights_are_asked_again_when_a_message_goes(
    database: Database, mailbox: Mailbox, certificate: Path
) -> None:
    chosen = settings(certificate, smtp_port=mailbox.port)
    subscribe(database, "lan", MAIL, chosen.alerts)
    raised(database, OURS)
    with database.transaction() as connection:
        connection.execute("UPDATE users SET areas = '{hue}' WHERE name = 'lan'")
    assert deliver(database, chosen) == 0
    assert mailbox.mails == []
    raised(database, THEIRS)
    Accounts(database).disable("lan", actor="admin")
    assert deliver(database, chosen) == 0
    assert mailbox.mails == []


def test_two_senders_never_hold_the_same_message(database: Database, certificate: Path) -> None:
    chosen = settings(certificate)
    for number in range(8):
        subscribe(database, "lan", Wish("", ALL, Way.MAIL, f"p{number}@tinh.example", "vi"), chosen.alerts)
    raised(database, OURS)
    start, taken = threading.Barrier(4), []
    moment = datetime.now(UTC)

    def take() -> None:
        start.wait()
        while (message := lease(database, moment)) is not None:
            taken.append(message.message_id)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 8
    assert lease(database, moment + LEASE / 2) is None
    assert lease(database, moment + LEASE + timedelta(seconds=1)) is not None, "one that died gives it back"


def test_alerts_and_their_messages_are_kept_together_or_not_at_all(
    database: Database, certificate: Path
) -> None:
    subscribe(database, "lan", MAIL, settings(certificate).alerts)
    found = Finding(AlertKind.SILENT, OURS, "2026-01-02", {"since": "2026-01-02", "weekdays": 3})
    with database.transaction() as connection:
        assert enqueue(connection, raise_alerts(connection, [found])) == 1
        connection.rollback()
    assert lease(database, datetime.now(UTC)) is None
    assert len(raised(database, OURS, mark="2026-01-02")) == 1
    assert lease(database, datetime.now(UTC)) is not None


def test_a_subscription_ends_with_all_that_waits_for_it(database: Database, certificate: Path) -> None:
    chosen = settings(certificate).alerts
    subscribe(database, "lan", MAIL, chosen)
    raised(database, OURS)
    with database.transaction() as connection:
        (mine,) = subscriptions(connection, "lan")
    with pytest.raises(CaseRefused):
        end_subscription(database, "somebody", mine.subscription_id)
    end_subscription(database, "lan", mine.subscription_id)
    assert lease(database, datetime.now(UTC)) is None
    with pytest.raises(CaseRefused):
        subscribe(database, "lan", Wish("", (), Way.MAIL, "lan@tinh.example", "vi"), chosen)


def test_an_area_and_kinds_narrow_a_subscription(database: Database, certificate: Path) -> None:
    chosen = settings(certificate).alerts
    subscribe(database, "lan", Wish("hue", ALL, Way.MAIL, "a@tinh.example", "vi"), chosen)
    subscribe(database, "lan", Wish("", (AlertKind.CHANGE,), Way.MAIL, "b@tinh.example", "vi"), chosen)
    raised(database, OURS, THEIRS)
    assert lease(database, datetime.now(UTC)) is None
