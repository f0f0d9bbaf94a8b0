"""Permitted frames in, the citizen's expression over time out.

Only the face in the citizen's seat is read. Masks are burned in first; the detector
sees the seat and a margin around it; the expression network sees one face alone, and
nobody's while a second face is in the seat. Frames are never kept; where more is read
than detected, a grey thumbnail of the citizen's face lives until the next detection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from inference.citizen_watch import CitizenWatch
from inference.face_config import FaceConfig
from inference.face_moments import FaceEvidence, FaceMoment, Glance, Moments
from inference.face_quality import Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from consent.gate import Permitted
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


class FaceReader:
    """Reads the citizen's face in one session.

    Args:
        detector: Finds faces.
        expression: Reads the expression of a face.
        zone: The citizen's seat and the privacy masks.
        config: Rates and limits.
    """

    def __init__(
        self,
        detector: FaceDetector,
        expression: ExpressionReader,
        zone: SeatZone,
        config: FaceConfig | None = None,
    ) -> None:
        """Start with nothing seen."""
        self._detector = detector
        self._expression = expression
        self._zone = zone
        self._config = config or FaceConfig()
        self._reset()

    def _reset(self) -> None:
        self._watch = CitizenWatch(self._detector, self._zone, self._config)
        self._moments = Moments(self._config.max_moments)
        self._expression_calls = 0
        self._face_s = 0.0
        self._read_ns: int | None = None
        self._refused = 0

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
        face = self._watch.look(frame.open())
        if face is None:
            return
        self._expression_calls += 1
        (expression,) = self._expression.predict([face.pixels])
        self._face_s += self._since_s(face.captured_ns)
        self._read_ns = face.captured_ns
        if not expression.sufficient:
            self._watch.refuse(Rejection.INSUFFICIENT)
            return
        self._watch.note(expression.valence, expression.confidence)
        self._moments.add(
            FaceMoment(face.captured_ns, expression.valence, expression.confidence, expression.arousal)
        )

    def _since_s(self, now_ns: int) -> float:
        """Return how long the face has passed the gates since the last reading: not through a refusal."""
        usual_s = 1.0 / self._config.read_hz
        by_reason = self._watch.rejections
        refused = sum(by_reason.values()) - by_reason.get(Rejection.INSUFFICIENT, 0)
        broken = refused != self._refused or self._read_ns is None or now_ns < self._read_ns
        self._refused = refused
        if broken or self._read_ns is None:
            return usual_s
        return min((now_ns - self._read_ns) / _NS, 2 * usual_s)

    def evidence(self) -> FaceEvidence:
        """Return what was read so far."""
        watch = self._watch
        return FaceEvidence(
            moments=self._moments.all(),
            face_s=self._face_s,
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
