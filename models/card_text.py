"""A model card as people read it: as text for a screen and as Markdown for the manual."""

from __future__ import annotations

import textwrap
import tomllib
from typing import TYPE_CHECKING, Any, Final

from models.calibration import shipped_calibration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from models.card import ModelCard

_WIDTH: Final = 100
_INDENT: Final = 18
_HEAD: Final = """# Model cards

Written by `hailong models show --markdown` from the cards in `models/cards/`; a test compares them.
What the keys mean, and how to add a model, is told in [models.md](models.md)."""
_CALIBRATION_FACTS: Final = ("fitted_on", "method", "abstain_below", "kept", "kept_accuracy")
"""What of a calibration's file says something to people, where it is there; the rest are its numbers."""


def card_document(card: ModelCard) -> dict[str, Any]:
    """Return everything a card says as JSON, its calibration's facts included."""
    document: dict[str, Any] = card.model_dump(mode="json", exclude_none=True)
    if card.calibration is not None:
        document["calibration"] = _calibration(card)
    return document


def _calibration(card: ModelCard) -> dict[str, Any]:
    if card.calibration is None:
        return {}
    source = shipped_calibration(card.calibration.file)
    # A user's card names a calibration that lies beside it, not among ours.
    file = tomllib.loads(source.read_text("utf-8")) if source.is_file() else {}
    facts: dict[str, Any] = {key: file[key] for key in _CALIBRATION_FACTS if key in file}
    named: dict[str, Any] = {"file": card.calibration.file, "version": card.calibration.version}
    return named | facts


def card_lines(card: ModelCard) -> Iterator[str]:
    """Lay a card out for a screen, one fact after another."""
    yield f"{card.key}  ({card.task.value})"
    for name, value in _facts(card):
        yield from _wrapped(name, value)
    for figure in card.measured:
        yield from _wrapped("measured", f"{figure.what}: {figure.value:g}. {figure.conditions}")
    for limit in card.limits:
        yield from _wrapped("limit", limit)


def cards_markdown(cards: Iterable[ModelCard]) -> str:
    """Return a page with every card in full."""
    parts = [_HEAD]
    for card in cards:
        facts = "\n".join(f"| {name} | {_cell(value)} |" for name, value in _facts(card))
        part = f"## {card.key}\n\n| {card.task.value} | |\n|---|---|\n{facts}"
        if card.measured:
            rows = (
                f"| {_cell(each.what)} | {each.value:g} | {_cell(each.conditions)} |"
                for each in card.measured
            )
            part += "\n\n| measured | value | conditions |\n|---|---|---|\n" + "\n".join(rows)
        if card.limits:
            part += "\n\nLimits:\n\n" + "\n".join(f"- {limit}" for limit in card.limits)
        parts.append(part)
    return "\n\n".join(parts) + "\n"


def _facts(card: ModelCard) -> Iterator[tuple[str, str]]:
    file = card.file
    yield "summary", card.summary
    yield "licence", card.licence
    yield "file", f"{file.name} ({file.origin.value})"
    yield "sha256", file.sha256
    for needed in card.beside:
        yield "file beside it", f"{needed.name}, sha256 {needed.sha256}"
    if card.engine is not None:
        yield "run by", card.engine
    if file.distribution is not None:
        inside = "" if file.path is None else f", {file.path}"
        yield "published in", f"{file.distribution} {file.distribution_version or ''}".strip() + inside
    if file.official is not None:
        yield "published at", file.official
    yield "trained on", card.training.data
    yield "rights", card.training.rights
    yield "input", card.inputs
    yield "output", card.outputs
    if card.labels:
        yield "labels", ", ".join(card.labels)
    if card.merit is not None:
        yield "chosen by", f"F1 {card.merit.f1:g} at {card.merit.cpu_ms:g} ms of CPU. {card.merit.conditions}"
    for key, value in _calibration(card).items():
        yield "calibration" if key == "file" else f"  {key.replace('_', ' ')}", str(value)


def _wrapped(name: str, value: str) -> list[str]:
    return textwrap.wrap(
        value,
        _WIDTH,
        initial_indent=f"  {name:{_INDENT - 2}}",
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
