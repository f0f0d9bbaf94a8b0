"""The ingest measurement sends real batches to a real service."""

from __future__ import annotations

from api.bench_ingest import measure_ingest


def test_it_measures_what_was_committed() -> None:
    rates = measure_ingest((1, 20), duration_s=0.05)
    assert [rate.batch for rate in rates] == [1, 20]
    for rate in rates:
        assert rate.signals % rate.batch == 0
        assert rate.per_s > 1
