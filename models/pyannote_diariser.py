"""Voices told apart by `pyannote.audio`, with weights that an administrator placed.

The library is an optional extra and is imported only when it is chosen. It reports its use to its
makers unless a variable says otherwise before it is imported, fetches weights from a hub when a path
does not exist, and its torchaudio fails to load a native library on machines without a graphics card.
All three are settled here before the import. Its checkpoints are pickles, which run code when they are
read: it is given verified files alone, in a folder that holds nothing else.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.diarisers import MOST_VOICES, RATE_HZ, VoiceTurn
from models.errors import LibraryMissing, ModelFileMissing, OutputError
from models.voice_clusters import checked_mono

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.registry import ModelFile

NAME: Final = "pyannote"
TELEMETRY_VARIABLE: Final = "PYANNOTE_METRICS_ENABLED"
_OFFLINE: Final = {
    TELEMETRY_VARIABLE: "0",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OTEL_SDK_DISABLED": "true",
}
_NEEDED: Final = ("torch", "pyannote.audio")
_EXTENSION: Final = "torchaudio._extension"


class PyannoteDiariser:
    """A pipeline of the library behind the protocol of `diarisers`."""

    def __init__(self, pipeline: Any, *, name: str, version: str, most_voices: int = MOST_VOICES) -> None:  # noqa: ANN401 - the library ships no type information
        """Take a loaded pipeline; `load` makes one."""
        self.name, self.version = name, version
        self._pipeline = pipeline
        self._most_voices = most_voices

    @classmethod
    def load(cls, file: ModelFile, *, threads: int = 1, most_voices: int = MOST_VOICES) -> PyannoteDiariser:
        """Import the library with its telemetry off and load the pipeline of a verified file.

        Args:
            file: The pipeline's `config.yaml` under any name; the weights it asks for are files of its
                card (`[[beside]]`), `known_as` the path in the published folder, such as
                `segmentation/pytorch_model.bin`.
            threads: Threads of torch.
            most_voices: Voices of one recording, at most.

        Raises:
            LibraryMissing: The library is not installed.
            ModelFileMissing: The pipeline's file is not there, or names weights that are not.
            OutputError: The library could not make a pipeline of it.
        """
        if not file.path.is_file():
            raise ModelFileMissing(
                f"There is no pipeline at {file.path}. Import it with 'hailong models import BUNDLE'."
            )
        audio = imported()
        torch = importlib.import_module("torch")
        torch.set_num_threads(threads)
        try:
            with _laid_out(file) as folder, _quiet():
                # A folder, never a name: a name would be looked up on a hub, or in what one left here.
                pipeline = audio.Pipeline.from_pretrained(str(folder), cache_dir=str(folder / "no-hub"))
        except Exception as error:  # the library's errors share no base but Exception
            raise OutputError(
                f"pyannote.audio cannot load {file.path}: {error}. Check that the card names every file that "
                "it asks for, by its path in the published folder; nothing is fetched from a hub."
            ) from error
        if pipeline is None:
            raise OutputError(f"pyannote.audio made no pipeline of {file.path}. Check the file.")
        name, version, _ = file.version_of()
        return cls(pipeline, name=name, version=version, most_voices=most_voices)

    def turns(self, sound: NDArray[np.int16]) -> tuple[VoiceTurn, ...]:
        """Return who speaks when, in order of the starts.

        Args:
            sound: int16, mono, 16 kHz, shape (n,).

        Raises:
            InputError: The sound has another type or shape.
            OutputError: The library gave something that is no turn.
        """
        checked_mono(sound)
        if not sound.size:
            return ()
        torch = importlib.import_module("torch")
        # A waveform, never a path: its own decoder of files cannot be used here.
        waveform = torch.from_numpy((sound.astype(np.float32) / 32768.0)[None])
        with _quiet():
            found = self._pipeline(
                {"waveform": waveform, "sample_rate": RATE_HZ}, min_speakers=1, max_speakers=self._most_voices
            )
        # Version 4 gives an object that holds the annotation, version 3 the annotation itself.
        annotation = getattr(found, "speaker_diarization", found)
        voices: dict[object, int] = {}
        turns = []
        for segment, _, label in annotation.itertracks(yield_label=True):
            start_s, end_s = float(segment.start), float(segment.end)
            if not (math.isfinite(start_s) and math.isfinite(end_s) and 0.0 <= start_s < end_s):
                raise OutputError(
                    f"pyannote.audio gave a turn from {start_s} to {end_s} s. Check its version "
                    "against the one that pyproject.toml names."
                )
            turns.append(VoiceTurn(start_s, end_s, voices.setdefault(label, len(voices))))
        if len(voices) > self._most_voices:
            raise OutputError(
                f"pyannote.audio gave {len(voices)} voices; at most {self._most_voices} were asked for."
            )
        return tuple(sorted(turns, key=lambda turn: (turn.start_s, turn.end_s)))


def imported() -> ModuleType:
    """Import `pyannote.audio` with its telemetry and every hub switched off first.

    Raises:
        LibraryMissing: It, or torch, is not installed or cannot be imported.
    """
    absent = [name for name in _NEEDED if not _installed(name)]
    if absent:
        raise LibraryMissing(
            f"Voices cannot be told apart by pyannote.audio: {' and '.join(absent)} not installed. "
            "Install them with 'pip install hailong[pyannote]', or keep two microphones."
        )
    os.environ.update(_OFFLINE)
    if _EXTENSION not in sys.modules:
        sys.modules[_EXTENSION] = _without_native_library()
    try:
        with _quiet():
            return importlib.import_module("pyannote.audio")
    except ImportError as error:
        raise LibraryMissing(
            f"pyannote.audio is installed but cannot be imported: {error}. Install what it misses with "
            "'pip install hailong[pyannote]'."
        ) from error


@contextmanager
def _laid_out(file: ModelFile) -> Iterator[Path]:
    """Show the library the verified files in the folders that it looks in, until they are read."""
    with tempfile.TemporaryDirectory(prefix="hailong-pyannote-") as name:
        folder = Path(name)
        for known_as, path in (("config.yaml", file.path), *file.beside):
            place = folder / known_as
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.resolve())
        yield folder


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the library's warnings: about its decoder of files, which gets none, and about itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _without_native_library() -> ModuleType:
    """Stand for torchaudio's loader of its native library, which nothing here needs."""
    stub = ModuleType(_EXTENSION)
    stub.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _load_lib=lambda _name: False,
        fail_if_no_align=lambda function: function,
    )
    return stub


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
