"""The keys of the centre, as files in its data folder: they sign the log, or say that something is erased.

The private halves never leave the folder and the database never sees them: whoever can rewrite every
table still cannot sign another history. A rotation writes the new keys beside the old ones, has the old
ones endorse them in the log, and then puts them in place; a crash at any step leaves keys that the log knows.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from api.errors import KeysUnusable
from consent.checkpoint import Ed25519Signer, MlDsa44Signer, Signer, ml_dsa_offered

PrivateKey: TypeAlias = Ed25519PrivateKey | MLDSA44PrivateKey

_ED25519: Final = "log-ed25519"
_ML_DSA: Final = "log-ml-dsa-44"
_ERASURE: Final = "erasure-ed25519"
_EXPORT: Final = "export-ed25519"
_NEXT: Final = ".next"
_OTHERS: Final = 0o077


class KeyFolder:
    """The folder `keys`; its files are readable for their owner alone.

    Args:
        path: The folder; made when a key is made.
    """

    def __init__(self, path: Path) -> None:
        """Keep the path; nothing is read."""
        self.path = path

    def log_signers(self, origin: str) -> tuple[Signer, ...]:
        """Return who signs the log, making the keys where there are none.

        Raises:
            KeysUnusable: A key cannot be read or made, or others may read it.
        """
        signers: list[Signer] = [Ed25519Signer(origin, self._ed25519(_ED25519))]
        if ml_dsa_offered():
            signers.append(MlDsa44Signer(origin, self._ml_dsa(_ML_DSA)))
        return tuple(signers)

    def erasure_key(self) -> Ed25519PrivateKey:
        """Return the key that signs receipts of destroyed keys and nothing else, making it if need be.

        Raises:
            KeysUnusable: As `log_signers`.
        """
        return self._ed25519(_ERASURE)

    def export_key(self) -> Ed25519PrivateKey:
        """Return the key that signs files of exports and nothing else, making it if need be.

        Raises:
            KeysUnusable: As `log_signers`.
        """
        return self._ed25519(_EXPORT)

    def next_signers(self, origin: str) -> tuple[Signer, ...]:
        """Return signers with keys that are made now (or by a rotation that broke off) and not yet in place.

        Raises:
            KeysUnusable: As `log_signers`.
        """
        signers: list[Signer] = [Ed25519Signer(origin, self._ed25519(_ED25519 + _NEXT))]
        if ml_dsa_offered():
            signers.append(MlDsa44Signer(origin, self._ml_dsa(_ML_DSA + _NEXT)))
        return tuple(signers)

    def has_keys(self) -> bool:
        """Tell whether the keys of the log were made."""
        return self._file(_ED25519).exists()

    def has_next(self) -> bool:
        """Tell whether a rotation has begun."""
        return self._file(_ED25519 + _NEXT).exists()

    def put_next_in_place(self) -> None:
        """Replace the log's keys by the next ones; the old private halves are gone then.

        The Ed25519 key moves last: until then the rotation counts as begun and is finished at the next start.
        """
        for name in (_ML_DSA, _ED25519):
            if self._file(name + _NEXT).exists():
                self._file(name + _NEXT).replace(self._file(name))
        _sync_folder(self.path)

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.pem"

    def _ed25519(self, name: str) -> Ed25519PrivateKey:
        key = self._read(name) or self._make(name, Ed25519PrivateKey.generate())
        if not isinstance(key, Ed25519PrivateKey):
            raise KeysUnusable(f"{self._file(name)} is no Ed25519 key: restore it from the backup")
        return key

    def _ml_dsa(self, name: str) -> MLDSA44PrivateKey:
        key = self._read(name) or self._make(name, MLDSA44PrivateKey.generate())
        if not isinstance(key, MLDSA44PrivateKey):
            raise KeysUnusable(f"{self._file(name)} is no ML-DSA-44 key: restore it from the backup")
        return key

    def _read(self, name: str) -> object | None:
        path = self._file(name)
        try:
            shared = path.stat().st_mode & _OTHERS
            key = load_pem_private_key(path.read_bytes(), password=None)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise KeysUnusable(
                f"{path} cannot be read as a key ({type(error).__name__}): restore it from the backup"
            ) from error
        if shared:
            raise KeysUnusable(f"{path} can be read by others: chmod 600 it, then rotate the key")
        return key

    def _make(self, name: str, key: PrivateKey) -> PrivateKey:
        """Write a new key so that it exists whole or not at all; another program's key wins."""
        path = self._file(name)
        draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.unlink(missing_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                return _as_private(self._read(name), path)
            finally:
                draft.unlink()
            _sync_folder(self.path)
        except OSError as error:
            raise KeysUnusable(
                f"the key {path} cannot be written ({error.strerror}): set log.data_dir to a folder that "
                "this user owns"
            ) from error
        return key


def vkeys(signers: Sequence[Signer]) -> tuple[str, ...]:
    """Return the public halves as C2SP text."""
    return tuple(signer.vkey() for signer in signers)


def _as_private(key: object | None, path: Path) -> PrivateKey:
    if isinstance(key, Ed25519PrivateKey | MLDSA44PrivateKey):
        return key
    raise KeysUnusable(f"{path} is no key of this log: restore it from the backup")


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
