"""`hailong consent export`: one consent in each form, from the folder of an edge."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from consent import jsonld
from consent.commands import consent
from consent.record import new_id
from consent.state import State
from tests.consent.lives import lived, open_store

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from tests.consent.citizens import Clocks


@pytest.fixture
def record_id(log_path: Path, clocks: Clocks) -> UUID:
    with open_store(log_path, clocks) as store:
        return lived(store, clocks, State.WITHDRAWN)


def _export(tmp_path: Path, record_id: UUID, *options: str) -> tuple[int, str, Path]:
    out = tmp_path / "out"
    arguments = ["export", str(record_id), "--data", str(tmp_path), "--out", str(out), *options]
    result = CliRunner().invoke(consent, arguments)
    return result.exit_code, result.output, out


def test_linked_data_is_the_default_and_keeps_the_shapes(tmp_path: Path, record_id: UUID) -> None:
    code, output, out = _export(tmp_path, record_id)
    assert (code, output) == (0, "")
    document = json.loads(out.read_bytes())
    assert document["id"] == record_id.urn
    jsonld.check(document)


def test_plain_json_and_paper(tmp_path: Path, record_id: UUID) -> None:
    code, _, out = _export(tmp_path, record_id, "--format", "json")
    assert (code, json.loads(out.read_bytes())["state"]) == (0, "withdrawn")
    out.unlink()
    pages = set()
    for language in ("vi", "en"):
        code, _, out = _export(tmp_path, record_id, "--format", "pdf", "--language", language)
        pages.add(out.read_bytes())
        out.unlink()
        assert code == 0
    assert len(pages) == 2
    assert all(page.startswith(b"%PDF-") for page in pages)


def test_what_is_wrong_is_said_and_nothing_is_written(tmp_path: Path, record_id: UUID) -> None:
    code, output, out = _export(tmp_path, new_id())
    assert (code, out.exists()) == (1, False)
    assert "holds no consent" in output
    code, output, out = _export(tmp_path, record_id, "--format", "pdf", "--language", "fr")
    assert (code, out.exists()) == (1, False)
    assert "vi or en" in output
    out.write_text("mine")
    code, output, _ = _export(tmp_path, record_id)
    assert (code, out.read_text()) == (1, "mine")
    assert "not replaced" in output
