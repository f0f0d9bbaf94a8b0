from __future__ import annotations

import io
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from setup import archives, install, npm_packages, progress, python_packages, speech
from setup.layout import REQUIREMENTS, ROOT, SetupError, fingerprint, is_current, write_stamp

_LOCKS = ("build", "dev", "node", "recordings", "run", "uv", "weights")
_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)(?: ; [^\\]+)? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _tracked_text() -> list[tuple[str, str]]:
    texts = []
    for file in _tracked():
        try:
            texts.append((str(file.relative_to(ROOT)), file.read_text("utf-8")))
        except UnicodeDecodeError:
            continue
    return texts


def _pins(name: str) -> dict[str, str]:
    found = {}
    for line in (REQUIREMENTS / f"{name}.txt").read_text("utf-8").splitlines():
        pin = _PIN.match(line)
        if pin:
            found[pin[1]] = pin[2]
    return found


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.mark.parametrize("name", _LOCKS)
def test_every_pin_carries_hashes_and_no_line_an_address(name: str) -> None:
    hashes: dict[str, int] = {}
    current = ""
    for line in (REQUIREMENTS / f"{name}.txt").read_text("utf-8").splitlines():
        if pin := _PIN.match(line):
            current = pin[1]
            hashes[current] = 0
        elif _HASH.match(line):
            hashes[current] += 1
        else:
            assert re.fullmatch(r"    # .*|", line), f"not a pin, a hash or a comment: {line}"
            assert "://" not in line
    assert hashes
    assert [package for package, count in hashes.items() if count == 0] == []


def test_all_requirement_files_are_covered_here() -> None:
    assert {file.stem for file in REQUIREMENTS.glob("*.txt")} == {*_LOCKS, "npm"}


def test_dev_holds_everything_of_run_at_the_same_versions() -> None:
    run, dev = _pins("run"), _pins("dev")
    assert {name: dev.get(name) for name in run} == run
    assert {name: dev[name] for name in _pins("build") if name in dev} == {
        name: pinned for name, pinned in _pins("build").items() if name in dev
    }


@pytest.mark.parametrize("name", ["run", "dev"])
def test_no_tensor_framework_is_pinned(name: str) -> None:
    assert (
        _pins(name).keys().isdisjoint({"torch", "tensorflow", "tensorflow-cpu", "jax", "nvidia-cudnn-cu12"})
    )


@pytest.mark.parametrize("name", ["run", "build", "weights"])
def test_installed_versions_are_the_pinned_ones(name: str) -> None:
    def installed(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    pins = _pins(name)
    assert {package: installed(package) for package in pins} == pins


def test_pins_satisfy_what_the_project_asks_for() -> None:
    project = _project()["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["edge"], *extras["central"], *extras["demo"]]
    names = {re.split(r"[\[<>=!~ ]", requirement, maxsplit=1)[0] for requirement in asked}
    assert names - _pins("run").keys() == set()
    assert {re.split(r"[\[<>=!~ ]", item, maxsplit=1)[0] for item in extras["dev"]} - _pins(
        "dev"
    ).keys() == set()


def test_default_dependencies_have_no_tensor_framework_and_no_perception() -> None:
    names = {re.split(r"[\[<>=!~ ]", item, maxsplit=1)[0] for item in _project()["project"]["dependencies"]}
    assert names.isdisjoint(
        {"torch", "tensorflow", "onnxruntime", "opencv-contrib-python-headless", "numpy", "av"}
    )


# Written in pieces, so that this file does not find itself.
_HOSTS = re.compile(
    "|".join(["pypi" + r"\.org", "python" + "hosted", r"registry\.npm" + "js", "npm" + r"mirror\.com"])
)
_PLACES = re.compile(
    r"(?<![\w./~-])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + r"me/\w+", "tm" + "p"]) + r")/[\w.]"
)


def test_no_tracked_file_names_the_host_of_a_registry() -> None:
    found = [(name, hit[0]) for name, text in _tracked_text() for hit in _HOSTS.finditer(text)]
    assert found == []


def test_no_tracked_file_names_a_place_of_one_machine() -> None:
    found = [(name, hit[0]) for name, text in _tracked_text() for hit in _PLACES.finditer(text)]
    assert found == []


def test_nothing_is_vendored() -> None:
    names = [str(file.relative_to(ROOT)) for file in _tracked()]
    assert [
        name for name in names if re.search(r"(^|/)(vendor|third_party|node_modules)/|\.min\.(js|css)$", name)
    ] == []
    assert [name for name in names if name.endswith((".whl", ".tgz", ".lock", "pylock.toml"))] == []
    # A script of ours is short; one that came from elsewhere is not.
    scripts = [file for file in _tracked() if file.suffix in {".js", ".css"}]
    assert [file.name for file in scripts if file.stat().st_size > 20_000] == []


def test_licence_is_the_whole_apache_text() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert _project()["project"]["license"] == "Apache-2.0"


def test_hooks_run_only_what_is_installed_here(tmp_path: Path) -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert re.findall(r"- repo: (.*)", text) == ["local"]
    entries = re.findall(r"entry: (.*)", text)
    assert entries
    assert [entry for entry in entries if not entry.startswith(".venv/bin/")] == []
    checked = subprocess.run(
        [Path(sys.executable).parent / "pre-commit", "validate-config", ROOT / ".pre-commit-config.yaml"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PRE_COMMIT_HOME": str(tmp_path)},
    )
    assert checked.returncode == 0, checked.stdout


def _make(*arguments: str, **variables: str) -> str:
    done = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory", *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )
    return done.stdout


def test_make_alone_prints_the_help() -> None:
    targets = [line.split()[1] for line in _make().splitlines()]
    assert targets == ["help", "demo", "test", "test-long", "lint", "types", "bench", "lock", "clean"]


def test_demo_asks_for_no_development_package() -> None:
    commands = _make("--dry-run", "demo")
    assert "setup.install run" in commands
    assert "setup.install dev" not in commands


def test_ci_does_what_make_test_does_and_then_lint_and_types() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    commands = [line for line in script.read_text("utf-8").splitlines() if line.startswith("make")]
    assert commands == ["make test", "make lint types"]


def test_prepared_checkout_starts_no_installer(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ROOT / ".venv" / ".requirements").exists():
        pytest.skip("this environment was not made by make")

    def refuse(*command: object, **_: object) -> None:
        pytest.fail(f"a current checkout started {command}")

    for module in (install, npm_packages, python_packages, speech):
        monkeypatch.setattr(module, "call", refuse)
    install.prepare("run")
    install.prepare("dev")


@pytest.mark.parametrize(
    "line", ["axe-core 4.14.1", "axe-core 4.14.1 abc", "axe-core 4.14.1 " + "0" * 64 + " more"]
)
def test_malformed_npm_pin_is_refused_with_its_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "npm.txt"
    path.write_text(f"# comment\n\n{line}\n", "utf-8")
    with pytest.raises(SetupError, match=re.escape(line)):
        npm_packages.read_pins(path)


def test_npm_package_that_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = tmp_path / "npm.txt"
    pins.write_text(f"axe-core 4.14.1 {'0' * 64}\n", "utf-8")
    monkeypatch.setattr(npm_packages, "PINS", pins)
    monkeypatch.setattr(npm_packages, "NPM", tmp_path / "npm")
    packer = tmp_path / "npm-stand-in"
    packer.write_text('#!/bin/sh\nfor folder; do :; done\necho other > "$folder/axe-core.tgz"\n', "utf-8")
    packer.chmod(0o755)
    monkeypatch.setattr(npm_packages.read_pins, "__defaults__", (pins,))
    with pytest.raises(SetupError, match="was refused"):
        npm_packages.ensure(["axe-core"], lambda: [str(packer)])
    assert not (tmp_path / "npm" / "axe-core").exists()
    assert list((tmp_path / "npm").iterdir()) == []


def test_unpinned_npm_package_is_refused() -> None:
    with pytest.raises(SetupError, match="left-pad"):
        npm_packages.ensure(["left-pad"], lambda: ["false"])


def test_failing_installer_says_what_it_ran_and_what_it_said() -> None:
    shell = shutil.which("sh") or "sh"
    with pytest.raises(SetupError, match=r"status 3[\s\S]*no space left"):
        progress.call([shell, "-c", "echo no space left >&2; exit 3"])


def test_absent_installer_is_a_setup_error() -> None:
    with pytest.raises(SetupError, match="could not be started"):
        progress.call(["hailong-no-such-program"])


@pytest.mark.parametrize("arguments", [[], ["all"], ["run", "dev"]])
def test_install_refuses_other_words(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert install.main(arguments) == 2
    assert "run|dev" in capsys.readouterr().err


def test_stamp_is_current_only_for_the_same_inputs(tmp_path: Path) -> None:
    stamp = tmp_path / "deep" / "stamp"
    value = fingerprint([REQUIREMENTS / "uv.txt"], "3.11")
    assert not is_current(stamp, value)
    write_stamp(stamp, value)
    assert is_current(stamp, value)
    assert not is_current(stamp, fingerprint([REQUIREMENTS / "uv.txt"], "3.12"))
    assert not is_current(stamp, fingerprint([REQUIREMENTS / "uv.txt", REQUIREMENTS / "node.txt"], "3.11"))


def _archive(*entries: tarfile.TarInfo) -> tarfile.TarFile:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for entry in entries:
            entry.size = 3 if entry.isfile() else 0
            archive.addfile(entry, io.BytesIO(b"abc"))
    packed.seek(0)
    return tarfile.open(fileobj=packed)


def test_archive_is_unpacked_below_its_folder(tmp_path: Path) -> None:
    program = tarfile.TarInfo("package/bin/program")
    program.mode = 0o777
    archives.unpack(_archive(program, tarfile.TarInfo("package/text")), tmp_path)
    assert (tmp_path / "package" / "text").read_bytes() == b"abc"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {"program": 0o755, "text": 0o644}


@pytest.mark.parametrize("name", ["../outside", "/outside", "package/../../outside"])
def test_archive_that_points_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="outside its folder"):
        archives.unpack(_archive(tarfile.TarInfo(name)), tmp_path / "here")
    assert list(tmp_path.rglob("outside")) == []


def test_archive_with_a_link_is_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("package/link")
    link.type, link.linkname = tarfile.SYMTYPE, "elsewhere"
    with pytest.raises(SetupError, match="neither a file nor a folder"):
        archives.unpack(_archive(link), tmp_path)
