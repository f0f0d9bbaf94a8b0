"""What to be careful about in a figure: each limit, just inside it and just beyond."""

from __future__ import annotations

from typing import Any

import pytest

from api.figure_flags import FEW_BALLOTS, FigureFlag, figure_flags
from api.index.figures import Completeness, Figure, Line, Share, Versions, Weighting
from api.index.period import Period

SOUND = {
    "visits": 1000, "given": 700, "refused": 200, "ballots": 400, "signals": 600, "slots": 700,
    "lost": 0, "gap_ms": 0, "consented_ms": 100_000,
}  # fmt: skip


def flags_of(n: int = 400, **changed: int) -> tuple[FigureFlag, ...]:
    share = Share(0.8, 0.75, 0.85, n, round(0.8 * n), 0, float(n), 0.0, "wilson")
    figure = Figure(
        *("counter:c", Period.parse("2026-10"), Line(share), {}, Weighting.VISITS),
        Completeness(**(SOUND | changed)),
        Versions(1, (), (), ()),
        *(1, 1),
    )
    return figure_flags(figure, share)


@pytest.mark.parametrize(
    ("inside", "beyond", "flag"),
    [
        ({"n": FEW_BALLOTS}, {"n": FEW_BALLOTS - 1}, FigureFlag.FEW_BALLOTS),
        # Wilson's upper end of 470 of 1,000 is 50.1 %, of 469 it is 49.999 %.
        ({"given": 470}, {"given": 469}, FigureFlag.LOW_CONSENT),
        ({"ballots": 82}, {"ballots": 81}, FigureFlag.LOW_RESPONSE),
        ({"gap_ms": 5_000}, {"gap_ms": 5_001}, FigureFlag.GAPS),
        ({"slots": 1000, "lost": 28}, {"slots": 1000, "lost": 29}, FigureFlag.LOST_SESSIONS),
    ],
)
def test_a_limit_is_where_it_is_said_to_be(
    inside: dict[str, int], beyond: dict[str, int], flag: FigureFlag
) -> None:
    assert flags_of(**inside) == (), "the whole interval has to be beyond the limit"
    assert flags_of(**beyond) == (flag,)


def test_few_visits_with_few_consents_are_no_flag() -> None:
    """3 of 10 may well be half: a bad afternoon flags nobody."""
    assert flags_of(visits=10, given=3, ballots=5) == ()
    assert flags_of(visits=10, given=0, ballots=5) == (FigureFlag.LOW_CONSENT,)


def test_a_figure_without_visits_has_no_rates_to_be_careful_with() -> None:
    nothing: dict[str, Any] = dict.fromkeys(SOUND, 0)
    assert flags_of(**nothing) == ()
