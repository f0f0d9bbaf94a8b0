"""Bundles: how an administrator brings model files to a machine, and takes them along."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from models.card import CARD_FILE, is_card_file, joined, parse_card, read_card, shipped_cards
from models.errors import BundleError, ModelFileMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from models.card import ModelCard
    from models.registry import ModelFile

MAX_MEMBER_BYTES: Final = 1 << 30
"""No model we know is larger than 1 GiB; a larger member is refused before it fills the disk."""
MAX_MEMBERS: Final = 1_000
_BLOCK: Final = 1 << 20
_MAX_CARD_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Imported:
    """One model file that was copied into the store."""

    card: ModelCard
    path: Path


def import_bundle(
    bundle: Path,
    store: Path,
    cards: Sequence[ModelCard],
    on_member: Callable[[str], None] = lambda _name: None,
) -> tuple[Imported, ...]:
    """Copy every known model of a bundle into the store.

    Files are recognised by SHA-256 alone; names and paths inside the bundle mean nothing, so
    nothing can be written outside the store. Each copy becomes visible only when complete.
    A bundle may bring cards of its own (`card.toml`, `NAME.card.toml`): they are read first, and each
    is kept beside its file.

    Args:
        bundle: A zip archive, a directory, or a single model file.
        store: The folder that models are kept in; made where it is absent.
        cards: The known models.
        on_member: Told the name of each file before it is read.

    Raises:
        BundleError: The bundle cannot be read, holds no known model, or a card without its file.
        CardError: A card in it is malformed, or takes the name of a model that is part of hailong.
        ModelFileMissing: There is nothing at `bundle`.
    """
    if not bundle.exists():
        raise ModelFileMissing(f"There is no bundle at {bundle}: check the path.")
    try:
        store.mkdir(parents=True, exist_ok=True)
        brought = _cards_inside(bundle)
        _refuse_shadows(cards, brought)
        known = {
            sha256: (card, name)
            for card in (*cards, *brought)
            for sha256, name in (
                *((needed.sha256, needed.name) for needed in card.beside),
                (card.file.sha256, card.file.name),
            )
        }
        imported = []
        for name, member in _members(bundle):
            on_member(name)
            with member as stream:
                taken = _take(stream, name, store, known)
            if taken is not None:
                imported.append(taken)
                if taken.card in brought and taken.path.name == taken.card.file.name:
                    write_whole(store / f"{taken.card.key}.{CARD_FILE}", brought[taken.card])
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise BundleError(
            f"The bundle {bundle} could not be imported: {error}. Check that it is complete, "
            f"that the disk has room and that {store} can be written."
        ) from error
    if not imported:
        raise BundleError(
            f"{bundle} holds no model that this version knows (files are recognised by their SHA-256). "
            "'hailong models list' shows the known models and where their files are published."
        )
    whole = {item.card for item in imported if item.path.name == item.card.file.name}
    alone = [card.key for card in brought if card not in whole]
    if alone:
        raise BundleError(
            f"{bundle} holds the card of {alone[0]} but no file with the SHA-256 that it states. Correct the "
            "card's sha256, or put the right file beside it."
        )
    return tuple(imported)


def _cards_inside(bundle: Path) -> dict[ModelCard, bytes]:
    """Return the cards that a bundle brings, with their text."""
    found = {}
    for name, member in _members(bundle):
        with member as stream:
            if not is_card_file(PurePosixPath(name.replace("\\", "/")).name):
                continue
            text = stream.read(_MAX_CARD_BYTES + 1)
        if len(text) > _MAX_CARD_BYTES:
            raise BundleError(f"The card {name} in {bundle} is larger than any card. Correct it.")
        try:
            found[parse_card(text.decode("utf-8"), f"{name} in {bundle}")] = text
        except UnicodeDecodeError as error:
            raise BundleError(f"The card {name} in {bundle} is not UTF-8 text: {error}.") from error
    return found


def _refuse_shadows(known: Sequence[ModelCard], brought: Iterable[ModelCard]) -> None:
    shipped = shipped_cards()
    joined(shipped, [card for card in (*known, *brought) if card not in shipped])


def export_bundle(files: Sequence[ModelFile], target: Path) -> Path:
    """Write verified model files into one zip archive that `import_bundle` takes.

    The card of a model that is no part of hailong goes with its file: another machine does not know it.

    Raises:
        BundleError: There is nothing to write, or the target cannot be written.
    """
    if not files:
        raise BundleError(
            "No model file is present, so there is nothing to export. See 'hailong models verify'."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            _complete_or_absent(target) as partial,
            zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive,
        ):
            for file in files:
                named = [(file.card.file.name, file.path)]
                named += [(path.name, path) for _, path in file.beside]
                named += [(f"{file.card.key}.{CARD_FILE}", path) for path in _added_card(file)]
                for name, path in named:
                    # A fixed date keeps the archive's bytes the same from one export to the next.
                    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                    with path.open("rb") as source, archive.open(entry, "w") as member:
                        shutil.copyfileobj(source, member, _BLOCK)
    except OSError as error:
        raise BundleError(
            f"The bundle {target} could not be written: {error}. Choose another place."
        ) from error
    return target


def _added_card(file: ModelFile) -> list[Path]:
    """Return the card that a user put beside a file; none for a model of ours."""
    if file.card in shipped_cards():
        return []
    cards = [path for path in sorted(file.path.parent.glob(f"*{CARD_FILE}")) if is_card_file(path.name)]
    return [path for path in cards if read_card(path) == file.card][:1]


def _members(bundle: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and open stream of each regular file of a bundle."""
    if bundle.is_dir():
        paths = [path for path in sorted(bundle.rglob("*")) if path.is_file() and not path.is_symlink()]
        for path in paths[:MAX_MEMBERS]:
            yield path.name, path.open("rb")
    elif zipfile.is_zipfile(bundle):
        with zipfile.ZipFile(bundle) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MAX_MEMBERS:
                raise BundleError(
                    f"{bundle} holds {len(entries)} files, a bundle at most {MAX_MEMBERS}. Pack only models."
                )
            for entry in entries:
                if entry.file_size > MAX_MEMBER_BYTES:
                    raise BundleError(
                        f"{entry.filename} in {bundle} is larger than any model. Pack only models."
                    )
                yield entry.filename, archive.open(entry)
    else:
        yield bundle.name, bundle.open("rb")


def _take(
    stream: IO[bytes], name: str, store: Path, known: dict[str, tuple[ModelCard, str]]
) -> Imported | None:
    """Copy one member beside the store, and keep it only if its hash is known."""
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=store, prefix=".import-", delete=False) as copy:
        partial = Path(copy.name)
        try:
            for block in _blocks(stream, name):
                digest.update(block)
                copy.write(block)
            found = known.get(digest.hexdigest())
            if found is None:
                partial.unlink()
                return None
            card, kept_as = found
            _settle(copy, partial, store / kept_as)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    return Imported(card=card, path=store / kept_as)


def _blocks(stream: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield a member block by block; an archive may lie about its size, so it is counted here."""
    size = 0
    while block := stream.read(_BLOCK):
        size += len(block)
        if size > MAX_MEMBER_BYTES:
            raise BundleError(f"{name} is larger than any model. Pack only models.")
        yield block


@contextlib.contextmanager
def _complete_or_absent(target: Path) -> Iterator[IO[bytes]]:
    """Give a temporary file that takes the target's name only when everything was written."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as copy:
        partial = Path(copy.name)
        try:
            yield copy
            _settle(copy, partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _settle(copy: IO[bytes], partial: Path, target: Path) -> None:
    """Write through to the disk, then take the final name in one step."""
    copy.flush()
    os.fsync(copy.fileno())
    partial.chmod(0o644)
    partial.replace(target)


def write_whole(target: Path, content: bytes) -> None:
    """Write a file so that it is there completely or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _complete_or_absent(target) as copy:
        copy.write(content)
