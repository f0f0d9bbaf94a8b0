"""Camera-view signals on made-up rooms: what raises each, what raises none, what is kept of whom."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Final

import av
import cv2
import numpy as np
import pytest

from consent.gate import Permitted
from inference.camera_view import UNREADABLE, CameraTrouble, CameraView, CameraViewConfig
from inference.errors import FrameError, SettingError
from inference.zones import SeatZone
from models.face_boxes import Box

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from inference.media import Frame

    Picture = NDArray[np.uint8]

_SEED: Final = 20260101
_S: Final = 1_000_000_000


def room(seed: int = _SEED) -> Picture:
    """A wall with shelves, frames and a window: coarse and fine structure all over."""
    rng = np.random.default_rng(seed)
    wall = cv2.resize(rng.integers(70, 180, (9, 16, 3), np.uint8), (640, 360), interpolation=cv2.INTER_CUBIC)
    for _ in range(60):
        x, y, width, height = rng.integers((0, 0, 15, 10), (600, 330, 110, 70))
        colour = tuple(int(value) for value in rng.integers(20, 235, 3))
        cv2.rectangle(wall, (int(x), int(y)), (int(x + width), int(y + height)), colour, -1)
    return wall.astype(np.uint8)


ROOM: Final = room()
_NOISE: Final = np.random.default_rng(_SEED).normal(0.0, 1.5, (360, 640, 3)).astype(np.float32)


def noisy(picture: Picture, number: int) -> Picture:
    """Add sensor noise, another one in every picture."""
    with_noise: Picture = np.clip(picture + np.roll(_NOISE, 37 * number, axis=1), 0, 255).astype(np.uint8)
    return with_noise


def moved(across: float, down: float = 0.0) -> Picture:
    matrix = np.array([[1, 0, across * 640], [0, 1, down * 360]], np.float32)
    return cv2.warpAffine(ROOM, matrix, (640, 360), borderMode=cv2.BORDER_REFLECT).astype(np.uint8)


def finger() -> Picture:
    y, x = np.mgrid[:360, :640]
    glow = np.exp(-((x - 400.0) ** 2 + (y - 180.0) ** 2) / (2 * 320.0**2))
    before_lens: Picture = (np.array([40.0, 50.0, 120.0]) * glow[..., None]).astype(np.uint8)
    return before_lens


def watched(view: CameraView, picture: Picture, *, from_s: int, looks: int) -> list[str]:
    return [view.look(noisy(picture, n), n * _S).name for n in range(from_s, from_s + looks)]


@pytest.fixture
def view() -> CameraView:
    """A camera that has seen its room for twelve seconds."""
    found = CameraView(SeatZone())
    assert set(watched(found, ROOM, from_s=0, looks=12)) == {"good"}
    return found


@pytest.mark.parametrize(
    ("picture", "name", "delay_s"),
    [
        (np.full_like(ROOM, 3), "covered", 5),
        (np.full_like(ROOM, 110), "covered", 5),
        (finger(), "covered", 5),
        ((ROOM * 0.09).astype(np.uint8), "dark", 5),
        (np.clip(ROOM * 2.0 + 160, 0, 255).astype(np.uint8), "bright", 5),
        (cv2.GaussianBlur(ROOM, (0, 0), 5).astype(np.uint8), "defocused", 5),
        (moved(0.08), "moved", 10),
        (moved(-0.12, 0.1), "moved", 10),
        (room(99), "moved", 11),
    ],
    ids=["cap", "cloth", "finger", "dark", "bright", "defocused", "moved", "tilted", "elsewhere"],
)
def test_a_trouble_is_raised_when_it_lasts_and_taken_back(
    view: CameraView, picture: Picture, name: str, delay_s: int
) -> None:
    names = watched(view, picture, from_s=12, looks=20)
    assert names == ["good"] * delay_s + [name] * (20 - delay_s)
    trouble = CameraTrouble(name)
    assert view.state.trouble is trouble
    # Whether a whole new view stands still is known at its second look.
    assert view.state.since_ns == (13 if delay_s == 11 else 12) * _S
    assert ": " in trouble.reason
    assert view.readable() is (trouble not in UNREADABLE)
    assert watched(view, ROOM, from_s=32, looks=6) == [name] * 3 + ["good"] * 3
    assert view.readable()


def test_the_shift_of_a_moved_camera_is_told(view: CameraView) -> None:
    watched(view, moved(0.1), from_s=12, looks=12)
    across, down = view.state.shift
    assert across == pytest.approx(0.1, abs=0.02)
    assert abs(down) < 0.03


@pytest.mark.parametrize(
    "picture",
    [moved(0.015), (ROOM * 0.6).astype(np.uint8), cv2.GaussianBlur(ROOM, (0, 0), 0.8).astype(np.uint8)],
    ids=["nudged", "dimmed", "slightly-soft"],
)
def test_what_is_still_usable_raises_nothing(view: CameraView, picture: Picture) -> None:
    assert set(watched(view, picture, from_s=12, looks=15)) == {"good"}


def test_a_frozen_picture_is_told_from_a_still_scene(view: CameraView) -> None:
    last = noisy(ROOM, 11)
    names = [view.look(last, n * _S).name for n in range(12, 22)]
    assert names == ["good"] * 5 + ["frozen"] * 5
    assert not view.readable()
    assert watched(view, ROOM, from_s=22, looks=5)[-1] == "good"


def encoded(pictures: Iterable[Picture], *, crf: int) -> list[Picture]:
    """Send pictures through a camera's encoder, 12 a second, a whole picture every ten seconds."""
    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as target:
        stream = target.add_stream("libx264", rate=12, options={"crf": str(crf), "g": "120"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for picture in pictures:
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        target.mux(stream.encode(None))
    held.seek(0)
    with av.open(held, "r") as source:
        return [frame.to_ndarray(format="bgr24").astype(np.uint8) for frame in source.decode(video=0)]


def capped(number: int, level: float, grain: float) -> Picture:
    """A lens behind its cap: black of this level, with the faint noise of the sensor."""
    noise = np.roll(_NOISE, 911 * number, axis=(0, 1)) * (grain / 1.5)
    black: Picture = np.clip(level + noise, 0, 255).astype(np.uint8)
    return black


@pytest.mark.parametrize(
    ("level", "grain", "crf", "names"),
    [
        (3.0, 0.5, 28, {"covered"}),
        (3.0, 0.0, 23, {"covered"}),
        (10.2, 1.0, 28, {"covered", "dark", "frozen"}),
        (14.0, 0.6, 28, {"dark", "frozen"}),
    ],
    ids=["faint-noise", "no-noise", "at-the-limit", "raised-black"],
)
def test_a_capped_lens_behind_an_encoder_is_raised(
    view: CameraView, level: float, grain: float, crf: int, names: set[str]
) -> None:
    """What a decoder gives of a black picture is often the same in every bit, and often is not."""
    pictures = encoded((capped(n, level, grain) for n in range(15 * 12)), crf=crf)
    found = [view.look(picture, 12 * _S + n * _S // 12).name for n, picture in enumerate(pictures)]
    assert set(found[: 5 * 12 - 1]) == {"good"}
    assert set(found[5 * 12 + 1 :]) <= names
    assert view.state.since_ns == 12 * _S
    assert watched(view, ROOM, from_s=28, looks=6)[-1] == "good"


def test_troubles_that_take_turns_are_raised_by_the_most_frequent(view: CameraView) -> None:
    soft = cv2.GaussianBlur(ROOM, (0, 0), 5).astype(np.uint8)
    turns = [soft, soft, finger()] * 7
    names = [view.look(noisy(picture, n), n * _S).name for n, picture in enumerate(turns, 12)]
    assert names == ["good"] * 5 + ["defocused"] * 16
    assert view.state.since_ns == 12 * _S
    names = watched(view, finger(), from_s=33, looks=8)
    assert names == ["defocused"] * 4 + ["covered"] * 4, "another one waits as long, from its first look"


def somebody(number: int, *, sways: bool) -> tuple[Picture, Box]:
    """Somebody who stands right before the camera: nearly nothing of the room is left."""
    rng = np.random.default_rng(7)
    cloth = cv2.resize(
        rng.integers(30, 200, (12, 20, 3), np.uint8), (700, 400), interpolation=cv2.INTER_CUBIC
    )
    across = (0, 14, -9, 20, 5, -16)[number % 6] if sways else 0
    picture = ROOM.copy()
    picture[14:, 13:627] = cloth[14:360, 40 + across : 654 + across]
    cv2.ellipse(picture, (320 + across, 110), (70, 95), 0, 0, 360, (140, 165, 205), -1)
    return picture, Box(250 + across, 15, 390 + across, 205, 0.9)


@pytest.mark.parametrize("face_found", [True, False], ids=["face-found", "face-missed"])
def test_somebody_before_nearly_all_of_the_background_has_not_moved_the_camera(
    view: CameraView, *, face_found: bool
) -> None:
    for n in range(12, 42):
        picture, face = somebody(n, sways=True)
        name = view.look(noisy(picture, n), n * _S, people=(face,) if face_found else ()).name
        assert name == "good", n
    assert watched(view, ROOM, from_s=42, looks=3) == ["good"] * 3
    assert watched(view, room(99), from_s=45, looks=12)[-1] == "moved", "it is still noticed afterwards"


def test_a_camera_moved_while_the_program_was_off_is_not_noticed() -> None:
    """The limit that docs/perception.md states: no picture of the room is kept on disk."""
    assert set(watched(CameraView(SeatZone()), moved(0.2), from_s=0, looks=20)) == {"good"}


def test_a_short_trouble_is_none_but_faces_are_not_read_in_it(view: CameraView) -> None:
    assert watched(view, finger(), from_s=12, looks=4) == ["good"] * 4
    assert not view.readable(), "suspected is enough to leave faces unread"
    assert set(watched(view, ROOM, from_s=16, looks=5)) == {"good"}


def test_a_blurred_camera_is_found_at_its_start() -> None:
    view = CameraView(SeatZone())
    soft = cv2.GaussianBlur(ROOM, (0, 0), 12).astype(np.uint8)
    assert watched(view, soft, from_s=0, looks=8)[-1] == "defocused"


def walker(number: int) -> Picture:
    """Somebody who walks along the wall, beside the seat as well."""
    picture = ROOM.copy()
    x = 40 * number % 640
    cv2.rectangle(picture, (x, 90), (x + 60, 359), (200, 180, 160), -1)
    return picture


def test_people_who_move_raise_nothing_and_are_no_background() -> None:
    view = CameraView(SeatZone())
    names = [view.look(noisy(walker(n), n), n * _S).name for n in range(40)]
    assert set(names) == {"good"}


def test_the_background_holds_neither_seat_nor_face_nor_whoever_moves() -> None:
    view = CameraView(SeatZone(privacy_masks=(((0.9, 0.0), (1.0, 0.0), (1.0, 0.5), (0.9, 0.5)),)))
    face = Box(20, 60, 60, 110, 0.9)
    for n in range(8):
        view.look(noisy(ROOM, n), n * _S, people=(face,))
    background = view._background
    assert background is not None
    kept = background._kept
    assert kept.shape == (36, 64)
    assert not kept[:, 15:49].any(), "the seat"
    assert not kept[7:, 2:10].any(), "the face and the body below it"
    assert not kept[:17, 59:].any(), "the privacy mask"
    assert (background._edges[~kept] == 0).all()
    assert view._looks == []


def kept_of(view: CameraView) -> tuple[bool, int]:
    return view._background is not None, len(view._usual)


def test_a_withdrawn_session_leaves_nothing() -> None:
    view = CameraView(SeatZone())
    watched(view, ROOM, from_s=0, looks=5)
    view.session_ended(withdrawn=True)
    assert (view._looks, view._background, len(view._usual)) == ([], None, 0)
    watched(view, ROOM, from_s=20, looks=10)
    assert view._background is not None
    view.session_ended(withdrawn=True)
    assert kept_of(view) == (False, 0)
    watched(view, ROOM, from_s=40, looks=10)
    view.session_ended()
    watched(view, ROOM, from_s=60, looks=3)
    view.session_ended(withdrawn=True)
    assert view._background is not None, "an earlier session's, which its citizen did not withdraw"
    assert len(view._usual) == 10
    view.aimed_anew()
    assert kept_of(view) == (False, 0)
    assert view.state.name == "unknown"


def test_a_camera_that_was_moved_between_sessions_is_found(view: CameraView) -> None:
    view.session_ended()
    assert watched(view, moved(0.2), from_s=500, looks=12)[-1] == "moved"


def test_most_frames_are_passed_over(view: CameraView) -> None:
    begun = view.state
    for n in range(24):
        assert view.look(finger(), 11 * _S + n * _S // 25) is begun


def test_a_hole_in_the_time_line_starts_the_waiting_again(view: CameraView) -> None:
    watched(view, finger(), from_s=12, looks=4)
    assert view.look(noisy(finger(), 1), 100 * _S, segment=1).name == "good"
    assert view.look(noisy(finger(), 2), 104 * _S, segment=1).name == "good"
    assert view.look(noisy(finger(), 3), 105 * _S, segment=1).name == "covered"


def test_a_unit_that_the_gate_did_not_permit_is_not_looked_at(view: CameraView) -> None:
    hollow: Permitted[Frame] = object.__new__(Permitted)
    with pytest.raises(PermissionError):
        view.see(hollow)
    with pytest.raises(FrameError):
        view.look(np.zeros((4, 4), np.uint8), 99 * _S)


@pytest.mark.parametrize(
    "wrong", [{"look_hz": 0}, {"raise_s": 0}, {"clear_s": -1}, {"reference_looks": 2}], ids=str
)
def test_settings_that_could_raise_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        CameraViewConfig(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_a_look_costs_little(view: CameraView) -> None:
    """The bound is a wide one for a loaded machine; docs/measurements.md has the figure."""
    best = float("inf")
    for n in range(12, 40):
        picture = noisy(moved(0.1), n)
        begun = time.process_time()
        view.look(picture, n * _S)
        best = min(best, time.process_time() - begun)
    assert best < 0.02
