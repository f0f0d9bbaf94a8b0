"""Figures out of released cells: the same code on the page, in the export and on the auditor's machine.

The figure of a place and period stands on the cells at and below the place in those months. Each cell is
weighted by the completed transactions that it stands for where these are known of all of them, else by the
ledger's visits, else by its ballots (`Weighting` says which), and within the cell its strata by their
visits. Channels are figures of their own and are put together as the formula says. Where a factor has
several criteria, or the overall figure several factors, the weighted mean of the ends is taken: whoever
answered one answered the others, so their errors are not taken as independent.

A quarter and a year are made of what their months print: a month in which at most one person said otherwise
is printed as a bound, and here it counts as one plain group with one on the other side, whether there was one
or none. Were it counted as it was, the quarter less its other months would tell what the bound does not. The
price is one ballot of such a month at most. Channels together are made of what the channels print likewise.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Any, Final

import numpy as np

from api.disclosure import nearly_unanimous, points
from api.index import breakdown
from api.index.breakdown import Breakdowns
from api.index.cells import PASSIVE, POOLED, QUALITY, SCORED, Cell, added
from api.index.formula import CHANNELS, FACTORS, KIOSK, Formula
from api.index.period import Period
from api.interval import Mean, share_of
from api.schema import PPM
from api.statistics.estimator import Estimated, Method, Pairs, Passive, Stratum, estimate
from api.statistics.mover import combined

_RATIO_DIGITS: Final = 4


class Weighting(StrEnum):
    """What cells are weighted by."""

    TRANSACTIONS = "transactions"
    VISITS = "visits"
    BALLOTS = "ballots"


@dataclass(frozen=True, slots=True)
class Share:
    """A share of satisfied people with its interval and what it stands on.

    Attributes:
        value: 0 to 1; `low` and `high` are the ends of its 95 % interval.
        n: Ballots.
        satisfied: Those of them that are satisfied, as they came, without any weight.
        N: Passive scores at hand.
        n_eff: Ballots of a plain sample that would tell as much.
        lambda_: Weight of the passive scores; 0 where they are not used.
        method: How it was made, by the name in `api.statistics.estimator`, or `combined`.
        weight: Its share in the figure that it is a part of.
        unsure: Ballots that may lie on either side where every month behind it is printed as a bound; else 0.
    """

    value: float
    low: float
    high: float
    n: int
    satisfied: int
    N: int
    n_eff: float
    lambda_: float
    method: str
    weight: float = 1.0
    unsure: int = 0

    @property
    def bounded(self) -> bool:
        """Whether it is printed as a bound, since it would tell what each single person said."""
        return self.unsure > 0 or nearly_unanimous(self.n, self.satisfied)

    def texts(self) -> tuple[str, str, str]:
        """Return value, low and high as 0 to 100, rounded to what so many ballots may tell."""
        if not self.bounded:
            return points(self.value, self.n), points(self.low, self.n), points(self.high, self.n)
        # The ends hold for one more or less, too, or they would give away what the bound does not.
        unsure = max(1, self.unsure)
        found = share_of(unsure, self.n)
        most = found.high if found is not None else 1.0
        if self.satisfied > self.n - self.satisfied:
            least = points(1 - unsure / self.n, self.n)
            return f"≥{least}", points(1 - most, self.n), points(1.0, self.n)
        return f"≤{points(unsure / self.n, self.n)}", points(0.0, self.n), points(most, self.n)

    def document(self) -> dict[str, str | int]:
        """Return it as text."""
        value, low, high = self.texts()
        return {
            "value": value,
            "low": low,
            "high": high,
            "n": self.n,
            "N": self.N,
            "n_eff": f"{self.n_eff:.0f}",
            "lambda": f"{self.lambda_:.2f}",
            "method": self.method,
            "weight": f"{self.weight:.2f}",
        }


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the index: a factor or the whole.

    Attributes:
        share: None where nothing may be said.
        channels: The channels that it is put together of.
    """

    share: Share | None
    channels: Mapping[str, Share] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it as text."""
        return {
            "share": None if self.share is None else self.share.document(),
            "channels": {name: share.document() for name, share in sorted(self.channels.items())},
        }


@dataclass(frozen=True, slots=True)
class Completeness:
    """How much of what happened at the counters is in a figure.

    Attributes:
        visits: Services that the ledger knows; `given` consented and did not withdraw, `refused` said no.
        ballots: Ratings at the counter.
        slots: Sessions that were opened; `lost` of them were never closed.
        gap_ms: Time in which a device gave nothing, of the `consented_ms`.
    """

    visits: int
    given: int
    refused: int
    ballots: int
    signals: int
    slots: int
    lost: int
    gap_ms: int
    consented_ms: int

    @property
    def consent_rate(self) -> Mean | None:
        """Standing consents among visits."""
        return share_of(min(self.given, self.visits), self.visits)

    @property
    def response_rate(self) -> Mean | None:
        """Ratings among visits."""
        return share_of(min(self.ballots, self.visits), self.visits)

    @property
    def covered_share(self) -> float | None:
        """Share of the consented time in which the devices gave something; None without any."""
        return max(0.0, 1 - self.gap_ms / self.consented_ms) if self.consented_ms else None

    def document(self) -> dict[str, Any]:
        """Return it as text."""
        covered = self.covered_share
        return {
            "visits": self.visits,
            "ballots": self.ballots,
            "signals": self.signals,
            "consent_rate": _rate(self.consent_rate),
            "response_rate": _rate(self.response_rate),
            "lost_slots": self.lost,
            "covered": None if covered is None else f"{covered:.{_RATIO_DIGITS}f}",
        }


@dataclass(frozen=True, slots=True)
class Versions:
    """What a figure was made with; a figure may be compared with another of the same."""

    formula: int
    calibrations: tuple[int, ...]
    models: tuple[str, ...]
    software: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "formula": self.formula,
            "calibrations": list(self.calibrations),
            "models": list(self.models),
            "software": list(self.software),
        }


@dataclass(frozen=True, slots=True)
class Figure:
    """The index of one place and period.

    Attributes:
        factors: Factor -> its line, in the order of the questionnaire.
        revisions: Sum of the revisions of its cells: another number means that something was released again.
        breakdowns: Its ratings at the counter by days, times of day and procedures, where printed.
        breakdowns_behind: Ballots of the cells behind these that came with a revision and are not in them.
    """

    place: str
    period: Period
    overall: Line
    factors: Mapping[str, Line]
    weighting: Weighting
    completeness: Completeness
    versions: Versions
    cells: int
    revisions: int
    breakdowns: Breakdowns = field(default_factory=dict)
    breakdowns_behind: int = 0

    def document(self) -> dict[str, Any]:
        """Return every published figure as text."""
        made = {
            "overall": self.overall.document(),
            "factors": {name: line.document() for name, line in self.factors.items()},
            "weighting": self.weighting.value,
            "completeness": self.completeness.document(),
            "versions": self.versions.document(),
            "cells": self.cells,
            "revisions": self.revisions,
        }
        if self.breakdowns:
            made |= {
                "breakdowns": breakdown.document(self.breakdowns),
                "breakdowns_behind": self.breakdowns_behind,
            }
        return made


def figure_of(place: str, period: Period, cells: Iterable[Cell], formula: Formula) -> Figure | None:
    """Compute the index of a place; None where no cell stands at or below it.

    Args:
        place: A place of the cells' paths.
        period: Its window.
        cells: Newest revisions; those of other places and months are passed over.
        formula: The version of the period's last month.
    """
    months = set(period.months)
    mine = sorted(
        (
            cell
            for cell in cells
            if cell.month in months and place in cell.path and formula.channel_weight(cell.channel)
        ),
        key=lambda cell: (cell.month, cell.key),
    )
    if not mine:
        return None
    by_channel: dict[str, list[Cell]] = defaultdict(list)
    for cell in mine:
        by_channel[cell.channel].append(cell)
    lines: dict[str, dict[str, Share]] = {factor: {} for factor in FACTORS}
    overall: dict[str, Share] = {}
    for channel in CHANNELS:
        here = by_channel.get(channel, [])
        if not here:
            continue
        found = _rating(here, formula) if channel == KIOSK else _survey(here, formula)
        for factor, share in found.items():
            lines[factor][channel] = share
        whole = (
            _estimate(here, "overall")
            if channel == KIOSK and formula.overall == "rating"
            else _mean((formula.factor_weight(factor), share) for factor, share in found.items())
        )
        if whole is not None:
            overall[channel] = whole
    kiosk = by_channel.get(KIOSK, [])
    return Figure(
        place,
        period,
        _line(overall, formula),
        {factor: _line(channels, formula) for factor, channels in lines.items()},
        _weighting(kiosk or mine),
        _completeness(kiosk),
        Versions(
            formula.version,
            tuple(sorted(frozenset().union(*(cell.basis.calibrations for cell in mine)))),
            tuple(sorted(frozenset().union(*(cell.basis.models for cell in mine)))),
            tuple(sorted(frozenset().union(*(cell.basis.software for cell in mine)))),
        ),
        len(mine),
        sum(cell.revision for cell in mine),
    )


def _rating(cells: Sequence[Cell], formula: Formula) -> dict[str, Share]:
    by_factor: dict[str, list[tuple[int, Share]]] = defaultdict(list)
    for criterion, factor in formula.rating.items():
        share = _estimate(cells, criterion.value)
        if share is not None:
            by_factor[factor].append((formula.criterion_weight(criterion.value), share))
    return {factor: share for factor, items in by_factor.items() if (share := _mean(items)) is not None}


def _survey(cells: Sequence[Cell], formula: Formula) -> dict[str, Share]:
    questions = sorted(
        {name[:-2] for cell in cells for name in cell.sums if name.endswith(".n") and name != f"{POOLED}.n"}
    )
    by_factor: dict[str, list[tuple[int, Share]]] = defaultdict(list)
    for question in questions:
        factor, _, criterion = question.partition(".")
        asked = [cell for cell in cells if cell.sums.get(f"{question}.n")]
        bases, visits = _bases(asked, f"{question}.n")
        by_month: dict[date, list[Stratum]] = defaultdict(list)
        for cell, weight in zip(asked, bases, strict=True):
            pairs = Pairs(cell.sums[f"{question}.n"], cell.sums.get(f"{question}.y", 0))
            by_month[cell.month].append(Stratum(f"{cell.month:%Y-%m} {cell.key}", weight, pairs))
        share = _share_of_months(by_month, visits)
        if share is not None and factor in FACTORS:
            by_factor[factor].append((formula.criterion_weight(criterion), share))
    return {factor: share for factor, items in by_factor.items() if (share := _mean(items)) is not None}


def _estimate(cells: Sequence[Cell], question: str) -> Share | None:
    bases, visits = _bases(cells, None)
    by_month: dict[date, list[Stratum]] = defaultdict(list)
    for cell, weight in zip(cells, bases, strict=True):
        parts = [cell.sums.get(f"{name}.visits", 0) for name in cell.strata]
        whole = sum(parts)
        for name, part in zip(cell.strata, parts, strict=True):
            share = part / whole if whole else 1.0
            by_month[cell.month].append(_stratum(cell, name, question, weight * share))
    return _share_of_months(by_month, visits)


def _stratum(cell: Cell, name: str, question: str, weight: float) -> Stratum:
    def of(key: str) -> int:
        return cell.sums.get(key, 0)

    label = f"{cell.month:%Y-%m} {cell.key} {name}"
    n, satisfied = of(f"{name}.n"), of(f"{name}.y.{question}")
    if name != SCORED or not of(f"{PASSIVE}.n"):
        return Stratum(label, weight, Pairs(n, satisfied))
    pairs = Pairs(
        n,
        satisfied,
        of(f"{name}.f") / PPM,
        of(f"{name}.ff") / PPM**2,
        of(f"{name}.yf.{question}") / PPM,
    )
    passive = Passive(of(f"{PASSIVE}.n"), of(f"{PASSIVE}.f") / PPM, of(f"{PASSIVE}.ff") / PPM**2)
    return Stratum(label, weight, pairs, passive)


def _weighting(cells: Sequence[Cell]) -> Weighting:
    if all(cell.transactions for cell in cells):
        return Weighting.TRANSACTIONS
    if all(cell.channel == KIOSK and cell.strata != (POOLED,) for cell in cells):
        return Weighting.VISITS
    return Weighting.BALLOTS


def _bases(cells: Sequence[Cell], ballots: str | None) -> tuple[list[float], int | None]:
    """Return the weight of each cell, and over how many people the weights were counted."""
    weighting = _weighting(cells)
    counts = [cell.sums.get("visits", 0) for cell in cells]
    over: int | None = sum(counts) or None
    if weighting is Weighting.TRANSACTIONS:
        counts = [cell.transactions or 0 for cell in cells]
    elif weighting is Weighting.BALLOTS:
        counts = [cell.ballots if ballots is None else cell.sums[ballots] for cell in cells]
        over = sum(counts)
    total = sum(counts)
    return [count / total for count in counts], over


def _share_of_months(by_month: Mapping[date, Sequence[Stratum]], visits: int | None) -> Share | None:
    """Estimate a question over months, each of which counts as it is printed."""
    if len(by_month) == 1:
        return _share(next(iter(by_month.values())), visits)
    as_printed: list[Stratum] = []
    bounds: list[bool] = []
    for month, strata in sorted(by_month.items()):
        n = sum(stratum.ballots.n for stratum in strata)
        satisfied = sum(stratum.ballots.satisfied for stratum in strata)
        if not nearly_unanimous(n, satisfied):
            as_printed += strata
            continue
        high = satisfied > n - satisfied
        bounds.append(high)
        weight = math.fsum(stratum.weight for stratum in strata)
        as_printed.append(Stratum(f"{month:%Y-%m} bound", weight, Pairs(n, n - 1 if high else 1)))
    alike = len(bounds) == len(by_month) and len(set(bounds)) == 1
    return _share(as_printed, visits, unsure=len(bounds) if alike else 0)


def _share(strata: Sequence[Stratum], visits: int | None, *, unsure: int = 0) -> Share | None:
    found = estimate(strata, visits)
    if not isinstance(found, Estimated):
        return None
    return Share(
        found.value,
        found.low,
        found.high,
        found.n,
        sum(stratum.ballots.satisfied for stratum in strata),
        found.N,
        found.n_eff,
        found.lambda_,
        found.method.value,
        unsure=unsure,
    )


def _mean(items: Iterable[tuple[int, Share]]) -> Share | None:
    """Return the weighted mean of shares of the same people; the ends are averaged, which is conservative."""
    counted = [(weight, share) for weight, share in items if weight]
    if len(counted) == 1:
        return counted[0][1]
    total = sum(weight for weight, _ in counted)
    if not total:
        return None

    def mean(values: Iterable[float]) -> float:
        return math.fsum(weight * value for (weight, _), value in zip(counted, values, strict=True)) / total

    shares = [share for _, share in counted]
    return Share(
        mean(share.value for share in shares),
        mean(share.low for share in shares),
        mean(share.high for share in shares),
        min(share.n for share in shares),
        round(mean(share.value for share in shares) * min(share.n for share in shares)),
        min(share.N for share in shares),
        min(share.n_eff for share in shares),
        mean(share.lambda_ for share in shares),
        "weighted_mean",
        unsure=_unsure(shares, max),
    )


def _line(channels: Mapping[str, Share], formula: Formula) -> Line:
    if not channels:
        return Line(None)
    names = list(channels)
    by_ballots = formula.combination == "ballots"
    counts = [channels[name].n if by_ballots else formula.channel_weight(name) for name in names]
    total = sum(counts)
    weights = [count / total for count in counts]
    parts = {
        name: replace(channels[name], weight=weight) for name, weight in zip(names, weights, strict=True)
    }
    if len(names) == 1:
        return Line(channels[names[0]], parts)
    shares = [_as_printed(channels[name]) for name in names]
    value, low, high = combined(
        np.array(weights),
        np.array([share.value for share in shares]),
        np.array([share.low for share in shares]),
        np.array([share.high for share in shares]),
        total if by_ballots else math.inf,
    )
    pairs = list(zip(weights, shares, strict=True))
    together = Share(
        float(value),
        float(low),
        float(high),
        sum(share.n for share in shares),
        sum(share.satisfied for share in shares),
        sum(share.N for share in shares),
        1 / math.fsum(weight**2 / share.n_eff for weight, share in pairs),
        math.fsum(weight * share.lambda_ for weight, share in pairs),
        "combined",
        unsure=_unsure(shares, sum),
    )
    return Line(together, parts)


def _as_printed(share: Share) -> Share:
    """Return what channels together are made of: a bound counts as one plain group, one on the other side."""
    if share.unsure or not share.bounded:
        return share
    satisfied = share.n - 1 if share.satisfied > share.n - share.satisfied else 1
    plain = share_of(satisfied, share.n)
    if plain is None:
        return share
    return Share(
        plain.value,
        plain.low,
        plain.high,
        share.n,
        satisfied,
        0,
        float(share.n),
        0.0,
        Method.WILSON.value,
        unsure=1,
    )


def _unsure(shares: Sequence[Share], together: Callable[[Iterable[int]], int]) -> int:
    """Return how many ballots of shares put together may lie on either side; 0 where one is no such bound."""
    sides = {share.satisfied > share.n - share.satisfied for share in shares}
    if len(sides) > 1 or not all(share.unsure for share in shares):
        return 0
    return together(share.unsure for share in shares)


def _completeness(cells: Sequence[Cell]) -> Completeness:
    sums = added({name: cell.sums.get(name, 0) for name in QUALITY} for cell in cells)
    return Completeness(
        sums.get("visits", 0),
        sums.get("given", 0),
        sums.get("refused", 0),
        sum(cell.ballots for cell in cells),
        sums.get("signals", 0),
        sums.get("slots", 0),
        sums.get("lost", 0),
        sums.get("gap_ms", 0),
        sums.get("consented_ms", 0),
    )


def _rate(mean: Mean | None) -> dict[str, str | int] | None:
    if mean is None:
        return None
    return {
        "value": points(mean.value, mean.n),
        "low": points(mean.low, mean.n),
        "high": points(mean.high, mean.n),
        "n": mean.n,
    }
