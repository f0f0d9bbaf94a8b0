"""`viet-asr`: Vietnamese speech to text whose network lies inside its native library."""

from __future__ import annotations

from typing import Final

NAME: Final = "viet-asr"
EXTRA: Final = "edge"
MODULES: Final = ("vietasr", "cffi")
BEAM: Final = 1
"""The library has no choice of beam."""
