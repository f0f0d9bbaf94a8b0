"""Exports a privacy officer takes away: each is told in the log and leaves in a folder with its signature.

The entry of kind `export` holds the digest of the file, never its content. Cells that a spreadsheet would
run as formulas are written so that it shows them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from api.central_log import CentralLog
from api.consents import Filter, search_in
from api.database import Connection
from api.errors import ExportRefused
from api.log import Kind, append
from api.projection import Consent
from api.signed_files import FileStatement, sign_file
from consent.checkpoint import Ed25519Signer

MOST_ROWS: Final = 50_000
COLUMNS: Final = (
    *("record_id", "receipt_id", "session_id", "edge_id", "counter", "state"),
    *("notice_id", "notice_version", "notice_sha256", "language", "channel"),
    *("offered_at", "shown_at", "decided_at", "ended_at", "withdrawn_at", "dwell_ms"),
    *("image", "voice", "quotes"),
    *("session_started_at", "session_ended_at", "processed_image_ms", "processed_voice_ms"),
    *("consented_ms", "units", "gaps", "gap_ms", "outcome"),
)
"""What a list of consents holds; nothing by which a slip could be used."""
_FORMULA: Final = frozenset("=+-@\t\r\n")
_ZIP_TIME: Final = (2026, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A file, the note that signs it, and the key with which that is checked."""

    name: str
    data: bytes
    note: bytes
    vkey: str

    def folder(self) -> bytes:
        """Return file, signature and how to check them as one zip archive."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in (
                (self.name, self.data),
                (f"{self.name}.sig", self.note),
                ("READ-ME.txt", _how_to_check(self.name).encode()),
            ):
                archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content, zipfile.ZIP_DEFLATED)
        return packed.getvalue()


def export_signer(log: CentralLog) -> Ed25519Signer:
    """Return who signs files of exports.

    Raises:
        KeysUnusable: The key cannot be read or made.
    """
    return Ed25519Signer(f"{log.origin}/export", log.keys_folder.export_key())


def seal(
    log: CentralLog,
    connection: Connection,
    name: str,
    data: bytes,
    *,
    actor: str,
    record_id: UUID | None = None,
) -> Sealed:
    """Tell of an export in the log, in the caller's transaction, and sign the file.

    Args:
        log: The centre's log, whose folder holds the export key.
        connection: The connection that read what is exported.
        name: Name of the file.
        data: The file.
        actor: Who takes it away.
        record_id: The one consent it is about, if it is about one.

    Raises:
        KeysUnusable: The export key cannot be read or made.
        LogDamaged: Nothing can be told in the log: nothing leaves.
    """
    signer = export_signer(log)
    digest = hashlib.sha256(data).hexdigest()
    body = {"actor": actor, "files": {name: digest}, "vkey": signer.vkey()}
    index = append(connection, Kind.EXPORT, body, record_id=record_id)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    note = sign_file(FileStatement(name, digest, at, index, log.origin), signer)
    return Sealed(name, data, note, signer.vkey())


def found_consents(connection: Connection, wanted: Filter) -> tuple[Consent, ...]:
    """Return every consent of a search, for an export.

    Raises:
        ExportRefused: There are more than one file should hold.
    """
    page = search_in(connection, wanted, size=MOST_ROWS + 1)
    if len(page.rows) > MOST_ROWS:
        raise ExportRefused(f"the search finds more than {MOST_ROWS} consents: narrow it by days or counter")
    return page.rows


def as_csv(consents: Iterable[Consent]) -> bytes:
    """Return consents as CSV for spreadsheets (RFC 4180, UTF-8 with its mark)."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for consent in consents:
        writer.writerow([harmless(_text(getattr(consent, name))) for name in COLUMNS])
    return text.getvalue().encode("utf-8-sig")


def as_json(consents: Iterable[Consent]) -> bytes:
    """Return consents as a JSON list."""
    rows = [{name: _plain(getattr(consent, name)) for name in COLUMNS} for consent in consents]
    return (json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode()


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: one that looks so gets a quote before it."""
    return f"'{cell}" if cell[:1] in _FORMULA else cell


@dataclass(frozen=True, slots=True)
class PastExport:
    """An export that the log tells of."""

    index: int
    at: datetime
    actor: str
    files: Mapping[str, str]


def past_exports(connection: Connection, *, limit: int = 50) -> tuple[PastExport, ...]:
    """Return exports, the newest first."""
    rows = connection.execute(
        "SELECT idx, at, body FROM central_log WHERE kind = 'export' ORDER BY idx DESC LIMIT %s", (limit,)
    ).fetchall()
    return tuple(_past(*row) for row in rows)


def _past(index: int, at: datetime, body: bytes) -> PastExport:
    told: dict[str, Any] = json.loads(bytes(body))
    return PastExport(index, at, str(told["actor"]), told["files"])


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value) if isinstance(value, UUID) else value


def _text(value: object) -> str:
    return "" if value is None else str(_plain(value))


def _how_to_check(name: str) -> str:
    return (
        f"Kiểm tra tệp này: lấy khoá 'export' tại /log/keys của hệ thống trung tâm, rồi chạy\n"
        f"Check this file: take the key 'export' from /log/keys of the central service, then run\n\n"
        f"    hailong audit verify-file {name} --signature {name}.sig --key KEY\n"
    )
