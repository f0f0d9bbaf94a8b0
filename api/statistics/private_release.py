"""Open data with differential privacy: what one person said cannot be told from the exported shares.

Each exported share is the number of satisfied ballots plus discrete Laplace noise of OpenDP, over the number
of ballots. Two months that differ in what one person said differ by at most `most_ballots` satisfied
ballots; the noise makes them indistinguishable up to e^ε. How many ballots there were is public already
(pages print it) and stays exact: the guarantee is about what was said, not about having been there.

A person's loss in a month is bounded by 1 (ε): the places of one release share no ballot, so a release costs
its ε once; releases of other levels or statistics of the month add up. `left` is the accountant; the charges
stand in the centre's log (`api.privacy_budget`).

A row leaves only where at least 100 ballots stand behind it and the noise moves the share by at most 2.4
points in 95 of 100 releases: with the whole budget on one release that is from 125 ballots on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from api.disclosure import points
from api.statistics.errors import StatisticsError
from api.statistics.suppression_lattice import Table
from api.statistics.wilson import wilson

LIMIT_MILLI: Final = 1000
"""Largest ε of one person in one month, in thousandths."""
FEWEST_N: Final = 100
WORST_P95_POINTS: Final = 2.4
_TAIL: Final = 0.05
_MILLI: Final = 1000


class BudgetSpent(StatisticsError, ValueError):  # noqa: N818 - named for what happened
    """The release would cost more than the month has left; nothing was drawn."""


class ReleaseInvalid(StatisticsError, ValueError):  # noqa: N818 - named for what happened
    """Places that share ballots, or numbers that make no release."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one release cost everybody whose ballot is in it.

    Attributes:
        month: `2026-03`.
        level: Which places: `unit`, `area`, …; places of one level share no ballot.
        statistic: What was counted, as `satisfied`.
        epsilon_milli: ε in thousandths.
    """

    month: str
    level: str
    statistic: str
    epsilon_milli: int


@dataclass(frozen=True, slots=True)
class Mechanism:
    """How much noise, for what price.

    Attributes:
        epsilon_milli: ε of one person in thousandths.
        most_ballots: Ballots of one person in a month that the guarantee covers. Ballots of a person cannot
            be linked, so this is a promise about how often people come, not something that is checked.
    """

    epsilon_milli: int = LIMIT_MILLI
    most_ballots: int = 1

    def __post_init__(self) -> None:
        """Refuse a mechanism without noise or without people."""
        if self.epsilon_milli < 1 or self.most_ballots < 1:
            raise ReleaseInvalid("ε and the ballots of a person must be above 0: give both")

    @property
    def scale(self) -> float:
        """Scale of the discrete Laplace noise, in ballots."""
        return self.most_ballots * _MILLI / self.epsilon_milli

    def p95_ballots(self) -> int:
        """Return the fewest ballots that the noise stays within in 95 of 100 releases."""
        ratio = math.exp(-1 / self.scale)
        within = 0
        while 2 * ratio ** (within + 1) / (1 + ratio) > _TAIL:
            within += 1
        return within

    def p95_points(self, n: int) -> float:
        """Return by how many points the noise moves a share of n ballots in 95 of 100 releases, at most."""
        return 100 * self.p95_ballots() / n

    def fewest(self) -> int:
        """Return the fewest ballots behind an exported row."""
        return max(FEWEST_N, math.ceil(100 * self.p95_ballots() / WORST_P95_POINTS))


WHOLE_BUDGET: Final = Mechanism()


@dataclass(frozen=True, slots=True)
class PrivateRow:
    """One exported figure.

    Attributes:
        place: Code of the place.
        n: Ballots, exact.
        satisfied: Satisfied ballots with noise, cut to 0 and n.
        p95_points: How far the noise moves the share in 95 of 100 releases, in points.
    """

    place: str
    n: int
    satisfied: int
    p95_points: float

    @property
    def share(self) -> str:
        """The share as it is printed, 0 to 100."""
        return points(self.satisfied / self.n, self.n)

    def interval(self) -> tuple[float, float]:
        """Return the interval's ends: Wilson's of 95 %, further out on both sides by the noise at p95."""
        low, high = wilson(self.satisfied / self.n, self.n)
        noise = self.p95_points / 100
        return max(0.0, float(low) - noise), min(1.0, float(high) + noise)


def left(charges: Iterable[Charge], month: str, limit_milli: int = LIMIT_MILLI) -> int:
    """Return what a month has left, in thousandths of ε; below 0 when it was overspent."""
    return limit_milli - sum(charge.epsilon_milli for charge in charges if charge.month == month)


def afford(charges: Iterable[Charge], wanted: Charge, limit_milli: int = LIMIT_MILLI) -> None:
    """Refuse a charge that the month cannot bear.

    Raises:
        BudgetSpent: It costs more than is left.
    """
    rest = left(charges, wanted.month, limit_milli)
    if wanted.epsilon_milli > rest:
        raise BudgetSpent(
            f"{wanted.month} has ε {rest / _MILLI:g} left and this release costs "
            f"{wanted.epsilon_milli / _MILLI:g}: export what was released before, or choose fewer levels"
        )


def draw(table: Table, places: Sequence[str], mechanism: Mechanism = WHOLE_BUDGET) -> tuple[PrivateRow, ...]:
    """Return the exported rows of places for the table's month; each call draws anew and costs ε again.

    Args:
        table: Of one calendar month.
        places: That share no ballot, as all units.
        mechanism: How much noise.

    Raises:
        ReleaseInvalid: Two places share ballots, or one is named twice.
    """
    cells = [cell for cell in table.cells if cell.place in set(places) and len(cell.window) == len("2026-03")]
    atoms = [atom for cell in cells for atom in cell.members]
    if len(set(places)) < len(places) or len(set(atoms)) < len(atoms):
        raise ReleaseInvalid("two of these places share ballots: release one level at a time")
    noisy = discrete_laplace(mechanism)
    rows = []
    for cell in sorted(cells, key=lambda cell: cell.place):
        counts = table.counts(cell)
        if counts.n >= mechanism.fewest():
            satisfied = min(counts.n, max(0, noisy(counts.satisfied)))
            rows.append(PrivateRow(cell.place, counts.n, satisfied, mechanism.p95_points(counts.n)))
    return tuple(rows)


def discrete_laplace(mechanism: Mechanism) -> Callable[[int], int]:
    """Return OpenDP's measurement of a count, after its own bookkeeping agreed with the price.

    Raises:
        ReleaseInvalid: OpenDP reckons a higher ε.
    """
    # OpenDP takes a second to load, and only an export needs it.
    from opendp.domains import atom_domain  # noqa: PLC0415 - see above
    from opendp.measurements import make_laplace  # noqa: PLC0415 - see above
    from opendp.metrics import absolute_distance  # noqa: PLC0415 - see above
    from opendp.mod import enable_features  # noqa: PLC0415 - see above

    enable_features("contrib")  # OpenDP's word for constructors whose proofs it has not vetted itself yet
    measurement = make_laplace(atom_domain(T="i64"), absolute_distance(T="i64"), scale=mechanism.scale)
    reckoned = float(measurement.map(mechanism.most_ballots))  # type: ignore[no-untyped-call] # OpenDP's own
    if reckoned > mechanism.epsilon_milli / _MILLI * (1 + 1e-9):
        raise ReleaseInvalid(f"OpenDP reckons an ε of {reckoned}: choose a smaller one")

    def noisy(count: int) -> int:
        return int(measurement(count))

    return noisy
