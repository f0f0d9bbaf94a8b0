"""The table of people in a video: CSV in the column order of MOTChallenge."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from inference.identity_scores import Labelled
from models.face_detectors import Box

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_COLUMNS: Final = ("frame", "id", "left", "top", "width", "height")
_CONSIDERED: Final = 6
"""Place of MOTChallenge's seventh column: 0 there means that a box is not to be counted."""


class PersonTableError(ValueError):
    """A table of people cannot be used; the message names file and line."""


@dataclass(frozen=True, slots=True)
class PersonTable:
    """The faces of people, frame by frame.

    Attributes:
        by_frame: Faces with the numbers of their people, by the frame's number from 1.
    """

    by_frame: Mapping[int, tuple[Labelled, ...]]

    def at(self, frame: int) -> tuple[Labelled, ...]:
        """Return the people in a frame, counted from 1."""
        return self.by_frame.get(frame, ())


def read_people(path: Path) -> PersonTable:
    """Read who is where.

    Args:
        path: CSV with the columns frame (from 1), id, left, top, width, height in pixels of the
            video, one line a face; a first line with these names may be there. Further columns of
            MOTChallenge are ignored, but for a 0 in the seventh, which leaves the box out.

    Raises:
        PersonTableError: The file cannot be read, or a line is wrong.
    """
    found: dict[int, list[Labelled]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for line, row in enumerate(csv.reader(stream), 1):
                fields = [field.strip() for field in row]
                if not any(fields) or (line == 1 and fields[:2] == ["frame", "id"]):
                    continue
                frame, person = _person(path, line, fields)
                if len(fields) > _CONSIDERED and _is_zero(fields[_CONSIDERED]):
                    continue
                at = found.setdefault(frame, [])
                if any(other.number == person.number for other in at):
                    raise PersonTableError(
                        f"{path}, line {line}: person {person.number} is twice in frame {frame}."
                    )
                at.append(person)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PersonTableError(f"The table {path} cannot be read: {error}. Check --truth.") from error
    if not found:
        raise PersonTableError(
            f"The table {path} names nobody. It needs {', '.join(_COLUMNS)}, one line a face."
        )
    return PersonTable({frame: tuple(people) for frame, people in found.items()})


def _person(path: Path, line: int, fields: list[str]) -> tuple[int, Labelled]:
    if len(fields) < len(_COLUMNS):
        raise PersonTableError(
            f"{path}, line {line}: {len(fields)} columns; there must be {', '.join(_COLUMNS)}."
        )
    try:
        frame, number = int(fields[0]), int(fields[1])
        left, top, width, height = (float(field) for field in fields[2:6])
    except ValueError as error:
        raise PersonTableError(
            f"{path}, line {line}: frame and id must be whole numbers, the rest numbers."
        ) from error
    if frame < 1:
        raise PersonTableError(f"{path}, line {line}: frame {frame}; frames are counted from 1.")
    if not all(map(math.isfinite, (left, top, width, height))) or min(width, height) <= 0:
        raise PersonTableError(f"{path}, line {line}: width and height must be positive, all numbers finite.")
    return frame, Labelled(number, Box(left, top, left + width, top + height, 1.0))


def _is_zero(field: str) -> bool:
    try:
        return float(field) == 0.0
    except ValueError:
        return False
