"""A Chromium for browser tests on a machine that has none, unpacked without root.

Runs inside the finished environment (`python -m setup.chromium`), because the files
are Brotli streams and the standard library cannot read those.
"""

from __future__ import annotations

import ctypes
import io
import os
import shutil
import sys
import tarfile
from pathlib import Path

from setup import archives
from setup.layout import CACHE, CHROMIUM, NPM

_FONTS_CONF = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>{fonts}</dir>
  <cachedir>{cache}</cachedir>
</fontconfig>
"""


def system_chromium() -> Path | None:
    """Return the distribution's Chromium, where one is installed."""
    found = shutil.which("chromium", path="/usr/bin") or shutil.which("chromium-browser", path="/usr/bin")
    return Path(found) if found else None


def executable() -> Path | None:
    """Return the Chromium that tests start: the distribution's, else the unpacked one, else none."""
    unpacked = CHROMIUM / "chromium"
    return system_chromium() or (unpacked if unpacked.is_file() else None)


def environment() -> dict[str, str]:
    """Return the environment in which the executable finds its libraries and at least one font."""
    variables = dict(os.environ)
    if executable() == CHROMIUM / "chromium":
        variables["FONTCONFIG_FILE"] = str(CHROMIUM / "fonts.conf")
        if not all(map(_loads, ("libnss3.so", "libnspr4.so", "libexpat.so.1"))):
            variables["LD_LIBRARY_PATH"] = str(CHROMIUM / "lib")
    return variables


def _loads(library: str) -> bool:
    """Tell whether the system has a shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def unpack() -> None:
    """Unpack the npm package's browser, its NSS libraries and its fonts into `.cache/chromium`."""
    import brotli  # noqa: PLC0415 - a test dependency; the rest of this module works without it

    source = NPM / "chromium" / "bin"
    shutil.rmtree(CHROMIUM, ignore_errors=True)
    CHROMIUM.mkdir(parents=True)
    for bundle in ("al2023", "fonts"):
        content = brotli.decompress((source / f"{bundle}.tar.br").read_bytes())
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archives.unpack(archive, CHROMIUM)
    (CHROMIUM / "fonts.conf").write_text(
        _FONTS_CONF.format(fonts=CHROMIUM / "fonts", cache=CACHE / "fontconfig"), "utf-8"
    )
    program = CHROMIUM / "chromium"
    program.write_bytes(brotli.decompress((source / "chromium.br").read_bytes()))
    program.chmod(0o755)


if __name__ == "__main__":
    unpack()
    sys.stdout.write(f"{executable()}\n")
