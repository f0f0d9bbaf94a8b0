from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

from setup.layout import ROOT

_PACKAGES: Final = ("capture", "models", "inference", "api", "consent")
_VAGUE: Final = {"utils", "util", "helpers", "helper", "common", "misc", "lib", "core", "base", "manager"}
_LONGEST: Final = 600
"""Lines. The aim is 100 to 300; this is where a module has become two."""

_MAY_IMPORT: Final = {
    "capture": ("capture", "inference", "consent", "models"),
    "inference": ("inference", "models", "consent.gate", "consent.purpose"),
    "api": ("api", "consent", "inference.signal"),
    "consent": ("consent",),
    "models": ("models",),
}
"""Package -> what its modules may import of ours. `hailong.py` alone starts programs of every package."""


def _modules(*packages: str) -> list[Path]:
    return sorted(file for package in packages for file in (ROOT / package).rglob("*.py"))


def _name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(file: Path, *, at_import_time: bool = False) -> set[str]:
    """Return the modules that a file imports; names taken from a package count as its modules."""
    tree = ast.parse(file.read_text("utf-8"), str(file))
    found: set[str] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            package = (ROOT / Path(*node.module.split("."))).is_dir()
            found.update(f"{node.module}.{alias.name}" if package else node.module for alias in node.names)
        if at_import_time:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                pending.extend(node.orelse)
                continue
        pending.extend(ast.iter_child_nodes(node))
    return found


def _within(module: str, allowed: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


def test_import_contracts_are_kept() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("package", _PACKAGES)
def test_package_imports_only_what_it_may(package: str) -> None:
    wrong = [
        (_name(file), module)
        for file in _modules(package)
        for module in sorted(_imports(file))
        if module.partition(".")[0] in (*_PACKAGES, "hailong", "setup", "tests")
        and not _within(module, _MAY_IMPORT[package])
    ]
    assert wrong == []


@pytest.mark.parametrize("package", _PACKAGES)
def test_no_relative_import_hides_a_direction(package: str) -> None:
    relative = [
        (_name(file), node.lineno)
        for file in _modules(package)
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert relative == []


def test_modules_import_each_other_in_no_circle() -> None:
    files = {_name(file): file for file in _modules(*_PACKAGES)}
    graph = {
        name: {module for module in _imports(file, at_import_time=True) if module in files and module != name}
        for name, file in files.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name in done:
            return
        for module in sorted(graph[name]):
            visit(module, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())
    assert done == set(graph)


@pytest.mark.parametrize("name", [*_PACKAGES, "hailong"])
def test_ours_are_the_ones_imported(name: str) -> None:
    """Names like `models` and `api` are common; a package of somebody else must not stand in front."""
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().is_relative_to(ROOT)
    assert not Path(module.__file__).resolve().is_relative_to(ROOT / ".venv")


def test_ours_are_the_ones_imported_elsewhere_too(tmp_path: Path) -> None:
    """The installed command finds our packages from any folder, in front of everything installed."""
    program = (
        "import capture, models, inference, api, consent; print(*(m.__path__[0] for m in (%s)), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program % ", ".join(_PACKAGES)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert [Path(line) for line in done.stdout.splitlines()] == [ROOT / package for package in _PACKAGES]


def test_public_modules_are_named_by_the_field() -> None:
    files = _modules(*_PACKAGES)
    vague = [_name(file) for file in files if file.stem in _VAGUE or file.parent.name in _VAGUE]
    assert vague == []


def test_modules_stay_short() -> None:
    lengths = {
        _name(file): len(file.read_text("utf-8").splitlines()) for file in _modules(*_PACKAGES, "setup")
    }
    assert {name: lines for name, lines in lengths.items() if lines > _LONGEST} == {}


def test_no_module_imports_a_tensor_framework_at_import_time() -> None:
    frameworks = {"torch", "tensorflow", "torchaudio", "torchvision", "jax"}
    found = [
        (_name(file), module)
        for file in (*_modules(*_PACKAGES), ROOT / "hailong.py")
        for module in _imports(file, at_import_time=True)
        if module.partition(".")[0] in frameworks
    ]
    assert found == []


def test_signal_needs_the_standard_library_and_pydantic_only() -> None:
    allowed = {"pydantic", "consent"} | sys.stdlib_module_names
    imported = {module.partition(".")[0] for module in _imports(ROOT / "inference" / "signal.py")}
    assert imported - allowed == set()


def test_masks_are_laid_with_every_look_there_is() -> None:
    """A detector that measures misses faces that masks have to cover: nobody may hand one to a mask."""
    makers = {"Anonymizer": "inference.anonymizer", "FaceSearches": "inference.face_search"}
    calls = [
        (_name(file), node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id)
        for file in (*_modules(*_PACKAGES), ROOT / "hailong.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
    ]
    assert [(module, made) for module, made in calls if makers.get(made, module) != module] == []
    users = {_name(file) for file in _modules(*_PACKAGES) if "Anonymizer.of(" in file.read_text("utf-8")}
    assert users >= {"capture.preview_command", "capture.inspection", "inference.anonymise"}


def test_set_up_needs_the_standard_library_only() -> None:
    files = [file for file in _modules("setup") if file.stem != "chromium"]
    imported = {module.partition(".")[0] for file in files for module in _imports(file)}
    assert imported - {"setup"} - sys.stdlib_module_names == set()


def test_lint_ignores_carry_their_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    lint = tomllib.loads(text)["tool"]["ruff"]["lint"]
    codes = [*lint["ignore"], *(code for group in lint["per-file-ignores"].values() for code in group)]
    lines = {line.strip() for line in text.splitlines()}
    bare = [
        code for code in codes if not any(line.startswith(f'"{code}",') and "# " in line for line in lines)
    ]
    assert bare == []


def test_exceptions_from_rules_carry_their_reason() -> None:
    mark = re.compile(r"#\s*(?:noqa|type: ignore)(?P<rest>.*)")
    bare = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in (*_modules(*_PACKAGES, "setup", "tests"), ROOT / "hailong.py")
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if (found := mark.search(line))
        and not re.match(r":? ?[\w, \[\]-]+ (-|#) \S|\[[\w, -]+\] +# \S", found["rest"])
    ]
    assert bare == []
