"""Figures of the index as they are worded: numbers with the language's marks, methods and flags as sentences.

A share of satisfied people and an uncalibrated signal are different types here as in the index, so that no
template can give one the other's words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from api.figure_flags import FigureFlag, figure_flags
from api.index.figures import Completeness, Figure, Line, Share, Weighting
from api.index.formula import CHANNELS, FACTORS
from api.index.reading import Reading, Standing
from api.language import decimal_text
from api.pages.rendering import MeanText, mean_text, no_op

FACTOR_TEXT: Final = {
    "access": no_op("Access to the service"),
    "procedure": no_op("Administrative procedure"),
    "officer": no_op("Service of officials"),
    "result": no_op("Result of the service"),
    "feedback": no_op("Handling of feedback"),
    "time_cost": no_op("Time and cost"),
}
CHANNEL_TEXT: Final = {
    "kiosk": no_op("Rating at the counter"),
    "online": no_op("Online survey"),
    "sms": no_op("Text message"),
    "call": no_op("Call from 1022"),
    "portal": no_op("National portal"),
    "paper": no_op("Paper ballot"),
}
STANDING_TEXT: Final = {
    Standing.FIGURE: no_op("share of satisfied ballots"),
    Standing.UNCALIBRATED: no_op("uncalibrated signal only"),
    Standing.WITHHELD: no_op("held back: it would tell what single people said"),
    Standing.NOTHING: no_op("too few people, or not released yet"),
}
WEIGHTING_TEXT: Final = {
    Weighting.TRANSACTIONS: no_op("completed transactions"),
    Weighting.VISITS: no_op("visits, counted by the consent logs"),
    Weighting.BALLOTS: no_op("ballots, since visits are not known"),
}
FLAG_TEXT: Final = {
    FigureFlag.FEW_BALLOTS: no_op("few ballots"),
    FigureFlag.LOW_CONSENT: no_op("low consent rate"),
    FigureFlag.LOW_RESPONSE: no_op("few visitors rated"),
    FigureFlag.GAPS: no_op("gaps of camera or microphone"),
    FigureFlag.LOST_SESSIONS: no_op("sessions lost"),
}
Gettext = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class ShareText:
    """A share of satisfied people as it is printed, in percent.

    Attributes:
        bounded: Whether the value is a bound, since nearly all said the same.
        weight: Percent of the figure that it is a part of.
    """

    value: str
    low: str
    high: str
    n: int
    N: int
    n_eff: str
    lambda_: str
    method: str
    weight: str
    bounded: bool


@dataclass(frozen=True, slots=True)
class NamedShare:
    """A factor or a channel with its share; None where nothing may be said."""

    code: str
    text: str
    share: ShareText | None


@dataclass(frozen=True, slots=True)
class CompletenessText:
    """How complete a figure is, worded."""

    visits: int
    ballots: int
    signals: int
    slots: int
    lost: int
    consent: MeanText | None
    response: MeanText | None
    covered: str | None


@dataclass(frozen=True, slots=True)
class FigureText:
    """A figure with everything that it stands on, worded."""

    share: ShareText | None
    factors: tuple[NamedShare, ...]
    channels: tuple[NamedShare, ...]
    weighting: str
    completeness: CompletenessText
    formula: int
    calibrations: tuple[int, ...]
    models: tuple[str, ...]
    software: tuple[str, ...]
    cells: int
    flags: tuple[str, ...]


def share_of_reading(reading: Reading | None, channel: str = "") -> Share | None:
    """Return the share to show of a reading: the whole, or that of one channel."""
    if reading is None or reading.figure is None:
        return None
    return reading.figure.overall.channels.get(channel) if channel else reading.figure.overall.share


def share_text(share: Share | None, language: str) -> ShareText | None:
    """Word a share."""
    if share is None:
        return None
    value, low, high = (decimal_text(text, language) for text in share.texts())
    return ShareText(
        value,
        low,
        high,
        share.n,
        share.N,
        f"{share.n_eff:.0f}",
        decimal_text(f"{share.lambda_:.2f}", language),
        share.method,
        f"{share.weight * 100:.0f}",
        share.bounded,
    )


def figure_text(figure: Figure, language: str, gettext: Gettext, channel: str = "") -> FigureText:
    """Word a figure."""
    shown = figure.overall.channels.get(channel) if channel else figure.overall.share

    def factor(line: Line) -> Share | None:
        return line.channels.get(channel) if channel else line.share

    return FigureText(
        share_text(shown, language),
        tuple(
            NamedShare(name, gettext(FACTOR_TEXT[name]), share_text(factor(figure.factors[name]), language))
            for name in FACTORS
            if name in figure.factors
        ),
        tuple(
            NamedShare(name, gettext(CHANNEL_TEXT[name]), share_text(figure.overall.channels[name], language))
            for name in CHANNELS
            if name in figure.overall.channels
        ),
        gettext(WEIGHTING_TEXT[figure.weighting]),
        _completeness(figure.completeness, language),
        figure.versions.formula,
        figure.versions.calibrations,
        figure.versions.models,
        figure.versions.software,
        figure.cells,
        flag_texts(figure_flags(figure, shown), gettext),
    )


def signal_text(reading: Reading, language: str) -> MeanText | None:
    """Word an uncalibrated signal; None where there is none."""
    return None if reading.signal is None else mean_text(reading.signal.mean, language)


def flag_texts(flags: Sequence[FigureFlag], gettext: Gettext) -> tuple[str, ...]:
    """Word flags."""
    return tuple(gettext(FLAG_TEXT[flag]) for flag in flags)


def _completeness(known: Completeness, language: str) -> CompletenessText:
    covered = known.covered_share
    return CompletenessText(
        known.visits,
        known.ballots,
        known.signals,
        known.slots,
        known.lost,
        mean_text(known.consent_rate, language),
        mean_text(known.response_rate, language),
        None if covered is None else decimal_text(f"{covered * 100:.1f}", language),
    )
