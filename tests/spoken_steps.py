"""A spoken session at an edge of its own, step by step, and what its citizen says."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from inference.evaluation_speech import load_sound
from models.registry import Registry
from models.transcribers import load_transcriber, plain_words
from models.voice_activity import load_voice_activity
from setup.layout import ROOT
from tests.inference.dialogues import Recorder, listen
from tests.process_memory import Needles, children, searched

RECORDING = ROOT / "samples" / "neutral.mp4"
LONGER = ROOT / "samples" / "dissatisfied.mp4"
HEARD = {
    RECORDING: ["tôi nộp hồ xác nhân cư trú", "hai tôi đã nhiên rồi", "vâng tôi biết rồi"],
    LONGER: [
        "tôi đó đây hơn hai tiếng đồng hồ rồi",
        "tui đất đến đây một lần rồi hôm nay live phai đen",
        "khùng không một không tám năm không không bốn năm sáu bảy",
        "sau lần sự không nói mỗi lần nói một kiểu làm việc như thế này tôi rất bực mình",
        "mất thời gian quá thái độ phục vụ nhất thế nay tôi không hài lòng",
        "mùng chín một hai sáu bảy tám ba bốn năm tôi dạy gửi đăng khiếu nại",
    ],
}
"""What viet-asr hears of the citizen: written down, since hearing it anew takes longer than a session."""
_LEAST_LETTERS = 5
_PLACES = {"HOME": "home", "TMPDIR": "tmp", "XDG_DATA_HOME": "data", "XDG_STATE_HOME": "state"}


def heard(recording: Path) -> list[str]:
    """Return what the recogniser hears of the citizen, utterance by utterance."""
    registry = Registry.default()
    with load_transcriber(registry) as transcriber:
        recorder = Recorder(transcriber)
        listen(load_sound(recording, channels=2), load_voice_activity(registry), recorder)
    return recorder.texts


@functools.cache
def spoken(recording: Path) -> frozenset[str]:
    """Return the words of the citizen, each two and each three in a row: as said, and as they are heard.

    Single words have five letters or more: shorter ones are in every program.
    """
    reference = json.loads(recording.with_suffix(".ref.json").read_text("utf-8"))
    texts = [plain_words(turn["text"]) for turn in reference["turns"] if turn["speaker"] == "citizen"]
    found: set[str] = set()
    for words in map(str.split, texts + HEARD[recording]):
        found |= {word for word in words if len(word) >= _LEAST_LETTERS}
        found |= {" ".join(pair) for pair in pairwise(words)}
        found |= {" ".join(three) for three in zip(words, words[1:], words[2:], strict=False)}
    return frozenset(found)


class Session:
    """A spoken session at an edge of its own, step by step."""

    def __init__(self, program: subprocess.Popen[str], log: Path) -> None:
        self._program = program
        self._log = log
        self.process_id = program.pid

    def step(self, expected: str) -> str:
        assert self._program.stdout is not None
        name, _, rest = self._program.stdout.readline().strip().partition(" ")
        assert name == expected, self._log.read_text("utf-8")
        return rest

    def go_on(self) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write("\n")
        self._program.stdin.flush()

    def found(self, needles: Needles) -> dict[str, int]:
        """Return how often each text is in the edge process and in every child that it has."""
        return {
            text: count
            for process_id in (self.process_id, *children(self.process_id))
            for text, count in searched(process_id, needles).items()
        }


@contextlib.contextmanager
def session(folder: Path, recording: Path, *options: str) -> Iterator[Session]:
    """Begin a session whose program writes nowhere but below a folder, where it is not told otherwise."""
    for name in _PLACES.values():
        (folder / name).mkdir()
    log = folder / "log"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [sys.executable, "-P", ROOT / "tests" / "spoken_session.py", recording, *options],
            cwd=ROOT,
            env={
                **os.environ,
                **{key: str(folder / name) for key, name in _PLACES.items()},
                "OMP_NUM_THREADS": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        ) as program,
    ):
        try:
            yield Session(program, log)
        finally:
            program.kill()
