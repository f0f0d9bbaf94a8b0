"""Measure tracking on a recording: who was followed, who would have been read, at what cost.

No expression network runs: what is counted is the faces that the product would have shown to
one. With a table of people, tracks are compared with them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from inference.citizen_watch import CitizenWatch
from inference.errors import MediaUnreadable
from inference.face_config import FaceConfig
from inference.identity_scores import Labelled, score_identities
from inference.media import Frame
from inference.person_table import PersonTable, read_people
from inference.recording_reader import RecordingReader, Shot, opened_recording
from inference.zones import SeatZone
from models.face_detectors import load_face_detector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from inference.face_moments import Glance
    from models.face_detectors import Box, FaceDetector
    from models.registry import Registry

_NS: Final = 1_000_000_000
_TRACKS_SHOWN: Final = 64


def evaluate_tracking(
    video: Path,
    registry: Registry,
    progress: Callable[[int, int], None],
    *,
    truth: Path | None = None,
    detector: str | None = None,
    config: FaceConfig | None = None,
    zone: SeatZone | None = None,
) -> dict[str, Any]:
    """Run detection, tracks, seat and following on a recording.

    Args:
        video: The recording.
        registry: Where the detector is looked up.
        progress: Told how many frames are done, of how many.
        truth: Table of people; `read_people` says what it holds. Detected frames are compared, and
            only people whose face lies where the detector looks.
        detector: Name of the detector; None takes the best one present.
        config: Rates and limits; None takes the product's.
        zone: The seat; None takes the middle of the picture.

    Raises:
        MediaUnreadable: The recording cannot be decoded.
        PersonTableError: The table cannot be used.
        ModelError: The detector is missing or wrong.
    """
    people = None if truth is None else read_people(truth)
    zone = zone or SeatZone()
    timed = _Timed(load_face_detector(registry, detector))
    run = _Run(CitizenWatch(timed, zone, config or FaceConfig()), timed)
    total = _length(video)
    for number, frame in enumerate(recorded_frames(video), 1):
        run.take(frame)
        progress(number, max(total, number))
    if not run.watch.frames:
        raise MediaUnreadable(f"{video} holds no picture that can be decoded. Record it again.")
    figures = {
        "detector": dict(zip(("name", "version", "sha256"), timed.version_of(), strict=True)),
        **run.figures(),
    }
    if people is not None:
        figures["people"] = _compared(run.glances, people, zone)
    return figures


def recorded_frames(video: Path) -> Iterator[Frame]:
    """Decode a recording; damaged pictures are left out, as a camera's would be.

    Raises:
        MediaUnreadable: It cannot be decoded.
    """
    with opened_recording(video) as (container, track):
        base = float(track.time_base or 0)
        shots = RecordingReader(container, track).items((track,))
        for index, shot in enumerate(shot for shot in shots if isinstance(shot, Shot)):
            if shot.image is not None:
                yield Frame(shot.image, int(shot.pts * base * _NS), index)


def _length(video: Path) -> int:
    """Return how many frames the recording says it has; 0 where it does not."""
    with opened_recording(video) as (_, track):
        return int(track.frames)


class _Timed:
    """A detector that knows how long it took."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self.name, self.version, self.sha256 = detector.version_of()
        self.threshold = detector.threshold
        self.spent_s = 0.0

    def detect(self, image: NDArray[np.uint8]) -> tuple[Box, ...]:
        started = time.perf_counter()
        boxes = self._detector.detect(image)
        self.spent_s += time.perf_counter() - started
        return boxes

    def version_of(self) -> tuple[str, str, str]:
        return self._detector.version_of()


@dataclass(slots=True)
class _Life:
    """One track's life."""

    first_ns: int
    last_ns: int
    detections: int = 0
    at_seat: int = 0
    calls: int = 0


@dataclass(slots=True)
class _Run:
    """Everything that one recording gave; glances hold boxes and numbers, no picture."""

    watch: CitizenWatch
    timed: _Timed
    glances: list[tuple[int, Glance]] = field(default_factory=list)
    lives: dict[int, _Life] = field(default_factory=dict)
    citizens: list[int] = field(default_factory=list)
    detect_s: float = 0.0
    follow_s: float = 0.0
    follow_steps: int = 0

    def take(self, frame: Frame) -> None:
        before, spent = self.watch.detections, self.timed.spent_s
        started = time.perf_counter()
        face = self.watch.look(frame)
        passed = time.perf_counter() - started
        if self.watch.detections > before:
            self.detect_s += passed - (self.timed.spent_s - spent)
            self._note(frame.index + 1)
        else:
            self.follow_s += passed
            self.follow_steps += 1
        if face is not None:
            self.lives[face.track_id].calls += 1

    def _note(self, number: int) -> None:
        glance = self.watch.glance
        if glance is None:
            return
        self.glances.append((number, glance))
        for track in glance.tracks:
            life = self.lives.setdefault(track.track_id, _Life(track.first_ns, track.seen_ns))
            life.last_ns = track.seen_ns
            life.detections += 1
            life.at_seat += track.track_id in glance.seated
        if glance.citizen is not None and self.citizens[-1:] != [glance.citizen]:
            self.citizens.append(glance.citizen)

    def figures(self) -> dict[str, Any]:
        """Return what there is to say without a table of people."""
        watch = self.watch
        looks = max(1, len(self.glances))
        return {
            "frames": watch.frames,
            "detections": watch.detections,
            "followed": watch.followed,
            "with_a_face": round(sum(bool(glance.tracks) for _, glance in self.glances) / looks, 4),
            "with_a_citizen": round(sum(glance.citizen is not None for _, glance in self.glances) / looks, 4),
            "tracks": len(self.lives),
            "citizen_changes": max(0, len(self.citizens) - 1),
            "second_face_s": round(watch.seat.second_face_s, 3),
            "stopped": watch.seat.sustained,
            "rejections": {reason.value: count for reason, count in sorted(watch.rejections.items())},
            "by_track": {
                str(number): {
                    "seconds": round((life.last_ns - life.first_ns) / _NS, 2),
                    "detections": life.detections,
                    "at_seat": life.at_seat,
                    "calls": life.calls,
                }
                for number, life in sorted(self.lives.items())[:_TRACKS_SHOWN]
            },
            "ms": {
                "detector_a_detection": round(1000 * self.timed.spent_s / looks, 3),
                "rest_a_detection": round(1000 * self.detect_s / looks, 3),
                "between_detections_a_frame": round(1000 * self.follow_s / max(1, self.follow_steps), 3),
                "all_a_frame": round(
                    1000 * (self.timed.spent_s + self.detect_s + self.follow_s) / max(1, watch.frames), 3
                ),
            },
        }


def _compared(glances: Sequence[tuple[int, Glance]], people: PersonTable, zone: SeatZone) -> dict[str, Any]:
    """Compare tracks with people in the detected frames."""
    frames = []
    for number, glance in glances:
        region = zone.region(glance.width, glance.height)
        seen = [
            person
            for person in people.at(number)
            if region.x1 <= (person.box.x1 + person.box.x2) / 2 <= region.x2
            and region.y1 <= (person.box.y1 + person.box.y2) / 2 <= region.y2
        ]
        tracks = [Labelled(track.track_id, track.box) for track in glance.tracks]
        frames.append((seen, tracks))
    return dict(score_identities(frames).figures())
