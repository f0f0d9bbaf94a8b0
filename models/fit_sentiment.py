"""Fit the text model on our own corpus: `python -m models.fit_sentiment`.

Strength of regularisation, temperature and factor thresholds are chosen by
cross-validation over frames of the training part; the held-back frames are read
once, to report. A free sentence is a frame of its own. Needs the extra `dev`
(scikit-learn); the product does not.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]  # scipy ships no types
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from models.corpus.dialect import REGIONS, say_as
from models.corpus.expansion import (
    FOLDER,
    Frame,
    Utterance,
    expand,
    mishear,
    read_frame_file,
    read_frames,
    read_slots,
)
from models.registry import sha256_of
from models.text_features import BUCKETS, features_of, words_of
from models.text_sentiment import FACTORS, SENTIMENTS, Weights

SEED: Final = 20_240_601
_FOLDS: Final = 4
_STRENGTHS: Final = (1.0, 3.0)
_ASR_RATE: Final = 0.17
_DIALECT: Final = 0.3
_CERTAIN_ACCURACY: Final = 0.8
WEIGHTS_FILE: Final = FOLDER.parent / "weights" / "text_sentiment-2.npz"
HELD_BACK_FILE: Final = FOLDER / "held_back.jsonl"
SECOND_HELD_BACK: Final = FOLDER / "held_back" / "counter_speech.txt"


def utterances_of(
    frames: Sequence[Frame], *, most: int, seed: int, noisy: float, dialect: float = 0.0
) -> list[tuple[int, Utterance]]:
    """Expand frames into (frame index, utterance).

    A share `dialect` of them is said in a regional form as well, a share `noisy` misheard as well.
    """
    dice = random.Random(seed)  # noqa: S311 - a repeatable corpus, no secret
    slots = read_slots()
    found: list[tuple[int, Utterance]] = []
    for index, frame in enumerate(frames):
        for made in expand(frame, slots, dice, most):
            found.append((index, made))
            if dialect and dice.random() < dialect:
                said = say_as(made.text, dice.choice(REGIONS), dice)
                if said != made.text:
                    found.append((index, Utterance(said, made.sentiment, made.factors)))
            if dice.random() < noisy:
                heard = mishear(made.text, dice, dice.choice((0.1, _ASR_RATE, 0.3)))
                found.append((index, Utterance(heard, made.sentiment, made.factors)))
    return found


def matrix_of(texts: Sequence[str], *, topics: bool) -> csr_matrix:
    """Return the hashed features of texts, one row a text, with or without the topic words."""
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for row, text in enumerate(texts):
        for feature in features_of(words_of(text), topics=topics):
            rows.append(row)
            columns.append(feature.bucket)
            values.append(feature.value)
    return csr_matrix((values, (rows, columns)), shape=(len(texts), BUCKETS), dtype=np.float32)


def _labels(utterances: Sequence[Utterance]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sentiment = np.array([SENTIMENTS.index(item.sentiment) for item in utterances])
    factors = np.array([[int(name in item.factors) for name in FACTORS] for item in utterances])
    return sentiment, factors


def _frame_weights(groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weigh utterances so that a frame with many of them counts by the square root of their number."""
    counts = np.bincount(groups)
    weights = np.asarray(counts[groups] ** -0.5, dtype=np.float64)
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def _logistic(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, class_weight="balanced", max_iter=300, tol=1e-3)


def _fit_scores(
    rows: csr_matrix, target: NDArray[np.int64], weights: NDArray[np.float64], strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit and return coefficients (buckets, classes) and biases; two classes give one column."""
    used = np.unique(rows.indices)
    model = _logistic(strength).fit(rows[:, used], target, sample_weight=weights)
    table = np.zeros((BUCKETS, model.coef_.shape[0]))
    table[used] = model.coef_.T
    return table, model.intercept_


def _temperature(scores: NDArray[np.float64], target: NDArray[np.int64]) -> float:
    """Return the temperature with the least cross-entropy, by search."""

    def loss(temperature: float) -> float:
        scaled = scores / temperature
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        log_shares = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        return float(-log_shares[np.arange(len(target)), target].mean())

    return float(min(np.geomspace(0.2, 5.0, 200), key=loss))


def _out_of_frame(
    rows: csr_matrix, target: NDArray[np.int64], groups: NDArray[np.int64], strength: float
) -> NDArray[np.float64]:
    """Return scores of each utterance from a model that never saw its frame."""
    width = 3 if target.max() > 1 else 1
    scores = np.zeros((len(target), width))
    folds = np.random.default_rng(SEED).permutation(int(groups.max()) + 1)[groups] % _FOLDS
    for fold in range(_FOLDS):
        kept = folds != fold
        table, bias = _fit_scores(rows[kept], target[kept], _frame_weights(groups[kept]), strength)
        scores[~kept] = rows[~kept] @ table + bias
    return scores


def _best_threshold(scores: NDArray[np.float64], target: NDArray[np.int64]) -> float:
    shares = 1.0 / (1.0 + np.exp(-scores))
    options = np.arange(0.3, 0.81, 0.05)
    return float(max(options, key=lambda option: (f1_score(target, shares >= option), -abs(option - 0.5))))


def _certain_from(scores: NDArray[np.float64], target: NDArray[np.int64], temperature: float) -> float:
    """Return the least probability from which on the strongest class is right often enough."""
    scaled = scores / temperature
    shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    top = (shares / shares.sum(axis=1, keepdims=True)).max(axis=1)
    right = scores.argmax(axis=1) == target
    options = np.arange(0.34, 0.9, 0.01)
    enough = (option for option in options if right[top >= option].mean() >= _CERTAIN_ACCURACY)
    return float(next(enough, options[-1]))


def fit(most: int) -> tuple[Weights, dict[str, object]]:
    """Fit on the training frames and return the weights with what was chosen on the way."""
    frames = [frame for frame in read_frames() if not frame.held_back]
    made = utterances_of(frames, most=most, seed=SEED, noisy=0.6, dialect=_DIALECT)
    groups = np.array([index for index, _ in made])
    utterances = [item for _, item in made]
    sentiment, factors = _labels(utterances)
    free = np.array([frames[index].free for index in groups])
    texts = [item.text for item in utterances]
    rows, topic_rows = matrix_of(texts, topics=False), matrix_of(texts, topics=True)
    print(f"{len(frames)} frames, {len(utterances)} utterances", file=sys.stderr)  # noqa: T201 - progress of a command
    weights = _frame_weights(groups)
    tried: dict[float, tuple[float, NDArray[np.float64]]] = {}
    for strength in _STRENGTHS:
        scores = _out_of_frame(rows, sentiment, groups, strength)
        quality = float(f1_score(sentiment[free], scores[free].argmax(axis=1), average="macro"))
        tried[strength] = (quality, scores)
        print(f"C={strength}: macro-F1 {quality:.3f} over unseen free sentences", file=sys.stderr)  # noqa: T201 - as above
    strength = max(tried, key=lambda option: tried[option][0])
    scores = tried[strength][1][free]
    temperature = _temperature(scores, sentiment[free])
    table, bias = _fit_scores(rows, sentiment, weights, strength)
    columns, biases, thresholds = [], [], []
    for number, name in enumerate(FACTORS):
        target = factors[:, number]
        thresholds.append(_best_threshold(_out_of_frame(topic_rows, target, groups, strength)[:, 0], target))
        column, factor_bias = _fit_scores(topic_rows, target, weights, strength)
        columns.append(column[:, 0])
        biases.append(float(factor_bias[0]))
        print(f"factor {name}: threshold {thresholds[-1]:.2f}", file=sys.stderr)  # noqa: T201 - as above
    fitted = Weights(
        sentiment=table.astype(np.float32),
        sentiment_bias=bias.astype(np.float32),
        factor=np.stack(columns, axis=1).astype(np.float32),
        factor_bias=np.array(biases, dtype=np.float32),
        temperature=temperature,
        threshold=np.array(thresholds, dtype=np.float32),
        certain_from=_certain_from(scores, sentiment[free], temperature),
    )
    report: dict[str, object] = {
        "frames": len(frames),
        "utterances": len(utterances),
        "strength": strength,
        "free_sentences": int(sum(frame.free for frame in frames)),
        "certain_from": round(fitted.certain_from, 2),
        "macro_f1_unseen_free_sentences": {str(option): round(tried[option][0], 4) for option in tried},
        "temperature": round(fitted.temperature, 3),
        "thresholds": {name: round(value, 2) for name, value in zip(FACTORS, thresholds, strict=True)},
    }
    return fitted, report


def write_held_back(path: Path = HELD_BACK_FILE, *, most: int = 8) -> list[Utterance]:
    """Write the held-back utterances as an evaluation manifest and return them."""
    frames = [frame for frame in read_frames() if frame.held_back]
    made = [item for _, item in utterances_of(frames, most=most, seed=SEED + 1, noisy=0.0)]
    lines = []
    for item in made:
        entry: dict[str, object] = {"text": item.text, "sentiment": item.sentiment}
        entry["factor"] = list(item.factors)
        lines.append(json.dumps(entry, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


def _quality(weights: Weights, utterances: Sequence[Utterance]) -> dict[str, float]:
    sentiment, factors = _labels(utterances)
    rows = matrix_of([item.text for item in utterances], topics=True)
    guessed = (rows @ weights.sentiment + weights.sentiment_bias).argmax(axis=1)
    shares = 1.0 / (1.0 + np.exp(-(rows @ weights.factor + weights.factor_bias)))
    return {
        "accuracy": round(float(accuracy_score(sentiment, guessed)), 4),
        "macro_f1": round(float(f1_score(sentiment, guessed, average="macro")), 4),
        "factor_macro_f1": round(
            float(f1_score(factors, shares >= weights.threshold, average="macro", zero_division=0.0)), 4
        ),
        "n": len(utterances),
    }


def main() -> None:
    """Fit, write the weights and the held-back manifest, print what was measured as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE, help="where the weights go")
    parser.add_argument("--per-frame", type=int, default=24, help="utterances a frame gives at most")
    arguments = parser.parse_args()
    weights, report = fit(arguments.per_frame)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    weights.save(arguments.out)
    shipped = Weights.read(arguments.out)
    held_back = write_held_back()
    dice = random.Random(SEED + 2)  # noqa: S311 - a repeatable corpus, no secret
    heard = [
        Utterance(mishear(item.text, dice, _ASR_RATE), item.sentiment, item.factors) for item in held_back
    ]
    report["held_back"] = _quality(shipped, held_back)
    report["held_back_misheard"] = _quality(shipped, heard)
    apart = [
        Utterance(frame.pattern, frame.sentiment, frame.factors)
        for frame in read_frame_file(SECOND_HELD_BACK)
    ]
    report["second_held_back"] = _quality(shipped, apart)
    report["sha256"] = sha256_of(arguments.out)
    report["bytes"] = arguments.out.stat().st_size
    print(json.dumps(report, indent=2))  # noqa: T201 - the command's result


if __name__ == "__main__":
    main()
