"""Fixtures of the consent tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consent.gate import Gate
from consent.ledger import ConsentStore
from tests.consent.citizens import Clocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "consent.sqlite"


@pytest.fixture
def store(log_path: Path, clocks: Clocks) -> Iterator[ConsentStore]:
    with ConsentStore(log_path, now=clocks.now, monotonic_ns=clocks.monotonic_ns) as opened:
        yield opened


@pytest.fixture
def gate(store: ConsentStore, clocks: Clocks) -> Gate:
    return Gate(store, monotonic_ns=clocks.monotonic_ns)
