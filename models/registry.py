"""Local-first search for model files: every file is checked by hash before it is used."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import platformdirs

from models.card import ModelCard, Origin, Task, folder_cards, joined, shipped_cards
from models.errors import ModelFileMissing, ModelHashMismatch, UnknownModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MODELS_DIR_VARIABLE: Final = "HAILONG_MODELS_DIR"
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file that was found and verified."""

    path: Path
    card: ModelCard
    sha256: str
    beside: tuple[tuple[str, Path], ...] = ()
    """Further verified files, each under the name that the engine knows it by."""

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""
        return self.card.name, self.card.version, self.sha256


class HashCache:
    """SHA-256 of files, remembered by path, size and time of change."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int, int], str] = {}

    def sha256(self, path: Path) -> str:
        """Return the hash of a file, reading it only if it is new or has changed."""
        status = path.stat()
        key = (str(path), status.st_size, status.st_mtime_ns)
        with self._lock:
            known = self._known.get(key)
        if known is None:
            known = sha256_of(path)
            with self._lock:
                self._known[key] = known
        return known


def sha256_of(path: Path) -> str:
    """Hash a file block by block."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def prepared_folder() -> Path:
    """Return the folder that set-up fills: `$HAILONG_MODELS_DIR`, else `<prefix>/share/hailong/models`."""
    chosen = os.environ.get(MODELS_DIR_VARIABLE)
    return Path(chosen) if chosen else Path(sys.prefix) / "share" / "hailong" / "models"


def writable_store() -> Path:
    """Return the folder that imports go to: `$HAILONG_MODELS_DIR`, else the user's data folder."""
    chosen = os.environ.get(MODELS_DIR_VARIABLE)
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("hailong", appauthor=False)) / "models"


class Registry:
    """Known models and the places where their files may lie.

    Folders are searched in order, then the installed package that the card names (which is
    located, never imported). A file with the wrong hash is refused where it is met; the
    search does not go on behind it, so nothing is swapped silently.
    """

    def __init__(self, folders: Sequence[Path], cards: Iterable[ModelCard] | None = None) -> None:
        """Take the folders to search and the cards to know (by default the shipped ones)."""
        self.folders = tuple(dict.fromkeys(folders))
        self._cards = shipped_cards() if cards is None else tuple(cards)
        self._hashes = HashCache()

    @classmethod
    def default(cls) -> Registry:
        """Return the registry of this machine.

        Order: `$HAILONG_MODELS_DIR`, the user's data folder, `<prefix>/share/hailong/models`. Cards
        that users put there (`card.toml`, `NAME.card.toml`) are known beside the shipped ones.

        Raises:
            CardError: A user's card is malformed, or takes the name of a shipped model.
        """
        folders = [writable_store()]
        if MODELS_DIR_VARIABLE in os.environ:
            folders.append(Path(platformdirs.user_data_dir("hailong", appauthor=False)) / "models")
        folders.append(Path(sys.prefix) / "share" / "hailong" / "models")
        added = [card for folder in dict.fromkeys(folders) for card in folder_cards(folder)]
        return cls(folders, joined(shipped_cards(), added))

    def cards(self, task: Task | None = None) -> tuple[ModelCard, ...]:
        """Return the known cards, all or those of one task."""
        return tuple(card for card in self._cards if task is None or card.task is task)

    def versions(self, name: str) -> tuple[ModelCard, ...]:
        """Return the cards called `name` (or exactly `name@version`), newest version first.

        Raises:
            UnknownModel: No card has that name.
        """
        found = sorted(
            (card for card in self._cards if name in {card.name, card.key}),
            key=lambda card: card.version,
            reverse=True,
        )
        if not found:
            raise UnknownModel(
                f"No model is called '{name}'. Known are: {', '.join(card.key for card in self._cards)}."
            )
        return tuple(found)

    def locate(self, name: str) -> ModelFile:
        """Find and verify the file of a model.

        Args:
            name: `name` (the newest version whose file is present) or `name@version`.

        Raises:
            UnknownModel: No card has that name.
            ModelFileMissing: The file is nowhere.
            ModelHashMismatch: A file is there, but not the one the card describes.
        """
        cards = self.versions(name)
        for card in cards:
            path = self.find(card)
            if path is not None:
                return self._complete(self._verified(path, card))
        raise ModelFileMissing(self._missing_message(cards))

    def find(self, card: ModelCard) -> Path | None:
        """Return where the file of a card lies, unverified; None where it is absent."""
        for folder in self.folders:
            path = folder / card.file.name
            if path.is_file():
                return path
        if card.file.package is None or card.file.path is None:
            return None
        try:
            spec = importlib.util.find_spec(card.file.package)
        except (ImportError, ValueError):
            return None
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            path = Path(place) / card.file.path
            if path.is_file():
                return path
        return None

    def _verified(self, path: Path, card: ModelCard) -> ModelFile:
        found = self._hashes.sha256(path)
        if found != card.file.sha256:
            raise ModelHashMismatch(
                f"{path} is not the file of {card.key}: its SHA-256 is {found}, the card demands "
                f"{card.file.sha256}. {_remedy(card)} The file was not used."
            )
        return ModelFile(path=path, card=card, sha256=found)

    def _complete(self, file: ModelFile) -> ModelFile:
        """Find and verify what the model needs beside its first file, in that file's folder."""
        beside = []
        for needed in file.card.beside:
            path = file.path.with_name(needed.name)
            if not path.is_file():
                raise ModelFileMissing(f"{path} is missing beside {file.path.name}. {_remedy(file.card)}")
            found = self._hashes.sha256(path)
            if found != needed.sha256:
                raise ModelHashMismatch(
                    f"{path} is not the file of {file.card.key}: its SHA-256 is {found}, the card demands "
                    f"{needed.sha256}. {_remedy(file.card)} The model was not used."
                )
            beside.append((needed.known_as, path))
        return replace(file, beside=tuple(beside))

    def _missing_message(self, cards: Sequence[ModelCard]) -> str:
        places = ", ".join(str(folder) for folder in self.folders) or "no folder"
        wanted = "; ".join(f"{card.key}: {_remedy(card)}" for card in cards)
        return f"The model file was not found (searched {places} and installed packages). {wanted}"


def _remedy(card: ModelCard) -> str:
    """Say in one sentence how the right file of a model comes to this machine."""
    file = card.file
    if file.origin is Origin.PACKAGE:
        return f"Install exactly {file.distribution}=={file.distribution_version} (without its dependencies)."
    if file.origin is Origin.CONVERTED:
        return (
            f"Remove the file if it is there and run 'hailong models prepare' with "
            f"{file.distribution} {file.distribution_version}."
        )
    if file.origin is Origin.EXTRA:
        return (
            f"Install {file.distribution}, version {file.distribution_version} (without dependencies), and "
            "run 'hailong models prepare'; or import the files with 'hailong models import BUNDLE'."
        )
    if file.origin is Origin.BUNDLE:
        return f"Import it with 'hailong models import BUNDLE' (published as {file.official or file.name})."
    return "Reinstall hailong: the file is part of it."
