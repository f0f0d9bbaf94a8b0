from __future__ import annotations

import json

import pytest

from consent.bench_log import CHECKED, measure_log


def test_the_bench_measures_a_small_log() -> None:
    found = measure_log(700, 1_000)
    document = json.loads(json.dumps(found.document()))
    assert (document["appended"], document["checked"]) == (700, 1_000)
    assert document["prove"]["tried"] == 1_000
    assert 0 < document["prove"]["mean_ms"] <= document["prove"]["p99_ms"]
    for ratio in (
        "proof_to_bar_of_1_ms",
        "check_to_bar_of_60_s_a_million",
        "verify_to_bar_of_60_s_a_million",
    ):
        assert document[ratio] > 0


@pytest.mark.long
def test_a_million_entries_are_checked_within_a_minute_and_a_proof_takes_less_than_a_millisecond() -> None:
    found = measure_log(100_000, CHECKED)
    assert found.check_cpu_s < 60
    assert found.verify_cpu_s / found.appended * CHECKED < 60
    assert found.prove.cpu_ms < 1
    assert found.check_proof.cpu_ms < 1
