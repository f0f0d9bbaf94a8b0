"""A replay reads under a consent of its own and leaves nothing behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from capture.consent_script import ConsentScript
from capture.replay import Replayed, replay, replay_counter
from consent.purpose import Purpose
from consent.state import State
from inference.media import AudioChunk, Frame
from tests.capture.stand_ins import CountingPerception

BOTH = frozenset({Purpose.IMAGE, Purpose.VOICE})
GIVEN = ConsentScript(decision="given", purposes=BOTH)


@pytest.fixture
def networks() -> CountingPerception:
    return CountingPerception()


def read(media: Path, script: ConsentScript, networks: CountingPerception, channel: str = "left") -> Replayed:
    counter = replay_counter().model_copy(update={"citizen_channel": channel})
    return replay(media, script, networks, counter=counter, software="test")  # type: ignore[arg-type]  # a stand-in


def test_everything_is_read_once(flash_clip: Path, networks: CountingPerception) -> None:
    replayed = read(flash_clip, GIVEN, networks)
    assert (replayed.consent, replayed.error) == (State.COMPLETED, None)
    assert replayed.signal is not None
    assert replayed.to_json()["signal"]["counter"] == "replay"
    (session,) = networks.sessions
    assert session.taken.count(Purpose.IMAGE) == 100  # four seconds of 25 pictures
    assert session.taken.count(Purpose.VOICE) > 10


@pytest.mark.parametrize("purpose", sorted(BOTH))
def test_only_what_was_given_is_read(
    flash_clip: Path, networks: CountingPerception, purpose: Purpose
) -> None:
    read(flash_clip, ConsentScript(decision="given", purposes=frozenset({purpose})), networks)
    (session,) = networks.sessions
    assert set(session.taken) == {purpose}


@pytest.mark.parametrize(("decision", "state"), [("refused", State.REFUSED), ("silent", State.DEFERRED)])
def test_without_a_given_consent_the_file_is_not_even_looked_for(
    tmp_path: Path, networks: CountingPerception, decision: str, state: State
) -> None:
    script = ConsentScript.model_validate({"decision": decision})
    replayed = read(tmp_path / "missing.mp4", script, networks)
    assert (replayed.consent, replayed.signal, replayed.error) == (state, None, None)
    assert networks.sessions == []


def test_a_withdrawal_is_taken_at_its_place(flash_clip: Path, networks: CountingPerception) -> None:
    replayed = read(flash_clip, GIVEN.model_copy(update={"withdraws_after_s": 2.0}), networks)
    assert (replayed.consent, replayed.signal, replayed.error) == (State.WITHDRAWN, None, None)
    (session,) = networks.sessions
    assert 45 <= session.taken.count(Purpose.IMAGE) <= 52
    assert session.purged >= 1


def test_the_right_channel_comes_first_when_asked(flash_clip: Path, networks: CountingPerception) -> None:
    """The clip beeps on the left channel only."""
    loudest: dict[str, list[int]] = {}
    for channel in ("left", "right"):
        seen = loudest[channel] = [0, 0]

        def hear(_: str, unit: object, seen: list[int] = seen) -> None:
            opened: Frame | AudioChunk = unit.open()  # type: ignore[attr-defined]  # permitted by the gate
            if isinstance(opened, AudioChunk):
                for number, samples in enumerate(opened.samples):
                    seen[number] = max(seen[number], int(abs(samples.astype(int)).max()))

        counter = replay_counter().model_copy(update={"citizen_channel": channel})
        replay(
            flash_clip,
            GIVEN,
            networks,  # type: ignore[arg-type]  # a stand-in of the same shape
            counter=counter,
            software="test",
            on_unit=hear,
        )
    (left, other), (other_again, right) = loudest["left"], loudest["right"]
    assert min(left, right) > 10_000
    assert max(other, other_again) < 2_000


def test_nothing_is_left_behind(
    flash_clip: Path, networks: CountingPerception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    read(flash_clip, GIVEN, networks)
    read(tmp_path / "missing.mp4", GIVEN, networks)
    assert list(tmp_path.iterdir()) == []


def test_what_breaks_off_is_told(tmp_path: Path, networks: CountingPerception) -> None:
    replayed = read(tmp_path / "missing.mp4", GIVEN, networks)
    assert replayed.signal is None
    assert replayed.error is not None
    assert "missing.mp4" in replayed.error
