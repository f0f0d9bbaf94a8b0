"""Measures voice tone on labelled recordings: the work behind `hailong eval tone`.

A manifest is JSON Lines: `{"audio": "...", "speaker": "...", "arousal": "low|high"}`, or
`"start": true` in place of the label for the recordings that are the speaker's own calm start.
Each speaker is read as one session is: the starts in their order, then the rest against them.
Valence is not measured, because the product has none.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Final, Literal, cast

from inference.evaluation_speech import ManifestError, SoundUnreadableError, load_sound
from inference.prosody import RATE_HZ, ArousalMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

CUT: Final = 0.6
"""Arousal from which a recording is called high: above what one voice varies without a cause."""
_LABELS: Final = ("low", "high")

Label = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class ToneRecording:
    """One line of a manifest; `label` is None for a recording of the speaker's start."""

    line: int
    audio: Path
    speaker: str
    label: Label | None


@dataclass(frozen=True, slots=True)
class _Judged:
    """A labelled recording and what was read of it; None where there was no figure."""

    speaker: str
    label: Label
    arousal: float | None


def read_manifest(manifest: Path) -> tuple[ToneRecording, ...]:
    """Read a manifest.

    Raises:
        ManifestError: The file cannot be read, a line is broken, or no recording has a label.
    """
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"The manifest {manifest} cannot be read ({error}). Name a UTF-8 JSON Lines file."
        ) from error
    found = tuple(_recording(manifest, number, line) for number, line in enumerate(lines, 1) if line.strip())
    if not any(item.label for item in found):
        raise ManifestError(
            f"The manifest {manifest} has no recording with a label. Write 'arousal': 'low' or 'high'."
        )
    return found


def _recording(manifest: Path, number: int, line: str) -> ToneRecording:
    where = f"{manifest}, line {number}"
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{where}: not JSON ({error}). Write one object a line.") from error
    if not isinstance(entry, dict):
        raise ManifestError(f"{where}: {line.strip()[:40]} is not an object. Write one object a line.")
    for key in ("audio", "speaker"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise ManifestError(
                f"{where}: '{key}' is missing or not a text. Each line has 'audio' and 'speaker'."
            )
    start, label = entry.get("start", False), entry.get("arousal")
    if not isinstance(start, bool) or (not start and label not in _LABELS):
        raise ManifestError(
            f"{where}: 'arousal' is {label!r}; use 'low' or 'high', or 'start': true for the speaker's start."
        )
    audio = manifest.parent / entry["audio"]
    if not audio.is_file():
        raise ManifestError(f"{where}: there is no file {audio}. 'audio' is relative to the manifest.")
    return ToneRecording(number, audio, entry["speaker"], None if start else cast("Label", label))


def run(manifest: Path, *, progress: Callable[[int, int], None]) -> dict[str, object]:
    """Read every recording against its speaker's start and compare with the labels.

    Args:
        manifest: JSON Lines file.
        progress: Called with the recordings done and all of them.

    Returns:
        `uar` (mean of the recall of low and high among recordings with a figure; None where a class has
        none), `auc` (chance that a high recording has the higher figure, over pairs of one speaker),
        `recall` and `mean` by class, `figures` (share of labelled recordings that had one), `n`, `starts`,
        `speakers` (by speaker: `uar`, `n`), `without_start` (speakers whose start was not enough),
        `cut`, `ms_per_s` (milliseconds of reading per second of sound, decoding left out).

    Raises:
        ManifestError: The manifest or a recording in it cannot be used.
    """
    recordings = read_manifest(manifest)
    meters: dict[str, ArousalMeter] = {}
    judged: list[_Judged] = []
    audio_s = spent_s = 0.0
    # Starts first; otherwise in the order of the file, which is that of the session.
    ordered = sorted(recordings, key=lambda item: item.label is not None)
    for done, item in enumerate(ordered, 1):
        try:
            samples = load_sound(item.audio)[0]
        except SoundUnreadableError as error:
            raise ManifestError(f"{manifest}, line {item.line}: {error}") from error
        meter = meters.setdefault(item.speaker, ArousalMeter())
        began = time.perf_counter()
        # Without a full start a labelled recording must not become part of it.
        ready = item.label is None or meter.has_start
        arousal = meter.arousal(samples) if ready else None
        spent_s += time.perf_counter() - began
        audio_s += samples.shape[0] / RATE_HZ
        if item.label is not None:
            judged.append(_Judged(item.speaker, item.label, arousal))
        progress(done, len(ordered))
    return _figures(judged, meters) | {
        "starts": len(recordings) - len(judged),
        "ms_per_s": round(1000.0 * spent_s / audio_s, 2) if audio_s else 0.0,
    }


def _figures(judged: Sequence[_Judged], meters: dict[str, ArousalMeter]) -> dict[str, object]:
    speakers = sorted({item.speaker for item in judged})
    by_speaker = {speaker: [item for item in judged if item.speaker == speaker] for speaker in speakers}
    uars = {speaker: _uar(items) for speaker, items in by_speaker.items()}
    known = [uar for uar in uars.values() if uar is not None]
    return {
        "uar": _rounded(_uar(judged)),
        "auc": _rounded(_auc(by_speaker.values())),
        "uar_median_speaker": _rounded(median(known) if known else None),
        "uar_worst_speaker": _rounded(min(known, default=None)),
        "recall": {label: _rounded(_recall(judged, label)) for label in _LABELS},
        "mean": {label: _rounded(_mean(judged, label)) for label in _LABELS},
        "figures": round(sum(item.arousal is not None for item in judged) / len(judged), 4),
        "n": len(judged),
        "speakers": {
            speaker: {"uar": _rounded(uars[speaker]), "n": len(items)}
            for speaker, items in by_speaker.items()
        },
        "without_start": [speaker for speaker in speakers if not meters[speaker].has_start],
        "cut": CUT,
    }


def _recall(judged: Sequence[_Judged], label: str) -> float | None:
    figures = [item.arousal for item in judged if item.label == label and item.arousal is not None]
    if not figures:
        return None
    return sum((figure >= CUT) == (label == "high") for figure in figures) / len(figures)


def _mean(judged: Sequence[_Judged], label: str) -> float | None:
    figures = [item.arousal for item in judged if item.label == label and item.arousal is not None]
    return fmean(figures) if figures else None


def _uar(judged: Sequence[_Judged]) -> float | None:
    recalls = [_recall(judged, label) for label in _LABELS]
    known = [recall for recall in recalls if recall is not None]
    return fmean(known) if len(known) == len(_LABELS) else None


def _auc(groups: Iterable[Sequence[_Judged]]) -> float | None:
    """Compare within a speaker: between speakers a figure is not meant to be compared."""
    won, pairs = 0.0, 0
    for group in groups:
        high = [item.arousal for item in group if item.label == "high" and item.arousal is not None]
        low = [item.arousal for item in group if item.label == "low" and item.arousal is not None]
        won += sum((one > other) + 0.5 * (one == other) for one in high for other in low)
        pairs += len(high) * len(low)
    return won / pairs if pairs else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
