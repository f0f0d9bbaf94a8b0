"""Recordings with known words: the manifest that names them, and their sound at 16 kHz.

A manifest is a JSON Lines file; each line is an object with `audio` (a file, relative
to the manifest) and `text` (what is said in it). Other keys are ignored. How texts are
made comparable is written in `word_errors`, what is measured in `evaluation_transcription`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import av
import numpy as np

from inference.errors import InferenceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

RATE_HZ: Final = 16_000


class ManifestError(InferenceError, ValueError):
    """A manifest, or a recording that it names, cannot be used; the message names the line."""


class SoundUnreadableError(InferenceError, ValueError):
    """A file holds no sound that can be decoded."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One line of a manifest."""

    line: int
    audio: Path
    text: str


def read_manifest(manifest: Path) -> tuple[Recording, ...]:
    """Read a manifest.

    Raises:
        ManifestError: The file is missing or empty, or a line is broken or names a missing file.
    """
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"The manifest {manifest} cannot be read ({error}). Name a UTF-8 JSON Lines file."
        ) from error
    recordings = tuple(
        _recording(manifest, number, line) for number, line in enumerate(lines, 1) if line.strip()
    )
    if not recordings:
        raise ManifestError(f'The manifest {manifest} is empty. Write one {{"audio": …, "text": …}} a line.')
    return recordings


def _recording(manifest: Path, number: int, line: str) -> Recording:
    where = f"{manifest}, line {number}"
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{where}: not JSON ({error}). Write one object a line.") from error
    if not isinstance(entry, dict):
        raise ManifestError(f"{where}: {line.strip()[:40]} is not an object. Write one object a line.")
    for key in ("audio", "text"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise ManifestError(
                f"{where}: '{key}' is missing or not a text. Each line has 'audio' and 'text'."
            )
    audio = manifest.parent / entry["audio"]
    if not audio.is_file():
        raise ManifestError(f"{where}: there is no file {audio}. 'audio' is relative to the manifest.")
    return Recording(number, audio, entry["text"])


def load_sound(path: Path, *, channels: int = 1) -> NDArray[np.int16]:
    """Decode a recording of any kind to 16 kHz.

    Args:
        path: A file with a sound track.
        channels: 1 to mix down to one channel, 2 to keep two.

    Returns:
        int16, shape (channels, n).

    Raises:
        SoundUnreadableError: There is no sound track, or it cannot be decoded.
    """
    try:
        parts = list(_decoded(path, "mono" if channels == 1 else "stereo"))
    except (av.FFmpegError, OSError) as error:
        raise SoundUnreadableError(
            f"{path} cannot be decoded ({error}). Check that it is a sound file, or convert it to 16 kHz WAV."
        ) from error
    if not parts:
        raise SoundUnreadableError(f"{path} holds no sound. Name a file with a sound track.")
    return np.concatenate(parts, axis=1)


def _decoded(path: Path, layout: str) -> Iterator[NDArray[np.int16]]:
    resampler = av.AudioResampler(format="s16p", layout=layout, rate=RATE_HZ)
    with av.open(str(path)) as container:
        for track in container.streams.audio[:1]:
            for frame in container.decode(track):
                for part in resampler.resample(frame):
                    yield part.to_ndarray().astype(np.int16, copy=False)
            for part in resampler.resample(None):
                yield part.to_ndarray().astype(np.int16, copy=False)
