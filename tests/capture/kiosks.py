"""A counter with its signed log, its pages and its erasure, as an edge runs them; no device, no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from capture.code_withdrawal import CodeWithdrawals
from capture.desk import ASKED, Desk
from capture.erasure import EdgeErasure
from capture.kiosk import KioskSecret, KioskServer
from capture.officer import OfficerSecret, OfficerServer
from capture.procedures import Procedure
from consent.checkpoint import Ed25519Signer
from consent.gate import Gate, Grant
from consent.ledger import ConsentStore
from consent.purpose import Purpose
from inference.signal import Ballot

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID


PROCEDURES = (
    Procedure("1.004227", "Đăng ký khai sinh", "Birth registration"),
    Procedure(
        "2.000488",
        "Chứng thực bản sao từ bản chính giấy tờ do cơ quan, tổ chức của Việt Nam cấp hoặc chứng nhận",
        "Certified copy of an original that a Vietnamese agency issued or certified, on paper or electronic",
    ),
    Procedure("1.010833", "Xác nhận tình trạng hôn nhân", "Certificate of marital status"),
)


class OneThing:
    """A store that holds one thing of whoever is erased."""

    name = "outbox"

    def erase(self, record_id: UUID) -> int:
        return 1


class SignedCounter:
    """One counter, its two servers, and a client of each."""

    def __init__(
        self, folder: Path, *, purposes: tuple[Purpose, ...] = ASKED, procedures: tuple[Procedure, ...] = ()
    ) -> None:
        self.folder = folder
        self.key = Ed25519PrivateKey.generate()
        self.store = ConsentStore(
            folder / "consent.sqlite", signers=lambda origin: (Ed25519Signer(origin, self.key),)
        )
        self.grants: list[Grant] = []
        self.ballots: list[Ballot] = []
        self.desk = Desk(
            "quay-1",
            self.store,
            Gate(self.store),
            start_capture=self.grants.append,
            cast=self.ballots.append,
            purposes=purposes,
            procedures=procedures,
        )
        self.erasure = EdgeErasure(self.store, [OneThing()], key=Ed25519PrivateKey.generate())
        self.erasure.start()
        codes = CodeWithdrawals(self.store, certificate=self.erasure.certificate)
        self.server = KioskServer({"quay-1": self.desk}, KioskSecret(folder), codes, port=0)
        self.server.start()
        self.officer_server = OfficerServer({"quay-1": self.desk}, OfficerSecret(folder), port=0)
        self.officer_server.start()
        self.client = self._client(self.server.url)
        self.client.get(self.server.link).raise_for_status()
        self.officer = self._client(self.officer_server.url)
        self.officer.get(self.officer_server.link).raise_for_status()

    @staticmethod
    def _client(url: str) -> httpx.Client:
        return httpx.Client(base_url=url, headers={"Origin": url}, follow_redirects=True, timeout=30)

    def url(self, language: str = "vi", path: str = "") -> str:
        return f"{self.server.url}/kiosk/quay-1{path}?lang={language}"

    def get(self, path: str = "") -> httpx.Response:
        return self.client.get(f"/kiosk/quay-1{path}")

    def post(self, path: str, **data: str) -> httpx.Response:
        return self.client.post(f"/kiosk/quay-1{path}", data={"record": str(self.record_id), **data})

    @property
    def record_id(self) -> UUID | None:
        return self.desk.view().record_id

    def answer(self, image: str, voice: str) -> httpx.Response:
        self.get()
        return self.post("/decision", image=image, voice=voice)

    def officer_sees(self) -> list[httpx.Response]:
        return [self.officer.get("/officer/quay-1"), self.officer.get("/officer/quay-1/state")]

    def close(self) -> None:
        self.client.close()
        self.officer.close()
        self.server.stop()
        self.officer_server.stop()
        self.erasure.stop()
        self.store.close()
