"""The preview for installers: masked, newest only, for few, for a while, never beside the edge program."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import cv2
import httpx
import numpy as np
import pytest

from capture.config import parse_config
from capture.errors import SourceLost
from capture.lock import DataFolderLock
from capture.preview import MOST_WATCHERS, Preview, PreviewFull
from capture.preview_command import PreviewRefused, allowed_counter
from capture.preview_overlay import draw_overlay, jpeg
from capture.preview_page import PreviewSecret, PreviewServer
from capture.rtsp_server import RtspMediaServer
from capture.sources import open_source
from consent.entry import EntryKind, MaintenanceEnd, MaintenanceEnded
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.storage import connect_read_only
from consent.stored import read_entries
from consent.verification import verify_file
from inference.anonymizer import Anonymizer, AnonymizerConfig, Doubt
from inference.media import Frame
from inference.zones import SeatZone
from models.face_boxes import Box
from models.face_detectors import load_face_detector
from models.registry import Registry
from setup.layout import ROOT
from tests.programs import PATIENCE_S, Program, call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from capture.source import MediaDevice

    Picture = NDArray[np.uint8]

ZONE: Final = SeatZone(privacy_masks=(((0.9, 0.0), (1.0, 0.0), (1.0, 0.2)),))
FACE: Final = Box(60.0, 40.0, 100.0, 90.0, 0.9)


class Finder:
    """A detector that always finds the same face."""

    name, version, sha256, threshold = "finder", "1", "0" * 64, 0.1

    def detect(self, image: Picture) -> tuple[Box, ...]:
        return (FACE,)

    def version_of(self) -> tuple[str, str, str]:
        return self.name, self.version, self.sha256


class Camera:
    """Gives one picture after another, until it is interrupted or breaks."""

    address = "camera"
    offers = frozenset({Purpose.IMAGE, Purpose.VOICE})

    def __init__(self, *, breaks_after: int | None = None) -> None:
        self.opened: list[frozenset[Purpose]] = []
        self.closed = 0
        self.read_count = 0
        self._breaks_after = breaks_after
        self._stop = threading.Event()
        pixels = np.full((180, 320, 3), 128, np.uint8)
        pixels[40:90, 60:100] = 255
        pixels.flags.writeable = False
        self.pixels = pixels

    def open(self, purposes: frozenset[Purpose]) -> MediaDevice:
        self.opened.append(purposes)
        return self

    def read(self) -> Frame | None:
        if self._stop.wait(0.002):
            return None
        if self.read_count == self._breaks_after:
            raise SourceLost("camera broke off")
        self.read_count += 1
        return Frame(self.pixels, captured_ns=self.read_count * 40_000_000, index=self.read_count)

    def interrupt(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self.closed += 1

    def describe(self) -> str:
        return "camera"

    def health(self) -> Any:
        return None


def preview_of(camera: Any, store: ConsentStore, **over: Any) -> Preview:
    values = {"counter": "quay-1", "operator": "nv-07", "limit_s": 600, **over}
    return Preview(
        camera, store, Finder(), SeatZone(privacy_masks=(((0.9, 0.0), (1.0, 0.0), (1.0, 0.2)),)), **values
    )


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline, "it never came"
        threading.Event().wait(0.01)


def ends(path: Path) -> list[MaintenanceEnded]:
    with connect_read_only(path) as connection:
        found = read_entries(connection, "kind = ?", EntryKind.MAINTENANCE_ENDED.value)
    return [entry for entry in (item.entry() for item in found) if isinstance(entry, MaintenanceEnded)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConsentStore]:
    with ConsentStore(tmp_path / "consent.sqlite") as opened:
        yield opened


class Running:
    """A preview of a made-up camera with its page."""

    def __init__(self, folder: Path, store: ConsentStore, **over: Any) -> None:
        self.camera = over.pop("camera", None) or Camera()
        self.preview = preview_of(self.camera, store, **over)
        self.server = PreviewServer(self.preview, PreviewSecret(folder, renew=True))
        self.server.start()
        self.thread = threading.Thread(target=self.preview.run, daemon=True)
        self.thread.start()

    def client(self) -> httpx.Client:
        client = httpx.Client(base_url=self.server.url, follow_redirects=True, timeout=30)
        client.get(self.server.link).raise_for_status()
        return client

    def close(self) -> None:
        self.preview.stop()
        self.thread.join(30)
        self.server.stop()


@pytest.fixture
def running(tmp_path: Path, store: ConsentStore) -> Iterator[Running]:
    found = Running(tmp_path, store)
    yield found
    found.close()


def jpegs(stream: httpx.Response, count: int) -> list[Picture]:
    """Read pictures of an MJPEG stream."""
    data, found = b"", []
    for piece in stream.iter_bytes():
        data += piece
        while (head := data.find(b"\r\n\r\n")) >= 0:
            length = int(data[:head].partition(b"Content-Length: ")[2])
            if len(data) < head + 4 + length:
                break
            picture = cv2.imdecode(
                np.frombuffer(data[head + 4 : head + 4 + length], np.uint8), cv2.IMREAD_COLOR
            )
            assert picture is not None
            found.append(picture.astype(np.uint8))
            data = data[head + 4 + length :]
        if len(found) >= count:
            return found[:count]
    raise AssertionError("the stream ended early")


# -- the worker ---------------------------------------------------------------------------------------


def test_what_is_shown_is_masked_and_carries_the_overlay(running: Running) -> None:
    with closing(running.client()) as client, client.stream("GET", "/preview/stream") as stream:
        assert stream.headers["content-type"] == "multipart/x-mixed-replace; boundary=picture"
        (picture,) = jpegs(stream, 1)
    assert running.camera.opened == [frozenset({Purpose.IMAGE})]
    assert picture.shape == (180, 320, 3)
    assert picture[45:85, 65:69].max() < 90, "the bright face is covered"
    green = (picture[:, :, 1].astype(int) - picture[:, :, 2]) > 60
    red = (picture[:, :, 2].astype(int) - picture[:, :, 1]) > 60
    assert green.sum() > 300, "the seat's outline"
    assert red.sum() > 20, "the privacy mask's outline"


def test_the_overlay_is_drawn_on_a_copy_and_names_the_doubt() -> None:
    covered = np.full((720, 1280, 3), 48, np.uint8)
    plain, doubtful = (draw_overlay(covered, SeatZone(), doubt) for doubt in (None, Doubt.NEVER_DETECTED))
    assert (covered == 48).all()
    assert plain.shape == doubtful.shape == (540, 960, 3)
    assert (plain != doubtful).any(axis=2).sum() > 200


def test_a_slow_browser_gets_newer_pictures_and_never_a_queue(running: Running) -> None:
    with closing(running.client()) as client, client.stream("GET", "/preview/stream") as stream:
        pieces = stream.iter_bytes()
        next(pieces)
        before = running.camera.read_count
        wait_for(lambda: running.camera.read_count > before + 50)  # it is not held up by us
        assert running.preview.shown is not None
        assert running.preview.shown.number >= 50


def test_few_browsers_may_watch(running: Running) -> None:
    with closing(running.client()) as client:
        streams = [client.stream("GET", "/preview/stream") for _ in range(MOST_WATCHERS)]
        pieces = [stream.__enter__().iter_raw() for stream in streams]
        for piece in pieces:  # kept, or the stream would be closed again
            next(piece)
        refused = client.get("/preview/stream")
        assert (refused.status_code, "4 browsers" in refused.text) == (503, True)
        for stream in streams:
            stream.__exit__(None, None, None)
        wait_for(lambda: _watchable(running.preview))


def _watchable(preview: Preview) -> bool:
    try:
        with preview.watching(), preview.watching(), preview.watching(), preview.watching():
            return True
    except PreviewFull:
        return False


def test_a_preview_that_nobody_watches_ends(store: ConsentStore, tmp_path: Path) -> None:
    now = [0.0]
    camera = Camera()
    preview = preview_of(camera, store, monotonic_s=lambda: now[0])
    thread = threading.Thread(target=preview.run, daemon=True)
    thread.start()
    wait_for(lambda: preview.shown is not None)
    with preview.watching():
        now[0] = 1000.0
        seen = camera.read_count
        wait_for(lambda: camera.read_count > seen + 3)
        assert not preview.ended.is_set()
    now[0] += 59.9
    seen = camera.read_count
    wait_for(lambda: camera.read_count > seen + 3)
    assert not preview.ended.is_set()
    now[0] += 0.2
    assert preview.ended.wait(30)
    thread.join()
    assert (camera.closed, preview.shown) == (1, None)
    assert [entry.ended_by for entry in ends(store.path)] == [MaintenanceEnd.UNWATCHED]


def test_a_preview_ends_in_time(tmp_path: Path, store: ConsentStore) -> None:
    running = Running(tmp_path, store, limit_s=1)
    try:
        assert running.preview.ended.wait(30)
        with closing(running.client()) as client:
            state = client.get("/preview/state").json()
            assert (state["ended_by"], state["left_s"], state["error"]) == ("time", 0, "")
            assert client.get("/preview/stream").content == b"--picture--\r\n"
    finally:
        running.close()


def test_a_broken_camera_is_told_on_the_page(tmp_path: Path, store: ConsentStore) -> None:
    running = Running(tmp_path, store, camera=Camera(breaks_after=3))
    try:
        assert running.preview.ended.wait(30)
        with closing(running.client()) as client:
            state = client.get("/preview/state").json()
        assert (state["ended_by"], state["frames"], state["error"]) == ("device", 3, "camera broke off")
    finally:
        running.close()


def test_a_crowd_is_covered_as_a_whole_and_says_so(tmp_path: Path, store: ConsentStore) -> None:
    class Crowd(Finder):
        def detect(self, image: Picture) -> tuple[Box, ...]:
            return (FACE,) * 9

    camera = Camera()
    preview = Preview(camera, store, Crowd(), SeatZone(), counter="quay-1", operator="nv-07", limit_s=60)
    thread = threading.Thread(target=preview.run, daemon=True)
    thread.start()
    wait_for(lambda: preview.shown is not None)
    assert preview.state().doubt is Doubt.TOO_MANY_FACES
    preview.stop()
    thread.join(30)


# -- the page -----------------------------------------------------------------------------------------


def test_the_page_opens_with_its_own_link_only(tmp_path: Path, running: Running) -> None:
    paths = ("/preview", "/preview/stream", "/preview/state")
    with httpx.Client(base_url=running.server.url) as stranger:
        assert {stranger.get(path).status_code for path in paths} == {403}
        assert stranger.get("/enter", params={"key": "x" * 43}).status_code == 403
    with closing(running.client()) as client:
        page = client.get("/preview")
        assert page.headers["content-security-policy"].startswith("default-src 'self'")
        assert page.headers["cache-control"] == "no-store"
        assert "không phân tích, không lưu" in page.text
        assert "nothing is analysed or kept" in client.get("/preview?lang=en").text
        assert client.get("/preview/state", headers={"Host": "elsewhere.example"}).status_code == 403
        PreviewSecret(tmp_path, renew=True)  # the next preview
        assert client.get("/preview").status_code == 403


# -- the command --------------------------------------------------------------------------------------

_ON: Final = "[preview]\nenabled = true\n"


def write_config(folder: Path, camera: str, head: str = _ON) -> Path:
    config = folder / "edge.toml"
    text = f'name = "edge-1"\ndata_dir = "edge"\nmetrics_port = 0\n{head}[kiosk]\nport = 0\n'
    text += f'[[counters]]\ncode = "quay-1"\ncamera = "{camera}"\nmicrophone = "alsa:hw:9"\n'
    config.write_text(text + '[[counters]]\ncode = "quay-2"\nmicrophone = "alsa:hw:9"\n', encoding="utf-8")
    return config


@pytest.mark.parametrize(
    ("head", "counter", "words"),
    [
        ("", "quay-1", r"previews are off.*enabled = true.*\[preview\]"),
        ("[preview]\nenabled = false\n", "quay-1", "previews are off"),
        (_ON, "quay-9", "no counter 'quay-9' here; there is: quay-1, quay-2"),
        (_ON, "quay-2", "has no camera"),
    ],
    ids=["by-default", "switched-off", "no-such-counter", "no-camera"],
)
def test_a_preview_is_refused(tmp_path: Path, head: str, counter: str, words: str) -> None:
    path = write_config(tmp_path, "lavfi:testsrc", head)
    settings = parse_config(path.read_text(encoding="utf-8"), path)
    with pytest.raises(PreviewRefused, match=words):
        allowed_counter(settings, counter)


def preview_call(config: Path, *words: str) -> Any:
    return call("preview", "-c", str(config), "--counter", "quay-1", "--operator", "nv-07", *words)


def test_the_command_refuses_without_the_setting_and_beside_the_edge(tmp_path: Path) -> None:
    off = preview_call(write_config(tmp_path, "lavfi:testsrc", ""))
    assert (off.returncode, "previews are off" in off.stderr) == (2, True)
    assert not (tmp_path / "edge").exists()
    long = preview_call(write_config(tmp_path, "lavfi:testsrc"), "--minutes", "61")
    assert (long.returncode, "60" in long.stderr) == (2, True)
    (tmp_path / "edge").mkdir(mode=0o700)
    with DataFolderLock(tmp_path / "edge"):
        beside = preview_call(write_config(tmp_path, "lavfi:testsrc"))
    assert (beside.returncode, "another edge program runs" in beside.stderr) == (1, True)
    assert not (tmp_path / "edge" / "consent.sqlite").exists()
    (tmp_path / "edge" / "capture-stopped").write_text("the log was forked", encoding="utf-8")
    held = preview_call(write_config(tmp_path, "lavfi:testsrc"))
    assert (held.returncode, "the log was forked" in held.stderr) == (1, True)


def begin(folder: Path, config: Path) -> tuple[Program, httpx.Client]:
    (folder / "preview.log").unlink(missing_ok=True)  # of an earlier one
    program = Program(folder, "preview", "-c", str(config), "--counter", "quay-1", "--operator", "nv-07")
    program.start()
    deadline = time.monotonic() + PATIENCE_S
    while "/enter?key=" not in program.log():
        assert program.running(), program.log()
        assert time.monotonic() < deadline, program.log()
        threading.Event().wait(0.05)
    link = next(line for line in program.log().splitlines() if "/enter?key=" in line)
    client = httpx.Client(follow_redirects=True, timeout=PATIENCE_S)
    client.get(link).raise_for_status()
    client.base_url = link.partition("/enter")[0]
    return program, client


def test_a_killed_preview_is_unfinished_and_the_next_closes_it(tmp_path: Path) -> None:
    """Through a real RTSP server: the sound is never asked for; the entry stands before the device opens."""
    media = tmp_path / "session.mp4"
    shutil.copyfile(ROOT / "samples" / "neutral.mp4", media)
    log = tmp_path / "edge" / "consent.sqlite"
    with RtspMediaServer({"counter": media}, loop=True) as server:
        config = write_config(tmp_path, server.url("counter"))
        program, client = begin(tmp_path, config)
        with closing(client), client.stream("GET", "/preview/stream") as stream:
            assert len(jpegs(stream, 2)) == 2
        program.kill()
        assert ends(log) == []
        program, client = begin(tmp_path, config)
        with closing(client), client.stream("GET", "/preview/stream") as stream:
            jpegs(stream, 1)
            program.process.send_signal(signal.SIGINT)
            assert program.process.wait(PATIENCE_S) == 0, program.log()
        assert set(server.plays) == {("video",)}
    assert "none was kept" in program.log()
    assert [(entry.ended_by, entry.operator) for entry in ends(log)] == [
        (MaintenanceEnd.UNFINISHED, "nv-07"),
        (MaintenanceEnd.STOPPED, "nv-07"),
    ]
    assert ends(log)[1].frames
    assert verify_file(log).ok


# -- faces --------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("style", ["mask", "drawing"])
def test_no_face_leaves_that_another_detector_finds(
    shared: Path, recordings: Path, tmp_path: Path, store: ConsentStore, style: str
) -> None:
    """The mask is laid by CenterFace; YuNet, in OpenCV's own code, looks for what is left."""
    yunet = str(shared / "models" / "face_detection_yunet_2023mar.onnx")
    other = cv2.FaceDetectorYN.create(yunet, "", (640, 360), score_threshold=0.6)
    detector = load_face_detector(
        Registry.default(), "centerface", threshold=AnonymizerConfig().max_threshold
    )

    def faces(picture: Picture) -> int:
        other.setInputSize((picture.shape[1], picture.shape[0]))
        found = other.detect(picture)[1]
        return len(found) if np.ndim(found) else 0  # None where there is nothing, which the stub does not say

    clear = shown = left = 0
    for path in (recordings / "single_face.mp4", ROOT / "samples" / "bystander.mp4"):
        anonymizer = Anonymizer(detector, AnonymizerConfig(style=style))  # type: ignore[arg-type]  # a word of the test's table
        device = open_source(f"file:{path}").open(frozenset({Purpose.IMAGE}))
        zone = SeatZone()
        for _ in range(24):
            unit = device.read()
            assert isinstance(unit, Frame)
            clear += faces(unit.pixels) > 0
            masked = anonymizer.anonymize(unit.pixels, unit.captured_ns)
            served = cv2.imdecode(
                np.frombuffer(jpeg(draw_overlay(masked, zone, anonymizer.doubt)), np.uint8), cv2.IMREAD_COLOR
            )
            assert served is not None
            left += faces(served.astype(np.uint8))
            shown += anonymizer.doubt is None
        device.close()
    assert clear >= 40, "the other detector is too weak for its silence to mean anything"
    assert shown >= 24
    if style == "mask":
        assert left == 0
