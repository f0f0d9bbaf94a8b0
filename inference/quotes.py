"""Redacted quotes: what an utterance may leave behind where the citizen allowed it apart.

A quote is made where the words are, in the process that reads one session. What leaves that
process is sealed: the edge program itself never holds its text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RedactedQuote:
    """One utterance of the citizen after redaction.

    Attributes:
        start_s: Its start, seconds from the session's first sound.
        end_s: Its end, the same way.
        factors: Codes of the factors that it spoke about.
        text: Its words; what names a person has been replaced already.
    """

    start_s: float
    end_s: float
    factors: tuple[str, ...]
    text: str


Keep = Callable[[RedactedQuote], None]
"""Takes each quote in the process that reads the words; None stands for keeping nothing."""


@dataclass(frozen=True, slots=True)
class SealedQuote:
    """A quote that nobody can read without the key of its session.

    Attributes:
        sequence: Number of its utterance in the session, from 0; those that gave no quote are left out.
        sealed: Nonce and ciphertext.
    """

    sequence: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class QuoteSealing:
    """How the quotes of one session are kept; made only under the consent that names them.

    Attributes:
        key: Key of 32 bytes; it is handed to the process that reads the words.
        context: What a quote is bound to besides its number, such as record and counter.
        take: Given each sealed quote in the thread that reads utterances.
    """

    key: bytes
    context: bytes
    take: Callable[[SealedQuote], None]
