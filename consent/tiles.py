"""A whole log as files, by C2SP tlog-tiles: checkpoint, tiles of hashes, bundles of entries.

The paths are the same in a folder and over HTTP. A folder is checked from its checkpoint:
each entry hashed anew, each tile compared, the root compared, no file more or less.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consent.checkpoint import Checkpoint, WitnessedCheckpoint, WitnessPolicy
from consent.errors import EntryTooLarge, TilesRefused
from consent.merkle import HASH_BYTES, Frontier, Node, Nodes, leaf_hash

TILE_WIDTH: Final = 256
"""Hashes of a full tile, and entries of a full bundle."""
TILE_HEIGHT: Final = 8
LONGEST_ENTRY_BYTES: Final = 65_535
CHECKPOINT: Final = "checkpoint"
ENTRIES: Final = "entries"

_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One file of a log.

    Attributes:
        level: Level of a tile: each hash covers `256 ** level` entries; None for a bundle of entries.
        index: Index within the level.
        width: Hashes or entries in it; below 256 at the right edge of the tree.
    """

    level: int | None
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Where it lies, below the folder or URL of the log."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
        number = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        part = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{ENTRIES if self.level is None else self.level}/{number}{part}"

    @classmethod
    def parse(cls, path: str) -> Tile:
        """Read a path.

        Raises:
            TilesRefused: No file of a log has this path.
        """
        found = _PATH.fullmatch(path)
        if found is not None:
            index = int(found[2].replace("/", "").replace("x", ""))
            level = None if found[1] == ENTRIES else int(found[1])
            tile = cls(level, index, int(found[3] or TILE_WIDTH))
            if tile.path == path and (found[3] is None or tile.width < TILE_WIDTH):
                return tile
        raise TilesRefused(f"no tile of a log is named '{path[:120]}'")

    def within(self, size: int) -> bool:
        """Tell whether a log of this size has at least this much of the tile."""
        full = size >> (TILE_HEIGHT * (self.level or 0))
        return self.index * TILE_WIDTH + self.width <= full

    @property
    def start(self) -> int:
        """Index of its first hash within its level, or of its first entry."""
        return self.index * TILE_WIDTH


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield every file that the log of this size has, but its checkpoint: bundles, then tiles upwards."""
    yield from _row(None, size)
    level = 0
    while size:
        yield from _row(level, size)
        level, size = level + 1, size >> TILE_HEIGHT


def hash_tile(tile: Tile, nodes: Nodes) -> bytes:
    """Return the bytes of a tile of hashes; KeyError when the tree is not yet that large."""
    if tile.level is None:
        raise ValueError(f"{tile.path} is a bundle of entries, not a tile of hashes")
    level = tile.level * TILE_HEIGHT
    return b"".join(nodes.node(level, tile.start + place) for place in range(tile.width))


def entry_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the bytes of a bundle of entries.

    Raises:
        EntryTooLarge: An entry is longer than 65,535 bytes.
    """
    for entry in entries:
        if len(entry) > LONGEST_ENTRY_BYTES:
            raise EntryTooLarge(
                f"an entry of {len(entry)} bytes does not fit a bundle; {LONGEST_ENTRY_BYTES} is the most. "
                "Log a digest of it instead."
            )
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def parse_bundle(data: bytes) -> tuple[bytes, ...]:
    """Return the entries of a bundle.

    Raises:
        TilesRefused: The bundle ends within an entry.
    """
    entries: list[bytes] = []
    place = 0
    while place < len(data):
        stop = place + 2 + int.from_bytes(data[place : place + 2], "big")
        if stop > len(data) or place + 2 > len(data):
            raise TilesRefused(f"the bundle ends within its entry {len(entries)}")
        entries.append(data[place + 2 : stop])
        place = stop
    return tuple(entries)


def write_folder(
    folder: Path,
    note: bytes,
    size: int,
    nodes: Nodes,
    entries: Callable[[int, int], Sequence[bytes]],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write a whole log into a new folder, its checkpoint last; returns the number of files.

    Args:
        folder: Where to write; must be new or empty.
        note: The signed checkpoint of this size.
        size: Entries of the log.
        nodes: The tree of the log.
        entries: Gives the entries from one index up to, not including, another.
        progress: Called with files written and files there are.

    Raises:
        TilesRefused: The folder holds something, or the log gave another number of entries.
        EntryTooLarge: An entry does not fit the format.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise TilesRefused(f"{folder} is not empty: name a new folder for the export")
    tiles = tuple(tiles_of(size))
    for done, tile in enumerate(tiles):
        if tile.level is None:
            found = entries(tile.start, tile.start + tile.width)
            if len(found) != tile.width:
                raise TilesRefused(f"the log gave {len(found)} entries where {tile.width} were due")
            data = entry_bundle(found)
        else:
            data = hash_tile(tile, nodes)
        path = folder / tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if progress is not None:
            progress(done + 1, len(tiles) + 1)
    (folder / CHECKPOINT).write_bytes(note)
    return len(tiles) + 1


@dataclass(frozen=True, slots=True)
class FolderReport:
    """A folder in which every byte was found to be what the checkpoint covers.

    Attributes:
        witnessed: The checkpoint with its witnesses; whether they suffice stands in it.
        files: Files that were read, the checkpoint too.
        entries: Entries that were hashed.
    """

    witnessed: WitnessedCheckpoint
    files: int
    entries: int


def check_folder(
    folder: Path,
    policy: WitnessPolicy,
    *,
    known: Sequence[Checkpoint] = (),
    progress: Callable[[int, int], None] | None = None,
) -> FolderReport:
    """Check a whole exported log from its checkpoint.

    Args:
        folder: The export.
        policy: Whose signatures count.
        known: Checkpoints of this log kept elsewhere, such as a witness's latest: the export must go on
            from each of them. Without one, an older state of the log passes for the present one.
        progress: Called with entries checked and entries there are, a bundle at a time.

    Raises:
        TilesRefused: A file is missing, surplus or altered.
        CheckpointRefused: The checkpoint is not signed as the policy asks.
    """
    witnessed = policy.check(_read(folder, CHECKPOINT))
    size = witnessed.checkpoint.size
    _check_files(folder, size)
    _check_reach(witnessed.checkpoint, known)
    due = [kept for kept in known if kept.size]
    tree, rows = Frontier(), _Rows(folder)
    for bundle in _row(None, size):
        entries = parse_bundle(_read(folder, bundle.path))
        if len(entries) != bundle.width:
            raise TilesRefused(f"{bundle.path} holds {len(entries)} entries; {bundle.width} are due")
        for entry in entries:
            rows.take(tree.append(leaf_hash(entry)))
            if due and any(kept.size == tree.size and kept.root != tree.root() for kept in due):
                raise TilesRefused(f"at size {tree.size} the log had another root before: it was rewritten")
        if progress is not None:
            progress(tree.size, size)
    rows.finish(size)
    if tree.root() != witnessed.checkpoint.root:
        raise TilesRefused("the entries of the folder do not have the root that the checkpoint names")
    return FolderReport(witnessed, 1 + sum(1 for _ in tiles_of(size)), size)


def _check_reach(checkpoint: Checkpoint, known: Sequence[Checkpoint]) -> None:
    for kept in known:
        if kept.origin != checkpoint.origin:
            raise TilesRefused(f"a checkpoint of {kept.origin} says nothing about {checkpoint.origin}")
        if kept.size > checkpoint.size:
            raise TilesRefused(f"the log had {kept.size} entries before; this one has {checkpoint.size}")


def read_entries(folder: Path, size: int) -> Iterator[bytes]:
    """Yield the entries of an export in order; check the folder first."""
    for bundle in _row(None, size):
        yield from parse_bundle(_read(folder, bundle.path))


def _row(level: int | None, size: int) -> Iterator[Tile]:
    """Yield the tiles of one level; `size` is the number of hashes (or entries) in it."""
    for index in range(size // TILE_WIDTH):
        yield Tile(level, index)
    if size % TILE_WIDTH:
        yield Tile(level, size // TILE_WIDTH, size % TILE_WIDTH)


class _Rows:
    """Gathers the hashes of tiles while a tree grows and compares each tile as it fills."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: dict[int, bytearray] = {}

    def take(self, made: Sequence[Node]) -> None:
        """Add the nodes that an entry completed."""
        for node in made[::TILE_HEIGHT]:  # the leaf's level and each eighth above it are what tiles hold
            level = node.level // TILE_HEIGHT
            row = self._rows.setdefault(level, bytearray())
            row += node.hash
            if len(row) == TILE_WIDTH * HASH_BYTES:
                self._compare(Tile(level, node.index // TILE_WIDTH), row)

    def finish(self, size: int) -> None:
        """Compare the partial tiles at the right edge."""
        for level, row in self._rows.items():
            if row:
                index = (size >> (TILE_HEIGHT * level)) // TILE_WIDTH
                self._compare(Tile(level, index, len(row) // HASH_BYTES), row)

    def _compare(self, tile: Tile, row: bytearray) -> None:
        if _read(self._folder, tile.path) != row:
            raise TilesRefused(f"{tile.path} differs from what its entries hash to")
        row.clear()


def _check_files(folder: Path, size: int) -> None:
    """Refuse a folder that has another set of files below `tile/` than the log of this size."""
    due = {tile.path for tile in tiles_of(size)}
    found = {
        path.relative_to(folder).as_posix() for path in (folder / "tile").rglob("*") if not path.is_dir()
    }
    if due - found:
        raise TilesRefused(f"{min(due - found)} is missing: the checkpoint covers {size} entries")
    if found - due:
        raise TilesRefused(f"{min(found - due)} is surplus: the checkpoint covers {size} entries")


def _read(folder: Path, path: str) -> bytes:
    try:
        return (folder / path).read_bytes()
    except OSError as error:
        raise TilesRefused(f"{path} cannot be read: {error.strerror}") from error
