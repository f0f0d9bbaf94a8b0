"""Measure the text model on labelled utterances: the work behind `hailong eval sentiment`.

A manifest is JSON Lines: `{"text": "...", "sentiment": "positive|neutral|negative",
"factor": "officer"}`. `factor` is optional, a code of the six or a list of codes (an
empty list says "none of the six").
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.registry import Registry
from models.text_sentiment import FACTORS, SENTIMENTS, Opinion, TextSentiment


class TextManifestError(ValueError):
    """A manifest cannot be read; the message names file and line and what to correct."""


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One line of a manifest; `factors` is None where the line says nothing about them."""

    text: str
    sentiment: str
    factors: frozenset[str] | None


def read_manifest(path: Path) -> tuple[LabelledText, ...]:
    """Read a manifest of labelled utterances.

    Raises:
        TextManifestError: The file cannot be read, is empty, or a line is malformed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TextManifestError(f"{path} cannot be read: {error}. Give a UTF-8 JSON Lines file.") from error
    found = [
        _labelled(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()
    ]
    if not found:
        raise TextManifestError(f"{path} holds no line. Give one JSON object a line with text and sentiment.")
    return tuple(found)


def _labelled(line: str, place: str) -> LabelledText:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise TextManifestError(f"{place}: not JSON ({error}). Write one JSON object a line.") from error
    if not isinstance(entry, dict):
        raise TextManifestError(f"{place}: a line is a JSON object with text and sentiment.")
    text, sentiment = entry.get("text"), entry.get("sentiment")
    if not isinstance(text, str):
        raise TextManifestError(f"{place}: 'text' is missing or not a string.")
    if sentiment not in SENTIMENTS:
        raise TextManifestError(f"{place}: 'sentiment' is {sentiment!r}; use {', '.join(SENTIMENTS)}.")
    return LabelledText(text, str(sentiment), _factors(entry, place))


def _factors(entry: Mapping[str, object], place: str) -> frozenset[str] | None:
    given = entry.get("factor")
    if given is None:
        return None
    named = [given] if isinstance(given, str) else given
    if not isinstance(named, list) or any(name not in FACTORS for name in named):
        raise TextManifestError(
            f"{place}: 'factor' is {given!r}; use {', '.join(FACTORS)}, a list of them, or []."
        )
    return frozenset(named)


def run(
    manifest: Path,
    *,
    model: TextSentiment | None = None,
    registry: Registry | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, object]:
    """Read every utterance of a manifest and compare with its labels.

    Args:
        manifest: JSON Lines file, see the module.
        model: The model to measure; by default the shipped one.
        registry: Where the shipped model is looked up.
        progress: Called with (done, all) after each utterance.

    Returns:
        accuracy, macro_f1, by_class, factor (only where lines carry one), n, ms_per_text,
        cpu_ms_per_text, model.

    Raises:
        TextManifestError: The manifest cannot be used.
    """
    labelled = read_manifest(manifest)
    model = model or TextSentiment.load(registry)
    opinions: list[Opinion] = []
    started_ns, started_cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
    for item in labelled:
        opinions.append(model.read(item.text))
        if progress is not None:
            progress(len(opinions), len(labelled))
    spent_ms = (time.perf_counter_ns() - started_ns) / 1e6
    spent_cpu_ms = (time.thread_time_ns() - started_cpu_ns) / 1e6
    truth = [item.sentiment for item in labelled]
    guessed = [opinion.sentiment for opinion in opinions]
    by_class = {
        name: _scores([label == name for label in truth], [guess == name for guess in guessed])
        for name in SENTIMENTS
    }
    present = [scores["f1"] for scores in by_class.values() if scores["support"]]
    name, version, sha256 = model.version_of()
    report: dict[str, object] = {
        "accuracy": _share(sum(a == b for a, b in zip(truth, guessed, strict=True)), len(truth)),
        "macro_f1": round(sum(present) / len(present), 4),
        "by_class": by_class,
        "n": len(labelled),
        "ms_per_text": round(spent_ms / len(labelled), 3),
        "cpu_ms_per_text": round(spent_cpu_ms / len(labelled), 3),
        "model": {"name": name, "version": version, "sha256": sha256},
    }
    factors = _factor_report(labelled, opinions)
    if factors is not None:
        report["factor"] = factors
    return report


def _factor_report(labelled: Sequence[LabelledText], opinions: Sequence[Opinion]) -> dict[str, object] | None:
    pairs = [
        (item.factors, frozenset(opinion.factors))
        for item, opinion in zip(labelled, opinions, strict=True)
        if item.factors is not None
    ]
    if not pairs:
        return None
    by_class = {
        name: _scores([name in truth for truth, _ in pairs], [name in guess for _, guess in pairs])
        for name in FACTORS
    }
    present = [scores["f1"] for scores in by_class.values() if scores["support"]]
    silent = [not guess for truth, guess in pairs if not truth]
    return {
        "macro_f1": round(sum(present) / len(present), 4) if present else None,
        "exact_match": _share(sum(truth == guess for truth, guess in pairs), len(pairs)),
        "none_kept_silent": _share(sum(silent), len(silent)) if silent else None,
        "by_class": by_class,
        "n": len(pairs),
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4)


def _scores(truth: Sequence[bool], guessed: Sequence[bool]) -> dict[str, float]:
    """Return precision, recall, F1 and support of one class; an undefined figure is 0."""
    hits = sum(a and b for a, b in zip(truth, guessed, strict=True))
    precision = hits / sum(guessed) if any(guessed) else 0.0
    recall = hits / sum(truth) if any(truth) else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "f1": round(f1, 4),
        "support": sum(truth),
    }
