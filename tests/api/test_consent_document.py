"""The document of a consent at the centre: the one that its edge would make, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from api.consent_document import consent_document
from api.edge_logs import EdgeLogs
from api.settings import LogSettings
from consent.errors import UnknownRecord
from consent.export import record_document
from consent.forms import Form, written
from consent.state import State
from tests.api.edge_consents import EdgeLog

if TYPE_CHECKING:
    from pathlib import Path

    from api.database import Database
    from tests.api.senders import Edge


def test_the_centre_makes_the_document_that_the_edge_makes(
    database: Database, edge: Edge, tmp_path: Path
) -> None:
    log = EdgeLog.make(edge, tmp_path)
    first, second = log.whole(), log.whole()
    log.send(EdgeLogs(database, LogSettings(fold_s=0)), 0)
    for record in (first, second):
        at_edge = record_document(log.store.evidence(record.record_id))
        with database.transaction() as connection:
            at_centre = consent_document(connection, record.record_id)
        assert at_centre.state is State.COMPLETED
        assert written(at_centre, Form.JSON) == written(at_edge, Form.JSON)
        assert written(at_centre, Form.JSONLD) == written(at_edge, Form.JSONLD)
        assert written(at_centre, Form.PDF, "en") == written(at_edge, Form.PDF, "en")


def test_an_unknown_consent_has_no_document(database: Database) -> None:
    with pytest.raises(UnknownRecord, match="wait on its edge"), database.transaction() as connection:
        consent_document(connection, uuid4())
