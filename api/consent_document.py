"""One consent as one document, from the logs that the edges sent to the centre."""

from __future__ import annotations

from uuid import UUID

from api.database import Connection
from api.tree import StoredNodes
from consent.errors import UnknownRecord
from consent.evidence import Evidence, ProvenEntry
from consent.export import RecordDocument, record_document
from consent.merkle import inclusion_proof


def consent_evidence(connection: Connection, record_id: UUID) -> Evidence:
    """Return every entry of a record, proven in the newest signed state its edge has sent.

    Raises:
        UnknownRecord: No edge has sent anything about it.
    """
    log = connection.execute(
        "SELECT edge_id, origin, size, root, note FROM edge_logs JOIN consents USING (edge_id) "
        "WHERE record_id = %s",
        (record_id,),
    ).fetchone()
    if log is None:
        raise UnknownRecord(f"no edge has sent a consent {record_id}: it may still wait on its edge")
    edge, origin, size, root, note = log
    nodes = StoredNodes(connection, edge)
    rows = connection.execute(
        "SELECT idx, kind, body FROM edge_log_entries WHERE edge_id = %s AND record_id = %s ORDER BY idx",
        (edge, record_id),
    ).fetchall()
    entries = tuple(
        ProvenEntry(index, kind, bytes(body), inclusion_proof(index, size, nodes))
        for index, kind, body in rows
    )
    return Evidence(record_id, origin, size, bytes(root), bytes(note), entries)


def consent_document(connection: Connection, record_id: UUID) -> RecordDocument:
    """Return the document of one consent; `consent.forms.written` gives it as JSON-LD, JSON or PDF.

    The caller logs the access: this is a read of personal data.

    Raises:
        ConsentError: No edge has sent the record, or what was sent does not hold together.
    """
    return record_document(consent_evidence(connection, record_id))
