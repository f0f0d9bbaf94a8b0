from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from consent.errors import NotPermitted
from consent.gate import Gate, Permitted
from consent.ledger import ConsentStore
from consent.notice import NoticeShelf
from consent.purpose import Purpose
from consent.record import IndicatedBy, draft
from consent.state import State
from consent.terms import load_terms
from inference.camera_view import CameraView
from inference.errors import FrameError, SettingError
from inference.face_config import FaceConfig
from inference.face_evidence import FaceReader
from inference.face_moments import FaceEvidence, FaceMoment, Glance
from inference.face_quality import Rejection
from inference.fusion import fuse
from inference.media import Frame
from inference.session import SessionAnalysis, StopReason
from inference.zones import SeatZone
from models.expression import Expression, load_expression_model
from models.face_detectors import Box, load_face_detector
from models.registry import Registry
from setup.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

NS = 1_000_000_000
SAMPLES = ROOT / "samples"
T0 = 1_700_000_000 * NS
HZ = 12


@dataclass
class Device:
    frames: Iterator[Frame]

    def read(self) -> Frame | None:
        return next(self.frames, None)

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


@dataclass
class Source:
    frames: Iterable[Frame]

    def open(self, purposes: frozenset[Purpose]) -> Device:
        return Device(iter(self.frames))


@dataclass
class Door:
    """The real gate over a consent that a fixture gave."""

    store: ConsentStore
    stack: ExitStack
    withdraw: Callable[[], object] = lambda: None

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Permitted[Frame]]:
        notice = NoticeShelf.load().current("vi")
        purposes = (Purpose.IMAGE,)
        record = draft(
            counter="counter-1",
            notice=notice.reference(purposes),
            purposes=purposes,
            categories=notice.categories(purposes),
            terms=load_terms(),
            offered_at=datetime.now(UTC),
        )
        self.store.offer(record)
        self.store.decide(record.record_id, {Purpose.IMAGE: True}, "citizen", "screen")
        self.withdraw = lambda: self.store.apply(
            record.record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "button"
        )
        gate = Gate(self.store, lease_s=60.0)
        return self.stack.enter_context(gate.stream(gate.grant(record.record_id), Source(frames)))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with ExitStack() as stack:
        yield Door(stack.enter_context(ConsentStore(tmp_path / "consent.sqlite")), stack)


@dataclass
class Scene:
    """Says where faces are; a detector that reads the answer instead of the picture."""

    region_x: float
    scale: float
    boxes: Sequence[Box] = ()
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    black: list[bool] = field(default_factory=list)
    name: str = "scene"
    version: str = "1"
    sha256: str = "0" * 64
    threshold: float = 0.5

    def detect(self, image: NDArray[np.uint8]) -> tuple[Box, ...]:
        self.shapes.append(image.shape)
        self.black.append(not image[:5, :5].any())
        return tuple(
            Box(
                (box.x1 - self.region_x) * self.scale,
                box.y1 * self.scale,
                (box.x2 - self.region_x) * self.scale,
                box.y2 * self.scale,
                box.score,
            )
            for box in self.boxes
        )

    def version_of(self) -> tuple[str, str, str]:
        return self.name, self.version, self.sha256


@dataclass
class Mood:
    """Answers with one expression and remembers the crops."""

    negative: float = 0.1
    positive: float = 0.7
    crops: list[NDArray[np.uint8]] = field(default_factory=list)
    arousal: float | None = None
    sufficient: bool = True

    def predict(self, faces: Sequence[NDArray[np.uint8]]) -> tuple[Expression, ...]:
        self.crops += faces
        answer = Expression(self.negative, 1 - self.negative - self.positive, self.positive, raw=())
        return tuple(replace(answer, arousal=self.arousal, uncertain=not self.sufficient) for _ in faces)


def face(x: float, y: float, height: float) -> Box:
    return Box(x - 0.375 * height, y - height / 2, x + 0.375 * height, y + height / 2, 0.9)


CITIZEN = face(330, 150, 160)
BEHIND = face(120, 150, 90)


def texture() -> NDArray[np.uint8]:
    blocks = np.random.default_rng(1).integers(60, 200, (45, 80, 3), dtype=np.uint8)
    return np.repeat(np.repeat(blocks, 8, axis=0), 8, axis=1)


PICTURE = texture()


def frames(seconds: float, *, start_s: float = 0.0, segment: int = 0) -> Iterator[Frame]:
    for n in range(int(seconds * HZ)):
        yield Frame(PICTURE, T0 + int((start_s + n / HZ) * NS), n, segment)


def reader_of(scene_boxes: Sequence[Box], **config: float) -> tuple[FaceReader, Scene, Mood]:
    zone = SeatZone()
    region = zone.region(640, 360)
    scene = Scene(region.x1, 320 / (region.x2 - region.x1), scene_boxes)
    mood = Mood()
    return FaceReader(scene, mood, zone, FaceConfig(**config)), scene, mood  # type: ignore[arg-type]  # one setting at a time


def test_a_seated_face_is_read_at_the_configured_rate(door: Door) -> None:
    reader, scene, mood = reader_of([CITIZEN])
    for unit in door(frames(10)):
        reader.see(unit)
    evidence = reader.evidence()
    assert (evidence.frames, evidence.detections, evidence.expression_calls) == (120, 40, 40)
    assert evidence.calls_by_track == {1: 40}
    assert evidence.face_s == pytest.approx(10.0, abs=0.1)
    assert len(mood.crops) == 40
    assert {crop.shape for crop in mood.crops} == {(160, 160, 3)}
    first = evidence.moments[0]
    assert (first.captured_ns, first.confidence) == (T0, 0.7)
    assert first.valence == pytest.approx(0.6)
    # The seat and its margin, scaled to the working size: never the whole picture.
    assert set(scene.shapes) == {(225, 320, 3)}


def test_expression_may_be_read_less_often_than_detected(door: Door) -> None:
    reader, _, _ = reader_of([CITIZEN], read_hz=1.0)
    for unit in door(frames(10)):
        reader.see(unit)
    assert (reader.evidence().detections, reader.evidence().expression_calls) == (40, 10)
    assert reader.evidence().face_s == pytest.approx(10.0, abs=0.1)


def test_more_may_be_read_than_detected_by_following(door: Door) -> None:
    reader, _, mood = reader_of([CITIZEN], detect_hz=2.0, read_hz=6.0)
    for unit in door(frames(10)):
        reader.see(unit)
    evidence = reader.evidence()
    assert (evidence.detections, evidence.followed, evidence.expression_calls) == (20, 40, 60)
    assert evidence.calls_by_track == {1: 60}
    assert evidence.face_s == pytest.approx(10.0, abs=0.1)
    assert {crop.shape for crop in mood.crops} == {(160, 160, 3)}


def test_a_face_that_moves_between_detections_is_read_where_it_is(door: Door) -> None:
    reader, scene, mood = reader_of([CITIZEN], detect_hz=2.0, read_hz=6.0)

    def moving() -> Iterator[Frame]:
        for n in range(HZ):
            yield Frame(np.roll(PICTURE, 4 * (n % 6), axis=1), T0 + n * NS // HZ, n)

    for unit in door(moving()):
        scene.boxes = [CITIZEN]  # what a detection finds every half second: the picture has rolled back
        reader.see(unit)
    assert len(mood.crops) == 6
    for crop in mood.crops[1:3]:
        assert float(np.abs(crop.astype(int) - mood.crops[0].astype(int)).mean()) < 4.0


def test_a_lost_face_is_not_read_until_the_next_detection(door: Door) -> None:
    reader, _, mood = reader_of([CITIZEN], detect_hz=1.0, read_hz=6.0)
    dark = np.full_like(PICTURE, 90)
    for unit in door(Frame(PICTURE if n % HZ < 5 else dark, T0 + n * NS // HZ, n) for n in range(2 * HZ)):
        reader.see(unit)
    # Each second: one detection and two followed readings, then the picture is gone.
    assert (len(mood.crops), reader.evidence().followed) == (6, 4)


def test_nobody_is_followed_past_a_second_face(door: Door) -> None:
    reader, scene, mood = reader_of([CITIZEN], detect_hz=2.0, read_hz=6.0)
    for n, unit in enumerate(door(frames(1.5))):
        scene.boxes = [CITIZEN] if n < 6 else [CITIZEN, face(430, 170, 120)]
        reader.see(unit)
    assert len(mood.crops) == 3


def test_unsure_readings_count_by_their_confidence_and_are_told_apart(door: Door) -> None:
    """Left out, a session would keep the smiles that are easy to see and drop the neutral faces."""
    reader, _, mood = reader_of([CITIZEN])
    mood.sufficient = False
    for unit in door(frames(4)):
        reader.see(unit)
    evidence = reader.evidence()
    assert (len(evidence.moments), evidence.uncertain, evidence.expression_calls) == (16, 16, 16)
    assert evidence.face_s == pytest.approx(4.0)
    assert evidence.rejections == {}
    assert reader.glance is not None
    assert reader.glance.valence == pytest.approx(0.6)


@pytest.mark.parametrize(
    "between",
    [[], [Box(300, 70, 360, 230, 0.9)], [CITIZEN, face(430, 170, 120)]],
    ids=["nobody", "a face that no gate lets through", "a second face"],
)
def test_time_without_a_reading_adds_no_seconds(door: Door, between: list[Box]) -> None:
    """`face_s` is time in which the face was read, not from the first reading to the last."""
    reader, scene, _ = reader_of([CITIZEN])
    for n, unit in enumerate(door(frames(4))):
        scene.boxes = [CITIZEN] if n < 12 or n >= 36 else between
        reader.see(unit)
    evidence = reader.evidence()
    assert evidence.face_s == pytest.approx(evidence.expression_calls / 4)
    assert 4 <= evidence.expression_calls <= 8


@pytest.mark.parametrize("arousal", [None, 0.25])
def test_arousal_is_kept_where_the_network_tells_it(door: Door, arousal: float | None) -> None:
    reader, _, mood = reader_of([CITIZEN], max_moments=16)
    mood.arousal = arousal
    for unit in door(frames(20)):
        reader.see(unit)
    moments = reader.evidence().moments
    assert len(moments) <= 17
    assert {moment.arousal for moment in moments} == {arousal}


def test_frames_may_change_their_size(door: Door) -> None:
    reader, scene, _ = reader_of([CITIZEN], detect_hz=2.0, read_hz=6.0)
    small = np.ascontiguousarray(PICTURE[::2, ::2])
    for n, unit in enumerate(door(Frame((PICTURE, small)[n // 16], T0 + n * NS // HZ, n) for n in range(32))):
        if n == 16:
            region = SeatZone().region(320, 180)
            scene.region_x, scene.scale = region.x1, 1.0
            scene.boxes = [face(165, 75, 80)]
        reader.see(unit)
    # As large in the picture as before, so it is the citizen, found anew in the first smaller frame.
    assert reader.evidence().calls_by_track == {1: 8, 2: 8}
    assert reader.evidence().detections == 6
    assert reader.glance is not None
    assert (reader.glance.width, reader.glance.height) == (320, 180)


def test_who_stands_outside_the_seat_is_never_read(door: Door) -> None:
    reader, _, mood = reader_of([BEHIND])
    for unit in door(frames(5)):
        reader.see(unit)
    evidence = reader.evidence()
    assert evidence.calls_by_track == {1: 0}
    assert (mood.crops, evidence.moments, evidence.face_s) == ([], (), 0.0)


def test_a_bystander_beside_the_citizen_gets_no_call(door: Door) -> None:
    reader, _, _ = reader_of([BEHIND, CITIZEN])
    for unit in door(frames(5)):
        reader.see(unit)
    assert reader.evidence().calls_by_track == {1: 0, 2: 20}
    assert reader.evidence().second_face_s == 0.0


def test_a_second_face_at_the_seat_stops_all_reading_and_is_timed(door: Door) -> None:
    reader, scene, mood = reader_of([CITIZEN])
    read = 0
    for n, unit in enumerate(door(frames(6))):
        if n == 2 * HZ:
            read = len(mood.crops)
            scene.boxes = [CITIZEN, face(430, 170, 120)]
        reader.see(unit)
    assert len(mood.crops) == read == 8
    # One detection to know the face, a second of it, and nothing is looked at any more.
    assert reader.accompanied
    assert reader.second_face_s == reader.evidence().second_face_s == pytest.approx(1.25)
    assert (reader.evidence().detections, reader.evidence().frames) == (14, 72)
    assert reader.evidence().faces_in_zone_max == 2


def test_a_second_face_for_a_moment_is_short(door: Door) -> None:
    reader, scene, _ = reader_of([CITIZEN])
    for n, unit in enumerate(door(frames(8))):
        scene.boxes = [CITIZEN, face(430, 170, 120)] if n % (4 * HZ) < 6 else [CITIZEN]
        reader.see(unit)
    assert 0.0 < reader.second_face_s < 1.0
    assert not reader.accompanied


def test_a_session_stops_at_a_sustained_second_face_and_stays_stopped(door: Door) -> None:
    reader, scene, _ = reader_of([CITIZEN])
    session = SessionAnalysis(face=reader, voice=None, models=())
    stops = []
    for n, unit in enumerate(door(frames(6))):
        scene.boxes = [CITIZEN, face(430, 170, 120)] if 2 * HZ <= n < 4 * HZ else [CITIZEN]
        session.take(unit)
        stops.append(session.stop)
    assert stops.index(StopReason.SECOND_FACE) == 2 * HZ + 15
    assert set(stops[2 * HZ + 15 :]) == {StopReason.SECOND_FACE}
    session.purge()
    assert session.stop is None


def test_a_session_without_the_picture_has_nothing_to_stop_for() -> None:
    assert SessionAnalysis(face=None, voice=None, models=()).stop is None


def test_a_glance_is_of_the_last_detection_only(door: Door) -> None:
    small = face(430, 100, 60)
    reader, scene, _ = reader_of([BEHIND, CITIZEN, small])
    assert reader.glance is None
    seen: list[Glance] = []
    for n, unit in enumerate(door(frames(2))):
        scene.boxes = [[BEHIND, CITIZEN, small], [CITIZEN, face(430, 170, 120)], [], [face(330, 150, 44)]][
            n // 6
        ]
        reader.see(unit)
        if reader.glance not in seen:
            seen.append(reader.glance)  # type: ignore[arg-type]  # a frame was seen
    first, second, nobody, refused = seen[0], seen[2], seen[4], seen[6]
    assert (first.captured_ns, first.width, first.height) == (T0, 640, 360)
    assert [track.track_id for track in first.tracks] == [1, 2, 3]
    assert (first.seated, first.citizen, first.second_face) == ((2, 3), 2, False)
    assert first.valence == pytest.approx(0.6)
    assert (first.confidence, first.rejection) == (0.7, None)
    assert (second.seated, second.citizen, second.second_face) == ((2, 4), None, True)
    assert (second.valence, second.confidence) == (None, None)
    assert (nobody.tracks, nobody.seated, nobody.citizen) == ((), (), None)
    assert (refused.rejection, refused.valence) == (None, None), "too small to be the citizen's"
    reader.purge()
    assert reader.glance is None


def test_a_small_face_behind_within_the_seat_neither_stops_nor_is_read(door: Door) -> None:
    reader, _, _ = reader_of([CITIZEN, face(430, 100, 60)])
    for unit in door(frames(3)):
        reader.see(unit)
    assert reader.evidence().calls_by_track == {1: 12, 2: 0}
    assert reader.second_face_s == 0.0


def test_nobody_behind_takes_the_empty_chair(door: Door) -> None:
    behind = face(400, 120, 80)
    reader, scene, _ = reader_of([CITIZEN])
    for n, unit in enumerate(door(frames(10))):
        scene.boxes = [CITIZEN] if n < 4 * HZ else [behind]
        reader.see(unit)
    assert reader.evidence().calls_by_track == {1: 16, 2: 0}


def test_a_citizen_who_looks_away_is_read_again(door: Door) -> None:
    reader, scene, _ = reader_of([CITIZEN])
    for n, unit in enumerate(door(frames(12))):
        scene.boxes = [] if 4 * HZ <= n < 8 * HZ else [CITIZEN]
        reader.see(unit)
    assert reader.evidence().calls_by_track == {1: 16, 2: 16}
    assert reader.evidence().face_s == pytest.approx(8.0, abs=0.6)


def test_refused_faces_are_counted_and_not_read(door: Door) -> None:
    reader, scene, mood = reader_of([face(330, 150, 44)])
    for n, unit in enumerate(door(frames(2))):
        if n == HZ:
            scene.boxes = [Box(318, 120, 342, 180, 0.9)]
        reader.see(unit)
    assert reader.evidence().rejections == {Rejection.TOO_SMALL: 4, Rejection.NOT_FRONTAL: 4}
    assert mood.crops == []


def test_masks_are_burned_before_the_detector_sees_anything(door: Door) -> None:
    zone = SeatZone(privacy_masks=(((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5)),))
    scene, mood = Scene(0, 1), Mood()
    reader = FaceReader(scene, mood, zone)
    for unit in door(frames(1)):
        reader.see(unit)
    assert scene.black == [True] * 4
    assert PICTURE[:5, :5].any()


def test_nothing_reaches_across_a_break_of_the_time_line(door: Door) -> None:
    reader, _, _ = reader_of([CITIZEN])
    for unit in door([*frames(2), *frames(2, start_s=-3600.0, segment=1)]):
        reader.see(unit)
    assert reader.evidence().calls_by_track == {1: 8, 2: 8}
    assert reader.evidence().face_s == pytest.approx(4.0, abs=0.1)


def test_withdrawal_and_purge_leave_nothing(door: Door) -> None:
    reader, _, mood = reader_of([CITIZEN])
    units = door(frames(4))
    for _ in range(2 * HZ):
        reader.see(next(units))
    held = next(units)
    door.withdraw()
    before = len(mood.crops)
    with pytest.raises(NotPermitted):
        reader.see(held)
    assert len(mood.crops) == before
    reader.purge()
    assert reader.evidence() == FaceEvidence()


def test_no_picture_is_kept(door: Door) -> None:
    reader, _, _ = reader_of([CITIZEN])
    for unit in door(frames(2)):
        reader.see(unit)
    assert pictures_held(reader) == []
    evidence = reader.evidence()
    assert {item.name for item in fields(evidence)} == {
        "moments",
        "face_s",
        "uncertain",
        "discarded",
        "frames",
        "detections",
        "followed",
        "faces_in_zone_max",
        "second_face_s",
        "expression_calls",
        "calls_by_track",
        "rejections",
    }
    assert all(
        isinstance(value, int | float | None) for moment in evidence.moments for value in _values(moment)
    )


def pictures_held(thing: object, seen: set[int] | None = None) -> list[tuple[int, ...]]:
    """Return the shapes of all arrays that hang on something of this program."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return []
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return [thing.shape]
    if isinstance(thing, dict | list | tuple | set):
        parts = [*thing.keys(), *thing.values()] if isinstance(thing, dict) else [*thing]
    elif type(thing).__module__.startswith("inference."):
        names = [slot for kind in type(thing).__mro__ for slot in getattr(kind, "__slots__", ())]
        parts = [*getattr(thing, "__dict__", {}).values(), *(getattr(thing, name) for name in names)]
    else:
        parts = []
    return [shape for part in parts for shape in pictures_held(part, seen)]


def test_following_holds_one_thumbnail_until_the_end(door: Door) -> None:
    reader, _, _ = reader_of([CITIZEN], detect_hz=2.0, read_hz=6.0)
    for unit in door(frames(2)):
        reader.see(unit)
    assert pictures_held(reader) == [(32, 24)]
    reader.purge()
    assert pictures_held(reader) == []


def _values(moment: FaceMoment) -> list[object]:
    return [getattr(moment, item.name) for item in fields(moment)]


def test_hours_fit_in_bounded_memory(door: Door) -> None:
    reader, scene, _ = reader_of([CITIZEN], max_moments=64)
    for n, unit in enumerate(door(Frame(PICTURE, T0 + n * NS, n) for n in range(1500))):
        scene.boxes = [face(330 + 40 * (n % 2), 150, 160)] if n % 4 else []
        reader.see(unit)
    evidence = reader.evidence()
    assert evidence.expression_calls == 1125
    assert 32 <= len(evidence.moments) <= 65
    times = [moment.captured_ns for moment in evidence.moments]
    assert times == sorted(times)
    assert {round(moment.valence, 9) for moment in evidence.moments} == {0.6}
    assert len(evidence.calls_by_track) <= 64


def test_another_kind_of_picture_is_refused(door: Door) -> None:
    reader, _, _ = reader_of([CITIZEN])
    (unit,) = door([Frame(np.zeros((9, 9), np.uint8), T0, 0)])
    with pytest.raises(FrameError):
        reader.see(unit)


@pytest.mark.parametrize(
    "setting", [{"read_hz": 500.0}, {"read_hz": 0.0}, {"detect_hz": -1.0}, {"max_moments": 2}]
)
def test_impossible_rates_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        FaceConfig(**setting)  # type: ignore[arg-type]  # one keyword at a time


def decoded(path: Path, *, seconds: float) -> Iterator[Frame]:
    with av.open(str(path)) as container:
        for n, picture in enumerate(container.decode(video=0)):
            if picture.time > seconds:
                return
            pixels = picture.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
            yield Frame(pixels, T0 + int(picture.time * NS), n)


@pytest.fixture(scope="module")
def networks() -> Callable[..., FaceReader]:
    registry = Registry.default()
    detector, expression = load_face_detector(registry, "centerface"), load_expression_model(registry)
    return lambda: FaceReader(detector, expression, SeatZone(), FaceConfig(detect_hz=2.0, read_hz=2.0))


def watch(reader: FaceReader, door: Door, path: Path, *, seconds: float = 60.0) -> FaceEvidence:
    for unit in door(decoded(path, seconds=seconds)):
        reader.see(unit)
    return reader.evidence()


def test_the_sample_sessions_rank_as_they_were_made(networks: Callable[[], FaceReader], door: Door) -> None:
    scores = {}
    for name in ("satisfied", "neutral", "dissatisfied"):
        evidence = watch(networks(), door, SAMPLES / f"{name}.mp4")
        scores[name] = fuse(evidence, None).overall.score or 0.0
        assert evidence.rejections == {}
    assert scores["satisfied"] > 0.6 > scores["neutral"] > 0.4 > scores["dissatisfied"] > 0.0, scores


def test_the_sample_bystander_never_reaches_the_expression_network(
    networks: Callable[[], FaceReader], door: Door
) -> None:
    evidence = watch(networks(), door, SAMPLES / "bystander.mp4")
    calls = sorted(evidence.calls_by_track.values())
    assert len(calls) >= 2, "the bystander must have been found, or the test shows nothing"
    assert calls[:-1] == [0] * (len(calls) - 1)
    assert calls[-1] == evidence.expression_calls > 50


def test_an_empty_seat_gives_nothing(networks: Callable[[], FaceReader], door: Door) -> None:
    evidence = watch(networks(), door, SAMPLES / "nobody.mp4")
    assert evidence.detections > 20
    assert (evidence.moments, evidence.expression_calls) == ((), 0)


def at_the_counter(room: Path, officer: Path, *, left: int, mirrored: bool) -> Iterator[Frame]:
    """Put a real face, as large as an officer's beside the counter, into another recording."""
    for frame, other in zip(decoded(room, seconds=5.0), decoded(officer, seconds=5.0), strict=False):
        picture = cv2.resize(frame.pixels, (640, 360), interpolation=cv2.INTER_AREA)
        picture[100:248, left : left + 115] = cv2.resize(
            other.pixels[:, 300:580], (115, 148), interpolation=cv2.INTER_AREA
        )
        pixels = np.ascontiguousarray(picture[:, ::-1] if mirrored else picture, np.uint8)
        yield Frame(pixels, frame.captured_ns, frame.index)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("room", "left", "read"),
    [
        ("no_face.mp4", 55, 0),  # the officer alone, beside an empty chair
        ("single_face.mp4", 55, 1),  # beside a citizen
        ("no_face.mp4", 260, 1),  # the control: on the chair the same face would be read
    ],
)
def test_a_real_officers_face_beside_the_seat_is_never_read(
    networks: Callable[[], FaceReader],
    door: Door,
    recordings: Path,
    *,
    room: str,
    left: int,
    read: int,
    mirrored: bool,
) -> None:
    reader = networks()
    officer = recordings / "WolfgangLanger_Pexels.mp4"
    for unit in door(at_the_counter(recordings / room, officer, left=left, mirrored=mirrored)):
        reader.see(unit)
    evidence = reader.evidence()
    faces = 1 if room == "no_face.mp4" else 2
    assert len(evidence.calls_by_track) == faces, "each face was found, or the test shows nothing"
    calls = sorted(evidence.calls_by_track.values())
    assert [count > 0 for count in calls] == [False] * (faces - read) + [True] * read
    assert (len(evidence.moments) > 0) == (read > 0)


def test_a_real_face_goes_from_distress_to_laughter(
    networks: Callable[[], FaceReader], door: Door, recordings: Path
) -> None:
    evidence = watch(networks(), door, recordings / "WolfgangLanger_Pexels.mp4")
    valences = [moment.valence for moment in evidence.moments]
    assert len(valences) > 30
    assert np.median(valences[:10]) < -0.2
    assert np.median(valences[-10:]) > 0.8
    change = fuse(evidence, None).change
    assert change.low is not None
    assert change.low > 0


def seen_by(view: CameraView, scene: Iterable[Frame], door: Door) -> FaceReader:
    """Read a scene whose detector finds the citizen in whatever it is shown."""
    zone = SeatZone()
    region = zone.region(640, 360)
    reader = FaceReader(Scene(region.x1, 320 / (region.x2 - region.x1), [CITIZEN]), Mood(), zone, view=view)
    for unit in door(scene):
        reader.see(unit)
    return reader


def noisy(pixels: NDArray[np.uint8], n: int) -> NDArray[np.uint8]:
    grain = np.random.default_rng(n).normal(0, 2, pixels.shape)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def degraded(name: str, n: int) -> NDArray[np.uint8]:
    """Return the room as the camera gives it when something is wrong with it."""
    if name == "covered":
        return noisy(np.full_like(PICTURE, 90), n)
    if name == "defocused":
        return noisy(np.asarray(cv2.GaussianBlur(PICTURE, (0, 0), 6), np.uint8), n)
    if name == "moved":
        return noisy(np.roll(PICTURE, 80, axis=1), n)
    return noisy(PICTURE, 0 if name == "frozen" else n)


@pytest.mark.parametrize("trouble", ["covered", "defocused", "frozen", "moved"])
def test_nothing_is_read_while_the_camera_does_not_see(door: Door, trouble: str) -> None:
    """12 s of the room, then 12 s of trouble: what was read since the last good look goes, too."""
    view = CameraView(SeatZone())
    scene = [Frame(degraded("good" if n < 48 else trouble, n), T0 + n * NS // 4, n) for n in range(96)]
    evidence = seen_by(view, scene, door).evidence()
    last_s = (evidence.moments[-1].captured_ns - T0) / NS
    assert 10.75 <= last_s < 12.0
    assert len(evidence.moments) + evidence.discarded == evidence.expression_calls <= 52
    assert evidence.discarded <= 8, "two looks"
    assert evidence.rejections[Rejection.CAMERA] >= 44
    assert evidence.face_s == pytest.approx(len(evidence.moments) / 4, abs=0.3)
    assert view.state.name == trouble


def test_a_camera_that_sees_takes_no_reading(door: Door) -> None:
    scene = [Frame(degraded("good", n), T0 + n * NS // 4, n) for n in range(48)]
    evidence = seen_by(CameraView(SeatZone()), scene, door).evidence()
    assert (len(evidence.moments), evidence.discarded, evidence.rejections) == (48, 0, {})


def test_the_second_face_is_noticed_through_a_covered_camera(door: Door) -> None:
    """Trouble stops readings, not the look for somebody else at the seat."""
    zone = SeatZone()
    region = zone.region(640, 360)
    both = Scene(region.x1, 320 / (region.x2 - region.x1), [CITIZEN, face(430, 170, 120)])
    reader = FaceReader(both, Mood(), zone, view=CameraView(zone))
    for unit in door(Frame(degraded("covered", n), T0 + n * NS // 4, n) for n in range(12)):
        reader.see(unit)
    assert reader.accompanied
