"""Cameras: RTSP over the network, V4L2 on USB."""

from __future__ import annotations

from pathlib import Path

from capture.address import SourceAddress, SourceKind
from capture.container import Opening
from capture.errors import DeviceMissing, SourceAddressError, SourceRefused
from capture.live import LivePolicy, LiveSource
from capture.source import SENSED
from consent.purpose import Purpose

OPEN_TIMEOUT_S = (3.0, 2.0)
"""Limits for connecting and for one read."""

LOW_LATENCY = {"analyzeduration": "500000", "probesize": "65536", "fpsprobesize": "0"}
"""Probe briefly. `fflags=nobuffer` is left out on purpose: it throws away what was read while
probing, the first key frame with it, so the picture starts a whole key frame interval late.
What is kept instead comes in one burst, and the newest-picture slot lets no delay remain."""


class RtspCamera(LiveSource):
    """An IP camera, with or without sound.

    Only the permitted kinds are set up with the camera: without the image, the camera
    sends no picture at all.

    Args:
        address: Parsed `rtsp://` address.
        policy: Limits.
        missing_track_ok: Whether the camera may lack a permitted kind.
    """

    def __init__(
        self, address: SourceAddress, policy: LivePolicy | None = None, *, missing_track_ok: bool = False
    ) -> None:
        """Describe the camera; nothing is opened."""
        if address.kind is not SourceKind.RTSP:
            raise SourceAddressError(f"{address} is not an rtsp:// address.")

        def opening(purposes: frozenset[Purpose]) -> Opening:
            media = [
                name
                for purpose, name in ((Purpose.IMAGE, "video"), (Purpose.VOICE, "audio"))
                if purpose in purposes
            ]
            options = {**LOW_LATENCY, "rtsp_transport": "tcp", "allowed_media_types": "+".join(media)}
            return Opening(address.shown, address.target, None, options, OPEN_TIMEOUT_S, missing_track_ok)

        super().__init__(address.shown, "RTSP camera", SENSED, opening=opening, policy=policy)


class UsbCamera(LiveSource):
    """A camera behind V4L2.

    Args:
        address: Parsed `v4l2:` address, with options `size`, `fps`, `format`.
        policy: Limits.
        devices: Folder of the device files.
    """

    def __init__(
        self, address: SourceAddress, policy: LivePolicy | None = None, *, devices: Path = Path("/dev")
    ) -> None:
        """Describe the camera; nothing is opened."""
        if address.kind is not SourceKind.V4L2:
            raise SourceAddressError(f"{address} is not a v4l2: address.")
        names = {"size": "video_size", "fps": "framerate", "format": "input_format"}
        options = {
            **LOW_LATENCY,
            # The kernel's own time of capture, on the wall clock.
            "timestamps": "abs",
            **{names[name]: value for name, value in address.options.items()},
        }

        def opening(_: frozenset[Purpose]) -> Opening:
            return Opening(address.shown, address.target, "v4l2", options, OPEN_TIMEOUT_S)

        def check() -> None:
            _check_device(Path(address.target), devices)

        super().__init__(
            address.shown,
            "USB camera",
            frozenset({Purpose.IMAGE}),
            opening=opening,
            policy=policy,
            check=check,
        )


def _check_device(device: Path, devices: Path) -> None:
    if not device.exists():
        there = sorted(str(path) for path in devices.glob("video*"))
        raise DeviceMissing(
            f"There is no camera {device}. Cameras here: {', '.join(there) or 'none'}. "
            "Plug the camera in, or name another one in the settings."
        )
    try:
        with device.open("rb"):
            pass
    except PermissionError:
        raise SourceRefused(
            f"{device} may not be opened. Add this user to the group `video` and log in again."
        ) from None
    except OSError:
        # Busy or not ready: FFmpeg's own message says more.
        return
