"""A real sentence, heard by the real process: ciphertext on the disk, after a withdrawal not even that."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from capture.config import load_config
from capture.counter import Counter
from consent.entry import Outcome, SessionSummary
from consent.gate import Gate
from consent.purpose import Purpose
from inference.evaluation_speech import load_sound
from inference.judgement import SpokenSound
from inference.quotes import QuoteSealing
from inference.session_judge import JudgeSupply
from models.registry import Registry
from tests.capture.edge_folder import EdgeFolder, bytes_of, signal_payload
from tests.capture.stand_ins import CountingAnalysis, CountingPerception
from tests.capture.test_quotes import agreed
from tests.capture.test_service_session import Camera

RATE_HZ = 16_000
_ENCODINGS = ("utf-8", "utf-16-le", "utf-32-le")


def test_a_spoken_quote_is_on_disk_as_ciphertext_only(shared: Path, tmp_path: Path) -> None:
    clip = load_sound(min((shared / "data" / "speech" / "clips").glob("*.mp3")))[0]
    silence = np.zeros(RATE_HZ // 2, np.int16)
    samples = np.concatenate((silence, clip, silence))
    folder = tmp_path / "edge"
    supply = JudgeSupply.load(Registry.default())
    with EdgeFolder(folder) as edge:
        record_id = agreed(edge)
        edge.store.session_started(record_id)
        quotes = edge.quotes.session(record_id, "quay-1")
        try:
            judge = supply.take(quotes.sealing)
            judgement = judge.judge(SpokenSound(samples, clip.size / RATE_HZ, 1.0, 1.0 + clip.size / RATE_HZ))
            judge.end()
        finally:
            supply.close()
        assert judgement.opinion is not None
        commitment = edge.outbox.hold("signal", signal_payload(record_id), key=record_id)
        assert quotes.keep() == 1
        edge.store.complete(record_id, SessionSummary(outcome=Outcome.SIGNAL, commitment=commitment))
        edge.outbox.release(record_id)
        quotes.close(kept=True)

        (quote,) = edge.quotes.read(record_id).quotes
        assert len(quote.text.split()) >= 3, "the clip has words to look for"
        assert quote.start_s == 1.0
        assert hits(tmp_path, quote.text) == [], "while it is kept"
        with edge.quotes._read() as db:
            (sealed,) = db.execute("SELECT sealed FROM quote").fetchone()
        assert sealed in bytes_of(folder)
        edge.withdraw(record_id)
        edge.erasure.erase_due()
        assert sealed not in bytes_of(folder), "not even the ciphertext"
        assert sealed[:12] not in bytes_of(folder), "nor its nonce"
        assert hits(tmp_path, quote.text) == [], "after the withdrawal"
    for code in _ENCODINGS:  # the control: the search finds words where there are any
        (tmp_path / "control").write_bytes(quote.text.encode(code))
        assert hits(tmp_path, quote.text)


def hits(folder: Path, text: str) -> list[str]:
    """Return which pairs of words of a text lie in a file below a folder, names included."""
    pairs = [" ".join(pair) for pair in pairwise(text.split())]
    found = []
    for path in folder.rglob("*"):
        data = str(path).encode() + (path.read_bytes() if path.is_file() else b"")
        found += [pair for pair in pairs if any(pair.encode(code) in data for code in _ENCODINGS)]
    return found


class Listening(CountingPerception):
    """Notes how each session was told to keep quotes."""

    def __init__(self) -> None:
        super().__init__()
        self.sealings: list[QuoteSealing | None] = []

    def open_session(self, purposes: frozenset[Purpose], **more: object) -> CountingAnalysis:
        quotes = more["quotes"]
        assert quotes is None or isinstance(quotes, QuoteSealing)
        self.sealings.append(quotes)
        return super().open_session(purposes, **more)


@pytest.mark.parametrize("case", ["given", "refused", "setting off"])
def test_a_counter_hands_a_key_on_only_with_setting_and_purpose(tmp_path: Path, case: str) -> None:
    path = tmp_path / "edge.toml"
    path.write_text('[[counters]]\ncode = "quay-1"\ncamera = "lavfi:testsrc"\n')
    with EdgeFolder(tmp_path / "edge") as edge:
        record_id = agreed(edge, quotes=case != "refused")
        gate, perception = Gate(edge.store), Listening()
        counter = Counter(
            load_config(path).counters[0],
            store=edge.store,
            gate=gate,
            outbox=edge.outbox,
            perception=perception,  # type: ignore[arg-type]  # a stand-in for the networks
            software="test",
            quotes=None if case == "setting off" else edge.quotes,
        )
        counter.session(gate.grant(record_id), Camera())
        (sealing,) = perception.sealings
        assert (sealing is not None) is (case == "given")
        if sealing is not None:
            assert sealing.key == edge.quotes.key(record_id)
            assert sealing.context == record_id.bytes + b"quay-1"
