"""A checkpoint of random numbers for the `whisper` library, and an administrator's card for it.

    python small_whisper.py FOLDER

makes it in a process of its own, so that no test's process loads torch.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

_CARD = """
task = "transcription"
name = "random-whisper"
version = "1"
engine = "openai-whisper"
summary = "a checkpoint of random numbers"
licence = "MIT"
inputs = "speech"
outputs = "words"
limits = ["a test"]
[file]
name = "random-whisper.pt"
sha256 = "{sha256}"
origin = "bundle"
[training]
data = "none"
rights = "ours"
"""


def put_checkpoint(folder: Path) -> Path:
    """Lay out what an administrator would import; returns the folder."""
    folder.mkdir(parents=True)
    torch: Any = importlib.import_module("torch")
    library: Any = importlib.import_module("whisper.model")
    torch.manual_seed(1)
    size = library.ModelDimensions(80, 1500, 64, 2, 1, 51_865, 448, 64, 2, 1)
    path = folder / "random-whisper.pt"
    torch.save({"dims": vars(size), "model_state_dict": library.Whisper(size).state_dict()}, path)
    text = _CARD.format(sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    (folder / "random-whisper.card.toml").write_text(text, encoding="utf-8")
    return folder


if __name__ == "__main__":
    put_checkpoint(Path(sys.argv[1]))
