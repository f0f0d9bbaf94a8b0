"""Questions whose answers make an edge's configuration."""

from __future__ import annotations

from pathlib import Path

import typer

_HEADER = (
    "# Configuration of one hailong edge; every key is described by 'hailong edge check-config --help'.\n"
)


def ask_config() -> str:
    """Ask on the terminal and return the text of a configuration file."""
    typer.echo("This writes the configuration of an edge: its counters, cameras and microphones.")
    name = typer.prompt("Name of this edge (lower-case letters, digits, - . _)", default="edge-1")
    data_dir = typer.prompt("Folder for its key, consent log and outbox", default="hailong-edge")
    centre = typer.prompt(
        "Address of the centre, such as https://centre.example (empty: none yet)", default=""
    )
    parts = [_HEADER, f"name = {_quoted(name)}\n", f"data_dir = {_quoted(data_dir)}\n"]
    if centre:
        parts.append(f"\n[centre]\nurl = {_quoted(centre)}\n")
    cameras = sorted(str(path) for path in Path("/dev").glob("video*"))
    while True:
        parts.append(_ask_counter(cameras))
        if not typer.confirm("Another counter?", default=False):
            return "".join(parts)


def _ask_counter(cameras: list[str]) -> str:
    code = typer.prompt("Code of the counter, as the centre knows it", default="quay-1")
    found = f"cameras here: {', '.join(cameras)}" if cameras else "no camera is plugged in here"
    camera = typer.prompt(
        f"Camera: rtsp://…, v4l2:/dev/video0, file:PATH; empty for none ({found})",
        default=f"v4l2:{cameras[0]}" if cameras else "",
    )
    microphone = typer.prompt("Microphone: alsa:hw:0, rtsp://…; empty for the camera's own sound", default="")
    channel = typer.prompt("Channel of the citizen's microphone: left, right, or only", default="left")
    lines = ["\n[[counters]]", f"code = {_quoted(code)}"]
    lines += [f"camera = {_quoted(camera)}"] if camera else []
    lines += [f"microphone = {_quoted(microphone)}"] if microphone else []
    lines.append(f"citizen_channel = {_quoted(channel)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
