"""Pages for citizens, without a login: is my slip good, what became of my data, who looked, take it back.

The code goes into the body of a form, never into an address. A code that is wrong and one that is not known
yet get the same answer.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.authorization import Action
from api.database import Connection
from api.errors import ReceiptNotWitnessed
from api.guards import client_address, open_to_all
from api.log_keeper import LogKeeper
from api.own_record import SlipFinding, check_slip, consent_of_code, own_certificate, own_record
from api.pages import consent_words as words
from api.pages.access import PageRefused
from api.pages.administration import ROLE_NAMES
from api.pages.rendering import Pages, no_op
from api.receipts import witnessed_receipt
from api.withdrawals import Wish, withdraw_by_code

MOST_A_MINUTE: Final = 30
"""Requests from one address; a code is tried or a slip checked by people."""
_MOST_ADDRESSES: Final = 4096
_LONGEST_SLIP: Final = 8000
FINDINGS: Final = {
    SlipFinding.GOOD: no_op(
        "The slip is good: the answer on it is in the log of the counter, the log's key signed it, and the "
        "centre keeps the same log."
    ),
    SlipFinding.SIGNED: no_op(
        "The slip is signed by the key of the counter's log. The centre has not received that part of the "
        "log yet: look again in some hours."
    ),
    SlipFinding.UNREADABLE: no_op(
        "This is not the whole text of a slip's QR code. Copy all of it, from 'hailong receipt' to the "
        "last line."
    ),
    SlipFinding.UNKNOWN_LOG: no_op(
        "The centre knows no log of that name yet: it may not have received it, or the slip is not of this "
        "service."
    ),
    SlipFinding.REFUSED: no_op(
        "The slip does NOT hold: code, answer, proof and signature do not belong together."
    ),
    SlipFinding.SPLIT: no_op(
        "ALARM: the slip is signed, but the centre keeps another log. Keep the slip and show it to the "
        "oversight body."
    ),
}
_WISHES: Final = {
    Wish.ASKED: no_op(
        "The withdrawal is under way. What is running stops within seconds, then everything is erased."
    ),
    Wish.BEFORE: no_op("The consent was withdrawn before. Nothing more is needed."),
    Wish.NOTHING: no_op("There is nothing to withdraw: nothing was permitted, or it was stopped and erased."),
}
STORES: Final = {
    "signals": no_op("results and their sums"),
    "quarantine": no_op("data set aside"),
    "ballots": no_op("link to the rating"),
    "receipts": no_op("acknowledgements"),
    "dead-rows": no_op("traces in tables"),
    "temporary-files": no_op("temporary files"),
    "write-ahead-log": no_op("write-ahead log"),
    "live-buffers": no_op("working memory"),
    "outbox": no_op("results waiting to be sent"),
    "session-key": no_op("key of the session"),
    "quotes": no_op("redacted quotes"),
}
CITIZEN_ROLES: Final = {
    **{role.value: name for role, name in ROLE_NAMES.items()},
    "citizen": no_op("you, with the slip"),
}
_NOT_WITNESSED: Final = no_op(
    "No outside witness has seen the part of the log with your answer yet: ask again in an hour. Until then "
    "the slip of the counter proves it under the key of the counter's log alone."
)
_TOO_MANY: Final = no_op("Too many tries from here: wait a minute, then go on.")
_Code = Annotated[str, Form(max_length=200, pattern=r"^[^\x00]*$")]


class Attempts:
    """Counts requests by address, over the last minute. Threads may share it.

    Args:
        most: How many are let through in a minute.
        clock: Seconds that never go back.
    """

    def __init__(self, most: int = MOST_A_MINUTE, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none."""
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def let_through(self, address: str) -> bool:
        """Count one request and tell whether it may go on."""
        now = self._clock()
        with self._lock:
            times = self._seen.setdefault(address, deque(maxlen=self._most))
            self._seen.move_to_end(address)
            if len(self._seen) > _MOST_ADDRESSES:
                self._seen.popitem(last=False)
            if len(times) == self._most and now - times[0] < 60:  # noqa: PLR2004 - seconds of a minute
                return False
            times.append(now)
            return True


def build_router(pages: Pages, keeper: LogKeeper) -> APIRouter:
    """Return the routes for citizens."""
    router = APIRouter(include_in_schema=False)
    attempts = Attempts()

    def unhurried(request: Request) -> None:
        address = client_address(request, pages.settings.server.trusted_proxies)
        if not attempts.let_through(address):
            raise PageRefused(HTTPStatus.TOO_MANY_REQUESTS, no_op("Please wait"), _TOO_MANY)

    _add_look(router, pages, keeper, Depends(unhurried))
    _add_slip(router, pages, Depends(unhurried))
    _add_withdrawal(router, pages, Depends(unhurried))
    return router


def _add_look(router: APIRouter, pages: Pages, keeper: LogKeeper, unhurried: Any) -> None:  # noqa: ANN401 - what FastAPI's Depends gives
    visitor = Depends(open_to_all(Action.VIEW_OWN_RECEIPT))

    @router.get("/receipt", dependencies=[visitor])
    def start(request: Request) -> HTMLResponse:
        return pages.render(request, "receipt.html", unknown=False)

    @router.get("/receipt/check", dependencies=[visitor])
    @router.get("/receipt/certificate", dependencies=[visitor])
    @router.get("/receipt/witnessed", dependencies=[visitor])
    @router.get("/receipt/withdraw", dependencies=[visitor])
    def back(request: Request) -> Response:
        """Lead whoever changes the language, or comes back later, to the page where codes are typed."""
        query = request.url.query
        return RedirectResponse("/receipt" + (f"?{query}" if query else ""), status_code=HTTPStatus.SEE_OTHER)

    @router.post("/receipt", dependencies=[visitor, unhurried])
    def look(request: Request, code: _Code = "") -> HTMLResponse:
        told = own_record(pages.database, keeper.witnesses, code)
        if told is None:
            return pages.render(request, "receipt.html", unknown=True)
        return pages.render(
            request,
            "receipt_record.html",
            told=told,
            code=code,
            words=words,
            roles=CITIZEN_ROLES,
            stores=STORES,
        )

    @router.post("/receipt/certificate", dependencies=[visitor, unhurried])
    def certificate(request: Request, code: _Code = "") -> Response:
        found = own_certificate(pages.database, code)
        if found is None:
            return pages.render(request, "receipt.html", unknown=True)
        return Response(
            found.canonical(),
            media_type="application/json",
            headers={
                "Content-Disposition": f'attachment; filename="erasure-{found.record_id}.json"',
                "Cache-Control": "no-store",
            },
        )

    @router.post("/receipt/witnessed", dependencies=[visitor, unhurried])
    def witnessed(request: Request, code: _Code = "") -> Response:
        try:
            text = witnessed_receipt(keeper.log, keeper.witnesses, code)
        except ReceiptNotWitnessed:
            raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not witnessed yet"), _NOT_WITNESSED) from None
        if text is None:
            return pages.render(request, "receipt.html", unknown=True)
        return Response(
            text,
            media_type="text/plain; charset=utf-8",
            headers={
                "Content-Disposition": 'attachment; filename="receipt.txt"',
                "Cache-Control": "no-store",
            },
        )


def _add_slip(router: APIRouter, pages: Pages, unhurried: Any) -> None:  # noqa: ANN401 - as above
    visitor = Depends(open_to_all(Action.VIEW_OWN_RECEIPT))

    @router.post("/receipt/check", dependencies=[visitor, unhurried])
    def check(
        request: Request,
        slip: Annotated[str, Form(max_length=_LONGEST_SLIP, pattern=r"^[^\x00]*$")] = "",
    ) -> HTMLResponse:
        text = slip.replace("\r\n", "\n").strip() + "\n"
        with pages.database.transaction() as connection:
            checked = check_slip(connection, text)
            known = checked.receipt is not None and _knows(connection, checked.receipt.code)
        return pages.render(
            request,
            "receipt_slip.html",
            finding=checked.finding,
            said=FINDINGS[checked.finding],
            good=checked.finding in {SlipFinding.GOOD, SlipFinding.SIGNED},
            alarm=checked.finding in {SlipFinding.REFUSED, SlipFinding.SPLIT},
            receipt=checked.receipt,
            event=checked.receipt.event() if checked.receipt else None,
            known=known,
            words=words,
        )


def _knows(connection: Connection, code: str) -> bool:
    return consent_of_code(connection, code) is not None


def _add_withdrawal(router: APIRouter, pages: Pages, unhurried: Any) -> None:  # noqa: ANN401 - as above
    visitor = Depends(open_to_all(Action.WITHDRAW_BY_RECEIPT))

    @router.post("/receipt/withdraw", dependencies=[visitor, unhurried])
    def withdraw(
        request: Request, code: _Code = "", confirmed: Annotated[str, Form(max_length=10)] = ""
    ) -> HTMLResponse:
        if confirmed != "yes":  # says nothing of the code: it is looked up after the second tap
            return pages.render(request, "receipt_confirm.html", code=code)
        asked = withdraw_by_code(pages.database, code)
        if asked is None:
            return pages.render(request, "receipt.html", unknown=True)
        return pages.render(request, "receipt_withdrawn.html", said=_WISHES[asked.wish], code=code)
