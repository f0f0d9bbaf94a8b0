"""The networks of one edge program, loaded once and shared by all its counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from consent.purpose import Purpose
from inference.face_evidence import FaceReader
from inference.session import SessionAnalysis
from inference.signal import ModelVersion
from inference.voice_evidence import VoiceConfig, VoiceReader
from models.expression_readers import load_expression_reader
from models.expression_reading import ExpressionNetwork
from models.face_detectors import FaceDetector, load_face_detector
from models.text_sentiment import TextSentiment
from models.transcribers import Transcriber, load_transcriber
from models.voice_activity import VoiceActivityNetwork, load_voice_activity

if TYPE_CHECKING:
    from inference.camera_view import CameraView
    from inference.zones import SeatZone
    from models.registry import Registry


@dataclass(frozen=True, slots=True)
class Perception:
    """Every network that a session may need.

    Attributes:
        detector: Finds faces.
        expression: Reads the citizen's expression.
        voice_activity: Tells speech from the rest.
        transcriber: Turns speech into words, in a process of its own.
        sentiment: Turns words into an opinion.
    """

    detector: FaceDetector
    expression: ExpressionNetwork
    voice_activity: VoiceActivityNetwork
    transcriber: Transcriber
    sentiment: TextSentiment

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
            transcriber=load_transcriber(registry, transcriber, threads=threads),
            sentiment=TextSentiment.load(registry),
        )

    def open_session(
        self,
        purposes: frozenset[Purpose],
        *,
        zone: SeatZone,
        voice: VoiceConfig | None = None,
        view: CameraView | None = None,
    ) -> SessionAnalysis:
        """Make the readers that the given purposes need, and no others.

        Args:
            purposes: What the citizen gave.
            zone: The citizen's seat and the privacy masks.
            voice: How the voice is read.
            view: Watches whether the counter's camera sees.
        """
        face: FaceReader | None = None
        hearing: VoiceReader | None = None
        taking_part: tuple[ModelVersion, ...] = ()
        if Purpose.IMAGE in purposes:
            face = FaceReader(self.detector, self.expression, zone, view=view)
            taking_part += self._seeing()
        if Purpose.VOICE in purposes:
            hearing = VoiceReader(self.voice_activity.stream, self.transcriber, self.sentiment, voice)
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
        networks = (self.voice_activity, self.transcriber, self.sentiment)
        return tuple(_as_version(*network.version_of()) for network in networks)

    def close(self) -> None:
        """End the transcriber's process."""
        self.transcriber.close()


def _as_version(name: str, version: str, sha256: str) -> ModelVersion:
    return ModelVersion(name=name, version=version, sha256=sha256)
