"""The chart of one counter's released days, with limits for a list of many counters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Final

from api.statistics.change_points import Charted, DayShare, chart, region_limits, spread_of
from api.trends import Day, day_shares

_JUDGED: Final = timedelta(days=60)
"""The newest days tell nothing of how much quiet days vary."""


def charted_counter(days: Sequence[Day], counters: int, *, false_alarms_a_month: float = 1.0) -> Charted:
    """Return the chart of a counter's released days.

    Args:
        days: Released days, oldest first; days without a mean move nothing.
        counters: Charts on the reader's list: the more, the wider the limits.
        false_alarms_a_month: Those that the list may give over all counters together.
    """
    shares = day_shares(days)
    limits = region_limits(max(1, counters), false_alarms_a_month=false_alarms_a_month)
    return chart(shares, replace(limits, spread=spread_of(_quiet(shares))))


def _quiet(shares: Sequence[DayShare]) -> Sequence[DayShare]:
    until: date = shares[-1].day - _JUDGED if shares else date.min
    return [share for share in shares if share.day < until]
