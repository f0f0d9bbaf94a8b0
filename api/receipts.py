"""Witnessed receipts: the proof of an answer carried on to the witnesses of the centre's log.

A slip from the kiosk proves that the desk's log was signed; whoever holds that key could sign another.
Here the desk's checkpoint is shown to be an entry of the centre's log, below a state that witnesses cosigned.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from api.central_log import CentralLog
from api.database import Connection
from api.errors import LogDamaged, ReceiptNotWitnessed
from api.tree import StoredNodes
from api.witnesses import Witnesses
from consent.checkpoint import peek
from consent.errors import ReceiptRefused
from consent.merkle import inclusion_proof
from consent.receipt import Folding, Receipt, code_digest, normalised

_ANSWER: Final = (
    "SELECT c.edge_id, c.record_id, c.receipt_id, c.decision_index, e.body FROM consents c "
    "JOIN edge_log_entries e ON e.edge_id = c.edge_id AND e.idx = c.decision_index "
    "WHERE c.withdrawal_digest = %s AND e.kind IN ('given', 'refused')"
)
_FOLDED: Final = (
    "SELECT f.size, f.note, f.central_index, l.body FROM edge_checkpoints f "
    "JOIN central_log l ON l.idx = f.central_index "
    "WHERE f.edge_id = %s AND f.size > %s AND f.central_index < %s ORDER BY f.central_index LIMIT 1"
)


def witnessed_receipt(log: CentralLog, witnesses: Witnesses, code: str) -> str | None:
    """Return the text of the witnessed receipt of a code, None where no answer with this code is known.

    Whoever asks without knowing the code cannot be given one: the code is a part of what is proven.

    Raises:
        ReceiptNotWitnessed: The witnesses have not yet seen a state of the log that holds the answer.
        DatabaseUnavailable: Ask again later.
        LogDamaged: A node that a proof needs is missing.
    """
    try:
        digest = code_digest(code)
    except ReceiptRefused:
        return None
    note = witnesses.newest_witnessed()
    with log.database.transaction() as connection:
        row = connection.execute(_ANSWER, (digest,)).fetchone()
        if row is None:
            return None
        edge, record_id, receipt_id, index, leaf = row
        size = peek(note).size if note is not None else 0
        folded = connection.execute(_FOLDED, (edge, index, size)).fetchone()
        if note is None or folded is None:
            raise ReceiptNotWitnessed(
                "no witness has seen the part of the log with this answer yet: ask again in an hour; until "
                "then the slip of the kiosk proves the answer under the key of the desk's log alone"
            )
        folded_size, folded_note, central_index, central_leaf = folded
        return Receipt(
            receipt_id=receipt_id,
            record_id=record_id,
            code=normalised(code),
            leaf=bytes(leaf),
            index=index,
            checkpoint=bytes(folded_note),
            proof=_proof(connection, index, folded_size, edge),
            folding=Folding(
                bytes(central_leaf), central_index, note, _proof(connection, central_index, size, None)
            ),
        ).text()


def _proof(connection: Connection, index: int, size: int, edge: UUID | None) -> tuple[bytes, ...]:
    try:
        return inclusion_proof(index, size, StoredNodes(connection, edge))
    except KeyError as error:
        raise LogDamaged(
            f"node {error} of a log is missing here: nothing can be proven. Run 'hailong central verify-log'."
        ) from error
