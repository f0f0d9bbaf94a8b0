"""The consent side of an edge in one folder, opened as the edge program opens it."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from capture.consent_script import ConsentScript, decide_scripted, offer_scripted
from capture.erasure import EdgeErasure, LeftoverFiles, LiveBuffers, load_erasure_key
from capture.identity import EdgeKey
from capture.outbox import SESSION_KEYS, Outbox
from capture.quotes import QUOTES, QuoteStore
from capture.service_session import settle, settle_quotes
from capture.unwritten import UnwrittenSteps
from consent.entry import Outcome, SessionSummary
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from consent.record import IndicatedBy
from consent.session_keys import SessionKeys
from consent.state import State
from consent.uptime import uptime_ns
from inference.signal import Change, Estimate, Quality, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from uuid import UUID

    from consent.erasure import ErasableStore

CONSENT_LOG, OUTBOX, UNWRITTEN = "consent.sqlite", "outbox.sqlite", "unwritten-steps"
"""As in `capture.worker`, whose import loads every network library; a test compares them."""
GIVEN = ConsentScript(decision="given", purposes=frozenset({Purpose.IMAGE, Purpose.VOICE}))


class EdgeFolder:
    """Log, keys, outbox and eraser of one data folder; a context manager.

    Args:
        folder: The data folder; made when missing.
        wrap: Replaces the erasable stores, to stand between their steps.
    """

    def __init__(
        self,
        folder: Path,
        *,
        wrap: Callable[[Sequence[ErasableStore]], Sequence[ErasableStore]] = lambda stores: stores,
        monotonic_ns: Callable[[], int] = uptime_ns,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.key = EdgeKey.load_or_make(folder)
        self._stack = ExitStack()
        self.store = self._stack.enter_context(
            ConsentStore(
                folder / CONSENT_LOG,
                signers=lambda origin: (self.key.signer(origin),),
                monotonic_ns=monotonic_ns,
            )
        )
        self.keys = self._stack.enter_context(SessionKeys(folder / SESSION_KEYS))
        self.quotes = QuoteStore(folder / QUOTES, self.keys)
        self._stack.callback(self.quotes.close)
        self.outbox = Outbox(folder / OUTBOX, self.keys, needed=self.quotes.needs_key)
        self._stack.callback(self.outbox.close)
        self.steps = UnwrittenSteps(self.store, folder / UNWRITTEN)
        self.erasure = EdgeErasure(
            self.store,
            wrap((LiveBuffers({}), self.outbox, self.quotes, self.keys, LeftoverFiles(folder))),
            key=load_erasure_key(folder),
            longest_wait_s=0.05,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.erasure.stop()
        self._stack.close()

    def start(self) -> int:
        """Do what the edge does at its start, up to the eraser; returns the certificates made."""
        self.steps.retry()
        settle(self.store, self.outbox, stopped=self.steps.records())
        settle_quotes(self.quotes, self.store, self.outbox, stopped=self.steps.records())
        self.store.recover()
        return self.erasure.resume()

    def given(self, *, start: bool = True) -> UUID:
        """Let one citizen agree; their session is opened unless it opens itself."""
        record_id = offer_scripted(self.store, "quay-1", GIVEN)
        assert decide_scripted(self.store, record_id, GIVEN) is State.GIVEN
        if start:
            self.store.session_started(record_id)
        return record_id

    def served(self, payload: dict[str, Any] | None = None, *, release: bool = True) -> UUID:
        """Serve one citizen to the end; their payload is released, or held only."""
        record_id = self.given()
        held = signal_payload(record_id) if payload is None else payload
        commitment = self.outbox.hold("signal", held, key=record_id)
        self.store.complete(record_id, SessionSummary(outcome=Outcome.SIGNAL, commitment=commitment))
        if release:
            self.outbox.release(record_id)
        return record_id

    def withdraw(self, record_id: UUID, method: str = "test") -> None:
        self.store.apply(record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, method)

    def invalidate(self, record_id: UUID) -> None:
        self.store.apply(record_id, State.INVALIDATED, IndicatedBy.AUTHORITY, "test")


def signal_payload(record_id: UUID, *, score: float = 0.5, software: str = "test") -> dict[str, Any]:
    """Return the payload of a signal as it leaves a session."""
    started = datetime.now(UTC)
    return Signal(
        signal_id=uuid4(),
        session_id=uuid4(),
        consent_record_id=record_id,
        counter="quay-1",
        window_start=started,
        window_end=started + timedelta(seconds=5),
        image_permitted=True,
        voice_permitted=True,
        overall=Estimate(score=score, low=0.0, high=1.0),
        factors=(),
        change=Change(abstained="too_little_evidence"),
        quality=Quality(face_s=3.0),
        models=(),
        software=software,
    ).model_dump(mode="json")


def bytes_of(folder: Path) -> bytes:
    """Return every byte that lies below a folder: databases, write-ahead logs, heads, keys, logs."""
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
