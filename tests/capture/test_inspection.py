"""Looking at a processed recording: what is written, and what never is."""

from __future__ import annotations

import base64
import json
import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from capture.commands import edge
from inference.inspection_words import LANGUAGES
from inference.session_page import page as session_page
from models.face_detectors import load_face_detector
from models.registry import Registry
from setup.layout import ROOT

if TYPE_CHECKING:
    from tests.browser import Axe, NewPage

SYNTHETIC = 'synthetic = "SYNTHETIC: rendered head, no real person"\n'
IMAGE = 'decision = "given"\npurposes = ["image"]\n'
SVG = "{http://www.w3.org/2000/svg}"


def recording(folder: Path, consent: str | None, name: str = "mini/mini_happy.mp4") -> Path:
    """Put a sample into a folder with a consent file of its own."""
    media = folder / "visit.mp4"
    shutil.copyfile(ROOT / "samples" / name, media)
    if consent is not None:
        media.with_suffix(".consent.toml").write_text(consent, "utf-8")
    return media


def inspect(media: Path, out: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    done = CliRunner().invoke(edge, ["inspect", str(media), "--out", str(out), "--json", *options])
    return done.exit_code, json.loads(done.stdout) if done.stdout else {}, done.stderr


def pictured(drawing: Path) -> NDArray[np.uint8]:
    found = re.search(r"data:image/jpeg;base64,([^\"]+)", drawing.read_text("utf-8"))
    assert found is not None
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(found[1]), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels.astype(np.uint8)


def faces(folder: Path) -> int:
    detector = load_face_detector(Registry.default(), "centerface", threshold=0.3)
    return sum(len(detector.detect(pictured(drawing))) for drawing in (folder / "pictures").glob("*.svg"))


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A sample with its picture permitted, inspected once."""
    folder = tmp_path_factory.mktemp("inspected")
    code, figures, told = inspect(recording(folder, IMAGE + SYNTHETIC), folder / "out", "--language", "en")
    assert code == 0, told
    return folder / "out", figures


def test_it_writes_what_it_says(looked_at: tuple[Path, dict[str, Any]]) -> None:
    out, figures = looked_at
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == set(figures["files"])
    assert {"index.html", "timeline.svg", "timeline.csv", "session.json"} < written
    assert json.loads((out / "session.json").read_text("utf-8")) == figures
    occasions = [name.rsplit("-", 1)[1] for name in sorted(written) if name.startswith("pictures/")]
    assert (occasions[0], occasions[-1]) == ("start.svg", "end.svg")


def test_the_figures_agree_with_each_other(looked_at: tuple[Path, dict[str, Any]]) -> None:
    _, figures = looked_at
    face = figures["face"]
    assert (figures["consent"], figures["faces"], figures["error"]) == ("completed", "masked", None)
    assert face["readings"] + face["discarded"] == face["expression_calls"] > 10
    assert 0 <= face["uncertain"] <= face["readings"]
    assert sum(track["expression_calls"] for track in face["tracks"]) == face["expression_calls"]
    assert sum(track["citizen"] for track in face["tracks"]) >= face["expression_calls"]
    assert figures["signal"]["quality"]["face_s"] == pytest.approx(face["face_s"], abs=0.01)
    assert "voice" not in figures, "sound was not given"
    cost = figures["cost"]
    assert sum(cost["cpu_share"].values()) == pytest.approx(1.0, abs=0.01)
    assert cost["calls"]["face detection"] == face["detections"]
    assert cost["calls"]["masks on pictures"] == face["detections"], "every picture passed the anonymiser"


def test_no_picture_shows_a_face_and_each_shows_boxes(looked_at: tuple[Path, dict[str, Any]]) -> None:
    out, _ = looked_at
    assert faces(out) == 0
    for drawing in (out / "pictures").glob("*.svg"):
        root = ET.parse(drawing).getroot()  # noqa: S314 - our own picture
        words = [found.text or "" for found in root.iter(f"{SVG}text")]
        assert any(
            re.match(r"#1 citizen · read \d+ times · [+-]\d\.\d\d \(\d+%\)", text) for text in words
        ), words
        assert "SYNTHETIC: rendered head, no real person" in words
        assert [found.tag for found in root.iter() if found.attrib.get("href", "").startswith("http")] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_its_page_reads_well_at_a_desk_and_on_a_phone(
    looked_at: tuple[Path, dict[str, Any]], tmp_path: Path, new_page: NewPage, axe: Axe, language: str
) -> None:
    out, figures = looked_at
    words = LANGUAGES[language]
    pictures = [(name, f"{words.start} {name}") for name in figures["files"] if name.startswith("pictures/")]
    shown = session_page(
        language=language,
        words=words,
        title="a-very-long-name-of-a-recording-that-somebody-made-at-a-counter-2026-11-22T08-00-00.mp4",
        label="SYNTHETIC: rendered head, no real person",
        told=words.no_reading,
        tracks=figures["face"]["tracks"],
        pictures=pictures,
    )
    shutil.copytree(out, tmp_path / "page")
    (tmp_path / "page" / "index.html").write_text(shown, "utf-8")
    files = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "page"))
    with ThreadingHTTPServer(("127.0.0.1", 0), files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for width in (1280, 360):
            page = new_page(viewport={"width": width, "height": 800})
            page.goto(f"http://127.0.0.1:{server.server_port}/index.html", wait_until="networkidle")
            assert page.get_attribute("html", "lang") == language
            assert axe(page) == ()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("document.images[0].naturalWidth") > 0
        server.shutdown()


def test_faces_are_shown_only_of_what_says_that_it_is_synthetic(tmp_path: Path) -> None:
    """Also the control of the detector above: where nothing is masked, it finds the faces."""
    media = recording(tmp_path, IMAGE)
    code, _, told = inspect(media, tmp_path / "out", "--clear-test-media")
    assert code == 1
    assert "synthetic" in told
    assert not (tmp_path / "out").exists()
    media.with_suffix(".consent.toml").write_text(IMAGE + SYNTHETIC, "utf-8")
    code, figures, told = inspect(media, tmp_path / "out", "--clear-test-media")
    assert code == 0, told
    assert figures["faces"] == "shown"
    assert faces(tmp_path / "out") >= 2


def test_without_a_consent_file_nothing_is_read(tmp_path: Path) -> None:
    code, _, told = inspect(recording(tmp_path, None), tmp_path / "out")
    assert code == 1
    assert "consent file" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("consent", "state"),
    [
        (IMAGE + "withdraws_after_s = 3.0\n", "withdrawn"),
        ('decision = "refused"\n', "refused"),
        ('decision = "silent"\n', "deferred"),
    ],
)
def test_who_withdraws_or_refuses_leaves_no_picture_and_no_reading(
    tmp_path: Path, consent: str, state: str
) -> None:
    code, figures, told = inspect(recording(tmp_path, consent + SYNTHETIC), tmp_path / "out")
    assert code == 0, told
    assert (figures["consent"], figures["signal"]) == (state, None)
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["session.json"]
    assert {"face", "voice", "files"} & set(figures) == set()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    code, _, told = inspect(recording(tmp_path, IMAGE), tmp_path / "out")
    assert code == 1
    assert "not an empty folder" in told
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--seat-zone", "0.2,0 0.8"),
        ("--seat-zone", "0.2,0 0.8,0 0.8,7"),
        ("--seat-zone", "0,0 0.01,0 0.01,0.01"),
        ("--channel", "middle"),
    ],
    ids=["half a corner", "outside", "too small", "channel"],
)
def test_a_wrong_seat_is_explained(tmp_path: Path, wrong: tuple[str, str]) -> None:
    code, _, told = inspect(recording(tmp_path, IMAGE), tmp_path / "out", *wrong)
    assert code == 2
    assert "cannot be used" in told
    assert not (tmp_path / "out").exists()


def test_who_sits_outside_the_seat_is_drawn_and_never_read(tmp_path: Path) -> None:
    media = recording(tmp_path, IMAGE + SYNTHETIC)
    corner = "0,0 0.15,0 0.15,1 0,1"
    code, figures, told = inspect(media, tmp_path / "out", "--seat-zone", corner, "--language", "vi")
    assert code == 0, told
    assert (figures["signal"], figures["face"]["expression_calls"]) == (None, 0)
    assert "expression" not in figures["cost"]["calls"]


def test_camera_trouble_is_noted_with_its_reason(tmp_path: Path) -> None:
    """A made recording that stands still after five seconds."""
    media, still = recording(tmp_path, IMAGE + SYNTHETIC), tmp_path / "still.mp4"
    with av.open(str(media)) as source, av.open(str(still), "w") as target:
        stream = target.add_stream("libx264", rate=12, options={"preset": "ultrafast"})
        frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
        stream.height, stream.width = frames[0].shape[:2]
        for index in range(15 * 12):
            pixels = frames[min(index, 5 * 12) % len(frames)]
            target.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        target.mux(stream.encode(None))
    shutil.copyfile(media.with_suffix(".consent.toml"), still.with_suffix(".consent.toml"))
    code, _, told = inspect(still, tmp_path / "out")
    assert code == 0, told
    rows = [row.split(",") for row in (tmp_path / "out" / "timeline.csv").read_text().splitlines()]
    (row,) = [row for row in rows if row[0] == "camera"]
    assert row[-1] == "frozen"
    assert 5.0 <= float(row[1]) <= 8.0
    assert float(row[2]) == pytest.approx(14.9, abs=0.3)
