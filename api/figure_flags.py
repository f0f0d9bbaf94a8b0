"""What to be careful about in a figure: few ballots, few consents, devices that were silent.

The limits are conventions for attention, not tests. A rate is flagged where its whole interval is beyond
the limit, so that one bad afternoon flags nobody.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from api.index.figures import Completeness, Figure, Share
from api.interval import share_of

FEW_BALLOTS: Final = 30
"""Below, a share has an interval of some 25 points and more."""
LOW_CONSENT: Final = 0.5
LOW_RESPONSE: Final = 0.1
LEAST_COVERED: Final = 0.95
MOST_LOST: Final = 0.02


class FigureFlag(StrEnum):
    """Why a figure deserves a second look."""

    FEW_BALLOTS = "few-ballots"
    LOW_CONSENT = "low-consent"
    LOW_RESPONSE = "low-response"
    GAPS = "gaps"
    LOST_SESSIONS = "lost-sessions"


def figure_flags(figure: Figure, share: Share | None) -> tuple[FigureFlag, ...]:
    """Return what to be careful about.

    Args:
        figure: Of the place and period.
        share: The share that is shown of it: the whole or one channel.
    """
    found = [FigureFlag.FEW_BALLOTS] if share is not None and share.n < FEW_BALLOTS else []
    return (*found, *_completeness_flags(figure.completeness))


def _completeness_flags(known: Completeness) -> list[FigureFlag]:
    found = []
    consent, response, covered = known.consent_rate, known.response_rate, known.covered_share
    lost = share_of(min(known.lost, known.slots), known.slots)
    if consent is not None and consent.high < LOW_CONSENT:
        found.append(FigureFlag.LOW_CONSENT)
    if response is not None and response.high < LOW_RESPONSE:
        found.append(FigureFlag.LOW_RESPONSE)
    if covered is not None and covered < LEAST_COVERED:
        found.append(FigureFlag.GAPS)
    if lost is not None and lost.low > MOST_LOST:
        found.append(FigureFlag.LOST_SESSIONS)
    return found
