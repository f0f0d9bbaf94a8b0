"""Erasure: entry first, every store, receipt last; a stop at any step is made good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.checkpoint import Ed25519Signer
from consent.entry import body_of_note, parse_entry
from consent.erasure import Begun, Eraser, ErasureCertificate
from consent.errors import CertificateRefused, ErasureIncomplete

RECORD = UUID(int=11)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = Ed25519Signer("hailong/edge/test/erasure", KEY)
OTHER = Ed25519Signer("hailong/edge/test/erasure", Ed25519PrivateKey.from_private_bytes(bytes(32)))


class PowerCut(BaseException):
    """The machine stops: nothing may catch it."""


class World:
    """Three stores and a journal; `cut_at` stops everything at the n-th step."""

    def __init__(self, names: tuple[str, ...] = ("live-buffers", "outbox", "session-key")) -> None:
        self.holds: dict[str, set[UUID]] = {name: {RECORD} for name in names}
        self.begun: dict[UUID, Begun] = {}
        self.certified: dict[UUID, ErasureCertificate] = {}
        self.trace: list[str] = []
        self.broken: set[str] = set()
        self.cut_at = -1

    def step(self, what: str) -> None:
        if len(self.trace) == self.cut_at:
            raise PowerCut
        self.trace.append(what)

    def eraser(self) -> Eraser:
        stores = [Store(self, name) for name in self.holds]
        return Eraser(self, stores, receipt_signer=SIGNER, now=ticking())

    def begin(self, begun: Begun) -> None:
        self.step("before begin")
        body = body_of_note("erasure-started", begun.document())
        assert parse_entry(body) == begun
        self.begun[begun.record_id] = begun
        self.step("after begin")

    def done(self, certificate: ErasureCertificate) -> None:
        self.step("before done")
        read = parse_entry(body_of_note("erasure-done", certificate.document()))
        assert read == certificate
        self.certified[certificate.record_id] = certificate
        self.step("after done")

    def open(self) -> tuple[Begun, ...]:
        return tuple(item for record, item in self.begun.items() if record not in self.certified)

    def finished(self) -> tuple[ErasureCertificate, ...]:
        return tuple(self.certified.values())

    def certificate(self, record_id: UUID) -> ErasureCertificate | None:
        return self.certified.get(record_id)


class Store:
    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name

    def erase(self, record_id: UUID) -> int:
        self.world.step(f"before {self.name}")
        assert record_id in self.world.begun, "nothing is destroyed before the entry is written"
        if self.name in self.world.broken:
            raise OSError("the disk is full")
        held = record_id in self.world.holds[self.name]
        self.world.holds[self.name].discard(record_id)
        self.world.step(f"after {self.name}")
        return int(held)


def ticking() -> Callable[[], datetime]:
    start, count = datetime(2026, 11, 22, tzinfo=UTC), iter(range(1000))
    return lambda: start + timedelta(milliseconds=next(count))


def test_the_order_is_entry_stores_certificate() -> None:
    world = World()
    certificate = world.eraser().erase(RECORD, "withdrawn")
    assert world.trace == [
        "before begin",
        "after begin",
        "before live-buffers",
        "after live-buffers",
        "before outbox",
        "after outbox",
        "before session-key",
        "after session-key",
        "before done",
        "after done",
    ]
    assert [(status.name, status.removed) for status in certificate.stores] == [
        ("live-buffers", 1),
        ("outbox", 1),
        ("session-key", 1),
    ]
    assert (certificate.cause, certificate.resumed) == ("withdrawn", False)
    assert certificate.started_at < certificate.stores[0].done_at <= certificate.done_at


@pytest.mark.parametrize("cut_at", range(10))
def test_cut_at_any_step_the_next_start_completes(cut_at: int) -> None:
    world = World()
    world.cut_at = cut_at
    with pytest.raises(PowerCut):
        world.eraser().erase(RECORD, "withdrawn")
    world.cut_at = -1
    resumed = world.eraser().resume()
    assert len(resumed) == (0 if cut_at in {0, 1, 9} else 1) + (1 if cut_at == 1 else 0)
    certificate = world.eraser().erase(RECORD, "withdrawn")  # the withdrawal itself is asked again at a start
    certificate.verify(SIGNER.vkey())
    assert not any(world.holds.values())
    assert world.open() == ()
    assert len(world.begun) == 1


def test_a_store_that_fails_keeps_no_other_from_erasing_and_nothing_is_certified() -> None:
    world = World()
    world.broken = {"live-buffers"}
    with pytest.raises(ErasureIncomplete, match="live-buffers: OSError: the disk is full"):
        world.eraser().erase(RECORD, "withdrawn")
    assert world.holds == {"live-buffers": {RECORD}, "outbox": set(), "session-key": set()}
    assert world.certified == {}
    assert world.eraser().resume() == ()
    world.broken = set()
    (certificate,) = world.eraser().resume()
    assert certificate.resumed
    assert [status.removed for status in certificate.stores] == [1, 0, 0]


def test_asked_twice_it_answers_with_the_same_certificate() -> None:
    world = World()
    first = world.eraser().erase(RECORD, "withdrawn")
    assert world.eraser().erase(RECORD, "request") == first
    assert world.trace.count("before begin") == 1


def test_what_comes_back_from_a_backup_is_erased_by_the_replay() -> None:
    world = World()
    first = world.eraser().erase(RECORD, "withdrawn")
    assert world.eraser().replay() == ()
    world.holds["outbox"].add(RECORD)
    (renewed,) = world.eraser().replay()
    assert (renewed.resumed, renewed.removed(), renewed.started_at) == (True, 1, first.started_at)
    renewed.verify(SIGNER.vkey())
    assert not any(world.holds.values())


def test_a_replay_asks_every_erasure_also_when_one_fails() -> None:
    world = World()
    world.holds["outbox"] = {RECORD, UUID(int=12)}
    for number in (11, 12):
        world.eraser().erase(UUID(int=number), "withdrawn")
    world.holds["outbox"] = {UUID(int=12)}
    world.broken = {"live-buffers"}
    with pytest.raises(ErasureIncomplete):
        world.eraser().replay()
    assert world.holds["outbox"] == set()


def test_an_eraser_without_stores_or_with_a_name_twice_is_refused() -> None:
    for names in ((), ("outbox", "outbox")):
        world = World()
        stores = [Store(world, name) for name in names]
        with pytest.raises(ValueError, match="own name"):
            Eraser(world, stores, receipt_signer=SIGNER)


@pytest.fixture
def certificate() -> ErasureCertificate:
    return World().eraser().erase(RECORD, "withdrawn")


def test_a_certificate_reads_back_as_it_was_written(certificate: ErasureCertificate) -> None:
    assert ErasureCertificate.parse(certificate.canonical()) == certificate
    with pytest.raises(CertificateRefused):
        ErasureCertificate.parse(certificate.canonical().replace(b'"cause"', b'"score"'))


def test_only_the_erasure_key_certifies(certificate: ErasureCertificate) -> None:
    certificate.verify(SIGNER.vkey())
    for vkey in (OTHER.vkey(), SIGNER.vkey()[:-4], "no key"):
        with pytest.raises(CertificateRefused):
            certificate.verify(vkey)
    assert certificate.destruction.note().endswith(certificate.destruction.signature.encode() + b"\n")


def test_every_field_of_a_certificate_is_under_the_signature(certificate: ErasureCertificate) -> None:
    later = certificate.done_at + timedelta(seconds=1)
    receipt = certificate.destruction
    status = certificate.stores[0]
    for changed in (
        replace(certificate, record_id=uuid4()),
        replace(certificate, cause="request"),
        replace(certificate, started_at=later),
        replace(certificate, done_at=later),
        replace(certificate, resumed=True),
        replace(certificate, stores=certificate.stores[1:]),
        replace(certificate, stores=(replace(status, removed=9), *certificate.stores[1:])),
        replace(certificate, destruction=replace(receipt, record_id=uuid4())),
        replace(certificate, destruction=replace(receipt, destroyed_at=later)),
        replace(certificate, destruction=replace(receipt, certificate_sha256="0" * 64)),
        replace(certificate, destruction=replace(receipt, signature=OTHER.line(receipt.body()).rstrip())),
    ):
        with pytest.raises(CertificateRefused):
            changed.verify(SIGNER.vkey())


def test_no_single_byte_of_a_signature_line_can_be_changed(certificate: ErasureCertificate) -> None:
    line = certificate.destruction.signature
    accepted = []
    for place in range(len(line)):
        for mark in "A=\n +\u2014z":
            forged = line[:place] + mark + line[place + 1 :]
            if forged == line:
                continue
            changed = replace(certificate, destruction=replace(certificate.destruction, signature=forged))
            try:
                changed.verify(SIGNER.vkey())
            except CertificateRefused:
                continue
            accepted.append((place, mark))
    assert accepted == []
