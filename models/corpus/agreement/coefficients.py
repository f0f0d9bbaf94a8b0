"""Coefficients of agreement between two readings of the same utterances.

Cohen (1960), "A coefficient of agreement for nominal scales"; Krippendorff (2011),
"Computing Krippendorff's alpha-reliability" for nominal data, two readers, none missing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.corpus.expansion import FACTORS


@dataclass(frozen=True, slots=True)
class Reading:
    """One reader's labels of one utterance."""

    sentiment: str
    factors: frozenset[str]


def read_double_labels(path: Path) -> tuple[tuple[Reading, Reading], ...]:
    """Read utterances labelled twice.

    Raises:
        ValueError: A line lacks one of the two readings; the message names file and line.
    """
    found: list[tuple[Reading, Reading]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        entry = json.loads(line)
        try:
            first, second = (
                Reading(entry[which]["sentiment"], frozenset(entry[which]["factor"]))
                for which in ("first", "second")
            )
        except (KeyError, TypeError) as error:
            message = f"{path}:{number}: a line needs 'first' and 'second', each with sentiment and factor"
            raise ValueError(message) from error
        found.append((first, second))
    return tuple(found)


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float:
    """Return Cohen's kappa; 1 where both readers gave every item the one same label."""
    first, second = Counter(one for one, _ in pairs), Counter(two for _, two in pairs)
    seen = sum(one == two for one, two in pairs) / len(pairs)
    chance = sum(first[label] * second[label] for label in first) / len(pairs) ** 2
    return 1.0 if chance == 1.0 else (seen - chance) / (1.0 - chance)


def krippendorff_alpha(pairs: Sequence[tuple[Hashable, Hashable]]) -> float:
    """Return Krippendorff's alpha for nominal labels of two readers."""
    labels = Counter(label for pair in pairs for label in pair)
    whole = sum(labels.values())
    apart = sum(one != two for one, two in pairs) / len(pairs)
    by_chance = 1.0 - sum(count * (count - 1) for count in labels.values()) / (whole * (whole - 1))
    return 1.0 if by_chance == 0.0 else 1.0 - apart / by_chance


def agreement_of(readings: Sequence[tuple[Reading, Reading]]) -> dict[str, object]:
    """Return the coefficients for sentiment, for each factor and for the whole set of factors."""
    sentiment = [(one.sentiment, two.sentiment) for one, two in readings]
    return {
        "n": len(readings),
        "sentiment_kappa": round(cohen_kappa(sentiment), 4),
        "sentiment_alpha": round(krippendorff_alpha(sentiment), 4),
        "factor_kappa": {
            name: round(cohen_kappa([(name in one.factors, name in two.factors) for one, two in readings]), 4)
            for name in FACTORS
        },
        "factor_set_alpha": round(
            krippendorff_alpha([(one.factors, two.factors) for one, two in readings]), 4
        ),
        "apart": sum(one != two for one, two in readings),
    }
