"""Released figures: the sums of one counter's day, frozen and logged when they may first be read.

Pages are made of released days only. A day is released when it is over and stands on enough
sessions; the sums and the newest arrival they include become a leaf of the centre's log, in the same
transaction. A late arrival does not change what was shown: whoever compared the page before and
after would read one citizen's score. A day is released again only when every sum that changes has
grown by at least the fewest sessions a figure may stand on.

An erasure takes a session out of the rollups, not out of a sum over many people that was published
before: the release stays, and an auditor sees how many of its sessions were erased since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final

from psycopg.types.json import Jsonb

from api import log
from api.database import Connection, Database
from api.disclosure import Disclosure
from api.schema import DAY_ZONE, FACTORS, ROLLUP_SUMS, WIDE_SUMS, next_month

COLUMNS: Final = tuple(ROLLUP_SUMS)
Sums = Mapping[str, int]
"""Rollup column -> sum over the sessions of one counter's day."""

GROUPS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sessions": ("face_ms", "speech_ms", "gap_ms", "gaps", "dropped_ms"),
        "scored": ("score_sum", "score_square_sum", "variance_sum"),
        "changes": ("change_sum", "change_square_sum"),
        **{f"{name}_n": (f"{name}_sum",) for name in FACTORS},
    }
)
"""Column that counts sessions -> the sums that stand on those sessions."""

_ALWAYS: Final = ("sessions", "scored", "changes")
"""Counts that say how complete the day is, and nothing about a score."""
_RELEASE_LOCK: Final = 0x72_65_6C_73
_CELLS_A_LEAF: Final = 50
"""An entry of the log has at most 65,535 bytes (C2SP), and a cell up to 1,000."""
_SUMS: Final = ", ".join(f"r.{name}" for name in COLUMNS)
_LIVE: Final = (
    f"SELECT r.counter, r.day, {_SUMS} FROM rollup_counter_day r "  # noqa: S608 - names are ours
    "WHERE r.counter = ANY(%s) AND r.day >= %s AND r.day < %s"
)
# One statement, so one snapshot: the arrival belongs to exactly these sums, since the batches of an
# edge are committed one after the other.
_LIVE_AS_OF: Final = (
    f"SELECT r.counter, r.day, {_SUMS}, coalesce((SELECT max(s.arrival) FROM signals s "  # noqa: S608 - as above
    f"WHERE s.counter = r.counter AND s.window_start >= r.day::timestamp AT TIME ZONE '{DAY_ZONE}' "
    f"AND s.window_start < (r.day + 1)::timestamp AT TIME ZONE '{DAY_ZONE}'), 0) "
    "FROM unnest(%s::text[], %s::date[]) AS due(counter, day) JOIN rollup_counter_day r USING (counter, day) "
    "ORDER BY r.counter, r.day"
)
_NEWEST: Final = (
    "SELECT DISTINCT ON (counter, day) counter, day, revision, as_of, sums FROM releases "
    "WHERE counter = ANY(%s) AND day >= %s AND day < %s ORDER BY counter, day, revision DESC"
)


@dataclass(frozen=True, slots=True)
class Release:
    """One counter's day as it was released.

    Attributes:
        revision: 1 for the first release of the day.
        as_of: The newest arrival among the sessions behind the sums.
        sums: Only groups that stand on enough sessions; counts of the day's sessions always.
    """

    counter: str
    day: date
    revision: int
    as_of: int
    sums: Sums

    def document(self) -> dict[str, Any]:
        """Return the release as it stands in the log; sums beyond 53 bits are text."""
        return {
            "counter": self.counter,
            "day": self.day.isoformat(),
            "revision": self.revision,
            "as_of": self.as_of,
            "sums": _document(self.sums),
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Release:
        """Read a release from the log."""
        return cls(
            str(document["counter"]),
            date.fromisoformat(document["day"]),
            int(document["revision"]),
            int(document["as_of"]),
            {str(name): int(value) for name, value in document["sums"].items()},
        )


def showable(live: Sums, disclosure: Disclosure) -> Sums:
    """Return the sums that stand on enough sessions; those of fewer are left out."""
    kept = {name: live[name] for name in _ALWAYS}
    for count, names in GROUPS.items():
        if disclosure.enough(live[count]):
            kept |= {name: live[name] for name in (count, *names)}
    return kept


def due(live: Sums, released: Sums | None, disclosure: Disclosure) -> Sums | None:
    """Return what is to be released of a day that is over, or None when nothing is.

    Args:
        live: The sums as they are now.
        released: The sums as they were last released.
        disclosure: What may be shown.
    """
    if not disclosure.enough(live["sessions"]):
        return None
    wanted = showable(live, disclosure)
    if released is None:
        return wanted
    grown = False
    for count, names in GROUPS.items():
        has, had = names[0] in wanted, names[0] in released
        more = wanted[count] - released[count] if has and had else 0
        if (had and not has) or more < 0 or 0 < more < disclosure.minimum_n:
            return None
        if has and had and more == 0 and any(wanted[name] != released[name] for name in names):
            return None  # as many were erased as came
        grown = grown or more > 0 or (has and not had)
    return wanted if grown else None


def shown_days(
    database: Database, counters: Sequence[str], first: date, disclosure: Disclosure
) -> dict[str, dict[date, Sums]]:
    """Return the sums that a page of one month may be made of, releasing what is due.

    Days that are over come from their release; a day that may not be shown (yet) has its live
    sums, which `build_month` hides.

    Args:
        database: Where rollups and releases are.
        counters: Codes of the counters.
        first: First day of the month.
        disclosure: What may be shown.
    """
    bounds = (list(counters), first, next_month(first))
    with database.transaction() as connection:
        live = _sums(connection.execute(_LIVE, bounds).fetchall())
        released = _newest(connection, bounds)
        cells = [key for key in live if _is_due(live[key], released.get(key), key[1], disclosure)]
        if cells:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_RELEASE_LOCK,))
            released = _newest(connection, bounds)  # somebody else may have been first
            released |= _release(connection, cells, released, disclosure)
    days: dict[str, dict[date, Sums]] = {code: {} for code in counters}
    for (counter, day), sums in live.items():
        days[counter][day] = sums
    for (counter, day), release in released.items():
        days[counter][day] = dict.fromkeys(COLUMNS, 0) | dict(release.sums)
    return days


def _is_due(live: Sums, released: Release | None, day: date, disclosure: Disclosure) -> bool:
    over = day < disclosure.today  # even where the running day is shown, it is never frozen
    return over and due(live, released.sums if released else None, disclosure) is not None


def _release(
    connection: Connection,
    cells: Sequence[tuple[str, date]],
    released: Mapping[tuple[str, date], Release],
    disclosure: Disclosure,
) -> dict[tuple[str, date], Release]:
    rows = connection.execute(_LIVE_AS_OF, ([key[0] for key in cells], [key[1] for key in cells])).fetchall()
    made = []
    for *row, as_of in rows:
        ((key, live),) = _sums([tuple(row)]).items()
        before = released.get(key)
        sums = due(live, before.sums if before else None, disclosure)
        if sums is not None:
            made.append(Release(*key, before.revision + 1 if before else 1, int(as_of), sums))
    for start in range(0, len(made), _CELLS_A_LEAF):
        chunk = made[start : start + _CELLS_A_LEAF]
        index = log.append(
            connection,
            log.Kind.RELEASE,
            {"minimum_n": disclosure.minimum_n, "cells": [item.document() for item in chunk]},
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO releases (counter, day, revision, as_of, sums, log_index) "
                "VALUES (%s, %s, %s, %s, %s, %s)",
                [
                    (item.counter, item.day, item.revision, item.as_of, Jsonb(_document(item.sums)), index)
                    for item in chunk
                ],
            )
    return {(item.counter, item.day): item for item in made}


def _newest(connection: Connection, bounds: tuple[object, ...]) -> dict[tuple[str, date], Release]:
    return {
        (row[0], row[1]): Release(row[0], row[1], row[2], row[3], _parsed(row[4]))
        for row in connection.execute(_NEWEST, bounds)
    }


def _sums(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[str, date], Sums]:
    return {
        (row[0], row[1]): {name: int(value) for name, value in zip(COLUMNS, row[2:], strict=True)}
        for row in rows
    }


def _document(sums: Sums) -> dict[str, int | str]:
    return {name: str(value) if name in WIDE_SUMS else value for name, value in sums.items()}


def _parsed(document: Mapping[str, int | str]) -> Sums:
    return {name: int(value) for name, value in document.items()}
