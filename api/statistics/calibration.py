"""From a model's score to the chance that the visitor was satisfied, learned from linked ballots.

One calibration holds for one version of the model, pooled over counters: a counter of its own would have
too few ballots, and a curve per counter would be a judgement of the counter. Its parameters are stored
with the figures that used it, so an audit makes the same scores again: `Calibration.apply` rounds to six
decimals, on which machines agree, and `to_json` keeps every digit.

A figure uses a calibration fitted on ballots of earlier days (`until`), never on its own: a ballot that
had bent the curve towards itself would make its score look better than the scores of those who left
none.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from api.statistics.errors import CalibrationInvalid
from api.statistics.isotonic import Isotonic, fit_isotonic
from api.statistics.platt import Platt, fit_platt
from api.statistics.reliability import Bin, Gate, Reliability, reliability
from api.statistics.wilson import Values

ISOTONIC_FROM: Final = 3000
"""Labels from which the curve may take any rising shape; below, it would follow chance."""

FOLDS: Final = 10
"""Parts in which ballots are held out in turn to judge a calibration."""

_DECIMALS: Final = 6
_FORMAT: Final = 1


class Kind(StrEnum):
    """Shape of the curve."""

    PLATT = "platt"
    ISOTONIC = "isotonic"


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted curve with what it was learned from and how well it held.

    Attributes:
        model: Name and version of the model whose scores it takes.
        until: First day whose ballots it has not seen; figures of this day and later may use it.
        n: Ballots it was fitted to.
        curve: Its parameters.
        reliability: Scores of curves fitted without a ballot against that ballot.
    """

    model: str
    until: date
    n: int
    curve: Platt | Isotonic
    reliability: Reliability

    @property
    def kind(self) -> Kind:
        """Shape of the curve."""
        return Kind.PLATT if isinstance(self.curve, Platt) else Kind.ISOTONIC

    @property
    def usable(self) -> bool:
        """Whether its scores may take part in figures."""
        return self.reliability.gate is Gate.OPEN

    def apply(self, score: float) -> float:
        """Return the chance of a satisfied visit for a raw score, both 0 to 1, to six decimals."""
        return float(self.apply_all([score])[0])

    def apply_all(self, scores: npt.ArrayLike) -> Values:
        """Return the chances for many raw scores; each the same as `apply` gives."""
        return _rounded(self.curve, scores)

    def to_json(self) -> str:
        """Return all of it as one line of JSON, keys in order."""
        found: dict[str, Any] = {"format": _FORMAT, "kind": self.kind.value, **asdict(self)}
        found["until"] = self.until.isoformat()
        return json.dumps(found, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Read what `to_json` wrote.

        Raises:
            CalibrationInvalid: it is not a calibration of this format.
        """
        try:
            found = json.loads(text)
            if found["format"] != _FORMAT:
                raise CalibrationInvalid(
                    f"The stored calibration has format {found['format']}, this program reads {_FORMAT}: "
                    "use the version of the software that is named with the figure."
                )
            curve, held = found["curve"], found["reliability"]
            return cls(
                model=found["model"],
                until=date.fromisoformat(found["until"]),
                n=int(found["n"]),
                curve=(
                    Platt(float(curve["slope"]), float(curve["offset"]))
                    if Kind(found["kind"]) is Kind.PLATT
                    else Isotonic(tuple(map(float, curve["scores"])), tuple(map(float, curve["shares"])))
                ),
                reliability=Reliability(
                    n=held["n"],
                    ece=held["ece"],
                    by_chance=held["by_chance"],
                    gate=Gate(held["gate"]),
                    bins=tuple(Bin(**item) for item in held["bins"]),
                ),
            )
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise CalibrationInvalid(
                f"The stored calibration cannot be read ({error!r}): take it from the backup."
            ) from error


def fit(model: str, until: date, scores: npt.ArrayLike, satisfied: npt.ArrayLike) -> Calibration:
    """Fit a calibration and judge it on ballots held out in turn.

    Ballot number i is held out with i mod 10; give them in an order that has nothing to do with the
    answers, such as that of their identifiers, and the same ballots make the same calibration.

    Args:
        model: Name and version of the model.
        until: First day whose ballots are not among them.
        scores: Raw scores, 0 to 1.
        satisfied: Ballots of the same visits: satisfied with everything asked.

    Raises:
        CalibrationInvalid: no or unequal numbers of labels, or scores outside 0 to 1.
    """
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(satisfied, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise CalibrationInvalid(
            f"{x.size} scores and {y.size} ballots: give one ballot a score, at least one."
        )
    if not (np.all((x >= 0) & (x <= 1)) and np.all((y == 0) | (y == 1))):
        raise CalibrationInvalid(
            "Scores are between 0 and 1 and ballots 0 or 1: there are others among them."
        )
    # Both judged and used with the same kind of curve, also where a fold falls below the border.
    kind = Kind.ISOTONIC if x.size >= ISOTONIC_FROM else Kind.PLATT
    return Calibration(model, until, int(x.size), _curve(kind, x, y), reliability(_held_out(kind, x, y), y))


def _held_out(kind: Kind, scores: Values, satisfied: Values) -> Values:
    """Return each score calibrated by a curve that has not seen its ballot."""
    fold = np.arange(scores.size) % FOLDS
    result = np.empty_like(scores)
    for part in range(min(FOLDS, scores.size)):
        out = fold == part
        if np.all(out):  # a single ballot has nobody to learn from
            result[out] = 0.5
            continue
        result[out] = _rounded(_curve(kind, scores[~out], satisfied[~out]), scores[out])
    return result


def _curve(kind: Kind, scores: Values, satisfied: Values) -> Platt | Isotonic:
    return fit_isotonic(scores, satisfied) if kind is Kind.ISOTONIC else fit_platt(scores, satisfied)


def _rounded(curve: Platt | Isotonic, scores: npt.ArrayLike) -> Values:
    result: Values = np.round(curve.apply(scores), _DECIMALS)
    return result
