"""No word of what was said is on disk: while a session reads it, after it, and after the program's end."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from setup.layout import ROOT

_ENCODINGS = ("utf-8", "utf-16-le", "utf-32-le")


def hits(folder: Path, text: str) -> list[str]:
    """Return which pairs of words of a text are in which file below a folder, names included."""
    needles = {
        pair: [pair.encode(code) for code in _ENCODINGS] for pair in map(" ".join, pairwise(text.split()))
    }
    found = []
    for path in folder.rglob("*"):
        data = str(path).encode() + (path.read_bytes() if path.is_file() else b"")
        found += [f"{path}: {pair}" for pair, codes in needles.items() if any(code in data for code in codes)]
    return found


def test_no_word_of_a_spoken_session_is_on_disk(shared: Path, tmp_path: Path) -> None:
    clip = min((shared / "data" / "speech" / "clips").glob("*.mp3"))
    # Whatever the program writes without being told where: home, data, caches, temporary files, log.
    places = {"HOME": "home", "TMPDIR": "tmp", "XDG_DATA_HOME": "data", "XDG_STATE_HOME": "state"}
    for name in places.values():
        (tmp_path / name).mkdir()
    log = tmp_path / "log"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [sys.executable, "-m", "tests.spoken_session", str(clip)],
            cwd=ROOT,
            env={**os.environ, **{key: str(tmp_path / name) for key, name in places.items()}},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        ) as program,
    ):
        assert program.stdin is not None
        assert program.stdout is not None

        def next_step() -> list[str]:
            assert program.stdout is not None
            return program.stdout.readline().split()

        def go_on() -> None:
            assert program.stdin is not None
            program.stdin.write("\n")
            program.stdin.flush()

        assert next_step() == ["ready"], log.read_text("utf-8")
        go_on()
        step, coded = next_step()
        text = base64.b64decode(coded).decode()
        assert step == "heard"
        assert len(text.split()) >= 3, "the clip has words to look for"
        assert hits(tmp_path, text) == [], "while they are read"
        go_on()
        assert next_step() == ["purged", "1"]
        assert hits(tmp_path, text) == [], "after the session"
        go_on()
    assert program.returncode == 0
    assert hits(tmp_path, text) == [], "after the end"
    for code in _ENCODINGS:  # the control: the search finds words where there are any
        (tmp_path / "tmp" / "control").write_bytes(text.encode(code))
        assert hits(tmp_path, text)


def test_the_search_reads_names_too(tmp_path: Path) -> None:
    (tmp_path / "tôi không hài lòng").touch()
    assert len(hits(tmp_path, "không hài lòng")) == 2
    assert hits(tmp_path, "rất tốt") == []
