from __future__ import annotations

import hashlib
import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from models import bundles
from models.bundles import export_bundle, import_bundle, write_whole
from models.errors import BundleError, ModelFileMissing
from models.registry import Registry
from tests.models.test_registry import CONTENT, SHA256, a_card, place

if TYPE_CHECKING:
    from pathlib import Path


def zipped(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def left_behind(store: Path) -> list[str]:
    return sorted(path.name for path in store.iterdir())


@pytest.mark.parametrize("kind", ["zip", "directory", "file"])
def test_a_known_model_is_recognised_by_its_hash_alone(tmp_path: Path, kind: str) -> None:
    store = tmp_path / "store"
    if kind == "zip":
        bundle = zipped(tmp_path / "b.zip", ("x/any name.bin", CONTENT), ("notes.txt", b"hello"))
    else:
        place(tmp_path / "b" / "deep", name="renamed.bin")
        bundle = tmp_path / "b" if kind == "directory" else tmp_path / "b" / "deep" / "renamed.bin"
    card = a_card(tmp_path)
    seen: list[str] = []
    imported = import_bundle(bundle, store, [card], seen.append)
    assert [(item.card.key, item.path) for item in imported] == [("finder@1.0", store / "finder.onnx")]
    assert left_behind(store) == ["finder.onnx"]
    assert Registry([store], [card]).locate("finder").sha256 == SHA256
    assert seen


@pytest.mark.parametrize(
    "name", ["../../evil.onnx", "/absolute/evil.onnx", "..\\evil.onnx", "a/../../../evil.onnx"]
)
def test_no_name_in_an_archive_leads_outside_the_store(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "one" / "two"
    store = inside / "store"
    inside.mkdir(parents=True)
    bundle = zipped(tmp_path / "evil.zip", (name, CONTENT))
    before = {path for path in tmp_path.rglob("*") if path != store}
    import_bundle(bundle, store, [a_card(tmp_path)])
    after = {path for path in tmp_path.rglob("*") if path != store}
    assert {path.name for path in after - before} == {"finder.onnx", "card-0.toml"}
    assert left_behind(store) == ["finder.onnx"]


def test_a_link_in_a_directory_is_not_followed(tmp_path: Path) -> None:
    secret = place(tmp_path / "elsewhere")
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "link.onnx").symlink_to(secret)
    with pytest.raises(BundleError, match="no model that this version knows"):
        import_bundle(folder, tmp_path / "store", [a_card(tmp_path)])


def test_a_bundle_without_known_models_leaves_nothing(tmp_path: Path) -> None:
    bundle = zipped(tmp_path / "b.zip", ("other.onnx", b"unknown"))
    with pytest.raises(BundleError, match="SHA-256"):
        import_bundle(bundle, tmp_path / "store", [a_card(tmp_path)])
    assert left_behind(tmp_path / "store") == []


def test_a_damaged_archive_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    bundle = zipped(tmp_path / "b.zip", ("finder.onnx", CONTENT * 500))
    content = bytearray(bundle.read_bytes())
    content[40:60] = b"\xff" * 20
    bundle.write_bytes(content)
    with pytest.raises(BundleError, match="could not be imported"):
        import_bundle(bundle, tmp_path / "store", [a_card(tmp_path)])
    assert left_behind(tmp_path / "store") == []


def test_a_member_that_grows_beyond_any_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "MAX_MEMBER_BYTES", 100)
    with pytest.raises(BundleError, match="larger than any model"):
        import_bundle(zipped(tmp_path / "b.zip", ("big", bytes(101))), tmp_path / "store", [a_card(tmp_path)])
    (tmp_path / "big.onnx").write_bytes(bytes(101))
    with pytest.raises(BundleError, match="larger than any model"):
        import_bundle(tmp_path / "big.onnx", tmp_path / "store", [a_card(tmp_path)])
    assert left_behind(tmp_path / "store") == []


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileMissing, match=r"absent\.zip"):
        import_bundle(tmp_path / "absent.zip", tmp_path / "store", [a_card(tmp_path)])


def test_a_store_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(BundleError, match="can be written"):
        import_bundle(place(tmp_path / "b"), tmp_path / "store", [a_card(tmp_path)])


def test_an_export_imports_again_and_its_bytes_repeat(tmp_path: Path) -> None:
    card = a_card(tmp_path)
    place(tmp_path / "here")
    file = Registry([tmp_path / "here"], [card]).locate("finder")
    first = export_bundle([file], tmp_path / "out" / "first.zip")
    os.utime(file.path, ns=(1, 1))
    second = export_bundle([file], tmp_path / "out" / "second.zip")
    assert first.read_bytes() == second.read_bytes()
    import_bundle(first, tmp_path / "there", [card])
    assert Registry([tmp_path / "there"], [card]).locate("finder").sha256 == SHA256


def test_nothing_to_export_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nothing to export"):
        export_bundle([], tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()


def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    write_whole(target, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(target, b"new")
    assert target.read_bytes() == b"old"
    assert left_behind(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("face_detection_yunet_2023mar.onnx", "yunet@2023mar"),
        ("face_detection_yunet_2026may.onnx", "yunet@2026may"),
    ],
)
def test_the_published_detector_files_are_known(shared: Path, tmp_path: Path, file: str, key: str) -> None:
    imported = import_bundle(shared / "models" / file, tmp_path, Registry([]).cards())
    assert [item.card.key for item in imported] == [key]
    assert hashlib.sha256((tmp_path / file).read_bytes()).hexdigest() == imported[0].card.file.sha256
