from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from inference.commands import evaluate
from inference.evaluation_detection import CURVE, FaceTableError, evaluate_detection, matched, read_truth
from inference.picture_conditions import Condition, worsened
from models.face_detectors import Box
from models.registry import MODELS_DIR_VARIABLE, Registry

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "image,orig_w,orig_h,x1,y1,x2,y2\n"


def call(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(evaluate, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def table(folder: Path, *lines: str, header: str = HEADER) -> tuple[Path, Path]:
    images = folder / "images"
    images.mkdir(exist_ok=True)
    cv2.imwrite(str(images / "a.png"), np.zeros((20, 20, 3), np.uint8))
    truth = folder / "gt.csv"
    truth.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return images, truth


def test_each_face_is_found_once_by_the_best_detection() -> None:
    faces = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], float)
    boxes = (
        Box(0, 0, 10, 9, 0.6),  # a good fit, but second to the face
        Box(0, 0, 10, 6, 0.9),  # IoU 0.6, better score
        Box(20, 0, 30, 4.9, 0.8),  # IoU 0.49
        Box(100, 100, 110, 110, 0.7),
    )
    assert matched(faces, boxes) == {1: 0}
    assert matched(np.zeros((0, 4)), boxes) == {}
    assert matched(faces, (Box(20, 0, 30, 5.0, 0.8),)) == {0: 1}


def test_a_table_is_read_in_original_pixels(tmp_path: Path) -> None:
    images, truth = table(tmp_path, "a.png,1024,768,1,2,30.5,40", "a.png,1024,768,50,50,60,60")
    (picture,) = read_truth(images, truth)
    assert picture.size == (1024.0, 768.0)
    assert picture.faces == ((1.0, 2.0, 30.5, 40.0), (50.0, 50.0, 60.0, 60.0))


@pytest.mark.parametrize(
    ("line", "header", "named"),
    [
        ("b.png,10,10,1,1,2,2", HEADER, "line 2: there is no picture b.png"),
        ("a.png,10,10,1,1,2", HEADER, "line 2: sizes and corners must be numbers"),
        ("a.png,10,10,1,one,2,2", HEADER, "line 2: sizes and corners must be numbers"),
        ("a.png,0,10,1,1,2,2", HEADER, "line 2: sizes must be positive"),
        ("a.png,10,10,1,1,nan,2", HEADER, "line 2: sizes must be positive and corners finite"),
        ("a.png,10,10,2,1,1,2", HEADER, "line 2: x2 must lie behind x1"),
        ("a.png,10,10,1,1,2,2", HEADER.replace("x2", "right"), "no column 'x2'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, header: str, named: str) -> None:
    images, truth = table(tmp_path, line, header=header)
    with pytest.raises(FaceTableError) as caught:
        read_truth(images, truth)
    assert named in str(caught.value)
    code, out, err = call("detection", "--images", str(images), "--gt", str(truth), "--json")
    assert (code, out) == (2, "")
    assert named in err


def test_missing_or_empty_input_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    images, truth = table(tmp_path)
    for folder, faces, named in (
        (tmp_path / "absent", truth, "no folder"),
        (tmp_path / "empty", truth, "holds no picture"),
        (images, truth, "names no face"),
        (images, tmp_path / "absent.csv", "cannot be read"),
    ):
        code, out, err = call("detection", "--images", str(folder), "--gt", str(faces), "--json")
        assert (code, out, named in err) == (2, "", True), err


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    images, truth = table(tmp_path, "a.png,10,10,1,1,2,2")
    (images / "a.png").write_bytes(b"no picture")
    code, out, err = call("detection", "--images", str(images), "--gt", str(truth), "--json")
    assert (code, out) == (2, "")
    assert "a.png cannot be read" in err


def test_a_bad_pack_ends_with_2(tmp_path: Path) -> None:
    np.savez(tmp_path / "pack.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.array(["happy", "sad"]))
    code, out, err = call("expression", "--npz", str(tmp_path / "pack.npz"), "--json")
    assert (code, out) == (2, "")
    assert "no 'person'" in err


@pytest.mark.parametrize(
    ("name", "said"), [("foo", "No model is called 'foo'"), ("silero-vad", "is not a face detector")]
)
def test_an_unknown_detector_ends_with_2(tmp_path: Path, name: str, said: str) -> None:
    images, truth = table(tmp_path, "a.png,10,10,1,1,2,2")
    code, out, err = call("detection", "--images", str(images), "--gt", str(truth), "--detector", name)
    assert (code, out) == (2, "")
    assert said in err


def test_a_wrong_network_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private_home: Path
) -> None:
    monkeypatch.setenv(MODELS_DIR_VARIABLE, str(tmp_path))
    (tmp_path / "centerface.onnx").write_bytes(b"tampered")
    images, truth = table(tmp_path, "a.png,10,10,1,1,2,2")
    code, out, err = call("detection", "--images", str(images), "--gt", str(truth), "--json")
    assert (code, out) == (1, "")
    assert "SHA-256" in err


def test_figures_of_real_faces_are_one_object(tmp_path: Path, shared: Path) -> None:
    with np.load(shared / "data" / "faces" / "dev_named_people.npz") as pack:
        np.savez(tmp_path / "some.npz", **{key: pack[key][::12] for key in ("images", "labels", "person")})
    code, out, err = call("expression", "--npz", str(tmp_path / "some.npz"), "--json")
    assert code == 0, err
    figures = json.loads(out)
    assert {"raw", "calibrated", "n", "ms_per_face", "models"} <= set(figures)
    assert set(figures["raw"]) == set(figures["calibrated"])
    assert 100 < figures["n"] < 146
    assert figures["calibrated"]["accuracy3"] > 0.75
    assert figures["calibrated"]["auc_positive_negative"] > 0.9
    assert figures["calibrated"]["ece"] < figures["raw"]["ece"]
    assert figures["models"][0]["name"] == "face-api-expression"


def test_detection_counts_by_height(tmp_path: Path, shared: Path) -> None:
    source = shared / "data" / "faces" / "wider200"
    lines = (source / "gt.csv").read_text(encoding="utf-8").splitlines()[1:]
    names = sorted({line.split(",")[0] for line in lines})[:8]
    kept = [line for line in lines if line.split(",")[0] in names]
    (tmp_path / "gt.csv").write_text(HEADER + "\n".join(kept), encoding="utf-8")
    told: list[tuple[int, int]] = []
    figures = evaluate_detection(
        source,
        tmp_path / "gt.csv",
        Registry([]),
        lambda done, total: told.append((done, total)),
        detector="centerface",
    )
    ranges = figures["by_height"].values()
    assert sum(row["faces"] for row in ranges) == len(kept)
    assert figures["faces"] == sum(figures["by_height"][key]["faces"] for key in ("40-80", "80+"))
    assert figures["recall"] > 0.5
    assert figures["precision"] > 0.8
    assert told == [(number, 8) for number in range(1, 9)]
    assert figures["detector"]["name"] == "centerface"


def few(source: Path, folder: Path, count: int) -> Path:
    """Write a table of the first pictures of the pack that show a face which counts."""
    lines = (source / "gt.csv").read_text(encoding="utf-8").splitlines()[1:]

    def counts(line: str) -> bool:
        width, height, _, top, _, bottom = map(float, line.split(",")[1:])
        return (bottom - top) * 640 / max(width, height) >= 40

    names = sorted({line.split(",")[0] for line in lines if counts(line)})[:count]
    truth = folder / "gt.csv"
    kept = [line for line in lines if line.split(",")[0] in names]
    truth.write_text(HEADER + "\n".join(kept), encoding="utf-8")
    return truth


def test_every_present_detector_is_measured_in_one_run(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, private_home: Path
) -> None:
    source = shared / "data" / "faces" / "wider200"
    monkeypatch.setenv(MODELS_DIR_VARIABLE, str(shared / "models"))
    truth = few(source, tmp_path, 3)
    code, out, err = call(
        "detection", "--images", str(source), "--gt", str(truth), "--detector", "all", "--curve", "--json"
    )
    assert code == 0, err
    figures = json.loads(out)
    assert set(figures) == {"detectors", "chosen", "reason"}
    keys, rows = list(figures["detectors"]), list(figures["detectors"].values())
    assert keys == [f"{row['detector']['name']}@{row['detector']['version']}" for row in rows]
    assert keys == ["yunet@2026may", "yunet@2023mar", "centerface@1.5.0", "face-api-ssd@1.7.15"]
    assert figures["chosen"] == keys[0]
    assert figures["reason"].startswith("yunet@2026may: F1")
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert row["cpu_ms_640x360"] > 0
        assert [point["threshold"] for point in row["curve"]] == list(CURVE)
        recalls = [point["recall"] for point in row["curve"]]
        assert recalls == sorted(recalls, reverse=True), "a higher threshold finds no more"
        assert "by_condition" not in row


def test_a_point_of_the_curve_equals_a_run_at_that_threshold(tmp_path: Path, shared: Path) -> None:
    source = shared / "data" / "faces" / "wider200"
    truth = few(source, tmp_path, 4)
    registry = Registry([shared / "models"])

    def measured(threshold: float | None, *, curve: bool) -> dict[str, Any]:
        return evaluate_detection(
            source,
            truth,
            registry,
            lambda _done, _total: None,
            detector="yunet@2026may",
            threshold=threshold,
            curve=curve,
        )

    (point,) = (row for row in measured(None, curve=True)["curve"] if row["threshold"] == 0.3)
    alone = measured(0.3, curve=False)
    assert "curve" not in alone
    assert {key: alone[key] for key in point} == point


def test_conditions_are_measured_beside_the_pictures(tmp_path: Path, shared: Path) -> None:
    source = shared / "data" / "faces" / "wider200"
    told: list[tuple[int, int]] = []
    figures = evaluate_detection(
        source,
        few(source, tmp_path, 2),
        Registry([shared / "models"]),
        lambda done, total: told.append((done, total)),
        detector="yunet@2026may",
        conditions=True,
    )
    assert set(figures["by_condition"]) == {str(condition) for condition in Condition}
    assert {row["faces"] for row in figures["by_condition"].values()} == {figures["faces"]}
    assert told[-1] == (14, 14)


def test_no_detector_at_all_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private_home: Path
) -> None:
    def nobody(_self: Registry, _card: object) -> None:
        return None

    monkeypatch.setattr(Registry, "find", nobody)
    images, truth = table(tmp_path, "a.png,10,10,1,1,2,2")
    for wanted in ((), ("--detector", "all")):
        code, out, err = call("detection", "--images", str(images), "--gt", str(truth), *wanted)
        assert (code, out) == (1, "")
        assert "No face detector is here" in err


def test_what_a_condition_does_to_a_picture() -> None:
    image = np.full((60, 80, 3), (40, 100, 200), np.uint8)
    faces = np.array([[10.0, 20.0, 30.0, 40.0], [70.0, 50.0, 90.0, 70.0]])
    changed = {condition: worsened(image, condition, faces, seed=1) for condition in Condition}
    assert all(picture.shape == image.shape for picture in changed.values())
    assert all(picture.dtype == np.uint8 for picture in changed.values())
    assert (image == (40, 100, 200)).all(), "the picture itself stays"
    assert (changed[Condition.DARK] == (12, 30, 60)).all()
    assert np.ptp(changed[Condition.GREY][0, 0]) == 0
    assert (changed[Condition.BLUR] == image).all(), "an even picture has nothing to blur"
    noise = changed[Condition.NOISE].astype(float) - image
    assert noise.std() == pytest.approx(20, abs=1)
    assert (worsened(image, Condition.NOISE, faces, seed=1) == changed[Condition.NOISE]).all()
    covered = (changed[Condition.COVERED] != image).any(axis=2)
    assert covered[31:40, 10:30].all(), "lower 45 % of the face"
    assert not covered[:31].any()
    assert covered.sum() == 9 * 20, "the second face's lower part lies outside"
