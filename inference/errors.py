"""What can go wrong between permitted media and a signal.

InferenceError
├── ZoneError     a seat zone or privacy mask cannot be used
├── SettingError  a threshold or rate cannot be used
└── FrameError    a picture of the wrong kind reached a reader
"""

from __future__ import annotations


class InferenceError(Exception):
    """Root of what the picture half of this package raises."""


class ZoneError(InferenceError, ValueError):
    """A seat zone or a privacy mask is malformed; the message names polygon and point."""


class SettingError(InferenceError, ValueError):
    """A threshold or rate is outside what works; the message names it."""


class FrameError(InferenceError, ValueError):
    """A picture is not uint8 BGR of shape (height, width, 3)."""
