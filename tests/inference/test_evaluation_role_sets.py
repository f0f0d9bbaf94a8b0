from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from inference.commands import evaluate
from inference.evaluation_role_sets import SCENES, run_mix, together
from inference.evaluation_roles import RoleScores, named, score
from inference.evaluation_speech import ManifestError, load_sound
from inference.role_reference import read_references, windows_spoken
from inference.role_scenes import Scene, simulate
from inference.roles import WINDOW, Role
from models.registry import Registry
from models.voice_activity import load_voice_activity


def bursts(count: int, seed: int) -> list[NDArray[np.int16]]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 3000, 40 * WINDOW).astype(np.int16) for _ in range(count)]


def level_db(samples: NDArray[Any]) -> float:
    return float(10 * np.log10(np.mean(np.square(samples / 32768.0))))


@pytest.mark.parametrize(
    ("scene", "citizens_turn_db", "officers_turn_db"),
    [
        (Scene(bleed_db=-10.0), 10.0, -10.0),
        (Scene(bleed_db=-3.0), 3.0, -3.0),
        (Scene(bleed_db=-10.0, citizen_gain_db=6.0), 16.0, -4.0),
        (Scene(bleed_db=-10.0, officer_db=6.0), 10.0, -10.0),
    ],
    ids=["bleed-10", "bleed-3", "gain", "loud-officer"],
)
def test_a_scene_has_the_levels_asked_for(
    scene: Scene, citizens_turn_db: float, officers_turn_db: float
) -> None:
    dialogue = simulate(bursts(2, 1), bursts(2, 2), scene, seed=3)
    for start, end, role in dialogue.turns:
        middle = slice(start + 8000, end)
        found = level_db(dialogue.samples[0, middle]) - level_db(dialogue.samples[1, middle])
        expected = citizens_turn_db if role is Role.CITIZEN else officers_turn_db
        assert found == pytest.approx(expected, abs=1.0)


def test_scenes_overlap_by_their_share_and_repeat_with_their_seed() -> None:
    first = simulate(bursts(2, 1), bursts(2, 2), Scene(overlap=0.2), seed=3)
    again = simulate(bursts(2, 1), bursts(2, 2), Scene(overlap=0.2), seed=3)
    other = simulate(bursts(2, 1), bursts(2, 2), Scene(overlap=0.2), seed=4)
    # Three changes of turn, 20 % of 40 windows each.
    assert (first.citizen_speaks & first.officer_speaks).sum() == pytest.approx(24, abs=6)
    assert np.array_equal(first.samples, again.samples)
    assert not np.array_equal(first.samples, other.samples)


def test_the_queue_reaches_both_microphones_alike() -> None:
    quiet = simulate(bursts(1, 1), bursts(1, 2), Scene(snr_db=60.0), seed=3)
    queue = simulate(
        bursts(1, 1), bursts(1, 2), Scene(snr_db=60.0, queue_db=-10.0), seed=3, queue=bursts(1, 5)
    )
    before = slice(8000, 16_000)
    assert level_db(quiet.samples[:, before]) < -80.0
    for microphone in queue.samples:
        assert level_db(microphone[before]) == pytest.approx(-36.0, abs=2.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_in_hard_scenes_the_officer_is_not_taken_for_the_citizen(shared: Path, seed: int) -> None:
    source = shared / "data" / "speech" / "common_voice_vi.jsonl"
    entries = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    picked = np.random.default_rng(seed).permutation(len(entries))[:6]
    clips = [load_sound(source.parent / entries[index]["audio"])[0] for index in picked]
    stream = load_voice_activity(Registry.default()).stream
    for scene in (Scene(bleed_db=-6.0, overlap=0.15), Scene(bleed_db=-6.0, citizen_gain_db=-6.0)):
        dialogue = simulate(clips[:3], clips[3:], scene, seed=seed)
        scores = score(dialogue, named(dialogue, stream))
        assert scores.windows > 150
        assert scores.officer_leaked < 0.02


def test_scores_are_weighted_by_their_windows() -> None:
    one = RoleScores(1.0, 0.0, 0.0, 1.0, 0.0, 300)
    other = RoleScores(0.5, 0.5, 0.25, 0.0, 0.2, 100)
    assert together([one, other]) == {
        "accuracy": round((300 + 0.5 * 25) / 325, 4),
        "dropped": 0.125,
        "missed": 0.0625,
        "citizen_kept": 0.75,
        "officer_leaked": 0.05,
        "windows": 400,
    }
    assert together([RoleScores(0.0, 1.0, 0.0, 0.0, 0.0, 10)])["accuracy"] is None


@pytest.mark.parametrize("reference", ["satisfied.ref.json", "satisfied.rttm"])
def test_the_samples_references_are_read(shared: Path, tmp_path: Path, reference: str) -> None:
    media = shared / "media"
    (tmp_path / "media").symlink_to(media)
    manifest = tmp_path / "roles.jsonl"
    entry = {"audio": "media/satisfied.mp4", "reference": f"media/{reference}"}
    manifest.write_text(json.dumps(entry), encoding="utf-8")
    (recording,) = read_references(manifest)
    listed = json.loads((media / "satisfied.ref.json").read_text(encoding="utf-8"))["turns"]
    assert [turn.role.value for turn in recording.turns] == [turn["speaker"] for turn in listed]
    assert recording.turns[0].start_s == pytest.approx(listed[0]["start"], abs=0.01)
    assert recording.turns[0].end_s == pytest.approx(listed[0]["end"], abs=0.01)


def test_the_command_measures_a_sample(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "media").symlink_to(shared / "media")
    manifest = tmp_path / "roles.jsonl"
    entry = {"audio": "media/neutral.mp4", "reference": "media/neutral.rttm"}
    manifest.write_text(json.dumps(entry), encoding="utf-8")
    done = CliRunner().invoke(evaluate, ["roles", "--manifest", str(manifest), "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert figures["recordings"] == 1
    assert figures["two_channels"]["accuracy"] > 0.97
    assert "one_channel" not in figures


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "is empty"),
        ("{", "line 1: not JSON"),
        ('{"turns": []}', "'audio' is missing"),
        ('{"audio": "nowhere.wav", "turns": []}', "no file nowhere.wav"),
        ('{"audio": "a.wav"}', "give 'turns'"),
        ('{"audio": "a.wav", "reference": "nowhere.rttm"}', "cannot be read"),
        ('{"audio": "a.wav", "turns": [{"start": 0, "end": 1, "speaker": "dog"}]}', "no 'speaker'"),
        ('{"audio": "a.wav", "turns": [{"start": 2, "end": 1, "speaker": "citizen"}]}', "no start and end"),
        ('{"audio": "a.wav", "turns": [{"start": 0, "end": NaN, "speaker": "citizen"}]}', "no start and end"),
        ('{"audio": "a.wav", "turns": ["citizen"]}', "no 'speaker'"),
    ],
)
def test_a_broken_manifest_is_named_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    manifest = tmp_path / "roles.jsonl"
    manifest.write_text(line, encoding="utf-8")
    with pytest.raises(ManifestError, match=said):
        read_references(manifest)


def test_a_mix_needs_three_people(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    clips = tmp_path / "clips.jsonl"
    clips.write_text('{"audio": "a.wav", "speaker": "one"}\n' * 2, encoding="utf-8")
    with pytest.raises(ManifestError, match="names 1 people"):
        run_mix(clips, lambda: None, None, lambda _done, _total: None)  # type: ignore[arg-type, return-value]  # never called


def test_either_recordings_or_a_mix() -> None:
    done = CliRunner().invoke(evaluate, ["roles"])
    assert done.exit_code == 2
    assert len(SCENES) > 15


def test_a_window_is_spoken_when_its_middle_is() -> None:
    assert windows_spoken([(0.016, 0.08)], 5).tolist() == [True, True, False, False, False]
    assert windows_spoken([], 2).tolist() == [False, False]
