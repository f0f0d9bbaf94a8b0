"""The result of one check of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, in a sentence."""

    check: str
    ok: bool
    detail: str


def names_of(items: Sequence[object]) -> str:
    """Return the first few of what was found, and how many more there are."""
    named = ", ".join(str(item) for item in items[:_NAMED])
    return named if len(items) <= _NAMED else f"{named} and {len(items) - _NAMED} more"
