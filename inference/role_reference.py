"""Recordings with known speakers: manifests, RTTM and the samples' reference files.

A manifest is a JSON Lines file. Each line has `audio` (relative to the manifest) and either `turns`
(objects with `start` and `end` in seconds and `speaker`) or `reference`, a file beside it: an RTTM
file, or a JSON object with `turns`. Speakers are called `citizen` and `officer`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from inference.evaluation_speech import ManifestError
from inference.roles import WINDOW_S, Role

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SPEAKERS: Final = {"citizen": Role.CITIZEN, "officer": Role.OFFICER}
_RTTM_FIELDS: Final = 8


@dataclass(frozen=True, slots=True)
class SpeakerTurn:
    """One turn of a reference, in seconds."""

    start_s: float
    end_s: float
    role: Role


@dataclass(frozen=True, slots=True)
class ReferenceRecording:
    """One line of a manifest."""

    line: int
    audio: Path
    turns: tuple[SpeakerTurn, ...]


def manifest_entries(manifest: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return the objects of a manifest with their line numbers; each has an `audio` that exists.

    Raises:
        ManifestError: The file is missing or empty, or a line is broken or names a missing file.
    """
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{manifest} cannot be read ({error}). Name a UTF-8 JSON Lines file.") from error
    entries: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{manifest}, line {number}"
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise ManifestError(f"{where}: not JSON ({error}). Write one object a line.") from error
        if not isinstance(entry, dict) or not isinstance(entry.get("audio"), str):
            raise ManifestError(f"{where}: 'audio' is missing. Each line is an object with 'audio'.")
        if not (manifest.parent / entry["audio"]).is_file():
            raise ManifestError(f"{where}: there is no file {entry['audio']} beside the manifest.")
        entries.append((number, entry))
    if not entries:
        raise ManifestError(f"The manifest {manifest} is empty. Write one object a line.")
    return entries


def read_references(manifest: Path) -> tuple[ReferenceRecording, ...]:
    """Read a manifest of recordings with known speakers.

    Raises:
        ManifestError: The manifest or a reference cannot be used; the message names the line.
    """
    return tuple(
        ReferenceRecording(
            number, manifest.parent / entry["audio"], _turns(entry, manifest, f"{manifest}, line {number}")
        )
        for number, entry in manifest_entries(manifest)
    )


def spans(entry: object, where: str) -> tuple[float, float]:
    """Read start and end in seconds.

    Raises:
        ManifestError: They are not two numbers in order.
    """
    if (
        not isinstance(entry, list | tuple)
        or len(entry) != 2  # noqa: PLR2004 - start and end
        or not all(isinstance(value, int | float) and math.isfinite(value) for value in entry)
        or not 0 <= entry[0] < entry[1]
    ):
        raise ManifestError(f"{where}: {entry!r} is no start and end in seconds, the start first.")
    return float(entry[0]), float(entry[1])


def windows_spoken(spoken: list[tuple[float, float]], count: int) -> NDArray[np.bool_]:
    """Return which of `count` windows have their middle inside one of the stretches of seconds."""
    middles = (np.arange(count) + 0.5) * WINDOW_S
    marked = np.zeros(count, np.bool_)
    for start_s, end_s in spoken:
        marked |= (middles >= start_s) & (middles < end_s)
    return marked


def _turns(entry: dict[str, Any], manifest: Path, where: str) -> tuple[SpeakerTurn, ...]:
    listed = entry.get("turns")
    if listed is None and isinstance(entry.get("reference"), str):
        listed = _from_file(manifest.parent / entry["reference"], where)
    if not isinstance(listed, list):
        raise ManifestError(f"{where}: give 'turns', or 'reference' with an RTTM or JSON file.")
    turns = []
    for turn in listed:
        role = _SPEAKERS.get(str(turn.get("speaker"))) if isinstance(turn, dict) else None
        if role is None:
            raise ManifestError(f"{where}: {turn!r} has no 'speaker' that is 'citizen' or 'officer'.")
        turns.append(SpeakerTurn(*spans([turn.get("start"), turn.get("end")], where), role))
    return tuple(turns)


def _from_file(path: Path, where: str) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix != ".rttm":
            listed: list[dict[str, Any]] = json.loads(text)["turns"]
            return listed
        rows = [line.split() for line in text.splitlines() if line.startswith("SPEAKER")]
        if any(len(row) < _RTTM_FIELDS for row in rows):
            raise ManifestError(f"{where}: a line of {path.name} has fewer than 8 fields. RTTM has 9 or 10.")
        return [
            {"start": float(row[3]), "end": float(row[3]) + float(row[4]), "speaker": row[7].lower()}
            for row in rows
        ]
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ManifestError):
            raise
        raise ManifestError(
            f"{where}: {path} cannot be read ({error!r}). Give RTTM, or JSON with 'turns'."
        ) from error
