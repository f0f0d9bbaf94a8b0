"""The option `--detector`: its help lists the face detectors that there are, as their cards name them."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperOption

from models.card import Task
from models.errors import ModelError
from models.registry import Registry


class ListsDetectors(TyperCommand):
    """A command with an option `--detector`; the cards are read only when help is asked for."""

    def format_help(self, *context: Any, **named: Any) -> None:  # noqa: ANN401 - the types are private to typer
        """Write the help, with the names of the detectors behind that of the option."""
        for option in self.params:
            if isinstance(option, TyperOption) and option.name == "detector":
                option.help = f"{option.help or ''}{_listed()}".strip()
        super().format_help(*context, **named)


def _listed() -> str:
    try:
        cards = Registry.default().cards(Task.FACE_DETECTION)
    except ModelError:  # a card that cannot be read is told of where a network is loaded: here is help
        return ""
    return f" There are: {', '.join(dict.fromkeys(card.name for card in cards))}."
