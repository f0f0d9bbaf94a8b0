"""Which models made a score: what a calibration is fitted for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from inference.signal import ModelVersion


def model_key(models: Iterable[ModelVersion]) -> str:
    """Return 16 hexadecimal digits that name a set of networks, in whatever order they are listed.

    Sessions with a voice and without one have other networks, and so another key.
    """
    lines = sorted(f"{item.name} {item.version} {item.sha256}\n" for item in models)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
