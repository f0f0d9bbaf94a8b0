"""The layout of an audit export, and reading it back.

    about.json      when and by what it was made; the day and the least n of its pages
    keys.json       public keys of the logs and witnesses, for those who have none of their own
    figures.json    every published figure as text
    index.json      every published figure of the index as text, by place and period
    stops.json      counter and day -> services, sessions, and captures stopped or not asked for, by method
    notes.json      every revision of every note on what was done at a counter, with its entry of the log
    signals.jsonl   one signal a line, with its place of arrival and the key of its commitment
    centre/         the centre's log as C2SP tiles
    edges/<uuid>/   each edge's log as C2SP tiles, as far as the centre's log names its checkpoint

The digests of the first seven stand in the last entry of the centre's log, which its signed
checkpoint covers: nothing of an export can be exchanged.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import rfc8785
from pydantic import ValidationError

from api.errors import ExportRefused
from consent.checkpoint import KeyHistory, KeyPeriod
from inference.signal import Signal

FORMAT: Final = "hailong-audit-export"
VERSION: Final = 4
ABOUT, KEYS, FIGURES, SIGNALS = "about.json", "keys.json", "figures.json", "signals.jsonl"
STOPS, INDEX, NOTES = "stops.json", "index.json", "notes.json"
DIGESTED: Final = (ABOUT, KEYS, FIGURES, INDEX, STOPS, NOTES, SIGNALS)
CENTRE, EDGES = "centre", "edges"


@dataclass(frozen=True, slots=True)
class About:
    """What an export says of itself.

    Attributes:
        today: The running day of the pages.
        minimum_n: Fewest sessions behind a figure.
        log_size: The size of the centre's log as of which everything was taken.
    """

    software: str
    made_at: str
    today: date
    minimum_n: int
    log_size: int

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "software": self.software,
            "made_at": self.made_at,
            "today": self.today.isoformat(),
            "minimum_n": self.minimum_n,
            "log_size": self.log_size,
        }


@dataclass(frozen=True, slots=True)
class Keys:
    """Public keys: of the centre's log, of each edge's log, of the witnesses."""

    centre: KeyHistory
    edges: Mapping[UUID, KeyHistory]
    witnesses: tuple[str, ...] = ()
    quorum: int = 1

    def document(self) -> dict[str, Any]:
        """Return them as JSON."""
        return {
            "centre": _periods(self.centre),
            "edges": {str(edge): _periods(history) for edge, history in sorted(self.edges.items())},
            "witnesses": list(self.witnesses),
            "quorum": self.quorum,
        }


@dataclass(frozen=True, slots=True)
class ExportedSignal:
    """One signal with what ties it to the logs.

    Attributes:
        arrival: Its place in the order of arrival at the centre.
        salt: The key that opens the commitment in its edge's log; None where none was sent.
    """

    signal: Signal
    arrival: int
    salt: bytes | None

    def line(self) -> str:
        """Return it as one line of JSON."""
        salt = None if self.salt is None else base64.b64encode(self.salt).decode()
        document = {"arrival": self.arrival, "salt": salt, "signal": self.signal.model_dump(mode="json")}
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    def payload(self) -> bytes:
        """Return the signal's canonical JSON (RFC 8785): what its edge committed to."""
        return rfc8785.dumps(self.signal.model_dump(mode="json"))


def write_json(path: Path, document: object) -> None:
    """Write a document so that the same content gives the same bytes."""
    path.write_text(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that the log vouches for.

    Raises:
        ExportRefused: One of them is missing.
    """
    return {name: hashlib.sha256(_read(folder / name)).hexdigest() for name in DIGESTED}


def read_about(folder: Path) -> About:
    """Read what an export says of itself.

    Raises:
        ExportRefused: It is no export, or of a version that this program does not know.
    """
    document = _json(folder / ABOUT)
    try:
        if (document["format"], document["version"]) != (FORMAT, VERSION):
            raise ExportRefused(
                f"{folder / ABOUT}: version {document['version']} of {document['format']}; this program "
                f"reads version {VERSION} of {FORMAT}. Check it with the release that wrote it."
            )
        return About(
            str(document["software"]),
            str(document["made_at"]),
            date.fromisoformat(document["today"]),
            int(document["minimum_n"]),
            int(document["log_size"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ExportRefused):
            raise
        raise ExportRefused(f"{folder / ABOUT} is not the description of an export: {error!r}") from error


def read_keys(folder: Path) -> Keys:
    """Read the public keys of an export.

    Raises:
        ExportRefused: The file is missing or malformed.
    """
    document = _json(folder / KEYS)
    try:
        return Keys(
            _history(document["centre"]),
            {UUID(edge): _history(periods) for edge, periods in document["edges"].items()},
            tuple(map(str, document["witnesses"])),
            int(document["quorum"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExportRefused(f"{folder / KEYS} holds no keys of an export: {error!r}") from error


def read_figures(folder: Path) -> Any:  # noqa: ANN401 - compared as a whole
    """Read the published figures of an export."""
    return _json(folder / FIGURES)


def read_index(folder: Path) -> Any:  # noqa: ANN401 - compared as a whole
    """Read the published figures of the index in an export."""
    return _json(folder / INDEX)


def read_stops(folder: Path) -> Any:  # noqa: ANN401 - compared as a whole
    """Read how often captures were stopped or not asked for, as the centre counted."""
    return _json(folder / STOPS)


def read_notes(folder: Path) -> Any:  # noqa: ANN401 - `api.audit_notes` reads it
    """Read the notes on counters in an export."""
    return _json(folder / NOTES)


def read_signals(folder: Path) -> Iterator[ExportedSignal]:
    """Yield the signals of an export.

    Raises:
        ExportRefused: A line is no signal; the message names the line.
    """
    path = folder / SIGNALS
    for number, line in enumerate(_read(path).splitlines(), 1):
        try:
            document = json.loads(line)
            salt = document["salt"]
            yield ExportedSignal(
                Signal.model_validate(document["signal"]),
                int(document["arrival"]),
                None if salt is None else base64.b64decode(salt, validate=True),
            )
        except (KeyError, TypeError, ValueError, ValidationError, binascii.Error) as error:
            raise ExportRefused(f"{path}, line {number}: no signal of an export: {error}") from error


def _periods(history: KeyHistory) -> list[dict[str, Any]]:
    return [
        {"vkey": period.vkey, "from": period.from_size, "until": period.until_size}
        for period in history.periods
    ]


def _history(document: list[dict[str, Any]]) -> KeyHistory:
    return KeyHistory(
        tuple(
            KeyPeriod(
                str(item["vkey"]), int(item["from"]), None if item["until"] is None else int(item["until"])
            )
            for item in document
        )
    )


def _json(path: Path) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(_read(path))
    except ValueError as error:
        raise ExportRefused(f"{path} is not JSON: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ExportRefused(
            f"{path} cannot be read ({error.strerror}): name a folder that 'hailong audit export' wrote"
        ) from error
