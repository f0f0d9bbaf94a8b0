from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from inference.commands import evaluate
from inference.evaluation_tracking import evaluate_tracking, recorded_frames
from inference.face_config import FaceConfig
from inference.person_table import PersonTableError, read_people
from models.registry import MODELS_DIR_VARIABLE, Registry
from setup.layout import ROOT

if TYPE_CHECKING:
    from pathlib import Path

CLIP = ROOT / "samples" / "mini"
BYSTANDER = ROOT / "samples" / "bystander.mp4"


def call(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(evaluate, ["tracking", *arguments])
    return result.exit_code, result.stdout, result.stderr


def clip() -> Path:
    return min(CLIP.glob("*.mp4"))


def test_people_are_read_with_or_without_a_first_line(tmp_path: Path) -> None:
    table = tmp_path / "gt.csv"
    for head in ("", "frame,id,left,top,width,height\n"):
        table.write_text(
            head + "1,7,10,20,30,40\n1,8,50,20,30,40.5,1,1,0.9\n3,7,11,20,30,40,0\n", encoding="utf-8"
        )
        people = read_people(table)
        assert [person.number for person in people.at(1)] == [7, 8]
        assert people.at(1)[1].box.y2 == 60.5
        assert people.at(2) == people.at(3) == (), "frame 3's box is marked as not to be counted"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("1,7,10,20,30", "line 1: 5 columns", id="short"),
        pytest.param("1,7,10,20,30,x", "line 1: frame and id must be whole", id="word"),
        pytest.param("1,7,1,2,3,4\n0,7,10,20,30,40", "line 2: frame 0", id="frame-0"),
        pytest.param("1,7,10,20,0,40", "line 1: width and height", id="flat"),
        pytest.param("1,7,nan,20,3,40", "line 1: width and height", id="not-finite"),
        pytest.param("1,7,1,2,3,4\n1,7,9,2,3,4", "line 2: person 7 is twice", id="twice"),
        pytest.param("frame,id,left,top,width,height", "names nobody", id="nobody"),
    ],
)
def test_wrong_tables_are_explained(tmp_path: Path, text: str, named: str) -> None:
    table = tmp_path / "gt.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(PersonTableError, match=named):
        read_people(table)


def test_one_person_is_one_track(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    found = evaluate_tracking(
        clip(), Registry.default(), lambda done, total: steps.append((done, total)), detector="centerface"
    )
    assert steps[-1][0] == steps[-1][1] == found["frames"]
    assert (found["tracks"], found["citizen_changes"], found["stopped"]) == (1, 0, False)
    assert found["with_a_citizen"] == 1.0
    assert found["by_track"]["1"]["calls"] == found["detections"]
    # The tracks themselves as the truth: every figure is perfect, and none is when they are moved.
    table = tmp_path / "gt.csv"
    boxes = tracked(clip())
    for off, idf1 in ((0, 1.0), (500, 0.0)):
        rows = [
            f"{n},4,{x1 + off * (n % 2)},{y1},{x2 - x1},{y2 - y1}" for n, (x1, y1, x2, y2) in boxes.items()
        ]
        table.write_text("\n".join(rows), encoding="utf-8")
        people = evaluate_tracking(
            clip(), Registry.default(), lambda *_: None, truth=table, detector="centerface"
        )["people"]
        if not off:
            assert (people["recall"], people["precision"], people["idf1"]) == (1.0, 1.0, idf1)
            assert (people["identity_switches"], people["identities_per_person"]) == (0, 1.0)
        else:
            assert people["precision"] < 0.75


def tracked(video: Path) -> dict[int, tuple[float, float, float, float]]:
    from inference.citizen_watch import CitizenWatch  # noqa: PLC0415 - only here
    from inference.zones import SeatZone  # noqa: PLC0415 - only here
    from models.face_detectors import load_face_detector  # noqa: PLC0415 - only here

    watch = CitizenWatch(load_face_detector(Registry.default(), "centerface"), SeatZone(), FaceConfig())
    found = {}
    for frame in recorded_frames(video):
        before = watch.detections
        watch.look(frame)
        if watch.detections > before and watch.glance is not None:
            box = watch.glance.tracks[0].box
            found[frame.index + 1] = (box.x1, box.y1, box.x2, box.y2)
    return found


def test_the_bystander_has_a_track_and_no_call() -> None:
    status, out, err = call(
        "--video", str(BYSTANDER), "--detector", "centerface", "--detect-hz", "2", "--json"
    )
    assert status == 0, err
    found = json.loads(out)
    calls = sorted(life["calls"] for life in found["by_track"].values())
    assert len(calls) >= 2
    assert calls[:-1] == [0] * (len(calls) - 1)
    assert calls[-1] > 50
    assert found["ms"]["all_a_frame"] > 0
    assert "tracking" in err


def test_more_readings_than_detections_are_followed() -> None:
    found = evaluate_tracking(
        clip(),
        Registry.default(),
        lambda *_: None,
        detector="centerface",
        config=FaceConfig(detect_hz=1, read_hz=4),
    )
    assert found["followed"] > 2 * found["detections"]
    # A detection falls between two readings now and then, and is not read.
    assert found["followed"] < found["by_track"]["1"]["calls"] <= found["detections"] + found["followed"]


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        pytest.param(("--video", "nothing.mp4"), 2, "nothing.mp4 cannot be opened", id="no-video"),
        pytest.param(("--video", str(BYSTANDER), "--detector", "nobody"), 2, "nobody", id="no-detector"),
        pytest.param(
            ("--video", str(BYSTANDER), "--truth", "nothing.csv"),
            2,
            "nothing.csv cannot be read",
            id="no-truth",
        ),
        pytest.param(("--video", str(BYSTANDER), "--read-hz", "0"), 2, "read_hz is 0.0", id="no-rate"),
    ],
)
def test_wrong_input_is_explained_in_one_line(arguments: tuple[str, ...], status: int, named: str) -> None:
    found, out, err = call(*arguments)
    assert (found, out) == (status, "")
    assert named in err
    assert "Traceback" not in err


def test_a_missing_model_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODELS_DIR_VARIABLE, str(tmp_path))
    status, _, err = call("--video", str(BYSTANDER), "--detector", "yunet")
    assert status == 1
    assert "hailong models import" in err
