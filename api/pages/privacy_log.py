"""The log's page: how it stands, who witnesses it, the edges' logs, a full check, proofs since a day."""

from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.accounts import Login
from api.authorization import Action
from api.camera_previews import camera_previews
from api.consents import anomalies, edge_logs
from api.continuity import Continuity
from api.errors import KeysUnusable, LogDamaged
from api.language import day_text
from api.log_checks import LogChecks
from api.log_history import since_checkpoint, since_day, since_size
from api.log_keeper import LogKeeper
from api.pages.access import allowed, check_form
from api.pages.rendering import Pages, no_op
from api.published_keys import published_keys
from api.witnesses import LogStatus, Standing
from consent.checkpoint import Checkpoint
from consent.entry import MaintenanceEnd
from consent.errors import CheckpointRefused, ProofRefused
from consent.signed_note import encode

STANDINGS: Final = {
    Standing.COSIGNED: no_op("has cosigned"),
    Standing.UNREACHABLE: no_op("cannot be reached"),
    Standing.REFUSED: no_op("REFUSES: it knows another log"),
    Standing.NOT_ASKED: no_op("not asked yet"),
}
PREVIEW_ENDS: Final = {
    MaintenanceEnd.TIME: no_op("time ran out"),
    MaintenanceEnd.STOPPED: no_op("stopped by the operator"),
    MaintenanceEnd.UNWATCHED: no_op("nobody watched"),
    MaintenanceEnd.DEVICE: no_op("the camera ended"),
    MaintenanceEnd.FAILED: no_op("a fault of the program"),
    MaintenanceEnd.UNFINISHED: no_op("unfinished: the program was killed"),
}
_TOO_YOUNG: Final = no_op("The log did not exist on that day: choose a later one.")
_NO_DAY: Final = no_op("Choose a day that is over, or paste a checkpoint.")
_AGAIN_S: Final = 2
_LONGEST_NOTE: Final = 20_000


def build_router(pages: Pages, keeper: LogKeeper) -> APIRouter:
    """Return the routes of the log's page, its check and its proofs."""
    router = APIRouter(include_in_schema=False)
    checks = LogChecks(keeper)
    _add_standing(router, pages, keeper, checks)
    _add_check(router, pages, checks)
    _add_continuity(router, pages, keeper)
    return router


def _add_standing(router: APIRouter, pages: Pages, keeper: LogKeeper, checks: LogChecks) -> None:
    reader = allowed(pages, Action.READ_LOG)

    @router.get("/privacy/log")
    def standing(request: Request, login: Annotated[Login, Depends(reader)]) -> HTMLResponse:
        return pages.render(
            request,
            "privacy_log.html",
            login=login,
            here="log",
            check=checks.last,
            edges=edge_logs(pages.database),
            anomalies=anomalies(pages.database),
            previews=camera_previews(pages.database),
            preview_ends=PREVIEW_ENDS,
            standings=STANDINGS,
            **_status(keeper),
        )


def _status(keeper: LogKeeper) -> dict[str, Any]:
    """Return what the page shows of the centre's log; a log that cannot be read still has a page."""
    told: dict[str, Any] = {"fault": keeper.fault, "log_status": None, "root": "", "keys": ()}
    try:
        status: LogStatus = keeper.witnesses.status()
        keys = published_keys(keeper)
    except (LogDamaged, KeysUnusable) as error:
        return told | {"fault": keeper.fault or str(error)}
    note = status.note
    root = encode(Checkpoint.parse(note.partition(b"\n\n")[0] + b"\n").root) if note else ""
    return told | {"log_status": status, "root": root, "keys": [key for key in keys if key.use != "edge"]}


def _add_check(router: APIRouter, pages: Pages, checks: LogChecks) -> None:
    checker = allowed(pages, Action.VERIFY_LOG)

    @router.post("/privacy/log/check")
    def start(login: Annotated[Login, Depends(checker)], csrf: Annotated[str, Form()] = "") -> Response:
        check_form(login, csrf)
        checks.start(login.account.name)
        return RedirectResponse("/privacy/log/check", status_code=HTTPStatus.SEE_OTHER)

    @router.get("/privacy/log/check")
    def progress(request: Request, login: Annotated[Login, Depends(checker)]) -> HTMLResponse:
        check = checks.last
        answer = pages.render(
            request, "privacy_log_check.html", login=login, here="log", check=check, again_s=_AGAIN_S
        )
        if check is not None and check.running:
            answer.headers["Refresh"] = str(_AGAIN_S)  # the page works without scripts
        return answer


def _add_continuity(router: APIRouter, pages: Pages, keeper: LogKeeper) -> None:
    reader = allowed(pages, Action.READ_LOG)

    def show(
        request: Request,
        login: Login,
        *,
        day: date | None = None,
        found: Continuity | None = None,
        fault: str = "",
        refused: str = "",
        altered: str = "",
    ) -> HTMLResponse:
        return pages.render(
            request,
            "privacy_log_proof.html",
            login=login,
            here="log",
            status=HTTPStatus.UNPROCESSABLE_ENTITY if fault or refused else HTTPStatus.OK,
            day=day_text(day, pages.language_of(request)) if day else "",
            found=found,
            root=encode(found.old.root) if found else "",
            fault=fault,
            refused=refused,
            altered=altered,
        )

    @router.get("/privacy/log/continuity")
    def since(
        request: Request,
        login: Annotated[Login, Depends(reader)],
        day: Annotated[str, Query(max_length=10)] = "",
    ) -> Response:
        if not day:  # whoever changes the language below a proof from a checkpoint begins again
            query = request.url.query
            return RedirectResponse(f"/privacy/log?{query}", status_code=HTTPStatus.SEE_OTHER)
        wanted = _day(day)
        if wanted is None:
            return show(request, login, fault=_NO_DAY)
        try:
            found = since_day(keeper.log, wanted)
        except ProofRefused as error:
            return show(request, login, day=wanted, altered=str(error))
        return show(request, login, day=wanted, found=found, fault="" if found else _TOO_YOUNG)

    @router.post("/privacy/log/continuity")
    def from_note(
        request: Request,
        login: Annotated[Login, Depends(reader)],
        csrf: Annotated[str, Form()] = "",
        note: Annotated[str, Form(max_length=_LONGEST_NOTE)] = "",
    ) -> HTMLResponse:
        check_form(login, csrf)
        try:
            return show(request, login, found=since_checkpoint(keeper.log, as_pasted(note)))
        except CheckpointRefused as error:
            return show(request, login, refused=str(error))
        except ProofRefused as error:
            return show(request, login, altered=str(error))

    _add_proof_file(router, pages, keeper)


def _add_proof_file(router: APIRouter, pages: Pages, keeper: LogKeeper) -> None:
    reader = allowed(pages, Action.READ_LOG)

    @router.get("/privacy/log/continuity.json")
    def download(login: Annotated[Login, Depends(reader)], size: Annotated[int, Query(ge=1)] = 1) -> Response:
        """Return the proof from the kept checkpoint of a size, or from the log's own state of that size."""
        del login
        with pages.database.transaction() as connection:
            kept = connection.execute(
                "SELECT note FROM central_checkpoints WHERE size = %s", (size,)
            ).fetchone()
        log = keeper.log
        try:
            found = since_checkpoint(log, bytes(kept[0])) if kept else since_size(log, size)
        except (ProofRefused, ValueError):
            return Response(status_code=HTTPStatus.NOT_FOUND)
        return Response(
            found.document(),
            media_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="hailong-log-{size}.json"'},
        )


def as_pasted(text: str) -> bytes:
    """Return a note as it was before a form changed the ends of its lines."""
    return text.replace("\r\n", "\n").strip("\n").encode() + b"\n"


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
