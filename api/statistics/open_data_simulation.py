"""What open data are worth: the error of their noise, and how often their interval holds the truth.

The published interval is Wilson's at the noisy share, further out on both sides by the noise at p95. Its
coverage is a sum over every number of satisfied ballots and every noise, so it is worked out exactly, for the
ends as they are printed; OpenDP's own draws stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import binom  # type: ignore[import-untyped] # scipy carries no types

from api.disclosure import points
from api.statistics.coverage import LOWEST, SHARES, wilson_coverage
from api.statistics.private_release import FEWEST_N, Mechanism, PrivateRow, discrete_laplace
from api.statistics.wilson import Values, wilson

_TRUTH: Final = 0.85
_PRICES_MILLI: Final = (1000, 500)
_SIZES: Final = (FEWEST_N, 125, 250, 500, 2000)
_ROUNDING: Final = 1e-9

Ends = Callable[[PrivateRow], tuple[float, float]]
"""Makes the interval of a row, 0 to 1."""


@dataclass(frozen=True, slots=True)
class NoiseRow:
    """The private release at one price and size.

    Attributes:
        epsilon: ε of one person.
        n: Ballots.
        p95_points: Error of the noise in 95 of 100 releases, in points, as OpenDP drew it.
        reckoned_p95_points: The same by formula.
        exported: Whether such a row leaves.
        least: Least coverage of the published interval over true shares of .5 to .97, exact.
        most: The most.
        drawn: Its coverage at a true share of .85 with ballots and OpenDP's noise drawn.
        reckoned: The same, exact.
        unwidened: Least coverage if the noise were left out of the interval, the failing control.
        plain: Least coverage of Wilson's interval of the exact share, which is not published.
        wider: Mean width at .85 over that of Wilson's interval of the exact share.
    """

    epsilon: float
    n: int
    p95_points: float
    reckoned_p95_points: float
    exported: bool
    least: float
    most: float
    drawn: float
    reckoned: float
    unwidened: float
    plain: float
    wider: float

    @property
    def passes(self) -> bool:
        """Whether the interval of a row that leaves holds the truth as often as it must."""
        return not self.exported or self.least >= LOWEST


def noise_rows(draws: int, rng: np.random.Generator) -> tuple[NoiseRow, ...]:
    """Return error and coverage of the private release for each price and size.

    Args:
        draws: Releases drawn of each; OpenDP's noise takes no seed, and must not.
        rng: Of the ballots.
    """
    rows = []
    for milli in _PRICES_MILLI:
        mechanism = Mechanism(milli)
        noisy = discrete_laplace(mechanism)
        for n in _SIZES:
            satisfied = rng.binomial(n, _TRUTH, draws).tolist()
            released = [min(n, max(0, noisy(count))) for count in satisfied]
            errors = [100 * abs(one - other) / n for one, other in zip(released, satisfied, strict=True)]
            ends = _printed_ends(mechanism, n, published)
            exact = [_held(p, mechanism, n, ends) for p in SHARES]
            bare = _printed_ends(mechanism, n, unwidened)
            rows.append(
                NoiseRow(
                    epsilon=milli / 1000,
                    n=n,
                    p95_points=float(np.percentile(errors, 95, method="lower")),
                    reckoned_p95_points=mechanism.p95_points(n),
                    exported=n >= mechanism.fewest(),
                    least=min(exact),
                    most=max(exact),
                    drawn=float(np.mean([_holds(ends[count], _TRUTH) for count in released])),
                    reckoned=_held(_TRUTH, mechanism, n, ends),
                    unwidened=min(_held(p, mechanism, n, bare) for p in SHARES),
                    plain=min(wilson_coverage(p, n) for p in SHARES),
                    wider=_width(mechanism, n, ends) / _plain_width(n),
                )
            )
    return tuple(rows)


def published(row: PrivateRow) -> tuple[float, float]:
    """Return the interval that open data have."""
    return row.interval()


def unwidened(row: PrivateRow) -> tuple[float, float]:
    """Return Wilson's interval of the noisy share, as if it were exact: the failing control."""
    low, high = wilson(row.satisfied / row.n, row.n)
    return float(low), float(high)


def table_of(rows: Iterable[NoiseRow]) -> list[str]:
    """Return the rows as lines of Markdown."""
    head = (
        "| ε | ballots | error at p95, drawn | by formula | exported | "
        "interval covers, % (least, most) | at 85 %: drawn, exact | "
        "noise left out, % (least) | without noise, % (least) | width over that |"
    )
    return [head, "|---|---|---|---|---|---|---|---|---|---|"] + [
        f"| {row.epsilon:g} | {row.n} | {row.p95_points:.1f} | {row.reckoned_p95_points:.1f} | "
        f"{'yes' if row.exported else 'no'} | {row.least * 100:.1f}, {row.most * 100:.1f} | "
        f"{row.drawn * 100:.1f}, {row.reckoned * 100:.1f} | {row.unwidened * 100:.1f} | "
        f"{row.plain * 100:.1f} | {row.wider:.2f} |"
        for row in rows
    ]


def chances(p: float, mechanism: Mechanism, n: int) -> Values:
    """Return how likely each released number of satisfied ballots, 0 to n, is where the true share is p."""
    ratio = math.exp(-1 / mechanism.scale)
    reach = np.arange(-n, n + 1)
    noise = (1 - ratio) / (1 + ratio) * ratio ** np.abs(reach)
    beyond = ratio ** (n + 1) / (1 + ratio)  # more than n on one side: the end, whatever the count
    noise[0] += beyond
    noise[-1] += beyond
    sums = np.convolve(binom.pmf(np.arange(n + 1), n, p), noise)  # of -n to 2n
    released: Values = sums[n : 2 * n + 1].copy()
    released[0] += sums[:n].sum()
    released[-1] += sums[2 * n + 1 :].sum()
    return released


def _printed_ends(mechanism: Mechanism, n: int, ends: Ends) -> list[tuple[float, float]]:
    """Return the interval of each released number, as printed, in points."""
    rows = (PrivateRow("", n, count, mechanism.p95_points(n)) for count in range(n + 1))
    return [(float(points(low, n)), float(points(high, n))) for low, high in map(ends, rows)]


def _holds(ends: tuple[float, float], p: float) -> bool:
    return ends[0] - _ROUNDING <= 100 * p <= ends[1] + _ROUNDING


def _held(p: float, mechanism: Mechanism, n: int, ends: list[tuple[float, float]]) -> float:
    return float(chances(p, mechanism, n) @ np.array([_holds(both, p) for both in ends], dtype=np.float64))


def _width(mechanism: Mechanism, n: int, ends: list[tuple[float, float]]) -> float:
    return float(chances(_TRUTH, mechanism, n) @ np.array([high - low for low, high in ends])) / 100


def _plain_width(n: int) -> float:
    low, high = wilson(np.arange(n + 1) / n, n)
    return float(binom.pmf(np.arange(n + 1), n, _TRUTH) @ (high - low))
