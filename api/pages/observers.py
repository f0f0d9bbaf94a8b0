"""Pages of independent observers: entries with their proofs, imports hashed again.

Samples are drawn again on their own pages (`api.pages.sampling`). Nothing here writes: what is shown is
worked out anew at every request from tables and log.
"""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response

from api.accounts import Login
from api.authorization import Action
from api.central_log import CentralLog
from api.errors import LogDamaged
from api.log import Kind
from api.pages.access import NOT_SEEN, PageRefused, allowed
from api.pages.rendering import Pages, no_op
from api.proofs import SHOWN_KINDS, list_entries, prove_entry
from api.survey.import_check import check_imports
from consent.signed_note import encode

ENTRY_NAMES: Final = {
    Kind.INDEX_RELEASE: no_op("figures of a month"),
    Kind.RELEASE: no_op("sums of days"),
    Kind.INDEX_FORMULA: no_op("formula of the index"),
    Kind.CALIBRATION: no_op("calibration"),
    Kind.SAMPLE_PLANNED: no_op("sample planned"),
    Kind.SAMPLE_DRAWN: no_op("sample drawn"),
    Kind.BALLOT_IMPORT: no_op("ballots imported"),
    Kind.BALLOT_IMPORT_WITHDRAWN: no_op("import withdrawn"),
    Kind.ORGANISATION_IMPORT: no_op("organisation imported"),
    Kind.PRIVATE_RELEASE: no_op("open data with noise"),
    Kind.COUNTER_ACTION: no_op("note on a counter"),
}
_A_PAGE: Final = 50


def build_router(pages: Pages, log: CentralLog) -> APIRouter:
    """Return the routes of proofs and of the check of imports."""
    router = APIRouter(include_in_schema=False)
    _add_entries(router, pages, log)
    _add_imports(router, pages)
    return router


def _add_entries(router: APIRouter, pages: Pages, log: CentralLog) -> None:
    reader = allowed(pages, Action.VIEW_PROOFS)

    @router.get("/proofs")
    def proofs(
        request: Request,
        login: Annotated[Login, Depends(reader)],
        kind: Annotated[str, Query(max_length=30)] = "",
        before: Annotated[int | None, Query(ge=0)] = None,
    ) -> HTMLResponse:
        kinds = [item for item in SHOWN_KINDS if item.value == kind] or SHOWN_KINDS
        with pages.database.transaction() as connection:
            entries = list_entries(connection, kinds, before=before, limit=_A_PAGE)
        return pages.render(
            request,
            "proofs.html",
            login=login,
            here="proofs",
            entries=entries,
            older=entries[-1].index if len(entries) == _A_PAGE else None,
            kind=kind,
            names=ENTRY_NAMES,
        )

    @router.get("/proofs/entries/{index}")
    def entry(request: Request, index: int, login: Annotated[Login, Depends(reader)]) -> HTMLResponse:
        try:
            found = prove_entry(log, index)
        except LogDamaged as error:
            return pages.render(
                request,
                "proof_entry.html",
                login=login,
                here="proofs",
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                index=index,
                found=None,
                damaged=str(error),
            )
        if found is None:
            raise PageRefused(HTTPStatus.NOT_FOUND, no_op("Not found"), NOT_SEEN, login)
        whole = login.may(Action.READ_LOG)
        return pages.render(
            request,
            "proof_entry.html",
            login=login,
            here="proofs",
            index=index,
            found=found,
            damaged="",
            names=ENTRY_NAMES,
            whole=whole,
            leaf=encode(found.leaf_hash),
            root=encode(found.root),
            steps=[encode(value) for value in found.path or ()],
        )

    @router.get("/proofs/entries/{index}/proof.json")
    def download(index: int, login: Annotated[Login, Depends(reader)]) -> Response:
        found = prove_entry(log, index)
        if found is None:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        return Response(
            found.document(whole=login.may(Action.READ_LOG)),
            media_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="hailong-entry-{index}.json"'},
        )


def _add_imports(router: APIRouter, pages: Pages) -> None:
    reader = allowed(pages, Action.VIEW_PROOFS)

    @router.get("/proofs/imports")
    def imports(request: Request, login: Annotated[Login, Depends(reader)]) -> HTMLResponse:
        return pages.render(
            request,
            "proof_imports.html",
            login=login,
            here="proofs",
            check=check_imports(pages.database),
        )
