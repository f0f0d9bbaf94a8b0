"""Health says what is wrong and metrics count what happened, without a word about who chose what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from capture.counter import CounterStatus
from capture.log_uplink import LogUplinkState
from capture.loopback import LoopbackServer
from capture.monitor import build_monitor
from capture.outbox import Outbox
from capture.uplink import UplinkState
from tests.capture.stand_ins import CountingPerception


class Edge:
    """A worker of which only what is watched exists."""

    def __init__(self, folder: Path) -> None:
        self.outbox = Outbox(folder / "outbox.sqlite")
        self.perception = CountingPerception()
        self.playlists: dict[str, Any] = {}
        self.status = CounterStatus(capturing=False, sessions={}, last_error=None)
        self.counters = {"quay-1": SimpleNamespace(status=lambda: self.status)}
        self.uplink: SimpleNamespace | None = SimpleNamespace(state=UplinkState())
        self.log_uplink = self.log(LogUplinkState(acknowledged=7))
        self.erasure = SimpleNamespace(trouble=None)
        self.steps: list[str] = []

    @staticmethod
    def log(state: LogUplinkState) -> SimpleNamespace:
        return SimpleNamespace(state=state, store=SimpleNamespace(log=SimpleNamespace(size=9)))

    def get(self, path: str, **headers: str) -> httpx.Response:
        app = build_monitor(self)  # type: ignore[arg-type]  # what is watched, and no more
        with LoopbackServer(app, name="health page", key="metrics_port") as server:
            return httpx.get(server.url + path, headers=headers, trust_env=False, timeout=30)

    def metrics(self) -> dict[tuple[str, str], float]:
        text = self.get("/metrics").text
        return {
            (sample.name, sample.labels.get("state", "")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    made = Edge(tmp_path)
    yield made
    made.outbox.close()


def test_all_is_well(edge: Edge) -> None:
    answer = edge.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "problems": [],
        "counters": {"quay-1": {"capturing": False, "sessions": {}}},
        "models": [{"name": "counting", "version": "1", "sha256": "0" * 64}],
        "outbox": {"waiting": 0, "oldest_s": 0.0},
        "log": {
            "acknowledged": 7,
            "entries": 9,
            "withdrawals": 0,
            "failures_in_a_row": 0,
            "forked": False,
            "last_error": None,
        },
        "uplink": {"delivered": 0, "quarantined": 0, "failures_in_a_row": 0, "last_error": None},
    }


@pytest.mark.parametrize("what", ["camera", "uplink", "playlist", "log", "fork", "erasure", "steps"])
def test_each_trouble_is_named(edge: Edge, what: str) -> None:
    if what == "camera":
        edge.status = CounterStatus(capturing=True, sessions={}, last_error="no camera")
        words = "quay-1: no camera"
    elif what == "uplink":
        edge.uplink = SimpleNamespace(state=UplinkState(failures=3, last_error="no network"))
        words = "uplink: no network"
    elif what == "log":
        edge.log_uplink = edge.log(LogUplinkState(failures=1, last_error="no answer"))
        words = "consent log: no answer"
    elif what == "fork":
        edge.log_uplink = edge.log(LogUplinkState(failures=1, last_error="another log", forked=True))
        words = "ALARM: consent log forked: another log"
    elif what == "erasure":
        edge.erasure = SimpleNamespace(trouble="the disk is full")
        words = "erasure: the disk is full"
    elif what == "steps":
        edge.steps = ["withdrawn"]
        words = "consent log: 1 steps wait to be written"
    else:
        edge.playlists = {"quay-1": SimpleNamespace(error="item-1: no file")}
        words = "quay-1: item-1: no file"
    answer = edge.get("/healthz")
    assert answer.status_code == 503
    assert (answer.json()["status"], answer.json()["problems"]) == ("attention", [words])


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_a_page_of_another_name_reads_nothing(edge: Edge, path: str) -> None:
    answer = edge.get(path, Host="rebound.example")
    assert (answer.status_code, "capturing" in answer.text) == (403, False)


def test_metrics_follow_what_happened(edge: Edge) -> None:
    assert ("hailong_sessions_total", "completed") not in edge.metrics()
    edge.outbox.put("signal", {}, key=uuid4())
    edge.status = CounterStatus(capturing=True, sessions={"completed": 2, "withdrawn": 1}, last_error=None)
    assert edge.uplink is not None
    edge.uplink.state = replace(UplinkState(), delivered=5, quarantined=1, failures=2)
    found = edge.metrics()
    assert found["hailong_outbox_waiting", ""] == 1
    assert found["hailong_outbox_oldest_seconds", ""] >= 0
    assert found["hailong_delivered_total", ""] == 5
    assert found["hailong_quarantined_total", ""] == 1
    assert found["hailong_uplink_failures", ""] == 2
    assert found["hailong_capturing", ""] == 1
    assert found["hailong_log_waiting", ""] == 2
    assert found["hailong_log_forked", ""] == 0
    assert found["hailong_sessions_total", "completed"] == 2
    assert found["hailong_sessions_total", "withdrawn"] == 1


def test_an_edge_without_a_centre_has_no_uplink(edge: Edge) -> None:
    edge.uplink = None
    assert edge.get("/healthz").json()["uplink"] is None
    assert ("hailong_delivered_total", "") not in edge.metrics()
