from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.errors import InputError
from models.expression_scores import calibration_error, read_pack, score

if TYPE_CHECKING:
    from pathlib import Path


def pack(folder: Path, **changes: Any) -> Path:
    arrays: dict[str, Any] = {
        "images": np.arange(4 * 6 * 5, dtype=np.uint8).reshape(4, 6, 5),
        "labels": np.array(["happy", "surprise", "neutral", "contempt"]),
        "person": np.array([7, 7, 9, 30], np.int32),
    }
    arrays.update(changes)
    path = folder / "pack.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_a_pack_leaves_true_surprise_out(tmp_path: Path) -> None:
    read = read_pack(pack(tmp_path))
    assert read.classes.tolist() == [2, 1, 0]
    assert read.persons.tolist() == [0, 1, 2]
    assert [crop.shape for crop in read.images] == [(6, 5, 3)] * 3
    assert (read.images[1][:, :, 0] == np.arange(60, 90, dtype=np.uint8).reshape(6, 5)).all()


def test_whole_numbers_count_along_the_labels(tmp_path: Path) -> None:
    for kind in (np.uint8, np.int64):
        read = read_pack(pack(tmp_path, labels=np.array([4, 7, 5, 1], kind)))
        assert read.classes.tolist() == [2, 1, 0]


def test_colour_is_rgb_in_the_pack_and_bgr_behind_it(tmp_path: Path) -> None:
    images = np.zeros((4, 2, 2, 3), np.uint8)
    images[..., 0] = 200
    crop = read_pack(pack(tmp_path, images=images)).images[0]
    assert crop[0, 0].tolist() == [0, 0, 200]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"images": None}, "no 'images'"),
        ({"labels": None}, "no 'labels'"),
        ({"person": None}, "no 'person'"),
        ({"images": np.zeros((4, 6), np.uint8)}, "'images' must be uint8"),
        ({"images": np.zeros((4, 6, 5), np.float32)}, "'images' must be uint8"),
        ({"images": np.zeros((4, 6, 5, 2), np.uint8)}, "'images' must be uint8"),
        ({"images": np.zeros((4, 0, 5), np.uint8)}, "'images' must be uint8"),
        ({"images": np.zeros((3, 6, 5), np.uint8)}, "one entry a face"),
        ({"person": np.zeros(3, np.int32)}, "one entry a face"),
        ({"labels": np.array(["happy"] * 3 + ["bored"])}, "unknown label 'bored'"),
        ({"labels": np.array([0, 1, 2, 8])}, "0 to 7"),
        ({"labels": np.array([0, 1, 2, -1])}, "0 to 7"),
        ({"labels": np.array(["surprise"] * 4)}, "no face"),
        ({"labels": np.array(["happy", 1, None, 2], dtype=object)}, "plain arrays"),
    ],
)
def test_what_is_no_pack_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    path = pack(tmp_path, **changes)
    with pytest.raises(InputError) as caught:
        read_pack(path)
    assert named in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a pack", b"PK\x03\x04broken"])
def test_what_is_no_npz_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pack.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not an NPZ file"):
        read_pack(path)


def test_a_single_array_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(InputError, match="no 'images'"):
        read_pack(tmp_path / "one.npy")
    with pytest.raises(InputError, match="no face pack"):
        read_pack(tmp_path / "absent.npz")
    with pytest.raises(InputError, match="no face pack"):
        read_pack(tmp_path)


def test_scores_of_a_small_table() -> None:
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3], [0.2, 0.1, 0.7]])
    found = score(shares, np.array([0, 2, 1, 0]))
    assert found.accuracy3 == 0.75
    # leans: negatives 0.125 and 0.778, the positive 0.857
    assert found.auc_positive_negative == 1.0
    assert found.neutral_recall == 1.0
    # bins [0.5, 0.6): 1 right at 0.5; [0.6, 0.7): right at 0.6; [0.7, 0.8): one of two right at 0.7
    assert found.ece == pytest.approx(0.25 * 0.5 + 0.25 * 0.4 + 0.5 * 0.2)


def test_missing_classes_have_no_figure() -> None:
    found = score(np.array([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]), np.array([2, 2]))
    assert (found.auc_positive_negative, found.neutral_recall) == (None, None)


def test_the_auc_is_the_textbooks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([1, 1, 1], 400).round(2) + 0.001
    shares /= shares.sum(axis=1, keepdims=True)
    classes = rng.integers(0, 3, 400)
    charged = classes != 1
    lean = shares[charged, 2] / (shares[charged, 2] + shares[charged, 0])
    expected = roc_auc_score(classes[charged] == 2, lean)
    assert score(shares, classes).auc_positive_negative == pytest.approx(expected)


def test_perfect_confidence_has_no_calibration_error() -> None:
    assert calibration_error(np.eye(3), np.arange(3)) == 0.0
    assert calibration_error(np.eye(3), np.array([1, 2, 0])) == 1.0
