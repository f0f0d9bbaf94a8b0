"""The two Whisper engines: through stand-in libraries everywhere, through the real ones where they are."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models import faster_whisper
from models.bundles import export_bundle, import_bundle
from models.card import ModelCard, shipped_cards
from models.errors import ConversionError, LibraryMissing, ModelFileMissing, ModelHashMismatch, UnknownModel
from models.registry import MODELS_DIR_VARIABLE, Registry
from models.speech_pieces import SAMPLE_RATE_HZ
from models.transcribers import EngineTranscriber, installed_transcribers, load_transcriber
from setup.layout import ROOT
from tests.models.test_voice_activity import sound

SEGMENTS = """
def segments():
    good = dict(avg_logprob=-0.3, compression_ratio=1.2, no_speech_prob=0.1)
    return [
        dict(good, text=" Tôi chờ lâu."),
        dict(good, text=" hãy đoán xem", avg_logprob=-1.4),
        dict(good, text=" la la la la la", compression_ratio=3.0),
        dict(good, text=" nhạc", no_speech_prob=0.9),
        dict(good, text=" Cảm ơn!"),
    ]
"""
FASTER_WHISPER = (
    SEGMENTS
    + """
import json, os, pathlib, types
class WhisperModel:
    def __init__(self, name, **settings):
        files = settings.pop("files")
        self.log = dict(settings, name=name, offline=os.environ["HF_HUB_OFFLINE"])
        self.log["files"] = {
            key: (item if isinstance(item, bytes) else item.read()).decode() for key, item in files.items()
        }
    def transcribe(self, sound, **settings):
        heard = dict(samples=len(sound), peak=float(abs(sound).max()), kind=str(sound.dtype))
        log = dict(self.log, **heard, **settings)
        pathlib.Path(os.environ["STAND_IN_LOG"]).write_text(json.dumps(log))
        print("a library that talks")
        return iter([types.SimpleNamespace(**item) for item in segments()]), None
"""
)
WHISPER = (
    SEGMENTS
    + """
import json, os, pathlib, types
class Model:
    is_multilingual = True
    dims = types.SimpleNamespace(n_text_ctx=448)
    def __init__(self, path):
        self.path = path
    def transcribe(self, sound, **settings):
        log = dict(settings, path=self.path, samples=len(sound), kind=str(sound.dtype))
        pathlib.Path(os.environ["STAND_IN_LOG"]).write_text(json.dumps(log))
        return {"segments": segments()}
def load_model(path, device):
    assert device == "cpu"
    return Model(path)
"""
)
CARD = """
task = "transcription"
name = "{name}"
version = "1"
engine = "{engine}"
summary = "a checkpoint of ours"
licence = "MIT"
inputs = "speech"
outputs = "words"
limits = ["a test"]
[file]
name = "{file}"
sha256 = "{sha256}"
origin = "bundle"
[training]
data = "none"
rights = "ours"
"""
BESIDE = '[[beside]]\nname = "{name}"\nknown_as = "{known_as}"\nsha256 = "{sha256}"\n'


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tone(seconds: float) -> NDArray[np.int16]:
    return (16_384 * np.sin(np.arange(int(seconds * SAMPLE_RATE_HZ)) / 7)).astype(np.int16)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-in libraries in place of the extras; the file that they write what they were asked into."""
    folder = tmp_path / "libraries"
    modules = {"faster_whisper": FASTER_WHISPER, "whisper": WHISPER, "torch": "def set_num_threads(n): ...\n"}
    for name in ("ctranslate2", "tiktoken", "numba"):
        modules[name] = ""
    folder.mkdir()
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("STAND_IN_LOG", str(tmp_path / "log.json"))
    return tmp_path / "log.json"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv(MODELS_DIR_VARIABLE, str(folder))
    return folder


def bundle(
    folder: Path, engine: str, content: bytes = b"weights", beside: dict[str, bytes] | None = None
) -> Path:
    """Lay out what an administrator would import."""
    folder.mkdir()
    text = CARD.format(name="our-whisper", engine=engine, file="our-whisper.bin", sha256=digest(content))
    (folder / "our-whisper.bin").write_bytes(content)
    for known_as, extra in (beside or {}).items():
        text += BESIDE.format(name=f"our-whisper.{known_as}", known_as=known_as, sha256=digest(extra))
        (folder / f"whatever-{known_as}").write_bytes(extra)
    (folder / "our-whisper.card.toml").write_text(text, encoding="utf-8")
    return folder


BESIDES = {"config.json": b"{}", "tokenizer.json": b"tokens", "vocabulary.txt": b"words"}


def test_faster_whisper_reads_verified_files_and_keeps_what_is_likely(
    store: Path, log: Path, tmp_path: Path
) -> None:
    import_bundle(
        bundle(tmp_path / "in", "faster-whisper", beside=BESIDES), store, Registry.default().cards()
    )
    with load_transcriber(Registry.default(), "our-whisper", threads=2) as transcriber:
        assert transcriber.transcribe(tone(3.0)) == "tôi chờ lâu cảm ơn"
        assert transcriber.version_of() == ("our-whisper", "1", digest(b"weights"))
    asked: dict[str, Any] = json.loads(log.read_text("utf-8"))
    assert asked["files"] == {
        "model.bin": "weights",
        "config.json": "{}",
        "tokenizer.json": "tokens",
        "vocabulary.txt": "words",
    }
    assert (asked["samples"], asked["kind"], asked["peak"]) == (
        48_000,
        "float32",
        pytest.approx(0.5, abs=1e-3),
    )
    assert (asked["cpu_threads"], asked["offline"], asked["language"]) == (2, "1", "vi")
    assert asked["vad_filter"] is True
    assert asked["condition_on_previous_text"] is False
    assert asked["max_new_tokens"] == 80


def test_openai_whisper_reads_a_checkpoint_that_was_brought(store: Path, log: Path, tmp_path: Path) -> None:
    import_bundle(bundle(tmp_path / "in", "openai-whisper"), store, Registry.default().cards())
    with load_transcriber(Registry.default(), "our-whisper@1") as transcriber:
        assert transcriber.transcribe(tone(40.0)) == " ".join(["tôi chờ lâu cảm ơn"] * 4)
        assert transcriber.transcribe(np.zeros(0, np.int16)) == ""
    asked = json.loads(log.read_text("utf-8"))
    assert asked["path"] == str(store / "our-whisper.bin")
    assert asked["samples"] <= 15 * SAMPLE_RATE_HZ
    assert (asked["fp16"], asked["temperature"], asked["condition_on_previous_text"]) == (False, 0.0, False)


def test_what_is_exported_can_be_imported_elsewhere(store: Path, tmp_path: Path) -> None:
    source = bundle(tmp_path / "in", "faster-whisper", beside=BESIDES)
    import_bundle(source, store, Registry.default().cards())
    archive = export_bundle([Registry.default().locate("our-whisper")], tmp_path / "out.zip")
    elsewhere = tmp_path / "elsewhere"
    import_bundle(archive, elsewhere, shipped_cards())  # another machine knows no card of ours
    assert {path.name for path in elsewhere.iterdir()} == {
        "our-whisper.bin",
        "our-whisper@1.card.toml",
        *(f"our-whisper.{name}" for name in BESIDES),
    }


def test_a_file_beside_that_is_missing_or_wrong_stops_the_load(
    store: Path, log: Path, tmp_path: Path
) -> None:
    import_bundle(
        bundle(tmp_path / "in", "faster-whisper", beside=BESIDES), store, Registry.default().cards()
    )
    needed = store / "our-whisper.tokenizer.json"
    needed.write_bytes(b"tokenS")
    with pytest.raises(ModelHashMismatch, match=r"our-whisper\.tokenizer\.json is not the file"):
        load_transcriber(Registry.default(), "our-whisper")
    needed.unlink()
    with pytest.raises(ModelFileMissing, match=r"our-whisper\.tokenizer\.json is missing"):
        load_transcriber(Registry.default(), "our-whisper")


@pytest.mark.parametrize(
    ("engine", "extra"), [("faster-whisper", "faster-whisper"), ("openai-whisper", "whisper")]
)
def test_a_missing_library_is_named_with_its_extra(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, extra: str
) -> None:
    import_bundle(bundle(tmp_path / "in", engine), store, Registry.default().cards())
    monkeypatch.setattr("models.transcribers._importable", lambda _name: False)
    with pytest.raises(LibraryMissing, match=rf"hailong\[{extra}\].*\[voice\]"):
        load_transcriber(Registry.default(), "our-whisper")
    assert installed_transcribers(Registry.default()) == ()


def test_an_engine_of_nobody_is_refused(store: Path, tmp_path: Path) -> None:
    import_bundle(bundle(tmp_path / "in", "my-engine"), store, Registry.default().cards())
    with pytest.raises(UnknownModel, match="names the engine 'my-engine'"):
        load_transcriber(Registry.default(), "our-whisper")
    with pytest.raises(UnknownModel, match="a checkpoint and a card of yours"):
        load_transcriber(Registry.default(), "openai-whisper")


def small_card(**pins: str) -> ModelCard:
    """Our card of the base model, for other contents of its files."""
    (card,) = (card for card in shipped_cards() if card.name == faster_whisper.NAME)
    beside = tuple(item.model_copy(update={"sha256": pins[item.known_as]}) for item in card.beside)
    file = card.file.model_copy(update={"sha256": pins["model.bin"]})
    return card.model_copy(update={"file": file, "beside": beside})


@pytest.fixture
def halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages that carry the two halves of small weights; they break when they are imported."""
    parts = {
        faster_whisper.FIRST_HALF: {"model.bin.part1": b"first, ", **BESIDES},
        faster_whisper.SECOND_HALF: {"model.bin.part2": b"second"},
    }
    for package, files in parts.items():
        folder = tmp_path / "packages" / package / "data"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").write_text("raise AssertionError('imported')", encoding="utf-8")
        for name, content in files.items():
            (folder / name).write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    return tmp_path / "packages"


PINS = {"model.bin": digest(b"first, second"), **{name: digest(text) for name, text in BESIDES.items()}}


def test_halves_are_joined_and_checked(halves: Path, tmp_path: Path) -> None:
    target = faster_whisper.install_whisper_base(small_card(**PINS), tmp_path / "store")
    assert target.read_bytes() == b"first, second"
    assert (target.parent / "faster-whisper-base-int8.tokenizer.json").read_bytes() == b"tokens"


@pytest.mark.parametrize("harmed", ["model.bin", "config.json", "vocabulary.txt"])
def test_nothing_is_installed_of_packages_that_were_changed(
    halves: Path, tmp_path: Path, harmed: str
) -> None:
    pins = {**PINS, harmed: digest(b"something else")}
    with pytest.raises(ConversionError, match="Nothing was installed"):
        faster_whisper.install_whisper_base(small_card(**pins), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_half_that_is_not_installed_is_named(halves: Path, tmp_path: Path) -> None:
    (halves / faster_whisper.SECOND_HALF / "data" / "model.bin.part2").unlink()
    with pytest.raises(ConversionError, match=r"model\.bin\.part2 cannot be read"):
        faster_whisper.install_whisper_base(small_card(**PINS), tmp_path / "store")


real_faster_whisper = pytest.mark.skipif(
    not faster_whisper.halves_present() or importlib.util.find_spec("faster_whisper") is None,
    reason="the extra hailong[faster-whisper] or the packages of its weights are not installed",
)
real_openai_whisper = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("whisper", "torch")),
    reason="the extra hailong[whisper] is not installed",
)


@real_faster_whisper
def test_the_real_faster_whisper_reads_vietnamese(store: Path, shared: Path) -> None:
    (card,) = Registry.default().versions(faster_whisper.NAME)
    faster_whisper.install_whisper_base(card, store)
    with load_transcriber(Registry.default(), faster_whisper.NAME) as transcriber:
        clip = sound(shared / "data" / "speech" / "clips" / "common_voice_vi_23338457.mp3")
        # Spoken: Bối cảnh tạo bày ai là kẻ thế vai?
        heard = set(transcriber.transcribe(clip).split())
        assert len(heard & {"bối", "cảnh", "tạo", "bày", "ai", "là", "kẻ", "thế", "vai"}) >= 2
        for nothing in (np.zeros(0, np.int16), np.zeros(32_000, np.int16), tone(0.05)):
            assert transcriber.transcribe(nothing) == ""


@real_openai_whisper
@pytest.mark.long
def test_the_real_openai_whisper_runs_a_random_checkpoint(store: Path, tmp_path: Path) -> None:
    program = ROOT / "tests" / "models" / "small_whisper.py"
    subprocess.run([sys.executable, "-P", str(program), str(tmp_path / "in")], check=True, timeout=280)
    import_bundle(tmp_path / "in", store, Registry.default().cards())
    with load_transcriber(Registry.default(), "random-whisper") as transcriber:
        assert isinstance(transcriber, EngineTranscriber)
        # What a network of random numbers says is unlikely, so nothing is left of it.
        assert transcriber.transcribe(tone(2.0)) == ""
        assert transcriber.process.starts == 1
        assert transcriber.lost_pieces == 0


def test_the_process_imports_no_engine_here() -> None:
    assert not {"faster_whisper", "ctranslate2", "whisper", "vietasr"} & set(sys.modules)
