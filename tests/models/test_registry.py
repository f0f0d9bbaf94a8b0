from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from models import registry as registry_module
from models.card import ModelCard, Task, read_card
from models.errors import ModelFileMissing, ModelHashMismatch, UnknownModel
from models.registry import MODELS_DIR_VARIABLE, HashCache, Registry, writable_store
from tests.models.test_card import card_text

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def a_card(folder: Path, *changes: tuple[str, str]) -> ModelCard:
    text = card_text(SHA256)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / f"card-{len(list(folder.glob('card-*')))}.toml"
    path.write_text(text, encoding="utf-8")
    return read_card(path)


def place(folder: Path, content: bytes = CONTENT, name: str = "finder.onnx") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


def test_the_first_folder_that_has_the_file_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    registry = Registry([first, second], [a_card(tmp_path)])
    behind = place(second)
    assert registry.locate("finder").path == behind
    ahead = place(first)
    file = registry.locate("finder@1.0")
    assert file.path == ahead
    assert file.version_of() == ("finder", "1.0", SHA256)


def test_a_wrong_file_is_refused_with_both_hashes_and_advice(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    place(second)
    wrong = place(first, b"tampered")
    registry = Registry([first, second], [a_card(tmp_path)])
    with pytest.raises(ModelHashMismatch) as caught:
        registry.locate("finder")
    message = str(caught.value)
    assert str(wrong) in message
    assert SHA256 in message
    assert hashlib.sha256(b"tampered").hexdigest() in message
    assert "hailong models import" in message


def test_a_missing_file_says_where_it_was_sought(tmp_path: Path) -> None:
    registry = Registry([tmp_path / "a"], [a_card(tmp_path)])
    with pytest.raises(ModelFileMissing, match="hailong models import") as caught:
        registry.locate("finder")
    assert str(tmp_path / "a") in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"finder@1\.0"):
        Registry([], [a_card(tmp_path)]).locate("seeker")


def test_the_newest_version_that_is_present_is_taken(tmp_path: Path) -> None:
    old = a_card(tmp_path)
    new = a_card(tmp_path, ('version = "1.0"', 'version = "2.0"'), ("finder.onnx", "finder2.onnx"))
    registry = Registry([tmp_path / "a"], [old, new])
    place(tmp_path / "a")
    assert registry.locate("finder").card.version == "1.0"
    place(tmp_path / "a", name="finder2.onnx")
    assert registry.locate("finder").card.version == "2.0"
    assert registry.locate("finder@1.0").card.version == "1.0"


def test_a_package_is_located_and_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "carrier_of_weights"
    place(package / "data")
    (package / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    card = a_card(
        tmp_path,
        (
            'origin = "bundle"',
            (
                'origin = "package"\npackage = "carrier_of_weights"\npath = "data/finder.onnx"\n'
                'distribution = "carrier"\ndistribution_version = "1.0"'
            ),
        ),
    )
    registry = Registry([tmp_path / "a"], [card])
    assert registry.locate("finder").path == package / "data" / "finder.onnx"
    assert "carrier_of_weights" not in sys.modules
    assert registry.locate("finder").path.is_relative_to(tmp_path / "site")
    assert registry.locate("finder").card.file.distribution == "carrier"


def test_a_package_that_is_absent_is_named_with_its_version(tmp_path: Path) -> None:
    card = a_card(
        tmp_path,
        (
            'origin = "bundle"',
            (
                'origin = "package"\npackage = "no_such_carrier"\npath = "finder.onnx"\n'
                'distribution = "carrier"\ndistribution_version = "1.0"'
            ),
        ),
    )
    with pytest.raises(ModelFileMissing, match=r"carrier==1\.0"):
        Registry([], [card]).locate("finder")


def test_a_hash_is_read_again_only_when_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    original = registry_module.sha256_of

    def counted(path: Path) -> str:
        read.append(path)
        return original(path)

    monkeypatch.setattr(registry_module, "sha256_of", counted)
    cache, path = HashCache(), place(tmp_path)
    assert cache.sha256(path) == cache.sha256(path) == SHA256
    assert len(read) == 1
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(1, 1))
    assert cache.sha256(path) == hashlib.sha256(b"WEIGHTS").hexdigest()
    assert len(read) == 2


def test_the_models_folder_of_the_environment_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private_home: Path
) -> None:
    monkeypatch.delenv(MODELS_DIR_VARIABLE, raising=False)
    assert writable_store() == private_home / ".local" / "share" / "hailong" / "models"
    assert Registry.default().folders[0] == writable_store()
    monkeypatch.setenv(MODELS_DIR_VARIABLE, str(tmp_path / "chosen"))
    folders = Registry.default().folders
    assert folders[0] == writable_store() == tmp_path / "chosen"
    assert folders[1] == private_home / ".local" / "share" / "hailong" / "models"
    assert folders[2] == Path(sys.prefix) / "share" / "hailong" / "models"


def test_what_set_up_installs_is_found_and_right() -> None:
    registry = Registry.default()
    for name in ("centerface", "face-api-expression", "face-api-ssd", "silero-vad", "viet-asr"):
        file = registry.locate(name)
        assert file.sha256 == file.card.file.sha256
    assert {card.name for card in registry.cards(Task.FACE_DETECTION)} == {
        "centerface",
        "face-api-ssd",
        "yunet",
    }
