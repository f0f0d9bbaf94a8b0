"""Writes an export for auditors: both kinds of logs, the signals, the published figures.

Everything is taken as of one size of the centre's log; what happens during the export belongs to the
next. The files' digests are appended to the log and a new checkpoint is signed over them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from api.audit_folder import (
    ABOUT,
    CENTRE,
    EDGES,
    FIGURES,
    INDEX,
    KEYS,
    NOTES,
    SIGNALS,
    STOPS,
    About,
    ExportedSignal,
    Keys,
    digests,
    write_json,
)
from api.audit_index import Released
from api.audit_notes import kept_notes
from api.central_log import CentralLog
from api.database import Connection, Database
from api.errors import ExportRefused
from api.figures import months_of
from api.log import Kind, append, log_size
from api.releases import Release
from api.stops import KINDS, StopTally
from api.tree import StoredNodes
from api.witnesses import Witnesses
from consent.checkpoint import KeyHistory, KeyPeriod, WitnessPolicy, peek
from consent.entry import parse_entry
from consent.tiles import TILE_WIDTH, write_folder
from inference.signal import Signal

Progress = Callable[[str, int, int], None]
_PAGE: Final = 5_000
_SETTLING: Final = "10 minutes"
"""A signal may reach the centre this much before the log of its edge does; then the next export has it."""
_EDGES: Final = (
    "SELECT DISTINCT ON (edge_id) edge_id, size, note FROM edge_checkpoints WHERE central_index < %s "
    "ORDER BY edge_id, size DESC"
)
# Left out is only what the logs of this export cannot cover yet: its entry came after the newest folded
# checkpoint, or none came so far. Whatever else no edge committed to must show.
_SIGNALS: Final = f"""
SELECT s.arrival, s.payload, s.salt
FROM signals s
LEFT JOIN LATERAL (
    SELECT e.edge_id, e.idx FROM edge_log_entries e
    WHERE e.record_id = s.consent_record_id AND e.kind = 'session-ended' LIMIT 1
) e ON true
LEFT JOIN unnest(%s::uuid[], %s::bigint[]) AS folded(edge_id, size) ON folded.edge_id = e.edge_id
WHERE s.arrival > %s AND s.arrival <= %s AND CASE
    WHEN e.idx IS NULL THEN s.received_at < now() - interval '{_SETTLING}'
    ELSE e.idx < coalesce(folded.size, 0) END
ORDER BY s.arrival LIMIT %s
"""  # noqa: S608 - the interval is ours


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds."""

    log_entries: int
    edges: int
    signals: int
    months: int


@dataclass(frozen=True, slots=True)
class Scope:
    """What the pages of this centre publish.

    Attributes:
        minimum_n: Fewest sessions behind a figure.
        today: The running day of the pages.
    """

    minimum_n: int
    today: date


def export(
    log: CentralLog,
    witnesses: Witnesses,
    folder: Path,
    scope: Scope,
    *,
    made_at: datetime,
    software: str,
    actor: str,
    progress: Progress | None = None,
) -> Exported:
    """Write an export into a new folder.

    Args:
        log: The centre's log.
        witnesses: Asked to cosign the checkpoint over the export; those that cannot be reached are left out.
        folder: Where to write; must be new or empty.
        scope: What the pages publish.
        made_at: Time of the export.
        software: Release of this program.
        actor: Who exports; the log will tell.
        progress: Told how far each part is.

    Raises:
        ExportRefused: The folder holds something, or cannot be written.
        LogDamaged: The log cannot be signed.
        DatabaseUnavailable: Ask again later.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ExportRefused(f"{folder} is not empty: name a new folder for the export")
        return _export(
            log,
            witnesses,
            folder,
            scope,
            made_at=made_at,
            software=software,
            actor=actor,
            progress=progress or _silent,
        )
    except OSError as error:
        raise ExportRefused(f"the export cannot be written to {folder}: {error}") from error


def _export(
    log: CentralLog,
    witnesses: Witnesses,
    folder: Path,
    scope: Scope,
    *,
    made_at: datetime,
    software: str,
    actor: str,
    progress: Progress,
) -> Exported:
    database = log.database
    log.checkpoint()  # introduces the first keys where the log has none yet
    with database.transaction() as connection:
        size = log_size(connection)
        edges = {row[0]: (int(row[1]), bytes(row[2])) for row in connection.execute(_EDGES, (size,))}
        histories = {edge: _edge_keys(connection, edge) for edge in edges}
        releases = _releases(connection, size)
        index = _index(connection, size)
        notes = kept_notes(connection, size)
    about = About(software, made_at.isoformat(), scope.today, scope.minimum_n, size)
    figures = months_of(releases, minimum_n=scope.minimum_n, today=scope.today)
    write_json(folder / ABOUT, about.document())
    write_json(folder / FIGURES, figures)
    write_json(folder / INDEX, index.figures(scope.minimum_n))
    write_json(folder / STOPS, _stops(database, {edge: item[0] for edge, item in edges.items()}))
    write_json(folder / NOTES, notes)
    write_json(folder / KEYS, _keys(witnesses.policy(), histories).document())
    signals = _write_signals(
        database, folder / SIGNALS, {edge: item[0] for edge, item in edges.items()}, progress
    )
    for edge, (edge_size, note) in edges.items():
        _write_log(database, folder / EDGES / str(edge), note, edge_size, edge, progress)
    with database.transaction() as connection:
        append(connection, Kind.EXPORT, {"actor": actor, "files": digests(folder), "log_size": size})
    log.checkpoint()
    witnesses.submit()
    note = witnesses.status().note
    _write_log(database, folder / CENTRE, note, peek(note).size, None, progress)
    return Exported(peek(note).size, len(edges), signals, len(figures))


def _stops(database: Database, folded: dict[UUID, int]) -> dict[str, dict[str, int]]:
    """Count stops in the logs of the edges, as far as they are in this export."""
    tally = StopTally()
    for edge, size in sorted(folded.items()):
        after = -1
        while True:
            with database.transaction() as connection:
                rows = connection.execute(
                    "SELECT idx, body FROM edge_log_entries WHERE edge_id = %s AND idx > %s AND idx < %s "
                    "AND kind = ANY(%s) ORDER BY idx LIMIT %s",
                    (edge, after, size, list(KINDS), _PAGE),
                ).fetchall()
            for _, body in rows:
                tally.take(parse_entry(bytes(body)))
            if len(rows) < _PAGE:
                break
            after = int(rows[-1][0])
    return tally.document()


def _keys(policy: WitnessPolicy, edges: dict[UUID, KeyHistory]) -> Keys:
    log = (
        policy.log if isinstance(policy.log, KeyHistory) else KeyHistory.of(key.vkey() for key in policy.log)
    )
    return Keys(log, edges, tuple(key.vkey() for key in policy.witnesses), policy.quorum)


def _write_signals(database: Database, path: Path, folded: dict[UUID, int], progress: Progress) -> int:
    edges, sizes = list(folded), list(folded.values())
    with database.transaction() as connection:
        row = connection.execute("SELECT coalesce(max(arrival), 0), count(*) FROM signals").fetchone()
    newest, total = (0, 0) if row is None else (int(row[0]), int(row[1]))
    after = written = 0
    with path.open("w", encoding="utf-8") as stream:
        while True:
            with database.transaction() as connection:
                rows = connection.execute(_SIGNALS, (edges, sizes, after, newest, _PAGE)).fetchall()
            if not rows:
                return written
            for arrival, payload, salt in rows:
                item = ExportedSignal(
                    Signal.model_validate(payload), int(arrival), None if salt is None else bytes(salt)
                )
                stream.write(item.line() + "\n")
            after, written = int(rows[-1][0]), written + len(rows)
            progress(SIGNALS, written, total)


def _write_log(  # noqa: PLR0917 - one log and where it goes
    database: Database, folder: Path, note: bytes, size: int, edge: UUID | None, progress: Progress
) -> None:
    name = CENTRE if edge is None else f"edge {str(edge)[:8]}"

    def entries(start: int, stop: int) -> list[bytes]:
        with database.transaction() as connection:
            rows = (
                connection.execute(
                    "SELECT body FROM central_log WHERE idx >= %s AND idx < %s ORDER BY idx", (start, stop)
                )
                if edge is None
                else connection.execute(
                    "SELECT body FROM edge_log_entries WHERE edge_id = %s "
                    "AND idx >= %s AND idx < %s ORDER BY idx",
                    (edge, start, stop),
                )
            ).fetchall()
        return [bytes(row[0]) for row in rows]

    write_folder(
        folder,
        note,
        size,
        _TileNodes(database, edge),
        entries,
        progress=lambda done, total: progress(name, done, total),
    )


class _TileNodes:
    """The nodes of a tree, read a tile's row at a time and kept for that row only."""

    def __init__(self, database: Database, edge: UUID | None) -> None:
        self._database = database
        self._edge = edge
        self._row = (-1, -1)
        self._nodes: StoredNodes | None = None

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree; KeyError when it is not there."""
        row = level, index // TILE_WIDTH
        if self._nodes is None or row != self._row:
            first = row[1] * TILE_WIDTH
            with self._database.transaction() as connection:
                nodes = StoredNodes(connection, self._edge)
                nodes.fetch((level, place) for place in range(first, first + TILE_WIDTH))
            self._row, self._nodes = row, nodes
        return self._nodes.node(level, index)


def _releases(connection: Connection, size: int) -> list[Release]:
    rows = connection.execute(
        "SELECT body FROM central_log WHERE kind = %s AND idx < %s ORDER BY idx", (Kind.RELEASE, size)
    )
    return [Release.parse(cell) for row in rows for cell in json.loads(bytes(row[0]))["cells"]]


def _index(connection: Connection, size: int) -> Released:
    kinds = [Kind.INDEX_RELEASE.value, Kind.INDEX_FORMULA.value, Kind.CALIBRATION.value]
    rows = connection.execute(
        "SELECT body FROM central_log WHERE kind = ANY(%s) AND idx < %s ORDER BY idx", (kinds, size)
    )
    return Released.of(json.loads(bytes(row[0])) for row in rows)


def _edge_keys(connection: Connection, edge: UUID) -> KeyHistory:
    rows = connection.execute(
        "SELECT vkey, from_size, until_size FROM edge_log_keys WHERE edge_id = %s ORDER BY from_size, vkey",
        (edge,),
    )
    return KeyHistory(tuple(KeyPeriod(row[0], row[1], row[2]) for row in rows))


def _silent(*_: object) -> None:
    """Tell nobody."""
