"""Evaluation commands: `hailong eval expression|detection|transcription|sentiment`.

Each measures what is shipped on the user's own labelled data; nothing is fitted. Progress
goes to standard error; with `--json`, standard output is exactly one JSON object.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer
from tqdm import tqdm

from models.errors import InputError, ModelError, UnknownModel
from models.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

evaluate = typer.Typer(
    name="eval",
    help="Measure models on evaluation data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_FAILED: Final = 1
_BAD_INPUT: Final = 2


@evaluate.command()
def expression(
    *,
    npz: Annotated[Path, typer.Option(help="Face pack: arrays images, labels, person.")],
    as_json: Json = False,
) -> None:
    """Measure the expression network, raw and with its shipped calibration."""
    with _explained():
        from inference.evaluation_expression import evaluate_expression  # noqa: PLC0415 - loads the networks

        with _bar("expression", "reading") as progress:
            figures = evaluate_expression(npz, Registry.default(), progress)
    _print(figures, as_json=as_json)


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
    with _explained():
        from inference.evaluation_detection import evaluate_detection  # noqa: PLC0415 - loads the networks

        with _bar("detection", "picture") as progress:
            figures = evaluate_detection(
                images, gt, Registry.default(), progress, detector=detector, threshold=threshold
            )
    _print(figures, as_json=as_json)


@evaluate.command()
def transcription(
    *,
    manifest: Annotated[Path, typer.Option(help="JSON Lines: audio (relative to the file), text.")],
    as_json: Json = False,
) -> None:
    """Measure the transcriber: word and character error rate, real-time factor."""
    with _explained():
        from inference.evaluation_speech import run  # noqa: PLC0415 - loads the decoder
        from models.transcribers import load_transcriber  # noqa: PLC0415 - as above

        with load_transcriber(Registry.default()) as transcriber:
            figures = run(manifest, transcriber)
    _print(figures, as_json=as_json)


@evaluate.command()
def sentiment(
    *,
    manifest: Annotated[Path, typer.Option(help="JSON Lines: text, sentiment, optional factor.")],
    as_json: Json = False,
) -> None:
    """Measure the text model: accuracy and macro F1, by class and by factor."""
    with _explained():
        from inference.evaluation_text import run  # noqa: PLC0415 - loads the text model

        with _bar("sentiment", "text") as progress:
            figures = run(manifest, registry=Registry.default(), progress=progress)
    _print(figures, as_json=as_json)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn typed errors into one line on standard error and an exit code.

    Bad input and unknown names end with 2; a model that is missing, wrong or failing with 1.
    """
    try:
        yield
    except (InputError, UnknownModel) as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(_BAD_INPUT) from error
    except ModelError as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(_FAILED) from error
    except ValueError as error:
        # Manifests and tables raise kinds of ValueError whose message names file and line.
        typer.echo(f"{error}", err=True)
        raise typer.Exit(_BAD_INPUT) from error


@contextmanager
def _bar(name: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress on standard error, from the first step on."""
    with ExitStack() as stack:
        bars: list[tqdm[NoReturn]] = []

        def advance(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(tqdm(desc=name, unit=f" {unit}", total=total)))
            bars[0].update(done - bars[0].n)

        yield advance


def _print(figures: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(figures, ensure_ascii=False, allow_nan=False))
        return
    for line in _lines(figures):
        typer.echo(line)


def _lines(figures: Mapping[str, object], depth: int = 0) -> Iterator[str]:
    """Lay nested figures out, one a line."""
    for key, value in figures.items():
        if isinstance(value, dict):
            yield f"{'  ' * depth}{key}"
            yield from _lines(value, depth + 1)
        else:
            shown = ", ".join(json.dumps(item) for item in value) if isinstance(value, list) else value
            yield f"{'  ' * depth}{key:24} {shown}"
