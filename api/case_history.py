"""What was done in a case: the entries of the centre's log about it, oldest first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from api.database import Connection


@dataclass(frozen=True, slots=True)
class CaseAct:
    """One act in a case, as the log tells it."""

    index: int
    at: datetime
    act: str
    actor: str


def case_acts(
    connection: Connection, kind: Literal["request", "breach"], case_id: UUID
) -> tuple[CaseAct, ...]:
    """Return the acts of one case, oldest first."""
    rows = connection.execute(
        "SELECT idx, at, body FROM central_log WHERE kind = %(kind)s "
        "AND convert_from(body, 'UTF8')::jsonb ->> %(kind)s = %(case)s ORDER BY idx",
        {"kind": kind, "case": str(case_id)},
    ).fetchall()
    return tuple(_act(*row) for row in rows)


def _act(index: int, at: datetime, body: bytes) -> CaseAct:
    told: dict[str, Any] = json.loads(bytes(body))
    return CaseAct(index, at, told["act"], told["actor"])
