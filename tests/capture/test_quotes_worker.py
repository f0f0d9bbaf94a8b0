"""The running edge asks for quotes where it is set to, keeps them with the signal, and erases them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from capture.quotes import QUOTES
from capture.rtsp_server import RtspMediaServer
from capture.unwritten import Step
from capture.worker import EdgeWorker, Listeners
from consent.purpose import Purpose
from consent.record import Answer, IndicatedBy
from consent.state import State
from inference.quote_sealing import seal_quote
from inference.quotes import QuoteSealing, RedactedQuote, SealedQuote
from tests.capture.edge_folder import bytes_of
from tests.capture.stand_ins import CountingAnalysis, CountingPerception
from tests.capture.test_worker import MINI, Counter, config, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capture.service_session import SessionResult

TEXT = "nhân viên nhiệt tình nhưng chờ lâu"
EVERYTHING = {"image": "yes", "voice": "yes", "quotes": "yes"}


@pytest.fixture
def camera() -> Iterator[RtspMediaServer]:
    with RtspMediaServer({"quay-1": MINI / "mini_happy.mp4"}, loop=True) as server:
        yield server


class Hearing(CountingPerception):
    """Hears one sentence in each session, and seals it where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.sealed: list[SealedQuote] = []

    def open_session(self, purposes: frozenset[Purpose], **more: object) -> CountingAnalysis:
        quotes = more["quotes"]
        assert quotes is None or isinstance(quotes, QuoteSealing)
        analysis = super().open_session(purposes, **more)
        if quotes is not None:
            quote = RedactedQuote(0.0, 2.0, ("time_cost",), TEXT)
            sealed = SealedQuote(0, seal_quote(quote, quotes.key, quotes.context, 0))
            self.sealed.append(sealed)
            quotes.take(sealed)
        return analysis


@pytest.mark.parametrize("setting", ["on", "off"])
def test_a_service_from_the_question_to_the_erasure(
    tmp_path: Path, camera: RtspMediaServer, setting: str
) -> None:
    perception = Hearing()
    results: list[SessionResult] = []
    settings = config(tmp_path, camera.url("quay-1"), consent={"quotes": setting == "on", "quotes_days": 7})
    with EdgeWorker(settings, Listeners(session=results.append), perception) as worker:  # type: ignore[arg-type]  # a stand-in
        counter = Counter(worker)
        record_id = counter.next_citizen()
        counter.decide(record_id, **EVERYTHING)
        assert perception.begun.acquire(timeout=30)
        assert worker.quotes.count(record_id) == 0, "nothing is kept before the end"
        counter.finish()
        until(lambda: len(results) == 1, "the end of the session")
        assert results[0].signal is not None
        answers = {item.purpose: item.answer for item in worker.store.record(record_id).decisions}
        folder = settings.data_dir
        if setting == "off":
            assert Purpose.QUOTES not in answers
            assert (perception.sealed, list(folder.glob(f"{QUOTES}*"))) == ([], [])
            counter.close()
            return
        assert answers[Purpose.QUOTES] is Answer.GIVEN
        kept = worker.quotes.read(record_id)
        assert [quote.text for quote in kept.quotes] == [TEXT]
        assert (kept.until - kept.kept_at).days == 7
        (sealed,) = perception.sealed
        assert sealed.sealed in bytes_of(folder)
        assert TEXT.encode() not in bytes_of(folder)
        worker.steps.take(Step(record_id, State.WITHDRAWN, IndicatedBy.CITIZEN, "receipt"))
        until(lambda: worker.erasure.certificate(record_id) is not None, "the certificate")
        assert sealed.sealed not in bytes_of(folder)
        certificate = worker.erasure.certificate(record_id)
        assert certificate is not None
        assert {item.name: item.removed for item in certificate.stores}["quotes"] == 1
        assert worker.store.state(record_id) is State.WITHDRAWN
        counter.close()
