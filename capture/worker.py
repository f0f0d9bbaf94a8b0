"""The edge program put together: counters, kiosk, outbox, uplink, health."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Self

import structlog

from capture.capture_hold import CaptureHold
from capture.code_withdrawal import CodeWithdrawals
from capture.contact import ContactLease
from capture.counter import Counter
from capture.desk import ASKED, ASKED_WITH_QUOTES, Desk
from capture.erasure import EdgeErasure, LeftoverFiles, LiveBuffers, load_erasure_key
from capture.errors import CaptureError
from capture.identity import EdgeKey, load_enrolment
from capture.key_rotation import finish_rotation
from capture.kiosk import KioskSecret, KioskServer
from capture.lock import DataFolderLock
from capture.log_uplink import LogUplink
from capture.loopback import LoopbackServer
from capture.monitor import EdgeParts, MetricsToken, build_monitor
from capture.networks import load_networks
from capture.officer import OfficerSecret, OfficerServer
from capture.outbox import SESSION_KEYS, Outbox
from capture.playlist import Playlist
from capture.procedures import Procedure
from capture.quote_retention import QuoteRetention
from capture.quotes import QUOTES, QuoteStore
from capture.service_session import settle, settle_quotes
from capture.unwritten import UnwrittenSteps
from capture.uplink import Uplink
from consent.gate import Gate
from consent.ledger import ConsentStore
from consent.session_keys import SessionKeys
from consent.terms import load_terms
from inference.perception import Perception
from models.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from capture.config import EdgeConfig
    from capture.playlist import ItemResult
    from capture.service_session import SessionResult
    from capture.source import MediaUnit
    from consent.gate import Permitted
    from consent.state import State
    from inference.signal import Ballot

_log = structlog.get_logger(__name__)
SOFTWARE: Final = f"hailong-{version('hailong')}"
"""What signals state as the program that made them."""
CONSENT_LOG: Final = "consent.sqlite"
OUTBOX: Final = "outbox.sqlite"
UNWRITTEN: Final = "unwritten-steps"
"""File of steps that the consent log could not take yet."""
CAPTURE_STOPPED: Final = "capture-stopped"
"""File that is there while the centre has another consent log of this edge."""
_BALLOT: Final = "ballot"
_JOIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told of what happens, for progress on a screen.

    Attributes:
        unit: Counter and each unit that was read.
        state: Counter, item of a playlist, and the state its consent entered.
        item: Each playlist item's end.
        session: Each session's end.
        delivered: The highest number the centre has confirmed.
    """

    unit: Callable[[str, Permitted[MediaUnit]], None] | None = None
    state: Callable[[str, str, State], None] | None = None
    item: Callable[[ItemResult], None] | None = None
    session: Callable[[SessionResult], None] | None = None
    delivered: Callable[[int], None] | None = None


@dataclass(slots=True)
class EdgeWorker:
    """Everything one edge runs; a context manager that starts and stops it.

    Attributes:
        config: The configuration.
        listeners: Who is told of what happens.
        perception: Networks to use instead of loading them.
    """

    config: EdgeConfig
    listeners: Listeners = field(default_factory=Listeners)
    perception: Perception | None = None
    store: ConsentStore = field(init=False)
    outbox: Outbox = field(init=False)
    quotes: QuoteStore = field(init=False)
    counters: dict[str, Counter] = field(init=False, default_factory=dict)
    playlists: dict[str, Playlist] = field(init=False, default_factory=dict)
    uplink: Uplink | None = field(init=False, default=None)
    log_uplink: LogUplink | None = field(init=False, default=None)
    steps: UnwrittenSteps = field(init=False)
    erasure: EdgeErasure = field(init=False)
    kiosk: KioskServer | None = field(init=False, default=None)
    officer: OfficerServer | None = field(init=False, default=None)
    monitor: LoopbackServer | None = field(init=False, default=None)
    _stack: ExitStack = field(init=False, default_factory=ExitStack)
    _gate: Gate = field(init=False)
    _contact: ContactLease = field(init=False)
    _hold: CaptureHold = field(init=False)
    _key: EdgeKey = field(init=False)

    def __enter__(self) -> Self:
        """Open the data folder, load the networks, and start every counter.

        Raises:
            CaptureError: The data folder, a port or a device description cannot be used.
            ConsentError: The consent log cannot be used; nothing is captured then.
            ModelError: A network's file is missing or is not the one its card names.
        """
        with ExitStack() as stack:
            folder = open_data_folder(self.config.data_dir)
            stack.enter_context(DataFolderLock(folder))
            finish_rotation(folder, folder / CONSENT_LOG)
            self._key = EdgeKey.load_or_make(folder)
            self._open_stores(stack, folder)
            self._make_uplinks(folder)
            if self.log_uplink is not None:  # a folder from a backup must not add to its old log
                self.log_uplink.first_contact()
            self._recover()
            self._start_erasure(stack, folder)  # first: what was withdrawn is not sent once more
            self._start_uplinks(stack)  # what waits is sent even where a network cannot be loaded
            if self.perception is None:
                self.perception = load_networks(Registry.default(), self.config)
                stack.callback(self.perception.close)
            self._make_counters(self.perception)
            self._keep_voice_ready(self.perception)
            self._start_kiosk(stack, folder)
            self._start_monitor(stack, folder, self.perception)
            self._start_playlists(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the sessions under way, then stop everything in reverse order."""
        for playlist in self.playlists.values():  # first, or a finished session would start the next item
            playlist.stop()
        for counter in self.counters.values():
            counter.finish()
        for counter in self.counters.values():
            counter.join(_JOIN_S)
        self._stack.__exit__(kind, error, trace)

    def run(self, stop: threading.Event) -> None:
        """Wait until `stop` is set, or until every playlist has ended when there is nothing else."""
        live = [counter for counter in self.counters.values() if not counter.config.playlist]
        while not stop.wait(0.2):
            if not live and all(playlist.join(0) for playlist in self.playlists.values()):
                return

    def drain(self, timeout_s: float) -> bool:
        """Wait until the centre has confirmed everything; tells whether it has."""
        waited = threading.Event()
        for _ in range(max(1, int(timeout_s / 0.1))):
            if self.outbox.depth() == 0:
                return True
            if self.uplink is not None:
                self.uplink.nudge()
            waited.wait(0.1)
        return self.outbox.depth() == 0

    def _open_stores(self, stack: ExitStack, folder: Path) -> None:
        key = self._key
        self.store = stack.enter_context(
            ConsentStore(folder / CONSENT_LOG, signers=lambda origin: (key.signer(origin),))
        )
        self.steps = UnwrittenSteps(self.store, folder / UNWRITTEN)
        keys = stack.enter_context(SessionKeys(folder / SESSION_KEYS))
        self.quotes = QuoteStore(folder / QUOTES, keys, days=self.config.consent.quotes_days)
        stack.callback(self.quotes.close)
        self.outbox = Outbox(folder / OUTBOX, keys, needed=self.quotes.needs_key)
        stack.callback(self.outbox.close)
        self._contact = ContactLease(self.config.consent.contact_lease_s)
        self.store.subscribe(self._contact.note)
        self._hold = CaptureHold(folder / CAPTURE_STOPPED, self._contact.bound)
        self._gate = Gate(self.store, bound=self._hold.bound)

    def _start_erasure(self, stack: ExitStack, folder: Path) -> None:
        self.erasure = EdgeErasure(
            self.store,
            (LiveBuffers(self.counters), self.outbox, self.quotes, self.outbox.keys, LeftoverFiles(folder)),
            key=load_erasure_key(folder),
        )
        self.erasure.start()
        stack.callback(self.erasure.stop)
        retention = QuoteRetention(self.quotes, self.store)
        retention.start()
        stack.callback(retention.stop)

    def ship_log(self, timeout_s: float) -> bool:
        """Wait until the centre has the whole consent log; tells whether it has."""
        waited = threading.Event()
        for _ in range(max(1, int(timeout_s / 0.1))):
            if self.log_uplink is None or self.log_uplink.state.acknowledged == self.store.log.size:
                return True
            self.log_uplink.nudge()
            waited.wait(0.1)
        return False

    def _recover(self) -> None:
        self.steps.retry()
        released = settle(self.store, self.outbox, stopped=self.steps.records())
        settle_quotes(self.quotes, self.store, self.outbox, stopped=self.steps.records())
        ended = self.store.recover()
        if released or ended:
            _log.info("resumed after an interruption", signals_released=released, consents_ended=len(ended))

    def _make_uplinks(self, folder: Path) -> None:
        key = self._key
        enrolment = load_enrolment(folder)
        if self.config.centre is None:
            return
        if enrolment is None:
            raise CaptureError(
                f"this edge is not enrolled at {self.config.centre.url}: ask an administrator for a "
                "token, then run 'hailong edge enrol --token TOKEN'. To keep signals here for now, remove "
                "[centre] from the configuration."
            )
        self.uplink = Uplink(
            outbox=self.outbox,
            key=key,
            enrolment=enrolment,
            on_delivered=self.listeners.delivered,
            withheld=self.steps.records,
        )
        self.log_uplink = LogUplink(
            store=self.store,
            key=key,
            enrolment=enrolment,
            steps=self.steps,
            contact=self._contact,
            outbox=self.outbox,
            hold=self._hold,
            capturing=lambda: any(counter.status().capturing for counter in self.counters.values()),
        )

    def _start_uplinks(self, stack: ExitStack) -> None:
        for uplink in (self.uplink, self.log_uplink):
            if uplink is not None:
                uplink.start()
                stack.callback(uplink.stop)

    def _make_counters(self, perception: Perception) -> None:
        for config in self.config.counters:
            self.counters[config.code] = Counter(
                config,
                store=self.store,
                gate=self._gate,
                outbox=self.outbox,
                perception=perception,
                software=SOFTWARE,
                steps=self.steps,
                quotes=self.quotes if self.config.consent.quotes else None,
                on_unit=self.listeners.unit,
                on_end=self._session_ended,
            )

    def _keep_voice_ready(self, perception: Perception) -> None:
        """Start what the first citizen's words need before anybody speaks, where a counter can hear."""
        # A camera of this machine has no sound; one in the network, or a recording, may have some.
        if any(
            counter.microphone is not None or counter.camera is None or not counter.camera.startswith("v4l2:")
            for counter in self.config.counters
        ):
            perception.keep_ready()

    def _session_ended(self, result: SessionResult) -> None:
        _log.info(
            "session ended",
            counter=result.counter,
            state=result.state,
            units=result.units,
            signal=result.signal is not None,
            error=result.error,
        )
        if self.uplink is not None:
            self.uplink.nudge()
        if self.listeners.session is not None:
            self.listeners.session(result)

    def _start_kiosk(self, stack: ExitStack, folder: Path) -> None:
        live = {code: counter for code, counter in self.counters.items() if not counter.config.playlist}
        if not live:
            return
        agency = self.config.consent
        terms = load_terms(controller=agency.controller, contact=agency.contact, processor=agency.processor)
        desks = {
            code: Desk(
                code,
                self.store,
                self._gate,
                start_capture=counter.capture,
                finish_capture=counter.finish,
                decision_timeout_s=self.config.kiosk.decision_timeout_s,
                validity_s=max(1, int(counter.config.longest_session_s)),
                terms=terms,
                purposes=ASKED_WITH_QUOTES if agency.quotes else ASKED,
                quotes_days=agency.quotes_days,
                device_key_id=self._key.fingerprint(),
                steps=self.steps,
                cast=self._cast,
                procedures=(Procedure(item.code, item.vi, item.en) for item in counter.config.procedures),
            )
            for code, counter in live.items()
        }
        where = self.config.kiosk
        codes = CodeWithdrawals(self.store, self.steps, self.erasure.certificate)
        self.kiosk = stack.enter_context(
            KioskServer(desks, KioskSecret(folder), codes, host=where.host, port=where.port)
        )
        self.officer = stack.enter_context(
            OfficerServer(desks, OfficerSecret(folder), host=where.host, port=where.port_of_officer)
        )

    def _cast(self, ballot: Ballot) -> None:
        self.outbox.put(_BALLOT, ballot.model_dump(mode="json"), key=ballot.ballot_id)
        if self.uplink is not None:
            self.uplink.nudge()

    def _start_monitor(self, stack: ExitStack, folder: Path, perception: Perception) -> None:
        if self.config.metrics_port is not None:
            parts = EdgeParts(
                self.counters,
                self.playlists,
                self.outbox,
                self.uplink,
                perception,
                log_uplink=self.log_uplink,
                erasure=self.erasure,
                steps=self.steps,
            )
            self.monitor = stack.enter_context(
                LoopbackServer(
                    build_monitor(parts, MetricsToken(folder)),
                    name="health page",
                    key="metrics_port",
                    port=self.config.metrics_port,
                )
            )

    def _start_playlists(self, stack: ExitStack) -> None:
        for code, counter in self.counters.items():
            if counter.config.playlist:
                playlist = Playlist(
                    counter,
                    edge=self.config.name,
                    store=self.store,
                    gate=self._gate,
                    on_state=self.listeners.state,
                    on_result=self.listeners.item,
                )
                self.playlists[code] = playlist
                stack.callback(playlist.join, _JOIN_S)
                stack.callback(playlist.stop)
                playlist.start()


def open_data_folder(folder: Path) -> Path:
    """Make the data folder if it is missing and check that it can be used.

    Raises:
        CaptureError: It cannot be made or written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CaptureError(
            f"the data folder {folder} cannot be made ({error.strerror}); "
            "set data_dir to a folder that this user owns"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CaptureError(
            f"the data folder {folder} is not writable for this user; set data_dir or its owner"
        )
    return folder
