"""Files that people send, kept for as long as they are read; refusals in the reader's language."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fastapi import UploadFile

from api.errors import CaseRefused, TableRefused
from api.language import gettext_of
from api.pages.rendering import no_op
from api.settings import PagesSettings

LARGEST_BODY_BYTES: Final = PagesSettings().max_upload_bytes
"""Of an upload, where `pages.max_upload_bytes` says nothing else; larger files go through the commands."""
MOST_SHOWN: Final = 500
"""Faults that a page lists; the JSON answer and the commands have all."""


@contextlib.contextmanager
def kept(file: UploadFile | None) -> Iterator[Path]:
    """Keep an upload in a file for as long as it is read.

    Raises:
        TableRefused: No file was sent.
    """
    if file is None:
        raise TableRefused(no_op("The file is empty."))
    with tempfile.NamedTemporaryFile(prefix="hailong-import-") as copy:
        shutil.copyfileobj(file.file, copy)
        copy.flush()
        yield Path(copy.name)


def said(error: Exception, language: str) -> str:
    """Return what an error says, in the reader's language where it has a text of the catalogue."""
    if isinstance(error, CaseRefused):
        return gettext_of(language)(error.text).format(**error.values)
    return str(error)
