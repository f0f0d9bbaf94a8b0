"""A session's valence over time as a picture and as a table.

Readings are dots, the mean of 5 s with its band lies over them (`valence_band`); lanes below
tell when a face was refused, when a second one was there, when the citizen spoke, and when the
camera gave nothing. Shapes tell the kinds apart, so that the picture can be printed in grey.
"""

from __future__ import annotations

import csv
import io
import math
from statistics import fmean
from typing import TYPE_CHECKING, Final

from inference.face_moments import FaceMoment
from inference.face_opinion import own_start
from inference.inspection import Sight
from inference.mood_change import compared_looks
from inference.session_pictures import WIDTH, clock
from inference.svg import drawing, element, line, path, rectangle, text, text_width
from inference.valence_band import band

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from inference.inspection import SessionRecord
    from inference.inspection_words import Words
    from inference.utterance_reader import SpokenEvidence

_NS: Final = 1_000_000_000
_LEFT: Final = 168.0
_RIGHT: Final = WIDTH - 20.0
_TOP: Final = 72.0
_PLOT: Final = 250.0
_LANE: Final = 30.0
_GAP: Final = 12.0
"""Between the lowest valence and the first lane."""
_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_MAX_TICKS: Final = 12
_MAX_DOTS: Final = 4_000
_OPINION: Final = 0.5
"""Probability from which an utterance is drawn as positive or negative."""


class Timeline:
    """One session on its time axis.

    Args:
        record: What was kept.
        words: Language of the picture; the table's header is English.
        label: What the recording says of itself; None for nothing.
    """

    def __init__(self, record: SessionRecord, words: Words, label: str | None) -> None:
        """Lay the axis out."""
        self._record = record
        self._words = words
        self._label = label
        self._start_ns = record.started_ns or 0
        self._length_ns = max(record.ended_ns - self._start_ns, _NS)
        self._moments = [
            FaceMoment(sight.at_ns, sight.valence, sight.confidence)
            for sight in record.sights
            if sight.valence is not None and sight.confidence is not None
        ]
        self._band = band(self._moments)
        self._spoken: tuple[SpokenEvidence, ...] = record.voice.utterances if record.voice else ()

    def table(self) -> str:
        """Return what the picture shows as CSV, one row an event, times in seconds from the start."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("kind", "from_s", "to_s", "value", "low", "high", "note"))
        rows: list[tuple[str, ...]] = sorted(self._rows(), key=_order)
        writer.writerows(rows)
        return out.getvalue()

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for sight in self._record.sights:
            at = self._s(sight.at_ns)
            if sight.valence is not None:
                yield "reading", at, at, f"{sight.valence:.4f}", "", "", f"confidence {sight.confidence:.4f}"
            elif sight.sight is not Sight.NOBODY:
                reason = sight.rejection.value if sight.rejection is not None else ""
                yield sight.sight.value, at, at, "", "", "", reason
        for point in (point for stretch in self._band for point in stretch):
            at = self._s(point.at_ns)
            figures = tuple(f"{value:.4f}" for value in (point.valence, point.low, point.high))
            yield "mean", at, at, *figures, f"{point.seconds:g} s with readings"
        for spoken in self._spoken:
            share = f"{spoken.positive:.3f}/{spoken.neutral:.3f}/{spoken.negative:.3f}"
            span = self._s(spoken.start_ns), self._s(spoken.end_ns)
            yield "utterance", *span, _polarity(spoken), "", "", f"positive/neutral/negative {share}"
        for blind in self._record.blind:
            what = "no picture" if blind.trouble is None else blind.trouble.value
            yield "camera", self._s(blind.from_ns), self._s(blind.to_ns), "", "", "", what

    def _s(self, ns: int) -> str:
        return f"{(ns - self._start_ns) / _NS:.3f}"

    def picture(self) -> str:
        """Return the timeline as SVG."""
        words = self._words
        lanes = [
            (words.refused, self._refusals),
            (words.second_face, self._second_faces),
            (words.speech, self._speech),
            (words.camera, self._camera),
        ]
        floor = _TOP + _PLOT
        bottom = floor + _GAP + _LANE * len(lanes)
        parts = [*self._shades(floor), *self._scale(floor, bottom), *self._readings()]
        for number, (name, draw) in enumerate(lanes):
            middle = floor + _GAP + _LANE * (number + 0.5)
            parts += [
                line((_LEFT, middle + _LANE / 2), (_RIGHT, middle + _LANE / 2), stroke="#ccc"),
                text((_LEFT - 10, middle + 4.5), name, anchor="end"),
                *draw(middle),
            ]
        parts += [text((12, 24), words.timeline, size=17, font_weight=600), *self._key()]
        foot = bottom + 64
        parts.append(text(((_LEFT + _RIGHT) / 2, bottom + 42), words.time, anchor="middle", fill="#333"))
        for note in filter(None, (words.not_calibrated, self._label)):
            size = min(12.0, (WIDTH - 24) / text_width(note, 1.0))
            parts.append(text((12, foot), note, size=size, fill="#333"))
            foot += 17
        return drawing(WIDTH, foot, parts, title=words.timeline, description=self.told())

    def told(self) -> str:
        """Return what the picture shows, in a few sentences."""
        if not self._moments:
            return f"{self._words.no_reading} {self._label or ''}".strip()
        told = self._words.timeline_told.format(
            readings=len(self._moments),
            first=clock(self._moments[0].captured_ns - self._start_ns),
            last=clock(self._moments[-1].captured_ns - self._start_ns),
            mean=fmean(moment.valence for moment in self._moments),
            refusals=sum(sight.rejection is not None for sight in self._record.sights),
            utterances=len(self._spoken),
        )
        return f"{told} {self._label or ''}".strip()

    def _x(self, ns: int) -> float:
        share = (ns - self._start_ns) / self._length_ns
        return _LEFT + min(max(share, 0.0), 1.0) * (_RIGHT - _LEFT)

    @staticmethod
    def _y(valence: float) -> float:
        return _TOP + (1 - valence) / 2 * _PLOT

    def _shades(self, floor: float) -> Iterable[str]:
        """Shade what the change compares, and mark the person's own start."""
        compared = compared_looks(self._moments)
        for (first, last), name in zip(compared or (), (self._words.start, self._words.end), strict=False):
            x1, x2 = self._x(first), self._x(last)
            yield rectangle((x1, _TOP), x2 - x1, floor - _TOP, fill="#e4e4e4")
            for x in (x1, x2):
                yield line((x, _TOP), (x, floor), stroke="#666", stroke_dasharray="6 3")
            yield text(((x1 + x2) / 2, _TOP - 4), name, size=12, anchor="middle", font_style="italic")
        started = own_start(self._moments)
        if started is not None:
            y = self._y(started[0])
            yield line(
                (self._x(self._moments[0].captured_ns), y),
                (_RIGHT, y),
                stroke="#000",
                stroke_width=1.2,
                stroke_dasharray="2 4",
            )

    def _scale(self, floor: float, bottom: float) -> Iterable[str]:
        names = {1.0: self._words.positive, 0.0: self._words.neutral, -1.0: self._words.negative}
        for value in (1.0, 0.5, 0.0, -0.5, -1.0):
            y = self._y(value)
            yield line((_LEFT, y), (_RIGHT, y), stroke="#888" if value in names else "#ddd")
            sign = f"{value:+.1f}" if value else "0.0"
            yield text((_LEFT - 10, y + 4.5), f"{names.get(value, '')} {sign}".strip(), anchor="end")
        length_s = self._length_ns / _NS
        step = next((step for step in _STEPS_S if length_s / step <= _MAX_TICKS), _STEPS_S[-1])
        for second in range(0, math.floor(length_s) + 1, step):
            x = self._x(self._start_ns + second * _NS)
            yield line((x, floor), (x, bottom + 5), stroke="#bbb")
            yield text((x, bottom + 21), clock(second * _NS), anchor="middle")

    def _readings(self) -> Iterable[str]:
        if not self._moments:
            middle = ((_LEFT + _RIGHT) / 2, _TOP + _PLOT / 2 - 10)
            yield text(middle, self._words.no_reading, size=15, anchor="middle")
        for stretch in self._band:
            upper = [(self._x(point.at_ns), self._y(point.high)) for point in stretch]
            lower = [(self._x(point.at_ns), self._y(point.low)) for point in reversed(stretch)]
            yield path(upper + lower, closed=True, fill="#5b8db8", fill_opacity=0.33)
        every = math.ceil(len(self._moments) / _MAX_DOTS) or 1
        for moment in self._moments[::every]:
            yield _dot(self._x(moment.captured_ns), self._y(moment.valence))
        for stretch in self._band:
            yield _curve([(self._x(point.at_ns), self._y(point.valence)) for point in stretch])

    def _refusals(self, y: float) -> Iterable[str]:
        for sight in self._record.sights:
            if sight.rejection is not None:
                yield _tick(self._x(sight.at_ns), y)

    def _second_faces(self, y: float) -> Iterable[str]:
        for first, last in _stretches(
            [sight.at_ns for sight in self._record.sights if sight.sight is Sight.SECOND_FACE]
        ):
            x1, x2 = self._x(first), self._x(last)
            yield rectangle((x1 - 1, y - 7), x2 - x1 + 3, 14, fill="#000")

    def _speech(self, y: float) -> Iterable[str]:
        for spoken in self._spoken:
            x1, x2 = self._x(spoken.start_ns), self._x(spoken.end_ns)
            yield line((x1, y), (x2, y), stroke="#000", stroke_width=2)
            yield _opinion((x1 + x2) / 2, y, _polarity(spoken))

    def _camera(self, y: float) -> Iterable[str]:
        for blind in self._record.blind:
            x1, x2 = self._x(blind.from_ns), self._x(blind.to_ns)
            name = self._words.of_trouble(blind.trouble)
            yield rectangle((x1, y - 8), max(2.0, x2 - x1), 16, fill="#fff", stroke="#000", stroke_width=2)
            if text_width(name, 12) < x2 - x1:
                yield text(((x1 + x2) / 2, y + 4), name, size=12, anchor="middle")

    def _key(self) -> Iterable[str]:
        """Explain the marks, left to right."""
        words, x, y = self._words, 12.0, 44.0
        marks = (words.reading, words.mean, words.band, words.own_start)
        opinions = (words.positive, words.neutral, words.negative)
        for number, name in enumerate((*marks, *opinions)):
            yield from _mark(number, x, y - 4.5)
            yield text((x + 26, y), name, size=12)
            x += 26 + text_width(name, 12) + 16


def _order(row: tuple[str, ...]) -> tuple[float, str]:
    return float(row[1]), row[0]


def _mark(number: int, x: float, y: float) -> Iterable[str]:
    match number:
        case 0:
            yield _dot(x + 11, y)
        case 1:
            yield _curve([(x, y), (x + 20, y)])
        case 2:
            yield rectangle((x, y - 6), 20, 12, fill="#5b8db8", fill_opacity=0.33)
        case 3:
            yield line((x, y), (x + 20, y), stroke="#000", stroke_width=1.2, stroke_dasharray="2 4")
        case _:
            yield _opinion(x + 11, y, ("positive", "neutral", "negative")[number - 4])


def _polarity(spoken: SpokenEvidence) -> str:
    if spoken.positive >= _OPINION:
        return "positive"
    return "negative" if spoken.negative >= _OPINION else "neutral"


def _opinion(x: float, y: float, polarity: str) -> str:
    """Draw an utterance: upward triangle, circle or downward triangle."""
    if polarity == "neutral":
        return element("circle", cx=x, cy=y, r=5.0, fill="#fff", stroke="#000", stroke_width=2)
    up = -1 if polarity == "positive" else 1
    corners = [(x - 7, y - 5.0 * up), (x + 7, y - 5.0 * up), (x, y + 7.0 * up)]
    return path(corners, closed=True, fill="#fff" if up > 0 else "#000", stroke="#000", stroke_width=2)


def _dot(x: float, y: float) -> str:
    return element("circle", cx=x, cy=y, r=2.2, fill="#444", fill_opacity=0.75)


def _curve(points: Sequence[tuple[float, float]]) -> str:
    return path(points, fill="none", stroke="#0b4a7a", stroke_width=2.6, stroke_linejoin="round")


def _tick(x: float, y: float) -> str:
    return line((x, y - 7), (x, y + 7), stroke="#000", stroke_width=1.5)


def _stretches(times_ns: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Join times that follow each other within a second."""
    first = last = None
    for at_ns in times_ns:
        if first is not None and last is not None and at_ns - last > _NS:
            yield first, last
            first = None
        first, last = at_ns if first is None else first, at_ns
    if first is not None and last is not None:
        yield first, last
