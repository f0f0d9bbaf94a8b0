"""What a redacted utterance says about the service: sentiment, factors and the words that show it.

A linear model of ours over hashed words, syllable parts and a weighed lexicon,
fitted on our own corpus (`models/corpus`, `python -m models.fit_sentiment`).
Plain numpy, no run-time training library, the same figures on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.registry import Registry
from models.text_features import BUCKETS, Feature, features_of, words_of

NAME: Final = "text-sentiment"
SENTIMENTS: Final = ("negative", "neutral", "positive")
FACTORS: Final = ("access", "procedure", "officer", "result", "feedback", "time_cost")
_MOST_REASONS: Final = 3
_LEAST_PUSH: Final = 0.15


class TextModelBroken(ModelError, ValueError):  # noqa: N818 - says what happened, like its siblings
    """The file of the text model lacks a table or has one of the wrong shape."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one utterance says.

    Attributes:
        negative: Calibrated probability of dissatisfaction.
        neutral: Calibrated probability of neither.
        positive: Calibrated probability of satisfaction.
        factors: Probability of each factor that the utterance speaks about; empty for none.
        reasons: The words that pushed most towards the strongest class, strongest first.
        thin: The text does not tell: nothing was said, or no class is probable enough to be relied on.
            The probabilities stand as they are; who must decide on one class should not.
    """

    negative: float
    neutral: float
    positive: float
    factors: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    thin: bool = False

    @property
    def sentiment(self) -> str:
        """The most probable class."""
        return max(zip(self.probabilities, SENTIMENTS, strict=True))[1]

    @property
    def probabilities(self) -> tuple[float, float, float]:
        """Probabilities in the order negative, neutral, positive."""
        return self.negative, self.neutral, self.positive


_THIRD: Final = 1.0 / 3.0
_NOTHING_SAID: Final = Opinion(_THIRD, _THIRD, _THIRD, thin=True)


@dataclass(frozen=True, slots=True)
class Weights:
    """The tables of the model.

    Attributes:
        sentiment: (buckets, 3) float32.
        sentiment_bias: (3,) float32.
        factor: (buckets, 6) float32.
        factor_bias: (6,) float32.
        temperature: Divides the sentiment scores before the softmax.
        threshold: (6,) float32, from which probability on a factor counts as spoken about.
        certain_from: Least probability of the strongest class of an opinion that is not thin.
    """

    sentiment: NDArray[np.float32]
    sentiment_bias: NDArray[np.float32]
    factor: NDArray[np.float32]
    factor_bias: NDArray[np.float32]
    temperature: float
    threshold: NDArray[np.float32]
    certain_from: float = 0.0

    def save(self, path: Path) -> None:
        """Write the tables with one byte a weight (zip, no pickle)."""
        tables: dict[str, NDArray[np.generic]] = {
            "sentiment_bias": self.sentiment_bias,
            "factor_bias": self.factor_bias,
            "temperature": np.array([self.temperature], dtype=np.float32),
            "threshold": self.threshold,
            "certain_from": np.array([self.certain_from], dtype=np.float32),
        }
        for name, table in (("sentiment", self.sentiment), ("factor", self.factor)):
            scale = np.maximum(np.abs(table).max(axis=0), 1e-9) / 127.0
            tables[name] = np.round(table / scale).astype(np.int8)
            tables[f"{name}_scale"] = scale.astype(np.float32)
        np.savez_compressed(path, allow_pickle=False, **tables)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the tables and check their shapes.

        Raises:
            TextModelBroken: A table is missing or has another shape.
        """
        try:
            with np.load(path, allow_pickle=False) as tables:
                weights = cls(
                    sentiment=tables["sentiment"].astype(np.float32) * tables["sentiment_scale"],
                    sentiment_bias=tables["sentiment_bias"],
                    factor=tables["factor"].astype(np.float32) * tables["factor_scale"],
                    factor_bias=tables["factor_bias"],
                    temperature=float(tables["temperature"][0]),
                    threshold=tables["threshold"],
                    certain_from=float(tables["certain_from"][0]),
                )
        except (KeyError, ValueError, OSError, EOFError) as error:
            raise TextModelBroken(f"{path} is not a text model of ours ({error}). {_REMEDY}") from error
        wanted = ((BUCKETS, len(SENTIMENTS)), (BUCKETS, len(FACTORS)))
        if (weights.sentiment.shape, weights.factor.shape) != wanted:
            raise TextModelBroken(
                f"{path} has tables of {weights.sentiment.shape} and {weights.factor.shape}, "
                f"this program reads {wanted[0]} and {wanted[1]}. {_REMEDY}"
            )
        return weights


_REMEDY: Final = "Make it anew with 'python -m models.fit_sentiment', or reinstall hailong."


class TextSentiment:
    """The text model, ready to read utterances; it holds no state between calls."""

    def __init__(self, weights: Weights, *, version: str = "unversioned", sha256: str = "0" * 64) -> None:
        """Take the tables and what a signal records about them."""
        self._weights = weights
        self.name: str = NAME
        self.version = version
        self.sha256 = sha256

    @classmethod
    def load(cls, registry: Registry | None = None) -> Self:
        """Load the shipped model through the registry, which verifies its hash."""
        found = (registry or Registry.default()).locate(NAME)
        return cls(Weights.read(found.path), version=found.card.version, sha256=found.sha256)

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""
        return self.name, self.version, self.sha256

    def read(self, text: str) -> Opinion:
        """Read one utterance; text without a word gives equal probabilities and no factor.

        Args:
            text: Redacted text, normally lower case without punctuation.
        """
        words = words_of(text)
        if not words:
            return _NOTHING_SAID
        features = features_of(words)
        buckets = np.fromiter((feature.bucket for feature in features), dtype=np.int64, count=len(features))
        values = np.fromiter((feature.value for feature in features), dtype=np.float32, count=len(features))
        table = self._weights
        pushes = table.sentiment[buckets] * values[:, None]
        scores = (pushes.sum(axis=0) + table.sentiment_bias) / table.temperature
        shares = np.exp(scores - scores.max())
        negative, neutral, positive = (float(share) for share in shares / shares.sum())
        factor_scores = values @ table.factor[buckets] + table.factor_bias
        strongest = int(np.argmax(scores))
        return Opinion(
            negative=negative,
            neutral=neutral,
            positive=positive,
            factors=self._factors(factor_scores),
            reasons=_reasons(words, features, pushes, strongest),
            thin=max(negative, neutral, positive) < table.certain_from,
        )

    def _factors(self, scores: NDArray[np.float32]) -> dict[str, float]:
        shares = [1.0 / (1.0 + math.exp(-float(score))) for score in scores]
        return {
            name: share
            for name, share, threshold in zip(FACTORS, shares, self._weights.threshold, strict=True)
            if share >= threshold
        }


def _reasons(
    words: Sequence[str], features: Sequence[Feature], pushes: NDArray[np.float32], strongest: int
) -> tuple[str, ...]:
    """Return the words that speak for a class against the other two, joined where they touch."""
    others = (pushes.sum(axis=1) - pushes[:, strongest]) / (len(SENTIMENTS) - 1)
    share = [0.0] * len(words)
    for feature, push in zip(features, (pushes[:, strongest] - others).tolist(), strict=True):
        span = feature.end - feature.start
        if span < len(words) or len(words) == 1:
            for at in range(feature.start, feature.end):
                share[at] += push / span
    least = max(_LEAST_PUSH * max(share), 0.0)
    found: list[tuple[float, str]] = []
    at = 0
    while at < len(words):
        end = at
        while end < len(words) and share[end] > least:
            end += 1
        if end > at:
            found.append((sum(share[at:end]), " ".join(words[at:end])))
        at = max(end, at + 1)
    found.sort(key=lambda item: -item[0])
    return tuple(phrase for _, phrase in found[:_MOST_REASONS])
