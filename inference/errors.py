"""What can go wrong between permitted media and a signal.

InferenceError
├── ZoneError     a seat zone or privacy mask cannot be used
├── SettingError  a threshold or rate cannot be used
├── FrameError    a picture of the wrong kind reached a reader
└── MediaError    a file could not be anonymised
    ├── MediaUnreadable  the file to anonymise is missing, broken or of no known kind
    ├── OutputRefused    the result may not be written under that name
    └── OutputFailed     the result could not be written in full
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


class MediaError(InferenceError):
    """A video or picture file could not be anonymised; nothing is left under the name of the result."""


class MediaUnreadable(MediaError, ValueError):  # noqa: N818 - reads as what happened
    """The file to anonymise is missing, broken, empty or of a kind that is not known."""


class OutputRefused(MediaError, ValueError):  # noqa: N818 - as above
    """The result may not be written under that name."""


class OutputFailed(MediaError, OSError):  # noqa: N818 - as above
    """The result could not be written in full: no room, no rights."""
