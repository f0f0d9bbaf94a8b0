from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.card import Origin, Task, read_card, shipped_cards
from models.errors import CardError, ModelError

if TYPE_CHECKING:
    from pathlib import Path

CARD = """
task = "face-detection"
name = "finder"
version = "1.0"
summary = "finds"
licence = "MIT"
inputs = "picture"
outputs = "boxes"

[file]
name = "finder.onnx"
sha256 = "{sha256}"
origin = "bundle"

[training]
data = "faces"
rights = "given"
"""


def card_text(sha256: str = "0" * 64) -> str:
    return CARD.replace("{sha256}", sha256)


def test_every_shipped_card_reads_and_is_complete() -> None:
    cards = shipped_cards()
    keys = {card.key for card in cards}
    assert {
        "centerface@1.5.0",
        "yunet@2023mar",
        "yunet@2026may",
        "face-api-expression@1.7.15",
        "silero-vad@6.2.3",
        "viet-asr@0.1.0.dev11",
    } <= keys
    assert [card.key for card in cards] == sorted(card.key for card in cards)
    for card in cards:
        assert card.licence
        assert card.training.rights
        assert card.limits, f"{card.key} states no limits"
        if card.file.origin is not Origin.OWN:  # ours are measured in docs, beside their corpus
            assert card.measured, f"{card.key} states no measured figure"


def test_a_card_says_where_its_file_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "finder.toml"
    path.write_text(card_text(), encoding="utf-8")
    card = read_card(path)
    assert (card.task, card.file.origin, card.key) == (Task.FACE_DETECTION, Origin.BUNDLE, "finder@1.0")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('inputs = "picture"', 'inputs = "picture"\ncolour = "red"', "colour"),
        ('licence = "MIT"\n', "", "licence"),
        ('name = "finder"', 'name = "Finder"', "name"),
        ('sha256 = "' + "0" * 64, 'sha256 = "' + "G" * 64, "file.sha256"),
        ('origin = "bundle"', 'origin = "hub"', "file.origin"),
        ('origin = "bundle"', 'origin = "package"', "package"),
        ('origin = "bundle"', 'origin = "bundle"\npath = "../outside"', "path must stay inside"),
        ('name = "finder.onnx"', 'name = "../finder.onnx"', "file.name"),
        ('task = "face-detection"', 'task = "guessing"', "task"),
        ("[file]", "[file", "cannot be read"),
    ],
)
def test_a_wrong_card_is_refused_naming_file_and_key(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = tmp_path / "finder.toml"
    changed = card_text().replace(old, new, 1)
    assert changed != card_text()
    path.write_text(changed, encoding="utf-8")
    with pytest.raises(CardError) as caught:
        read_card(path)
    assert str(path) in str(caught.value)
    assert named in str(caught.value)
    assert isinstance(caught.value, ModelError)


@pytest.mark.parametrize(
    ("known_as", "taken"),
    [
        ("config.json", True),
        ("segmentation/pytorch_model.bin", True),
        ("../pytorch_model.bin", False),
        ("segmentation/../../pytorch_model.bin", False),
        ("/etc/passwd", False),
        ("segmentation//pytorch_model.bin", False),
        ("segmentation/", False),
    ],
)
def test_a_file_beside_is_known_inside_its_model_alone(tmp_path: Path, known_as: str, taken: bool) -> None:  # noqa: FBT001 - a column
    path = tmp_path / "finder.toml"
    beside = f'[[beside]]\nname = "more.bin"\nknown_as = "{known_as}"\nsha256 = "{"1" * 64}"\n'
    path.write_text(card_text() + beside, encoding="utf-8")
    if taken:
        assert [item.known_as for item in read_card(path).beside] == [known_as]
    else:
        with pytest.raises(CardError, match=r"beside\.0\.known_as"):
            read_card(path)


def test_a_card_that_is_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="cannot be read"):
        read_card(tmp_path / "absent.toml")


def test_every_face_detector_states_what_a_reader_needs() -> None:
    cards = [card for card in shipped_cards() if card.task is Task.FACE_DETECTION]
    assert {card.name for card in cards} == {"centerface", "face-api-ssd", "yunet"}
    for card in cards:
        said = [figure.what for figure in card.measured]
        by_height = [what for what in said if what.startswith("recall") and " px" in what]
        assert len(by_height) >= 4, f"{card.key} states no recall by height of the face"
        assert any(what.startswith("precision") for what in said), f"{card.key} states no precision"
        assert all("pictures" in figure.conditions for figure in card.measured)
        assert all(0.0 <= figure.value <= 1.0 for figure in card.measured)
        assert card.merit is not None, f"{card.key} states nothing to choose it by"
        limits = " ".join(card.limits)
        for unmeasured in ("Asian faces", "Glasses", "masks"):
            assert unmeasured in limits, f"{card.key} does not say what is known of {unmeasured}"
        assert "WIDER" in card.training.data
        assert "research" in card.training.rights


def test_the_merit_of_a_face_detector_follows_from_its_figures() -> None:
    for card in shipped_cards():
        if card.task is Task.FACE_DETECTION:
            figures = {figure.what.partition(" at ")[0]: figure.value for figure in reversed(card.measured)}
            recall, precision = figures["recall"], figures["precision"]
            assert card.merit is not None
            assert card.merit.f1 == pytest.approx(2 * recall * precision / (recall + precision), abs=0.002)
