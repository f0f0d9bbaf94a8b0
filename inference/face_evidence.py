"""Permitted frames in, the citizen's expression over time out.

Only the face in the citizen's seat is read. Masks are burned in first; the detector
sees the seat and a margin around it; the expression network sees one face alone, and
nobody's while a second face is in the seat or the camera does not see. Frames are never
kept; where more is read than detected, a grey thumbnail of the citizen's face lives until
the next detection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from inference.citizen_watch import CitizenWatch
from inference.face_config import FaceConfig
from inference.face_moments import FaceEvidence, FaceMoment, Glance, Moments

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from consent.gate import Permitted
    from inference.camera_view import CameraView
    from inference.media import Frame
    from inference.zones import SeatZone
    from models.expression import Expression
    from models.face_detectors import FaceDetector

__all__ = ["ExpressionReader", "FaceConfig", "FaceReader"]

_NS: Final = 1_000_000_000


class ExpressionReader(Protocol):
    """Anything that reads the expression of face crops."""

    def predict(self, faces: Sequence[NDArray[np.uint8]]) -> tuple[Expression, ...]:
        """Return one expression a crop, in order."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A reading, the time it stands for, and whether the network could name a class."""

    moment: FaceMoment
    lasted_s: float
    sufficient: bool


class FaceReader:
    """Reads the citizen's face in one session.

    Args:
        detector: Finds faces.
        expression: Reads the expression of a face.
        zone: The citizen's seat and the privacy masks.
        config: Rates and limits.
        view: Watches whether the camera sees; None where nobody does.
    """

    def __init__(
        self,
        detector: FaceDetector,
        expression: ExpressionReader,
        zone: SeatZone,
        config: FaceConfig | None = None,
        *,
        view: CameraView | None = None,
    ) -> None:
        """Start with nothing seen."""
        self._detector = detector
        self._expression = expression
        self._zone = zone
        self._config = config or FaceConfig()
        self._view = view
        self._reset()

    def _reset(self) -> None:
        self._watch = CitizenWatch(self._detector, self._zone, self._config)
        self._moments = Moments(self._config.max_moments)
        self._expression_calls = self._discarded = self._uncertain = 0
        self._face_s = 0.0
        self._read_ns: int | None = None
        self._refused = 0
        self._looked_ns: int | None = None
        self._unproved: list[_Reading] = []

    @property
    def second_face_s(self) -> float:
        """Longest unbroken stretch with a second face at the seat so far, seconds."""
        return self._watch.seat.second_face_s

    @property
    def accompanied(self) -> bool:
        """Whether a second face was at the seat for a sustained stretch: nothing is read from then on."""
        return self._watch.seat.sustained

    @property
    def glance(self) -> Glance | None:
        """What the last detection saw; None before the first."""
        return self._watch.glance

    def see(self, frame: Permitted[Frame]) -> None:
        """Take the next permitted frame; most are dropped unread, at the configured rates.

        Raises:
            NotPermitted: The lease ended meanwhile.
            FrameError: The frame is not uint8 BGR.
        """
        picture = frame.open()
        readable = self._camera_sees(frame)
        face = self._watch.look(picture, readable=readable)
        if face is None:
            return
        self._expression_calls += 1
        (expression,) = self._expression.predict([face.pixels])
        self._watch.note(expression.valence, expression.confidence)
        reading = _Reading(
            FaceMoment(face.captured_ns, expression.valence, expression.confidence, expression.arousal),
            self._since_s(face.captured_ns),
            sufficient=expression.sufficient,
        )
        self._read_ns = face.captured_ns
        if self._view is None:
            self._count(reading)
        else:
            self._unproved.append(reading)

    def _camera_sees(self, frame: Permitted[Frame]) -> bool:
        """Ask the camera's view; a look that finds it troubled takes back what was read since the one before.

        A hand before the lens is noticed up to a second late, a frozen picture at its second look.
        """
        if self._view is None:
            return True
        glance = self._watch.glance
        self._view.see(frame, () if glance is None else [track.box for track in glance.tracks])
        readable = self._view.readable()
        if self._view.looked_ns != self._looked_ns:
            self._looked_ns = self._view.looked_ns
            if readable:
                for reading in self._unproved:
                    self._count(reading)
            else:
                self._discarded += len(self._unproved)
            self._unproved.clear()
        return readable

    def _count(self, reading: _Reading) -> None:
        self._face_s += reading.lasted_s
        self._uncertain += not reading.sufficient
        self._moments.add(reading.moment)

    def _since_s(self, now_ns: int) -> float:
        """Return how long the face has been readable since the last reading: not through a gap."""
        usual_s = 1.0 / self._config.read_hz
        refused = self._watch.without + sum(self._watch.rejections.values())
        broken = refused != self._refused or self._read_ns is None or now_ns < self._read_ns
        self._refused = refused
        if broken or self._read_ns is None:
            return usual_s
        return min((now_ns - self._read_ns) / _NS, 2 * usual_s)

    def evidence(self) -> FaceEvidence:
        """Return what was read so far; what no look has proved yet counts, as at the end of a session."""
        watch, waiting = self._watch, tuple(self._unproved)
        return FaceEvidence(
            moments=(*self._moments.all(), *(reading.moment for reading in waiting)),
            face_s=self._face_s + sum(reading.lasted_s for reading in waiting),
            uncertain=self._uncertain + sum(not reading.sufficient for reading in waiting),
            discarded=self._discarded,
            frames=watch.frames,
            detections=watch.detections,
            followed=watch.followed,
            faces_in_zone_max=watch.seat.faces_max,
            second_face_s=watch.seat.second_face_s,
            expression_calls=self._expression_calls,
            calls_by_track=watch.calls_by_track,
            rejections=watch.rejections,
        )

    def purge(self) -> None:
        """Drop all evidence; the reader is as new."""
        self._reset()
