"""Calibration of expression probabilities: a multinomial head of a few dozen numbers.

A head sees each label's log-probability and, where its file says so, each network's log-odds of
the three classes: what the network would say by itself is then one of its terms.

Networks trained on posed or web faces call most talking, neutral adults negative. The head
takes the network's log-probabilities and returns probabilities of three classes that were
fitted on other people's faces. Sites refit it; its version stands in every signal.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.card import Code, Line, Sha256
from models.errors import CalibrationError
from models.expression_reading import class_odds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from numpy.typing import NDArray

CLASSES: Final = ("negative", "neutral", "positive")
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_FOLDER: Final = "calibrations"


class Features(StrEnum):
    """What a head sees of each network."""

    LABELS = "labels"
    """The log-probability of each label."""
    LABELS_AND_ODDS = "labels+odds"
    """Those, and behind them each network's log-odds of positive and of neutral against negative."""


class CalibrationFile(BaseModel):
    """What a calibration file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Code
    network: Code
    network_sha256: Sha256
    labels: tuple[str, ...]
    """Labels of the network, in the order of the coefficients' columns."""
    floor: Annotated[float, Field(lt=0.0, ge=-50.0)]
    """Log-probabilities below this count as this: they carry no more information."""
    second_network: Code | None = None
    """The network that reads beside the first; its labels follow the first's."""
    second_sha256: Sha256 | None = None
    coefficients: Annotated[tuple[tuple[_Finite, ...], ...], Field(min_length=3, max_length=3)]
    """One row a class (negative, neutral, positive), one column a feature."""
    intercepts: Annotated[tuple[_Finite, ...], Field(min_length=3, max_length=3)]
    features: Features = Features.LABELS
    second_labels: Annotated[int, Field(ge=0, le=64)] = 0
    """How many of the labels, from behind, are the second network's."""
    abstain_below: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """A face whose likeliest class is less probable than this counts as uncertain."""
    kept: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Share of unseen people's faces that were not uncertain when it was fitted."""
    kept_accuracy: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Share of those that were right."""
    fitted_on: Line
    method: Line


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A multinomial head over a network's log-probabilities.

    Attributes:
        version: Version of the calibration file.
        coefficients: Shape (3, features).
        intercepts: Shape (3,).
        floor: Smallest log-probability that is looked at.
        networks: Labels of each network, in order.
        features: What the head sees of each network.
        abstain_below: A face is uncertain where its likeliest class is less probable; None: never.
    """

    version: str
    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    floor: float
    networks: tuple[tuple[str, ...], ...]
    features: Features = Features.LABELS
    abstain_below: float | None = None

    def apply(self, log_probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return probabilities of negative, neutral and positive.

        Args:
            log_probabilities: Shape (n, labels).

        Returns:
            Shape (n, 3), rows sum to 1.
        """
        features = head_features(log_probabilities, self.networks, self.features, self.floor)
        return softmax(features @ self.coefficients.T + self.intercepts)


def head_features(
    log_probabilities: NDArray[np.floating],
    networks: Sequence[Sequence[str]],
    features: Features,
    floor: float,
) -> NDArray[np.float64]:
    """Return what a head sees, shape (n, features).

    Args:
        log_probabilities: Shape (n, labels), the networks' columns side by side.
        networks: Labels of each network, in order.
        features: What is taken of each network.
        floor: Smallest logarithm that is looked at.
    """
    logs = log_probabilities.astype(np.float64)
    parts = [np.maximum(logs, floor)]
    if features is Features.LABELS_AND_ODDS:
        start = 0
        for labels in networks:
            parts.append(class_odds(logs[:, start : start + len(labels)], labels, floor))
            start += len(labels)
    return np.concatenate(parts, axis=1)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn rows of scores into rows of probabilities."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def read_calibration(
    source: Path | Traversable,
    *,
    network_sha256: str,
    labels: tuple[str, ...],
    version: str | None = None,
    second_sha256: str | None = None,
) -> Calibration:
    """Read a calibration and check that it belongs to a network.

    Args:
        source: A TOML file.
        network_sha256: Hash of the network that it will be applied to.
        labels: The network's labels in order; with a second network, its labels behind them.
        version: The version the model card names; None accepts any.
        second_sha256: Hash of the network that reads beside the first, if one does.

    Raises:
        CalibrationError: The file is malformed, or was fitted for another network.
    """
    try:
        content = CalibrationFile.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CalibrationError(
            f"Calibration {source} cannot be read: {error}. Correct or reinstall it."
        ) from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
        )
        raise CalibrationError(f"Calibration {source} is wrong at {faults}. Correct these keys.") from error
    if content.network_sha256 != network_sha256:
        raise CalibrationError(
            f"Calibration {source} was fitted for the network {content.network_sha256}, "
            f"not {network_sha256}. Fit it again for this network with 'python -m models.fit_expression'."
        )
    if content.second_sha256 != second_sha256:
        raise CalibrationError(
            f"Calibration {source} was fitted beside the second network {content.second_sha256 or '(none)'}, "
            f"not {second_sha256 or '(none)'}. Fit it again with 'python -m models.fit_expression'."
        )
    if version is not None and content.version != version:
        raise CalibrationError(
            f"Calibration {source} has version {content.version}, the model card names {version}. "
            "Reinstall hailong."
        )
    split = len(labels) - content.second_labels
    networks = tuple(part for part in (labels[:split], labels[split:]) if part)
    columns = len(labels) + (2 * len(networks) if content.features is Features.LABELS_AND_ODDS else 0)
    if content.labels != labels or any(len(row) != columns for row in content.coefficients):
        raise CalibrationError(
            f"Calibration {source} has columns for {content.labels}, the network gives {labels} and the head "
            f"takes {columns} columns. Fit it again."
        )
    return Calibration(
        version=content.version,
        coefficients=np.asarray(content.coefficients, np.float64),
        intercepts=np.asarray(content.intercepts, np.float64),
        floor=content.floor,
        networks=networks,
        features=content.features,
        abstain_below=content.abstain_below,
    )


def shipped_calibration(file_name: str) -> Traversable:
    """Return the calibration file of this name that is part of this package."""
    return resources.files("models") / _FOLDER / file_name
