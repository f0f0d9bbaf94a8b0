"""Health and metrics tell whoever has the token what happened, and nobody else what was chosen."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from capture.commands import edge as edge_commands
from capture.counter import CounterStatus
from capture.errors import CaptureError
from capture.log_uplink import LogUplinkState
from capture.loopback import LoopbackServer
from capture.monitor import TOKEN_FILE, MetricsToken, build_monitor
from capture.outbox import Outbox
from capture.uplink import UplinkState
from inference.camera_view import CameraState, CameraTrouble
from tests.capture.stand_ins import CountingPerception


class Edge:
    """A worker of which only what is watched exists."""

    def __init__(self, folder: Path) -> None:
        self.token = MetricsToken(folder)
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

    @contextmanager
    def served(self) -> Iterator[httpx.Client]:
        app = build_monitor(self, self.token)  # type: ignore[arg-type]  # what is watched, and no more
        with (
            LoopbackServer(app, name="health page", key="metrics_port") as server,
            httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client,
        ):
            yield client

    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.token()}"}

    def get(self, path: str, **headers: str) -> httpx.Response:
        with self.served() as client:
            return client.get(path, headers=headers)

    def details(self, path: str = "/healthz") -> httpx.Response:
        return self.get(path, **self.bearer())

    def metrics(self) -> dict[tuple[str, str], float]:
        text = self.details("/metrics").text
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
    answer = edge.details()
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "problems": [],
        "counters": {
            "quay-1": {"capturing": False, "sessions": {}, "camera": {"state": "unknown", "since": None}}
        },
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


WELL = (200, b'{"status":"ok","problems":[]}')


def bad(edge: Edge, what: str) -> None:
    """Let happen what only a capture, a withdrawal, or what follows from one can bring."""
    if what == "capture":
        edge.status = CounterStatus(capturing=True, sessions={"completed": 3}, last_error=None)
    elif what == "camera":
        edge.status = CounterStatus(capturing=True, sessions={}, last_error="no camera")
    elif what == "signal":
        edge.outbox.put("signal", {}, key=uuid4())
    elif what == "uplink":
        state = UplinkState(delivered=4, failures=3, last_error="no network", clock_behind_s=900)
        edge.uplink = SimpleNamespace(state=state)
    elif what == "log":
        edge.log_uplink.state = LogUplinkState(acknowledged=8, failures=1, last_error="no answer")
    elif what == "fork":
        edge.log_uplink.state = LogUplinkState(failures=1, last_error="9 entries", forked=True)
    elif what == "erasure":
        edge.erasure = SimpleNamespace(trouble="the disk is full")
    else:
        edge.steps.append("withdrawn")


@pytest.mark.parametrize("what", ["capture", "camera", "signal", "uplink", "log", "fork", "erasure", "steps"])
def test_whoever_has_no_token_learns_nothing_of_a_choice(edge: Edge, what: str) -> None:
    with edge.served() as client:
        before, inside = client.get("/healthz"), client.get("/healthz", headers=edge.bearer())
        bad(edge, what)
        after, now = client.get("/healthz"), client.get("/healthz", headers=edge.bearer())
    assert [(answer.status_code, answer.content) for answer in (before, after)] == [WELL, WELL]
    assert dict(before.headers, date="") == dict(after.headers, date="")
    assert inside.content != now.content, "nothing happened that could be told"


def test_troubles_that_hang_on_no_choice_are_told_to_everybody(edge: Edge) -> None:
    edge.playlists = {"quay-1": SimpleNamespace(error="item-1: no file")}
    edge.log_uplink.state = LogUplinkState(failures=1, last_error="9 entries, not 8", forked=True)
    answer = edge.get("/healthz")
    assert answer.status_code == 503
    problems = ["quay-1: an item of the playlist failed", "ALARM: consent log forked"]
    assert answer.json() == {"status": "attention", "problems": problems}


@pytest.mark.parametrize("given", [None, "Bearer", "Bearer x", "Basic eDp4", "Bearer " + "x" * 43, "é" * 40])
def test_details_and_metrics_need_the_token(edge: Edge, given: str | None) -> None:
    headers = [] if given is None else [(b"Authorization", given.encode())]
    with edge.served() as client:
        answers = [client.get("/metrics", headers=headers)]
        answers += [client.get("/healthz", headers=headers)] if given is not None else []
    for answer in answers:
        assert (answer.status_code, answer.headers["www-authenticate"][:6]) == (401, "Bearer")
        assert "metrics-token" in answer.text
        assert "quay-1" not in answer.text


def test_the_token_is_made_at_the_first_start_and_read_by_its_owner_only(tmp_path: Path) -> None:
    token = MetricsToken(tmp_path).token()
    assert len(token) >= 43
    assert stat.S_IMODE((tmp_path / TOKEN_FILE).stat().st_mode) == 0o600
    assert MetricsToken(tmp_path).token() == token
    (tmp_path / TOKEN_FILE).write_text("short")
    with pytest.raises(CaptureError, match="metrics-token --renew"):
        MetricsToken(tmp_path)


def test_the_command_prints_the_token(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text('data_dir = "data"\n[[counters]]\ncode = "quay-1"\ncamera = "lavfi:testsrc"\n')
    printed = CliRunner().invoke(edge_commands, ["metrics-token", "-c", str(config)])
    assert printed.exit_code == 0, printed.output
    assert printed.output.strip() == MetricsToken(tmp_path / "data").token()
    renewed = CliRunner().invoke(edge_commands, ["metrics-token", "--renew", "-c", str(config)])
    assert renewed.output.strip() == MetricsToken(tmp_path / "data").token() != printed.output.strip()


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
    answer = edge.details()
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


def test_a_camera_that_sees_nothing_needs_looking_after(edge: Edge) -> None:
    good = CameraState(since_ns=1_795_320_000_000_000_000)
    edge.status = CounterStatus(capturing=False, sessions={}, last_error=None, camera=good)
    found = edge.details().json()
    assert found["counters"]["quay-1"]["camera"] == {"state": "good", "since": "2026-11-22T04:00:00+00:00"}
    assert found["status"] == "ok"
    edge.status = replace(edge.status, camera=replace(good, trouble=CameraTrouble.COVERED))
    answer = edge.details()
    assert answer.status_code == 503
    assert answer.json()["counters"]["quay-1"]["camera"]["state"] == "covered"
    (problem,) = answer.json()["problems"]
    assert problem.startswith("quay-1: camera: ")
    assert "take away what covers the lens" in problem
    lines = edge.details("/metrics").text.splitlines()
    told = {line for line in lines if line.startswith("hailong_camera_trouble{") and line.endswith(" 1.0")}
    assert told == {'hailong_camera_trouble{counter="quay-1",trouble="covered"} 1.0'}
    assert edge.get("/healthz").json() == {"status": "ok", "problems": []}, "not without the token"


def test_an_edge_without_a_centre_has_no_uplink(edge: Edge) -> None:
    edge.uplink = None
    assert edge.details().json()["uplink"] is None
    assert ("hailong_delivered_total", "") not in edge.metrics()
