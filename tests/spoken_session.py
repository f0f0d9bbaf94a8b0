"""One spoken session in a process of its own; a program for tests that search what it leaves.

    python -m tests.spoken_session CLIP

Reads the clip as the citizen's voice through the whole path of a session, tells each step on
standard output and waits for a line on standard input after it: `ready` before anything is heard,
`heard` with the words in base64 while they are read for the first time, `purged` with the number of
utterances when the session is over.
"""

from __future__ import annotations

import base64
import gc
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.evaluation_speech import load_sound
from inference.media import AudioChunk
from inference.roles import RoleConfig
from inference.voice_evidence import VoiceConfig, VoiceReader
from models.registry import Registry
from models.text_sentiment import Opinion, TextSentiment
from models.transcribers import load_transcriber
from models.voice_activity import load_voice_activity

RATE = 16_000


class Opened:
    """Stands for a permitted chunk; the gate itself is tested elsewhere."""

    def __init__(self, chunk: AudioChunk) -> None:
        self._chunk = chunk

    def open(self) -> AudioChunk:
        return self._chunk


class Halting:
    """The text model, which stops at its first text until it is told to go on."""

    def __init__(self, sentiment: TextSentiment) -> None:
        self._sentiment = sentiment
        self._halted = False

    def read(self, text: str) -> Opinion:
        if not self._halted:
            self._halted = True
            tell(f"heard {base64.b64encode(text.encode()).decode()}")
        return self._sentiment.read(text)


def tell(step: str) -> None:
    """Say where the session is and wait."""
    sys.stdout.write(f"{step}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def main() -> None:
    """Hear the clip named on the command line."""
    registry = Registry.default()
    network = load_voice_activity(registry)
    with load_transcriber(registry) as transcriber:
        transcriber.transcribe(np.zeros(RATE, np.int16))
        voice = VoiceReader(
            network.stream,
            transcriber,
            Halting(TextSentiment.load(registry)),  # type: ignore[arg-type]  # reads as the text model does
            VoiceConfig(roles=RoleConfig(single_channel="citizen")),
        )
        tell("ready")
        hear(voice, load_sound(Path(sys.argv[1])))
        voice.finish()
        found = len(voice.evidence().utterances)
        voice.purge()
        gc.collect()
        tell(f"purged {found}")


def hear(voice: VoiceReader, clip: NDArray[np.int16]) -> None:
    """Play a clip with a second of silence on both sides."""
    silence = np.zeros((1, RATE), np.int16)
    sound = np.concatenate((silence, clip, silence), axis=1)
    for index, at in enumerate(range(0, sound.shape[1], 1600)):
        chunk = AudioChunk(sound[:, at : at + 1600], RATE, 10**18 + at * 62_500, index)
        voice.hear(Opened(chunk))  # type: ignore[arg-type]  # as above


if __name__ == "__main__":
    main()
