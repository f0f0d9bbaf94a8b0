from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from inference.commands import evaluate
from inference.evaluation_anonymizer import left_over, read_faces, upper_95
from inference.evaluation_attack import rank_one
from inference.evaluation_detection import FaceTableError
from models.face_detectors import Box
from tests.inference.moving_faces import laid, portraits, room
from tests.inference.test_anonymise_files import film

if TYPE_CHECKING:
    from numpy.typing import NDArray

FACE = Box(100, 50, 200, 150, 1)


def told(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(evaluate, ["anonymiser", *words, "--detector", "centerface", "--json"])
    assert result.exit_code == 0, result.output
    figures: dict[str, Any] = json.loads(result.stdout)
    return figures


def test_what_is_left_of_a_face() -> None:
    clear = room()
    masked = clear.copy()
    masked[50:150, 100:200] = 48
    assert left_over(clear, clear, FACE) > 0.9
    assert left_over(clear, masked, FACE) == 0.0
    masked[50:150, 100:110] = clear[50:150, 100:110]
    assert left_over(clear, masked, FACE) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(
    ("count", "of", "bound"), [(0, 100, 0.0295), (0, 1000, 0.003), (2, 341, 0.0184), (5, 5, 1.0)]
)
def test_the_upper_bound_of_a_share(count: int, of: int, bound: float) -> None:
    assert upper_95(count, of) == pytest.approx(bound, abs=0.0001)


def test_of_nothing_nothing_is_known() -> None:
    assert upper_95(0, 0) is None


def test_ours_leaks_nothing_and_a_result_that_hides_nothing_leaks_everywhere(
    shared: Path, tmp_path: Path
) -> None:
    portrait = portraits(shared, 1)[0]
    pictures, lines = [], ["frame,x1,y1,x2,y2"]
    for number in range(4):
        picture = room()
        face = laid(picture, portrait, 220 + 5 * number, 90, 160)
        pictures.append(picture)
        lines.append(f"{number},{face.x1},{face.y1},{face.x2},{face.y2}")
    source = film(tmp_path / "in.mp4", pictures)
    truth = tmp_path / "faces.csv"
    truth.write_text("\n".join(lines), encoding="utf-8")
    ours = told("--video", str(source), "--truth", str(truth))
    assert (ours["frames"], ours["faces"], ours["truth"]) == (4, 4, "table")
    assert (ours["leaked_frames"], ours["uncovered_faces"], ours["found_again"]) == (0, 0, 0)
    assert ours["attack"] is None
    assert 0 < ours["painted_share"] < 1
    open_ones = told("--video", str(source), "--truth", str(truth), "--result", str(source))
    assert (open_ones["leaked_frames"], open_ones["uncovered_faces"]) == (4, 4)
    assert open_ones["found_again"] == 4


def test_recordings_of_different_lengths_are_not_compared(tmp_path: Path) -> None:
    one, two = film(tmp_path / "one.mp4", [room()] * 3), film(tmp_path / "two.mp4", [room()] * 2)
    result = CliRunner().invoke(evaluate, ["anonymiser", "--video", str(one), "--result", str(two)])
    assert result.exit_code == 2
    assert "different numbers of frames" in result.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("frame,x1,y1,x2\n0,1,2,3\n", "no column 'y2'"),
        ("frame,x1,y1,x2,y2\n0,1,2,three,4\n", "line 2"),
        ("frame,x1,y1,x2,y2\n0,9,2,3,4\n", "line 2"),
        ("frame,x1,y1,x2,y2\n", "no face"),
    ],
)
def test_a_wrong_table_is_explained(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "faces.csv").write_text(text, encoding="utf-8")
    with pytest.raises(FaceTableError, match=words):
        read_faces(tmp_path / "faces.csv")


def attacker(path: Path, side: int) -> Path:
    """Write a network that answers with the pixels themselves: enough to know a picture again."""
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["pictures"], ["found"])],
        "attack",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", side, side, 3])],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, ["n", side * side * 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


def test_a_pack_under_an_attack_that_the_user_brings(shared: Path, tmp_path: Path) -> None:
    faces = portraits(shared, 4)
    images: list[NDArray[np.uint8]] = [face for face in faces for _ in range(2)]
    np.savez(tmp_path / "pack.npz", images=np.stack(images), person=np.repeat(np.arange(4), 2))
    without = told("--npz", str(tmp_path / "pack.npz"))
    assert without["attack"] is None
    assert (without["faces"], without["leaked_faces"]) == (8, 0)
    found = told("--npz", str(tmp_path / "pack.npz"), "--attacker", str(attacker(tmp_path / "own.onnx", 24)))
    attack = found["attack"]
    assert (attack["people"], attack["chance"], attack["rank1_clear"]) == (4, 0.25, 1.0)
    assert attack["rank1_by_clear"] < 1.0


def test_a_draw_counts_as_chance() -> None:
    owner, probe = np.array([0, 0, 1, 1]), np.array([True, False, True, False])
    same = np.zeros((2, 3), np.float32)
    assert rank_one(owner, probe, same, same) == 0.5


def test_either_a_recording_or_a_pack(tmp_path: Path) -> None:
    assert CliRunner().invoke(evaluate, ["anonymiser"]).exit_code == 2
    pack = tmp_path / "pack.npz"
    pack.write_bytes(b"")
    assert CliRunner().invoke(evaluate, ["anonymiser", "--npz", str(pack)]).exit_code == 2


def test_the_witness_says_whether_it_stands_apart(tmp_path: Path) -> None:
    figures = told("--video", str(film(tmp_path / "in.mp4", [room()] * 2)))
    assert figures["witness_independent"] is (figures["witness"]["name"] != "centerface")
    assert figures["leaked_frames_upper_95"] is None
