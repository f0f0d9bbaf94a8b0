"""What the kernel sees of a real edge: nothing is opened to be captured before its consent is given."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from consent.event import EventKind
from consent.verification import read_log
from setup.layout import ROOT
from tests.programs import MINI, PATIENCE_S, Edge

if TYPE_CHECKING:
    from pathlib import Path

_CALL = re.compile(r"^\d+\s+(?P<at>\d+\.\d+) (?P<call>openat|connect)\((?P<what>.*)$")
_DEVICES = re.compile(r'"/dev/(?:video|snd/|media)')
_ELSEWHERE = re.compile(r"sin_port=htons\((?:554|8554|322)\)")
GIVEN = 'decision = "given"\npurposes = ["image", "voice"]\n'
REFUSED = 'decision = "refused"\n'


class Opened(NamedTuple):
    """One call that the kernel saw."""

    at: float
    what: str


def _calls(log: Path) -> list[Opened]:
    found = (_CALL.match(line) for line in log.read_text("utf-8", errors="replace").splitlines())
    return [Opened(float(match["at"]), match["what"]) for match in found if match]


@pytest.fixture
def strace() -> str:
    """The tracer of the kernel's calls; skipped where there is none or it may not trace."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("no strace here: install the package 'strace' to run this test")
    if subprocess.run(
        [program, "-qq", "-e", "trace=openat", "true"], check=False, capture_output=True
    ).returncode:
        pytest.skip("strace may not trace here")
    return program


@pytest.mark.long
def test_nothing_is_opened_before_the_consent_is_given(tmp_path: Path, strace: str) -> None:
    yes, no = tmp_path / "yes.mp4", tmp_path / "no.mp4"
    for copy in (yes, no):  # of their own, so that a name in the trace is this session's
        shutil.copyfile(MINI / "mini_happy.mp4", copy)
    edge = Edge(tmp_path, None, {"quay-1": [("no", no, REFUSED), ("yes", yes, GIVEN)]})
    trace = tmp_path / "calls"
    run = subprocess.run(
        [
            *(strace, "-f", "-qq", "--seccomp-bpf", "-ttt", "-e", "trace=openat,connect", "-o", str(trace)),
            *(sys.executable, "-m", "hailong", "edge", "run", "-c", str(edge.config)),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    events = [item.event for item in read_log(edge.data / "consent.sqlite")]
    (given,) = [event for event in events if event.kind is EventKind.GIVEN]
    assert [event.kind for event in events].count(EventKind.REFUSED) == 1
    calls = _calls(trace)
    assert len(calls) > 100, "the trace shows nothing"
    opened = [call for call in calls if str(yes) in call.what]
    assert opened, "the tracer did not see the recording that was read"
    assert min(call.at for call in opened) > given.at.timestamp(), "opened before the consent was given"
    assert [call for call in calls if str(no) in call.what] == [], "a refused recording was opened"
    assert [call for call in calls if _DEVICES.search(call.what) or _ELSEWHERE.search(call.what)] == []
