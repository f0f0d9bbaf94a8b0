"""Questions whose answers make an edge's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydantic import TypeAdapter, ValidationError

from capture.address import parse_address
from capture.config import CentreConfig
from capture.errors import SourceAddressError
from inference.signal import Code

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER = "# Configuration of one hailong edge; docs/edge.md describes every key.\n"
_CHANNELS = ("left", "right", "only")


def ask_config() -> str:
    """Ask on the terminal and return the text of a configuration file.

    An answer that cannot be used is asked for again, so that one slip does not cost all the others.
    """
    typer.echo("This writes the configuration of an edge: its counters, cameras and microphones.")
    name = _ask("Name of this edge (lower-case letters, digits, - . _)", "edge-1", _code)
    data_dir = typer.prompt("Folder for its key, consent log and outbox", default="hailong-edge")
    centre = _ask("Address of the centre, such as https://centre.example (empty: none yet)", "", _url)
    parts = [_HEADER, f"name = {_quoted(name)}\n", f"data_dir = {_quoted(data_dir)}\n"]
    if centre:
        parts.append(f"\n[centre]\nurl = {_quoted(centre)}\n")
    cameras = sorted(str(path) for path in Path("/dev").glob("video*"))
    while True:
        parts.append(_ask_counter(cameras))
        if not typer.confirm("Another counter?", default=False):
            return "".join(parts)


def _ask_counter(cameras: list[str]) -> str:
    code = _ask("Code of the counter, as the centre knows it", "quay-1", _code)
    found = f"cameras here: {', '.join(cameras)}" if cameras else "no camera is plugged in here"
    camera = _ask(
        f"Camera: rtsp://…, v4l2:/dev/video0, file:PATH; empty for none ({found})",
        f"v4l2:{cameras[0]}" if cameras else "",
        _address,
    )
    own_sound = "empty for the camera's own sound" if camera else "needed where there is no camera"
    microphone = _ask(
        f"Microphone: alsa:hw:0, rtsp://…; {own_sound}", "", _address if camera else _needed_address
    )
    channel = _ask("Channel of the citizen's microphone: left, right, or only", "left", _channel)
    lines = ["\n[[counters]]", f"code = {_quoted(code)}"]
    lines += [f"camera = {_quoted(camera)}"] if camera else []
    lines += [f"microphone = {_quoted(microphone)}"] if microphone else []
    lines.append(f"citizen_channel = {_quoted(channel)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _ask(question: str, default: str, read: Callable[[str], str]) -> str:
    answer: str = typer.prompt(question, default=default, value_proc=read)
    return answer


def _code(text: str) -> str:
    try:
        return TypeAdapter(Code).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(
            f"'{text}' cannot be used: lower-case letters and digits, with - . _ between them"
        ) from None


def _url(text: str) -> str:
    try:
        return CentreConfig(url=text).url if text else text
    except ValidationError:
        raise typer.BadParameter("the address starts with https:// or http:// and names a host") from None


def _address(text: str) -> str:
    try:
        if text:
            parse_address(text)
    except SourceAddressError as error:
        raise typer.BadParameter(str(error)) from None
    return text


def _needed_address(text: str) -> str:
    if not text:
        raise typer.BadParameter("a counter needs a camera or a microphone; Ctrl-C stops asking")
    return _address(text)


def _channel(text: str) -> str:
    if text not in _CHANNELS:
        raise typer.BadParameter(f"one of {', '.join(_CHANNELS)}, not '{text}'")
    return text
