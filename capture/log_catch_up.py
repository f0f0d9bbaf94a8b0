"""What an edge fetches when its data folder is older than what the centre has of it.

A folder that was restored from a backup has a true beginning of its log; what was withdrawn and erased since
is unknown to it. The centre has the rest. Nothing of it is believed: the entries must lead to the root that
this edge signed itself. The outbox goes on behind the number that the centre has last.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import structlog

from capture.errors import CaptureError
from capture.identity import problem_detail
from consent.checkpoint import verifier
from consent.continuation import continue_with
from consent.errors import CheckpointRefused, EntryRefused

if TYPE_CHECKING:
    from capture.identity import EdgeKey, Enrolment
    from capture.outbox import Outbox
    from consent.ledger import ConsentStore

_log = structlog.get_logger(__name__)


class CatchUpRefused(CaptureError):  # noqa: N818 - named for what happened
    """The centre did not say what it has of this edge's log."""


class OtherHistory(CaptureError):  # noqa: N818 - named for what happened
    """What the centre has is no continuation of the log of this data folder."""


def catch_up(
    client: httpx.Client, *, store: ConsentStore, outbox: Outbox, key: EdgeKey, enrolment: Enrolment
) -> int:
    """Fetch what the centre has of this edge's log beyond what is here, and append it.

    Durable and whole, or nothing: a program that is killed meanwhile asks again at its next start.

    Returns:
        How many entries were appended.

    Raises:
        httpx.HTTPError: The centre could not be reached or broke off.
        CatchUpRefused: It answered something else than an answer.
        OtherHistory: It has another log of this edge: capture nothing.
        ConsentError: The log could not be written.
    """
    log = store.log
    first = log.size
    bodies: list[bytes] = []
    while True:
        given = _ask(client, key, enrolment, log.origin, first + len(bodies))
        bodies += [str(text).encode() for text in given["entries"]]
        size, note, high_water = given["size"], str(given["checkpoint"]), given["high_water"]
        if not isinstance(size, int) or not isinstance(high_water, int):
            raise CatchUpRefused("the centre's answer does not say how much of the log it has")
        if first + len(bodies) >= size or not given["entries"]:
            break
    appended = 0
    if size > first:
        ours = verifier(key.signer(log.origin).vkey())
        try:
            appended = continue_with(log, first, bodies, note.encode(), ours)
        except (CheckpointRefused, EntryRefused) as error:
            raise OtherHistory(
                f"the centre has {size} entries of this edge's log, {first} are here, and they do not "
                f"continue these ({error}). Capture is stopped. Keep the data folder as it is for the "
                "privacy officer, begin a new one and enrol this edge again."
            ) from error
    skipped = outbox.continue_after(high_water)
    if appended or skipped:
        _log.warning("data folder was older than the centre", entries=appended, outbox_numbers=skipped)
    return appended


def _ask(client: httpx.Client, key: EdgeKey, enrolment: Enrolment, origin: str, first: int) -> dict[str, Any]:
    body = json.dumps({"edge": str(enrolment.edge), "origin": origin, "first_index": first}).encode()
    answer = client.post(
        "/v1/log/entries",
        content=body,
        headers={"Content-Type": "application/json", "Hailong-Signature": key.sign(body)},
    )
    if answer.status_code == httpx.codes.CONFLICT:
        raise OtherHistory(
            f"the centre keeps another log of this edge ({problem_detail(answer)}). Capture is stopped. "
            "Keep the data folder as it is for the privacy officer, begin a new one and enrol again."
        )
    if not answer.is_success:
        raise CatchUpRefused(
            f"the centre did not say what it has of this edge's log ({answer.status_code}: "
            f"{problem_detail(answer)})"
        )
    try:
        given = answer.json()
    except ValueError:
        given = None
    if not isinstance(given, dict) or not {"entries", "size", "checkpoint", "high_water"} <= set(given):
        raise CatchUpRefused("the centre answered the question for the log with something else")
    return given
