"""The uplink signs what it sends, keeps what is not confirmed, and never gives up."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from capture.identity import EdgeKey, Enrolment, EnrolmentRefused, IdentityError, enrol, load_enrolment
from capture.outbox import Outbox
from capture.uplink import MAX_BODY_BYTES, Uplink, UplinkRefused


class FakeCentre:
    """Keeps the contract of POST /v1/batches; can be told to misbehave."""

    def __init__(self, key: EdgeKey) -> None:
        self.public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public_key()))
        self.rows: dict[int, dict[str, object]] = {}
        self.batches: list[int] = []
        self.answers: list[Callable[[], httpx.Response]] = []
        self.lose_answers = 0
        self.refused_payload: dict[str, object] | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.public.verify(base64.b64decode(request.headers["Hailong-Signature"]), request.content)
        if self.answers:
            return self.answers.pop(0)()
        batch = json.loads(request.content)
        assert len(request.content) <= MAX_BODY_BYTES
        high = max(self.rows, default=0)
        if batch["first_seq"] > high + 1:
            return httpx.Response(409, json={"high_water": high})
        if any(entry["payload"] == self.refused_payload for entry in batch["entries"]):
            return httpx.Response(422, json={"detail": "unreadable entry"})
        for entry in batch["entries"]:
            self.rows.setdefault(entry["seq"], entry["payload"])
        self.batches.append(len(batch["entries"]))
        if self.lose_answers:
            self.lose_answers -= 1
            raise httpx.ReadTimeout("the answer was lost", request=request)
        return httpx.Response(200, json={"high_water": max(self.rows), "quarantined": []})


@pytest.fixture
def key(tmp_path: Path) -> EdgeKey:
    return EdgeKey.load_or_make(tmp_path)


@pytest.fixture
def centre(key: EdgeKey) -> FakeCentre:
    return FakeCentre(key)


@pytest.fixture
def uplink(tmp_path: Path, key: EdgeKey, centre: FakeCentre) -> Uplink:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    return Uplink(
        outbox=outbox,
        key=key,
        enrolment=Enrolment(uuid4(), "http://centre", ("quay-1",)),
        transport=httpx.MockTransport(centre),
        longest_wait_s=0.02,
    )


@pytest.fixture
def client(uplink: Uplink) -> httpx.Client:
    return httpx.Client(base_url="http://centre", transport=uplink.transport)


def fill(outbox: Outbox, count: int) -> None:
    for n in range(count):
        outbox.put("signal", {"n": n}, key=uuid4())


def test_everything_arrives_once_in_order(uplink: Uplink, centre: FakeCentre, client: httpx.Client) -> None:
    fill(uplink.outbox, 1203)
    while uplink.send_once(client):
        pass
    assert [centre.rows[seq]["n"] for seq in sorted(centre.rows)] == list(range(1203))
    assert centre.batches == [500, 500, 203]
    assert uplink.outbox.depth() == 0
    assert uplink.state.delivered == 1203


def test_nothing_is_sent_of_a_consent_whose_withdrawal_waits_to_be_written(
    uplink: Uplink, centre: FakeCentre, client: httpx.Client
) -> None:
    records = [uuid4() for _ in range(3)]
    for record_id in records:
        uplink.outbox.put("signal", {"consent_record_id": str(record_id)}, key=record_id)
    uplink.withheld = lambda: {records[1]}
    assert uplink.send_once(client) == 1
    assert uplink.send_once(client) == 0
    assert sorted(centre.rows) == [1]
    uplink.outbox.erase(records[1])  # the log can be written again: what is sent is a tombstone
    assert uplink.send_once(client) == 2
    assert centre.rows[2] == {"record_id": str(records[1])}


def test_a_lost_answer_is_sent_again_without_effect(
    uplink: Uplink, centre: FakeCentre, client: httpx.Client
) -> None:
    fill(uplink.outbox, 3)
    centre.lose_answers = 1
    with pytest.raises(httpx.ReadTimeout):
        uplink.send_once(client)
    assert uplink.outbox.depth() == 3
    assert uplink.send_once(client) == 3
    assert centre.batches == [3, 3]
    assert len(centre.rows) == 3


def test_a_centre_restored_from_a_backup_is_served_again(
    uplink: Uplink, centre: FakeCentre, client: httpx.Client
) -> None:
    fill(uplink.outbox, 6)
    uplink.send_once(client)
    for seq in (4, 5, 6):
        del centre.rows[seq]
    fill(uplink.outbox, 1)
    assert uplink.send_once(client) == 0  # the centre says that it knows three
    assert uplink.send_once(client) == 1
    assert sorted(centre.rows) == [1, 2, 3, 4, 5, 6, 7]
    assert uplink.send_once(client) == 0
    assert uplink.outbox.depth() == 0


def test_a_centre_that_asks_for_what_is_gone_is_reported(
    uplink: Uplink, centre: FakeCentre, client: httpx.Client
) -> None:
    fill(uplink.outbox, 2)
    centre.answers.append(lambda: httpx.Response(409, json={"high_water": 77}))
    with pytest.raises(UplinkRefused, match="no longer kept"):
        uplink.send_once(client)
    assert uplink.outbox.depth() == 2


def test_a_number_used_twice_stops_the_sending(
    uplink: Uplink, centre: FakeCentre, client: httpx.Client
) -> None:
    fill(uplink.outbox, 2)
    centre.answers.append(
        lambda: httpx.Response(409, json={"kind": "sequence-reused", "high_water": 1, "detail": "seq 1"})
    )
    with pytest.raises(UplinkRefused, match=r"seq 1.*Enrol this edge again"):
        uplink.send_once(client)
    assert uplink.outbox.depth() == 2
    assert centre.rows == {}


@pytest.mark.parametrize(
    ("date", "words"),
    [
        (timedelta(days=30), "behind the centre's: set it"),
        (timedelta(days=-30), "ahead of the centre's: set it"),
        (timedelta(seconds=5), None),
        (None, None),
    ],
)
def test_a_wrong_clock_is_told(
    uplink: Uplink, centre: FakeCentre, client: httpx.Client, date: timedelta | None, words: str | None
) -> None:
    fill(uplink.outbox, 1)
    headers = {} if date is None else {"Date": format_datetime(datetime.now(UTC) + date, usegmt=True)}
    centre.answers.append(lambda: httpx.Response(200, json={"high_water": 1}, headers=headers))
    assert uplink.send_once(client) == 1
    problem = uplink.state.clock_problem()
    assert problem is None if words is None else words in str(problem)


def test_an_unknown_edge_keeps_its_signals_and_says_what_to_do(
    uplink: Uplink, centre: FakeCentre, client: httpx.Client
) -> None:
    fill(uplink.outbox, 2)
    centre.answers.append(lambda: httpx.Response(401, json={"detail": "edge is revoked"}))
    with pytest.raises(UplinkRefused, match=r"edge is revoked.*hailong edge enrol"):
        uplink.send_once(client)
    assert uplink.outbox.depth() == 2


def test_a_refused_batch_is_halved_until_the_bad_entry_stands_alone(
    uplink: Uplink, centre: FakeCentre, client: httpx.Client
) -> None:
    fill(uplink.outbox, 9)
    centre.refused_payload = {"n": 6}
    for _ in range(12):
        try:
            uplink.send_once(client)
        except UplinkRefused as error:
            assert "unreadable entry" in str(error)  # noqa: PT017 - refused many times on the way
    assert sorted(centre.rows) == [1, 2, 3, 4, 5, 6]
    assert uplink.outbox.depth() == 3


def test_a_body_is_never_larger_than_the_centre_takes(
    uplink: Uplink, centre: FakeCentre, client: httpx.Client
) -> None:
    for n in range(6):
        uplink.outbox.put("signal", {"n": n, "fill": "x" * 600_000}, key=uuid4())
    while uplink.send_once(client):
        pass
    assert sorted(centre.rows) == [1, 2, 3, 4, 5, 6]


def test_the_thread_goes_on_after_every_kind_of_failure(uplink: Uplink, centre: FakeCentre) -> None:
    def broken() -> httpx.Response:
        raise httpx.ConnectError("refused")

    centre.answers = [
        broken,
        lambda: httpx.Response(503, headers={"Retry-After": "1"}),
        lambda: httpx.Response(200, text="not json"),
        lambda: httpx.Response(200, json=[1]),
        lambda: httpx.Response(200, json={}),
        lambda: httpx.Response(200, json={"high_water": None}),
        lambda: httpx.Response(409, json={"detail": "sequence-reused"}),
    ]
    fill(uplink.outbox, 3)
    uplink.start()
    try:
        for _ in range(500):
            if uplink.outbox.depth() == 0:
                break
            uplink._stop.wait(0.01)
    finally:
        uplink.stop()
    assert sorted(centre.rows) == [1, 2, 3]
    assert uplink.state.failures == 0
    assert uplink.state.last_error is None


def test_the_key_is_private_and_stays(tmp_path: Path) -> None:
    first = EdgeKey.load_or_make(tmp_path)
    assert (tmp_path / "edge-key.pem").stat().st_mode & 0o777 == 0o600
    assert EdgeKey.load_or_make(tmp_path).public_key() == first.public_key()


def test_a_damaged_key_or_enrolment_is_named(tmp_path: Path) -> None:
    (tmp_path / "edge-key.pem").write_text("nonsense")
    with pytest.raises(IdentityError, match=r"edge-key\.pem"):
        EdgeKey.load_or_make(tmp_path)
    (tmp_path / "enrolment.json").write_text("{")
    with pytest.raises(IdentityError, match=r"enrolment\.json is damaged"):
        load_enrolment(tmp_path)


def test_enrolment_without_a_centre_says_so(tmp_path: Path, unused_port: int) -> None:
    with pytest.raises(EnrolmentRefused, match="cannot be reached"):
        enrol(tmp_path, centre=f"http://127.0.0.1:{unused_port}", token="t", name="edge")  # noqa: S106 - no secret
    assert load_enrolment(tmp_path) is None
