from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.checkpoint import WitnessPolicy
from consent.errors import CheckpointRefused, EntryTooLarge, TilesRefused
from consent.merkle import MemoryNodes, leaf_hash
from consent.tiles import (
    Tile,
    check_folder,
    entry_bundle,
    hash_tile,
    parse_bundle,
    read_entries,
    tiles_of,
    write_folder,
)
from tests.consent.logs import SmallLog

_LARGE: Final = 66_000
"""Entries: enough for three levels of tiles."""


@pytest.fixture(scope="module")
def large() -> SmallLog:
    return SmallLog.of(_LARGE)


@pytest.fixture(scope="module")
def written(large: SmallLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The large log as a folder; copy it before changing it."""
    return large.write(tmp_path_factory.mktemp("large") / "log")


def _policy(log: SmallLog) -> WitnessPolicy:
    return WitnessPolicy((log.verifier(),))


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 67), "tile/0/067"),
        (Tile(0, 1067), "tile/0/x001/067"),
        (Tile(3, 1_234_067), "tile/3/x001/x234/067"),
        (Tile(0, 273, 112), "tile/0/273.p/112"),
        (Tile(63, 1, 1), "tile/63/001.p/1"),
        (Tile(None, 1067, 255), "tile/entries/x001/067.p/255"),
        (Tile(None, 999), "tile/entries/999"),
    ],
)
def test_paths_are_those_of_c2sp(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/012",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/../0/000",
        "tile/entry/000",
        "tile/0/\N{FULLWIDTH DIGIT ZERO}00",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(TilesRefused):
        Tile.parse(path)


@given(
    st.builds(
        Tile,
        st.none() | st.integers(0, 63),
        st.integers(0, 10**12),
        st.integers(1, 256),
    )
)
def test_every_path_leads_back_to_its_tile(tile: Tile) -> None:
    assert Tile.parse(tile.path) == tile


def test_a_log_of_70_000_has_the_tiles_that_c2sp_names() -> None:
    tiles = [tile for tile in tiles_of(70_000) if tile.level is not None]
    by_level = {level: [tile.width for tile in tiles if tile.level == level] for level in range(3)}
    assert by_level == {0: [256] * 273 + [112], 1: [256, 17], 2: [1]}
    assert len(tiles) == sum(map(len, by_level.values()))
    assert [tile.width for tile in tiles_of(256)] == [256, 256, 1]
    assert list(tiles_of(0)) == []


def test_a_tile_is_within_a_log_once_it_is_that_wide() -> None:
    assert all(tile.within(70_000) for tile in tiles_of(70_000))
    assert Tile(0, 273, 111).within(70_000)
    assert not Tile(0, 273, 113).within(70_000)
    assert not Tile(2, 0, 2).within(70_000)
    assert not Tile(None, 274, 1).within(70_000)


def test_a_hash_tile_holds_the_hashes_of_its_level() -> None:
    nodes = MemoryNodes(leaf_hash(bytes([index % 256])) for index in range(600))
    assert hash_tile(Tile(0, 2, 88), nodes) == b"".join(nodes.node(0, 512 + place) for place in range(88))
    assert hash_tile(Tile(1, 0, 2), nodes) == nodes.node(8, 0) + nodes.node(8, 1)
    with pytest.raises(KeyError):
        hash_tile(Tile(1, 0, 3), nodes)
    with pytest.raises(ValueError, match="bundle of entries"):
        hash_tile(Tile(None, 0), nodes)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_gives_back_its_entries(entries: list[bytes]) -> None:
    data = entry_bundle(entries)
    assert list(parse_bundle(data)) == entries
    for cut in range(1, min(len(data), 40)):
        try:
            assert list(parse_bundle(data[:-cut])) == entries[: len(parse_bundle(data[:-cut]))] != entries
        except TilesRefused:
            continue


def test_an_entry_that_does_not_fit_is_refused() -> None:
    assert parse_bundle(entry_bundle([bytes(65_535)])) == (bytes(65_535),)
    with pytest.raises(EntryTooLarge, match="65536 bytes"):
        entry_bundle([bytes(65_536)])


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x02a", b"\x00\x01ab", b"\x00\x00\x01"])
def test_a_bundle_that_ends_within_an_entry_is_refused(data: bytes) -> None:
    with pytest.raises(TilesRefused, match="ends within"):
        parse_bundle(data)


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 600])
def test_a_written_log_passes_its_check(tmp_path: Path, size: int) -> None:
    log = SmallLog.of(size)
    folder = log.write(tmp_path / "log")
    seen: list[tuple[int, int]] = []
    report = check_folder(folder, _policy(log), progress=lambda done, total: seen.append((done, total)))
    assert (report.entries, report.files) == (size, 1 + len(list(tiles_of(size))))
    assert report.witnessed.checkpoint == log.checkpoint()
    assert list(read_entries(folder, size)) == log.entries
    assert seen[-1:] == ([(size, size)] if size else [])


def test_a_log_of_three_levels_passes_its_check(written: Path, large: SmallLog) -> None:
    report = check_folder(written, _policy(large))
    assert report.files == 1 + 258 + 258 + 2 + 1


def _change(path: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        (folder / path).write_bytes(change((folder / path).read_bytes()))

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_change("tile/0/000", lambda data: bytes([data[0] ^ 1]) + data[1:]), "tile/0/000 differs"),
        (_change("tile/0/257.p/208", lambda data: data[:-32]), "differs"),
        (_change("tile/1/001.p/1", lambda data: data[::-1]), "tile/1/001.p/1 differs"),
        (_change("tile/2/000.p/1", lambda data: data + data), "tile/2/000.p/1 differs"),
        (_change("tile/entries/003", lambda data: data.replace(b"800", b"801")), "tile/0/003 differs"),
        (_change("tile/entries/003", lambda data: data[: -len(b'\x00\x0f{"entry":1023}')]), "255 entries"),
        (lambda folder: (folder / "tile/entries/004").unlink(), "tile/entries/004 is missing"),
        (lambda folder: (folder / "tile/0/258").write_bytes(b"x"), "tile/0/258 is surplus"),
        (lambda folder: (folder / "checkpoint").unlink(), "checkpoint cannot be read"),
    ],
)
def test_damage_is_named(
    tmp_path: Path, written: Path, large: SmallLog, damage: Callable[[Path], object], words: str
) -> None:
    folder = shutil.copytree(written, tmp_path / "log")
    damage(folder)
    with pytest.raises(TilesRefused, match=words):
        check_folder(folder, _policy(large))


def test_a_checkpoint_of_another_key_is_refused(tmp_path: Path) -> None:
    log = SmallLog.of(3)
    folder = log.write(tmp_path / "log", SmallLog(log.entries, key="thief").note())
    with pytest.raises(CheckpointRefused):
        check_folder(folder, _policy(log))


def test_an_export_is_held_against_checkpoints_kept_elsewhere(tmp_path: Path) -> None:
    log = SmallLog.of(300)
    folder = log.write(tmp_path / "log")
    known = [log.checkpoint(size) for size in (0, 1, 256, 299, 300)]
    assert check_folder(folder, _policy(log), known=known).entries == 300
    forged = log.rewritten(200, b"rewritten")
    for kept, words in (
        (forged.checkpoint(256), "at size 256 the log had another root"),
        (forged.checkpoint(), "at size 300 the log had another root"),
        (SmallLog.of(301).checkpoint(), "had 301 entries before"),
        (SmallLog.of(3, origin="hailong/edge/another").checkpoint(), "says nothing about"),
    ):
        with pytest.raises(TilesRefused, match=words):
            check_folder(folder, _policy(log), known=[*known, kept])
    assert check_folder(folder, _policy(log), known=[forged.checkpoint(200)]).entries == 300


def test_an_export_does_not_overwrite(tmp_path: Path) -> None:
    log = SmallLog.of(3)
    folder = log.write(tmp_path / "log")
    with pytest.raises(TilesRefused, match="not empty"):
        log.write(folder)
    with pytest.raises(TilesRefused, match="gave 0 entries where 3"):
        write_folder(tmp_path / "other", log.note(), 3, log.nodes, lambda *_: ())
