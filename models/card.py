"""Model cards: what a network is, where its file comes from, what it was measured to do."""

from __future__ import annotations

import itertools
import tomllib
from enum import StrEnum
from importlib import resources
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from models.errors import CardError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$")]
"""Lower-case identifier: what a signal may carry as a model's name or version."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=600)]


class Task(StrEnum):
    """What a model is for."""

    FACE_DETECTION = "face-detection"
    EXPRESSION = "expression"
    VOICE_ACTIVITY = "voice-activity"
    TRANSCRIPTION = "transcription"
    TEXT_SENTIMENT = "text-sentiment"


class Origin(StrEnum):
    """How the file comes to a machine."""

    PACKAGE = "package"
    """Inside an installed package, pinned by version."""
    BUNDLE = "bundle"
    """Imported by an administrator with `hailong models import`."""
    CONVERTED = "converted"
    """Made at set-up by `hailong models prepare` from a published package."""
    OWN = "own"
    """Made by us and shipped beside the code."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class WeightFile(_Strict):
    """The file of a model: its name in a model folder and where it may lie."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    sha256: Sha256
    origin: Origin
    package: str | None = None
    """Importable package that carries the file (it is located, never imported)."""
    path: str | None = None
    """Path inside that package."""
    distribution: str | None = None
    """Name of the published package, as one installs it."""
    distribution_version: str | None = None
    official: Line | None = None
    """Where the file was published."""

    @model_validator(mode="after")
    def _complete(self) -> WeightFile:
        if self.origin is Origin.PACKAGE and not (
            self.package and self.path and self.distribution and self.distribution_version
        ):
            msg = "a file of origin 'package' needs package, path, distribution and distribution_version"
            raise ValueError(msg)
        if self.path is not None and (
            PurePosixPath(self.path).is_absolute() or ".." in PurePosixPath(self.path).parts
        ):
            msg = "path must stay inside the package"
            raise ValueError(msg)
        return self


class Training(_Strict):
    """What the network was trained on, and by what right."""

    data: Line
    rights: Line


class Measurement(_Strict):
    """One measured figure with the conditions under which it holds."""

    what: Line
    value: float
    conditions: Line


class CalibrationLink(_Strict):
    """The calibration that belongs to a network: its own file with its own version."""

    file: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*\.toml$")]
    version: Code


class ModelCard(_Strict):
    """Everything we know about one model file."""

    task: Task
    name: Code
    version: Code
    summary: Line
    licence: Line
    file: WeightFile
    training: Training
    inputs: Line
    outputs: Line
    labels: tuple[str, ...] = ()
    """Order of the network's output classes."""
    measured: tuple[Measurement, ...] = ()
    limits: tuple[Line, ...] = ()
    calibration: CalibrationLink | None = None

    @property
    def key(self) -> str:
        """Name and version in one word: `yunet@2023mar`."""
        return f"{self.name}@{self.version}"


CARDS: Final = "cards"
"""Folder of this package that holds the shipped cards."""


def read_card(source: Path | Traversable) -> ModelCard:
    """Read one card.

    Args:
        source: A TOML file.

    Raises:
        CardError: The file is not TOML, a key is unknown or missing, or a value is malformed.
    """
    try:
        content = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CardError(
            f"Model card {source} cannot be read: {error}. Correct or remove the file."
        ) from error
    try:
        return ModelCard.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'card'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise CardError(f"Model card {source} is wrong at {faults}. Correct these keys.") from error


def shipped_cards() -> tuple[ModelCard, ...]:
    """Read the cards that are part of this package, ordered by name and version.

    Raises:
        CardError: A card is malformed, or two carry the same name and version.
    """
    folder = resources.files("models") / CARDS
    cards = [read_card(entry) for entry in folder.iterdir() if entry.name.endswith(".toml")]
    cards.sort(key=lambda card: (card.name, card.version))
    for first, second in itertools.pairwise(cards):
        if first.key == second.key:
            raise CardError(f"Two model cards in {folder} describe {first.key}. Remove one of them.")
    return tuple(cards)
