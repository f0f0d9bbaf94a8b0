"""The notice for the ear: a sound file for each notice, made when the program was set up.

The file carries the hash of the rendered notice in its name, so it is never the voice of another
version. Nothing is synthesised at run time; where there is no file, there is no button.
"""

from __future__ import annotations

import hashlib
import html
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consent.notice import Notice, NoticeShelf
from consent.purpose import Purpose

FOLDER_VARIABLE: Final = "HAILONG_SPEECH_DIR"
ASKED: Final = ((Purpose.IMAGE, Purpose.VOICE), (Purpose.IMAGE, Purpose.VOICE, Purpose.QUOTES))
"""The questions that are put; each is a notice of its own, with its own hash."""
_TAG: Final = re.compile(r"<[^>]+>")
_END: Final = frozenset(".?!:;,")


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read out, and the hash of the rendered notice it stands for."""

    sha256: str
    language: str
    text: str


def speech_folder() -> Path:
    """Return where set-up puts the files: `$HAILONG_SPEECH_DIR`, else below the environment."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else Path(sys.prefix) / "share" / "hailong" / "speech"


def reading(notice: Notice, purposes: Iterable[Purpose]) -> Reading:
    """Return the words of the rendered notice without its markup, one sentence a line."""
    rendered = notice.rendered(purposes)
    lines = (html.unescape(_TAG.sub("", line)).strip() for line in rendered.decode().splitlines())
    # A slash would be read as a word; a line without a full stop would run into the next.
    spoken = [
        line.replace("/", " ") if line[-1] in _END else f"{line.replace('/', ' ')}." for line in lines if line
    ]
    return Reading(hashlib.sha256(rendered).hexdigest(), notice.language, "\n".join(spoken))


def readings(notices: NoticeShelf, asked: Sequence[tuple[Purpose, ...]] = ASKED) -> Iterator[Reading]:
    """Give everything there is to read out of the newest notices."""
    for language in notices.languages:
        for purposes in asked:
            notice = notices.asking(language, purposes)
            if set(purposes) <= set(notice.choices):
                yield reading(notice, purposes)


def spoken(notice: Notice, purposes: Iterable[Purpose], folder: Path | None = None) -> Path | None:
    """Return the sound file of exactly this notice; None where set-up could make none."""
    name = hashlib.sha256(notice.rendered(purposes)).hexdigest()
    path = (folder or speech_folder()) / f"{name}.wav"
    return path if path.is_file() else None
