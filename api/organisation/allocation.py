"""How many of a sample fall on each unit, and which transactions they are: anybody can work it out again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping


def allocate(sizes: Mapping[str, int], wanted: int, *, minimum: int = 0) -> dict[str, int]:
    """Share a sample out over strata in proportion to their sizes, with a minimum for each.

    Every stratum first gets the minimum, or all it has where that is less. The rest is shared in proportion
    to what each still has, by largest remainders; equal remainders go by code. No stratum gets more than it
    has, and the sum is `wanted`, or everything there is. Where the minima alone are more than `wanted`,
    they are what is drawn: a minimum is a promise about the precision of each unit.

    Args:
        sizes: Code of a stratum -> eligible transactions.
        wanted: Size of the sample.
        minimum: Least number in each.
    """
    if wanted < 0 or minimum < 0 or any(size < 0 for size in sizes.values()):
        msg = "sizes, the sample and the minimum are not negative"
        raise ValueError(msg)
    given = {code: min(size, minimum) for code, size in sizes.items()}
    rest = min(wanted, sum(sizes.values())) - sum(given.values())
    if rest <= 0:
        return given
    left = {code: size - given[code] for code, size in sizes.items()}
    total = sum(left.values())
    for code, room in left.items():
        given[code] += rest * room // total
    by_remainder = sorted(left, key=lambda code: (-(rest * left[code] % total), code))
    for code in by_remainder[: rest - sum(rest * room // total for room in left.values())]:
        given[code] += 1
    return given


def draw(seed: str, digests: Iterable[bytes], count: int) -> tuple[bytes, ...]:
    """Draw transactions: those whose SHA-256(seed in UTF-8 ‖ digest) is smallest, in that order.

    Args:
        seed: Published after the frame was fixed.
        digests: The eligible transactions of one stratum.
        count: How many.
    """
    start = hashlib.sha256(seed.encode())

    def place(digest: bytes) -> tuple[bytes, bytes]:
        mixed = start.copy()
        mixed.update(digest)
        return mixed.digest(), digest

    return tuple(sorted(digests, key=place)[:count])


def frame_hash(frame: Mapping[str, Iterable[bytes]]) -> bytes:
    """Return the hash of a frame: lines of unit, tab, digest in hex, sorted by unit and digest."""
    mixed = hashlib.sha256()
    for unit in sorted(frame):
        for digest in sorted(frame[unit]):
            mixed.update(f"{unit}\t{digest.hex()}\n".encode())
    return mixed.digest()
