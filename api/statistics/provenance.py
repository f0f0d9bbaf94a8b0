"""What made a simulated table: packages and commit, printed with it so that somebody can make it again."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_SHORT: Final = 12


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the commit of this code, marked `changed` where files beside this one differ from it.

    None where the code does not lie in its own repository, as when it was installed from a wheel.
    """
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    revision = _git("rev-parse", "HEAD")
    if revision is None:
        return None
    changed = _git("status", "--porcelain", "--untracked-files=no", ".")
    return f"{revision[:_SHORT]}{', changed' if changed else ''}"


def made_with(seed: int, *packages: str) -> str:
    """Return one line for the foot of a table."""
    parts = [f"seed {seed}", *(f"{name} {number}" for name, number in versions(*packages).items())]
    if (revision := commit()) is not None:
        parts.append(f"commit {revision}")
    return ", ".join(parts)


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=_HERE, capture_output=True, text=True, check=False)  # noqa: S603, S607 - fixed arguments
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
