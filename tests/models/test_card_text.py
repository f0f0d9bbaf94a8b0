"""Cards as people read them, and the manual's page of them, which may not drift."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from models.card import ModelCard, shipped_cards
from models.card_text import card_lines, cards_markdown
from models.commands import models
from setup.layout import ROOT

PAGE = ROOT / "docs" / "cards.md"


def shown(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(models, ["show", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_the_manual_shows_the_cards_as_they_are() -> None:
    expected = cards_markdown(shipped_cards())
    assert PAGE.read_text("utf-8") == expected, (
        "write it again: hailong models show --markdown > docs/cards.md"
    )


@pytest.mark.parametrize("card", shipped_cards(), ids=lambda card: card.key)
def test_a_card_is_shown_in_full(card: ModelCard) -> None:
    text = " ".join(" ".join(card_lines(card)).split())
    told = [card.key, card.task.value, card.licence, card.file.sha256, card.file.name]
    told += [card.training.data, card.training.rights, *card.limits, *card.labels]
    told += [figure.conditions for figure in card.measured]
    assert [fact for fact in told if " ".join(fact.split()) not in text] == []
    assert max(map(len, card_lines(card))) <= 120


@pytest.mark.parametrize("card", shipped_cards(), ids=lambda card: card.key)
def test_json_holds_the_card_and_where_its_file_is(card: ModelCard) -> None:
    code, out, _ = shown(card.key, "--json")
    (found,) = json.loads(out)["models"]
    assert code == 0
    assert found["training"] == {"data": card.training.data, "rights": card.training.rights}
    assert [figure["value"] for figure in found["measured"]] == [figure.value for figure in card.measured]
    assert found["state"] in {"verified", "missing"}
    if card.calibration is not None:
        assert found["calibration"]["version"] == card.calibration.version
        assert found["calibration"]["fitted_on"]


def test_a_name_shows_every_version_and_an_unknown_one_is_explained() -> None:
    assert [line for line in shown("yunet")[1].splitlines() if line.startswith("yunet@")] == [
        "yunet@2026may  (face-detection)",
        "yunet@2023mar  (face-detection)",
    ]
    code, out, told = shown("nothing")
    assert (code, out) == (1, "")
    assert "nothing" in told
