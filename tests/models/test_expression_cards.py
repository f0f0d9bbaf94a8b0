"""What every shipped card of an expression network has to state."""

from __future__ import annotations

import re
import tomllib

import pytest

from models.calibration import CalibrationFile, shipped_calibration
from models.card import ModelCard, Task, shipped_cards

CARDS = {card.name: card for card in shipped_cards() if card.task is Task.EXPRESSION}
CONDITIONS = ("48 px", "32 px", "24 px", "mouth covered", "half covered", "blurred", "dark", "bright")
LIMITS = ("asian", "glasses", "mask", "talking", "not what a person feels")


@pytest.fixture(params=sorted(CARDS))
def card(request: pytest.FixtureRequest) -> ModelCard:
    return CARDS[request.param]


def said(card: ModelCard) -> str:
    return " ".join(f"{figure.what} {figure.conditions}" for figure in card.measured).lower()


@pytest.mark.parametrize("condition", CONDITIONS)
def test_accuracy_is_stated_for_each_condition(card: ModelCard, condition: str) -> None:
    assert condition in said(card), f"{card.key} states no figure for '{condition}'"


@pytest.mark.parametrize("limit", LIMITS)
def test_each_known_limit_is_stated(card: ModelCard, limit: str) -> None:
    assert any(limit in line.lower() for line in card.limits), f"{card.key} says nothing of '{limit}'"


def test_training_data_rights_and_calibration_are_stated(card: ModelCard) -> None:
    assert card.training.data
    assert card.training.rights
    assert card.image is not None
    assert card.calibration is not None
    text = shipped_calibration(card.calibration.file).read_text(encoding="utf-8")
    assert f'version = "{card.calibration.version}"' in text
    assert re.search(r'fitted_on = ".*rights.*"', text)
    assert "kept_accuracy" in text
    assert "unseen" in said(card) or "never saw" in said(card)


def test_figures_are_shares_and_state_ece_auc_and_what_is_lost(card: ModelCard) -> None:
    for figure in card.measured:
        assert 0.0 <= figure.value <= 1.0
    text = said(card)
    for word in ("calibration error", "auc", "named people", "fer2013", "ck+", "another kind of picture"):
        assert word in text, f"{card.key} says nothing of {word}"


def test_the_calibration_states_what_abstention_keeps() -> None:

    for card in CARDS.values():
        assert card.calibration is not None
        text = shipped_calibration(card.calibration.file).read_text(encoding="utf-8")
        content = CalibrationFile.model_validate(tomllib.loads(text))
        assert content.kept is not None
        assert content.kept_accuracy is not None
        assert 0.4 < content.kept < 0.9
        assert content.kept_accuracy >= 0.9
