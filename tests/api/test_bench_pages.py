"""The measurement of pages fills a real centre, imports into it and reads what it serves."""

from __future__ import annotations

from dataclasses import replace

from api.bench_pages import CHART_BAR_S, PAGE_BAR_S, PagesMeasured, Size, measure_pages


def test_it_measures_pages_of_figures_and_an_import() -> None:
    size = Size(counters=2, units=2, months=2, ballots=30, rows=60, repeats=1)
    found = measure_pages(size)
    assert found.size == size
    paths = {page.path.partition("?")[0]: page for page in found.pages}
    assert {"/", "/ranking.svg", "/counters/bench-0.0", "/places/all/course.svg"} <= paths.keys()
    for page in found.pages:
        assert page.first_s > 0 < page.again_s
        assert page.sent_bytes < page.plain_bytes  # all of them travel compressed
    assert found.import_rows_per_s > 1
    assert found.p95_s >= min(page.again_s for page in found.pages)
    assert found.first_chart_s >= paths["/ranking.svg"].first_s


def test_each_bar_counts() -> None:
    at_bars = PagesMeasured(Size(), (), PAGE_BAR_S, CHART_BAR_S, 1.0)
    assert at_bars.within_bars
    assert not replace(at_bars, p95_s=PAGE_BAR_S + 0.01).within_bars
    assert not replace(at_bars, first_chart_s=CHART_BAR_S + 0.01).within_bars
