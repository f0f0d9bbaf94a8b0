"""The token in a form of ours: another one on every page, so that compressed pages give nothing away.

Pages repeat parts of their address, and what is compressed gets shorter where such a part repeats a secret of
the page: whoever makes a browser open many addresses and sees the lengths could guess a fixed token letter by
letter (BREACH). Here the session's secret never stands in a page, and what stands there is never there again.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

_NONCE_BYTES = 16


def form_token(secret: str) -> str:
    """Return a new token for a form of the session with this secret; it is good as long as the session."""
    nonce = secrets.token_hex(_NONCE_BYTES)
    return f"{nonce}.{_proof(secret, nonce)}"


def fits(secret: str, given: str) -> bool:
    """Tell whether a form's token was made for the session with this secret."""
    nonce, _, proof = given.partition(".")
    return hmac.compare_digest(_proof(secret, nonce).encode(), proof.encode("utf-8", "replace"))


def _proof(secret: str, nonce: str) -> str:
    return hmac.new(secret.encode(), nonce.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
