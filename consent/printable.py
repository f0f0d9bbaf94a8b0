"""One consent on paper: a PDF, or pictures of its pages, in Vietnamese or English.

The typesetter brings its fonts with it and sees the data as text only, so a document is the
same on every machine, byte for byte, and no value can become markup.
"""

from __future__ import annotations

import json
import tomllib
from datetime import datetime
from functools import cache
from importlib import resources
from importlib.util import find_spec
from typing import Any, Final

from consent.clocks import VIET_NAM
from consent.errors import ExportRefused
from consent.export import ErasureBlock, RecordDocument, SessionBlock
from consent.record import Language

LANGUAGES: Final = ("vi", "en")
_PICTURE_PPI: Final = 110.0


def pdf(document: RecordDocument, language: Language = "vi") -> bytes:
    """Return the document as a tagged PDF; the same document gives the same bytes.

    Raises:
        ExportRefused: There are no words in that language, or typst is not installed.
    """
    made = _compiled(document, language, "pdf")
    if len(made) != 1:
        raise ExportRefused("the typesetter gave no document: reinstall the package typst")
    return made[0]


def pictures(document: RecordDocument, language: Language = "vi") -> tuple[bytes, ...]:
    """Return the pages as PNG.

    Raises:
        ExportRefused: As `pdf`.
    """
    return _compiled(document, language, "png")


def _compiled(document: RecordDocument, language: str, form: str) -> tuple[bytes, ...]:
    if language not in LANGUAGES:
        raise ExportRefused(f"a record is printed in {' or '.join(LANGUAGES)}, not in '{language}'")
    if find_spec("typst") is None:
        raise ExportRefused("typst is not installed: install hailong[audit] to print records")
    # Late: the typesetter unpacks its fonts when it is loaded.
    import typst  # noqa: PLC0415 - see above

    words = _words(language)
    inputs = {
        "data": json.dumps(_Page(document, language, words).values(), ensure_ascii=False),
        "words": json.dumps({key: text for key, text in words.items() if isinstance(text, str)}),
    }
    compiler = typst.Compiler(ignore_system_fonts=True, sys_inputs=inputs)
    template = resources.files("consent").joinpath("printing/record.typ").read_bytes()
    # The only time in a PDF would be that of its making; the record has its own.
    if form == "png":
        made = compiler.compile(template, format="png", ppi=_PICTURE_PPI, timestamp=0)
    else:
        made = compiler.compile(template, format="pdf", timestamp=0)
    if made is None:
        return ()
    return tuple(made) if isinstance(made, list) else (made,)


@cache
def _words(language: str) -> dict[str, Any]:
    text = resources.files("consent").joinpath(f"printing/{language}.toml").read_text("utf-8")
    return tomllib.loads(text)


class _Page:
    """The values of one page in one language."""

    def __init__(self, document: RecordDocument, language: str, words: dict[str, Any]) -> None:
        self._document = document
        self._language = language
        self._words = words

    def values(self) -> dict[str, Any]:
        document, words = self._document, self._words
        record, terms, evidence = document.record, document.terms, document.evidence
        language = self._language
        dwell = None if record.dwell_ms is None else self._seconds(record.dwell_ms)
        notice = f"{record.notice.notice_id} {record.notice.version}"
        seen = f"{words['languages'][record.notice.language]}, {words['channels'][record.notice.channel]}"
        return {
            "language": language,
            "record": str(record.record_id),
            "state": words["state"][document.state],
            "state_means": words["state_means"][document.state],
            "purposes": [
                {
                    "purpose": terms.purposes[item.purpose][language],
                    "answer": words["answers"][item.answer],
                    "sentence": category.sentence,
                }
                for item, category in zip(record.decisions, record.categories, strict=True)
            ],
            "question": [
                *self._rows(
                    ("notice", notice),
                    ("language", seen),
                    ("offered_at", _time(record.offered_at)),
                    ("shown_at", _time(record.shown_at)),
                    ("decided_at", _time(record.decided_at)),
                    ("dwell", dwell),
                    ("validity", words["validity_value"].format(minutes=record.validity_s // 60)),
                ),
                [words["notice_sha256"], record.notice.sha256, "code"],
            ],
            "parties": self._rows(
                ("controller", record.parties.controller),
                ("contact", record.parties.contact),
                ("processor", record.parties.processor or words["no_processor"]),
                ("recipients", "; ".join(item[language] for item in terms.recipients)),
                ("authority", terms.authority[language]),
            ),
            "terms": [
                *self._rows(
                    ("legal_basis", "; ".join(basis.words[language] for basis in terms.legal_basis)),
                    ("processing", self._codes(terms.processing)),
                    ("oversight", terms.human_oversight[language]),
                    ("storage_place", terms.storage_place[language]),
                    ("terms", f"{record.terms.terms_id} {record.terms.version}"),
                ),
                [words["terms_sha256"], record.terms.sha256, "code"],
            ],
            "retention": [
                {"category": self._code(item.category), "kept": self._kept(item.days)}
                for item in terms.retention
            ],
            "rights": terms.rights_notice[language],
            "withdrawal": self._rows(("withdrawal", self._codes(terms.withdrawal_methods))),
            "events": [
                {
                    "time": _time(item.event.at),
                    "event": words["event_kinds"][item.event.kind],
                    "by": words["indicated_by"][item.event.indicated_by],
                    "method": self._code(item.event.method),
                    "index": str(item.entry.index),
                }
                for item in document.events
            ]
            + [
                {
                    "time": _time(item.read.at),
                    "event": words["quotes_read"],
                    "by": item.read.reader,
                    "method": f"{self._code(item.read.purpose)}, {item.read.ticket}",
                    "index": str(item.entry.index),
                }
                for item in document.reads
            ],
            "session": [] if document.session is None else self._session(document.session),
            **self._erasure(document.erasure),
            "evidence": [
                [words["origin"], evidence.origin, "code"],
                [words["tree"], str(evidence.size), ""],
                [words["root"], evidence.root.hex(), "code"],
                *([] if evidence.checkpoint else [[words["checkpoint"], words["unsigned"], ""]]),
            ],
            "checkpoint": None if evidence.checkpoint is None else evidence.checkpoint.decode().split("\n"),
            "identity": [
                [words["record"], str(record.record_id), "code"],
                [words["receipt"], str(record.receipt_id), "code"],
                [words["session_id"], str(record.session_id), "code"],
                [words["counter"], record.counter, ""],
                self._hash("pseudonym", record.subject_pseudonym),
                self._hash("device_key", record.device_key_id),
            ],
        }

    def _rows(self, *rows: tuple[str, str | None]) -> list[list[str]]:
        return [[self._words[key], value, ""] for key, value in rows if value]

    def _hash(self, key: str, value: str | None) -> list[str]:
        return [self._words[key], value or self._words["none"], "code" if value else ""]

    def _codes(self, codes: tuple[str, ...]) -> str:
        return ", ".join(self._code(code) for code in codes)

    def _code(self, code: str) -> str:
        return str(self._words["codes"].get(code, code))

    def _kept(self, days: int) -> str:
        return str(self._words["days"].format(count=days)) if days else str(self._words["never_stored"])

    def _seconds(self, milliseconds: int) -> str:
        return str(self._words["seconds"].format(value=self._number(milliseconds)))

    def _number(self, milliseconds: int) -> str:
        text = f"{milliseconds / 1000:.1f}"
        return text.replace(".", ",") if self._language == "vi" else text

    def _session(self, block: SessionBlock) -> list[list[str]]:
        words, ended = self._words, block.ended
        rows = self._rows(("started_at", _time(block.started.at)))
        if ended is None:
            return rows + self._rows(("ended_at", words["lost"]))
        processed = words["processed_value"].format(
            image=self._number(ended.processed_ms.image), voice=self._number(ended.processed_ms.voice)
        )
        gaps = words["interruptions_value"].format(count=ended.gaps, value=self._number(ended.gap_ms))
        return rows + self._rows(
            ("ended_at", _time(ended.at)),
            ("processed", processed),
            ("consented", self._seconds(ended.consented_ms)),
            ("interruptions", gaps),
            ("outcome", self._code(ended.outcome)),
        )

    def _erasure(self, block: ErasureBlock | None) -> dict[str, Any]:
        if block is None:
            return {"erasure": [], "stores": [], "destruction": None}
        rows = self._rows(("cause", self._code(block.begun.cause)), ("started_at", _time(block.begun.at)))
        if block.certificate is None:
            rows += self._rows(("ended_at", self._words["erasure_open"]))
            return {"erasure": rows, "stores": [], "destruction": None}
        rows += self._rows(("ended_at", _time(block.certificate.done_at)))
        stores = [
            {"name": self._code(status.name), "removed": str(status.removed), "time": _time(status.done_at)}
            for status in block.certificate.stores
        ]
        return {
            "erasure": rows,
            "stores": stores,
            "destruction": block.certificate.destruction.note().decode().strip(),
        }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(VIET_NAM).strftime("%d/%m/%Y %H:%M:%S")
