"""A new signing key for this edge: staged, endorsed by the old one in the log, put in place, and told.

Each step leaves an edge that starts. A staged key that the log does not name is no key yet; one that the
log names is put in place at the next start. The centre learns of it from the log itself, where the old key
endorses the new one: nobody has to enrol the edge again, and what the old key signed stays valid.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import httpx
import structlog

from capture.errors import CaptureError
from capture.identity import KEY_FILE, EdgeKey, IdentityError, load_or_make_key
from capture.log_uplink import LogUplink
from consent.ledger import ConsentStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capture.identity import Enrolment
    from capture.unwritten import UnwrittenSteps
    from consent.checkpoint import KeyHistory

NEXT_FILE: Final = "edge-key.next.pem"
_log = structlog.get_logger(__name__)


class RotationRefused(IdentityError):  # noqa: N818 - named for what happened
    """The key is not rotated; the present one goes on signing."""


def finish_rotation(folder: Path, log: Path) -> bool:
    """Put a staged key in place if the log names it already; call it before the log is opened to be signed.

    Args:
        folder: Data folder of the edge, held by this program.
        log: The consent log.

    Returns:
        Whether a rotation was cut short and is finished now.

    Raises:
        IdentityError: The staged key cannot be read.
        ConsentError: The log cannot be read.
    """
    staged = folder / NEXT_FILE
    if not staged.exists() or not log.exists():
        return False
    key = EdgeKey(load_or_make_key(staged))
    with ConsentStore(log) as store:
        named = {item.vkey() for item in store.log.keys().verifiers(store.log.size)}
        if key.signer(store.log.origin).vkey() not in named:
            return False
    _put_in_place(folder)
    return True


def rotate_key(
    folder: Path,
    log: Path,
    enrolment: Enrolment | None,
    *,
    steps_of: Callable[[ConsentStore], UnwrittenSteps],
    transport: httpx.BaseTransport | None = None,
) -> KeyHistory:
    """Sign with a new key from now on.

    Args:
        folder: Data folder of the edge, held by this program.
        log: The consent log.
        enrolment: Who this edge is at the centre; None where it was never enrolled.
        steps_of: Makes what takes withdrawals of the centre to the log.
        transport: Replaces the network in tests.

    Returns:
        The keys of the log, the new one last.

    Raises:
        RotationRefused: The centre does not have the whole log yet: only the old key can sign that.
        ConsentError: The log cannot be written.
    """
    finish_rotation(folder, log)
    old = EdgeKey.load_or_make(folder)
    with ConsentStore(log, signers=lambda origin: (old.signer(origin),)) as store:
        steps = steps_of(store)
        if enrolment is not None:
            try:
                _ship(store, old, enrolment, steps, transport)
            except (CaptureError, httpx.HTTPError) as error:
                raise RotationRefused(
                    f"the centre must have the whole log before the key is rotated ({error}); nothing was "
                    "changed. Try again when the centre can be reached."
                ) from error
        new = EdgeKey(load_or_make_key(folder / NEXT_FILE))
        history = store.rotate_key(lambda origin: (new.signer(origin),))
        _put_in_place(folder)
        if enrolment is not None:
            try:
                _ship(store, new, enrolment, steps, transport)
            except (CaptureError, httpx.HTTPError) as error:
                _log.warning("new_key_not_told_yet", error=str(error))  # the edge tells at its next start
    return history


def _ship(
    store: ConsentStore,
    key: EdgeKey,
    enrolment: Enrolment,
    steps: UnwrittenSteps,
    transport: httpx.BaseTransport | None,
) -> None:
    uplink = LogUplink(store=store, key=key, enrolment=enrolment, steps=steps, transport=transport)
    with httpx.Client(base_url=enrolment.centre, transport=transport, timeout=10.0) as client:
        while not uplink.sync_once(client):
            pass


def _put_in_place(folder: Path) -> None:
    """Replace the key in one step; the old private half is gone then."""
    (folder / NEXT_FILE).replace(folder / KEY_FILE)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
