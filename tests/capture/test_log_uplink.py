"""The log reaches the centre entry by entry, and what was asked for there comes back in time."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from capture.contact import ContactLease
from capture.identity import EdgeKey, Enrolment
from capture.log_uplink import MAX_BODY_BYTES, LogForked, LogRefused, LogUplink
from consent.checkpoint import open_note, verifier
from consent.entry import parse_entry
from consent.gate import Gate
from consent.merkle import MemoryNodes, leaf_hash, root
from consent.purpose import Purpose
from consent.state import State
from tests.capture.edge_folder import EdgeFolder


class FakeCentre:
    """Keeps the contract of POST /v1/log: every root is computed anew and compared with the signed one."""

    def __init__(self, key: EdgeKey) -> None:
        self.public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public_key()))
        self.key = key
        self.leaves: list[bytes] = []
        self.asked: dict[UUID, str] = {}
        self.answers: list[Callable[[], httpx.Response]] = []
        self.requests: list[tuple[int, int]] = []
        self.down = False
        self.largest = 500

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("no route", request=request)
        self.public.verify(base64.b64decode(request.headers["Hailong-Signature"]), request.content)
        assert len(request.content) <= MAX_BODY_BYTES
        part = json.loads(request.content)
        assert set(part) == {"edge", "first_index", "entries", "checkpoint", "keys"}
        self.requests.append((part["first_index"], len(part["entries"])))
        if self.answers:
            return self.answers.pop(0)()
        if len(part["entries"]) > self.largest:
            return httpx.Response(422, json={"kind": "bad-envelope", "detail": "too many"})
        if part["first_index"] > len(self.leaves):
            return httpx.Response(409, json={"kind": "log-behind", "size": len(self.leaves)})
        note = part["checkpoint"].encode()
        (vkey,) = part["keys"]
        tree = open_note(note, [verifier(vkey)]).checkpoint
        assert vkey == self.key.signer(tree.origin).vkey()
        entries = [text.encode() for text in part["entries"]]
        merged = self.leaves[: part["first_index"]] + entries
        kept = merged if len(merged) > len(self.leaves) else self.leaves
        nodes = MemoryNodes()
        for leaf in kept[: tree.size]:
            nodes.append(leaf_hash(leaf))
        if tree.size != len(merged) or root(tree.size, nodes) != tree.root:
            return httpx.Response(409, json={"kind": "log-forked", "detail": "another root"})
        self.leaves = kept
        withdrawn = {json.loads(leaf)["record_id"] for leaf in kept if b'"kind":"withdrawn"' in leaf}
        return httpx.Response(
            200,
            json={
                "size": len(self.leaves),
                "withdrawals": [
                    {"record_id": str(record), "requested_at": "2026-11-22T00:00:00Z", "method": method}
                    for record, method in self.asked.items()
                    if str(record) not in withdrawn
                ],
            },
        )


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[EdgeFolder]:
    with EdgeFolder(tmp_path / "edge") as made:
        yield made


@pytest.fixture
def centre(edge: EdgeFolder) -> FakeCentre:
    return FakeCentre(edge.key)


@pytest.fixture
def uplink(edge: EdgeFolder, centre: FakeCentre) -> Iterator[LogUplink]:
    made = LogUplink(
        store=edge.store,
        key=edge.key,
        enrolment=Enrolment(uuid4(), "http://centre", ("quay-1",)),
        steps=edge.steps,
        contact=ContactLease(),
        transport=httpx.MockTransport(centre),
    )
    yield made
    made.stop()


@pytest.fixture
def client(uplink: LogUplink) -> httpx.Client:
    return httpx.Client(base_url="http://centre", transport=uplink.transport)


def sync(uplink: LogUplink, client: httpx.Client) -> None:
    for _ in range(50):
        if uplink.sync_once(client):
            return
    pytest.fail("the centre never had the whole log")


def test_every_entry_arrives_once_and_in_order(
    edge: EdgeFolder, centre: FakeCentre, uplink: LogUplink, client: httpx.Client
) -> None:
    for _ in range(4):
        edge.served()
    sync(uplink, client)
    assert centre.leaves == [stored.body for stored in edge.store.log.entries()]
    assert all(parse_entry(leaf) for leaf in centre.leaves)
    assert uplink.state.acknowledged == edge.store.log.size
    edge.served()
    sync(uplink, client)
    assert centre.leaves == [stored.body for stored in edge.store.log.entries()]
    sync(uplink, client)
    assert centre.requests[-1] == (edge.store.log.size, 0)  # nothing new: only a question


def test_a_long_log_goes_in_parts(
    edge: EdgeFolder, centre: FakeCentre, uplink: LogUplink, client: httpx.Client
) -> None:
    edge.served()
    edge.served()
    centre.largest = 4
    for _ in range(60):
        try:
            if uplink.sync_once(client):
                break
        except LogRefused as error:
            assert "too many" in str(error)  # noqa: PT017 - refused on the way to smaller parts
    assert centre.leaves == [stored.body for stored in edge.store.log.entries()]


def test_a_centre_that_was_restored_is_served_again(
    edge: EdgeFolder, centre: FakeCentre, uplink: LogUplink, client: httpx.Client
) -> None:
    edge.served()
    sync(uplink, client)
    del centre.leaves[3:]
    edge.served()
    sync(uplink, client)
    assert centre.leaves == [stored.body for stored in edge.store.log.entries()]


def test_another_log_under_our_name_is_an_alarm(
    edge: EdgeFolder, centre: FakeCentre, uplink: LogUplink, client: httpx.Client
) -> None:
    edge.served()
    sync(uplink, client)
    centre.leaves[2] = centre.leaves[2].replace(b"quay-1", b"quay-2")
    with pytest.raises(LogForked, match="another root"):
        uplink.sync_once(client)
    uplink._attempt(client)
    assert uplink.state.forked
    assert uplink.state.failures == 1


def test_a_folder_from_an_old_backup_is_told_from_a_fork(
    edge: EdgeFolder, centre: FakeCentre, uplink: LogUplink, client: httpx.Client
) -> None:
    edge.served()
    sync(uplink, client)
    size = edge.store.log.size
    centre.answers = [lambda: httpx.Response(200, json={"size": size + 3, "withdrawals": []})]
    with pytest.raises(LogForked, match="restored from an old backup"):
        uplink.sync_once(client)
    centre.answers = [lambda: httpx.Response(409, json={"kind": "log-behind", "size": size + 3})]
    with pytest.raises(LogForked, match="restored from an old backup"):
        uplink.sync_once(client)


@pytest.mark.parametrize("late", [False, True], ids=["while it captures", "after the session"])
def test_a_withdrawal_asked_for_at_the_centre_is_done_once(
    edge: EdgeFolder, centre: FakeCentre, uplink: LogUplink, client: httpx.Client, *, late: bool
) -> None:
    record_id = edge.served() if late else edge.given()
    sync(uplink, client)
    centre.asked[record_id] = "central-page"
    uplink.sync_once(client)
    assert edge.store.state(record_id) is State.WITHDRAWN
    assert edge.store.events(record_id)[-1].event.method == "remote-central-page"
    uplink.sync_once(client)  # the centre repeats until it has seen the event
    sync(uplink, client)
    kinds = [item.event.kind.value for item in edge.store.events(record_id)]
    assert kinds.count("withdrawn") == 1
    assert uplink.state.withdrawals == 1
    assert edge.erasure.erase_due() == 1


@pytest.mark.parametrize("method", ["A Page", "x" * 80, None, "-", 'x","by":"y'])
def test_the_centre_writes_no_words_into_our_log(
    edge: EdgeFolder, centre: FakeCentre, uplink: LogUplink, client: httpx.Client, method: Any
) -> None:
    record_id = edge.given()
    sync(uplink, client)
    centre.asked[record_id] = method
    uplink.sync_once(client)
    assert edge.store.events(record_id)[-1].event.method == "remote"


def test_a_withdrawal_of_something_unknown_harms_nothing(
    edge: EdgeFolder, centre: FakeCentre, uplink: LogUplink, client: httpx.Client
) -> None:
    record_id = edge.given()
    sync(uplink, client)
    centre.asked = {uuid4(): "page", record_id: "page"}
    uplink.sync_once(client)
    assert edge.store.state(record_id) is State.WITHDRAWN


def test_a_remote_withdrawal_ends_the_capture_in_five_seconds(
    edge: EdgeFolder, centre: FakeCentre, uplink: LogUplink
) -> None:
    """With the intervals of the program: two seconds between two questions while it captures."""
    gate = Gate(edge.store)
    uplink.capturing = lambda: True
    uplink.start()
    grant = gate.grant(edge.given())
    while len(centre.leaves) < edge.store.log.size:
        time.sleep(0.01)
    asked = time.monotonic()
    centre.asked[grant.record_id] = "page"
    assert grant.wait_ended(20)
    took_s = time.monotonic() - asked
    print(f"remote withdrawal: {took_s:.2f} s")  # noqa: T201 - the figure of the run
    assert grant.ended_by is State.WITHDRAWN
    assert took_s < 5


@pytest.mark.parametrize("capturing", [True, False])
def test_the_interval_follows_the_capture(
    uplink: LogUplink, client: httpx.Client, *, capturing: bool
) -> None:
    uplink.capturing = lambda: capturing
    while uplink._attempt(client) == 0:
        pass
    assert uplink._attempt(client) == (2.0 if capturing else 30.0)


def test_an_answer_is_a_contact_and_a_failure_is_none(
    edge: EdgeFolder, centre: FakeCentre, uplink: LogUplink, client: httpx.Client
) -> None:
    assert uplink.contact is not None
    edge.store.subscribe(uplink.contact.note)
    record_id = edge.given()
    sync(uplink, client)
    bound = uplink.contact.bound(record_id)
    assert bound is not None
    centre.down = True
    uplink._attempt(client)
    assert uplink.contact.bound(record_id) == bound
    centre.down = False
    uplink._attempt(client)
    later = uplink.contact.bound(record_id)
    assert later is not None
    assert later > bound


def test_offline_the_lease_ends_what_nobody_can_withdraw(
    tmp_path: Path,
) -> None:
    clock_ns = [10**12]
    with EdgeFolder(tmp_path / "offline", monotonic_ns=lambda: clock_ns[0]) as edge:
        centre, contact = FakeCentre(edge.key), ContactLease(60, monotonic_ns=lambda: clock_ns[0])
        edge.store.subscribe(contact.note)
        gate = Gate(edge.store, monotonic_ns=lambda: clock_ns[0], bound=contact.bound)
        uplink = LogUplink(
            store=edge.store,
            key=edge.key,
            enrolment=Enrolment(uuid4(), "http://centre", ("quay-1",)),
            steps=edge.steps,
            contact=contact,
            capturing=lambda: True,
            transport=httpx.MockTransport(centre),
        )
        client = httpx.Client(base_url="http://centre", transport=uplink.transport)
        grant = gate.grant(edge.given())
        sync(uplink, client)
        centre.down, centre.asked = True, {grant.record_id: "page"}
        lived_s = 0
        while grant.live(Purpose.IMAGE):
            lived_s += 1
            clock_ns[0] += 10**9
            uplink._attempt(client)
        assert lived_s == 60
        centre.down = False
        while uplink._attempt(client) == 0 or edge.store.state(grant.record_id) is not State.WITHDRAWN:
            pass
        assert edge.store.state(grant.record_id) is State.WITHDRAWN  # late, and erased like any other


def test_the_thread_survives_whatever_the_centre_answers(
    edge: EdgeFolder, centre: FakeCentre, uplink: LogUplink
) -> None:
    def broken() -> httpx.Response:
        raise httpx.ConnectError("refused")

    centre.answers = [
        broken,
        lambda: httpx.Response(503),
        lambda: httpx.Response(200, text="no json"),
        lambda: httpx.Response(200, json=[]),
        lambda: httpx.Response(200, json={"size": "many", "withdrawals": []}),
        lambda: httpx.Response(200, json={"size": 0, "withdrawals": [{"record_id": "x"}]}),
        lambda: httpx.Response(401, json={"detail": "revoked"}),
    ]
    uplink.poll_idle_s = uplink.poll_capturing_s = 0.01
    edge.served()
    uplink.start()
    for _ in range(1000):
        if len(centre.leaves) == edge.store.log.size and uplink.state.failures == 0:
            break
        threading.Event().wait(0.01)
    assert centre.leaves == [stored.body for stored in edge.store.log.entries()]
    assert (uplink.state.failures, uplink.state.last_error) == (0, None)
