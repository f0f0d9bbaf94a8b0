"""The forms in which one consent leaves a log: linked data, plain JSON, paper."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from uuid import UUID

from consent import jsonld, printable
from consent.export import RecordDocument, read_evidence, record_document


class Form(StrEnum):
    """How a document is written."""

    JSONLD = "jsonld"
    JSON = "json"
    PDF = "pdf"


def written(document: RecordDocument, form: Form, language: str = "vi") -> bytes:
    """Return a document in one form.

    Raises:
        ExportRefused: It is incomplete, or the program that makes this form is not installed.
    """
    if form is Form.PDF:
        return printable.pdf(document, language)
    return document.canonical() if form is Form.JSON else jsonld.encoded(document)


def exported(log: Path, record_id: UUID, form: Form, language: str = "vi") -> bytes:
    """Return one consent of a log file in one form.

    Raises:
        ConsentError: The log does not hold it or cannot be read, or it cannot be written in this form.
    """
    return written(record_document(read_evidence(log, record_id)), form, language)
