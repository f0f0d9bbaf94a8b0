from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from inference.roles import WINDOW, WINDOW_S, Role
from inference.utterances import Utterance, UtteranceConfig, UtteranceCutter

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW_NS = WINDOW * 1_000_000_000 // 16_000
START_NS = 1_700_000_000_000_000_000
CODES = {"c": Role.CITIZEN, "o": Role.OFFICER, "b": Role.BOTH, "u": Role.UNSURE, ".": Role.NOBODY}


def cut(
    roles: str, config: UtteranceConfig | None = None, levels: Iterable[int] | None = None
) -> list[Utterance]:
    """Cut a stream whose window number i holds the constant i + 1 (or the level given)."""
    cutter = UtteranceCutter(config)
    found: list[Utterance | None] = []
    values = list(levels) if levels is not None else list(range(1, len(roles) + 1))
    for index, code in enumerate(roles):
        sign = np.where(np.arange(WINDOW) % 2 == 0, 1, -1)
        samples = (values[index] * sign).astype(np.int16)
        found.append(cutter.push(samples, START_NS + index * WINDOW_NS, CODES[code]))
    found.append(cutter.flush())
    return [item for item in found if item is not None]


def windows_of(utterance: Utterance) -> list[int]:
    """Return the numbers of the windows in an utterance, 0 for one that was silenced."""
    return [int(np.abs(part).max()) for part in utterance.samples.reshape(-1, WINDOW)]


def test_padding_is_kept_on_both_sides_and_no_more() -> None:
    (utterance,) = cut("." * 30 + "c" * 20 + "." * 30)
    assert windows_of(utterance) == list(
        range(22, 60)
    )  # 9 windows (0.3 s) before window 31, 9 after window 50
    assert utterance.start_ns == START_NS + 21 * WINDOW_NS
    assert utterance.end_ns == START_NS + 59 * WINDOW_NS
    assert utterance.speech_s == pytest.approx(20 * WINDOW_S)
    assert not utterance.samples.flags.writeable


def test_a_short_pause_joins_and_a_long_one_parts() -> None:
    assert len(cut("c" * 20 + "." * 10 + "c" * 20)) == 1
    assert len(cut("c" * 20 + "." * 25 + "c" * 20)) == 2


def test_padding_is_not_given_to_two_utterances() -> None:
    first, second = cut("c" * 20 + "." * 19 + "c" * 20, UtteranceConfig(pause_s=0.4))
    assert set(windows_of(first)).isdisjoint(windows_of(second))
    assert second.start_ns >= first.end_ns


def test_too_little_speech_is_no_utterance() -> None:
    assert cut("." * 10 + "c" * 4 + "." * 30) == []
    assert len(cut("." * 10 + "c" * 5 + "." * 30)) == 1


@pytest.mark.parametrize("other", "obu")
def test_nobody_elses_speech_leaves(other: str) -> None:
    (utterance,) = cut("c" * 20 + other * 6 + "c" * 20 + other * 30)
    heard = windows_of(utterance)
    assert heard[:20] == list(range(1, 21))
    assert heard[20:26] == [0] * 6
    assert heard[26:46] == list(range(27, 47))
    assert not any(heard[46:])


def test_silence_beside_somebody_elses_speech_goes_with_it() -> None:
    (utterance,) = cut("o" * 10 + "." * 5 + "c" * 20 + "." * 30)
    heard = windows_of(utterance)
    assert heard[:9] == [0, 0, 0, 0, 0, 0, 0, 14, 15]
    assert heard[9:29] == list(range(16, 36))


def test_the_officer_alone_gives_nothing() -> None:
    assert cut("o" * 100 + "." * 30 + "u" * 30 + "b" * 30) == []


def test_long_speech_is_cut_where_it_is_quietest_and_nothing_is_lost() -> None:
    levels = [1000] * 1000
    levels[400:405] = [3] * 5
    config = UtteranceConfig(longest_s=15.0)
    found = cut("c" * 1000, config, levels)
    assert all(item.samples.shape[0] <= 15 * 16_000 for item in found)
    assert 400 < found[0].samples.shape[0] // WINDOW < 405
    assert sum(item.samples.shape[0] for item in found) == 1000 * WINDOW
    for before, after in itertools.pairwise(found):
        assert after.start_ns == before.end_ns


def test_memory_is_bounded_by_one_utterance() -> None:
    cutter = UtteranceCutter()
    window = np.ones(WINDOW, np.int16)
    most = 0
    for index in range(20_000):
        role = Role.CITIZEN if index % 3 else Role.NOBODY
        cutter.push(window, index, role)
        most = max(most, len(cutter._open) + len(cutter._before))
    assert most <= 15.0 / WINDOW_S + 9


def test_clear_forgets() -> None:
    cutter = UtteranceCutter()
    for index in range(50):
        cutter.push(np.ones(WINDOW, np.int16), index, Role.CITIZEN)
    cutter.clear()
    assert cutter.flush() is None
