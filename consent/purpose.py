"""The purposes a citizen decides on, one by one."""

from __future__ import annotations

from enum import StrEnum


class Purpose(StrEnum):
    """One thing the citizen may allow while refusing the others."""

    IMAGE = "image"
    """Facial expression, analysed at the counter and never stored."""
    VOICE = "voice"
    """Speech, analysed at the counter and never stored."""
    QUOTES = "quotes"
    """Keeping redacted quotes; off unless decided apart."""
