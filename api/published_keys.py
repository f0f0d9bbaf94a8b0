"""Public keys for everybody who checks something without us: receipts, logs, files, certificates."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from api.authorization import Action
from api.database import Database
from api.eraser import KEY_NAME
from api.exports import export_signer
from api.guards import open_to_all
from api.log_keeper import LogKeeper
from consent.checkpoint import Ed25519Signer

_HEAD: Final = """\
# Public keys of this service, one a line: what it signs, from which size of its log, until which, the key.
# Khoá công khai, mỗi dòng một khoá: dùng ký gì, từ cỡ nào của sổ, đến cỡ nào, khoá.
#   edge      receipts and logs of counters | phiếu và sổ của máy tại quầy (verify_receipt.py --key)
#   centre    the centre's log | sổ trung tâm
#   witness   outside witnesses | bên chứng kiến độc lập (verify_receipt.py --witness)
#   erasure   certificates of erasure at the centre | giấy chứng nhận xoá
#   export    files of exports | tệp xuất
# Compare them with a copy from elsewhere: whoever runs this service could show other keys.
"""


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """One public key and where it counts.

    Attributes:
        use: As the head of the list names it.
        from_size: First size of its log that it signs; None where there is no log.
        until_size: First size that it no longer signs; None while it does.
    """

    use: str
    vkey: str
    from_size: int | None = None
    until_size: int | None = None

    def line(self) -> str:
        """Return its line of the list."""
        until = "-" if self.until_size is None else str(self.until_size)
        return f"{self.use} {self.from_size or 0} {until} {self.vkey}"


def edge_keys(database: Database) -> tuple[PublishedKey, ...]:
    """Return the keys of all edges' logs, old ones too: receipts stay good under the key of their size."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT vkey, from_size, until_size FROM edge_log_keys ORDER BY edge_id, from_size, vkey"
        ).fetchall()
    return tuple(PublishedKey("edge", *row) for row in rows)


def published_keys(keeper: LogKeeper) -> tuple[PublishedKey, ...]:
    """Return every public key of the service.

    Raises:
        KeysUnusable: A key file cannot be read.
        LogDamaged: The keys of the log do not follow each other.
    """
    log = keeper.log
    own = [PublishedKey("centre", item.vkey, item.from_size, item.until_size) for item in log.keys().periods]
    seen = [PublishedKey("witness", key.vkey()) for key in keeper.witnesses.verifiers]
    erasure = Ed25519Signer(KEY_NAME, log.keys_folder.erasure_key()).vkey()
    apart = [PublishedKey("erasure", erasure), PublishedKey("export", export_signer(log).vkey())]
    return (*edge_keys(log.database), *own, *seen, *apart)


def build_router(keeper: LogKeeper) -> APIRouter:
    """Return the routes of the keys and of the stand-alone check of receipts."""
    router = APIRouter()
    program = files("consent").joinpath("verify_receipt.py").read_bytes()

    @router.get(
        "/log/keys",
        dependencies=[Depends(open_to_all(Action.READ_TREE))],
        summary="Public keys: of the logs, the witnesses, certificates of erasure, exported files",
        response_class=Response,
        responses={200: {"description": "One key a line.", "content": {"text/plain": {}}}},
    )
    def keys() -> Response:
        lines = "".join(f"{key.line()}\n" for key in published_keys(keeper))
        return Response(_HEAD + lines, media_type="text/plain; charset=utf-8")

    @router.get(
        "/verify_receipt.py",
        dependencies=[Depends(open_to_all(Action.READ_TREE))],
        summary="A program of one file that checks a receipt without this service",
        response_class=Response,
        responses={200: {"description": "Python 3.11.", "content": {"text/x-python": {}}}},
    )
    def verify_receipt() -> Response:
        return Response(
            program,
            media_type="text/x-python; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="verify_receipt.py"'},
        )

    return router
