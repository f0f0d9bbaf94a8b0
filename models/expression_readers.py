"""Which network reads expressions: our own pair, or another one by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.calibration import Calibration, read_calibration
from models.card import Task
from models.card_expression import CardExpression
from models.deepface_expression import NAME as DEEPFACE
from models.deepface_expression import DeepFaceExpression
from models.errors import CalibrationError, UnknownModel
from models.expression import NAME, SECOND_NAME, load_expression_model

if TYPE_CHECKING:
    from models.expression_reading import ExpressionNetwork
    from models.registry import ModelFile, Registry


def load_expression_reader(
    registry: Registry, name: str | None = None, *, calibrated: bool = True, threads: int = 1
) -> ExpressionNetwork:
    """Load the network that reads expressions.

    Args:
        registry: Where files and cards are looked up.
        name: None, or the name of the default network, takes our own pair. `deepface` takes that
            library. Any other is the name of an expression network's card, `name` or `name@version`.
        calibrated: Whether to use the calibration that belongs to the network, if it has one.
        threads: Threads of each network.

    Raises:
        UnknownModel: No expression network has that name.
        ModelFileMissing: Its file is nowhere.
        ModelHashMismatch: Its file is not the one the card describes.
        CardError: The card does not say how the network is run.
        CalibrationError: The calibration does not belong to the network.
        LibraryMissing: The name is `deepface` and the library is not installed.
    """
    if name is None or name.partition("@")[0] == NAME:
        return load_expression_model(registry, calibrated, threads=threads)
    _known(registry, name)
    file = registry.locate(name)
    # The second network's calibration is the pair's: alone it reads without.
    own = calibrated and file.card.name != SECOND_NAME
    calibration = _calibration(registry, file) if own else None
    if file.card.name == DEEPFACE:
        return DeepFaceExpression.load(file, calibration, threads=threads)
    return CardExpression.load(file, calibration, threads=threads)


def _known(registry: Registry, name: str) -> None:
    known = sorted({card.name for card in registry.cards(Task.EXPRESSION)})
    if not any(name in {card.name, card.key} for card in registry.cards(Task.EXPRESSION)):
        raise UnknownModel(
            f"No expression network is called '{name}'. Known are: {', '.join(known)}. Another one needs its "
            "file and a card, 'NAME.card.toml', in the folder of models: see 'Your own network' in "
            "docs/models.md."
        )


def _calibration(registry: Registry, file: ModelFile) -> Calibration | None:
    """Read the calibration that a user's card names from the folders of models."""
    link = file.card.calibration
    if link is None:
        return None
    for folder in registry.folders:
        path = folder / link.file
        if path.is_file():
            return read_calibration(
                path, network_sha256=file.sha256, labels=file.card.labels, version=link.version
            )
    raise CalibrationError(
        f"The card of {file.card.key} names the calibration {link.file}, which is in no folder of models. "
        "Put it beside the card, or remove [calibration] from the card."
    )
