"""One counter of the edge: where its media comes from and how a session of it starts."""

from __future__ import annotations

import threading
from collections import Counter as TallyOfStates
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import structlog

from capture.channels import SwappedChannels
from capture.reconnect import ReconnectPolicy
from capture.service_session import ServiceSession, SessionResult
from capture.sources import PairedSource, open_source
from consent.errors import NotPermitted
from consent.purpose import Purpose
from consent.state import ERASING
from inference.camera_view import CameraState, CameraTrouble, CameraView
from inference.roles import RoleConfig
from inference.voice_evidence import VoiceConfig
from inference.zones import SeatZone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from capture.config import CounterConfig
    from capture.outbox import Outbox
    from capture.quotes import QuoteStore
    from capture.source import MediaSource, MediaUnit
    from capture.unwritten import UnwrittenSteps
    from consent.gate import Gate, Grant, Permitted
    from consent.ledger import ConsentStore
    from inference.perception import Perception

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CounterStatus:
    """What health shows of a counter.

    Attributes:
        capturing: Whether a session is being read.
        sessions: Sessions so far by state of their consent at the end; nothing tells who refused.
        last_error: What keeps the session under way from being read, or broke off the last one; None
            when all is well.
        camera: How its camera's view stood when it was looked at last.
    """

    capturing: bool
    sessions: Mapping[str, int]
    last_error: str | None
    camera: CameraState = field(default_factory=CameraState)


class Counter:
    """Starts the sessions of one counter, one at a time.

    Args:
        config: Its devices, zone and channels.
        store: The consent log.
        gate: The gate over that log.
        outbox: Where signals go.
        perception: The networks, shared with the other counters.
        software: Version that signals state.
        steps: Takes a session's stop to the log, now or later.
        quotes: Keeps redacted quotes where a citizen gave that purpose; None where nobody is asked for it.
        on_unit: Told of each unit that was read.
        on_end: Told of each session's result.
    """

    def __init__(
        self,
        config: CounterConfig,
        *,
        store: ConsentStore,
        gate: Gate,
        outbox: Outbox,
        perception: Perception,
        software: str,
        steps: UnwrittenSteps | None = None,
        quotes: QuoteStore | None = None,
        on_unit: Callable[[str, Permitted[MediaUnit]], None] | None = None,
        on_end: Callable[[SessionResult], None] | None = None,
    ) -> None:
        """Prepare a counter; nothing is opened."""
        self.config = config
        self._store = store
        self._gate = gate
        self._outbox = outbox
        self._perception = perception
        self._software = software
        self._steps = steps
        self._quotes = quotes
        self._on_unit = on_unit
        self._on_end = on_end
        self._lock = threading.Lock()
        self._session: ServiceSession | None = None
        self._living: WeakValueDictionary[UUID, ServiceSession] = WeakValueDictionary()
        self._ended: TallyOfStates[str] = TallyOfStates()
        self._last_error: str | None = None
        self._zone = seat_zone(config)
        self.view = CameraView(self._zone)
        self._told: CameraTrouble | None = None
        self._voice = voice_config(config)

    @property
    def code(self) -> str:
        """Code of the counter."""
        return self.config.code

    def session(self, grant: Grant, source: MediaSource) -> ServiceSession:
        """Prepare the session of a grant."""
        if self.config.playlist:  # each recording has a camera of its own
            self.view.aimed_anew()
        quotes = None
        if self._quotes is not None and grant.purposes >= {Purpose.VOICE, Purpose.QUOTES}:
            quotes = self._quotes.session(grant.record_id, self.code)
        session = ServiceSession(
            counter=self.code,
            grant=grant,
            gate=self._gate,
            store=self._store,
            source=source,
            analysis=self._perception.open_session(
                grant.purposes,
                zone=self._zone,
                voice=self._voice,
                view=self.view,
                quotes=None if quotes is None else quotes.sealing,
            ),
            outbox=self._outbox,
            software=self._software,
            steps=self._steps,
            quotes=quotes,
            on_unit=self._unit_read,
            on_end=self._session_ended,
        )
        with self._lock:
            self._session = session
            self._living[grant.record_id] = session
        return session

    def session_of(self, record_id: UUID) -> ServiceSession | None:
        """Return the session of a consent while anything of it is in memory."""
        with self._lock:
            return self._living.get(record_id)

    def capture(self, grant: Grant) -> None:
        """Start reading the live devices under a grant; returns at once."""
        self.session(grant, live_source(self.config)).start()

    def status(self) -> CounterStatus:
        """Return what health shows."""
        with self._lock:
            session = self._session
            capturing = session is not None and not session.ended
            error = session.trouble if session is not None and capturing else self._last_error
            return CounterStatus(capturing, dict(self._ended), error, self.view.state)

    def _unit_read(self, unit: Permitted[MediaUnit]) -> None:
        if unit.purpose is Purpose.IMAGE:
            self._look(unit)
        if self._on_unit is not None:
            self._on_unit(self.code, unit)

    def _look(self, unit: Permitted[Any]) -> None:
        """Let the camera's view be watched; nothing of it enters the signal."""
        before = self._told
        try:
            state = self.view.see(unit)  # the reader of faces has looked by now: this asks how it stands
        except NotPermitted:  # ended since it was read: the session notices by itself
            return
        if state.trouble is before:
            return
        self._told = state.trouble
        if state.trouble is None:
            _log.info("camera sees again", counter=self.code, before=before)
        else:
            _log.warning("camera trouble", counter=self.code, trouble=state.name, reason=state.trouble.reason)

    def _session_ended(self, result: SessionResult) -> None:
        self.view.session_ended(withdrawn=result.state in ERASING)
        with self._lock:
            self._ended[result.state.value] += 1
            self._last_error = result.error
        if self._on_end is not None:
            self._on_end(result)

    def finish(self) -> None:
        """End the reading of the session under way; its signal follows. Returns at once."""
        with self._lock:
            session = self._session
        if session is not None:
            session.finish()

    def join(self, timeout_s: float) -> bool:
        """Wait for the session under way; tells whether it has ended."""
        with self._lock:
            session = self._session
        return session is None or session.join(timeout_s)


def seat_zone(config: CounterConfig) -> SeatZone:
    """Return the citizen's seat of a counter, the default one where none is set."""
    masks = tuple(tuple(mask) for mask in config.privacy_masks)
    if config.seat_zone is None:
        return SeatZone(privacy_masks=masks)
    return SeatZone(seat=tuple(config.seat_zone), privacy_masks=masks)


def voice_config(config: CounterConfig) -> VoiceConfig:
    """Return how the voice of a counter is read."""
    if config.citizen_channel == "only":
        return VoiceConfig(roles=RoleConfig(single_channel="citizen"))
    return VoiceConfig()


def live_source(config: CounterConfig) -> MediaSource:
    """Return the live devices of a counter as one source that survives losses."""
    policy = ReconnectPolicy()
    camera = open_source(config.camera, reconnect=policy) if config.camera else None
    microphone = open_source(config.microphone, reconnect=policy) if config.microphone else None
    source: MediaSource
    if camera is not None and microphone is not None:
        source = PairedSource(camera, microphone)
    elif camera is not None:
        source = camera
    elif microphone is not None:
        source = microphone
    else:
        raise ValueError(f"counter {config.code} has no live device")
    return oriented(config, source)


def oriented(config: CounterConfig, source: MediaSource) -> MediaSource:
    """Put the citizen's channel first."""
    return SwappedChannels(source) if config.citizen_channel == "right" else source
