"""Model cards: what a network is, where its file comes from, what it was measured to do."""

from __future__ import annotations

import itertools
import tomllib
from enum import StrEnum
from importlib import resources
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from models.errors import CardError

if TYPE_CHECKING:
    from collections.abc import Iterable
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
    DIARISATION = "diarisation"
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
    EXTRA = "extra"
    """Made at set-up by `hailong models prepare` where the packages of an optional engine are installed."""
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


class FileBeside(_Strict):
    """A further file that a model needs, kept beside its first one."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Name in a model folder."""
    known_as: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*$")
    ]
    """Name under which the engine asks for it; with `/` where it looks in folders of the model."""
    sha256: Sha256


class Training(_Strict):
    """What the network was trained on, and by what right."""

    data: Line
    rights: Line


class Measurement(_Strict):
    """One measured figure with the conditions under which it holds."""

    what: Line
    value: float
    conditions: Line


class Merit(_Strict):
    """What decides between several models of one task that are present: accuracy, then cost."""

    f1: Annotated[float, Field(ge=0.0, le=1.0)]
    """Harmonic mean of recall and precision at the model's own threshold."""
    cpu_ms: Annotated[float, Field(gt=0.0)]
    """Processor time of one call on one thread, milliseconds; comparable between cards of one run."""
    conditions: Line


class CalibrationLink(_Strict):
    """The calibration that belongs to a network: its own file with its own version."""

    file: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*\.toml$")]
    version: Code


class Colour(StrEnum):
    """Order of the colours that a network takes."""

    RGB = "rgb"
    BGR = "bgr"
    GREY = "grey"


class Layout(StrEnum):
    """Order of a network's input dimensions."""

    NHWC = "nhwc"
    NCHW = "nchw"


class OutputKind(StrEnum):
    """What a network's class output holds."""

    LOGITS = "logits"
    PROBABILITIES = "probabilities"
    LOG_PROBABILITIES = "log-probabilities"


_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Side = Annotated[int, Field(ge=8, le=1024)]


class AffectOutput(_Strict):
    """Where a network gives one number of its own, such as arousal, for a face."""

    output: str | None = None
    """Name of the output; the class output if none is given."""
    index: Annotated[int, Field(ge=0, le=4095)] = 0
    """Column in that output."""


class ImageInput(_Strict):
    """How a face crop is laid into a network, and how its answer is read.

    A pixel of 0 to 255 becomes `(pixel * scale - mean) / std`.
    """

    width: _Side
    height: _Side
    colour: Colour
    layout: Layout
    scale: Annotated[float, Field(gt=0.0, le=255.0)] = 1.0
    mean: Annotated[tuple[_Finite, ...], Field(min_length=1, max_length=3)] = (0.0,)
    """One number, or one a colour in the network's order."""
    std: Annotated[
        tuple[Annotated[float, Field(gt=0.0, allow_inf_nan=False)], ...], Field(min_length=1, max_length=3)
    ] = (1.0,)
    output: OutputKind
    class_output: str | None = None
    """Name of the output that holds the classes; the network's first if none is given."""
    valence: AffectOutput | None = None
    """The network's own pleasantness, -1 to 1; what lies outside is cut off."""
    arousal: AffectOutput | None = None
    """The network's own excitement, -1 to 1; what lies outside is cut off."""

    @property
    def channels(self) -> int:
        """Colours that the network takes, 1 or 3."""
        return 1 if self.colour is Colour.GREY else 3

    @model_validator(mode="after")
    def _one_number_a_colour(self) -> ImageInput:
        for key, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in {1, self.channels}:
                msg = f"{key} needs one number, or {self.channels} for {self.colour.value} pictures"
                raise ValueError(msg)
        return self


class ModelCard(_Strict):
    """Everything we know about one model file."""

    task: Task
    name: Code
    version: Code
    summary: Line
    licence: Line
    file: WeightFile
    beside: tuple[FileBeside, ...] = ()
    """Further files without which the model cannot run: a tokenizer, a configuration."""
    engine: Code | None = None
    """Library that runs the model, where that is not ONNX Runtime; the card's name if none is given."""
    training: Training
    inputs: Line
    outputs: Line
    labels: tuple[str, ...] = ()
    """Order of the network's output classes."""
    measured: tuple[Measurement, ...] = ()
    merit: Merit | None = None
    limits: tuple[Line, ...] = ()
    image: ImageInput | None = None
    """How a picture is laid into the network, for a network that is run by its card alone."""
    calibration: CalibrationLink | None = None

    @property
    def key(self) -> str:
        """Name and version in one word: `yunet@2023mar`."""
        return f"{self.name}@{self.version}"


CARD_FILE: Final = "card.toml"
"""Name, or end of the name after a dot, of a card that a user wrote."""
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
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(
            f"Model card {source} cannot be read: {error}. Correct or remove the file."
        ) from error
    return parse_card(text, str(source))


def parse_card(text: str, source: str) -> ModelCard:
    """Read the text of one card.

    Args:
        text: TOML.
        source: Where it stands, for messages.

    Raises:
        CardError: As `read_card` does.
    """
    try:
        return ModelCard.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise CardError(
            f"Model card {source} cannot be read: {error}. Correct or remove the file."
        ) from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'card'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise CardError(f"Model card {source} is wrong at {faults}. Correct these keys.") from error


def folder_cards(folder: Path) -> tuple[ModelCard, ...]:
    """Read the cards that a user put into a model folder: `card.toml` and every `NAME.card.toml`.

    Raises:
        CardError: A card is malformed.
    """
    if not folder.is_dir():
        return ()
    return tuple(read_card(path) for path in sorted(folder.glob(f"*{CARD_FILE}")) if is_card_file(path.name))


def is_card_file(name: str) -> bool:
    """Tell whether a file's name is that of a card."""
    return name == CARD_FILE or name.endswith(f".{CARD_FILE}")


def joined(shipped: Iterable[ModelCard], added: Iterable[ModelCard]) -> tuple[ModelCard, ...]:
    """Put users' cards behind the shipped ones.

    Raises:
        CardError: A user's card takes the name of a shipped model, or of another user's card's
            version, or of a shipped file: no model is swapped for another one silently.
    """
    known = list(shipped)
    names = {card.name for card in known}
    files = {card.file.name for card in known}
    keys: dict[str, ModelCard] = {}
    for card in added:
        if card.name in names or card.file.name in files:
            raise CardError(
                f"Your model card {card.key} takes the name of a model that is part of hailong, or of its "
                f"file {card.file.name}. Give yours names of its own."
            )
        if keys.setdefault(card.key, card) != card:
            raise CardError(f"Two of your model cards describe {card.key} differently. Remove one of them.")
    return (*known, *keys.values())


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
