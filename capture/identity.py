"""Who this edge is: an Ed25519 key made on the box, and what the centre knows it as."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Self
from uuid import UUID

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from capture.errors import CaptureError
from consent.checkpoint import Ed25519Signer

if TYPE_CHECKING:
    from pathlib import Path

KEY_FILE: Final = "edge-key.pem"
_ENROLMENT_FILE: Final = "enrolment.json"


class IdentityError(CaptureError):
    """The key of this edge or its enrolment is missing or unusable."""


class EnrolmentRefused(IdentityError):  # noqa: N818 - named for what happened
    """The centre did not accept the enrolment."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the centre gave this edge.

    Attributes:
        edge: Identifier under which the centre keeps the public key.
        centre: Base address of the centre.
        counters: Counters this edge may report on.
    """

    edge: UUID
    centre: str
    counters: tuple[str, ...]


class EdgeKey:
    """The signing key of this edge; it never leaves the box."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        """Wrap a private key."""
        self._key = key

    @classmethod
    def load_or_make(cls, folder: Path) -> Self:
        """Load the key from `folder`, or make one there that only its owner can read.

        Raises:
            IdentityError: The key file cannot be read as an Ed25519 key.
        """
        return cls(load_or_make_key(folder / KEY_FILE))

    def signer(self, origin: str) -> Ed25519Signer:
        """Return who signs the checkpoints of this edge's log: the key that the centre enrolled."""
        return Ed25519Signer(origin, self._key)

    def sign(self, body: bytes) -> str:
        """Return the signature over `body` in base64."""
        return base64.b64encode(self._key.sign(body)).decode()

    def fingerprint(self) -> str:
        """Return the SHA-256 of the raw public key in hexadecimal: how records name this edge."""
        return hashlib.sha256(base64.b64decode(self.public_key())).hexdigest()

    def public_key(self) -> str:
        """Return the raw 32-byte public key in base64."""
        raw = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return base64.b64encode(raw).decode()


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """Load an Ed25519 key, or make one that only its owner can read.

    Raises:
        IdentityError: The file cannot be read as an Ed25519 key.
    """
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write_private(path, pem)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise IdentityError(
            f"{path} is not a private key ({error}); restore it from a backup or enrol again"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise IdentityError(f"{path} holds a key of another kind than Ed25519; move it away and enrol again")
    return key


def enrol(folder: Path, *, centre: str, token: str, name: str, timeout_s: float = 10.0) -> Enrolment:
    """Register this edge's public key at the centre with a one-time token.

    Args:
        folder: Data folder; the key is made there when missing, the answer is kept there.
        centre: Base address of the centre, such as `https://centre.example`.
        token: One-time token that an administrator made.
        name: Name of this edge as the administrators will see it.
        timeout_s: Longest wait for the answer.

    Raises:
        EnrolmentRefused: The centre said no, or could not be reached.
    """
    key = EdgeKey.load_or_make(folder)
    body = {"token": token, "public_key": key.public_key(), "name": name}
    try:
        answer = httpx.post(f"{centre.rstrip('/')}/v1/enrolments", json=body, timeout=timeout_s)
    except httpx.HTTPError as error:
        raise EnrolmentRefused(
            f"the centre at {centre} cannot be reached ({error}); "
            "check the address and the network, then try again"
        ) from error
    if answer.is_error:
        raise EnrolmentRefused(
            f"the centre refused the enrolment ({answer.status_code}: {problem_detail(answer)}); "
            "ask an administrator for a new token"
        )
    given = answer.json()
    enrolment = Enrolment(UUID(given["edge"]), centre.rstrip("/"), tuple(given["counters"]))
    write_private(
        folder / _ENROLMENT_FILE,
        json.dumps(asdict(enrolment) | {"edge": str(enrolment.edge)}, indent=1).encode(),
    )
    return enrolment


def load_enrolment(folder: Path) -> Enrolment | None:
    """Return what the centre gave this edge, or None when it was never enrolled.

    Raises:
        IdentityError: The file is damaged.
    """
    path = folder / _ENROLMENT_FILE
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text())
        return Enrolment(UUID(kept["edge"]), str(kept["centre"]), tuple(kept["counters"]))
    except (ValueError, KeyError, TypeError) as error:
        raise IdentityError(f"{path} is damaged ({error}); enrol this edge again") from error


def problem_detail(answer: httpx.Response) -> str:
    """Return the human part of an RFC 9457 problem, or the start of the body."""
    try:
        problem = answer.json()
    except ValueError:
        return answer.text[:200]
    if isinstance(problem, dict):
        return str(problem.get("detail") or problem.get("title") or problem)[:300]
    return str(problem)[:300]


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, complete or not at all."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
