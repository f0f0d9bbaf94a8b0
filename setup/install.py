"""Prepare this checkout: `python3 -m setup.install run` for programs, `dev` for tests as well.

Every piece carries a stamp of the inputs it was made from. Where all stamps are current
nothing is started and nothing is asked of the network.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import sys
from typing import Final

from setup import npm_packages, python_packages, spin
from setup.chromium import system_chromium
from setup.layout import (
    CACHE,
    CHROMIUM,
    NPM,
    REQUIREMENTS,
    ROOT,
    VENV,
    VENV_PYTHON,
    SetupError,
    fingerprint,
    is_current,
    write_stamp,
)
from setup.progress import call, say, step
from setup.speech import ensure_speech

_WEIGHTS: Final = "@vladmandic/face-api"
_AXE: Final = "axe-core"
_CHROMIUM: Final = "@sparticuz/chromium"
_OLDEST: Final = (3, 11)


def ensure_models() -> None:
    """Convert the weights that packages carry into the models our programs open."""
    sources = [file for file in (ROOT / "models").rglob("*") if file.suffix in {".py", ".toml", ".json"}]
    pins = [npm_packages.PINS, REQUIREMENTS / "weights.txt"]
    stamp, value = VENV / ".models", fingerprint([*sources, *pins])
    if is_current(stamp, value):
        return
    with step("models, converted from their packages"):
        # Into the environment, not into a folder that whoever runs make keeps for other models.
        variables = {name: value for name, value in os.environ.items() if name != "HAILONG_MODELS_DIR"}
        call([str(VENV / "bin" / "hailong"), "models", "prepare", "--npm", str(NPM)], environment=variables)
    write_stamp(stamp, value)


def ensure_chromium() -> None:
    """Unpack a Chromium where the machine has none; it needs neither root nor a system package."""
    (pin,) = (pin for pin in npm_packages.read_pins() if pin.name == _CHROMIUM)
    stamp = CHROMIUM / ".sha256"
    if system_chromium() or is_current(stamp, pin.sha256):
        return
    if platform.machine() != "x86_64":
        message = (
            f"page tests need a Chromium and the packaged one does not run on {platform.machine()}; "
            "install the distribution's as /usr/bin/chromium"
        )
        raise SetupError(message)
    npm_packages.ensure([_CHROMIUM], python_packages.npm)
    with step("a Chromium for page tests"):
        call([str(VENV_PYTHON), "-m", "setup.chromium"])
    write_stamp(stamp, pin.sha256)
    shutil.rmtree(pin.folder)  # the same again, packed


def prepare(state: str) -> None:
    """Bring the checkout to a state.

    Args:
        state: `run` (programs) or `dev` (programs and tests).
    """
    CACHE.mkdir(exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        # Two makes in one checkout take turns instead of installing over each other.
        fcntl.flock(lock, fcntl.LOCK_EX)
        python_packages.ensure_venv(state)
        npm_packages.ensure([_WEIGHTS], python_packages.npm)
        ensure_models()
        ensure_speech()
        if state == "dev":
            npm_packages.ensure([_AXE], python_packages.npm)
            ensure_chromium()
            spin.ensure()
            python_packages.ensure_recordings()


def main(arguments: list[str]) -> int:
    """Run from make; 0 when everything is there."""
    if sys.version_info < _OLDEST:
        say(f"hailong needs Python 3.11 or newer, this is {sys.version.split()[0]}: make PYTHON=python3.11 …")
        return 1
    if arguments not in (["run"], ["dev"]):
        say("usage: python3 -m setup.install run|dev")
        return 2
    try:
        prepare(arguments[0])
    except SetupError as error:
        say(f"\nSet-up stopped: {error}\nRun the same make target again to go on from here.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
