from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from inference.face_search import FaceSearch, Look, joined, load_face_searches
from models.errors import UnknownModel
from models.face_detectors import Box
from models.registry import Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

POINTS = ((12.0, 6.0), (18.0, 6.0), (15.0, 9.0), (13.0, 12.0), (17.0, 12.0))


class Brightest:
    """Finds the white rectangle of a picture."""

    version, sha256, threshold = "1", "a" * 64, 0.1

    def __init__(self, name: str = "brightest") -> None:
        self.name = name

    def detect(self, image: NDArray[np.uint8]) -> tuple[Box, ...]:
        rows, columns = np.nonzero((image == 255).all(axis=2))
        x1, y1, x2, y2 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        points = tuple((float(x1) + x - 10, float(y1) + y - 3) for x, y in POINTS)
        return (Box(float(x1), float(y1), float(x2), float(y2), 0.5, points),)

    def version_of(self) -> tuple[str, str, str]:
        return self.name, self.version, self.sha256


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_whatever_way_a_look_turns_the_picture_the_place_is_the_same(turns: int, *, mirrored: bool) -> None:
    image = np.zeros((40, 70, 3), np.uint8)
    image[3:17, 10:21] = 255
    (found,) = Look(Brightest(), mirrored=mirrored, quarter_turns=turns).detect(image)
    assert (found.x1, found.y1, found.x2, found.y2) == (10, 3, 21, 17)
    assert found.landmarks is not None
    assert all(10 <= x <= 21 and 3 <= y <= 17 for x, y in found.landmarks)


def test_in_the_mirror_the_left_eye_stays_the_left_one() -> None:
    image = np.zeros((40, 70, 3), np.uint8)
    image[3:17, 10:21] = 255
    (found,) = Look(Brightest(), mirrored=True).detect(image)
    assert found.landmarks is not None
    left, right, _, mouth_left, mouth_right = found.landmarks
    assert left[0] < right[0]
    assert mouth_left[0] < mouth_right[0]


def test_finds_that_overlap_become_one_that_holds_them() -> None:
    boxes = joined([Box(0, 0, 10, 10, 0.3, POINTS), Box(2, 2, 14, 12, 0.8), Box(50, 0, 60, 10, 0.2)])
    assert boxes == (Box(0, 0, 14, 12, 0.8, POINTS), Box(50, 0, 60, 10, 0.2))


def test_a_search_says_which_networks_look() -> None:
    search = FaceSearch([Look(Brightest()), Look(Brightest(), mirrored=True)])
    assert (search.version_of(), search.looks) == (("brightest", "1", "a" * 64), 2)
    two = FaceSearch([Look(Brightest()), Look(Brightest("other"))])
    assert two.name == "brightest+other"
    assert two.sha256 not in {"a" * 64, ""}


def test_files_are_looked_at_more_closely_than_live_pictures() -> None:
    fast, slow = (load_face_searches(Registry.default(), "centerface", slow=slow) for slow in (False, True))
    assert isinstance(fast.always, FaceSearch)
    assert isinstance(slow.always, FaceSearch)
    assert (fast.always.looks, slow.always.looks) == (1, 2)
    assert max(fast.always.threshold, fast.closer.threshold, slow.closer.threshold) <= 0.15


def test_a_name_that_is_no_detector_is_refused() -> None:
    with pytest.raises(UnknownModel):
        load_face_searches(Registry.default(), "silero-vad", slow=True)
