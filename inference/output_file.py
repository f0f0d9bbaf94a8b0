"""A result that stands under its name whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from inference.errors import OutputFailed, OutputRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO


def check_output(source: Path, target: Path, *, force: bool) -> None:
    """Refuse a name that would lose something.

    Raises:
        OutputRefused: It is the source itself, a folder, in no folder, or taken.
    """
    if target.exists() and source.exists() and target.samefile(source):
        raise OutputRefused(
            f"{target} is the file to anonymise itself. Name another file: the original is not overwritten."
        )
    if target.is_dir():
        raise OutputRefused(f"{target} is a folder. Name a file for the result.")
    if not target.parent.is_dir():
        raise OutputRefused(f"There is no folder {target.parent}. Make it, or name another.")
    if not force and (target.exists() or target.is_symlink()):
        raise OutputRefused(f"{target} exists. Name another file, or overwrite it with --force.")


@contextmanager
def whole_or_nothing(target: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Open a file that takes its name when the block ends well, and is gone when it does not.

    Until then it lies beside its place under a name that nobody asks for, readable to its owner alone.

    Args:
        target: The name.
        force: Whether a file of that name is replaced.

    Raises:
        OutputRefused: A file of that name came up meanwhile.
        OutputFailed: It cannot be written: no room, no rights.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        _take_name(part, target, force=force)
    except OSError as error:
        if isinstance(error, OutputFailed):
            raise
        raise OutputFailed(
            f"{target} could not be written: {error.strerror or error}. Nothing was left under that name. "
            "Make room or choose another place, and run it again."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _take_name(part: Path, target: Path, *, force: bool) -> None:
    if force:
        part.replace(target)
        return
    try:
        os.link(part, target)  # refuses a name that is taken, which a rename does not
    except FileExistsError as error:
        raise OutputRefused(
            f"{target} came up meanwhile. Name another file, or overwrite it with --force."
        ) from error
    except OSError:  # a file system without links
        if target.exists():
            raise OutputRefused(f"{target} exists. Name another file, or use --force.") from None
        part.replace(target)
