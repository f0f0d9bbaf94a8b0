"""The spoken notice: made once from the words of this release; set-up goes on without it."""

from __future__ import annotations

import os
from typing import Final

from setup.layout import (
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

FOLDER: Final = VENV / "share" / "hailong" / "speech"
_STAMP: Final = VENV / ".speech"


def ensure_speech() -> None:
    """Make the sound files of the notices; says so where this machine cannot."""
    consent = ROOT / "consent"
    sources = [*(consent / "notices").glob("*.toml"), consent / "notice.py", consent / "speech.py"]
    sources += [ROOT / "setup" / "speech.py", ROOT / "setup" / "synthesis.py", REQUIREMENTS / "build.txt"]
    value = fingerprint(sources)
    if is_current(_STAMP, value):
        return
    try:
        with step("the notice, spoken"):
            texts = call([str(VENV / "bin" / "hailong"), "consent", "notices", "--spoken"])
            call([str(VENV_PYTHON), "-m", "setup.synthesis", str(FOLDER)], given=texts, environment=_plain())
    except SetupError as error:
        say(f"     the kiosk will have no spoken notice: {str(error).splitlines()[-1]}")
        say(f"     delete {_STAMP.relative_to(ROOT)} and run make again to try once more")
    write_stamp(_STAMP, value)


def _plain() -> dict[str, str]:
    """Return the environment without what points eSpeak at another machine's voices."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ESPEAK")}
