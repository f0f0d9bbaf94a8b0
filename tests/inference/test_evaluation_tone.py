from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from inference import prosody
from inference.commands import evaluate
from inference.evaluation_speech import ManifestError
from inference.evaluation_tone import run
from inference.prosody import ArousalMeter
from tests.inference.altered_voices import Sound, heard, speakers_of, spoken, write, write_manifest
from tests.inference.test_prosody import voice


def buzzes(folder: Path, lines: list[tuple[str, str, float, float]]) -> Path:
    """Write a manifest of buzzes: speaker, label, pitch in Hz, level."""
    entries = []
    for number, (speaker, label, pitch_hz, level) in enumerate(lines):
        name = f"{number}.wav"
        write(folder / name, voice(pitch_hz, level=level))
        kind: dict[str, object] = {"start": True} if label == "start" else {"arousal": label}
        entries.append({"audio": name, "speaker": speaker, **kind})
    manifest = folder / "tone.jsonl"
    manifest.write_text("\n".join(json.dumps(entry) for entry in entries), encoding="utf-8")
    return manifest


def start_of(speaker: str, pitch_hz: float) -> list[tuple[str, str, float, float]]:
    return [(speaker, "start", pitch_hz, 0.1)] * 2


def measured(manifest: Path) -> dict[str, Any]:
    return run(manifest, progress=lambda _done, _total: None)


def test_figures_by_hand(tmp_path: Path) -> None:
    lines = [
        ("an", "high", 190.0, 0.3),  # before its start in the file: starts are read first all the same
        *start_of("an", 140.0),
        *start_of("binh", 220.0),
        ("an", "low", 140.0, 0.1),
        ("binh", "high", 300.0, 0.3),
        ("binh", "high", 220.0, 0.1),  # called high, sounds as at the start: the one error
        ("binh", "low", 200.0, 0.06),
        ("chi", "high", 300.0, 0.3),  # no start: no figure
    ]
    found = measured(buzzes(tmp_path, lines))
    assert found["recall"] == {"low": 1.0, "high": pytest.approx(2 / 3, abs=1e-4)}
    assert found["uar"] == pytest.approx(5 / 6, abs=1e-4)
    assert found["auc"] == 1.0
    assert found["speakers"] == {
        "an": {"uar": 1.0, "n": 2},
        "binh": {"uar": 0.75, "n": 3},
        "chi": {"uar": None, "n": 1},
    }
    assert (found["uar_median_speaker"], found["uar_worst_speaker"]) == (0.875, 0.75)
    assert found["without_start"] == ["chi"]
    assert found["figures"] == pytest.approx(5 / 6, abs=1e-4)
    assert (found["n"], found["starts"]) == (6, 4)
    assert found["ms_per_s"] > 0
    assert not {name for name in found if "valence" in name}


def test_labels_that_are_exchanged_give_the_opposite(tmp_path: Path) -> None:
    found = measured(
        buzzes(tmp_path, [*start_of("an", 140.0), ("an", "low", 190.0, 0.3), ("an", "high", 120.0, 0.05)])
    )
    assert (found["uar"], found["auc"]) == (0.0, 0.0)


def test_one_class_alone_has_no_mean_recall(tmp_path: Path) -> None:
    found = measured(buzzes(tmp_path, [*start_of("an", 140.0), ("an", "low", 140.0, 0.1)]))
    assert (found["uar"], found["auc"]) == (None, None)
    assert found["recall"] == {"low": 1.0, "high": None}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"line 1: not JSON"),
        ("[1]", r"line 1: \[1\] is not an object"),
        ('{"audio": "a.wav"}', r"line 1: 'speaker' is missing"),
        ('{"audio": "a.wav", "speaker": "an"}', r"line 1: 'arousal' is None; use 'low' or 'high'"),
        ('{"audio": "a.wav", "speaker": "an", "arousal": "angry"}', r"'angry'; use 'low' or 'high'"),
        ('{"audio": "a.wav", "speaker": "an", "start": 1}', r"'start': true"),
        ('{"audio": "b.wav", "speaker": "an", "arousal": "low"}', r"there is no file .*b\.wav"),
        ('{"audio": "a.wav", "speaker": "an", "start": true}', "has no recording with a label"),
        ('{"audio": "a.wav", "speaker": "an", "arousal": "low"}', "line 1: .*cannot be decoded"),
    ],
    ids=["json", "object", "speaker", "label", "other", "start", "file", "starts-only", "sound"],
)
def test_a_broken_manifest_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound")
    (tmp_path / "tone.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(ManifestError, match=message):
        measured(tmp_path / "tone.jsonl")


def test_the_command_prints_one_object(tmp_path: Path) -> None:
    manifest = buzzes(
        tmp_path, [*start_of("an", 140.0), ("an", "low", 140.0, 0.1), ("an", "high", 190.0, 0.3)]
    )
    done = CliRunner().invoke(evaluate, ["tone", "--manifest", str(manifest), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["uar"] == 1.0
    missing = CliRunner().invoke(evaluate, ["tone", "--manifest", str(tmp_path / "none.jsonl"), "--json"])
    assert missing.exit_code == 2


@pytest.fixture(scope="module")
def voices(shared: Path) -> dict[str, list[Sound]]:
    return speakers_of(shared / "data" / "speech" / "common_voice_vi.jsonl", 5)


def test_real_voices_made_calmer_and_more_aroused(
    voices: dict[str, list[Sound]], tmp_path: Path, seed: int
) -> None:
    found = measured(write_manifest(tmp_path, voices, seed))
    assert found["figures"] > 0.9
    assert found["uar"] > 0.75
    assert found["auc"] > 0.9
    assert found["ms_per_s"] < 100


def shift(voices: dict[str, list[Sound]], seed: int, louder_db: float = 0.0, **room: float) -> float:
    """Return by how much arousal rises on average when only what is given changes after the start."""
    rng = np.random.default_rng(seed)
    differences = []
    for clips in voices.values():
        meter = ArousalMeter()
        for clip in clips[:3]:
            meter.arousal(heard(spoken(clip), rng))
        for clip in clips[3:]:
            same = meter.arousal(heard(spoken(clip), rng))
            changed = meter.arousal(heard(spoken(clip, louder_db=louder_db), rng, **room))
            if same is not None and changed is not None:
                differences.append(changed - same)
    assert len(differences) >= 10
    return fmean(differences)


def test_a_louder_voice_is_aroused_and_a_louder_microphone_or_room_is_not(
    voices: dict[str, list[Sound]], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shift(voices, seed, louder_db=8.0) > 0.1
    for gain_db in (-10.0, 10.0):
        assert abs(shift(voices, seed, gain_db=gain_db)) < 0.04
    assert shift(voices, seed, noise_dbfs=-46.0) < 0.04
    assert shift(voices, seed, noise_dbfs=-36.0) < 0.0  # 10 dB: calmer, as pauses fill up
    # The control: levels as they are.
    monkeypatch.setattr(prosody, "_level_change_db", lambda now, start: now.level_dbfs - start.level_dbfs)
    assert shift(voices, seed, gain_db=10.0) > 0.1


def test_the_officers_bleed_is_no_arousal(voices: dict[str, list[Sound]], seed: int) -> None:
    """What may pass the role gate (20 dB under the citizen) and worse, all through the utterance."""
    rng = np.random.default_rng(seed)
    for bleed_db in (-20.0, -15.0):
        differences = []
        for clips in voices.values():
            meter = ArousalMeter()
            for clip in clips[:3]:
                meter.arousal(heard(spoken(clip), rng))
            for clip, other in zip(clips[3:], reversed([*voices.values()][0]), strict=False):  # noqa: RUF015 - any other voice
                own = spoken(clip)
                both = own + np.resize(other, own.shape[0]) * 10.0 ** (bleed_db / 20.0)
                same, mixed = meter.arousal(heard(own, rng)), meter.arousal(heard(both, rng))
                if same is not None and mixed is not None:
                    differences.append(mixed - same)
        assert fmean(differences) < 0.04
