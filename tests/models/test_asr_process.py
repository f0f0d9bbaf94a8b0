"""The process of an engine lives exactly as long as somebody waits for its answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.transcriber_process import TranscriberProcess

CHILD = """
import sys, time
from pathlib import Path
from models.asr_process import leave, main, read_exactly, say

def hang(at):
    if sys.argv[1] == at:
        Path(sys.argv[2]).touch()
        time.sleep(600)

def serve(answers, engine, options):
    hang("as it starts")
    say(answers, ready=engine)
    hang("as it waits for nothing")
    while read_exactly(4) is not None:
        hang("as it reads")
        say(answers, text="")

leave(main(["stand-in", "{}"], serve))
"""
PARENT = """
import sys
from models.transcriber_process import TranscriberProcess

child = TranscriberProcess("stand-in", (sys.executable, "-c", *sys.argv[1:]))
child.ask(bytes(4), 1.0, "text")
"""


def alive(process_id: int) -> bool:
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text("ascii")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def wait_until_gone(process_id: int) -> bool:
    limit = time.monotonic() + 20
    while alive(process_id) and time.monotonic() < limit:
        time.sleep(0.02)
    return not alive(process_id)


@pytest.mark.parametrize("at", ["as it starts", "as it waits for nothing", "as it reads"])
def test_a_process_that_hangs_ends_with_a_parent_that_was_killed(tmp_path: Path, at: str) -> None:
    hung = tmp_path / "hung"
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD, at, str(hung)]) as parent:
        limit = time.monotonic() + 60
        while not hung.exists():
            assert time.monotonic() < limit, "the process does not start"
            time.sleep(0.02)
        (child,) = map(int, Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text("ascii").split())
        parent.kill()
    try:
        assert wait_until_gone(child)
    finally:
        if alive(child):
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_is_left_to_the_parent(number: signal.Signals) -> None:
    process = TranscriberProcess("stand-in", (sys.executable, "-c", CHILD, "", ""))
    try:
        process.warm_up()
        child = process.process_id
        assert child is not None
        os.kill(child, number)
        for _ in range(3):
            assert process.ask(bytes(4), 1.0, "text") == {"text": ""}
        assert (process.process_id, process.starts) == (child, 1), "last words are read where they began"
    finally:
        process.close()
    assert not alive(child)
