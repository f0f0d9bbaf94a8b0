"""The whole edge: a camera that streams, a citizen at the kiosk, an officer, an outbox."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from capture.config import EdgeConfig
from capture.errors import CaptureError, PortTaken
from capture.lock import DataFolderInUse
from capture.loopback import NotLoopback
from capture.monitor import MetricsToken
from capture.rtsp_server import RtspMediaServer
from capture.service_session import SessionResult
from capture.worker import EdgeWorker, Listeners, open_data_folder
from consent.errors import LedgerCorrupt
from consent.purpose import Purpose
from consent.state import State
from inference.perception import Perception
from inference.signal import Criterion
from models.registry import Registry
from setup.layout import ROOT
from tests.capture.stand_ins import CountingPerception

MINI = ROOT / "samples" / "mini"
BOTH = {"image": "yes", "voice": "yes"}


@pytest.fixture
def camera() -> Iterator[RtspMediaServer]:
    with RtspMediaServer({"quay-1": MINI / "mini_happy.mp4"}, loop=True) as server:
        yield server


class Counter:
    """One counter of a running edge, as its citizen and its officer see it."""

    def __init__(self, worker: EdgeWorker) -> None:
        assert worker.kiosk is not None
        assert worker.officer is not None
        self.worker = worker
        self.results: list[SessionResult] = []
        url = worker.kiosk.url
        self._client = httpx.Client(
            base_url=url, headers={"Origin": url}, follow_redirects=True, timeout=30, trust_env=False
        )
        self._client.get(worker.kiosk.link).raise_for_status()
        url = worker.officer.url
        self._officer = httpx.Client(
            base_url=url, headers={"Origin": url}, follow_redirects=True, timeout=30, trust_env=False
        )
        self._officer.get(worker.officer.link).raise_for_status()

    def next_citizen(self) -> UUID:
        self._officer.post("/officer/quay-1/next").raise_for_status()
        assert "radio" in self._client.get("/kiosk/quay-1").text
        return self.worker.store.record_ids()[-1]

    def decide(self, record_id: UUID, **answers: str) -> None:
        data = {"record": str(record_id), "lang": "vi", **answers}
        self._client.post("/kiosk/quay-1/decision", data=data).raise_for_status()

    def withdraw(self, record_id: UUID) -> None:
        self._client.post("/kiosk/quay-1/withdrawal", data={"record": str(record_id)}).raise_for_status()

    def say_procedure(self, code: str) -> None:
        self._officer.post("/officer/quay-1/procedure", data={"procedure": code}).raise_for_status()

    def rate(self, record_id: UUID) -> None:
        marks = dict.fromkeys((criterion.value for criterion in Criterion), "yes")
        data = {"record": str(record_id), **marks}
        self._client.post("/kiosk/quay-1/rating", data=data).raise_for_status()

    def finish(self) -> None:
        self._officer.post("/officer/quay-1/finish").raise_for_status()

    def close(self) -> None:
        self._client.close()
        self._officer.close()


def config(folder: Path, camera: str, **more: object) -> EdgeConfig:
    return EdgeConfig.model_validate(
        {
            "data_dir": folder / "edge",
            "kiosk": {"port": 0},
            "metrics_port": 0,
            "counters": [{"code": "quay-1", "camera": camera}],
            **more,
        }
    )


def until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


@pytest.fixture
def perception() -> CountingPerception:
    return CountingPerception()


@pytest.fixture
def counter(tmp_path: Path, camera: RtspMediaServer, perception: CountingPerception) -> Iterator[Counter]:
    results: list[SessionResult] = []
    with EdgeWorker(
        config(tmp_path, camera.url("quay-1")),
        Listeners(session=results.append),
        perception,  # type: ignore[arg-type]  # a stand-in of the same shape
    ) as worker:
        made = Counter(worker)
        made.results = results
        yield made
        made.close()


def test_each_record_names_the_agency(
    tmp_path: Path, camera: RtspMediaServer, perception: CountingPerception
) -> None:
    agency = {"controller": "UBND phường Hạ Long", "processor": "Công ty A"}
    settings = config(tmp_path, camera.url("quay-1"), consent=agency)
    with EdgeWorker(settings, Listeners(), perception) as worker:  # type: ignore[arg-type] # as above
        counter = Counter(worker)
        parties = worker.store.record(counter.next_citizen()).parties
        counter.close()
    assert (parties.controller, parties.processor) == ("UBND phường Hạ Long", "Công ty A")
    assert parties.contact, "what is not set stands there in general words"


@pytest.mark.parametrize(("listed", "said"), [(1, None), (2, "2.000488")])
def test_a_rating_goes_out_with_the_procedure_that_the_configuration_lists(
    tmp_path: Path, perception: CountingPerception, listed: int, said: str | None
) -> None:
    procedures = [
        {"code": "1.004227", "vi": "Đăng ký khai sinh", "en": "Birth registration"},
        {"code": "2.000488", "vi": "Chứng thực bản sao", "en": "Certified copy"},
    ][:listed]
    desk = {"code": "quay-1", "camera": "lavfi:testsrc2", "procedures": procedures}
    with EdgeWorker(config(tmp_path, "", counters=[desk]), Listeners(), perception) as worker:  # type: ignore[arg-type] # as above
        counter = Counter(worker)
        record_id = counter.next_citizen()
        if said is not None:
            counter.say_procedure(said)
        counter.finish()
        counter.rate(record_id)
        counter.close()
        (entry,) = worker.outbox.pending()
    assert (entry.kind, entry.payload["procedure"]) == ("ballot", said or "1.004227")


def test_a_given_consent_ends_in_exactly_one_signal(
    counter: Counter, camera: RtspMediaServer, perception: CountingPerception
) -> None:
    record_id = counter.next_citizen()
    played_before = camera.plays
    assert played_before == ()
    counter.decide(record_id, **BOTH)
    assert perception.begun.acquire(timeout=30)
    assert counter.worker.counters["quay-1"].status().capturing
    counter.finish()
    until(lambda: len(counter.results) == 1, "the end of the session")
    (entry,) = counter.worker.outbox.pending()
    assert entry.payload["consent_record_id"] == str(record_id)
    assert counter.worker.store.state(record_id) is State.COMPLETED
    assert not counter.worker.counters["quay-1"].status().capturing
    (played,) = camera.plays
    assert sorted(played) == ["audio", "video"]


def test_only_what_was_given_is_opened(
    counter: Counter, camera: RtspMediaServer, perception: CountingPerception
) -> None:
    counter.decide(counter.next_citizen(), image="no", voice="yes")
    assert perception.begun.acquire(timeout=30)
    counter.finish()
    until(lambda: len(counter.results) == 1, "the end of the session")
    assert camera.plays == (("audio",),)
    assert set(perception.sessions[0].taken) == {Purpose.VOICE}


def test_a_refusal_opens_nothing(
    counter: Counter, camera: RtspMediaServer, perception: CountingPerception
) -> None:
    record_id = counter.next_citizen()
    counter.decide(record_id, image="no", voice="no")
    counter.finish()
    counter.next_citizen()  # the one before is over, and nobody answers this one
    counter.finish()
    states = [counter.worker.store.state(each) for each in counter.worker.store.record_ids()]
    assert states == [State.REFUSED, State.DEFERRED]
    assert camera.plays == ()
    assert perception.sessions == []
    assert counter.worker.outbox.depth() == 0


def test_a_withdrawal_leaves_nothing_and_the_next_citizen_is_served(
    counter: Counter, perception: CountingPerception
) -> None:
    record_id = counter.next_citizen()
    counter.decide(record_id, **BOTH)
    assert perception.begun.acquire(timeout=30)
    counter.withdraw(record_id)
    until(lambda: len(counter.results) == 1, "the end of the session")
    assert counter.results[0].state is State.WITHDRAWN
    assert counter.worker.outbox.depth() == 0
    assert counter.worker.outbox.held() == ()
    assert perception.sessions[0].purged >= 1
    counter.finish()
    counter.decide(counter.next_citizen(), **BOTH)
    assert perception.begun.acquire(timeout=30)
    counter.finish()
    until(lambda: len(counter.results) == 2, "the end of the second session")
    assert counter.worker.outbox.depth() == 1


def test_the_next_citizen_ends_the_session_before(counter: Counter, perception: CountingPerception) -> None:
    first = counter.next_citizen()
    counter.decide(first, **BOTH)
    assert perception.begun.acquire(timeout=30)
    second = counter.next_citizen()
    until(lambda: len(counter.results) == 1, "the end of the first session")
    counter.decide(second, **BOTH)
    assert perception.begun.acquire(timeout=30)
    counter.finish()
    until(lambda: len(counter.results) == 2, "the end of the second session")
    assert [entry.payload["consent_record_id"] for entry in counter.worker.outbox.pending()] == [
        str(first),
        str(second),
    ]


def test_leaving_finishes_the_session_under_way(
    tmp_path: Path, camera: RtspMediaServer, perception: CountingPerception
) -> None:
    settings = config(tmp_path, camera.url("quay-1"))
    with EdgeWorker(settings, perception=perception) as worker:  # type: ignore[arg-type]  # as above
        counter = Counter(worker)
        record_id = counter.next_citizen()
        counter.decide(record_id, **BOTH)
        assert perception.begun.acquire(timeout=30)
        counter.close()
    with EdgeWorker(settings, perception=perception) as worker:  # type: ignore[arg-type]  # as above
        assert worker.store.state(record_id) is State.COMPLETED
        assert [entry.payload["consent_record_id"] for entry in worker.outbox.pending()] == [str(record_id)]


def test_the_real_networks_read_a_live_counter(tmp_path: Path, camera: RtspMediaServer) -> None:
    perception = Perception.load(Registry.default())
    results: list[SessionResult] = []
    units: list[str] = []
    try:
        with EdgeWorker(
            config(tmp_path, camera.url("quay-1")),
            Listeners(session=results.append, unit=lambda code, _: units.append(code)),
            perception,
        ) as worker:
            counter = Counter(worker)
            counter.decide(counter.next_citizen(), image="yes", voice="no")
            until(lambda: len(units) >= 30, "thirty pictures")
            counter.finish()
            until(lambda: len(results) == 1, "the end of the session")
            counter.close()
    finally:
        perception.close()
    signal_ = results[0].signal
    assert signal_ is not None
    assert signal_.quality.face_s > 0
    assert (signal_.image_permitted, signal_.voice_permitted) == (True, False)
    assert {model.name for model in signal_.models} >= {"face-api-expression"}
    assert "viet-asr" not in {model.name for model in signal_.models}


def test_a_camera_that_is_not_there_is_shown_and_costs_no_service(
    tmp_path: Path, perception: CountingPerception
) -> None:
    with EdgeWorker(
        config(tmp_path, "v4l2:/dev/video9"),
        perception=perception,  # type: ignore[arg-type]  # as above
    ) as worker:
        counter = Counter(worker)
        record_id = counter.next_citizen()
        counter.decide(record_id, image="yes", voice="no")
        assert worker.monitor is not None
        health = f"{worker.monitor.url}/healthz"
        token = {"Authorization": f"Bearer {MetricsToken(tmp_path / 'edge').token()}"}
        until(
            lambda: (
                "/dev/video9"
                in " ".join(httpx.get(health, headers=token, trust_env=False).json()["problems"])
            ),
            "the missing camera among the problems",
        )
        counter.finish()
        until(lambda: not worker.counters["quay-1"].status().capturing, "the end of the session")
        assert worker.store.state(record_id) is State.COMPLETED
        assert worker.outbox.depth() == 0
        counter.close()


def test_the_health_page_tells_nobody_what_was_chosen(tmp_path: Path, perception: CountingPerception) -> None:
    """Byte for byte, through a whole service: a missing camera shows only where somebody agrees."""
    flows: list[list[bytes]] = []
    with EdgeWorker(
        config(tmp_path, "v4l2:/dev/video9"),
        perception=perception,  # type: ignore[arg-type]  # as above
    ) as worker:
        assert worker.monitor is not None
        health = f"{worker.monitor.url}/healthz"
        token = {"Authorization": f"Bearer {MetricsToken(tmp_path / 'edge').token()}"}
        status = worker.counters["quay-1"].status
        counter = Counter(worker)

        def look(seen: list[bytes]) -> None:
            answer = httpx.get(health, trust_env=False)
            headers = sorted(item for item in answer.headers.items() if item[0] != "date")
            seen.append(answer.content + repr((answer.status_code, headers)).encode())

        for choice in ("no", "yes"):
            seen: list[bytes] = []
            look(seen)
            record_id = counter.next_citizen()
            look(seen)
            counter.decide(record_id, image=choice, voice="no")
            if choice == "yes":
                until(lambda: status().last_error is not None, "the trouble of the camera")
                assert httpx.get(health, headers=token, trust_env=False).json()["counters"]["quay-1"][
                    "capturing"
                ]
            look(seen)
            counter.finish()
            until(lambda: not status().capturing, "the end of the session")
            look(seen)
            flows.append(seen)
        counter.close()
    assert flows[0] == flows[1]
    assert len(set(flows[0])) == 1


def enter(settings: EdgeConfig) -> None:
    with EdgeWorker(settings, perception=CountingPerception()):  # type: ignore[arg-type]  # as above
        pytest.fail("it started")


def test_a_taken_port_leaves_the_data_folder_free(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"{port}.*\[kiosk\]"):
            enter(config(tmp_path, "lavfi:testsrc2", kiosk={"port": port}))
        with pytest.raises(PortTaken, match=rf"{port}.*metrics_port"):
            enter(config(tmp_path, "lavfi:testsrc2", metrics_port=port))
    with EdgeWorker(config(tmp_path, "lavfi:testsrc2"), perception=CountingPerception()):  # type: ignore[arg-type]  # as above
        pass


def test_one_data_folder_has_one_edge(tmp_path: Path) -> None:
    settings = config(tmp_path, "lavfi:testsrc2")
    with (
        EdgeWorker(settings, perception=CountingPerception()),  # type: ignore[arg-type]  # as above
        pytest.raises(DataFolderInUse, match="another data_dir"),
    ):
        enter(settings)


def test_a_kiosk_for_others_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotLoopback, match="this machine only"):
        enter(config(tmp_path, "lavfi:testsrc2", kiosk={"host": "192.0.2.7", "port": 0}))


def test_a_centre_without_enrolment_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="hailong edge enrol"):
        enter(config(tmp_path, "lavfi:testsrc2", centre={"url": "http://127.0.0.1:9"}))


def test_a_damaged_consent_log_captures_nothing(tmp_path: Path) -> None:
    folder = open_data_folder(tmp_path / "edge")
    (folder / "consent.sqlite").write_bytes(b"no log " * 1000)
    with pytest.raises(LedgerCorrupt, match="Nothing is captured"):
        enter(config(tmp_path, "lavfi:testsrc2"))


@pytest.mark.parametrize("fault", ["enrolment", "models", "log", "folder"])
def test_the_command_says_what_is_wrong_and_fails(tmp_path: Path, fault: str) -> None:
    lines = ['data_dir = "edge"', "metrics_port = 0", "[kiosk]", "port = 0"]
    lines += ["[[counters]]", 'code = "quay-1"', 'camera = "v4l2:/dev/video9"']
    variables: dict[str, str] = {}
    match fault:
        case "enrolment":
            lines += ["[centre]", 'url = "http://127.0.0.1:9"']
            words = "hailong edge enrol"
        case "models":
            (tmp_path / "models").mkdir()
            card = next(card for card in Registry.default().cards() if card.name == "face-api-expression")
            (tmp_path / "models" / card.file.name).write_bytes(b"another network")
            variables["HAILONG_MODELS_DIR"] = str(tmp_path / "models")
            words = card.file.name
        case "log":
            (tmp_path / "edge").mkdir()
            (tmp_path / "edge" / "consent.sqlite").write_bytes(b"no log " * 1000)
            words = "Restore it from a backup"
        case _:
            (tmp_path / "edge").write_text("a file")
            words = "data_dir"
    (tmp_path / "edge.toml").write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "hailong", "edge", "run", "-c", str(tmp_path / "edge.toml")],
        cwd=ROOT,
        env={"PATH": "", "OMP_NUM_THREADS": "1", **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert words in done.stderr
    assert done.stdout == ""


def test_sigterm_ends_the_command_in_order(tmp_path: Path) -> None:
    (tmp_path / "edge.toml").write_text(
        'data_dir = "edge"\nmetrics_port = 0\n[kiosk]\nport = 0\n'
        '[[counters]]\ncode = "quay-1"\ncamera = "lavfi:testsrc2"\n',
        encoding="utf-8",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "hailong", "edge", "run", "-c", str(tmp_path / "edge.toml")],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert any("is ready: kiosk at http://127.0.0.1:" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
