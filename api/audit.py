"""What an auditor checks in an export, without the centre and without trusting it.

1. The centre's log: every byte below its signed checkpoint, its witnesses, and the files it vouches for.
2. Each edge's log: the same, and that its checkpoint stands in the centre's log.
3. Sessions: each began after its citizen's consent, each signal is the one its edge committed to when
   the session ended, none was invented, and none that an edge committed to is missing without an erasure
   or a retention run that says so.
4. Releases: the sums of each released day, recomputed from the signals.
5. Figures: every published figure, recomputed from the releases, to the last digit.
6. The index: its released sums from signals and edges' logs, its figures from the released sums.
7. Stops: how often captures were stopped or not asked for, counted again from the edges' logs.
8. Notes on counters: each text is the one whose hash the log holds, none is missing, none was invented.
9. The privacy budget: what the private releases of each month cost together, and what may leave at all.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from api import audit_index, privacy_budget
from api.audit_finding import Finding
from api.audit_finding import names_of as _names
from api.audit_folder import (
    CENTRE,
    EDGES,
    ExportedSignal,
    Keys,
    digests,
    read_about,
    read_figures,
    read_index,
    read_keys,
    read_notes,
    read_signals,
    read_stops,
)
from api.audit_index import IndexAudit, Released
from api.audit_notes import notes, parse_notes
from api.figures import day_of, months_of, sums_of
from api.index.errors import IndexRefused
from api.index.ledger import LedgerRecount
from api.log import Kind
from api.releases import Release, Sums
from api.stops import StopTally
from api.trends import local_time
from consent.checkpoint import Checkpoint, KeyHistory, WitnessPolicy, peek, verifier
from consent.entry import SessionEnded, SessionStarted, parse_entry
from consent.erasure import Begun
from consent.errors import CheckpointRefused, EntryRefused, TilesRefused, TransitionRefused
from consent.event import Event
from consent.life import check_answer
from consent.session_keys import opens
from consent.state import ERASING, State
from consent.tiles import CHECKPOINT, FolderReport, check_folder, read_entries

LATE: Final = timedelta(hours=24)
"""A committed signal that has not arrived so long after the session's end is missing."""
_SIGNAL_CATEGORY: Final = "signal"
_BUDGET: Final = "privacy budget"

Progress = Callable[[str, int, int], None]
"""Told of a part's name, of what is done and of what there is."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All findings of an audit."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(finding.ok for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Trust:
    """What the auditor has from elsewhere.

    Attributes:
        centre: Keys of the centre's log, in place of those inside the export.
        witnesses: Keys of the witnesses, likewise.
        quorum: How many of the witnesses must have cosigned.
        known: Signed checkpoints kept since, such as a witness's latest: each log of the export must go on
            from those of its own. Without one, an older state of a log passes for the present one.
    """

    centre: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()
    quorum: int = 1
    known: tuple[bytes, ...] = ()


@dataclass(slots=True)
class _Sessions:
    """What the edges' logs say of sessions."""

    committed: dict[UUID, SessionEnded] = field(default_factory=dict)
    erased: set[UUID] = field(default_factory=set)
    newest: datetime | None = None
    given: set[UUID] = field(default_factory=set)
    unpermitted: set[UUID] = field(default_factory=set)
    stops: StopTally = field(default_factory=StopTally)
    recount: LedgerRecount = field(default_factory=lambda: LedgerRecount(()))

    def erased_at(self) -> Counter[tuple[str, date]]:
        """Count the erased sessions of each counter and day."""
        counts: Counter[tuple[str, date]] = Counter()
        for ended in self.committed.values():
            if ended.record_id in self.erased:
                # A session that ran over midnight belongs to the day on which it started: count it for both.
                for day in {local_time(ended.at).date(), local_time(ended.at - timedelta(hours=4)).date()}:
                    counts[ended.counter, day] += 1
        return counts

    def take(self, entry: object) -> None:
        self.stops.take(entry)
        at = getattr(entry, "at", None)
        if isinstance(at, datetime):
            self.newest = at if self.newest is None else max(self.newest, at)
        if isinstance(entry, Event) and entry.state is State.GIVEN and _answered(entry):
            self.given.add(entry.record_id)
        elif isinstance(entry, SessionStarted | SessionEnded) and entry.record_id not in self.given:
            self.unpermitted.add(entry.session_id)
        if isinstance(entry, SessionEnded) and entry.commitment is not None:
            self.committed[entry.session_id] = entry
        elif isinstance(entry, Begun) or (isinstance(entry, Event) and entry.state in ERASING):
            self.erased.add(entry.record_id)


def verify(folder: Path, trust: Trust | None = None, *, progress: Progress | None = None) -> AuditReport:
    """Check a whole export.

    Args:
        folder: What `hailong audit export` wrote.
        trust: Keys known from elsewhere; without them the keys in the export are believed.
        progress: Told how far the reading of the logs is.

    Raises:
        ExportRefused: The folder is no export.
    """
    about, keys = read_about(folder), read_keys(folder)
    findings: list[Finding] = []
    leaves = _centre(folder, keys, trust, findings, progress)
    if leaves is None:
        return AuditReport(tuple(findings))
    findings.append(_files(folder, leaves))
    leaves = leaves[: about.log_size]  # what came during the export belongs to the next
    index = _released(leaves, findings)
    sessions = _Sessions(recount=LedgerRecount(index.sizes()))
    _edges(folder, keys, leaves, findings, sessions, trust=trust, progress=progress)
    sessions.erased |= _record_ids(leaves, Kind.ERASURE_STARTED)
    signals = tuple(read_signals(folder))
    kept_from = _kept_from(leaves)
    findings += (_permitted(sessions), _invented(signals, sessions), _missing(signals, sessions, kept_from))
    releases = [
        Release.parse(cell) for leaf in leaves if leaf["kind"] == Kind.RELEASE for cell in leaf["cells"]
    ]
    findings.append(_sums(releases, signals, sessions, kept_from))
    found = months_of(releases, minimum_n=about.minimum_n, today=about.today)
    findings.append(_figures(found, read_figures(folder)))
    audited = IndexAudit(
        index,
        signals,
        sessions.recount,
        erased=sessions.erased_at(),
        kept_from=None if kept_from is None else local_time(kept_from).date(),
    )
    findings += (audited.sums(), audit_index.figures(index, read_index(folder), about.minimum_n))
    findings += (
        _stops(sessions.stops.document(), read_stops(folder)),
        notes(leaves, parse_notes(read_notes(folder))),
        _budget(leaves),
    )
    return AuditReport(tuple(findings))


def _released(leaves: Sequence[Mapping[str, Any]], findings: list[Finding]) -> Released:
    try:
        return Released.of(leaves)
    except IndexRefused as error:
        findings.append(Finding(audit_index.SUMS, False, str(error)))
        return Released((), (), {})


def _centre(
    folder: Path, keys: Keys, trust: Trust | None, findings: list[Finding], progress: Progress | None
) -> list[dict[str, Any]] | None:
    pinned = trust is not None and bool(trust.centre)
    log = tuple(map(verifier, trust.centre)) if trust is not None and pinned else keys.centre
    outside = trust is not None and bool(trust.witnesses)
    names = trust.witnesses if trust is not None and outside else keys.witnesses
    quorum = trust.quorum if trust is not None and outside else keys.quorum
    policy = WitnessPolicy(log, tuple(map(verifier, names)), max(1, quorum))
    try:
        known = _kept(folder / CENTRE, trust)
        report = check_folder(folder / CENTRE, policy, known=known, progress=_part(progress, "centre"))
    except (TilesRefused, CheckpointRefused) as error:
        findings.append(Finding("centre's log", False, str(error)))
        return None
    how = "under your key" if pinned else "under the key in the export: compare it with one from elsewhere"
    findings.append(
        Finding("centre's log", True, f"{report.entries} entries below one checkpoint, signed {how}")
    )
    if trust is not None and trust.known:
        findings.append(_continued(folder, trust))
    findings.append(_witnesses(report, pinned=outside, any_known=bool(names)))
    size = report.witnessed.checkpoint.size
    return [json.loads(entry) for entry in read_entries(folder / CENTRE, size)]


def _kept(folder: Path, trust: Trust | None) -> tuple[Checkpoint, ...]:
    """Return the checkpoints that the auditor kept of the log in a folder."""
    if trust is None or not trust.known:
        return ()
    try:
        origin = peek((folder / CHECKPOINT).read_bytes()).origin
    except OSError as error:
        raise TilesRefused(f"{CHECKPOINT} cannot be read: {error.strerror}") from error
    return tuple(kept for kept in map(peek, trust.known) if kept.origin == origin)


def _continued(folder: Path, trust: Trust) -> Finding:
    """Tell whether each kept checkpoint is of a log in the export; each log is compared where it is read."""
    paths = (folder / CENTRE, *(folder / EDGES).glob("*"))
    notes = [path / CHECKPOINT for path in paths if (path / CHECKPOINT).is_file()]
    origins = {peek(note.read_bytes()).origin for note in notes}
    strange = sorted({kept.origin for kept in map(peek, trust.known)} - origins)
    if strange:
        return Finding("kept checkpoints", False, f"the export has no log {_names(strange)}")
    return Finding(
        "kept checkpoints", True, f"{len(trust.known)} were compared, each with the log that it is of"
    )


def _witnesses(report: FolderReport, *, pinned: bool, any_known: bool) -> Finding:
    found = report.witnessed
    if found.witnessed:
        whose = "your" if pinned else "the export's"
        return Finding(
            "witnesses", True, f"{len(found.witnesses)} of {whose} witnesses cosigned the checkpoint"
        )
    if pinned:
        return Finding("witnesses", False, "the witnesses that you named did not cosign the checkpoint")
    why = "too few cosigned" if any_known else "none is set up"
    return Finding(
        "witnesses", True, f"UNWITNESSED ({why}): whoever holds the key could have rewritten the log before"
    )


def _files(folder: Path, leaves: Sequence[Mapping[str, Any]]) -> Finding:
    # Files that a privacy officer took away are told of by the same kind, without a size of the log.
    told = (leaf for leaf in reversed(leaves) if leaf["kind"] == Kind.EXPORT and "log_size" in leaf)
    named = next((leaf["files"] for leaf in told), None)
    if named is None:
        return Finding("files", False, "the log does not tell of an export")
    found = digests(folder)
    other = sorted(name for name in found if named.get(name) != found[name])
    if other:
        return Finding("files", False, f"{', '.join(other)}: not the bytes that the log vouches for")
    return Finding("files", True, f"{len(found)} files are the ones that the log vouches for")


def _edges(
    folder: Path,
    keys: Keys,
    leaves: Iterable[Mapping[str, Any]],
    findings: list[Finding],
    sessions: _Sessions,
    *,
    trust: Trust | None,
    progress: Progress | None,
) -> None:
    folded = {UUID(leaf["edge"]): leaf for leaf in leaves if leaf["kind"] == Kind.EDGE_CHECKPOINT}
    entries = 0
    for edge, leaf in sorted(folded.items()):
        try:
            kept = _kept(folder / EDGES / str(edge), trust)
            entries += _edge(
                folder / EDGES / str(edge),
                keys.edges[edge],
                leaf,
                edge,
                known=kept,
                sessions=sessions,
                progress=_part(progress, f"edge {str(edge)[:8]}"),
            )
        except (TilesRefused, CheckpointRefused, EntryRefused, KeyError) as error:
            findings.append(Finding("edges' logs", False, f"edge {edge}: {error}"))
    present = {path.name for path in (folder / EDGES).glob("*")}
    surplus = present - {str(edge) for edge in folded}
    if surplus:
        findings.append(
            Finding("edges' logs", False, f"{min(surplus)}: the centre's log names no checkpoint of it")
        )
    if all(finding.check != "edges' logs" for finding in findings):
        text = f"{len(folded)} logs with {entries} entries, each below the checkpoint in the centre's log"
        findings.append(Finding("edges' logs", True, text))


def _edge(
    folder: Path,
    keys: KeyHistory,
    leaf: Mapping[str, Any],
    edge: UUID,
    *,
    known: Sequence[Checkpoint],
    sessions: _Sessions,
    progress: Callable[[int, int], None] | None,
) -> int:
    report = check_folder(folder, WitnessPolicy(keys), known=known, progress=progress)
    checkpoint = report.witnessed.checkpoint
    if (folder / CHECKPOINT).read_text("utf-8") != leaf["note"] or checkpoint.size != leaf["size"]:
        raise CheckpointRefused("its checkpoint is not the newest that the centre's log names")
    for index, body in enumerate(read_entries(folder, checkpoint.size)):
        entry = parse_entry(body)
        sessions.take(entry)
        sessions.recount.take(edge, index, entry)
    return report.entries


def _answered(event: Event) -> bool:
    try:
        check_answer(event)
    except TransitionRefused:
        return False
    return True


def _permitted(sessions: _Sessions) -> Finding:
    if sessions.unpermitted:
        text = f"{len(sessions.unpermitted)} sessions without a consent that a citizen gave before them"
        return Finding("consent", False, f"{text}: {_names(sorted(sessions.unpermitted))}")
    return Finding("consent", True, f"each session stands behind one of {len(sessions.given)} given consents")


def _invented(signals: Sequence[ExportedSignal], sessions: _Sessions) -> Finding:
    wrong = []
    for item in signals:
        ended = sessions.committed.get(item.signal.session_id)
        if (
            ended is None
            or ended.commitment is None
            or item.salt is None
            or (ended.counter, ended.record_id) != (item.signal.counter, item.signal.consent_record_id)
            or not opens(ended.commitment, item.salt, item.payload())
        ):
            wrong.append(item.signal.session_id)
    double = [key for key, n in Counter(item.signal.session_id for item in signals).items() if n > 1]
    if wrong or double:
        text = f"{len(wrong)} signals are not what an edge committed to, {len(double)} sessions count twice"
        return Finding("signals", False, f"{text}: {_names([*wrong, *double])}")
    return Finding("signals", True, f"{len(signals)} signals, each the one its edge committed to")


def _missing(signals: Sequence[ExportedSignal], sessions: _Sessions, kept_from: datetime | None) -> Finding:
    there = {item.signal.session_id for item in signals}
    lost, waiting, erased, retired = [], 0, 0, 0
    for session_id, ended in sessions.committed.items():
        if session_id in there:
            continue
        if ended.record_id in sessions.erased:
            erased += 1
        elif kept_from is not None and ended.at < kept_from:
            retired += 1
        elif sessions.newest is not None and sessions.newest - ended.at < LATE:
            waiting += 1
        else:
            lost.append(session_id)
    told = f"{erased} erased, {retired} past their retention, {waiting} not arrived yet"
    if lost:
        return Finding(
            "completeness", False, f"{len(lost)} committed signals are missing: {_names(lost)} ({told})"
        )
    return Finding("completeness", True, f"no committed signal is missing ({told})")


def _sums(
    releases: Sequence[Release],
    signals: Sequence[ExportedSignal],
    sessions: _Sessions,
    kept_from: datetime | None,
) -> Finding:
    by_cell: dict[tuple[str, date], list[ExportedSignal]] = defaultdict(list)
    for item in signals:
        by_cell[item.signal.counter, day_of(item.signal)].append(item)
    erased_at = sessions.erased_at()
    wrong, exact, erased, retired = [], 0, 0, 0
    for release in releases:
        key = release.counter, release.day
        if kept_from is not None and release.day < local_time(kept_from).date():
            retired += 1
            continue
        sums = sums_of(item.signal for item in by_cell[key] if item.arrival <= release.as_of)
        gone = release.sums["sessions"] - sums["sessions"]
        if gone == 0 and _agree(release.sums, sums):
            exact += 1
        elif 0 < gone <= erased_at[key]:
            erased += 1
        else:
            wrong.append(f"{release.counter} {release.day} revision {release.revision}")
    told = f"{exact} days exactly, {erased} with sessions erased since, {retired} past their retention"
    if wrong:
        return Finding("released sums", False, f"{len(wrong)} days differ: {_names(wrong)} ({told})")
    return Finding("released sums", True, told)


def _agree(released: Sums, computed: Sums) -> bool:
    return all(computed[name] == value for name, value in released.items())


def _figures(computed: Mapping[str, Any], published: Any) -> Finding:  # noqa: ANN401 - any JSON
    if not isinstance(published, dict):
        return Finding("figures", False, "figures.json holds no figures")
    other = sorted(
        key for key in computed.keys() | published.keys() if computed.get(key) != published.get(key)
    )
    if other:
        return Finding("figures", False, f"{len(other)} months differ: {_names(other)}")
    count = sum(_count(value) for value in computed.values())
    return Finding("figures", True, f"{count} figures of {len(computed)} months reproduced to the last digit")


def _stops(computed: Mapping[str, Mapping[str, int]], stated: Any) -> Finding:  # noqa: ANN401 - any JSON
    if not isinstance(stated, dict):
        return Finding("stops", False, "stops.json holds no counts")
    other = sorted(key for key in computed.keys() | stated.keys() if computed.get(key) != stated.get(key))
    if other:
        return Finding("stops", False, f"{len(other)} days differ: {_names(other)}")
    sums = {
        name: sum(counts[name] for counts in computed.values())
        for name in ("services", "accompanied-child", "second-face")
    }
    return Finding(
        "stops",
        True,
        f"{sums['services']} services, {sums['accompanied-child']} with a child declared, "
        f"{sums['second-face']} ended by a second face, counted again",
    )


def _budget(leaves: Sequence[Mapping[str, Any]]) -> Finding:
    wrong = privacy_budget.faults(leaves)
    if wrong:
        return Finding(_BUDGET, False, f"{len(wrong)} faults: {_names(wrong)}")
    charges = privacy_budget.charges(leaves)
    months = len({charge.month for charge in charges})
    return Finding(_BUDGET, True, f"{len(charges)} private releases of {months} months, within their limits")


def _count(value: object) -> int:
    """Count the numbers in a document of figures."""
    if isinstance(value, Mapping):
        return sum(_count(item) for item in value.values())
    return 0 if value is None else 1


def _kept_from(leaves: Iterable[Mapping[str, Any]]) -> datetime | None:
    """Return before when the retention removed signals, or None when it never did."""
    bounds = [
        datetime.fromisoformat(leaf["before"])
        for leaf in leaves
        if leaf["kind"] == Kind.RETENTION_RUN and leaf["category"] == _SIGNAL_CATEGORY and leaf["removed"]
    ]
    return max(bounds, default=None)


def _record_ids(leaves: Iterable[Mapping[str, Any]], kind: Kind) -> set[UUID]:
    return {UUID(leaf["record_id"]) for leaf in leaves if leaf["kind"] == kind}


def _part(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    told = progress

    def tell(done: int, total: int) -> None:
        told(name, done, total)

    return tell
