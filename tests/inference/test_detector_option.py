"""The help of `--detector` lists what the registry knows."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from inference.anonymise_command import anonymise
from inference.commands import evaluate
from models.card import Task
from models.registry import Registry


@pytest.mark.parametrize("words", [(), ("detection",), ("anonymiser",), ("tracking",)], ids=" ".join)
def test_the_help_lists_the_detectors_that_there_are(words: tuple[str, ...]) -> None:
    program: typer.Typer = evaluate if words else anonymise
    shown = CliRunner().invoke(program, [*words, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    told = re.sub(r"[\s│]+", " ", shown.output)
    names = dict.fromkeys(card.name for card in Registry.default().cards(Task.FACE_DETECTION))
    assert len(names) >= 3
    assert f"There are: {', '.join(names)}." in told
