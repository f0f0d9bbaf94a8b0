"""The places of the simulated province: an invented one, with what happens at each of its counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

PROVINCE: Final = "song-ho"
AREAS: Final[Mapping[str, tuple[str, str]]] = {
    "sen-ho": ("Phường Sen Hồ", "Sen Ho ward"),
    "dong-lam": ("Xã Đồng Lâm", "Dong Lam commune"),
    "bai-sau": ("Xã Bãi Sậu", "Bai Sau commune"),
}
MONTHS: Final = 24


@dataclass(frozen=True, slots=True)
class Unit:
    """A one-stop unit."""

    code: str
    area: str
    name_vi: str
    name_en: str
    counters: int


UNITS: Final = (
    Unit("trung-tam", "sen-ho", "Một cửa phường Sen Hồ", "Sen Ho one-stop unit", 5),
    Unit("ben-nua", "sen-ho", "Điểm tiếp nhận Bến Nứa", "Ben Nua desk", 4),
    Unit("cho-moi", "sen-ho", "Điểm tiếp nhận Chợ Mới", "Cho Moi desk", 3),
    Unit("ga-cu", "sen-ho", "Điểm tiếp nhận Ga Cũ", "Ga Cu desk", 3),
    Unit("dong-lam-1", "dong-lam", "Một cửa xã Đồng Lâm", "Dong Lam one-stop unit", 5),
    Unit("lang-thuong", "dong-lam", "Điểm tiếp nhận Làng Thượng", "Lang Thuong desk", 4),
    Unit("lang-ha", "dong-lam", "Điểm tiếp nhận Làng Hạ", "Lang Ha desk", 3),
    Unit("cau-do", "dong-lam", "Điểm tiếp nhận Cầu Đò", "Cau Do desk", 1),
    Unit("bai-sau-1", "bai-sau", "Một cửa xã Bãi Sậu", "Bai Sau one-stop unit", 4),
    Unit("cua-song", "bai-sau", "Điểm tiếp nhận Cửa Sông", "Cua Song desk", 4),
    Unit("cang-ca", "bai-sau", "Điểm tiếp nhận Cảng Cá", "Cang Ca desk", 3),
    Unit("dao-nho", "bai-sau", "Điểm tiếp nhận Đảo Nhỏ", "Dao Nho desk", 1),
)

DROP_COUNTER: Final = "ben-nua.quay-2"
"""Satisfaction falls here from month `DROP_MONTH` on; after an action in month `ACTION_MONTH` it is back."""
DROP_MONTH: Final = 14
ACTION_MONTH: Final = 17
SMALL_COUNTERS: Final = ("cho-moi.quay-3", "lang-ha.quay-3")
"""A handful of ballots a month: never shown, and never found out from the other counters of their units."""
LONELY_COUNTER: Final = "cau-do.quay-1"
"""As few, and the only counter of its unit."""
SIGNAL_COUNTER: Final = "cua-song.quay-4"
"""Scores and not one ballot: an uncalibrated signal."""
UNANIMOUS_COUNTER: Final = "dao-nho.quay-1"
"""Everybody is satisfied."""
BIASED_COUNTER: Final = "trung-tam.quay-3"
"""The dissatisfied consent much less often."""
RELUCTANT_COUNTER: Final = "cang-ca.quay-2"
"""Hardly anybody consents."""
BUSY_COUNTERS: Final = ("trung-tam.quay-1",)
"""Days of these are shown, too."""


HARD_COUNTER, EASY_COUNTER = "dong-lam-1.quay-2", "dong-lam-1.quay-3"
"""Each procedure satisfies as many at either; one has the harder procedure more often."""
DROPPED_COUNTER: Final = "trung-tam.quay-2"
"""Satisfaction falls within a day, in the middle of a month; some time after an action it is back."""
DROPPED_MONTH: Final = MONTHS - 2
DROPPED_DAY, NOTED_DAY, BACK_DAY = 15, 26, 8
"""Days of the drop and of the action in that month, and of the recovery in the next."""
LAND, CIVIL = "dat-dai", "ho-tich"
"""Codes of procedures: land matters, and births, marriages and deaths."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What happens at a counter.

    Attributes:
        land: Chance that a visit is about land.
        satisfied_land: True share of satisfied visits among those; None where it is as for the others.
        visits_a_day: On the average working day.
        satisfied: True share of satisfied visits.
        consent: Chance of a yes from a satisfied and from an unsatisfied visitor.
        vote: Chance of a ballot, the same whether somebody consented or not.
    """

    visits_a_day: float
    satisfied: float
    consent: tuple[float, float] = (0.6, 0.5)
    vote: float = 0.45
    land: float = 0.4
    satisfied_land: float | None = None


_LATE: Final[Mapping[str, Kind]] = {
    HARD_COUNTER: Kind(10.0, 0.92, vote=0.8, land=0.75, satisfied_land=0.62),
    EASY_COUNTER: Kind(10.0, 0.92, vote=0.8, land=0.25, satisfied_land=0.62),
    DROPPED_COUNTER: Kind(30.0, 0.86, vote=0.8),
}
"""In the last two months that are released."""
_SPECIAL: Final[Mapping[str, Kind]] = {
    DROP_COUNTER: Kind(8.0, 0.9),
    **{code: Kind(0.3, 0.8) for code in (*SMALL_COUNTERS, LONELY_COUNTER)},
    SIGNAL_COUNTER: Kind(18.0, 0.8, (0.75, 0.7), 0.0),
    UNANIMOUS_COUNTER: Kind(2.5, 1.0),
    BIASED_COUNTER: Kind(4.0, 0.75, (0.65, 0.25)),
    RELUCTANT_COUNTER: Kind(4.0, 0.85, (0.1, 0.08)),
    **{code: Kind(20.0, 0.86) for code in BUSY_COUNTERS},
}


def counters_of(unit: Unit) -> tuple[str, ...]:
    """Return the codes of the counters of a unit."""
    return tuple(f"{unit.code}.quay-{number}" for number in range(1, unit.counters + 1))


def drawn_apart(counter: str, month: int) -> bool:
    """Tell whether the visits of a month are drawn by themselves, so that all others stay the same."""
    return counter in _LATE and DROPPED_MONTH <= month < MONTHS


def kind_on(counter: str, month: int, day: int) -> Kind:
    """Return what happens at a counter on a day of a month, counted from 0."""
    if not drawn_apart(counter, month):
        return kind_of(counter, month)
    found = _LATE[counter]
    since, until = (DROPPED_MONTH, DROPPED_DAY), (DROPPED_MONTH + 1, BACK_DAY)
    if counter == DROPPED_COUNTER and since <= (month, day) < until:
        return replace(found, satisfied=0.7)
    return found


def kind_of(counter: str, month: int) -> Kind:
    """Return what happens at a counter in a month, counted from 0."""
    found = _SPECIAL.get(counter)
    if found is None:
        # Spread over 76 to 94 % by the name alone: the same in every run.
        place = sum(ord(letter) * (at + 1) for at, letter in enumerate(counter))
        return Kind(2.5 + place % 4 * 0.5, 0.76 + place % 19 / 100)
    if counter == DROP_COUNTER and month >= DROP_MONTH:
        return replace(found, satisfied=0.93 if month >= ACTION_MONTH else 0.68)
    return found
