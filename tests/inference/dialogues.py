"""Word errors of the sample dialogues through the whole voice path; also a command.

    python -m tests.inference.dialogues [RECORDING.mp4 …]

prints one JSON object: for each recording with a `*.ref.json` beside it, the word errors of the
citizen's turns after roles, cutting, silencing of the officer and transcription, and the number of
words heard that only the officer said. The recordings are synthetic: this is no accuracy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.evaluation_speech import load_sound
from inference.media import AudioChunk
from inference.utterance_judge import WordJudge
from inference.voice_evidence import VoiceConfig, VoiceEvidence, VoiceReader
from inference.word_errors import ErrorCount, normalise, word_errors
from models.registry import Registry
from models.text_sentiment import TextSentiment
from models.transcribers import Transcriber, load_transcriber
from models.voice_activity import VoiceActivityNetwork, load_voice_activity
from setup.layout import ROOT

RATE = 16_000
SAMPLES = ROOT / "samples"
SPOKEN = ("satisfied", "neutral", "dissatisfied", "bystander")


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


def listen(
    sound: NDArray[np.int16],
    network: VoiceActivityNetwork,
    recorder: Recorder,
    config: VoiceConfig | None = None,
) -> VoiceEvidence:
    """Read a whole sound as one session."""
    sentiment = TextSentiment.load()
    reader = VoiceReader(network.stream, lambda: WordJudge(recorder, sentiment), config)
    for index, at in enumerate(range(0, sound.shape[1], 1600)):
        chunk = AudioChunk(sound[:, at : at + 1600], RATE, 10**18 + at * 62_500, index)
        reader.hear(Opened(chunk))  # type: ignore[arg-type]  # as above
    reader.finish()
    return reader.evidence()


def turns_of(media: Path) -> list[dict[str, Any]]:
    """Return who says what when, of a sample recording."""
    reference = json.loads(media.with_suffix(".ref.json").read_text(encoding="utf-8"))
    turns: list[dict[str, Any]] = reference["turns"]
    return turns


def compare(media: Path, texts: list[str]) -> tuple[ErrorCount, set[str]]:
    """Compare what was heard with the citizen's turns; also return heard words that only the officer said."""
    said = {"citizen": "", "officer": ""}
    for turn in turns_of(media):
        said[turn["speaker"]] += f" {turn['text']}"
    heard = " ".join(texts)
    own, other = (set(normalise(said[who]).split()) for who in ("citizen", "officer"))
    return word_errors(said["citizen"], heard), (other - own) & set(normalise(heard).split())


def main() -> None:
    """Measure the recordings named on the command line, or all samples."""
    named = [Path(name) for name in sys.argv[1:]] or [SAMPLES / f"{name}.mp4" for name in SPOKEN]
    network = load_voice_activity(Registry.default())
    figures, together = {}, ErrorCount()
    with load_transcriber(Registry.default()) as transcriber:
        for media in named:
            recorder = Recorder(transcriber)
            listen(load_sound(media, channels=2), network, recorder)
            errors, officers = compare(media, recorder.texts)
            together += errors
            figures[media.stem] = {
                "wer": round(errors.rate, 4),
                "words": errors.length,
                "turns": sum(turn["speaker"] == "citizen" for turn in turns_of(media)),
                "utterances": len(recorder.heard),
                "officer_only_words": len(officers),
            }
    print(json.dumps({"sessions": figures, "wer": round(together.rate, 4), "words": together.length}))  # noqa: T201 - a command


if __name__ == "__main__":
    main()
