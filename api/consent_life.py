"""One consent's life with its proof: entries, the edge's checkpoint over them, the centre's over that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from api.consents import find_in
from api.database import Connection, Database
from api.errors import LogDamaged
from api.projection import Consent
from api.tree import StoredNodes
from consent.merkle import inclusion_proof


@dataclass(frozen=True, slots=True)
class LifeEntry:
    """One entry of the edge's log about the consent.

    Attributes:
        body: The bytes that are hashed.
        proof: That it is in the tree of the anchor's edge checkpoint; empty while there is none.
    """

    index: int
    kind: str
    body: bytes
    leaf_hash: bytes
    received_at: datetime
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A witness that has cosigned a checkpoint, and when it looked."""

    witness: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Anchor:
    """How the entries hang on what outsiders have seen.

    Attributes:
        edge_note: The edge's checkpoint of `edge_size` entries, signed by the edge.
        index: The leaf of the centre's log that holds it; `leaf` are that leaf's bytes.
        note: A checkpoint of the centre's log of `size` entries; empty until one is made after the leaf.
        proof: That the leaf is in it.
        witnesses: Who cosigned it.
    """

    edge_size: int
    edge_note: bytes
    index: int
    leaf: bytes
    size: int
    note: bytes
    proof: tuple[bytes, ...]
    witnesses: tuple[Cosigned, ...]


@dataclass(frozen=True, slots=True)
class Life:
    """Everything the centre knows of one consent.

    Attributes:
        central: Index, kind, time and bytes of the centre's own entries about it, oldest first.
        anchor: None while the edge's checkpoint over its entries has not been folded in.
    """

    consent: Consent
    origin: str
    entries: tuple[LifeEntry, ...]
    central: tuple[tuple[int, str, datetime, bytes], ...]
    anchor: Anchor | None


def life(database: Database, record_id: UUID) -> Life | None:
    """Return one consent's life with its proofs, None for an unknown record.

    Raises:
        LogDamaged: A node that a proof needs is missing.
    """
    with database.transaction() as connection:
        return life_in(connection, record_id)


def life_in(connection: Connection, record_id: UUID) -> Life | None:
    """Return one consent's life as `life` does, on the caller's connection.

    Raises:
        LogDamaged: As `life`.
    """
    consent = find_in(connection, record_id)
    if consent is None:
        return None
    origin = connection.execute(
        "SELECT origin FROM edge_logs WHERE edge_id = %s", (consent.edge_id,)
    ).fetchone()
    rows = connection.execute(
        "SELECT idx, kind, body, leaf_hash, received_at FROM edge_log_entries "
        "WHERE record_id = %s AND edge_id = %s ORDER BY idx",
        (record_id, consent.edge_id),
    ).fetchall()
    central = connection.execute(
        "SELECT idx, kind, at, body FROM central_log WHERE record_id = %s ORDER BY idx", (record_id,)
    ).fetchall()
    last = rows[-1][0] if rows else consent.last_index
    try:
        anchor = _anchor(connection, consent.edge_id, last)
        nodes = StoredNodes(connection, consent.edge_id)
        size = anchor.edge_size if anchor is not None else 0
        entries = tuple(
            LifeEntry(
                row[0],
                row[1],
                bytes(row[2]),
                bytes(row[3]),
                row[4],
                inclusion_proof(row[0], size, nodes) if size else (),
            )
            for row in rows
        )
    except KeyError as error:
        raise LogDamaged(f"node {error} of a log is missing: restore the newest backup") from error
    told = tuple((row[0], row[1], row[2], bytes(row[3])) for row in central)
    return Life(consent, origin[0] if origin else "", entries, told, anchor)


def _anchor(connection: Connection, edge: UUID, last_index: int) -> Anchor | None:
    folded = connection.execute(
        "SELECT c.size, c.note, c.central_index, l.body FROM edge_checkpoints c "
        "JOIN central_log l ON l.idx = c.central_index "
        "WHERE c.edge_id = %s AND c.size > %s ORDER BY c.size LIMIT 1",
        (edge, last_index),
    ).fetchone()
    if folded is None:
        return None
    edge_size, edge_note, index, leaf = folded
    # A checkpoint that most witnesses have seen says more than a newer one.
    kept = connection.execute(
        "SELECT c.size, c.note FROM central_checkpoints c WHERE c.size > %s ORDER BY "
        "(SELECT count(*) FROM cosignatures s WHERE s.size = c.size) DESC, c.size DESC LIMIT 1",
        (index,),
    ).fetchone()
    if kept is None:
        return Anchor(edge_size, bytes(edge_note), index, bytes(leaf), 0, b"", (), ())
    size, note = kept
    cosigned = connection.execute(
        "SELECT witness, cosigned_at FROM cosignatures WHERE size = %s ORDER BY witness", (size,)
    ).fetchall()
    return Anchor(
        edge_size,
        bytes(edge_note),
        index,
        bytes(leaf),
        size,
        bytes(note),
        inclusion_proof(index, size, StoredNodes(connection)),
        tuple(Cosigned(*row) for row in cosigned),
    )
