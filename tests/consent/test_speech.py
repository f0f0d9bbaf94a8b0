"""The spoken notice: the right words, one file for each notice, loud enough, never needed."""

from __future__ import annotations

import array
import hashlib
import json
import math
import subprocess
import sys
import wave
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from consent.commands import consent
from consent.notice import NoticeShelf
from consent.purpose import Purpose
from consent.speech import ASKED, reading, readings, spoken
from setup import speech
from setup.layout import ROOT, SetupError
from setup.synthesis import SynthesisError, levelled
from tests.consent.citizens import BOTH

if TYPE_CHECKING:
    from pathlib import Path


def _samples(path: Path) -> tuple[int, array.array[int]]:
    with wave.open(str(path), "rb") as sound:
        assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2)
        return sound.getframerate(), array.array("h", sound.readframes(sound.getnframes()))


def _loudness_db(samples: array.array[int]) -> float:
    voiced = [sample for sample in samples if abs(sample) > 200]
    return 20 * math.log10(math.sqrt(sum(sample * sample for sample in voiced) / len(voiced)) / 32768)


def test_what_is_read_out_is_the_rendered_notice_without_markup() -> None:
    notice = NoticeShelf.load().current("vi")
    read = reading(notice, BOTH)
    assert read.sha256 == notice.reference(BOTH).sha256 == hashlib.sha256(notice.rendered(BOTH)).hexdigest()
    lines = read.text.split("\n")
    assert lines[0] == notice.question.replace("/", " ")
    assert lines[3:5] == [
        "Hình ảnh khuôn mặt.",
        "Dữ liệu nhạy cảm. Phân tích nét mặt ngay tại quầy, không lưu hình.",
    ]
    assert lines[-2:] == ["Đồng ý.", "Không đồng ý."]
    assert not set(read.text) & set("<>*&/")


def test_each_question_has_a_reading_of_its_own() -> None:
    found = list(readings(NoticeShelf.load()))
    assert [item.language for item in found] == ["vi", "vi", "en", "en"]
    assert len({item.sha256 for item in found}) == len(found)
    assert BOTH in ASKED, "the kiosk's own question is among them"


def test_no_file_is_no_speech(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notice = NoticeShelf.load().current("vi")
    assert spoken(notice, BOTH, tmp_path) is None
    path = tmp_path / f"{notice.reference(BOTH).sha256}.wav"
    path.write_bytes(b"RIFF")
    assert spoken(notice, BOTH, tmp_path) == path
    assert spoken(notice, (Purpose.IMAGE,), tmp_path) is None, "another question, another notice"
    monkeypatch.setenv("HAILONG_SPEECH_DIR", str(tmp_path))
    assert spoken(notice, BOTH) == path


@pytest.mark.parametrize("language", ["vi", "en"])
def test_set_up_made_the_files(tmp_path: Path, language: str) -> None:
    done = _synthesise(tmp_path, [{"sha256": "one", "language": language, "text": "one, two"}])
    if done.returncode:
        pytest.skip(f"no spoken notice on this machine: {done.stderr}")
    path = spoken(NoticeShelf.load().current(language), BOTH)
    assert path is not None
    rate_hz, samples = _samples(path)
    words = len(reading(NoticeShelf.load().current(language), BOTH).text.split())
    assert rate_hz == 22050
    assert 100 < 60 * words / (len(samples) / rate_hz) < 260, "words a minute"
    assert -23 < _loudness_db(samples) < -18
    assert max(abs(sample) for sample in samples) <= 32768 * 10 ** (-1 / 20) + 1


def _synthesise(folder: Path, texts: list[dict[str, str]]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "setup.synthesis", str(folder)]
    return subprocess.run(
        command, cwd=ROOT, input=json.dumps(texts), text=True, capture_output=True, check=False
    )


def test_the_synthesiser_reads_vietnamese_and_clears_what_is_stale(tmp_path: Path) -> None:
    (tmp_path / "old.wav").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("mine")
    texts = [
        {"sha256": "one", "language": "vi", "text": "Không lưu hình, không lưu tiếng."},
        {"sha256": "two", "language": "vi", "text": "Có."},
    ]
    done = _synthesise(tmp_path, texts)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"one.wav", "two.wav", "notes.txt"}
    lengths = [len(_samples(tmp_path / f"{name}.wav")[1]) / 22050 for name in ("one", "two")]
    assert 1 < lengths[0] < 6
    assert lengths[1] < lengths[0]


def test_a_voice_that_is_not_there_ends_with_a_reason(tmp_path: Path) -> None:
    done = _synthesise(tmp_path, [{"sha256": "one", "language": "xx", "text": "?"}])
    assert (done.returncode, done.stderr) == (1, "there is no voice in 'xx'\n")
    assert list(tmp_path.iterdir()) == []


def test_silence_is_refused_and_peaks_are_bounded() -> None:
    with pytest.raises(SynthesisError, match="no sound"):
        levelled(array.array("h", [0, 100, -100]))
    peaky = levelled(array.array("h", [300] * 1000 + [20000]))
    assert max(peaky) <= 32768 * 10 ** (-1 / 20)
    assert -20.1 < _loudness_db(levelled(array.array("h", [3000, -3000] * 100))) < -19.9


def test_set_up_goes_on_without_a_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise SetupError("the command ended with status 1:\nno such library")

    monkeypatch.setattr(speech, "call", fail)
    monkeypatch.setattr(speech, "ROOT", tmp_path)
    monkeypatch.setattr(speech, "fingerprint", lambda _: "1")
    monkeypatch.setattr(speech, "_STAMP", tmp_path / ".speech")
    speech.ensure_speech()
    said = capsys.readouterr().err
    assert "the kiosk will have no spoken notice: no such library" in said
    assert "delete .speech" in said
    speech.ensure_speech()
    assert capsys.readouterr().err == "", "said once, not at every make"


def test_the_command_lists_the_published_notices() -> None:
    result = CliRunner().invoke(consent, ["notices"])
    first, second, *others = result.output.splitlines()
    assert first.startswith("counter 1.0 vi  2026-01-01  1b85b5bd")
    assert second.startswith("counter 1.0 en  2026-01-01  5de0392c")
    assert [line.split()[:3] for line in others] == [["counter-quotes", "1.0", code] for code in ("vi", "en")]
    (read, *_) = json.loads(CliRunner().invoke(consent, ["notices", "--spoken"]).output)
    assert read["sha256"] == first.split()[-1]
