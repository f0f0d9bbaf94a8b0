"""`hailong anonymise IN OUT`: a recording, a picture or a folder of pictures without faces.

Progress goes to standard error; with `--json`, standard output is exactly one JSON object.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from inference.command_output import Json, bar, explained, print_figures
from inference.detector_option import ListsDetectors
from models.registry import Registry

anonymise = typer.Typer(
    name="anonymise",
    help="Write a recording or pictures anew without faces.",
    pretty_exceptions_enable=False,
)
_FAILED: Final = 1


@anonymise.command(cls=ListsDetectors)
def run(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A recording, a picture or a folder of pictures.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The result; its suffix chooses the format.")],
    *,
    style: Annotated[
        Literal["mask", "drawing"],
        typer.Option(help="Bare masks, or a plain face on them that shows the pose."),
    ] = "mask",
    detector: Annotated[
        str | None, typer.Option(help="A detector's name; if none, those that find most.")
    ] = None,
    sound: Annotated[
        Literal["drop", "keep"], typer.Option(help="A voice identifies: it is dropped unless you keep it.")
    ] = "drop",
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Write a recording, a picture or a folder of pictures anew without faces.

    Every picture is looked at; in doubt it is covered whole. Nothing of the source is copied:
    tags, place, chapters, subtitles and attached pictures stay behind. There is no blur.
    """
    with explained():
        from inference import anonymise as work  # noqa: PLC0415 - loads the networks

        request = work.Request(source, target, style=style, sound=sound, force=force)
        with bar("anonymise", "step") as progress:
            result = work.anonymise(request, Registry.default(), progress, detector=detector)
    if result.figures.get("sound") == "kept":
        typer.echo("The sound was kept: whoever knows a voice recognises it.", err=True)
    for failure in result.failures:
        typer.echo(failure, err=True)
    print_figures(result.figures, as_json=as_json)
    if result.failures:
        raise typer.Exit(_FAILED)
