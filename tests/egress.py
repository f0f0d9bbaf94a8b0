"""Watches what a program and its children do with sockets: in the interpreter, and in the kernel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_ELSEWHERE = re.compile(r"\b(?:connect|sendto|sendmsg)\(.*sa_family=AF_INET6?\b")
_LOOPBACK = re.compile(r'inet_addr\("127\.|inet_pton\(AF_INET6, "::1"')
_SPEAKS_UP = {
    "CI",
    "DO_NOT_TRACK",
    "HF_HUB_DISABLE_TELEMETRY",
    "HF_HUB_OFFLINE",
    "ORT_DISABLE_TELEMETRY",
    "OTEL_SDK_DISABLED",
    "PYANNOTE_METRICS_ENABLED",
}
"""Libraries that report their use are silent where they see one of these: an edge has none of them."""

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


def plain_environment() -> dict[str, str]:
    """Return this process's variables without those that keep libraries silent."""
    return {name: value for name, value in os.environ.items() if name not in _SPEAKS_UP}


@dataclass(frozen=True, slots=True)
class InterpreterWatch:
    """An audit hook in every Python process that is started with `variables`."""

    folder: Path
    record: Path

    @classmethod
    def at(cls, folder: Path) -> InterpreterWatch:
        """Write the hook and an empty record into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sitecustomize.py").write_text(_GUARD, encoding="utf-8")
        record = folder / "attempts"
        record.touch()
        return cls(folder, record)

    @property
    def variables(self) -> dict[str, str]:
        """What the watched program's environment must hold."""
        return {"PYTHONPATH": str(self.folder), "HAILONG_TEST_EGRESS": str(self.record)}

    def attempts(self) -> str:
        """Return what was attempted, a line each."""
        return self.record.read_text(encoding="utf-8")


def tracing(log: Path) -> list[str]:
    """Return the start of a command line whose program the kernel watches, proven on an attempt.

    Compiled libraries pass the interpreter by; the kernel they cannot pass by. Skips where nothing
    can be traced.
    """
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace here")
    traced = [strace, "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(log)]
    # Connecting a datagram socket sends nothing, and shows that an attempt is seen.
    probe = "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    if subprocess.run([*traced, sys.executable, "-c", probe], check=False, capture_output=True).returncode:
        pytest.skip("strace may not trace here, or there is no network to attempt")
    assert len(kernel_attempts(log)) == 1
    return traced


def kernel_attempts(log: Path) -> list[str]:
    """Return the calls that named another machine, the look-up of a name included."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if _ELSEWHERE.search(line) and not _LOOPBACK.search(line)]
