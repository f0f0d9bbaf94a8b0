"""Stand-ins of the networks: they count what they are permitted to read and state a fixed result."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from inference.session import StopReason
from inference.signal import Change, Estimate, ModelVersion, Quality, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from consent.gate import Permitted
    from consent.purpose import Purpose
    from inference.session import SessionFacts


class CountingAnalysis:
    """Opens each unit as the real analysis does, and keeps none."""

    def __init__(self, purposes: frozenset[Purpose], on_take: Callable[[int], None] | None) -> None:
        self.purposes = purposes
        self.taken: list[Purpose] = []
        self.purged = 0
        self.stop: StopReason | None = None
        self._on_take = on_take

    def take(self, unit: Permitted[Any]) -> None:
        unit.open()
        self.taken.append(unit.purpose)
        if self._on_take is not None:
            self._on_take(len(self.taken))

    def finish(self, facts: SessionFacts) -> Signal:
        return Signal(
            signal_id=uuid4(),
            session_id=facts.session_id,
            consent_record_id=facts.consent_record_id,
            counter=facts.counter,
            window_start=facts.started_at,
            window_end=facts.started_at + timedelta(seconds=5),
            image_permitted=True,
            voice_permitted=True,
            overall=Estimate(score=0.5, low=0.2, high=0.8),
            factors=(),
            change=Change(abstained="too_little_evidence"),
            quality=Quality(face_s=3.0 if self.taken else 0.0),
            models=(),
            software="test",
        )

    def abandon(self) -> None:
        pass

    def purge(self) -> None:
        self.purged += 1


class CountingPerception:
    """What an edge loads once; here nothing is loaded."""

    def __init__(self) -> None:
        self.sessions: list[CountingAnalysis] = []
        self.on_take: Callable[[int], None] | None = None
        self.kept_ready = 0
        self.begun = threading.Semaphore(0)
        """Released as each session takes its first unit."""

    def open_session(self, purposes: frozenset[Purpose], **_: object) -> CountingAnalysis:
        def take(count: int) -> None:
            if count == 1:
                self.begun.release()
            if self.on_take is not None:
                self.on_take(count)

        analysis = CountingAnalysis(purposes, take)
        self.sessions.append(analysis)
        return analysis

    def versions(self) -> tuple[ModelVersion, ...]:
        return (ModelVersion(name="counting", version="1", sha256="0" * 64),)

    def keep_ready(self) -> None:
        self.kept_ready += 1

    def close(self) -> None:
        pass
