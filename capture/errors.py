"""What can go wrong at the edge's inputs.

    CaptureError
    ├── SourceAddressError      an address that cannot be understood (ValueError)
    ├── SourceUnavailable       it did not open; it may open later (OSError)
    │   ├── MediaFileMissing    no such file (FileNotFoundError)
    │   └── DeviceMissing       no such camera or microphone (FileNotFoundError)
    ├── SourceRefused           not allowed to open it (PermissionError)
    ├── BrokenMedia             not media, or damaged (ValueError)
    ├── TrackMissing            lacks what was permitted and asked for
    │   ├── NoVideoTrack
    │   └── NoAudioTrack
    ├── SourceLost              it was open and broke off (OSError)
    │   └── SourceSilent        still open, but nothing comes (TimeoutError)
    ├── PortTaken               a server cannot listen (OSError)
    ├── RatingClosed            the service was rated, or its time ran out
    └── ProcedureUnknown        a procedure that the counter does not list (ValueError)

`retryable` says whether trying again can help without a person doing something.
Messages never hold credentials: addresses are named by their public form only.
"""

from __future__ import annotations

from typing import ClassVar


class CaptureError(Exception):
    """Anything that goes wrong while capturing."""

    retryable: ClassVar[bool] = False


class SourceAddressError(CaptureError, ValueError):
    """An address that names no source we know."""


class SourceUnavailable(CaptureError, OSError):  # noqa: N818 - named for what happened
    """A source that did not open and may open later."""

    retryable = True


class MediaFileMissing(SourceUnavailable, FileNotFoundError):  # noqa: N818 - named for what happened
    """A recording that is not there."""

    retryable = False


class DeviceMissing(SourceUnavailable, FileNotFoundError):  # noqa: N818 - named for what happened
    """A camera or microphone that is not plugged in (it may come back)."""


class SourceRefused(CaptureError, PermissionError):  # noqa: N818 - named for what happened
    """A source that wants other credentials or rights."""


class BrokenMedia(CaptureError, ValueError):  # noqa: N818 - named for what happened
    """A file that is no media file, or is damaged."""


class TrackMissing(CaptureError):  # noqa: N818 - named for what happened
    """A source without the picture or the sound that was asked for."""


class NoVideoTrack(TrackMissing):
    """A source without a picture."""


class NoAudioTrack(TrackMissing):
    """A source without sound."""


class SourceLost(CaptureError, OSError):  # noqa: N818 - named for what happened
    """A source that was open and broke off."""

    retryable = True


class SourceSilent(SourceLost, TimeoutError):  # noqa: N818 - named for what happened
    """A source that is open and gives nothing."""


class PortTaken(CaptureError, OSError):  # noqa: N818 - named for what happened
    """A port that another program listens on."""


class RatingClosed(CaptureError):  # noqa: N818 - named for what happened
    """A rating that comes a second time or too late."""


class ProcedureUnknown(CaptureError, ValueError):  # noqa: N818 - named for what happened
    """A procedure that the configuration of the counter does not list."""
