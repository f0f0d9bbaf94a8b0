"""Transcribers measured side by side: errors, speed, memory, invented words, time to evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.evaluation_latency import counter_sound, utterances_of
from inference.evaluation_speech import ManifestError
from inference.evaluation_transcription import Listening, Plan, measure, run, thread_counts
from inference.session_judge import JudgeSupply
from inference.sounds_without_speech import sounds
from models.errors import InputError, UnknownModel
from models.registry import Registry
from models.text_sentiment import TextSentiment
from models.transcriber_process import ProcessUse
from models.transcribers import EngineTranscriber, load_transcriber
from models.voice_activity import load_voice_activity
from tests.inference.test_evaluation_speech import manifest_of, write_sound
from tests.models.test_voice_activity import sound

RATE_HZ = 16_000
SOUNDS = {"silence", "white_noise", "pink_noise", "music", "dial_tones", "keyboard"}


class Parrot:
    """Says the words that belong to the length of what it hears."""

    name, version, sha256 = "parrot", "2", "0" * 64
    lost_pieces = 0

    def __init__(self, words: dict[int, str], threads: int = 1) -> None:
        self.words = words
        self.threads = threads
        self.pieces = 0
        self.closed = False

    def warm_up(self) -> None: ...

    def use(self) -> ProcessUse | None:
        return ProcessUse(cpu_s=0.5 * self.pieces, peak_mib=100.0 * self.threads)

    def transcribe(self, samples: NDArray[np.int16]) -> str:
        self.pieces += 1
        return self.words.get(round(samples.shape[0] / RATE_HZ), "")

    def close(self) -> None:
        self.closed = True

    def version_of(self) -> tuple[str, str, str]:
        return self.name, self.version, self.sha256


def parrot(words: dict[int, str]) -> dict[str, Callable[[int], Parrot]]:
    return {"parrot": partial(Parrot, words)}


def two_recordings(folder: Path) -> Path:
    write_sound(folder / "one.wav", 1.0)
    write_sound(folder / "two.wav", 2.0)
    return manifest_of(
        folder,
        [
            json.dumps({"audio": "one.wav", "text": "Cảm ơn em.", "speaker": "x"}, ensure_ascii=False),
            "",
            json.dumps({"audio": "two.wav", "text": "một hai ba bốn năm", "n": 3}, ensure_ascii=False),
        ],
    )


@pytest.fixture(scope="module")
def listening() -> Listening:
    registry = Registry.default()
    return Listening(load_voice_activity(registry).stream, TextSentiment.load(registry))


def test_rates_are_over_all_words_and_other_keys_are_ignored(tmp_path: Path) -> None:
    result = run(two_recordings(tmp_path), parrot({1: "cảm ơn anh", 2: ""}))
    assert result["wer"] == 0.75
    assert (result["n"], result["words"], result["empty"], result["model"]) == (2, 8, 1, "parrot")
    assert result["audio_s"] == pytest.approx(3.0, abs=0.01)
    assert result["cer"] == pytest.approx((3 + 18) / (9 + 18), abs=1e-3)
    # Two recordings drawn again give one of 1/3 and 5/5 errors, or both: so does their interval.
    assert result["wer_interval"] == [0.3333, 1.0]
    assert "invented" not in result
    assert "latency" not in result


def test_engines_and_threads_stand_side_by_side(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    engines = {
        "good": partial(Parrot, {1: "cảm ơn em", 2: "một hai ba bốn năm"}),
        "deaf": partial(Parrot, {}),
    }
    result = run(
        two_recordings(tmp_path), engines, Plan(threads=(1, 2)), progress=lambda *at: steps.append(at)
    )
    assert {name: figures["wer"] for name, figures in result["engines"].items()} == {"good": 0.0, "deaf": 1.0}
    speed = result["engines"]["good"]["speed"]
    assert {threads: figures["peak_mib"] for threads, figures in speed.items()} == {"1": 100.0, "2": 200.0}
    assert speed["1"]["cpu_s_per_s"] == pytest.approx(
        1.0 / 3.0, abs=0.01
    )  # the first, silent second is left out
    assert steps == [(done, 8) for done in range(1, 9)]


def test_words_for_sounds_without_speech_are_counted(tmp_path: Path, listening: Listening) -> None:
    # Two seconds of each sound are one piece: this engine says three words whatever it hears.
    result = run(
        two_recordings(tmp_path), parrot({2: "xin chào anh"}), Plan(sounds_s=2.0, latency=False), listening
    )
    words = result["invented"]["words"]
    assert set(words) == SOUNDS | {"babble"}
    assert all(counts["engine"] == 3 for counts in words.values())
    assert words["silence"] == {"engine": 3, "guarded": 0, "session": 0}


def test_sounds_are_of_one_level_and_repeat_with_their_seed(seed: int) -> None:
    made = dict(sounds(2.0, seed))
    assert set(made) == SOUNDS
    again = dict(sounds(2.0, seed))
    for name, samples in made.items():
        assert samples.dtype == np.int16
        assert samples.shape == (2 * RATE_HZ,)
        assert (samples == again[name]).all()
        if name != "silence":
            power = np.mean(np.square(samples / 32_768.0))
            assert 10 * np.log10(power) == pytest.approx(-35.0, abs=0.7)
    voice = (8000 * np.sin(np.arange(RATE_HZ) / 9)).astype(np.int16)
    assert "babble" in dict(sounds(1.0, seed, [voice]))


def test_an_unreadable_recording_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "one.wav").write_bytes(b"no sound at all")
    manifest = manifest_of(tmp_path, ['{"audio": "one.wav", "text": "x"}'])
    with pytest.raises(ManifestError, match=r"line 1: .*cannot be decoded"):
        run(manifest, parrot({}))


def test_an_unknown_engine_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="'nobody' is not a transcriber"):
        measure(two_recordings(tmp_path), Registry.default(), "nobody", Plan())


@pytest.mark.parametrize("text", ["", "0", "1,x", "17", "1.5"])
def test_threads_that_are_no_counts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="no list of threads"):
        thread_counts(text)
    assert thread_counts("2,1,2") == (2, 1)


def test_waiting_ends_with_the_pause_that_ends_an_utterance(shared: Path, listening: Listening) -> None:
    clips = sorted((shared / "data" / "speech" / "clips").iterdir())[:3]
    ended = list(utterances_of(counter_sound([sound(clip) for clip in clips]), listening.voice_activity))
    assert len(ended) >= 3
    # A pause of 0.6 s ends an utterance; what decides on roles looks ahead a little.
    assert all(0.6 <= item.waited_s <= 1.0 for item in ended)


@pytest.fixture(scope="module")
def viet_asr() -> Callable[[int], EngineTranscriber]:
    return lambda threads: load_transcriber(Registry.default(), threads=threads)


def three_clips(shared: Path, folder: Path) -> Path:
    """Return a manifest of three recordings of people."""
    source = shared / "data" / "speech" / "common_voice_vi.jsonl"
    entries = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()[2:5]]
    lines = [
        json.dumps({"audio": str(source.parent / entry["audio"]), "text": entry["text"]}, ensure_ascii=False)
        for entry in entries
    ]
    return manifest_of(folder, lines)


def test_real_speech_is_read_as_well_as_the_reference(
    shared: Path, tmp_path: Path, viet_asr: Callable[[int], EngineTranscriber], listening: Listening
) -> None:
    plan = Plan(sounds_s=1.0, latency=False)
    result = run(three_clips(shared, tmp_path), {"viet-asr": viet_asr}, plan, listening)
    assert result["n"] == 3
    assert result["wer"] < 0.4  # 100 clips: 16.7 %; three of them scatter
    assert result["wer_interval"][0] <= result["wer"] <= result["wer_interval"][1]
    assert 50 < result["speed"]["1"]["peak_mib"] < 600
    for name in SOUNDS:
        assert result["invented"]["words"][name] == {"engine": 0, "guarded": 0, "session": 0}, name


def test_the_time_to_evidence_is_told_of_both_ways(
    shared: Path, tmp_path: Path, viet_asr: Callable[[int], EngineTranscriber], listening: Listening
) -> None:
    whole = replace(listening, judges=partial(JudgeSupply.load, Registry.default()))
    plan = Plan(sounds_s=0.0)
    result = run(three_clips(shared, tmp_path), {"viet-asr": viet_asr}, plan, whole)
    latency = result["latency"]
    assert latency["with_evidence"] >= 2
    assert latency["total_s"]["p50"] >= latency["waiting_s"]["p50"] >= 0.6
    apart = result["latency_session_process"]  # the same sound, read in the process of a session
    same = ("utterances", "with_evidence", "refused", "utterance_s", "waiting_s")
    assert {name: apart[name] for name in same} == {name: latency[name] for name in same}
    assert apart["reading_s"]["p50"] > 0.0


@pytest.mark.long
def test_all_real_speech_is_read_as_well_as_the_reference(
    shared: Path, viet_asr: Callable[[int], EngineTranscriber]
) -> None:
    result = run(shared / "data" / "speech" / "common_voice_vi.jsonl", {"viet-asr": viet_asr})
    assert (result["n"], result["empty"]) == (100, 0)
    assert result["wer"] < 0.19
