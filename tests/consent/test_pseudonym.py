"""Pseudonyms: the same transaction, the same pseudonym, and nothing without the key."""

from __future__ import annotations

import hashlib
import hmac
import stat
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from consent.commands import consent
from consent.errors import PseudonymKeyError
from consent.pseudonym import PseudonymKey
from consent.record import ConsentRecord
from tests.consent.citizens import citizen

if TYPE_CHECKING:
    from pathlib import Path

NUMBER = "H40.12-261102-0007"


def test_a_key_survives_its_file_and_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "apart" / "pseudonym.key"
    made = PseudonymKey.make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PseudonymKey.load(path).pseudonym(NUMBER) == made.pseudonym(NUMBER)
    assert path.read_text().strip() not in repr(made)


def test_the_pseudonym_is_the_hmac_that_the_document_names() -> None:
    key = bytes(range(32))
    expected = hmac.new(key, b"hailong subject pseudonym 1\n" + NUMBER.encode(), hashlib.sha256).hexdigest()
    assert PseudonymKey(key).pseudonym(NUMBER) == expected
    assert PseudonymKey(key[::-1]).pseudonym(NUMBER) != expected


def test_spacing_case_and_width_make_no_second_person() -> None:
    key = PseudonymKey(bytes(32))
    spellings = (NUMBER, f" {NUMBER.lower()}\n", "H40.12 - 261102 - 0007", "\uff2840.12-261102-0007")
    assert len({key.pseudonym(spelling) for spelling in spellings}) == 1
    assert key.pseudonym("H40.12-261102-0008") != key.pseudonym(NUMBER)


def test_a_record_takes_the_pseudonym_and_never_the_number() -> None:
    record = citizen(subject_pseudonym=PseudonymKey(bytes(32)).pseudonym(NUMBER))
    assert ConsentRecord.parse(record.canonical()) == record
    assert NUMBER.encode() not in record.canonical()


def test_an_existing_key_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pseudonym.key"
    PseudonymKey.make(path)
    before = path.read_bytes()
    with pytest.raises(PseudonymKeyError, match="orphan"):
        PseudonymKey.make(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("ab" * 32 + "\n", 0o640, "chmod 600"),
        ("ab" * 31 + "\n", 0o600, "does not hold a key"),
        ("ab" * 32, 0o600, "does not hold a key"),
        ("", 0o600, "does not hold a key"),
    ],
)
def test_a_key_that_cannot_be_trusted_is_refused(
    tmp_path: Path, content: str, mode: int, message: str
) -> None:
    path = tmp_path / "pseudonym.key"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(PseudonymKeyError, match=message):
        PseudonymKey.load(path)


def test_a_missing_key_says_where_it_should_come_from(tmp_path: Path) -> None:
    with pytest.raises(PseudonymKeyError, match="Restore it"):
        PseudonymKey.load(tmp_path / "pseudonym.key")


@pytest.mark.parametrize("number", ["", "  \n"])
def test_no_number_has_no_pseudonym(number: str) -> None:
    with pytest.raises(ValueError, match="transaction number"):
        PseudonymKey(bytes(32)).pseudonym(number)


def test_the_command_makes_a_key_once_and_prints_pseudonyms(tmp_path: Path) -> None:
    path = tmp_path / "pseudonym.key"

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(consent, ["pseudonym", *arguments, "--key", str(path)])
        return result.exit_code, result.output.strip()

    code, message = run(NUMBER)
    assert (code, "Restore it" in message) == (1, True)
    code, made = run(NUMBER, "--new-key")
    assert (code, made) == (0, PseudonymKey.load(path).pseudonym(NUMBER))
    assert run(NUMBER.lower()) == (0, made)
    code, message = run(NUMBER, "--new-key")
    assert (code, "orphan" in message) == (1, True)
