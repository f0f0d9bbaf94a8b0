from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from inference.commands import evaluate
from inference.evaluation_speech import ManifestError
from inference.evaluation_voice_activity import KINDS, detect, noise_of, run_manifest, run_mix
from inference.roles import WINDOW
from models.registry import Registry
from models.voice_activity import load_voice_activity

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.voice_activity import VoiceActivity


@pytest.fixture(scope="module")
def stream() -> Callable[[], VoiceActivity]:
    return load_voice_activity(Registry.default()).stream


def no_progress(_done: int, _total: int) -> None:
    pass


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "silence"])
def test_noise_has_unit_power(kind: str) -> None:
    talkers = [np.random.default_rng(index).standard_normal(8000) for index in range(4)]
    made = noise_of(kind, 32_000, np.random.default_rng(1), talkers)
    assert made.shape == (32_000,)
    assert np.mean(np.square(made)) == pytest.approx(1.0)


def test_an_unknown_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="no noise called rain"):
        noise_of("rain", 100, np.random.default_rng(1), [])


def test_two_microphones_shut_out_a_babble_that_defeats_the_network(
    shared: Path, stream: Callable[[], VoiceActivity]
) -> None:
    clips = shared / "data" / "speech" / "common_voice_vi.jsonl"
    figures = run_mix(clips, stream, no_progress, snrs_db=(10.0,), noise_s=8.0)
    for kind in ("silence", "white 10 dB", "pink 10 dB", "hum 10 dB", "music 10 dB"):
        found = figures[kind]
        assert isinstance(found, dict)
        assert found["network"]["false_alarms"] < 0.02, kind
    babble = figures["babble 10 dB"]
    assert isinstance(babble, dict)
    assert babble["network"]["false_alarms"] > 0.5
    assert babble["two_microphones"]["false_alarms"] < 0.02
    assert babble["two_microphones"]["misses"] < 0.3


def test_a_manifest_of_marked_speech_is_measured(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "media").symlink_to(shared / "media")
    turns = json.loads((shared / "media" / "neutral.ref.json").read_text(encoding="utf-8"))["turns"]
    lines = [
        {"audio": "media/neutral.mp4", "speech": [[turn["start"], turn["end"]] for turn in turns]},
        {"audio": "media/nobody.mp4", "speech": []},
    ]
    manifest = tmp_path / "speech.jsonl"
    manifest.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    done = CliRunner().invoke(evaluate, ["voice-activity", "--manifest", str(manifest), "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert figures["n"] == 2
    assert figures["network"]["false_alarms"] < 0.1
    assert figures["network"]["misses"] < 0.25
    assert figures["speech_windows"] + figures["other_windows"] == pytest.approx(
        figures["audio_s"] * 16_000 / WINDOW, abs=1
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"audio": "a.wav"}', "'speech' is missing"),
        ('{"audio": "a.wav", "speech": [[1]]}', "no start and end"),
        ('{"audio": "a.wav", "speech": [[3, 2]]}', "no start and end"),
        ('{"audio": "a.wav", "speech": []}', "line 1"),
    ],
    ids=["no-speech", "one-number", "backwards", "no-sound"],
)
def test_a_broken_manifest_is_named_with_its_line(
    tmp_path: Path, stream: Callable[[], VoiceActivity], line: str, said: str
) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound")
    manifest = tmp_path / "speech.jsonl"
    manifest.write_text(line, encoding="utf-8")
    with pytest.raises(ManifestError, match=said):
        run_manifest(manifest, stream, no_progress)


def test_a_sound_of_one_channel_is_read_as_one_microphone(stream: Callable[[], VoiceActivity]) -> None:
    found, _ = detect(np.zeros((1, 10 * WINDOW), np.int16), stream)
    assert found.two_microphones.tolist() == found.one_microphone.tolist() == [False] * 10
