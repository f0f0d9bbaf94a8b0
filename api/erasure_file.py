"""Every erasure once more, in a file outside the database.

A backup that is restored brings erased data back and forgets that they were erased. This file lies beside
the database's directory, is only ever added to, and must not be restored with it: what it names is erased
again. It holds pseudonyms, no data.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self
from uuid import UUID

from api.errors import ErasureFileDamaged

_LONGEST_LINE: Final = 4096
_KEYS: Final = {"at", "cause", "record_id", "session_id"}


@dataclass(frozen=True, slots=True)
class ErasureLine:
    """One erasure: whose data, which session, why, since when."""

    record_id: UUID
    session_id: UUID | None
    cause: str
    at: datetime

    def text(self) -> str:
        """Return the line, without its end."""
        return json.dumps(
            {
                "at": self.at.isoformat(),
                "cause": self.cause,
                "record_id": str(self.record_id),
                "session_id": None if self.session_id is None else str(self.session_id),
            },
            sort_keys=True,
            separators=(",", ":"),
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a line back.

        Raises:
            ValueError: It is none.
        """
        document = json.loads(text)
        if not isinstance(document, dict) or set(document) != _KEYS:
            raise ValueError("not a line of erasures")
        session = document["session_id"]
        return cls(
            UUID(document["record_id"]),
            None if session is None else UUID(session),
            str(document["cause"]),
            datetime.fromisoformat(document["at"]),
        )


@dataclass(frozen=True, slots=True)
class ReplayMark:
    """When the list was last held against the database.

    Attributes:
        lines: How many erasures the list had.
        asked: How many of them had to be asked for again.
    """

    at: datetime
    lines: int
    asked: int


class ErasureFile:
    """The list, one line an erasure; what is added is on the disk when `add` returns.

    Args:
        path: The file; made at the first erasure, readable by its owner only.
    """

    def __init__(self, path: Path) -> None:
        """Keep the path; nothing is read yet."""
        self.path = path
        self._known: set[UUID] | None = None

    def lines(self) -> tuple[ErasureLine, ...]:
        """Return every erasure, oldest first; a last line cut short by a crash began nothing.

        Raises:
            ErasureFileDamaged: Some other line is no erasure.
        """
        try:
            *whole, _cut = self.path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError) as error:
            raise self._damaged(0) from error
        found = []
        for number, text in enumerate(whole, 1):
            try:
                found.append(ErasureLine.parse(text))
            except (ValueError, TypeError, KeyError) as error:
                raise self._damaged(number) from error
        return tuple(found)

    def add(self, line: ErasureLine) -> bool:
        """Add an erasure durably and return whether it is new; one of the same consent is not repeated."""
        if self._known is None:
            self._known = {known.record_id for known in self.lines()}
        if line.record_id in self._known:
            return False
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._cut_torn_line(descriptor)
            os.write(descriptor, line.text().encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # the name of a new file, too
        finally:
            os.close(folder)
        self._known.add(line.record_id)
        return True

    def mark_replay(self, mark: ReplayMark) -> None:
        """Keep when the list was last held against the database, beside the list.

        It is for people only: where it cannot be kept, the replay counts all the same.
        """
        text = json.dumps({"at": mark.at.isoformat(), "asked": mark.asked, "lines": mark.lines})
        draft = self._mark.with_name(f"{self._mark.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            draft.write_text(text, encoding="utf-8")
            draft.replace(self._mark)

    def last_replay(self) -> ReplayMark | None:
        """Return when the list was last held against the database, None where nobody knows."""
        try:
            document = json.loads(self._mark.read_text(encoding="utf-8"))
            return ReplayMark(
                datetime.fromisoformat(document["at"]), int(document["lines"]), int(document["asked"])
            )
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @property
    def _mark(self) -> Path:
        return self.path.with_suffix(".replayed")

    @staticmethod
    def _cut_torn_line(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        begin = max(0, size - _LONGEST_LINE)
        tail = os.pread(descriptor, size - begin, begin)
        if tail and not tail.endswith(b"\n"):
            os.ftruncate(descriptor, begin + tail.rfind(b"\n") + 1)

    def _damaged(self, number: int) -> ErasureFileDamaged:
        return ErasureFileDamaged(
            f"{self.path}, line {number}: this is no list of erasures. Without it a restored backup "
            "would bring erased data back: restore the file from its own newest copy, then start again."
        )
