"""How citizens answered at each counter of a period, with intervals; and whether the slots are complete."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from api.consents import DayCounts
from api.disclosure import Disclosure
from api.interval import Mean, share_of


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over days; the same names as in `DayCounts`.

    Attributes:
        offered: Services.
        silent: Nobody answered in time, which is a no.
        accompanied: The officer declared a child; `unasked` of them before an answer.
        second_face: Consents that ended because a second face stayed at the seat.
        hidden_days: Days that may not be shown and are in no sum.
    """

    offered: int = 0
    shown: int = 0
    given: int = 0
    refused: int = 0
    silent: int = 0
    accompanied: int = 0
    unasked: int = 0
    second_face: int = 0
    withdrawn: int = 0
    slots: int = 0
    lost: int = 0
    gaps: int = 0
    gap_ms: int = 0
    consented_ms: int = 0
    days: int = 0
    hidden_days: int = 0

    @property
    def asked(self) -> int:
        """Questions that stood until their answer or the end of their time."""
        return self.offered - self.unasked

    @property
    def answered(self) -> int:
        """Citizens who said yes or no."""
        return self.given + self.refused

    @property
    def given_share(self) -> Mean | None:
        """Consents among answers."""
        return share_of(self.given, self.answered)

    @property
    def refused_share(self) -> Mean | None:
        """Refusals among answers."""
        return share_of(self.refused, self.answered)

    @property
    def silent_share(self) -> Mean | None:
        """Questions nobody answered among all questions."""
        return share_of(self.silent, self.asked)

    @property
    def accompanied_share(self) -> Mean | None:
        """Services in which the officer declared a child, among all."""
        return share_of(self.accompanied, self.offered)

    @property
    def second_face_share(self) -> Mean | None:
        """Sessions that a second face ended, among all sessions."""
        return share_of(self.second_face, self.slots)

    @property
    def complete_share(self) -> Mean | None:
        """Closed slots among opened ones."""
        return share_of(self.slots - self.lost, self.slots)

    @property
    def covered_share(self) -> float | None:
        """Share of the consented time in which the devices gave something; None without any."""
        return max(0.0, 1 - self.gap_ms / self.consented_ms) if self.consented_ms else None


def sum_days(days: Iterable[DayCounts], disclosure: Disclosure | None = None) -> Counts:
    """Add days up.

    Args:
        days: Of one counter or of several.
        disclosure: For readers who may not see single citizens: a day counts only when it is over
            and stands on enough answers, so that no difference of sums gives a hidden day away.
    """
    every = list(days)
    shown = shown_days(every, disclosure)
    return Counts(
        offered=sum(day.offered for day in shown),
        shown=sum(day.shown for day in shown),
        given=sum(day.given for day in shown),
        refused=sum(day.refused for day in shown),
        silent=sum(day.deferred for day in shown),
        accompanied=sum(day.accompanied for day in shown),
        unasked=sum(day.unasked for day in shown),
        second_face=sum(day.second_face for day in shown),
        withdrawn=sum(day.withdrawn for day in shown),
        slots=sum(day.slots for day in shown),
        lost=sum(day.lost for day in shown),
        gaps=sum(day.gaps for day in shown),
        gap_ms=sum(day.gap_ms for day in shown),
        consented_ms=sum(day.consented_ms for day in shown),
        days=len(shown),
        hidden_days=len(every) - len(shown),
    )


def shown_days(days: Iterable[DayCounts], disclosure: Disclosure | None = None) -> list[DayCounts]:
    """Return the days that may be shown, in the order given; `disclosure` as in `sum_days`."""
    return [
        day
        for day in days
        if disclosure is None
        or (disclosure.day_is_over(day.day) and disclosure.enough(day.given + day.refused))
    ]


def by_counter(days: Iterable[DayCounts], disclosure: Disclosure | None = None) -> dict[str, Counts]:
    """Add days up counter by counter, ordered by code."""
    grouped: dict[str, list[DayCounts]] = {}
    for day in days:
        grouped.setdefault(day.counter, []).append(day)
    return {counter: sum_days(grouped[counter], disclosure) for counter in sorted(grouped)}
