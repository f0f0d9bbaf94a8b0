"""Figures of the index as one long table, a row for each place, factor and channel: what downloads hold.

Every number is the one that the pages print, rounded and bounded alike, so a file tells no more than they do.
`COLUMNS` is the data dictionary; it goes with each file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from api.disclosure import points
from api.index.figures import Figure, Share
from api.index.formula import CHANNELS, FACTORS
from api.index.reading import Reading, Standing
from api.interval import Mean
from api.register import Spot

OVERALL: Final = "overall"
TOGETHER: Final = "together"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name in files, its type, and what it means."""

    name: str
    kind: str
    vi: str
    en: str


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One row; texts are as printed, empty where nothing may be said."""

    place: str
    level: str
    name_vi: str
    name_en: str
    period: str
    standing: str
    factor: str
    channel: str
    sign: str = ""
    share: str = ""
    low: str = ""
    high: str = ""
    n: str = ""
    scores: str = ""
    n_eff: str = ""
    lambda_: str = ""
    method: str = ""
    weight: str = ""
    signal: str = ""
    signal_low: str = ""
    signal_high: str = ""
    signal_n: str = ""
    weighting: str = ""
    visits: str = ""
    consent_rate: str = ""
    response_rate: str = ""
    covered: str = ""
    formula: str = ""
    calibrations: str = ""
    models: str = ""
    software: str = ""
    revisions: str = ""


_MEANINGS: Final[Mapping[str, tuple[str, str, str]]] = {
    "place": ("string", "Mã nơi: all, cấp:mã", "Code of the place: all, or level:code"),
    "level": ("string", "Cấp của nơi", "Level of the place"),
    "name_vi": ("string", "Tên tiếng Việt", "Name in Vietnamese"),
    "name_en": ("string", "Tên tiếng Anh", "Name in English"),
    "period": ("string", "Kỳ: 2026-10, 2026-Q4 hoặc 2026", "Period: 2026-10, 2026-Q4 or 2026"),
    "standing": (
        "string",
        "figure: tỷ lệ; uncalibrated: chỉ có tín hiệu; withheld: giữ lại; nothing: quá ít hoặc chưa công bố",
        "figure: a share; uncalibrated: a signal only; withheld: held back; nothing: too few or not released",
    ),
    "factor": ("string", "overall hoặc yếu tố", "overall, or the factor"),
    "channel": ("string", "together: các kênh gộp lại; hoặc kênh", "together: all channels; or the channel"),
    "sign": ("string", "≥ hoặc ≤ khi chỉ in cận", "≥ or ≤ where only a bound is printed"),
    "share": ("number", "Tỷ lệ hài lòng, %", "Share of satisfied people, %"),
    "low": ("number", "Cận dưới khoảng 95 %", "Lower end of the 95 % interval"),
    "high": ("number", "Cận trên khoảng 95 %", "Upper end of the 95 % interval"),
    "n": ("integer", "Số phiếu", "Ballots"),
    "scores": ("integer", "N: số điểm thụ động dùng được", "N: passive scores at hand"),
    "n_eff": ("integer", "Cỡ mẫu tương đương", "Ballots of a plain sample that would tell as much"),
    "lambda": ("number", "λ: trọng số của điểm thụ động", "λ: weight of the passive scores"),
    "method": ("string", "Phương pháp ước lượng", "Method of estimation"),
    "weight": ("number", "Phần trong số liệu gộp", "Its part in the figure of all channels"),
    "signal": (
        "number",
        "Tín hiệu chưa hiệu chuẩn, 0 đến 100; không phải tỷ lệ hài lòng",
        "Uncalibrated signal, 0 to 100; no share of satisfied people",
    ),
    "signal_low": ("number", "Cận dưới khoảng 95 % của tín hiệu", "Lower end of its 95 % interval"),
    "signal_high": ("number", "Cận trên khoảng 95 % của tín hiệu", "Upper end of its 95 % interval"),
    "signal_n": ("integer", "Số phiên của tín hiệu", "Sessions behind the signal"),
    "weighting": ("string", "Đơn vị tính trọng số", "What counters are weighted by"),
    "visits": ("integer", "Số lượt tại quầy theo sổ đồng ý", "Visits that the consent logs know"),
    "consent_rate": ("number", "Tỷ lệ đồng ý, %", "Consent rate, %"),
    "response_rate": ("number", "Tỷ lệ đánh giá tại quầy, %", "Share of visitors who rated, %"),
    "covered": ("number", "Thời gian có dữ liệu, %", "Consented time with data, %"),
    "formula": ("integer", "Phiên bản công thức", "Version of the formula"),
    "calibrations": ("string", "Phiên bản hiệu chuẩn", "Versions of calibrations"),
    "models": ("string", "Mô hình", "Models"),
    "software": ("string", "Phiên bản phần mềm tại quầy", "Releases of the edges' program"),
    "revisions": ("integer", "Tổng số lần công bố của các ô", "Sum of the revisions of its cells"),
}
COLUMNS: Final = tuple(Column(name, *meaning) for name, meaning in _MEANINGS.items())


def values_of(row: FigureRow) -> tuple[str, ...]:
    """Return a row's texts in the order of `COLUMNS`."""
    return tuple(str(getattr(row, field.name)) for field in fields(row))


def figure_rows(spots: Iterable[Spot], readings: Mapping[str, Reading]) -> Iterator[FigureRow]:
    """Yield the rows of places, each place with its factors and channels.

    Args:
        spots: Places in the order of the file.
        readings: Place -> what may be shown of it.
    """
    for spot in spots:
        reading = readings[spot.place]
        base = FigureRow(
            *(spot.place, spot.level, spot.name_vi or "Toàn hệ thống", spot.name_en or "Everywhere"),
            *(str(reading.period), reading.standing.value, OVERALL, ""),
        )
        if reading.figure is not None:
            yield from _figure(base, reading.figure)
        elif reading.standing is Standing.UNCALIBRATED and reading.signal is not None:
            mean = reading.signal.mean
            yield replace(
                base,
                signal=points(mean.value, mean.n),
                signal_low=points(mean.low, mean.n),
                signal_high=points(mean.high, mean.n),
                signal_n=str(mean.n),
            )
        else:
            yield base


def _figure(base: FigureRow, figure: Figure) -> Iterator[FigureRow]:
    lines = {
        OVERALL: figure.overall,
        **{name: figure.factors[name] for name in FACTORS if name in figure.factors},
    }
    for factor, line in lines.items():
        shares = {TOGETHER: line.share, **{name: line.channels.get(name) for name in CHANNELS}}
        for channel, share in shares.items():
            if share is not None:
                yield _row(base, figure, factor, channel, share)


def _row(base: FigureRow, figure: Figure, factor: str, channel: str, share: Share) -> FigureRow:
    value, low, high = share.texts()
    known, versions = figure.completeness, figure.versions
    return replace(
        base,
        factor=factor,
        channel=channel,
        sign=value[:1] if share.bounded else "",
        share=value[1:] if share.bounded else value,
        low=low,
        high=high,
        n=str(share.n),
        scores=str(share.N),
        n_eff=f"{share.n_eff:.0f}",
        lambda_=f"{share.lambda_:.2f}",
        method=share.method,
        weight=f"{share.weight:.2f}",
        weighting=figure.weighting.value,
        visits=str(known.visits),
        consent_rate=_rate(known.consent_rate),
        response_rate=_rate(known.response_rate),
        covered="" if known.covered_share is None else f"{known.covered_share * 100:.1f}",
        formula=str(versions.formula),
        calibrations=" ".join(map(str, versions.calibrations)),
        models="; ".join(versions.models),
        software="; ".join(versions.software),
        revisions=str(figure.revisions),
    )


def _rate(mean: Mean | None) -> str:
    return "" if mean is None else points(mean.value, mean.n)
