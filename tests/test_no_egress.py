"""No byte leaves the machine: the whole reading of a recording in a space without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from setup.layout import ROOT
from tests.egress import InterpreterWatch, kernel_attempts, plain_environment, tracing

_CLIP = ROOT / "samples" / "mini" / "mini_happy.mp4"
_COMMAND = [
    sys.executable,
    "-m",
    "hailong",
    "edge",
    "replay",
    str(_CLIP),
    "--consent",
    "image,voice",
    "--json",
]


def _replay(before: list[str], **variables: str) -> dict[str, Any]:
    done = subprocess.run(
        [*before, *_COMMAND],
        cwd=ROOT,
        env={**plain_environment(), "OMP_NUM_THREADS": "1", **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    (session,) = json.loads(done.stdout)["sessions"]
    found: dict[str, Any] = session
    return found


def _figures(session: dict[str, Any]) -> dict[str, Any]:
    signal = session["signal"]
    return {key: signal[key] for key in ("overall", "factors", "quality", "models")}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """One reading with a network at hand, and every use of a socket by any of its processes."""
    watch = InterpreterWatch.at(tmp_path_factory.mktemp("egress"))
    session = _replay([], **watch.variables)
    return session, watch.attempts()


def test_the_guard_sees_an_attempt(tmp_path: Path) -> None:
    watch = InterpreterWatch.at(tmp_path)
    subprocess.run(
        [sys.executable, "-c", "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"],
        env={**os.environ, **watch.variables},
        check=True,
    )
    assert "socket.connect" in watch.attempts()


def test_reading_a_recording_uses_no_socket(watched: tuple[dict[str, Any], str]) -> None:
    session, attempts = watched
    assert session["signal"]["overall"]["score"] is not None
    assert attempts == ""


def test_the_kernel_sees_no_attempt_either(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    _replay(tracing(log))
    assert kernel_attempts(log) == []


def test_without_a_network_the_result_is_the_same(watched: tuple[dict[str, Any], str]) -> None:
    unshare = shutil.which("unshare")
    alone = [unshare or "", "--net"] if os.geteuid() == 0 else [unshare or "", "--user", "--net"]
    if unshare is None or subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no space without a network can be made here")
    assert _figures(_replay(alone)) == _figures(watched[0])
