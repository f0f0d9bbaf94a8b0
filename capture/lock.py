"""One edge program a data folder: two would break the order of the outbox."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

from capture.errors import CaptureError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class DataFolderInUse(CaptureError):  # noqa: N818 - named for the state
    """Another edge program runs on the same data folder."""


class DataFolderLock:
    """Holds a data folder for this process; a killed process lets go by itself.

    Args:
        folder: The data folder.
    """

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is held yet."""
        self._path = folder / "edge.lock"
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take the folder.

        Raises:
            DataFolderInUse: Another process holds it.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise DataFolderInUse(
                f"another edge program runs on {self._path.parent}: stop it first, or set another data_dir"
            ) from error
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the folder go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
