"""`hailong edge quotes`: the privacy officer reads what was kept of a consent, and the log says so first."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from capture.errors import CaptureError
from capture.identity import EdgeKey
from capture.quotes import LONGEST_DAYS, QUOTES, QuoteStore
from capture.unwritten import UnwrittenSteps
from consent.ledger import ConsentStore
from consent.session_keys import SessionKeys

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from capture.quotes import KeptQuotes
    from consent.entry import ReadPurpose


class NothingKept(CaptureError, LookupError):  # noqa: N818 - named for what is found
    """No quotes of this consent are kept on this machine."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, and why; all of it stands in the log.

    Attributes:
        code: The privacy officer, as the agency names them.
        purpose: Why.
        ticket: The case.
    """

    code: str
    purpose: ReadPurpose
    ticket: str


@dataclass(frozen=True, slots=True)
class DataFiles:
    """Names of the files in the data folder that a reading needs."""

    log: str
    keys: str
    unwritten: str


def read_quotes(
    folder: Path, files: DataFiles, record_id: UUID, reader: Reader, *, days: int = LONGEST_DAYS
) -> KeptQuotes:
    """Log the reading, then open the kept quotes of a consent.

    The edge program may run beside it.

    Args:
        folder: The data folder of the edge.
        files: Its files.
        record_id: The consent.
        reader: Who reads, and why.
        days: How long a quote is kept.

    Raises:
        NothingKept: There are none, their time is over, or a withdrawal waits to be written.
        ConsentError: It could not be logged, so nothing is opened; or they were erased.
        QuotesUnavailable: They cannot be read.
        QuoteUnreadableError: They were changed.
    """
    nothing = NothingKept(f"no quotes of the consent {record_id} are kept on this machine")
    if not (folder / files.log).exists() or not (folder / QUOTES).exists():
        raise nothing
    with ExitStack() as stack:
        signer = EdgeKey.load_or_make(folder)
        store = stack.enter_context(
            ConsentStore(folder / files.log, signers=lambda origin: (signer.signer(origin),))
        )
        keys = stack.enter_context(SessionKeys(folder / files.keys))
        quotes = QuoteStore(folder / QUOTES, keys, days=days)
        stack.callback(quotes.close)
        count = quotes.readable(record_id)
        if not count or record_id in UnwrittenSteps(store, folder / files.unwritten).records():
            raise nothing
        store.quotes_read(record_id, reader.code, reader.purpose, reader.ticket, quotes=count)
        return quotes.read(record_id)


def as_json(record_id: UUID, kept: KeptQuotes) -> str:
    """Return quotes as one JSON object."""
    return json.dumps(
        {
            "record_id": str(record_id),
            "counter": kept.counter,
            "kept_at": kept.kept_at.isoformat(),
            "until": kept.until.isoformat(),
            "quotes": [asdict(quote) for quote in kept.quotes],
        },
        ensure_ascii=False,
    )


def as_lines(kept: KeptQuotes) -> str:
    """Return quotes for a person: time within the session, factors, words."""
    lines = [f"counter {kept.counter}, kept {kept.kept_at:%Y-%m-%d}, removed by {kept.until:%Y-%m-%d}"]
    for quote in kept.quotes:
        minutes, seconds = divmod(int(quote.start_s), 60)
        about = f" [{', '.join(quote.factors)}]" if quote.factors else ""
        lines.append(f"{minutes:02d}:{seconds:02d}{about} {quote.text}")
    return "\n".join(lines)
