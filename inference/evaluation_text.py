"""Measure the text model on labelled utterances: the work behind `hailong eval sentiment`.

`inference.text_manifest` tells what a manifest is. The lexicon alone and the most frequent
answer are measured on the same texts in the same run. With `noise`, that share of the
words is misheard first, in the same way at every run of one seed. Several sets are measured
as they are and misheard in one run.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from inference.text_manifest import LabelledText, TextManifestError, read_manifest
from models.corpus.expansion import mishear
from models.registry import Registry
from models.text_baselines import lexicon_factors, lexicon_sentiment
from models.text_sentiment import FACTORS, NAME, SENTIMENTS, Opinion, TextSentiment

__all__ = ["LabelledText", "Noise", "TextManifestError", "read_manifest", "run", "run_sets"]

_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Noise:
    """Words misheard on purpose.

    Attributes:
        rate: Share of the words, 0 to 1.
        seed: The same seed mishears the same words.
        merged: Share of the errors that run a word into the next, which the model was not fitted with.
    """

    rate: float = 0.0
    seed: int = 0
    merged: float = 0.15


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a reader of texts said about one of them."""

    sentiment: str
    factors: frozenset[str]


def run(
    manifest: Path,
    *,
    model: TextSentiment | None = None,
    registry: Registry | None = None,
    noise: Noise | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, object]:
    """Read every utterance of a manifest and compare with its labels.

    Args:
        manifest: JSON Lines or `.txt`, see `inference.text_manifest`.
        model: The model to measure; by default the shipped one.
        registry: Where the shipped model is looked up.
        noise: Words to mishear before reading; none by default.
        progress: Called with (done, all) after each utterance.

    Returns:
        accuracy, macro_f1, by_class, confusion, calibration, certain, factor (only where lines
        carry one), by_kind (likewise), baselines, noise, n, ms_per_text, cpu_ms_per_text, model.

    Raises:
        TextManifestError: The manifest cannot be used.
    """
    noise = noise or Noise()
    labelled = _misheard(read_manifest(manifest), noise)
    given = model
    model = model or TextSentiment.load(registry)
    opinions: list[Opinion] = []
    started_ns, started_cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
    for item in labelled:
        opinions.append(model.read(item.text))
        if progress is not None:
            progress(len(opinions), len(labelled))
    spent_ms = (time.perf_counter_ns() - started_ns) / 1e6
    spent_cpu_ms = (time.thread_time_ns() - started_cpu_ns) / 1e6
    answers = [_Answer(opinion.sentiment, frozenset(opinion.factors)) for opinion in opinions]
    name, version, sha256 = model.version_of()
    source: dict[str, object] = {"name": name, "version": version, "sha256": sha256}
    if given is None:
        source["bytes"] = (registry or Registry.default()).locate(NAME).path.stat().st_size
    return {
        **_report(labelled, answers),
        **_doubt(labelled, opinions),
        **_by_kind(labelled, answers),
        "baselines": _baselines(labelled),
        "noise": {"rate": noise.rate, "seed": noise.seed, "merged": noise.merged},
        "n": len(labelled),
        "ms_per_text": round(spent_ms / len(labelled), 3),
        "cpu_ms_per_text": round(spent_cpu_ms / len(labelled), 3),
        "model": source,
    }


def run_sets(
    manifests: Sequence[Path],
    *,
    registry: Registry | None = None,
    noise: Noise | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, object]:
    """Measure several manifests with one model in one run: each as it is, and misheard where noise is given.

    Args:
        manifests: As in `run`.
        registry: Where the shipped model is looked up.
        noise: Words to mishear in the second measurement of each; a rate of 0 leaves it out.
        progress: Called with (done, all) after each measurement.

    Returns:
        sets: for each manifest its name, `clean` and, with noise, `misheard`, as `run` returns them.

    Raises:
        TextManifestError: A manifest cannot be used.
    """
    rounds = {"clean": Noise()} | ({"misheard": noise} if noise and noise.rate else {})
    sets: list[dict[str, object]] = []
    for done, manifest in enumerate(manifests, start=1):
        reports = {name: run(manifest, registry=registry, noise=heard) for name, heard in rounds.items()}
        sets.append({"manifest": manifest.name, **reports})
        if progress is not None:
            progress(done, len(manifests))
    return {"sets": sets}


def _misheard(labelled: Sequence[LabelledText], noise: Noise) -> tuple[LabelledText, ...]:
    if not noise.rate:
        return tuple(labelled)
    dice = random.Random(noise.seed)  # noqa: S311 - repeatable errors, no secret
    return tuple(
        replace(item, text=mishear(item.text, dice, noise.rate, merged=noise.merged)) for item in labelled
    )


def _report(labelled: Sequence[LabelledText], answers: Sequence[_Answer]) -> dict[str, object]:
    truth = [item.sentiment for item in labelled]
    guessed = [answer.sentiment for answer in answers]
    by_class = {
        name: _scores([label == name for label in truth], [guess == name for guess in guessed])
        for name in SENTIMENTS
    }
    pairs = Counter(zip(truth, guessed, strict=True))
    report: dict[str, object] = {
        "accuracy": _share(sum(a == b for a, b in zip(truth, guessed, strict=True)), len(truth)),
        "macro_f1": _macro(by_class),
        "by_class": by_class,
        "confusion": {name: {guess: pairs[name, guess] for guess in SENTIMENTS} for name in SENTIMENTS},
    }
    factors = _factor_report(labelled, answers)
    return report if factors is None else {**report, "factor": factors}


def _factor_report(labelled: Sequence[LabelledText], answers: Sequence[_Answer]) -> dict[str, object] | None:
    pairs = [
        (item.factors, answer.factors)
        for item, answer in zip(labelled, answers, strict=True)
        if item.factors is not None
    ]
    if not pairs:
        return None
    by_class = {
        name: _scores([name in truth for truth, _ in pairs], [name in guess for _, guess in pairs])
        for name in FACTORS
    }
    flat = [(name in truth, name in guess) for truth, guess in pairs for name in FACTORS]
    silent = [not guess for truth, guess in pairs if not truth]
    return {
        "macro_f1": _macro(by_class),
        "micro_f1": _scores([a for a, _ in flat], [b for _, b in flat])["f1"],
        "exact_match": _share(sum(truth == guess for truth, guess in pairs), len(pairs)),
        "none_kept_silent": _share(sum(silent), len(silent)) if silent else None,
        "by_class": by_class,
        "n": len(pairs),
    }


def _doubt(labelled: Sequence[LabelledText], opinions: Sequence[Opinion]) -> dict[str, object]:
    """Return how true the probabilities are, and what is right among the opinions that are not thin."""
    hits = [item.sentiment == opinion.sentiment for item, opinion in zip(labelled, opinions, strict=True)]
    bins: dict[int, list[tuple[float, bool]]] = {}
    for hit, opinion in zip(hits, opinions, strict=True):
        share = max(opinion.probabilities)
        bins.setdefault(min(int(share * _BINS), _BINS - 1), []).append((share, hit))
    gap = sum(abs(sum(share - hit for share, hit in held)) for held in bins.values()) / len(hits)
    squares = [
        sum(
            (share - (item.sentiment == name)) ** 2
            for share, name in zip(opinion.probabilities, SENTIMENTS, strict=True)
        )
        for item, opinion in zip(labelled, opinions, strict=True)
    ]
    kept = [hit for hit, opinion in zip(hits, opinions, strict=True) if not opinion.thin]
    return {
        "calibration": {
            "expected_error": round(gap, 4),
            "brier": round(sum(squares) / len(squares), 4),
        },
        "certain": {
            "share": _share(len(kept), len(hits)),
            "accuracy": _share(sum(kept), len(kept)) if kept else None,
        },
    }


def _by_kind(labelled: Sequence[LabelledText], answers: Sequence[_Answer]) -> dict[str, object]:
    kinds: dict[str, list[bool]] = {}
    for item, answer in zip(labelled, answers, strict=True):
        if item.kind is not None:
            kinds.setdefault(item.kind, []).append(item.sentiment == answer.sentiment)
    if not kinds:
        return {}
    return {
        "by_kind": {
            kind: {"accuracy": _share(sum(hits), len(hits)), "n": len(hits)} for kind, hits in kinds.items()
        }
    }


def _baselines(labelled: Sequence[LabelledText]) -> dict[str, object]:
    """Return accuracy and F1 of the lexicon alone and of always giving the most frequent label."""
    most = Counter(item.sentiment for item in labelled).most_common(1)[0][0]
    named = Counter(name for item in labelled for name in item.factors or ())
    often = frozenset(name for name, _ in named.most_common(1))
    readers = {
        "lexicon": [_Answer(lexicon_sentiment(item.text), lexicon_factors(item.text)) for item in labelled],
        "most_frequent": [_Answer(most, often) for _ in labelled],
    }
    found: dict[str, object] = {}
    for reader, answers in readers.items():
        report = _report(labelled, answers)
        figures: dict[str, object] = {key: report[key] for key in ("accuracy", "macro_f1")}
        factor = _factor_report(labelled, answers)
        if factor is not None:
            figures |= {f"factor_{key}": factor[key] for key in ("macro_f1", "micro_f1", "exact_match")}
        found[reader] = figures
    return found


def _macro(by_class: Mapping[str, Mapping[str, float]]) -> float | None:
    present = [scores["f1"] for scores in by_class.values() if scores["support"]]
    return round(sum(present) / len(present), 4) if present else None


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
