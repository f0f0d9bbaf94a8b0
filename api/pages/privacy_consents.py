"""Consents searched by what they are, and one consent's life with everything that can be proven of it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from api.access_log import list_accesses, record_read
from api.accounts import Login
from api.authorization import Action
from api.consent_checks import (
    TOLERANCE_MS,
    CheckedEntry,
    check_life,
    consent_before_first_frame,
    notices_in,
    processed_within_consent,
    render_again,
)
from api.consent_life import life_in
from api.consents import MOST_COUNTED, Filter, search_in
from api.database import Connection
from api.eraser import KEY_NAME
from api.erasure import certificate_in, find_erasure_in
from api.language import decimal_text
from api.log_keeper import LogKeeper
from api.pages import consent_words as words
from api.pages.access import NOT_SEEN, PageRefused, personal
from api.pages.privacy_withdrawals import STORE_NAMES
from api.pages.rendering import Pages, no_op
from api.projection import Consent
from api.trends import visible_counters
from consent.checkpoint import Ed25519Signer
from consent.entry import CaptureGap, SessionEnded
from consent.erasure import ErasureCertificate
from consent.errors import CertificateRefused
from consent.event import Event
from consent.notice import NoticeShelf
from consent.purpose import Purpose
from consent.record import Answer
from consent.state import State

PAGE_SIZE: Final = 25
_MINUTE_MS: Final = 60_000
_Text = Annotated[str, Query(max_length=64, pattern=r"^[^\x00]*$")]


@dataclass(frozen=True, slots=True)
class Asked:
    """The fields of the form as they came; what is no value of its field counts as not asked."""

    state: _Text = ""
    counter: _Text = ""
    since: _Text = ""
    until: _Text = ""
    version: _Text = ""
    language: _Text = ""
    purpose: _Text = ""
    answer: _Text = ""
    lost: _Text = ""

    def filter(self) -> Filter:
        """Return what is searched for."""
        answer = self.answer if self.answer in set(Answer) else None
        purpose = Purpose(self.purpose) if self.purpose in set(Purpose) else None
        return Filter(
            state=self.state if self.state in set(State) else None,
            counter=self.counter or None,
            since=_day(self.since),
            until=_day(self.until),
            notice_version=self.version or None,
            language=self.language or None,
            purpose=purpose if answer else None,
            answer=answer if purpose else None,
            lost=self.lost == "1",
        )

    def named(self) -> list[tuple[str, str]]:
        """Return the fields that narrow the search."""
        return [(name, getattr(self, name)) for name in self.__slots__ if getattr(self, name)]


def build_router(pages: Pages, keeper: LogKeeper) -> APIRouter:
    """Return the routes of the search and of one consent."""
    router = APIRouter(include_in_schema=False)
    _add_search(router, pages)
    _add_record(router, pages, keeper)
    return router


def _add_search(router: APIRouter, pages: Pages) -> None:
    reader = personal(pages, Action.SEARCH_CONSENTS)

    @router.get("/privacy/consents")
    def found(
        request: Request,
        login: Annotated[Login, Depends(reader)],
        asked: Annotated[Asked, Depends()],
        page: Annotated[int, Query(ge=1, le=MOST_COUNTED)] = 1,
    ) -> HTMLResponse:
        question = urlencode([*asked.named(), ("page", str(page))])
        with pages.database.transaction() as connection:
            result = search_in(connection, asked.filter(), page=page, size=PAGE_SIZE)
            record_read(connection, login, Action.SEARCH_CONSENTS, question)
        published = NoticeShelf.load().published()
        return pages.render(
            request,
            "consents.html",
            login=login,
            here="consents",
            asked=asked,
            page=result,
            kept=urlencode(asked.named()),
            most=MOST_COUNTED,
            counters=[item.code for item in visible_counters(pages.database, login.account)],
            versions=sorted({item.version for item in published}),
            notice_languages=sorted({item.language for item in published}),
            words=words,
            states=list(State),
            purposes=list(Purpose),
            answers=(Answer.GIVEN, Answer.REFUSED, Answer.OPEN),
            seconds=lambda ms: _seconds(ms, pages.language_of(request)),
            length=lambda row: processed_within_consent(row, datetime.now(UTC)).value,
        )


def _add_record(router: APIRouter, pages: Pages, keeper: LogKeeper) -> None:
    reader = personal(pages, Action.READ_CONSENT)

    @router.get("/privacy/consents/{record_id}")
    def record(request: Request, record_id: UUID, login: Annotated[Login, Depends(reader)]) -> HTMLResponse:
        language = pages.language_of(request)
        with pages.database.transaction() as connection:
            values = _told(connection, keeper, record_id)
            if values is None:
                raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login)
            record_read(connection, login, Action.READ_CONSENT, str(record_id), record_id=record_id)
        return pages.render(
            request,
            "consent.html",
            login=login,
            here="consents",
            words=words,
            purposes=list(Purpose),
            seconds=lambda ms: _seconds(ms, language),
            stores=STORE_NAMES,
            tolerance=_seconds(TOLERANCE_MS, language),
            **values,
        )


def _told(connection: Connection, keeper: LogKeeper, record_id: UUID) -> dict[str, Any] | None:
    """Read and check everything about one consent; None when there is none."""
    found = life_in(connection, record_id)
    if found is None:
        return None
    consent = found.consent
    checked = check_life(connection, found, keeper.witnesses)
    seen = notices_in(checked)
    certificate = certificate_in(connection, record_id)
    erasure = find_erasure_in(connection, record_id)
    at_edge = next((item.told for item in checked.entries if isinstance(item.told, ErasureCertificate)), None)
    return {
        "consent": consent,
        "life": found,
        "checked": checked,
        "rows": [_row(item) for item in checked.entries],
        "order": consent_before_first_frame(checked),
        "length": processed_within_consent(consent, datetime.now(UTC)),
        "processed": _processed(consent),
        "notices": [(item, render_again(*item)) for item in seen],
        "erasure": erasure,
        "certificate": certificate,
        "certificate_holds": certificate is not None and _holds(certificate, _centre_key(keeper)),
        "at_edge": at_edge,
        "at_edge_holds": at_edge is not None and _holds(at_edge, at_edge.destruction.vkey),
        "accesses": list_accesses(connection, record_id=record_id, limit=50),
    }


def _row(item: CheckedEntry) -> dict[str, Any]:
    """Return what the table of events says of one entry."""
    told = item.told
    row: dict[str, Any] = {
        "index": item.entry.index,
        "kind": item.entry.kind,
        "at": getattr(told, "at", None) or getattr(told, "done_at", None),
        "by": "",
        "method": "",
        "dwell_ms": None,
        "proof": item.proof,
        "answers": (),
        "gap_ms": None,
        "leaf_hash": item.entry.leaf_hash.hex(),
    }
    if isinstance(told, Event):
        row |= {"by": told.indicated_by, "method": told.method, "dwell_ms": told.dwell_ms}
        row["answers"] = tuple((part.purpose, part.answer) for part in told.decisions)
    elif isinstance(told, CaptureGap | SessionEnded) and told.gap_ms:
        row["gap_ms"] = told.gap_ms
    return row


def _processed(consent: Consent) -> tuple[tuple[Purpose, str | None, int | None], ...]:
    return (
        (Purpose.IMAGE, consent.image, consent.processed_image_ms),
        (Purpose.VOICE, consent.voice, consent.processed_voice_ms),
    )


def _centre_key(keeper: LogKeeper) -> str:
    return Ed25519Signer(KEY_NAME, keeper.log.keys_folder.erasure_key()).vkey()


def _holds(certificate: ErasureCertificate, vkey: str) -> bool:
    try:
        certificate.verify(vkey)
    except CertificateRefused:
        return False
    return True


def _seconds(ms: int | None, language: str) -> str:
    """Return a length of time as people read it: seconds, or minutes and seconds."""
    if ms is None:
        return "–"  # noqa: RUF001 - the dash of an empty cell
    minutes, seconds = ("phút", "giây") if language == "vi" else ("min", "s")
    if ms < _MINUTE_MS:
        return decimal_text(f"{ms / 1000:.1f}", language) + f" {seconds}"
    return f"{ms // _MINUTE_MS} {minutes} {ms % _MINUTE_MS // 1000} {seconds}"


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
