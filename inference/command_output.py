"""What every command of this package prints: progress, errors in one line, figures."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer
from tqdm import tqdm

from inference.errors import OutputFailed
from models.errors import InputError, ModelError, UnknownModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_FAILED: Final = 1
_BAD_INPUT: Final = 2


@contextmanager
def explained() -> Iterator[None]:
    """Turn typed errors into one line on standard error and an exit code.

    Bad input and unknown names end with 2; a model that is missing, wrong or failing, and a result that
    cannot be written, with 1.
    """
    try:
        yield
    except (InputError, UnknownModel) as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(_BAD_INPUT) from error
    except (ModelError, OutputFailed) as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(_FAILED) from error
    except ValueError as error:
        # Manifests and tables raise kinds of ValueError whose message names file and line.
        typer.echo(f"{error}", err=True)
        raise typer.Exit(_BAD_INPUT) from error


@contextmanager
def bar(name: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress on standard error, from the first step on."""
    with ExitStack() as stack:
        bars: list[tqdm[NoReturn]] = []

        def advance(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(tqdm(desc=name, unit=f" {unit}", total=total)))
            bars[0].update(done - bars[0].n)

        yield advance


def print_figures(figures: Mapping[str, object], *, as_json: bool) -> None:
    """Print figures: one JSON object, or one a line."""
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
