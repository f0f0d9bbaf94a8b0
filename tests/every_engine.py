"""A program that loads optional engines as the product does and lets each read something once.

    python -P every_engine.py MODEL …

Each model is a name out of the registry. All are loaded first and then used, so that they are in memory
together. Prints one JSON object: by model, what it gave or why it was refused.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np

from inference.evaluation_speech import load_sound
from models.card import Task
from models.errors import ModelError
from models.expression_readers import load_expression_reader
from models.one_channel_diarisers import load_diariser
from models.registry import Registry
from models.transcribers import load_transcriber
from models.voice_activity import load_voice_activity
from setup.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_SPEECH = ROOT / "samples" / "satisfied.mp4"
_LENGTH = 15 * 16_000


def reader_of(name: str, registry: Registry) -> Callable[[NDArray[np.int16]], dict[str, object]]:
    """Load one model and return what lets it read."""
    (card,) = registry.versions(name)
    if card.task is Task.TRANSCRIPTION:
        transcriber = load_transcriber(registry, name)
        transcriber.warm_up()

        def words(sound: NDArray[np.int16]) -> dict[str, object]:
            text = transcriber.transcribe(sound)
            starts, lost = transcriber.process.starts, transcriber.lost_pieces
            transcriber.close()
            return {"words": len(text.split()), "starts": starts, "lost": lost}

        return words
    if card.task is Task.DIARISATION:
        diariser = load_diariser("pyannote", registry, load_voice_activity(registry))
        return lambda sound: {"turns": len(diariser.turns(sound))}
    expression = load_expression_reader(registry, name)
    crops = [np.full((60, 60, 3), light, np.uint8) for light in (255, 0)]
    return lambda _sound: {"positive": [round(read.positive, 3) for read in expression.predict(crops)]}


def main(names: list[str]) -> None:
    """Load all, then use each."""
    registry = Registry.default()
    readers = {}
    found: dict[str, dict[str, object]] = {}
    for name in names:
        try:
            readers[name] = reader_of(name, registry)
        except ModelError as error:
            found[name] = {"refused": f"{type(error).__name__}: {error}"}
    sound = load_sound(_SPEECH)[0][:_LENGTH]
    for name, reads in readers.items():
        found[name] = reads(sound)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
