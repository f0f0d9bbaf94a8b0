"""The voice path with the real networks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.evaluation_speech import load_sound
from inference.media import AudioChunk
from inference.voice_evidence import VoiceEvidence, VoiceReader
from inference.word_errors import normalise, word_errors
from models.registry import Registry
from models.text_sentiment import TextSentiment
from models.transcribers import Transcriber, load_transcriber
from models.voice_activity import VoiceActivityNetwork, load_voice_activity

RATE = 16_000


class Opened:
    """Stands for a permitted chunk; the gate itself is tested with the reader's fakes."""

    def __init__(self, chunk: AudioChunk) -> None:
        self._chunk = chunk

    def open(self) -> AudioChunk:
        return self._chunk


class Recorder:
    """A transcriber that remembers what went in and came out."""

    def __init__(self, transcriber: Transcriber | None) -> None:
        self._transcriber = transcriber
        self.heard: list[NDArray[np.int16]] = []
        self.texts: list[str] = []

    def transcribe(self, samples: NDArray[np.int16]) -> str:
        self.heard.append(samples)
        self.texts.append("" if self._transcriber is None else self._transcriber.transcribe(samples))
        return self.texts[-1]


@pytest.fixture(scope="module")
def network() -> VoiceActivityNetwork:
    return load_voice_activity(Registry.default())


@pytest.fixture(scope="module")
def transcriber() -> Iterator[Transcriber]:
    loaded = load_transcriber(Registry.default())
    yield loaded
    loaded.close()


def listen(sound: NDArray[np.int16], network: VoiceActivityNetwork, recorder: Recorder) -> VoiceEvidence:
    reader = VoiceReader(network.stream, recorder, TextSentiment.load())  # type: ignore[arg-type]  # a recording double
    for index, at in enumerate(range(0, sound.shape[1], 1600)):
        chunk = AudioChunk(sound[:, at : at + 1600], RATE, 10**18 + at * 62_500, index)
        reader.hear(Opened(chunk))  # type: ignore[arg-type]  # as above
    reader.finish()
    return reader.evidence()


def two_microphones(sound: NDArray[Any], seed: int) -> NDArray[np.int16]:
    """Put a sound in [-1, 1] before the citizen's microphone; the officer's hears it 14 dB weaker."""
    hiss = np.random.default_rng(seed).normal(0.0, 0.0005, (2, sound.shape[0]))
    return (np.clip(np.stack((sound, 0.2 * sound)) + hiss, -1.0, 1.0) * 32_767).astype(np.int16)


def noises(length_s: int, seed: int) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    time = np.arange(length_s * RATE) / RATE
    chord = sum(
        0.06 * np.sin(2 * np.pi * hertz * time) * (0.5 + 0.5 * np.sin(2 * np.pi * (0.3 + 0.17 * part) * time))
        for part, hertz in enumerate((220, 277, 330, 440, 554, 660))
    )
    return {
        "silence": np.zeros(time.shape[0]),
        "faint noise": rng.normal(0.0, 0.01, time.shape),
        "loud noise": rng.normal(0.0, 0.1, time.shape),
        "tone": 0.2 * np.sin(2 * np.pi * 440.0 * time),
        "chord": np.asarray(chord),
    }


@pytest.mark.parametrize("name", ["silence", "faint noise", "loud noise", "tone", "chord"])
@pytest.mark.parametrize("length_s", [8, pytest.param(60, marks=pytest.mark.long)])
def test_what_is_not_speech_gives_no_words(
    network: VoiceActivityNetwork, transcriber: Transcriber, seed: int, name: str, length_s: int
) -> None:
    recorder = Recorder(transcriber)
    evidence = listen(two_microphones(noises(length_s, seed)[name], seed), network, recorder)
    assert evidence.utterances == ()
    assert " ".join(recorder.texts).split() == []
    assert evidence.heard_s == pytest.approx(length_s, abs=0.1)


def test_a_sample_dialogue_gives_the_citizens_words_and_not_the_officers(
    shared: Path, network: VoiceActivityNetwork, transcriber: Transcriber
) -> None:
    folder = shared / "media"
    turns = json.loads((folder / "neutral.ref.json").read_text(encoding="utf-8"))["turns"]
    recorder = Recorder(transcriber)
    evidence = listen(load_sound(folder / "neutral.mp4", channels=2), network, recorder)
    citizen = [turn for turn in turns if turn["speaker"] == "citizen"]
    assert len(evidence.utterances) == len(citizen)
    for spoken, turn in zip(evidence.utterances, citizen, strict=True):
        start_s, end_s = ((edge - 10**18) / 1e9 for edge in (spoken.start_ns, spoken.end_ns))
        assert start_s == pytest.approx(turn["start"], abs=0.6)
        assert end_s == pytest.approx(turn["end"], abs=0.6)
        assert spoken.negative + spoken.neutral + spoken.positive == pytest.approx(1.0, abs=1e-3)
    said = " ".join(turn["text"] for turn in citizen)
    assert word_errors(said, " ".join(recorder.texts)).rate < 0.6
    only_officer = set(normalise(" ".join(t["text"] for t in turns if t["speaker"] == "officer")).split())
    only_officer -= set(normalise(said).split())
    assert len(only_officer & set(" ".join(recorder.texts).split())) <= 2


def test_an_empty_seat_gives_nothing(shared: Path, network: VoiceActivityNetwork) -> None:
    recorder = Recorder(None)
    evidence = listen(load_sound(shared / "media" / "nobody.mp4", channels=2), network, recorder)
    assert recorder.heard == []
    assert (evidence.speech_s, evidence.dropped_s, evidence.utterances) == (0.0, 0.0, ())
    assert evidence.noise_dbfs is not None
    assert evidence.noise_dbfs < -50.0


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_long_recording_keeps_the_words_of_its_pieces(
    shared: Path, network: VoiceActivityNetwork, transcriber: Transcriber
) -> None:
    source = shared / "data" / "speech" / "common_voice_vi.jsonl"
    entries = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    clips = [load_sound(source.parent / entry["audio"])[0] for entry in entries]
    sound = np.concatenate(clips)[: 270 * RATE]
    pieces = [
        transcriber.transcribe(sound[at : at + 15 * RATE]) for at in range(0, sound.shape[0], 15 * RATE)
    ]
    words = len(" ".join(pieces).split())
    recorder = Recorder(transcriber)
    listen(two_microphones(sound / 32_768.0, 1), network, recorder)
    assert words > 400
    assert max(samples.shape[0] for samples in recorder.heard) <= 15 * RATE
    assert len(" ".join(recorder.texts).split()) >= 0.95 * words
    assert len(transcriber.transcribe(sound).split()) >= 0.95 * words
