"""Whether the ballots in the database are exactly the ones that the log says were imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from api.database import Connection, Database
from api.log import Kind
from api.survey.ballot_rows import BallotRow, RowsHash
from api.survey.channels import Channel


@dataclass(frozen=True, slots=True)
class ImportFault:
    """An import that is not what the log says."""

    import_id: UUID
    fault: str


@dataclass(frozen=True, slots=True)
class ImportCheck:
    """What was found.

    Attributes:
        imports: Imports in the log that were not withdrawn.
        ballots: Ballots that were read and hashed again.
        aged: Imports of which the retention has removed days; only the number of the rest is bounded.
    """

    imports: int
    ballots: int
    aged: int
    faults: tuple[ImportFault, ...]

    @property
    def ok(self) -> bool:
        """Whether every ballot is accounted for."""
        return not self.faults


def check_imports(database: Database) -> ImportCheck:
    """Hash every import again and hold it against its entry in the log, in both directions."""
    with database.transaction() as connection:
        said = _leaves(connection, Kind.BALLOT_IMPORT)
        withdrawn = _leaves(connection, Kind.BALLOT_IMPORT_WITHDRAWN)
        cutoff = _cutoff(connection)
        counts = {
            row[0]: (int(row[1]), row[2])
            for row in connection.execute(
                "SELECT import_id, count(*), min(day) FROM survey_ballots GROUP BY import_id"
            )
        }
        faults, ballots, aged = [], 0, 0
        for import_id, body in said.items():
            count, _ = counts.get(import_id, (0, None))
            if import_id in withdrawn:
                if count:
                    faults.append(ImportFault(import_id, f"withdrawn, but {count} ballots are there"))
                continue
            if count < body["kept"] and cutoff is not None:
                aged += 1
                continue
            found, digest = _hash(connection, import_id, str(body["questionnaire"]))
            ballots += found
            if found != body["kept"]:
                faults.append(ImportFault(import_id, f"{found} ballots instead of {body['kept']}"))
            elif digest != body["rows_sha256"]:
                faults.append(ImportFault(import_id, "a ballot was changed"))
        faults += [
            ImportFault(import_id, f"{counts[import_id][0]} ballots that no entry names")
            for import_id in counts.keys() - said.keys()
        ]
    faults.sort(key=lambda fault: str(fault.import_id))
    return ImportCheck(len(said.keys() - withdrawn.keys()), ballots, aged, tuple(faults))


def _leaves(connection: Connection, kind: Kind) -> Mapping[UUID, Mapping[str, Any]]:
    rows = connection.execute("SELECT body FROM central_log WHERE kind = %s ORDER BY idx", (kind.value,))
    bodies = (json.loads(bytes(row[0])) for row in rows)
    return {UUID(body["import"]): body for body in bodies}


def _cutoff(connection: Connection) -> date | None:
    """Return the day before which the retention has removed ballots, None when it never did."""
    row = connection.execute(
        "SELECT max(cutoff)::date FROM retention_runs WHERE category = 'survey-ballot' AND removed > 0"
    ).fetchone()
    return None if row is None else row[0]


def _hash(connection: Connection, import_id: UUID, questionnaire: str) -> tuple[int, str]:
    rows_hash, count = RowsHash(questionnaire), 0
    with connection.cursor(name="ballots_of_import") as cursor:
        cursor.execute(
            "SELECT sheet, line, channel, day, unit, counter, procedure, gave_feedback, levels, "
            "transaction_digest FROM survey_ballots WHERE import_id = %s ORDER BY sheet, line",
            (import_id,),
        )
        for row in cursor:
            sheet, line, channel, day, unit, counter, procedure, feedback, levels, mark = row
            rows_hash.add(
                BallotRow(
                    *(sheet, line, Channel(channel), day, unit, counter, procedure, feedback),
                    levels=tuple(levels),
                    transaction_digest=None if mark is None else bytes(mark),
                )
            )
            count += 1
    return count, rows_hash.digest().hex()
