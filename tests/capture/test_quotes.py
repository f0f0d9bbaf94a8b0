"""Quotes are kept as ciphertext, under their own purpose, for their time, and are gone when they must be."""

from __future__ import annotations

import json
import shutil
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from typer.testing import CliRunner

import capture.quotes
from capture.commands import edge as edge_commands
from capture.outbox import SESSION_KEYS
from capture.quote_retention import QuoteRetention
from capture.quotes import QUOTES, QuoteStore, QuotesUnavailable, SessionQuotes
from capture.service_session import ServiceSession
from consent.entry import EntryKind, Outcome, QuotesRead, ReadPurpose, RetentionRun, SessionSummary
from consent.errors import KeyDestroyed, TransitionRefused
from consent.export import record_document
from consent.gate import Gate
from consent.jsonld import linked
from consent.purpose import Purpose
from consent.record import IndicatedBy
from consent.state import State
from inference.quote_sealing import QuoteUnreadableError, open_quote, seal_quote
from inference.quotes import RedactedQuote, SealedQuote
from tests.capture.edge_folder import EdgeFolder, bytes_of, signal_payload
from tests.capture.test_service_session import Analysis, Camera
from tests.consent.citizens import citizen

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL = (Purpose.IMAGE, Purpose.VOICE, Purpose.QUOTES)
WORDS = ("cán bộ <tên> giải thích tận tình lắm", "chờ lâu quá hai tiếng đồng hồ")


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[EdgeFolder]:
    with EdgeFolder(tmp_path / "edge") as made:
        yield made


def agreed(edge: EdgeFolder, *, quotes: bool = True) -> UUID:
    """Let one citizen answer the question about quotes."""
    record = citizen(ALL)
    edge.store.offer(record)
    edge.store.show(record.record_id, record.notice)
    edge.store.decide(record.record_id, {item: item in ALL[:2] or quotes for item in ALL}, "citizen", "test")
    return record.record_id


def said(session: SessionQuotes, words: tuple[str, ...] = WORDS) -> list[bytes]:
    """Seal words as the process does that hears them; returns the ciphertexts."""
    sealing, made = session.sealing, []
    for sequence, text in enumerate(words):
        quote = RedactedQuote(2.0 * sequence, 2.0 * sequence + 1.5, ("time_cost",), text)
        sealed = SealedQuote(sequence, seal_quote(quote, sealing.key, sealing.context, sequence))
        sealing.take(sealed)
        made.append(sealed.sealed)
    return made


def served(edge: EdgeFolder, words: tuple[str, ...] = WORDS) -> tuple[UUID, list[bytes]]:
    """Serve one citizen to the end, who lets quotes be kept."""
    record_id = agreed(edge)
    edge.store.session_started(record_id)
    session = edge.quotes.session(record_id, "quay-1")
    sealed = said(session, words)
    commitment = edge.outbox.hold("signal", signal_payload(record_id), key=record_id)
    session.keep()
    edge.store.complete(record_id, SessionSummary(outcome=Outcome.SIGNAL, commitment=commitment))
    edge.outbox.release(record_id)
    session.close(kept=True)
    return record_id, sealed


def heard_in(data: bytes) -> list[str]:
    """Return the pairs of words that were said and lie there."""
    pairs = [f"{one} {two}" for text in WORDS for one, two in pairwise(text.split())]
    return [
        pair for pair in pairs for code in ("utf-8", "utf-16-le", "utf-32-le") if pair.encode(code) in data
    ]


def secrets_of(edge: EdgeFolder, record_id: UUID) -> list[bytes]:
    return [edge.keys.get(record_id), edge.keys.get(capture.quotes._salt_of(record_id))]


# --- keeping -------------------------------------------------------------------------------------


def test_what_is_kept_is_ciphertext_and_opens_again(edge: EdgeFolder) -> None:
    record_id, sealed = served(edge)
    left = bytes_of(edge.folder)
    assert all(item in left for item in sealed)
    assert heard_in(left) == []
    assert heard_in(WORDS[1].encode()), "the search finds words where there are any"
    kept = edge.quotes.read(record_id)
    assert kept.counter == "quay-1"
    assert [(item.start_s, item.text, item.factors) for item in kept.quotes] == [
        (0.0, WORDS[0], ("time_cost",)),
        (2.0, WORDS[1], ("time_cost",)),
    ]
    assert kept.until - kept.kept_at == timedelta(days=30)


def test_lengths_tell_nothing_of_short_answers(edge: EdgeFolder) -> None:
    _, sealed = served(edge, ("vâng", "tôi thấy cũng được không có gì phàn nàn nhưng hơi lâu"))
    assert len({len(item) for item in sealed}) == 1


def test_neither_the_session_key_alone_nor_another_place_opens_a_quote(edge: EdgeFolder) -> None:
    record_id, sealed = served(edge)
    other, _ = served(edge)
    session_key, secret = secrets_of(edge, record_id)
    right, context = edge.quotes.key(record_id), record_id.bytes + b"quay-1"
    assert open_quote(sealed[1], right, context, 1).text == WORDS[1]
    info = b"hailong redacted quotes 1\n" + record_id.bytes
    derived = [HKDF(SHA256(), 32, salt, info).derive(session_key) for salt in (None, b"", session_key)]
    for key in (session_key, secret, edge.quotes.key(other), *derived):
        with pytest.raises(QuoteUnreadableError):
            open_quote(sealed[1], key, context, 1)
    for elsewhere, place in ((context, 0), (record_id.bytes + b"quay-2", 1), (other.bytes + b"quay-1", 1)):
        with pytest.raises(QuoteUnreadableError):
            open_quote(sealed[1], right, elsewhere, place)
    (entry, _) = edge.outbox.pending()
    assert entry.salt == session_key, "the centre gets the session key, and it is not enough"


def test_nothing_of_a_quote_is_in_what_leaves(edge: EdgeFolder) -> None:
    record_id, sealed = served(edge)
    secret = secrets_of(edge, record_id)[1]
    for path in edge.folder.glob("outbox.sqlite*"):
        assert not [item for item in (*sealed, secret) if item in path.read_bytes()]
    told = json.dumps([entry.payload for entry in edge.outbox.pending()], ensure_ascii=False)
    logged = b"".join(item.body for item in edge.store.log.of_record(record_id))
    assert "quote" not in told
    assert heard_in(told.encode()) == []
    assert not [item for item in sealed if item in logged or item.hex().encode() in logged]


def test_a_long_session_keeps_a_bounded_number(edge: EdgeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture.quotes, "LONGEST_SESSION", 2)
    record_id, _ = served(edge, ("một", "hai", "ba"))
    assert [item.text for item in edge.quotes.read(record_id).quotes] == ["một", "hai"]


@pytest.mark.parametrize("days", [0, 31])
def test_no_setting_keeps_longer_than_the_notice_says(edge: EdgeFolder, days: int) -> None:
    with pytest.raises(ValueError, match="1 to 30"):
        QuoteStore(edge.folder / "x", edge.keys, days=days)


# --- a session -------------------------------------------------------------------------------------


def run_session(edge: EdgeFolder, record_id: UUID, analysis: Analysis, quotes: SessionQuotes | None) -> State:
    camera = Camera()
    gate = Gate(edge.store)
    session = ServiceSession(
        counter="quay-1",
        grant=gate.grant(record_id),
        gate=gate,
        store=edge.store,
        source=camera,
        analysis=analysis,  # type: ignore[arg-type]  # a stand-in for the networks
        outbox=edge.outbox,
        software="test",
        quotes=quotes,
    )
    return session.run().state


def test_a_session_keeps_its_quotes_with_its_signal(edge: EdgeFolder) -> None:
    record_id = agreed(edge)
    quotes = edge.quotes.session(record_id, "quay-1")
    analysis = Analysis()

    def hear() -> None:
        said(quotes)

    analysis.on_finish = hear
    assert run_session(edge, record_id, analysis, quotes) is State.COMPLETED
    assert edge.quotes.count(record_id) == 2
    quotes.sealing.take(SealedQuote(9, b"late"))
    assert quotes.keep() == 0, "what comes behind the end is dropped"


@pytest.mark.parametrize("how", ["withdrawn", "revoked", "nothing", "broken"])
def test_a_session_without_a_signal_keeps_no_quote_and_no_key(edge: EdgeFolder, how: str) -> None:
    record_id = agreed(edge)
    quotes = edge.quotes.session(record_id, "quay-1")
    secrets, sealed = secrets_of(edge, record_id), said(quotes)
    analysis = Analysis(face_s=0.0 if how == "nothing" else 3.0)

    def ended() -> None:
        if how == "withdrawn":
            edge.withdraw(record_id)
        elif how == "revoked":
            edge.store.apply(record_id, State.REVOKED, IndicatedBy.CONTROLLER, "second-face")
        elif how == "broken":
            raise RuntimeError("a fault")

    analysis.on_finish = ended
    run_session(edge, record_id, analysis, quotes)
    edge.erasure.erase_due()
    left = bytes_of(edge.folder)
    assert [item for item in (*sealed, *secrets) if item in left] == []
    assert edge.quotes.count(record_id) == 0
    with pytest.raises(KeyDestroyed):
        edge.quotes.session(record_id, "quay-1")


def test_without_the_purpose_not_one_byte_is_kept(edge: EdgeFolder) -> None:
    record_id = agreed(edge, quotes=False)
    assert run_session(edge, record_id, Analysis(), None) is State.COMPLETED
    edge.withdraw(record_id)
    edge.erasure.erase_due()
    edge.quotes.expire()
    assert not list(edge.folder.glob(f"{QUOTES}*"))
    certificate = edge.erasure.certificate(record_id)
    assert certificate is not None
    assert [status.removed for status in certificate.stores if status.name == "quotes"] == [0]


# --- erasure ---------------------------------------------------------------------------------------


def test_a_withdrawal_leaves_no_ciphertext_and_no_key(edge: EdgeFolder) -> None:
    record_id, sealed = served(edge)
    other, others = served(edge)
    forms = [*sealed, *secrets_of(edge, record_id)]
    assert all(form in bytes_of(edge.folder) for form in forms)  # the search has teeth
    edge.withdraw(record_id)
    edge.erasure.erase_due()
    left = bytes_of(edge.folder)
    assert [form for form in forms if form in left] == []
    assert all(form in left for form in others), "another citizen's stay"
    certificate = edge.erasure.certificate(record_id)
    assert certificate is not None
    assert [(item.name, item.removed) for item in certificate.stores][1:4] == [
        ("outbox", 1),
        ("quotes", 2),
        ("session-key", 1),
    ]
    with pytest.raises(QuotesUnavailable, match="no quotes are kept"):
        edge.quotes.read(record_id)
    assert edge.quotes.count(other) == 2


def test_an_erasure_between_writing_and_looking_wins(edge: EdgeFolder) -> None:
    record_id = agreed(edge)
    session = edge.quotes.session(record_id, "quay-1")
    sealed = said(session)
    destroyed = threading.Event()
    inner = edge.quotes._open

    def opened() -> object:
        if not destroyed.is_set():
            destroyed.set()
            edge.keys.destroy(capture.quotes._salt_of(record_id))
        return inner()

    edge.quotes._open = opened  # type: ignore[method-assign,assignment]  # the erasure comes just then
    with pytest.raises(KeyDestroyed):
        session.keep()
    assert [item for item in sealed if item in bytes_of(edge.folder)] == []


def test_a_backup_brings_no_quote_back(tmp_path: Path) -> None:
    folder, backup = tmp_path / "edge", tmp_path / "backup"
    with EdgeFolder(folder) as edge:
        record_id, sealed = served(edge)
    shutil.copytree(folder, backup)
    with EdgeFolder(folder) as edge:
        edge.withdraw(record_id)
        edge.erasure.erase_due()
    for path in folder.glob(f"{QUOTES}*"):
        path.unlink()
    shutil.copy(backup / QUOTES, folder / QUOTES)
    assert sealed[0] in bytes_of(folder), "it came back"
    with EdgeFolder(folder) as again:
        with pytest.raises(KeyDestroyed):
            again.quotes.read(record_id)
        assert again.start() == 1
        assert [item for item in sealed if item in bytes_of(folder)] == []


def test_a_crash_before_the_end_of_the_session_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    with EdgeFolder(folder) as edge:
        stays, _ = served(edge)
        written, unwritten = agreed(edge), agreed(edge)
        forms = []
        for record_id in (written, unwritten):
            edge.store.session_started(record_id)
            session = edge.quotes.session(record_id, "quay-1")
            forms += [*said(session), *secrets_of(edge, record_id)]
            if record_id == written:
                session.keep()
    with EdgeFolder(folder) as again:
        again.start()
        assert again.quotes.records() == (stays,)
        assert [form for form in forms if form in bytes_of(folder)] == []


# --- time ------------------------------------------------------------------------------------------


def test_what_is_past_its_time_is_removed_and_logged_and_the_signal_stays(edge: EdgeFolder) -> None:
    clock = [datetime(2026, 11, 22, 8, tzinfo=UTC)]
    edge.quotes._now = lambda: clock[0]
    retention = QuoteRetention(edge.quotes, edge.store)
    record_id, sealed = served(edge)
    secret = secrets_of(edge, record_id)[1]
    clock[0] += timedelta(days=29, hours=23)
    assert retention.run() == 0
    assert edge.quotes.count(record_id) == 2
    clock[0] += timedelta(hours=1)
    assert retention.run() == 2
    left = bytes_of(edge.folder)
    assert [form for form in (*sealed, secret) if form in left] == []
    (run,) = (item.entry() for item in edge.store.log.of_kind(EntryKind.RETENTION_RUN))
    assert isinstance(run, RetentionRun)
    assert [(step.category, step.days, step.removed) for step in run.steps] == [("redacted-quotes", 30, 2)]
    assert [entry.kind for entry in edge.outbox.pending()] == ["signal"]
    assert retention.run() == 0
    assert len(edge.store.log.of_kind(EntryKind.RETENTION_RUN)) == 1, "nothing removed, nothing logged"


def test_a_shorter_setting_holds_for_what_is_kept_already(edge: EdgeFolder) -> None:
    clock = [datetime(2026, 11, 22, 8, tzinfo=UTC)]
    edge.quotes._now = lambda: clock[0]
    served(edge)
    clock[0] += timedelta(days=7)
    shorter = QuoteStore(edge.quotes.path, edge.keys, days=7, now=lambda: clock[0])
    assert (edge.quotes.expire(), shorter.expire()) == (0, 2)
    shorter.close()


def test_the_key_outlives_the_confirmed_signal_until_the_quotes_are_gone(edge: EdgeFolder) -> None:
    record_id, _ = served(edge)
    plain = edge.served()
    sent = edge.outbox.pending()
    edge.outbox.mark_delivered(sent[-1].seq, sent)
    edge.outbox.prune(timedelta(0))
    assert edge.quotes.read(record_id).quotes
    assert edge.keys.destroyed(plain)
    edge.quotes.erase(record_id)
    edge.outbox.prune(timedelta(0))
    assert edge.keys.destroyed(record_id)


# --- reading ---------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text('data_dir = "edge"\n[[counters]]\ncode = "quay-1"\ncamera = "lavfi:testsrc"\n')
    return path


def command(config: Path, record_id: UUID, *more: str, ticket: str = "YC-2026/0142") -> tuple[int, str, str]:
    arguments = ["quotes", str(record_id), "-c", str(config), "--ticket", ticket, *more]
    if "--reader" not in more:
        arguments += ["--reader", "dpo-1"]
    if "--reason" not in more:
        arguments += ["--reason", "complaint"]
    done = CliRunner().invoke(edge_commands, arguments)
    return done.exit_code, done.stdout, done.stderr


def test_the_privacy_officer_reads_and_the_log_says_so(edge: EdgeFolder, config: Path) -> None:
    record_id, _ = served(edge)
    code, out, _ = command(config, record_id, "--json")
    assert code == 0
    told = json.loads(out)
    assert [item["text"] for item in told["quotes"]] == list(WORDS)
    assert told["record_id"] == str(record_id)
    code, out, _ = command(config, record_id)
    assert (code, out.splitlines()[1]) == (0, f"00:00 [time_cost] {WORDS[0]}")
    reads = [item.entry() for item in edge.store.log.of_kind(EntryKind.QUOTES_READ)]
    assert [
        (item.record_id, item.reader, item.purpose, item.ticket, item.quotes)
        for item in reads
        if isinstance(item, QuotesRead)
    ] == [(record_id, "dpo-1", ReadPurpose.COMPLAINT, "YC-2026/0142", 2)] * 2
    assert edge.store.verify().ok
    document = record_document(edge.store.evidence(record_id))
    assert [item["reader"] for item in document.plain()["quotes_read"]] == ["dpo-1", "dpo-1"]
    assert [item["ticket"] for item in linked(document)["quotesRead"]] == ["YC-2026/0142"] * 2


@pytest.mark.parametrize(
    ("more", "ticket"),
    [
        (["--reason", "curious"], "YC-1"),
        (["--reader", "Nguyễn Văn A"], "YC-1"),
        ([], ""),
        ([], "vì tôi muốn"),
    ],
)
def test_without_reason_reader_and_ticket_nothing_is_shown_or_logged(
    edge: EdgeFolder, config: Path, more: list[str], ticket: str
) -> None:
    record_id, _ = served(edge)
    code, out, _ = command(config, record_id, *more, ticket=ticket)
    assert code != 0
    assert WORDS[0] not in out
    assert edge.store.log.of_kind(EntryKind.QUOTES_READ) == ()


def test_what_was_withdrawn_or_never_kept_is_not_read(edge: EdgeFolder, config: Path) -> None:
    record_id, _ = served(edge)
    assert "no quotes" in command(config, uuid4())[2]
    edge.withdraw(record_id)  # not erased yet
    code, out, err = command(config, record_id)
    assert (code, out) == (1, "")
    assert "nothing to read" in err
    edge.erasure.erase_due()
    assert "no quotes" in command(config, record_id)[2]
    assert edge.store.log.of_kind(EntryKind.QUOTES_READ) == ()


@pytest.mark.parametrize(("age_days", "setting", "shown"), [(29, 30, 2), (31, 30, 0), (8, 7, 0), (6, 7, 2)])
def test_what_is_past_its_time_is_not_read_where_the_edge_did_not_run(
    edge: EdgeFolder, config: Path, age_days: int, setting: int, shown: int
) -> None:
    config.write_text(config.read_text("utf-8") + f"[consent]\nquotes_days = {setting}\n", "utf-8")
    edge.quotes._now = lambda: datetime.now(UTC) - timedelta(days=age_days)
    record_id, _ = served(edge)
    code, out, err = command(config, record_id, "--json")
    assert len(json.loads(out)["quotes"] if out else []) == shown
    if not shown:
        assert code == 1
        assert "no quotes" in err
        assert edge.store.log.of_kind(EntryKind.QUOTES_READ) == ()
        edge.quotes._now = lambda: datetime.now(UTC)
        shorter = QuoteStore(edge.quotes.path, edge.keys, days=setting)
        with pytest.raises(QuotesUnavailable, match="no quotes"):
            shorter.read(record_id)
        shorter.close()


@pytest.mark.parametrize(("ahead", "removed"), [(timedelta(hours=1), 0), (timedelta(days=400), 2)])
def test_a_clock_that_was_ahead_keeps_nothing_longer(
    edge: EdgeFolder, ahead: timedelta, removed: int
) -> None:
    edge.quotes._now = lambda: datetime.now(UTC) + ahead
    record_id, _ = served(edge)
    edge.quotes._now = lambda: datetime.now(UTC)
    assert edge.quotes.readable(record_id) == 2 - removed
    assert edge.quotes.expire() == removed


def test_a_log_that_cannot_be_written_shows_nothing(edge: EdgeFolder) -> None:
    record_id = agreed(edge, quotes=False)
    with pytest.raises(TransitionRefused, match="never let"):
        edge.store.quotes_read(record_id, "dpo-1", ReadPurpose.BREACH, "SC-2026/1", quotes=1)


def test_the_keys_file_alone_makes_a_stolen_copy_unreadable(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    with EdgeFolder(folder) as edge:
        record_id, _ = served(edge)
    for path in folder.glob(f"{SESSION_KEYS}*"):
        path.unlink()
    with EdgeFolder(folder) as copy, pytest.raises(KeyDestroyed):
        copy.quotes.read(record_id)
