"""Figures of a month: intervals against an oracle, and nothing about a few people."""

from __future__ import annotations

import io
import random
import statistics
from datetime import date
from importlib.resources import files
from typing import Any

import pytest
from babel.messages.pofile import read_po
from jinja2 import Environment, nodes

from api.disclosure import Disclosure, points
from api.interval import mean_of, student_quantile
from api.language import gettext_of, translations
from api.pages.charts import trend_svg
from api.schema import ROLLUP_SUMS
from api.trends import build_month

FIRST = date(2026, 3, 1)


def row(
    n: int, *, scored: int | None = None, score: float = 0.6, factor_n: int | None = None
) -> dict[str, Any]:
    scored = n if scored is None else scored
    ppm = round(score * 1e6)
    values: dict[str, Any] = dict.fromkeys(ROLLUP_SUMS, 0)
    values |= {
        "sessions": n,
        "scored": scored,
        "score_sum": scored * ppm,
        "score_square_sum": scored * ppm * ppm,
    }
    values |= {"changes": scored, "face_ms": 60_000 * n, "gaps": 1}
    values |= {
        "access_n": n if factor_n is None else factor_n,
        "access_sum": ppm * (n if factor_n is None else factor_n),
    }
    return values


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 10, 29, 30, 100, 501, 2000])
def test_student_quantile_agrees_with_scipy(df: int) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    assert student_quantile(df) == pytest.approx(float(scipy_stats.t.ppf(0.975, df)), abs=1e-9)


def test_a_mean_from_sums_is_the_mean_of_the_scores(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    scores = [rng.random() for _ in range(37)]
    errors = [rng.uniform(0, 0.01) for _ in scores]
    mean = mean_of(37, sum(scores), sum(s * s for s in scores), sum(errors))
    assert mean is not None
    assert mean.value == pytest.approx(statistics.fmean(scores))
    half = student_quantile(36) * ((statistics.variance(scores) + statistics.fmean(errors)) / 37) ** 0.5
    assert mean.high - mean.value == pytest.approx(half)


@pytest.mark.parametrize(("n", "expected"), [(0, None), (1, (0.9, 0.704, 1.0))])
def test_no_score_has_no_mean_and_one_score_its_own_error(n: int, expected: tuple[float, ...] | None) -> None:
    mean = mean_of(n, 0.9 * n, 0.81 * n, 0.01 * n)
    if expected is None:
        assert mean is None
    else:
        assert mean is not None
        assert (mean.value, mean.low, mean.high) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("lowest", [0.0, -1.0])
def test_one_score_of_unknown_error_says_nothing_about_the_mean(lowest: float) -> None:
    mean = mean_of(1, 0.44, 0.44**2, lowest=lowest)
    assert mean is not None
    assert (mean.value, mean.low, mean.high, mean.n) == (0.44, lowest, 1.0, 1)


def test_the_interval_covers_the_mean_as_often_as_it_says(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded sequence, no secret
    hits = 0
    for _ in range(1000):
        scores = [min(1.0, max(0.0, rng.gauss(0.6, 0.15))) for _ in range(12)]
        mean = mean_of(12, sum(scores), sum(s * s for s in scores))
        assert mean is not None
        hits += mean.low <= 0.6 <= mean.high
    assert 0.92 <= hits / 1000 <= 0.98


@pytest.mark.parametrize(
    ("share", "n", "expected"), [(0.876, 99, "88"), (0.876, 100, "87.6"), (0.0, 10, "0")]
)
def test_figures_of_few_sessions_are_whole(share: float, n: int, expected: str) -> None:
    assert points(share, n) == expected


def test_small_days_and_the_running_day_carry_nothing() -> None:
    rows = {date(2026, 3, 2): row(9), date(2026, 3, 3): row(10), date(2026, 3, 4): row(50)}
    month = build_month(FIRST, rows, Disclosure(10, date(2026, 3, 4)))
    assert [(day.day.day, day.hidden) for day in month.days] == [(2, "few"), (3, ""), (4, "running")]
    assert [day.quality for day in month.days if day.hidden] == [None, None]
    # Sums are made of shown days only: nothing can be subtracted to get a hidden day back.
    assert month.quality.sessions == 10
    assert month.mean is not None
    assert month.mean.n == 10


def test_a_day_with_few_scores_shows_its_quality_but_no_score() -> None:
    month = build_month(FIRST, {date(2026, 3, 2): row(30, scored=9)}, Disclosure(10, date(2026, 4, 1)))
    assert month.days[0].mean is None
    assert month.days[0].quality is not None
    assert month.mean is None


def test_a_factor_counts_only_days_on_which_enough_spoke_of_it() -> None:
    rows = {date(2026, 3, 2): row(30, factor_n=9), date(2026, 3, 3): row(30, factor_n=12, score=0.5)}
    month = build_month(FIRST, rows, Disclosure(10, date(2026, 4, 1)))
    access = month.factors[0].mean
    assert access is not None
    assert (access.n, access.value) == (12, 0.5)
    assert month.factors[1].mean is None


def test_the_demonstration_shows_single_sessions_of_today() -> None:
    month = build_month(FIRST, {date(2026, 3, 4): row(1)}, Disclosure(1, date(2026, 3, 4), running_day=True))
    assert month.days[0].mean is not None


@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_a_chart_is_deterministic_text_and_named(size: str) -> None:
    rows = {date(2026, 3, day): row(20, score=0.4 + day / 100) for day in (2, 3, 4, 9)}
    days = build_month(FIRST, rows, Disclosure(10, date(2026, 4, 1))).days
    svg = trend_svg(FIRST, days, size, gettext_of("vi"))
    assert svg == trend_svg(FIRST, days, size, gettext_of("vi"))
    text = svg.decode()
    assert "Ngày trong tháng" in text
    assert 'role="img"><title>' in text
    assert "http://www.w3.org/1999/xlink" in text
    assert len(svg) < 40_000


@pytest.mark.parametrize(("n", "same"), [(20, True), (120, False)])
def test_a_chart_tells_no_more_than_the_table(n: int, *, same: bool) -> None:
    one, other = (
        trend_svg(
            FIRST,
            build_month(
                FIRST, {date(2026, 3, 2): row(n, score=score)}, Disclosure(10, date(2026, 4, 1))
            ).days,
            "wide",
            gettext_of("vi"),
        )
        for score in (0.597, 0.603)
    )
    assert (one == other) is same


def test_an_empty_chart_says_so() -> None:
    svg = trend_svg(FIRST, (), "wide", gettext_of("en")).decode()
    assert "No day with enough sessions yet" in svg


def test_every_text_of_the_templates_is_translated() -> None:
    text = files("api").joinpath("translations", "vi.po").read_bytes()
    catalogue = read_po(io.BytesIO(text), locale="vi")
    known = {message.id for message in catalogue if message.id and message.string}
    environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    asked = set()
    for template in files("api.pages").joinpath("templates").iterdir():
        for call in environment.parse(template.read_text(encoding="utf-8")).find_all(nodes.Call):
            if (
                isinstance(call.node, nodes.Name)
                and call.node.name == "_"
                and isinstance(call.args[0], nodes.Const)
            ):
                asked.add(call.args[0].value)
    assert len(asked) > 60
    assert asked - known == set()
    assert [message.id for message in catalogue if message.fuzzy] == []
    assert translations("vi").gettext("Counters") == "Quầy"
