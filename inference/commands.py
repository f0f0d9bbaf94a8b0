"""Evaluation commands: `hailong eval expression|detection|transcription|sentiment`.

Each measures what is shipped on the user's own labelled data; nothing is fitted. Progress
goes to standard error; with `--json`, standard output is exactly one JSON object.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inference.command_output import Json, bar, explained, print_figures
from models.registry import Registry

evaluate = typer.Typer(
    name="eval",
    help="Measure models on evaluation data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@evaluate.command()
def expression(
    *,
    npz: Annotated[Path, typer.Option(help="Face pack: arrays images, labels, person.")],
    as_json: Json = False,
) -> None:
    """Measure the expression network, raw and with its shipped calibration."""
    with explained():
        from inference.evaluation_expression import evaluate_expression  # noqa: PLC0415 - loads the networks

        with bar("expression", "reading") as progress:
            figures = evaluate_expression(npz, Registry.default(), progress)
    print_figures(figures, as_json=as_json)


@evaluate.command()
def detection(
    *,
    images: Annotated[Path, typer.Option(help="Folder of pictures.")],
    gt: Annotated[Path, typer.Option(help="CSV: image, orig_w, orig_h, x1, y1, x2, y2.")],
    detector: Annotated[
        str | None, typer.Option(help="centerface or yunet; the best one present if none.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Smallest score that counts.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a face detector: recall and precision by face height."""
    with explained():
        from inference.evaluation_detection import evaluate_detection  # noqa: PLC0415 - loads the networks

        with bar("detection", "picture") as progress:
            figures = evaluate_detection(
                images, gt, Registry.default(), progress, detector=detector, threshold=threshold
            )
    print_figures(figures, as_json=as_json)


@evaluate.command()
def transcription(
    *,
    manifest: Annotated[Path, typer.Option(help="JSON Lines: audio (relative to the file), text.")],
    as_json: Json = False,
) -> None:
    """Measure the transcriber: word and character error rate, real-time factor."""
    with explained():
        from inference.evaluation_speech import run  # noqa: PLC0415 - loads the decoder
        from models.transcribers import load_transcriber  # noqa: PLC0415 - as above

        with load_transcriber(Registry.default()) as transcriber:
            figures = run(manifest, transcriber)
    print_figures(figures, as_json=as_json)


@evaluate.command()
def sentiment(
    *,
    manifest: Annotated[Path, typer.Option(help="JSON Lines: text, sentiment, optional factor.")],
    as_json: Json = False,
) -> None:
    """Measure the text model: accuracy and macro F1, by class and by factor."""
    with explained():
        from inference.evaluation_text import run  # noqa: PLC0415 - loads the text model

        with bar("sentiment", "text") as progress:
            figures = run(manifest, registry=Registry.default(), progress=progress)
    print_figures(figures, as_json=as_json)
