"""Without a usable consent file nothing of a recording is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from capture.consent_script import ConsentScriptError, load_consent_script
from consent.purpose import Purpose


def script_of(tmp_path: Path, text: str) -> Path:
    (tmp_path / "clip.consent.toml").write_text(text, encoding="utf-8")
    return tmp_path / "clip.mp4"


def test_a_consent_file_is_read(tmp_path: Path) -> None:
    script = load_consent_script(
        script_of(tmp_path, 'decision = "given"\npurposes = ["voice"]\nwithdraws_after_s = 3')
    )
    assert script.purposes == {Purpose.VOICE}
    assert script.withdraws_after_s == 3


def test_no_file_means_no_reading(tmp_path: Path) -> None:
    with pytest.raises(ConsentScriptError, match=r"no consent file clip\.consent\.toml.*--consent"):
        load_consent_script(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('decision = "yes"', "decision"),
        ('decision = "given"', "purposes are named"),
        ('decision = "refused"\npurposes = ["image"]', "purposes are named"),
        ('decision = "refused"\nwithdraws_after_s = 1', "only what was given"),
        ('decision = "given"\npurposes = ["face"]', "purposes"),
        ("decision", "cannot be read"),
        ('decision = "refused"\nextra = 1', "extra"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConsentScriptError, match=words):
        load_consent_script(script_of(tmp_path, text))
