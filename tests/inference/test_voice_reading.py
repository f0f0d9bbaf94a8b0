"""The voice path with the real networks."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.evaluation_speech import load_sound
from models.errors import TranscriberTimeout
from models.registry import Registry
from models.transcribers import EngineTranscriber, Transcriber, load_transcriber
from models.voice_activity import VoiceActivityNetwork, load_voice_activity
from tests.inference.dialogues import RATE, SAMPLES, Recorder, compare, listen, turns_of


@pytest.fixture(scope="module")
def network() -> VoiceActivityNetwork:
    return load_voice_activity(Registry.default())


@pytest.fixture(scope="module")
def transcriber() -> Iterator[Transcriber]:
    loaded = load_transcriber(Registry.default())
    yield loaded
    loaded.close()


@pytest.fixture
def patient() -> Iterator[Transcriber]:
    """The same, started, without the limit of a session: pieces of 15 s took a busy machine a minute.

    A machine with several programs a core does not always start the engine within its limit; what is
    tested is reading, so a start that came too late is tried again.
    """
    with EngineTranscriber(Registry.default().locate("viet-asr"), piece_limit_s=600.0) as loaded:
        for left in (2, 1, 0):
            try:
                loaded.warm_up()
                break
            except TranscriberTimeout:
                if not left:
                    raise
        yield loaded


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


@pytest.mark.timeout(900)  # seconds on a quiet machine, and five minutes were not enough on a very busy one
def test_a_sample_dialogue_gives_the_citizens_words_and_not_the_officers(
    network: VoiceActivityNetwork, transcriber: Transcriber
) -> None:
    media = SAMPLES / "neutral.mp4"
    recorder = Recorder(transcriber)
    evidence = listen(load_sound(media, channels=2), network, recorder)
    turns = [turn for turn in turns_of(media) if turn["speaker"] == "citizen"]
    assert len(evidence.utterances) == len(turns)
    for spoken, turn in zip(evidence.utterances, turns, strict=True):
        start_s, end_s = ((edge - 10**18) / 1e9 for edge in (spoken.start_ns, spoken.end_ns))
        assert start_s == pytest.approx(turn["start"], abs=0.6)
        assert end_s == pytest.approx(turn["end"], abs=0.6)
        assert spoken.negative + spoken.neutral + spoken.positive == pytest.approx(1.0, abs=1e-3)
    errors, officers = compare(media, recorder.texts)
    assert errors.rate < 0.4
    assert len(officers) <= 1, "one word may sound like the officer's"


@pytest.mark.parametrize("name", ["satisfied", "dissatisfied", "bystander"])
def test_an_officer_who_speaks_alone_never_reaches_the_transcriber(
    network: VoiceActivityNetwork, name: str
) -> None:
    media = SAMPLES / f"{name}.mp4"
    sound = load_sound(media, channels=2).copy()
    spoken = np.zeros(sound.shape[1], bool)
    for turn in turns_of(media):
        if turn["speaker"] == "officer":
            spoken[int((turn["start"] - 0.2) * RATE) : int((turn["end"] + 0.2) * RATE)] = True
    assert spoken.sum() > 10 * RATE
    # Both microphones stay on: the officer's voice in the citizen's is what must be kept out.
    sound[:, ~spoken] = 0
    recorder = Recorder(None)
    evidence = listen(sound, network, recorder)
    assert recorder.heard == []
    assert (evidence.utterances, evidence.speech_s) == ((), 0.0)


def test_the_officers_turns_are_silent_in_what_is_transcribed(network: VoiceActivityNetwork) -> None:
    media = SAMPLES / "satisfied.mp4"
    sound = load_sound(media, channels=2)
    recorder = Recorder(None)
    listen(sound, network, recorder)
    assert len(recorder.heard) == sum(turn["speaker"] == "citizen" for turn in turns_of(media))
    officer = np.zeros(sound.shape[1], bool)
    for turn in turns_of(media):
        if turn["speaker"] == "officer":
            officer[int(turn["start"] * RATE) : int(turn["end"] * RATE)] = True
    for samples in recorder.heard:
        # Speech is copied bit by bit, so the loudest moment is found again in the citizen's channel.
        loudest = int(np.abs(samples.astype(np.int32)).argmax())
        piece = samples[loudest - 32 : loudest + 32]
        likely = np.flatnonzero(sound[0] == samples[loudest])
        (at,) = [place for place in likely if np.array_equal(sound[0, place - 32 : place + 32], piece)]
        own = slice(at - loudest, at - loudest + samples.shape[0])
        assert not samples[officer[own]].any(), "the officer's part of an utterance is zero"


def test_an_empty_seat_gives_nothing(network: VoiceActivityNetwork) -> None:
    recorder = Recorder(None)
    evidence = listen(load_sound(SAMPLES / "nobody.mp4", channels=2), network, recorder)
    assert recorder.heard == []
    assert (evidence.speech_s, evidence.dropped_s, evidence.utterances) == (0.0, 0.0, ())
    assert evidence.noise_dbfs is not None
    assert evidence.noise_dbfs < -50.0


@pytest.mark.parametrize("length_s", [60, pytest.param(270, marks=pytest.mark.long)])
@pytest.mark.timeout(1800, func_only=True)  # the start of the engine does not count
def test_a_long_recording_keeps_the_words_of_its_pieces(
    shared: Path, network: VoiceActivityNetwork, patient: Transcriber, length_s: int
) -> None:
    source = shared / "data" / "speech" / "common_voice_vi.jsonl"
    entries = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    clips = [load_sound(source.parent / entry["audio"])[0] for entry in entries]
    sound = np.concatenate(clips)[: length_s * RATE]
    pieces = [patient.transcribe(sound[at : at + 15 * RATE]) for at in range(0, sound.shape[0], 15 * RATE)]
    words = len(" ".join(pieces).split())
    recorder = Recorder(patient)
    listen(two_microphones(sound / 32_768.0, 1), network, recorder)
    assert words > 1.4 * length_s
    assert max(samples.shape[0] for samples in recorder.heard) <= 15 * RATE
    whole = len(" ".join(recorder.texts).split())
    logging.getLogger(__name__).info("words: %d in pieces of 15 s, %d through the voice path", words, whole)
    assert whole >= 0.95 * words
