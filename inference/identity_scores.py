"""How well tracks keep people apart: the CLEAR MOT counts and IDF1, by exact assignment.

Definitions after Bernardin and Stiefelhagen (2008) for switches and fragments, and Ristani
et al. (2016) for IDF1. Both need the best pairing of two small sets; it is found exactly.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from inference.tracking import intersection_over_union

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from models.face_detectors import Box

OVERLAP: Final = 0.5
"""Smallest intersection over union of a person's box and the box that finds them."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A box with the number of a person or of a track."""

    number: int
    box: Box


@dataclass(frozen=True, slots=True)
class IdentityScores:
    """How tracks followed people.

    Attributes:
        boxes: Boxes of people.
        found: Those that a track found.
        tracked: Boxes of tracks.
        people: People with at least one box.
        switches: Times a person was found by another track than before.
        fragments: Times a person was found again after being present but not found.
        identities: Tracks that found a person, summed over people who were found at all.
        people_found: Those people.
        idf1: Share of boxes in which track and person belong together under the best pairing
            of whole tracks with whole people, as an F1; None without any box.
    """

    boxes: int
    found: int
    tracked: int
    people: int
    switches: int
    fragments: int
    identities: int
    people_found: int
    idf1: float | None

    def figures(self) -> dict[str, float | int | None]:
        """Return the counts and the shares that follow from them."""
        return {
            "recall": round(self.found / self.boxes, 4) if self.boxes else None,
            "precision": round(self.found / self.tracked, 4) if self.tracked else None,
            "idf1": None if self.idf1 is None else round(self.idf1, 4),
            "identity_switches": self.switches,
            "fragments": self.fragments,
            "identities_per_person": (
                round(self.identities / self.people_found, 3) if self.people_found else None
            ),
            "people": self.people,
            "people_found": self.people_found,
            "boxes": self.boxes,
        }


def score_identities(frames: Iterable[tuple[Sequence[Labelled], Sequence[Labelled]]]) -> IdentityScores:
    """Compare people and tracks frame by frame.

    Args:
        frames: For each frame in order, the people and the tracks in it.
    """
    boxes = found = tracked = switches = fragments = 0
    by_person: dict[int, set[int]] = {}
    last: dict[int, int] = {}
    lost: set[int] = set()
    people: set[int] = set()
    together: Counter[tuple[int, int]] = Counter()
    for persons, tracks in frames:
        boxes += len(persons)
        tracked += len(tracks)
        people.update(person.number for person in persons)
        overlaps = _overlaps(persons, tracks)
        for row, column in zip(*np.nonzero(overlaps >= OVERLAP), strict=True):
            together[persons[row].number, tracks[column].number] += 1
        pairs = _paired(persons, tracks, overlaps, last)
        found += len(pairs)
        for number in (person.number for person in persons):
            if number not in pairs:
                if number in last:
                    lost.add(number)
                continue
            switches += number in last and last[number] != pairs[number]
            fragments += number in lost
            lost.discard(number)
            last[number] = pairs[number]
            by_person.setdefault(number, set()).add(pairs[number])
    return IdentityScores(
        boxes=boxes,
        found=found,
        tracked=tracked,
        people=len(people),
        switches=switches,
        fragments=fragments,
        identities=sum(map(len, by_person.values())),
        people_found=len(by_person),
        idf1=2 * _most_together(together) / (boxes + tracked) if boxes + tracked else None,
    )


def best_pairing(worth: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pair rows with columns so that the worth adds up to the most; exact.

    The Hungarian method with potentials, in the smaller side's square times the larger side:
    for the few identities of a video. Every row or column of the smaller side is paired.

    Args:
        worth: Shape (n, m), finite.

    Returns:
        Row and column of each of min(n, m) pairs, by row.
    """
    rows, columns = worth.shape
    if rows > columns:
        return sorted((row, column) for column, row in best_pairing(worth.T))
    cost = np.pad(-worth, ((1, 0), (1, 0)))
    of_row, of_column = np.zeros(rows + 1), np.zeros(columns + 1)
    row_at = np.zeros(columns + 1, np.int64)
    for row in range(1, rows + 1):
        row_at[0], column = row, 0
        least, before = np.full(columns + 1, np.inf), np.zeros(columns + 1, np.int64)
        done = np.zeros(columns + 1, bool)
        while row_at[column]:
            done[column] = True
            at = row_at[column]
            reduced = cost[at] - of_row[at] - of_column
            better = ~done & (reduced < least)
            better[0] = False
            least[better], before[better] = reduced[better], column
            open_least = np.where(done, np.inf, least)
            open_least[0] = np.inf
            nearest = int(open_least.argmin())
            step = open_least[nearest]
            of_row[row_at[done]] += step
            of_column[done] -= step
            least[~done] -= step
            column = nearest
        while column:
            row_at[column] = row_at[before[column]]
            column = int(before[column])
    return sorted((int(row_at[column]) - 1, column - 1) for column in range(1, columns + 1) if row_at[column])


def _overlaps(persons: Sequence[Labelled], tracks: Sequence[Labelled]) -> NDArray[np.float64]:
    table = [[intersection_over_union(one.box, other.box) for other in tracks] for one in persons]
    return np.array(table, np.float64).reshape(len(persons), len(tracks))


def _paired(
    persons: Sequence[Labelled],
    tracks: Sequence[Labelled],
    overlaps: NDArray[np.float64],
    last: dict[int, int],
) -> dict[int, int]:
    """Return the track that finds each person: the one from before where it still does, else the best."""
    if not overlaps.size:
        return {}
    stays = np.array([[last.get(one.number) == other.number for other in tracks] for one in persons])
    # Whoever is still found keeps the track: worth more than any better fit of all others.
    worth = np.where(overlaps >= OVERLAP, 1.0 + overlaps + 10.0 * len(persons) * stays, 0.0)
    return {
        persons[row].number: tracks[column].number
        for row, column in best_pairing(worth)
        if overlaps[row, column] >= OVERLAP
    }


def _most_together(together: Counter[tuple[int, int]]) -> int:
    """Return the boxes that belong together when each person gets at most one track for the whole video."""
    people = sorted({person for person, _ in together})
    tracks = sorted({track for _, track in together})
    worth = np.array([[together[person, track] for track in tracks] for person in people], np.float64)
    if not worth.size:
        return 0
    return int(sum(worth[row, column] for row, column in best_pairing(worth)))
