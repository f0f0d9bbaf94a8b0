"""One session's analysis: permitted units in, one signal out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from uuid6 import uuid7

from consent.purpose import Purpose
from inference.fusion import fuse
from inference.media import AudioChunk, Frame
from inference.signal import MAX_SESSION, ModelVersion, Signal

if TYPE_CHECKING:
    from consent.gate import Permitted
    from inference.face_evidence import FaceReader
    from inference.face_moments import FaceEvidence
    from inference.voice_evidence import VoiceEvidence, VoiceReader


class StopReason(StrEnum):
    """Why a session must not go on; the value is the method that the revocation states."""

    SECOND_FACE = "second-face"


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What a signal states besides the evidence.

    Attributes:
        counter: Code of the counter.
        session_id: The session, as the consent record names it.
        consent_record_id: The record under which everything was read.
        started_at: When the devices were opened.
        ended_at: When they were closed.
        purposes: What the citizen gave.
        gaps: Times at which a permitted device gave nothing.
        gap_s: Their length together, seconds.
        software: Version of this program.
    """

    counter: str
    session_id: UUID
    consent_record_id: UUID
    started_at: datetime
    ended_at: datetime
    purposes: frozenset[Purpose]
    gaps: int
    gap_s: float
    software: str


class SessionAnalysis:
    """Reads what the gate permits during one session.

    Frames and chunks may come from two threads, one for each kind.

    Args:
        face: Reads frames; None when the image purpose was not given.
        voice: Reads chunks; None when the voice purpose was not given.
        models: The networks that take part, for the signal.
    """

    def __init__(
        self, *, face: FaceReader | None, voice: VoiceReader | None, models: tuple[ModelVersion, ...]
    ) -> None:
        """Join the readers of one session."""
        self._face = face
        self._voice = voice
        self._models = models

    @property
    def face(self) -> FaceReader | None:
        """Reads frames; None when the image purpose was not given."""
        return self._face

    @property
    def voice(self) -> VoiceReader | None:
        """Reads chunks; None when the voice purpose was not given."""
        return self._voice

    @property
    def models(self) -> tuple[ModelVersion, ...]:
        """The networks that take part."""
        return self._models

    @property
    def stop(self) -> StopReason | None:
        """Why the session must not go on; once given it stays until `purge`."""
        return StopReason.SECOND_FACE if self._face is not None and self._face.accompanied else None

    def take(self, unit: Permitted[Frame | AudioChunk]) -> None:
        """Read one permitted unit.

        Raises:
            NotPermitted: Its lease has ended meanwhile.
        """
        if unit.purpose is Purpose.IMAGE:
            if self._face is not None:
                self._face.see(unit)  # type: ignore[arg-type]  # the purpose tells which kind it is
        elif self._voice is not None:
            self._voice.hear(unit)  # type: ignore[arg-type]  # as above

    def finish(self, facts: SessionFacts) -> Signal:
        """Read what is still buffered, forget all media, and state the result."""
        if self._voice is not None:
            self._voice.finish()
        face: FaceEvidence | None = self._face.evidence() if self._face is not None else None
        voice: VoiceEvidence | None = self._voice.evidence() if self._voice is not None else None
        self.purge()
        fused = fuse(face, voice)
        started = facts.started_at.astimezone(UTC)
        ended = min(max(facts.ended_at.astimezone(UTC), started), started + MAX_SESSION)
        return Signal(
            signal_id=uuid7(),
            session_id=facts.session_id,
            consent_record_id=facts.consent_record_id,
            counter=facts.counter,
            window_start=started,
            window_end=ended,
            image_permitted=Purpose.IMAGE in facts.purposes,
            voice_permitted=Purpose.VOICE in facts.purposes,
            overall=fused.overall,
            factors=fused.factors,
            change=fused.change,
            quality=fused.quality.model_copy(
                update={
                    "gaps": facts.gaps,
                    "gap_s": min(facts.gap_s, timedelta.total_seconds(ended - started)),
                }
            ),
            models=self._models,
            software=facts.software,
        )

    def abandon(self) -> None:
        """Read no more of the words that wait or are being read, until `purge`; for any thread."""
        if self._voice is not None:
            self._voice.abandon()

    def purge(self) -> None:
        """Forget everything that was read; used at the end and on withdrawal."""
        if self._face is not None:
            self._face.purge()
        if self._voice is not None:
            self._voice.purge()
