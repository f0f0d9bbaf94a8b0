"""Any ONNX network that reads expressions, run as its model card describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from models.calibration import Calibration
from models.card import AffectOutput, Colour, ImageInput, Layout, OutputKind
from models.errors import CardError, OutputError
from models.expression_reading import Expression, checked_labels, checked_logs, expressions, summed_by_class
from models.face_detectors import checked_image
from models.session import ModelSession, open_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.registry import ModelFile

_BATCH: Final = 32
_GREY: Final = 128
_TABLE_AXES: Final = 2
_SUM_TOLERANCE: Final = 1e-2
_TINY: Final = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """What the network says of some faces.

    Attributes:
        logs: Log-probabilities, shape (n, labels).
        valence: Its own, shape (n,), or None.
        arousal: Its own, shape (n,), or None.
    """

    logs: NDArray[np.float64]
    valence: NDArray[np.float64] | None
    arousal: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class CardExpression:
    """An expression network that is run by its card alone.

    Attributes:
        labels: Its labels, in the order of its class output.
        image: How a crop is laid into it and how its answer is read.
        calibration: The head, or None for its own probabilities summed by class.
        mirrored: Whether each face is also read mirrored, and both readings averaged.
    """

    name: str
    version: str
    sha256: str
    labels: tuple[str, ...]
    image: ImageInput
    calibration: Calibration | None
    mirrored: bool
    session: ModelSession

    @classmethod
    def load(
        cls, file: ModelFile, calibration: Calibration | None, *, mirrored: bool = True, threads: int = 1
    ) -> CardExpression:
        """Open the network of a verified file and try it on a grey picture.

        Raises:
            CardError: The card has no `[image]`, or names labels or outputs that do not exist.
            OutputError: The network's answer is not what the card says.
            ProviderError: It cannot be opened.
        """
        image = file.card.image
        if image is None:
            raise CardError(
                f"The card of {file.card.key} has no [image] part, so hailong cannot tell how a face is laid "
                "into the network. Add width, height, colour, layout and output; see 'Your own network' in "
                "docs/models.md."
            )
        labels = checked_labels(file.card)
        session = open_session(file.path, threads=threads)
        if len(session.input_names) != 1:
            raise CardError(
                f"{file.card.key} has the inputs {', '.join(session.input_names)}; a network that is run "
                "by its card takes one. Write an adapter for it."
            )
        asked = [image.class_output] + [
            part.output for part in (image.valence, image.arousal) if part is not None
        ]
        unknown = [name for name in asked if name is not None and name not in session.output_names]
        if unknown:
            raise CardError(
                f"The card of {file.card.key} names the output '{unknown[0]}'; the network has "
                f"{', '.join(session.output_names)}. Correct [image]."
            )
        network = cls(*file.version_of(), labels, image, calibration, mirrored, session)
        network.predict([np.full((image.height, image.width, 3), _GREY, np.uint8)] * 2)
        return network

    def version_of(self) -> tuple[str, str, str]:
        """Return name, version and hash as a signal records them."""
        version = self.version if self.calibration is None else f"{self.version}-{self.calibration.version}"
        return self.name, version, self.sha256

    def versions(self) -> tuple[tuple[str, str, str], ...]:
        """Return name, version and hash of the one network."""
        return (self.version_of(),)

    def predict(self, faces: Sequence[NDArray[np.uint8]]) -> tuple[Expression, ...]:
        """Read the expressions of face crops.

        Args:
            faces: BGR crops, uint8, any size.

        Returns:
            One expression a crop, in order.

        Raises:
            InputError: A crop is not uint8 BGR.
            OutputError: The network's answer is not what the card says.
        """
        if not faces:
            return ()
        answer = self._answer(faces)
        return expressions(
            self.classes(answer.logs),
            answer.logs,
            abstain_below=None if self.calibration is None else self.calibration.abstain_below,
            arousal=answer.arousal,
            valence=answer.valence,
        )

    def log_probabilities(self, faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Return log-probabilities averaged over mirrored readings, shape (n, labels)."""
        return self._answer(faces).logs if faces else np.zeros((0, len(self.labels)))

    def classes(self, log_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities of negative, neutral, positive from log-probabilities, shape (n, 3)."""
        if self.calibration is not None:
            return self.calibration.apply(log_probabilities)
        return summed_by_class(log_probabilities, self.labels)

    def _answer(self, faces: Sequence[NDArray[np.uint8]]) -> _Answer:
        read = []
        for start in range(0, len(faces), _BATCH):
            crops = [checked_image(face) for face in faces[start : start + _BATCH]]
            if self.mirrored:
                crops += [crop[:, ::-1] for crop in crops]
            read.append(self._read(np.stack([laid_in(crop, self.image) for crop in crops])))
        return _Answer(
            np.concatenate([part.logs for part in read]),
            _joined([part.valence for part in read]),
            _joined([part.arousal for part in read]),
        )

    def _read(self, pictures: NDArray[np.float32]) -> _Answer:
        outputs = dict(
            zip(
                self.session.output_names,
                self.session.run({self.session.input_names[0]: pictures}),
                strict=True,
            )
        )
        name = self.image.class_output or self.session.output_names[0]
        table = outputs[name]
        inside = [part for part in (self.image.valence, self.image.arousal) if part is not None]
        shared = sum(1 for part in inside if part.output in {None, name})
        # A network may put valence and arousal behind its classes, in one output.
        if shared and table.ndim == _TABLE_AXES and table.shape[1] == len(self.labels) + shared:
            table = table[:, : len(self.labels)]
        logs = _as_logs(table, self.image.output, f"{self.name}@{self.version}")
        checked = checked_logs(logs, len(pictures), self.labels, f"{self.name}@{self.version}")
        return _Answer(
            self._merged(checked),
            self._affect(outputs, name, self.image.valence),
            self._affect(outputs, name, self.image.arousal),
        )

    def _affect(
        self, outputs: dict[str, NDArray[np.float32]], classes: str, part: AffectOutput | None
    ) -> NDArray[np.float64] | None:
        if part is None:
            return None
        table = outputs[part.output or classes]
        rows = table.reshape(len(table), -1) if table.ndim else table.reshape(0, 0)
        if part.index >= rows.shape[1] or not np.isfinite(rows[:, part.index]).all():
            raise OutputError(
                f"{self.name}@{self.version} gives no finite number in column {part.index} of the output "
                f"'{part.output or classes}', which has the shape {table.shape}. Correct [image]."
            )
        return self._merged(np.clip(rows[:, part.index].astype(np.float64), -1.0, 1.0))

    def _merged(self, read: NDArray[np.float64]) -> NDArray[np.float64]:
        half = len(read) // 2
        return (read[:half] + read[half:]) / 2 if self.mirrored else read


def laid_in(crop: NDArray[np.uint8], image: ImageInput) -> NDArray[np.float32]:
    """Scale and colour a BGR crop as a card says, without the batch's dimension."""
    seen = np.ascontiguousarray(crop)
    if image.colour is Colour.GREY:
        seen = np.asarray(cv2.cvtColor(seen, cv2.COLOR_BGR2GRAY), np.uint8)
    scaled = cv2.resize(seen, (image.width, image.height), interpolation=cv2.INTER_AREA)
    picture = scaled.astype(np.float32).reshape(image.height, image.width, image.channels)
    if image.colour is Colour.RGB:
        picture = picture[:, :, ::-1]
    mean, std = np.asarray(image.mean, np.float32), np.asarray(image.std, np.float32)
    picture = (picture * np.float32(image.scale) - mean) / std
    return np.ascontiguousarray(
        picture if image.layout is Layout.NHWC else picture.transpose(2, 0, 1), dtype=np.float32
    )


def _as_logs(table: NDArray[np.float32], kind: OutputKind, key: str) -> NDArray[np.float64]:
    values = table.astype(np.float64)
    if kind is not OutputKind.PROBABILITIES or values.ndim != _TABLE_AXES:
        if kind is OutputKind.LOGITS and values.ndim == _TABLE_AXES and values.shape[1]:
            top = values.max(axis=1, keepdims=True)
            return np.asarray(values - top - np.log(np.exp(values - top).sum(axis=1, keepdims=True)))
        return values
    if not np.isfinite(values).all():
        return values
    if (values < -_SUM_TOLERANCE).any() or (np.abs(values.sum(axis=1) - 1.0) > _SUM_TOLERANCE).any():
        raise OutputError(
            f"{key} should give probabilities by its card, but its answers do not sum to 1: state 'logits' "
            "or 'log-probabilities' as output in [image]."
        )
    return np.log(np.maximum(values, _TINY))


def _joined(parts: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    found = [part for part in parts if part is not None]
    return np.concatenate(found) if found else None
