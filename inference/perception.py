"""The networks of one edge program, loaded once and shared by all its counters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from consent.purpose import Purpose
from inference.face_evidence import FaceReader
from inference.session import SessionAnalysis
from inference.session_judge import JudgeSupply
from inference.signal import ModelVersion
from inference.voice_evidence import VoiceConfig, VoiceReader
from models.expression_readers import load_expression_reader
from models.expression_reading import ExpressionNetwork
from models.face_detectors import FaceDetector, load_face_detector
from models.voice_activity import VoiceActivityNetwork, load_voice_activity

if TYPE_CHECKING:
    from inference.camera_view import CameraView
    from inference.quotes import QuoteSealing
    from inference.zones import SeatZone
    from models.registry import Registry


@dataclass(frozen=True, slots=True)
class Perception:
    """Every network that a session may need.

    Attributes:
        detector: Finds faces.
        expression: Reads the citizen's expression.
        voice_activity: Tells speech from the rest.
        judges: Turns speech into words and words into an opinion, in a process of each session.
    """

    detector: FaceDetector
    expression: ExpressionNetwork
    voice_activity: VoiceActivityNetwork
    judges: JudgeSupply

    @classmethod
    def load(
        cls,
        registry: Registry,
        *,
        threads: int = 1,
        expression: str | None = None,
        detector: str | None = None,
        transcriber: str | None = None,
    ) -> Self:
        """Load every network from local files.

        Args:
            registry: Where files are looked up.
            threads: Threads of each network.
            expression: Name of the network that reads expressions; None for our own pair.
            detector: Name of the face detector; None for the best one present.
            transcriber: Name of the transcriber; None for viet-asr.

        Raises:
            ModelError: A name is unknown, a file or a library is missing, or a file is not the one its
                card names.
        """
        return cls(
            detector=load_face_detector(registry, detector, threads=threads),
            expression=load_expression_reader(registry, expression, threads=threads),
            voice_activity=load_voice_activity(registry),
            judges=JudgeSupply.load(registry, transcriber, threads=threads),
        )

    def open_session(
        self,
        purposes: frozenset[Purpose],
        *,
        zone: SeatZone,
        voice: VoiceConfig | None = None,
        view: CameraView | None = None,
        quotes: QuoteSealing | None = None,
    ) -> SessionAnalysis:
        """Make the readers that the given purposes need, and no others.

        Args:
            purposes: What the citizen gave.
            zone: The citizen's seat and the privacy masks.
            voice: How the voice is read.
            view: Watches whether the counter's camera sees.
            quotes: How redacted quotes are kept; taken only where the citizen gave that purpose.
        """
        face: FaceReader | None = None
        hearing: VoiceReader | None = None
        taking_part: tuple[ModelVersion, ...] = ()
        if Purpose.IMAGE in purposes:
            face = FaceReader(self.detector, self.expression, zone, view=view)
            taking_part += self._seeing()
        if Purpose.VOICE in purposes:
            sealing = quotes if Purpose.QUOTES in purposes else None
            hearing = VoiceReader(self.voice_activity.stream, partial(self.judges.take, sealing), voice)
            taking_part += self._hearing()
        return SessionAnalysis(face=face, voice=hearing, models=taking_part)

    def versions(self) -> tuple[ModelVersion, ...]:
        """Return what is really loaded, for health."""
        return self._seeing() + self._hearing()

    def _seeing(self) -> tuple[ModelVersion, ...]:
        return tuple(
            _as_version(*found) for found in (self.detector.version_of(), *self.expression.versions())
        )

    def _hearing(self) -> tuple[ModelVersion, ...]:
        found = (self.voice_activity.version_of(), *self.judges.versions())
        return tuple(_as_version(*version) for version in found)

    def keep_ready(self) -> None:
        """Keep a process ready for the words of the next session; returns at once."""
        self.judges.keep_ready()

    def close(self) -> None:
        """End every process that reads words."""
        self.judges.close()


def _as_version(name: str, version: str, sha256: str) -> ModelVersion:
    return ModelVersion(name=name, version=version, sha256=sha256)
