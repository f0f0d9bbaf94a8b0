"""The preview for installers: masked, newest only, for few, for a while, never beside the edge program."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import uuid4

import cv2
import httpx
import numpy as np
import pytest

from capture.config import parse_config
from capture.errors import SourceLost
from capture.lock import DataFolderLock
from capture.preview import MOST_WATCHERS, Preview, PreviewFull
from capture.preview_command import PreviewRefused, _open_log, allowed_counter
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
from inference.face_search import load_face_searches
from inference.media import Frame
from inference.zones import SeatZone
from models.face_boxes import Box
from models.registry import Registry
from setup.layout import ROOT
from tests.inference.moving_faces import survives
from tests.programs import PATIENCE_S, Program, call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from capture.config import EdgeConfig
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
        camera,
        store,
        Anonymizer(Finder()),
        SeatZone(privacy_masks=(((0.9, 0.0), (1.0, 0.0), (1.0, 0.2)),)),
        **values,
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
    preview = Preview(
        camera, store, Anonymizer(Crowd()), SeatZone(), counter="quay-1", operator="nv-07", limit_s=60
    )
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


def begin(folder: Path, config: Path, *words: str) -> tuple[Program, httpx.Client]:
    (folder / "preview.log").unlink(missing_ok=True)  # of an earlier one
    given = ("-c", str(config), "--counter", "quay-1", "--operator", "nv-07")
    program = Program(folder, "preview", *given, *words)
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


# -- the centre ---------------------------------------------------------------------------------------


class Centre:
    """Answers POST /v1/log at a real address; `theirs` is the size of the log that it claims to hold."""

    def __init__(self, theirs: int | None = None) -> None:
        told = self.told = []  # type: list[dict[str, Any]]

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                part = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.append(part)
                size = part["first_index"] + len(part["entries"]) if theirs is None else theirs
                body = json.dumps({"size": size, "withdrawals": []}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of the base class
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def kinds(self) -> list[str]:
        return [json.loads(entry)["kind"] for part in self.told for entry in part["entries"]]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def enrolled(folder: Path, url: str) -> EdgeConfig:
    """Write the configuration and the enrolment of an edge that belongs to a centre."""
    path = write_config(folder, "lavfi:testsrc", f'{_ON}[centre]\nurl = "{url}"\n')
    (folder / "edge").mkdir(mode=0o700)
    enrolment = {"edge": str(uuid4()), "centre": url, "counters": ["quay-1"]}
    (folder / "edge" / "enrolment.json").write_text(json.dumps(enrolment), encoding="utf-8")
    return parse_config(path.read_text(encoding="utf-8"), path)


def test_the_centre_is_asked_before_a_preview_and_told_after_it(tmp_path: Path) -> None:
    with closing(Centre()) as centre:
        settings = enrolled(tmp_path, centre.url)
        with ExitStack() as stack:
            store = _open_log(stack, settings)
            assert len(centre.told) >= 1
            assert EntryKind.MAINTENANCE_STARTED not in centre.kinds()
            begun = store.maintenance_started("quay-1", "nv-07", 60)
            store.maintenance_ended(begun, MaintenanceEnd.STOPPED, 12)
        assert centre.kinds()[-2:] == [EntryKind.MAINTENANCE_STARTED, EntryKind.MAINTENANCE_ENDED]


def test_no_camera_is_opened_over_a_log_that_is_older_than_the_centres(tmp_path: Path) -> None:
    with closing(Centre(theirs=40)) as centre:
        settings = enrolled(tmp_path, centre.url)
        with ExitStack() as stack, pytest.raises(PreviewRefused, match="no device is opened"):
            _open_log(stack, settings)
    log = tmp_path / "edge" / "consent.sqlite"
    assert ends(log) == []
    assert verify_file(log).ok


def test_a_centre_that_is_away_holds_up_no_preview(tmp_path: Path) -> None:
    with closing(Centre()) as centre:
        url = centre.url
    settings = enrolled(tmp_path, url)
    with ExitStack() as stack:
        store = _open_log(stack, settings)
        assert store.maintenance_started("quay-1", "nv-07", 60).counter == "quay-1"


# -- faces --------------------------------------------------------------------------------------------


class Witness:
    """YuNet in OpenCV's own code looks for what is left; the masks are laid by CenterFace."""

    def __init__(self, shared: Path) -> None:
        file = str(shared / "models" / "face_detection_yunet_2023mar.onnx")
        self._detector = cv2.FaceDetectorYN.create(file, "", (640, 360), score_threshold=0.6)

    def faces(self, picture: Picture) -> list[tuple[int, int, int, int]]:
        """Return left, top, right and bottom of each face, inside the picture."""
        height, width = picture.shape[:2]
        self._detector.setInputSize((width, height))
        rows: Any = self._detector.detect(picture)[1]  # None where there is nothing, unlike the stub says
        found = [] if rows is None else [row[:4].astype(int) for row in rows]
        return [
            (max(0, int(x)), max(0, int(y)), min(width, int(x + w)), min(height, int(y + h)))
            for x, y, w, h in found
        ]


def decoded(data: bytes) -> Picture:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.astype(np.uint8)


@pytest.mark.shared
@pytest.mark.parametrize("style", ["mask", "drawing"])
def test_no_face_leaves_that_another_detector_finds(
    shared: Path, recordings: Path, style: Literal["mask", "drawing"]
) -> None:
    """A drawn face may be found as one: there, every pixel of the clear face has to be gone."""
    witness = Witness(shared)
    looks = load_face_searches(Registry.default(), "centerface", slow=False)
    clear = shown = left = 0
    for path in (recordings / "single_face.mp4", ROOT / "samples" / "bystander.mp4"):
        anonymizer = Anonymizer.of(looks, AnonymizerConfig(style=style))
        device = open_source(f"file:{path}").open(frozenset({Purpose.IMAGE}))
        for _ in range(24):
            unit = device.read()
            assert isinstance(unit, Frame)
            found = witness.faces(unit.pixels)
            clear += len(found) > 0
            masked = anonymizer.anonymize(unit.pixels, unit.captured_ns)
            for face in found:
                left_px, top_px, right_px, bottom_px = face
                box = Box(left_px, top_px, right_px, bottom_px, 1.0)
                assert survives(masked, unit.pixels, box) == 0.0, f"{path.name}: a face is not covered"
                assert survives(unit.pixels, unit.pixels, box) > 0.5, "the check cannot see an open face"
            served = decoded(jpeg(draw_overlay(masked, SeatZone(), anonymizer.doubt)))
            left += len(witness.faces(served))
            shown += anonymizer.doubt is None
        device.close()
    assert clear >= 40, "the other detector is too weak for its silence to mean anything"
    assert shown >= 24
    if style == "mask":
        assert left == 0


def skin(picture: Picture, face: tuple[int, int, int, int]) -> float:
    """Return the share of a face's inner half that has a colour: neither ink nor chalk has any.

    The lines of the overlay have one, and are left out.
    """
    left, top, right, bottom = face
    wide, high = (right - left) // 4, (bottom - top) // 4
    inner = slice(top + high, bottom - high), slice(left + wide, right - wide)
    lines = np.ptp(draw_overlay(np.full_like(picture, 48), SeatZone(), None), axis=2) > 0
    around = cv2.dilate(lines.astype(np.uint8), np.ones((17, 17), np.uint8))  # JPEG's blocks
    return float((np.ptp(picture[inner].astype(int), axis=2) > 24)[around[inner] == 0].mean())


@pytest.mark.shared
@pytest.mark.parametrize("style", ["mask", "drawing"])
def test_the_stream_of_the_running_command_shows_no_face(
    shared: Path, tmp_path: Path, style: Literal["mask", "drawing"]
) -> None:
    """Pictures as a browser gets them, after the real camera, command and server."""
    witness = Witness(shared)
    media = ROOT / "samples" / "neutral.mp4"
    device = open_source(f"file:{media}").open(frozenset({Purpose.IMAGE}))
    clear = [unit.pixels for unit in iter(device.read, None) if isinstance(unit, Frame)][::12]
    device.close()
    places = [(picture, face) for picture in clear for face in witness.faces(picture)]
    assert len(places) >= len(clear) - 1, "the other detector is too weak for its silence to mean anything"
    assert min(skin(*place) for place in places) > 0.5, "the check cannot see an open face"
    shutil.copyfile(media, tmp_path / "session.mp4")
    with RtspMediaServer({"counter": tmp_path / "session.mp4"}, loop=True) as server:
        config = write_config(tmp_path, server.url("counter"))
        program, client = begin(tmp_path, config, "--style", style)
        with closing(client), client.stream("GET", "/preview/stream") as stream:
            pictures = jpegs(stream, 16)
            program.process.send_signal(signal.SIGINT)
            assert program.process.wait(PATIENCE_S) == 0, program.log()
    assert {picture.shape for picture in pictures} == {clear[0].shape}
    # The head hardly moves in this sample: where one face lies, the others do.
    assert max(skin(picture, face) for picture in pictures for _, face in places) < 0.02
    if style == "mask":
        assert [witness.faces(picture) for picture in pictures] == [[]] * len(pictures)
    else:
        chalk = [(picture[:, :, 1] > 120) & (np.ptp(picture, axis=2) < 24) for picture in pictures]
        left, top, right, bottom = places[0][1]
        assert max(one[top:bottom, left:right].mean() for one in chalk) > 0.01, "nothing was drawn"
