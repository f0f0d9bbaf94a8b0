"""The report of a period in the form in which a province publishes it: a PDF, in Vietnamese or English.

The same figures, words and checkpoint give the same bytes: the typesetter brings its fonts, sees the data as
text only, and no time of making is written.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from importlib import resources
from importlib.util import find_spec
from typing import Any, Final

from api.disclosure import points
from api.errors import ExportRefused
from api.index.figures import Figure, Share
from api.index.formula import CHANNELS, FACTORS
from api.index.reading import Reading, Standing
from api.interval import Mean
from api.language import decimal_text
from api.register import Register, Spot
from api.release_proof import ReleaseProof
from api.schema import next_month

_DASH: Final = "–"  # noqa: RUF001 - the dash of a range
_PICTURE_PPI: Final = 80.0


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed at the place of a report over released days, in words.

    Attributes:
        told: Likeliest day, days that may be it, level before, level after, difference; the newest first.
        otherwise: What is said where nothing can be told.
    """

    told: tuple[tuple[str, str, str, str, str], ...] = ()
    otherwise: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a report is made of.

    Attributes:
        scope: The place that it is about.
        spots: That place and those below it, each after the one above.
        readings: Place -> what may be shown of it.
        period_text: The period as people write it.
        minimum_n: Fewest ballots behind a figure.
        changes: What changed at the place, and since when.
    """

    register: Register
    scope: Spot
    spots: Sequence[Spot]
    readings: Mapping[str, Reading]
    proof: ReleaseProof
    period_text: str
    minimum_n: int
    changes: Changes = Changes()


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    level: str
    depth: int
    share: str
    interval: str
    n: str
    consent: str


def pdf(report: Report, language: str) -> bytes:
    """Return the report as a tagged PDF.

    Raises:
        ExportRefused: The typesetter is not installed, or gave nothing.
    """
    (made,) = _compiled(report, language, "pdf")
    return made


def pictures(report: Report, language: str) -> tuple[bytes, ...]:
    """Return its pages as PNG.

    Raises:
        ExportRefused: As `pdf`.
    """
    return _compiled(report, language, "png")


def _compiled(report: Report, language: str, form: str) -> tuple[bytes, ...]:
    if find_spec("typst") is None:
        raise ExportRefused("typst is not installed: install hailong[central] to print reports")
    # Late: the typesetter unpacks its fonts when it is loaded.
    import typst  # noqa: PLC0415 - see above

    words = _words(language)
    inputs = {
        "data": json.dumps(_Words(report, language, words).values(), ensure_ascii=False),
        "words": json.dumps({key: text for key, text in words.items() if isinstance(text, str)}),
    }
    compiler = typst.Compiler(ignore_system_fonts=True, sys_inputs=inputs)
    template = resources.files("api").joinpath("printing/report.typ").read_bytes()
    # The only time in a PDF would be that of its making; the log has the times of the releases.
    if form == "png":
        made = compiler.compile(template, format="png", ppi=_PICTURE_PPI, timestamp=0)
    else:
        made = compiler.compile(template, format="pdf", timestamp=0)
    if made is None:
        raise ExportRefused("the typesetter gave no document: reinstall the package typst")
    return tuple(made) if isinstance(made, list) else (made,)


@cache
def _words(language: str) -> dict[str, Any]:
    text = resources.files("api").joinpath(f"printing/{language}.toml").read_text("utf-8")
    return tomllib.loads(text)


class _Words:
    """The values of one report in one language."""

    def __init__(self, report: Report, language: str, words: dict[str, Any]) -> None:
        self._report = report
        self._language = language
        self._words = words

    def values(self) -> dict[str, Any]:
        report, words = self._report, self._words
        reading = report.readings[report.scope.place]
        period, figure = reading.period, reading.figure
        last = next_month(period.months[-1]) - timedelta(days=1)
        share = None if figure is None else figure.overall.share
        return {
            "language": self._language,
            "place": report.scope.place,
            "period_key": str(period),
            "period": report.period_text,
            "scope": self._name(report.scope),
            "about": [
                [words["scope"], self._name(report.scope)],
                [words["period"], report.period_text],
                [words["first_day"], f"{period.first:%d/%m/%Y}"],
                [words["last_day"], f"{last:%d/%m/%Y}"],
            ],
            "headline": "" if share is None else self._headline(share),
            "summary": [] if figure is None or share is None else self._summary(figure, share),
            "units": [asdict(self._unit(spot)) for spot in report.spots if not spot.is_counter],
            "factors": [] if figure is None else self._factors(figure),
            "channels": [] if figure is None else self._channels(figure),
            "changes": [list(row) for row in report.changes.told],
            "no_change": report.changes.otherwise,
            "method": words["method_text"],
            "limits": [text.format(minimum=report.minimum_n) for text in words["limits_text"]],
            "entries": [
                [str(entry.index), f"{entry.month:%m/%Y}", entry.leaf_hash.hex()]
                for entry in report.proof.entries
            ],
            "checkpoint": (report.proof.checkpoint or "").rstrip("\n").split("\n")
            if report.proof.checkpoint
            else [],
        }

    def _name(self, spot: Spot) -> str:
        return spot.name(self._language) or ("Everywhere" if self._language == "en" else "Toàn hệ thống")

    def _number(self, text: str) -> str:
        return decimal_text(text, self._language)

    def _interval(self, share: Share) -> str:
        _, low, high = map(self._number, share.texts())
        return f"{low}{_DASH}{high}"

    def _headline(self, share: Share) -> str:
        return f"{self._words['share']}: {self._number(share.texts()[0])} % ({self._interval(share)} %)"

    def _summary(self, figure: Figure, share: Share) -> list[list[str]]:
        words, known, versions = self._words, figure.completeness, figure.versions
        covered = None if known.covered_share is None else self._number(f"{known.covered_share * 100:.1f} %")
        rows = [
            (words["ballots"], str(share.n)),
            (words["scores"], str(share.N)),
            (words["effective"], f"{share.n_eff:.0f}"),
            (words["lambda"], self._number(f"{share.lambda_:.2f}")),
            (words["weighting"], words["weighting_names"][figure.weighting.value]),
            (words["consent"], self._rate(known.consent_rate)),
            (words["response"], self._rate(known.response_rate)),
            (words["covered"], covered or _DASH),
            (words["formula"], str(versions.formula)),
            (words["calibrations"], ", ".join(map(str, versions.calibrations)) or _DASH),
            (words["models"], "; ".join(versions.models) or _DASH),
            (words["software"], "; ".join(versions.software) or _DASH),
        ]
        return [list(row) for row in rows]

    def _rate(self, mean: Mean | None) -> str:
        if mean is None:
            return _DASH
        value, low, high = (
            self._number(points(share, mean.n)) for share in (mean.value, mean.low, mean.high)
        )
        return f"{value} % ({low}{_DASH}{high} %)"

    def _unit(self, spot: Spot) -> _Row:
        report, words = self._report, self._words
        reading = report.readings[spot.place]
        depth = len(report.register.way(spot.place)) - len(report.register.way(report.scope.place))
        level = report.register.level_name(spot, self._language)
        name, figure = self._name(spot), reading.figure
        share = None if figure is None else figure.overall.share
        if figure is None or share is None:
            said = words["standing"][reading.standing.value]
            if reading.standing is Standing.UNCALIBRATED and reading.signal is not None:
                mean = reading.signal.mean
                low, high = (self._number(points(end, mean.n)) for end in (mean.low, mean.high))
                name += f" ({words['signal_note']}: {low}{_DASH}{high}, n = {mean.n})"
            return _Row(name, level, depth, said, _DASH, _DASH, _DASH)
        rate = figure.completeness.consent_rate
        consent = _DASH if rate is None else self._number(points(rate.value, rate.n))
        value = self._number(share.texts()[0])
        return _Row(name, level, depth, value, self._interval(share), str(share.n), consent)

    def _factors(self, figure: Figure) -> list[list[str]]:
        return [
            [
                self._words["factor_names"][name],
                self._number(share.texts()[0]),
                self._interval(share),
                str(share.n),
            ]
            for name in FACTORS
            if name in figure.factors and (share := figure.factors[name].share) is not None
        ]

    def _channels(self, figure: Figure) -> list[list[str]]:
        return [
            [
                self._words["channel_names"][name],
                self._number(share.texts()[0]),
                self._interval(share),
                str(share.n),
                str(share.N),
                self._number(f"{share.lambda_:.2f}"),
                f"{share.weight * 100:.0f}",
            ]
            for name in CHANNELS
            if (share := figure.overall.channels.get(name)) is not None
        ]
