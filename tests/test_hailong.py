from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import hailong

_HEAVY = (
    "numpy",
    "cv2",
    "av",
    "onnxruntime",
    "sqlalchemy",
    "fastapi",
    "matplotlib",
    "capture",
    "inference",
    "models",
    "api",
    "consent",
)

_PROBE = """
import json, sys
from typer.testing import CliRunner
import hailong
result = CliRunner().invoke(hailong.app, json.loads(sys.argv[1]))
print(json.dumps({"code": result.exit_code, "output": result.output, "modules": sorted(sys.modules)}))
"""


def _call(*words: str) -> tuple[int, str, set[str]]:
    """Call the command line in a fresh interpreter: exit code, output, imported modules."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROBE, json.dumps(words)],
        check=True,
        capture_output=True,
        text=True,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["code"], answer["output"], set(answer["modules"])


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("no-such-program",)])
def test_nothing_heavy_is_imported_before_a_program_is_named(words: tuple[str, ...]) -> None:
    _, _, modules = _call(*words)
    assert modules.isdisjoint(_HEAVY)


def test_help_names_every_program() -> None:
    code, output, _ = _call("--help")
    assert code == 0
    for name, program in hailong._PROGRAMS.items():
        assert name in output
        assert program.help[:40] in output


@pytest.mark.parametrize("name", list(hailong._PROGRAMS))
def test_program_is_imported_when_it_is_named(name: str) -> None:
    code, output, modules = _call(name, "--help")
    assert code == 0, output
    assert hailong._PROGRAMS[name].module in modules


@pytest.mark.parametrize("name", ["central", "consent"])
def test_central_programs_load_no_perception_library(name: str) -> None:
    _, _, modules = _call(name, "--help")
    assert modules.isdisjoint({"cv2", "av", "onnxruntime", "torch", "capture", "models"})


def test_version_is_that_of_the_distribution() -> None:
    declared = tomllib.loads(Path(hailong.__file__).with_name("pyproject.toml").read_text("utf-8"))[
        "project"
    ]["version"]
    code, output, _ = _call("--version")
    assert (code, output) == (0, f"hailong {declared}\n")


def test_unknown_program_is_refused_with_a_suggestion() -> None:
    code, output, _ = _call("centrall")
    assert code == 2
    assert "'central'" in output


def test_missing_package_names_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> None:
        message = f"No module named 'fastapi' ({module})"
        raise ModuleNotFoundError(message, name="fastapi")

    monkeypatch.setattr(hailong, "importlib", SimpleNamespace(import_module=absent))
    result = CliRunner().invoke(hailong.app, ["central", "run"])
    assert result.exit_code == 1
    assert "needs the package 'fastapi'" in result.output
    assert "pip install 'hailong[central]'" in result.output


def test_missing_module_of_ours_is_a_fault_and_not_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> None:
        raise ModuleNotFoundError(module, name="api.rollups")

    monkeypatch.setattr(hailong, "importlib", SimpleNamespace(import_module=absent))
    result = CliRunner().invoke(hailong.app, ["central", "run"])
    assert isinstance(result.exception, ModuleNotFoundError)


def test_command_is_installed_under_its_name() -> None:
    (script,) = entry_points(group="console_scripts", name="hailong")
    assert script.load() is hailong.main
