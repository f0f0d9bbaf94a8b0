from __future__ import annotations

import pytest

from capture.address import SourceKind, parse_address
from capture.errors import SourceAddressError


@pytest.mark.parametrize(
    ("text", "kind", "target", "shown"),
    [
        ("rtsp://cam/1", SourceKind.RTSP, "rtsp://cam/1", "rtsp://cam/1"),
        ("rtsp://u:p@cam:554/1", SourceKind.RTSP, "rtsp://u:p@cam:554/1", "rtsp://cam:554/1"),
        ("RTSPS://u@[::1]:322/a?t=k", SourceKind.RTSP, "RTSPS://u@[::1]:322/a?t=k", "rtsps://[::1]:322/a?…"),
        ("v4l2:/dev/video0", SourceKind.V4L2, "/dev/video0", "v4l2:/dev/video0"),
        ("v4l2:/dev/video0?size=640x480&fps=15", SourceKind.V4L2, "/dev/video0", "v4l2:/dev/video0"),
        ("alsa:hw:1,0?channels=2", SourceKind.ALSA, "hw:1,0", "alsa:hw:1,0"),
        ("file:a b.mp4", SourceKind.FILE, "a b.mp4", "file:a b.mp4"),
        ("file:///srv/a.mp4", SourceKind.FILE, "/srv/a.mp4", "file:/srv/a.mp4"),
        (" session.mp4 ", SourceKind.FILE, "session.mp4", "file:session.mp4"),
        ("/srv/10:30.mp4", SourceKind.FILE, "/srv/10:30.mp4", "file:/srv/10:30.mp4"),
        ("lavfi:testsrc2=rate=5", SourceKind.LAVFI, "testsrc2=rate=5", "lavfi:testsrc2=rate=5"),
    ],
)
def test_addresses(text: str, kind: SourceKind, target: str, shown: str) -> None:
    address = parse_address(text)
    assert (address.kind, address.target, address.shown, str(address)) == (kind, target, shown, shown)


def test_options_of_a_usb_camera() -> None:
    assert parse_address("v4l2:/dev/video0?size=640x480&fps=15").options == {"size": "640x480", "fps": "15"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("rtsp://", "names no host"),
        ("rtsp://cam:port/1", "not well formed"),
        ("http://cam/1", "'http' are not supported"),
        ("v4l2:", "names no device"),
        ("alsa:", "names no device"),
        ("lavfi:", "names no filter graph"),
        ("file:", "names no file"),
        ("v4l2:/dev/video0?zoom=2", "unknown option 'zoom'; known are format, fps, size"),
        ("alsa:hw:0?channels=none", "channels='none'"),
    ],
)
def test_addresses_that_are_none(text: str, message: str) -> None:
    with pytest.raises(SourceAddressError, match=message):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    ["rtsp://officer:hunter2@cam/1", "rtsp://cam/1?password=hunter2", "rtsp://officer:hunter2@cam:99999/1"],
)
def test_passwords_are_never_shown(text: str) -> None:
    try:
        address = parse_address(text)
    except SourceAddressError as error:
        said = f"{error}{error!r}{error.__cause__}"
    else:
        said = f"{address}{address!r}{address.shown}"
    assert "hunter2" not in said
    assert "officer" not in said
