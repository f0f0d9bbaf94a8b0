"""One spoken session at an edge, in a process of its own; a program for tests that search what it leaves.

    python -P tests/spoken_session.py RECORDING [--in-process]

Serves a recording whose citizen gave the voice, behind the gate, with log and outbox. It tells each
step on standard output and waits for a line on standard input after it: `ready` when the session has
begun and nothing was said yet, `heard` in mid-session when two utterances have been read, `over` with
the number of utterances in the signal, when the session has ended as sessions do. With `--in-process`
words are read in this process: what the search must find.
"""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capture.consent_script import ConsentScript
from capture.replay import replay, replay_counter
from consent.purpose import Purpose
from inference.perception import Perception
from inference.utterance_judge import WordJudge
from models.registry import Registry
from models.text_sentiment import TextSentiment
from models.transcribers import load_transcriber

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.session import SessionAnalysis

VOICE = ConsentScript(decision="given", purposes=frozenset({Purpose.VOICE}), decides_after_s=0)
READ_BEFORE_HEARD = 2


@dataclass(frozen=True, slots=True)
class Watched(Perception):
    """The networks, which tell of the session that they open."""

    opened: list[SessionAnalysis]

    def open_session(self, *args: Any, **settings: Any) -> SessionAnalysis:
        self.opened.append(Perception.open_session(self, *args, **settings))
        return self.opened[-1]


class InProcess:
    """Makes judges that read words in this process."""

    def __init__(self, loaded: Perception) -> None:
        self._loaded = loaded
        self._transcriber = load_transcriber(Registry.default())
        self._sentiment = TextSentiment.load()
        self.versions = loaded.judges.versions

    def take(self, _sealing: object = None) -> WordJudge:
        return WordJudge(self._transcriber, self._sentiment)

    def close(self) -> None:
        self._transcriber.close()
        self._loaded.judges.close()


def tell(step: str) -> None:
    """Say where the session is and wait."""
    sys.stdout.write(f"{step}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def teller(opened: list[SessionAnalysis]) -> Callable[[str, object], None]:
    """Return what watches the units go by, and tells of the first and of enough that was read."""
    begun = told = False

    def see(_counter: str, _unit: object) -> None:
        nonlocal begun, told
        if not begun:
            begun = True
            tell("ready")
        voice = opened[0].voice
        if told or voice is None:
            return
        voice._reader.wait()  # a recording comes faster than it is read
        if len(voice.evidence().reading_s) >= READ_BEFORE_HEARD:
            told = True
            tell("heard")

    return see


def main() -> None:
    """Serve the recording named on the command line."""
    loaded = Perception.load(Registry.default())
    if "--in-process" in sys.argv:
        loaded = replace(loaded, judges=InProcess(loaded))  # type: ignore[arg-type]  # makes judges as the real one
    else:
        loaded.keep_ready()
    opened: list[SessionAnalysis] = []
    parts = {part.name: getattr(loaded, part.name) for part in fields(Perception)}
    try:
        result = replay(
            Path(sys.argv[1]),
            VOICE,
            Watched(**parts, opened=opened),
            counter=replay_counter(),
            software="test",
            on_unit=teller(opened),
        )
        gc.collect()
        tell(f"over {result.signal.quality.utterances if result.signal is not None else -1}")
    finally:
        loaded.close()


if __name__ == "__main__":
    main()
