"""Withdrawals and erasures: their clocks, each store of both sides, and the certificate checked."""

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from api import erasure
from api.access_log import record_read
from api.accounts import Login
from api.authorization import Action
from api.database import Connection
from api.eraser import erasure_file, erasure_signer
from api.erasure_file import ReplayMark
from api.errors import ErasureFileDamaged, KeysUnusable
from api.language import gettext_of
from api.pages.access import NOT_SEEN, PageRefused, personal
from api.pages.case_words import STANDING_NAMES, Gettext, ShownClock, number_of, shown_clock
from api.pages.rendering import Pages, no_op
from api.withdrawal_cases import (
    Step,
    WithdrawalCase,
    clock_of,
    count_open,
    find_case,
    find_cases,
    steps_of,
)
from consent.clocks import Clocks, Rule
from consent.erasure import ErasureCertificate
from consent.errors import CertificateRefused

_SIZE: Final = 50
_WITHDRAW: Final = no_op("Stop and erase")
CAUSE_NAMES: Final = {
    "withdrawn": no_op("withdrawn by the citizen"),
    "invalidated": no_op("stopped by the authority"),
    "request": no_op("deletion on request"),
    "retention": no_op("end of retention"),
}
METHOD_NAMES: Final = {
    "button": no_op("button of the kiosk"),
    "receipt": no_op("code of the receipt"),
    "code": no_op("code of the receipt"),
    "officer": no_op("privacy officer, for the citizen"),
}
STORE_NAMES: Final = {
    "signals": no_op("signals and their part of the sums"),
    "quarantine": no_op("entries that were set aside"),
    "ballots": no_op("link from ballots to the session"),
    "receipts": no_op("digests of received entries"),
    "dead-rows": no_op("dead rows in data files"),
    "temporary-files": no_op("temporary files"),
    "write-ahead-log": no_op("write-ahead log"),
    "live-buffers": no_op("buffers of the running session"),
    "outbox": no_op("outbox of the edge"),
    "session-key": no_op("key of the session"),
    "quotes": no_op("redacted quotes"),
}
STEP_NAMES: Final = {
    "withdrawal-requested": no_op("withdrawal asked for at the centre"),
    "withdrawn": no_op("consent withdrawn"),
    "invalidated": no_op("consent stopped by the authority"),
    "erasure-started": no_op("erasure begins: written before anything is destroyed"),
    "erasure-done": no_op("erasure complete, with its certificate"),
}


@dataclass(frozen=True, slots=True)
class Replay:
    """How the list of erasures outside the database stands against the database.

    Attributes:
        missing: Erasures of the list that this database does not know.
        unfinished: Erasures that are not complete.
    """

    lines: int
    missing: int
    unfinished: int
    mark: ReplayMark | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """A certificate with the result of checking it.

    Attributes:
        by_edge: The edge's own; False for the centre's.
        holds: Signature and contents fit the key it names; `fault` says what does not.
        key_known: That key is the centre's erasure key of today. The edge's key is the edge's own.
    """

    certificate: ErasureCertificate
    by_edge: bool
    holds: bool
    key_known: bool
    fault: str = ""

    @property
    def key_id(self) -> str:
        """Name and id of the key: the public half without its key material."""
        return "+".join(self.certificate.destruction.vkey.split("+")[:2])


def add_routes(router: APIRouter, pages: Pages, clocks: Clocks) -> None:
    """Add the routes of withdrawals and erasures."""
    _add_list(router, pages, clocks)
    _add_case(router, pages, clocks)


def _add_list(router: APIRouter, pages: Pages, clocks: Clocks) -> None:
    searcher = personal(pages, Action.SEARCH_CONSENTS)

    @router.get("/privacy/withdrawals")
    def withdrawals_page(
        request: Request, login: Annotated[Login, Depends(searcher)], show: str = "all", page: str = "1"
    ) -> HTMLResponse:
        number = number_of(page) or 1
        only_open = show == "open"
        now = datetime.now(UTC)
        with pages.database.transaction() as connection:
            found = find_cases(connection, only_open=only_open, limit=_SIZE + 1, offset=_SIZE * (number - 1))
            waiting = count_open(connection)
            replay = _replay(pages, connection)
            object_id = f"withdrawals show={'open' if only_open else 'all'} page={number}"
            record_read(connection, login, Action.SEARCH_CONSENTS, object_id)
        gettext = gettext_of(pages.language_of(request))
        return pages.render(
            request,
            "privacy_withdrawals.html",
            login=login,
            here="withdrawals",
            rows=[(case, _clock(case, clocks, now, gettext)) for case in found[:_SIZE]],
            waiting=waiting,
            replay=replay,
            only_open=only_open,
            number=number,
            more=len(found) > _SIZE,
            causes=CAUSE_NAMES,
            methods=METHOD_NAMES,
            standings=STANDING_NAMES,
        )


def _add_case(router: APIRouter, pages: Pages, clocks: Clocks) -> None:
    reader = personal(pages, Action.READ_CONSENT)

    @router.get("/privacy/withdrawals/{record_id}")
    def case_page(
        request: Request, login: Annotated[Login, Depends(reader)], record_id: UUID
    ) -> HTMLResponse:
        with pages.database.transaction() as connection:
            case = find_case(connection, record_id)
            if case is None:
                raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login)
            steps = steps_of(connection, record_id)
            state = erasure.find_erasure_in(connection, record_id)
            certificate = erasure.certificate_in(connection, record_id)
            record_read(
                connection, login, Action.READ_CONSENT, f"withdrawal {record_id}", record_id=record_id
            )
        gettext = gettext_of(pages.language_of(request))
        clock = _clock(case, clocks, datetime.now(UTC), gettext)
        return pages.render(
            request,
            "privacy_withdrawal.html",
            login=login,
            here="withdrawals",
            case=case,
            clocks=() if clock is None else (clock,),
            steps=steps,
            erasure=state,
            certificates=_certificates(pages, steps, certificate),
            causes=CAUSE_NAMES,
            methods=METHOD_NAMES,
            stores=STORE_NAMES,
            step_names=STEP_NAMES,
            standings=STANDING_NAMES,
        )


def _clock(case: WithdrawalCase, clocks: Clocks, now: datetime, gettext: Gettext) -> ShownClock | None:
    found = clock_of(case, clocks)
    if found is None:
        return None
    clock, deadline = found
    law = f"{deadline.law_id} {deadline.version}"
    return shown_clock(
        gettext(_WITHDRAW),
        clock,
        clocks.duty(law, Rule.WITHDRAW),
        law,
        now=now,
        gettext=gettext,
        provisional=deadline.provisional,
    )


def _replay(pages: Pages, connection: Connection) -> Replay:
    """Hold the list outside the database against the database, now."""
    file = erasure_file(pages.settings)
    unfinished = erasure.count_unfinished(connection)
    try:
        listed = [line.record_id for line in file.lines()]
    except ErasureFileDamaged as damage:
        return Replay(0, 0, unfinished, file.last_replay(), str(damage))
    missing = erasure.count_unknown(connection, listed)
    return Replay(len(listed), missing, unfinished, file.last_replay())


def _certificates(
    pages: Pages, steps: tuple[Step, ...], certificate: ErasureCertificate | None
) -> tuple[ShownCertificate, ...]:
    """Check the newest certificate of each side."""
    edge = [step.certificate for step in steps if step.certificate is not None]
    found = [_checked(edge[-1], edge[-1].destruction.vkey, by_edge=True)] if edge else []
    if certificate is not None:
        try:
            vkey = erasure_signer(pages.settings).vkey()
        except KeysUnusable as error:
            found.append(ShownCertificate(certificate, False, False, False, str(error)))
        else:
            found.append(_checked(certificate, vkey, by_edge=False))
    return tuple(found)


def _checked(certificate: ErasureCertificate, vkey: str, *, by_edge: bool) -> ShownCertificate:
    key_known = certificate.destruction.vkey == vkey
    try:
        certificate.verify(certificate.destruction.vkey)
    except CertificateRefused as error:
        return ShownCertificate(certificate, by_edge, False, key_known, str(error))
    return ShownCertificate(certificate, by_edge, True, key_known)
