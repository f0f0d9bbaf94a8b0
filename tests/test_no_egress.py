"""No byte leaves the machine: the whole reading of a recording in a space without a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from setup.layout import ROOT

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
_ELSEWHERE = re.compile(r"\b(?:connect|sendto|sendmsg)\(.*sa_family=AF_INET6?\b")
_LOOPBACK = re.compile(r'inet_addr\("127\.|inet_pton\(AF_INET6, "::1"')

# Read by every Python process that is started with this folder on its path, children too.
_GUARD = r"""
import os, sys

def _watch(event, arguments):
    named = {"socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}
    if event in named and not (event == "socket.connect" and isinstance(arguments[1], (str, bytes))):
        with open(os.environ["HAILONG_TEST_EGRESS"], "a") as file:  # a path is a Unix socket
            file.write(f"{event} {arguments}\n")

sys.addaudithook(_watch)
"""


def _replay(before: list[str], **variables: str) -> dict[str, Any]:
    # Libraries that report their use are silent where they see a CI or were told to be: an edge is neither.
    plain = {name: value for name, value in os.environ.items() if name not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    done = subprocess.run(
        [*before, *_COMMAND],
        cwd=ROOT,
        env={**plain, "OMP_NUM_THREADS": "1", **variables},
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
    folder = tmp_path_factory.mktemp("egress")
    (folder / "sitecustomize.py").write_text(_GUARD, encoding="utf-8")
    record = folder / "attempts"
    record.touch()
    session = _replay([], PYTHONPATH=str(folder), HAILONG_TEST_EGRESS=str(record))
    return session, record.read_text(encoding="utf-8")


def test_the_guard_sees_an_attempt(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_GUARD, encoding="utf-8")
    record = tmp_path / "attempts"
    subprocess.run(
        [sys.executable, "-c", "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "HAILONG_TEST_EGRESS": str(record)},
        check=True,
    )
    assert "socket.connect" in record.read_text(encoding="utf-8")


def test_reading_a_recording_uses_no_socket(watched: tuple[dict[str, Any], str]) -> None:
    session, attempts = watched
    assert session["signal"]["overall"]["score"] is not None
    assert attempts == ""


def test_the_kernel_sees_no_attempt_either(tmp_path: Path) -> None:
    """Compiled libraries pass the interpreter by; the kernel they cannot pass by."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace here")
    log = tmp_path / "calls"
    tracing = [strace, "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(log)]
    # Connecting a datagram socket sends nothing, and shows that an attempt is seen.
    probe = "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    if subprocess.run([*tracing, sys.executable, "-c", probe], check=False, capture_output=True).returncode:
        pytest.skip("strace may not trace here, or there is no network to attempt")
    assert len(_attempts(log)) == 1
    _replay(tracing)
    assert _attempts(log) == []


def _attempts(log: Path) -> list[str]:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if _ELSEWHERE.search(line) and not _LOOPBACK.search(line)]


def test_without_a_network_the_result_is_the_same(watched: tuple[dict[str, Any], str]) -> None:
    unshare = shutil.which("unshare")
    alone = [unshare or "", "--net"] if os.geteuid() == 0 else [unshare or "", "--user", "--net"]
    if unshare is None or subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no space without a network can be made here")
    assert _figures(_replay(alone)) == _figures(watched[0])
