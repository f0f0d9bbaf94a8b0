"""Unpack a tar archive: plain files below one folder, owned by whoever unpacks.

The standard library does this with `filter="data"`, but only from Python 3.11.4 on.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from setup.layout import SetupError

if TYPE_CHECKING:
    import tarfile
    from pathlib import Path


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the files of an archive below a folder.

    Raises:
        SetupError: an entry points elsewhere, or is neither a file nor a folder.
    """
    root = folder.resolve()
    for entry in archive:
        target = (root / entry.name).resolve()
        if not target.is_relative_to(root):
            message = f"an archive wants to write {entry.name} outside its folder: it was refused"
            raise SetupError(message)
        if entry.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        content = archive.extractfile(entry) if entry.isfile() else None
        if content is None:
            message = f"an archive holds {entry.name}, which is neither a file nor a folder: it was refused"
            raise SetupError(message)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(content, file)
        target.chmod(0o755 if entry.mode & 0o100 else 0o644)
