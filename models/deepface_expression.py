"""Expressions read by the `deepface` library, with a weight file that an administrator brought.

The library is an optional extra and is imported only when it is chosen. It would download its
weights and open them with as many threads as there are cores; here the verified file is put where
it looks for it first, and its network runs in a session of ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.bundles import write_whole
from models.calibration import Calibration
from models.errors import CardError, LibraryMissing, ModelHashMismatch, OutputError
from models.expression_reading import Expression, checked_labels, checked_logs, expressions, summed_by_class
from models.face_detectors import checked_image
from models.registry import sha256_of, writable_store
from models.session import ModelSession, open_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from models.registry import ModelFile

NAME: Final = "deepface"
LABELS: Final = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Order of the library's network, which its card must repeat."""
HOME_VARIABLE: Final = "DEEPFACE_HOME"
WEIGHTS: Final = Path(".deepface") / "weights" / "facial_expression_model_weights.onnx"
_ENGINE_VARIABLE: Final = "DEEPFACE_BACKEND_ENGINE"
_NEEDED: Final = ("deepface", "werkzeug")
_SIDE_PX: Final = 48
_GREY: Final = 128
_TINY: Final = 1e-12

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeepFaceExpression:
    """The library's own reading of a crop, `DeepFace.analyze` without its detector.

    Attributes:
        labels: Its labels, in order.
        calibration: The head, or None for its own probabilities summed by class.
    """

    name: str
    version: str
    sha256: str
    labels: tuple[str, ...]
    calibration: Calibration | None
    _library: Any  # the library ships no type information

    @classmethod
    def load(
        cls, file: ModelFile, calibration: Calibration | None = None, *, threads: int = 1
    ) -> DeepFaceExpression:
        """Put the verified file where the library looks for it, and import the library.

        Raises:
            LibraryMissing: The library, or one that it needs to be imported, is not installed.
            CardError: The card's labels are not the library's.
            ModelHashMismatch: Another weight file lies where the library looks.
            OutputError: The file is no network of the library's shape.
        """
        absent = [name for name in _NEEDED if not _installed(name)]
        if absent:
            raise LibraryMissing(
                f"Expressions cannot be read by deepface: {' and '.join(absent)} not installed. "
                "Install them with 'pip install hailong[deepface]', or choose another network under [faces]."
            )
        if checked_labels(file.card) != LABELS:
            raise CardError(
                f"The card of {file.card.key} must give the labels of deepface's network in its order: "
                f"{', '.join(LABELS)}."
            )
        session = _checked_session(file, threads)
        _place(file)
        library = _imported(session)
        reader = cls(*file.version_of(), LABELS, calibration, library)
        reader.predict([np.full((_SIDE_PX, _SIDE_PX, 3), _GREY, np.uint8)])
        return reader

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
            OutputError: The library gives something other than seven numbers a face.
        """
        if not faces:
            return ()
        logs = self.log_probabilities(faces)
        return expressions(
            self.classes(logs),
            logs,
            abstain_below=None if self.calibration is None else self.calibration.abstain_below,
        )

    def log_probabilities(self, faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Return the library's probabilities as logarithms, one reading a face, shape (n, labels)."""
        rows = [self._shares(checked_image(face)) for face in faces]
        shares = np.asarray(rows, np.float64).reshape(len(faces), len(self.labels))
        logs = np.where(np.isnan(shares), np.nan, np.log(np.maximum(shares, _TINY)))
        return checked_logs(logs, len(faces), self.labels, f"{self.name}@{self.version}")

    def classes(self, log_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities of negative, neutral, positive from log-probabilities, shape (n, 3)."""
        if self.calibration is not None:
            return self.calibration.apply(log_probabilities)
        return summed_by_class(log_probabilities, self.labels)

    def _shares(self, crop: NDArray[np.uint8]) -> list[float]:
        found = self._library.analyze(
            crop,
            actions=["emotion"],
            detector_backend="skip",
            enforce_detection=False,
            align=False,
            silent=True,
        )
        emotion: Mapping[str, Any] = found[0]["emotion"] if found else {}
        if set(emotion) != set(self.labels):
            raise OutputError(
                f"deepface gives the emotions {', '.join(emotion) or '(none)'} instead of "
                f"{', '.join(self.labels)}. Install the version that the documentation names."
            )
        return [float(emotion[label]) / 100.0 for label in self.labels]


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _checked_session(file: ModelFile, threads: int) -> ModelSession:
    """Open the network and see that it takes and gives what the library expects."""
    session = open_session(file.path, threads=threads)
    shape = session.input_shapes[0] if len(session.input_shapes) == 1 else ()
    if shape[1:] != (_SIDE_PX, _SIDE_PX, 1):
        raise OutputError(
            f"{file.path} takes the shape {shape}; deepface's emotion network takes (n, 48, 48, 1). "
            "Bring facial_expression_model_weights.onnx of deepface's own models."
        )
    blank = np.full((2, _SIDE_PX, _SIDE_PX, 1), 0.5, np.float32)
    checked_logs(session.run({session.input_names[0]: blank})[0], 2, LABELS, file.card.key)
    return session


def _place(file: ModelFile) -> None:
    """Put the file where the library looks, and make that folder the library's home."""
    chosen = os.environ.get(HOME_VARIABLE)
    home = Path(chosen) if chosen else writable_store() / "deepface-home"
    target = home / WEIGHTS
    if target.is_file():
        if sha256_of(target) != file.sha256:
            raise ModelHashMismatch(
                f"{target} is not the file of {file.card.key}. Remove it, or set {HOME_VARIABLE} to another "
                "folder. The file was not used."
            )
    else:
        write_whole(target, file.path.read_bytes())
    os.environ[HOME_VARIABLE] = str(home)


def _imported(session: ModelSession) -> Any:  # noqa: ANN401 - the library ships no type information
    """Import the library on ONNX Runtime and give its emotion network our session."""
    # It would import TensorFlow or PyTorch where one of them is installed.
    os.environ[_ENGINE_VARIABLE] = "onnx"
    try:
        library = importlib.import_module("deepface.DeepFace")
        client = importlib.import_module("deepface.modules.modeling").build_model(
            task="facial_attribute", model_name="Emotion"
        )
    except ImportError as error:
        raise LibraryMissing(
            f"deepface is installed but cannot be imported: {error}. Install what it needs with "
            "'pip install hailong[deepface]'."
        ) from error
    client.model = SimpleNamespace(
        get_inputs=lambda: [SimpleNamespace(name=session.input_names[0])],
        run=lambda _names, inputs: session.run(inputs),
    )
    return library
