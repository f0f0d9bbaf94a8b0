"""Seals a redacted quote under the key of its session, and opens it again.

AES-256-GCM with a fresh nonce; the context of the session and the number of the utterance are bound
to the ciphertext, so a quote cannot be moved to another session or place.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from inference.errors import InferenceError
from inference.quotes import RedactedQuote

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SEQUENCE_BYTES: Final = 8
_BLOCK_BYTES: Final = 256
"""Quotes are filled up to a multiple of this, so that a length does not tell a short answer from another."""


class QuoteUnreadableError(InferenceError, ValueError):
    """A sealed quote is not what this key, context and number belong to, or it was changed."""


def seal_quote(quote: RedactedQuote, key: bytes, context: bytes, sequence: int) -> bytes:
    """Return a quote as it may leave the process that made it: nonce and ciphertext."""
    nonce = os.urandom(_NONCE_BYTES)
    plain = json.dumps(asdict(quote), ensure_ascii=False).encode()
    plain = plain.ljust(-(-len(plain) // _BLOCK_BYTES) * _BLOCK_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, _bound(context, sequence))


def open_quote(sealed: bytes, key: bytes, context: bytes, sequence: int) -> RedactedQuote:
    """Return the quote behind a sealed one.

    Raises:
        QuoteUnreadableError: Key, context, number or ciphertext do not belong together.
    """
    try:
        plain = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(context, sequence))
    except (InvalidTag, ValueError) as error:
        raise QuoteUnreadableError(
            f"Quote {sequence} cannot be opened: it was sealed for another session or place, or was changed. "
            "Check which consent record it lies under."
        ) from error
    fields = json.loads(plain)
    return RedactedQuote(fields["start_s"], fields["end_s"], tuple(fields["factors"]), fields["text"])


def _bound(context: bytes, sequence: int) -> bytes:
    return sequence.to_bytes(_SEQUENCE_BYTES, "big") + context
