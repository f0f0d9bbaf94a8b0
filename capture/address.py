"""Addresses of sources, and how they may be shown.

    rtsp://user:password@host:554/path      an IP camera (rtsps:// for TLS)
    v4l2:/dev/video0?size=1280x720&fps=15   a USB camera
    alsa:hw:1,0?channels=2                  a microphone
    file:PATH, or just PATH                 a recording
    lavfi:GRAPH                             a synthetic source, an FFmpeg filter graph

User names, passwords and query values are secret: `str()` and `repr()` leave them out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote, urlsplit

from capture.errors import SourceAddressError


class SourceKind(StrEnum):
    """The ways in."""

    RTSP = "rtsp"
    V4L2 = "v4l2"
    ALSA = "alsa"
    FILE = "file"
    LAVFI = "lavfi"


_FORMS = "rtsp://host/path, v4l2:/dev/video0, alsa:hw:0, file:PATH or lavfi:GRAPH"
_USB_OPTIONS: Mapping[SourceKind, Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        SourceKind.V4L2: MappingProxyType(
            {
                "size": re.compile(r"\d{2,5}x\d{2,5}"),
                "fps": re.compile(r"\d{1,3}"),
                "format": re.compile(r"[a-z0-9_]{2,16}"),
            }
        ),
        SourceKind.ALSA: MappingProxyType({"channels": re.compile(r"[1-8]"), "rate": re.compile(r"\d{4,6}")}),
    }
)


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """One parsed address.

    Attributes:
        kind: The way in.
        shown: The public form, safe to log.
        target: What FFmpeg opens; may hold credentials, so it is never shown.
        options: Settings of a USB device, by name.
    """

    kind: SourceKind
    shown: str
    target: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the public form."""
        return self.shown


def parse_address(text: str) -> SourceAddress:
    """Understand an address.

    Args:
        text: One of the forms above.

    Raises:
        SourceAddressError: It is none of them, or has an unknown option.
    """
    text = text.strip()
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not text:
        raise SourceAddressError(f"The address of the source is empty; write {_FORMS}.")
    if colon and scheme in {"rtsp", "rtsps"}:
        return _rtsp(text)
    if colon and scheme in {"v4l2", "alsa"}:
        return _usb(SourceKind(scheme), rest)
    if colon and scheme == "lavfi":
        if not rest:
            raise SourceAddressError("The address lavfi: names no filter graph, as in lavfi:testsrc2.")
        return SourceAddress(SourceKind.LAVFI, f"lavfi:{rest}", rest)
    if colon and scheme == "file":
        path = rest[2:] if rest.startswith("///") else rest
        if not path:
            raise SourceAddressError("The address file: names no file.")
        return SourceAddress(SourceKind.FILE, f"file:{path}", path)
    if "://" in text:
        # Only the scheme is repeated: the rest may hold a password.
        raise SourceAddressError(f"Sources of the kind {scheme!r} are not supported; write {_FORMS}.")
    return SourceAddress(SourceKind.FILE, f"file:{text}", text)


def _rtsp(text: str) -> SourceAddress:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        # The parser's own message repeats the address, password and all.
        raise SourceAddressError(
            "The RTSP address is not well formed; write rtsp://host:port/path and encode "
            "special characters of the password as %XX."
        ) from None
    if not host:
        raise SourceAddressError("The RTSP address names no host; write rtsp://host:port/path.")
    shown_host = f"[{host}]" if ":" in host else host
    shown = f"{parts.scheme.lower()}://{shown_host}{f':{port}' if port else ''}{parts.path}"
    return SourceAddress(SourceKind.RTSP, shown + ("?…" if parts.query else ""), text)


def _usb(kind: SourceKind, rest: str) -> SourceAddress:
    device, _, query = rest.partition("?")
    device = unquote(device)
    if not device:
        example = "v4l2:/dev/video0" if kind is SourceKind.V4L2 else "alsa:hw:0"
        raise SourceAddressError(f"The address {kind}: names no device; write {example}.")
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = _USB_OPTIONS[kind]
    for name, value in options.items():
        if name not in known:
            raise SourceAddressError(
                f"{kind}:{device} has the unknown option {name!r}; known are {', '.join(sorted(known))}."
            )
        if not known[name].fullmatch(value):
            raise SourceAddressError(f"{kind}:{device} has {name}={value!r}, which is not a valid value.")
    return SourceAddress(kind, f"{kind}:{device}", device, MappingProxyType(options))
