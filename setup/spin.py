"""The model checker Spin, for the model of the gate: the machine's own, else Debian's package without root.

The package is fetched with apt, which checks its signature, into folders of ours; nothing is
installed. A machine without Spin and without apt runs every other test.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from setup.layout import CACHE, SetupError
from setup.progress import call, say, step

SPIN = CACHE / "spin"
ADVICE = (
    "install the package 'spin' and a C compiler (Debian, Ubuntu: apt install spin gcc libc6-dev; "
    "Fedora: dnf install spin gcc; macOS: brew install spin), then run the same make target again"
)


def executable() -> Path | None:
    """Return the Spin that tests start: the machine's, else the unpacked one, else none."""
    found = shutil.which("spin")
    unpacked = SPIN / "usr" / "bin" / "spin"
    if found:
        return Path(found)
    return unpacked if unpacked.is_file() else None


def compiler() -> Path | None:
    """Return a C compiler, which turns a model into a program."""
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    return Path(found) if found else None


def lacking() -> str | None:
    """Say what is missing to check a model and what to do; None when nothing is."""
    missing = [
        name for name, found in (("Spin", executable()), ("a C compiler", compiler())) if found is None
    ]
    return f"no {' and no '.join(missing)}: {ADVICE}" if missing else None


def ensure() -> None:
    """Unpack Debian's Spin where the machine has none; where that fails say so and go on."""
    if executable() is None and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        try:
            with step("Spin, for the model of the gate"):
                fetch("spin", SPIN)
        except SetupError as error:
            say(f"     {error}")
    missing = lacking()
    if missing:
        say(f"     The model of the gate will not be checked here: {missing}.")


def fetch(package: str, target: Path) -> None:
    """Download a Debian package with apt and unpack it, as any user and without installing it.

    Args:
        package: Name in the archives that this machine's apt knows.
        target: Folder that will hold the package's tree.

    Raises:
        SetupError: apt could not reach its archives, or knows no such package.
    """
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".apt-") as name:
        folder = Path(name)
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "cache" / "archives" / "partial").mkdir(parents=True)
        options = [
            f"-oDir::State::lists={folder / 'lists'}",
            f"-oDir::Cache={folder / 'cache'}",
            "-oAPT::Sandbox::User=",  # root may fetch as itself: the folder belongs to nobody else
            "-oAPT::Update::Post-Invoke-Success=",
            "-oAcquire::Languages=none",
            "-oAcquire::Retries=1",
            "-oAcquire::http::Timeout=20",
            "-oAcquire::https::Timeout=20",
        ]
        environment = {**os.environ, "LC_ALL": "C"}
        call(["apt-get", "-qq", *options, "update"], environment=environment)
        # apt writes a download to where it is started, and `call` starts programs in the checkout.
        command = 'cd "$1" && shift && exec apt-get -qq "$@"'
        call(["sh", "-c", command, "sh", name, *options, "download", package], environment=environment)
        archives = list(folder.glob("*.deb"))
        if len(archives) != 1:
            message = f"apt knows no package {package}; {ADVICE}"
            raise SetupError(message)
        unpacked = folder / "tree"
        call(["dpkg-deb", "-x", str(archives[0]), str(unpacked)])
        shutil.rmtree(target, ignore_errors=True)
        unpacked.rename(target)
