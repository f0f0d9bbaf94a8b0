"""Faults told without the words in them: a message of somebody else may quote what it choked on.

A validation error repeats its input, a decoder its text. Those would be the citizen's words
or score in a log file that no erasure reaches. Errors of our own trees are written for
people and never hold media or results; of all others, type and place are told.
"""

from __future__ import annotations

import resource
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from capture.errors import CaptureError
from consent.errors import ConsentError

if TYPE_CHECKING:
    from types import TracebackType

    from structlog.typing import EventDict, WrappedLogger

_OURS: Final = (CaptureError, ConsentError)
_NO_CORE_BYTES: Final = 1
"""Less than any core file, and the one value that also stops a kernel that pipes them to a program."""


def named(error: BaseException) -> str:
    """Return what went wrong: the words of our own errors; of any other, its type and where."""
    name = type(error).__name__
    if isinstance(error, _OURS):
        return f"{name}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{name} at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else name


def exception_without_words(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by places and types; a processor of structlog."""
    error = _error_of(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = "\n".join(_chain(error))
    return event


def leave_no_core_file() -> None:
    """Let a crash of this program leave no copy of its memory, which may hold media."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = _NO_CORE_BYTES if hard == resource.RLIM_INFINITY else min(_NO_CORE_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def _error_of(given: object) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1] if isinstance(given[1], BaseException) else None
    return sys.exc_info()[1] if given else None


def _chain(error: BaseException) -> list[str]:
    lines: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        lines += [*_frames(current.__traceback__), named(current)]
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        if current is not None:
            lines.append("after:")
    return lines


def _frames(trace: TracebackType | None) -> list[str]:
    return [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(trace)]
