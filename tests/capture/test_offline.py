"""Three days without a network: nothing is lost, nothing is counted twice, and who withdrew is gone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from capture.identity import Enrolment
from capture.log_uplink import LogUplink
from capture.uplink import Uplink
from consent.state import State
from tests.capture.edge_folder import EdgeFolder
from tests.capture.test_log_uplink import FakeCentre

HOURS = 72


class WholeCentre(FakeCentre):
    """The log's centre, and beside it the contract of POST /v1/batches with tombstones."""

    rows: dict[int, dict[str, object]]
    accepted: int = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/log":
            return super().__call__(request)
        if self.down:
            raise httpx.ConnectError("no route", request=request)
        batch = json.loads(request.content)
        high = max(self.rows, default=0)
        if batch["first_seq"] > high + 1:
            return httpx.Response(409, json={"kind": "sequence-gap", "high_water": high})
        for entry in batch["entries"]:
            known = self.rows.get(entry["seq"])
            if known is None:
                self.accepted += entry["kind"] == "signal"
            elif known != entry and entry["kind"] != "erased":
                return httpx.Response(409, json={"kind": "sequence-reused", "high_water": high})
            self.rows[entry["seq"]] = entry
        if self.lose():
            raise httpx.ReadTimeout("the answer was lost", request=request)
        return httpx.Response(200, json={"high_water": max(self.rows), "quarantined": []})

    def lose(self) -> bool:
        return self.chance.random() < 0.2

    chance: random.Random


def uplinks(edge: EdgeFolder, centre: WholeCentre) -> tuple[Uplink, LogUplink, httpx.Client]:
    enrolment = Enrolment(UUID(int=1), "http://centre", ("quay-1",))
    transport = httpx.MockTransport(centre)
    batches = Uplink(outbox=edge.outbox, key=edge.key, enrolment=enrolment, transport=transport)
    log = LogUplink(
        store=edge.store, key=edge.key, enrolment=enrolment, steps=edge.steps, transport=transport
    )
    return batches, log, httpx.Client(base_url="http://centre", transport=transport)


def exchange(edge: EdgeFolder, centre: WholeCentre, attempts: int) -> None:
    """Let both uplinks try, until nothing waits or the attempts are used up."""
    batches, log, client = uplinks(edge, centre)
    for _ in range(attempts):
        try:
            batches.send_once(client)
            whole = log.sync_once(client)
        except httpx.HTTPError:
            continue
        if whole and not edge.outbox.depth():
            return


@pytest.mark.parametrize("sessions", [36, pytest.param(864, marks=pytest.mark.long)])
def test_seventy_two_hours_without_a_network(tmp_path: Path, seed: int, sessions: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a repeatable run, no secret
    now_ns = [10**15]
    folder = tmp_path / "edge"
    served: list[UUID] = []
    withdrawn: set[UUID] = set()
    with EdgeFolder(folder) as edge:
        centre = WholeCentre(edge.key)
    centre.rows, centre.chance = {}, chance
    for stretch in range(HOURS // 6 + 1):
        with EdgeFolder(folder, monotonic_ns=lambda: now_ns[0]) as edge:  # a restart every six hours
            edge.start()
            centre.down = stretch > 0
            for _ in range(sessions * 6 // HOURS):
                now_ns[0] += HOURS * 3600 * 10**9 // sessions
                served.append(edge.served(release=chance.random() < 0.9))  # else cut before the release
                if chance.random() < 0.15:
                    late = chance.choice(served)
                    if late not in withdrawn:
                        edge.withdraw(late)
                        withdrawn.add(late)
                edge.erasure.erase_due()
                exchange(edge, centre, attempts=1)
    centre.down = False
    with EdgeFolder(folder, monotonic_ns=lambda: now_ns[0]) as edge:
        edge.start()
        exchange(edge, centre, attempts=500)
        assert edge.outbox.depth() == 0
        assert centre.leaves == [stored.body for stored in edge.store.log.entries()]
        assert edge.store.verify().ok
        signals = [row for row in centre.rows.values() if row["kind"] == "signal"]
        counted = [UUID(dict(row["payload"])["consent_record_id"]) for row in signals]  # type: ignore[call-overload]  # JSON
        assert sorted(centre.rows) == list(range(1, len(centre.rows) + 1))
        assert len(set(counted)) == len(counted)
        assert set(counted) == set(served) - withdrawn
        assert all(edge.store.state(record_id) is State.WITHDRAWN for record_id in withdrawn)
        assert all(edge.erasure.certificate(record_id) is not None for record_id in withdrawn)
    print(  # noqa: T201 - the figures of the run
        f"{len(served)} sessions, {HOURS} h offline: {len(counted)} signals counted, "
        f"{len(withdrawn)} withdrawn and erased, {len(centre.leaves)} log entries"
    )


def test_a_withdrawal_after_delivery_reaches_the_centre_as_a_tombstone(tmp_path: Path) -> None:
    with EdgeFolder(tmp_path / "edge") as edge:
        centre = WholeCentre(edge.key)
        centre.rows, centre.chance = {}, random.Random(2)  # noqa: S311 - a repeatable run, no secret
        batches, _, client = uplinks(edge, centre)
        records = [edge.served() for _ in range(3)]
        while edge.outbox.depth():
            try:
                batches.send_once(client)
            except httpx.HTTPError:
                continue
        assert [row["kind"] for row in centre.rows.values()] == ["signal"] * 3
        assert all("salt" in row for row in centre.rows.values())
        edge.withdraw(records[1])
        edge.erasure.erase_due()
        edge.served()  # what is new goes first
        while edge.outbox.depth():
            try:
                batches.send_once(client)
            except httpx.HTTPError:
                continue
        assert [centre.rows[seq]["kind"] for seq in (1, 2, 3, 4)] == ["signal", "erased", "signal", "signal"]
        assert centre.rows[2]["payload"] == {"record_id": str(records[1])}
        assert "salt" not in centre.rows[2]
