"""Published figures as text, and the sums they are made of, computed from single signals.

The same code states a figure on the auditor's machine as on the page: a figure is reproduced when
every digit is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final
from uuid import UUID

from api.disclosure import Disclosure, points
from api.interval import Mean
from api.releases import Release, Sums
from api.schema import FACTORS, ROLLUP_SUMS, SIGNAL_COLUMNS, signal_row
from api.trends import Month, build_month, local_time
from inference.signal import Signal

_COLUMNS: Final = tuple(SIGNAL_COLUMNS)
_NOBODY: Final = UUID(int=0)


def sums_of(signals: Iterable[Signal]) -> Sums:
    """Return what the rollup of one counter's day holds for these signals."""
    sums = dict.fromkeys(ROLLUP_SUMS, 0)
    for signal in signals:
        row: dict[str, Any] = dict(zip(_COLUMNS, signal_row(signal, edge_id=_NOBODY, seq=0), strict=True))
        sums["sessions"] += 1
        sums["variance_sum"] += row["variance_ppm2"] or 0
        for count, name in (("scored", "score"), ("changes", "change")):
            if row[f"{name}_ppm"] is not None:
                sums[count] += 1
                sums[f"{name}_sum"] += row[f"{name}_ppm"]
                sums[f"{name}_square_sum"] += row[f"{name}_ppm"] ** 2
        for factor in FACTORS:
            if row[f"{factor}_ppm"] is not None:
                sums[f"{factor}_n"] += 1
                sums[f"{factor}_sum"] += row[f"{factor}_ppm"]
        for name in ("face_ms", "speech_ms", "gap_ms", "gaps", "dropped_ms"):
            sums[name] += row[name]
    return sums


def day_of(signal: Signal) -> date:
    """Return the calendar day in Viet Nam on which a session started."""
    return local_time(signal.window_start).date()


def months_of(releases: Iterable[Release], *, minimum_n: int, today: date) -> dict[str, Any]:
    """Return every figure that these releases publish: counter and month -> figures as text.

    Args:
        releases: In the order of the log; a later revision of a day replaces the earlier.
        minimum_n: Fewest sessions behind a figure.
        today: The day of the pages; later days publish nothing.
    """
    days: dict[tuple[str, date], dict[date, Sums]] = {}
    for release in releases:
        key = release.counter, release.day.replace(day=1)
        days.setdefault(key, {})[release.day] = dict.fromkeys(ROLLUP_SUMS, 0) | dict(release.sums)
    disclosure = Disclosure(minimum_n, today)
    return {
        f"{counter} {first:%Y-%m}": _month(build_month(first, rows, disclosure))
        for (counter, first), rows in sorted(days.items())
    }


def _month(month: Month) -> dict[str, Any]:
    return {
        "mean": _text(month.mean),
        "change": _text(month.change),
        "factors": {item.factor.value: _text(item.mean) for item in month.factors},
        "sessions": month.quality.sessions,
        "abstained": month.quality.abstained,
        "gap_s": f"{month.quality.gap_s:.3f}",
        "days": {
            day.day.isoformat(): {"mean": _text(day.mean), "sessions": day.quality.sessions}
            for day in month.days
            if day.quality is not None
        },
    }


def _text(mean: Mean | None) -> Mapping[str, str | int] | None:
    if mean is None:
        return None
    return {
        "value": points(mean.value, mean.n),
        "low": points(mean.low, mean.n),
        "high": points(mean.high, mean.n),
        "n": mean.n,
    }
