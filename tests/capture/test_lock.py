"""A data folder belongs to one process; a dead one lets go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from capture.lock import DataFolderInUse, DataFolderLock

_HOLD = """
import sys
from pathlib import Path
from capture.lock import DataFolderLock
with DataFolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_once_and_let_go(tmp_path: Path) -> None:
    with DataFolderLock(tmp_path), pytest.raises(DataFolderInUse, match=tmp_path.name):
        DataFolderLock(tmp_path).__enter__()
    with DataFolderLock(tmp_path):
        pass
    assert (tmp_path / "edge.lock").stat().st_mode & 0o777 == 0o600


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"held\n"
            with pytest.raises(DataFolderInUse):
                DataFolderLock(tmp_path).__enter__()
        finally:
            other.kill()
    with DataFolderLock(tmp_path):
        pass
