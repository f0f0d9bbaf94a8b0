"""Where set-up keeps what it builds, and how it knows that a piece is still current."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT: Final = Path(__file__).resolve().parent.parent
REQUIREMENTS: Final = ROOT / "requirements"
TOOLS: Final = ROOT / ".tools"
VENV: Final = ROOT / ".venv"
CACHE: Final = ROOT / ".cache"
NPM: Final = CACHE / "npm"
CHROMIUM: Final = CACHE / "chromium"
RECORDINGS: Final = CACHE / "recordings"
VENV_PYTHON: Final = VENV / "bin" / "python"


class SetupError(Exception):
    """Set-up cannot go on; the message says what happened and what to do."""


def fingerprint(files: Iterable[Path], *facts: str) -> str:
    """Return one SHA-256 over the names and contents of files and over further facts."""
    digest = hashlib.sha256()
    for file in sorted(files):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(ROOT)}\0{len(content)}\0".encode())
        digest.update(content)
    for fact in facts:
        digest.update(f"\0{fact}".encode())
    return digest.hexdigest()


def is_current(stamp: Path, value: str) -> bool:
    """Tell whether a piece was built from exactly these inputs."""
    try:
        return stamp.read_text("ascii").strip() == value
    except (FileNotFoundError, NotADirectoryError):
        return False


def write_stamp(stamp: Path, value: str) -> None:
    """Record that a piece is complete; called last, so that a broken run starts it again."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(value + "\n", "ascii")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
