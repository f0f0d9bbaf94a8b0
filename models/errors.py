"""What can go wrong with models.

ModelError
├── CardError              a card cannot be read
├── UnknownModel           no card of that name
├── ModelFileMissing       a card's file is in no place that was searched
├── ModelHashMismatch      a file is there, but it is not the card's file
├── BundleError            a bundle cannot be imported
├── ConversionError        a network could not be converted, or does not match the original
├── ProviderError          ONNX Runtime would not run the network as asked
├── CalibrationError       a calibration file does not fit its network
├── InputError             an image or a sound of the wrong kind
├── OutputError            a network gave something other than its card says
├── LibraryMissing         an optional library is not installed
└── TranscriberError       the transcriber's process failed on a piece of speech
    ├── TranscriberTimeout it gave no answer in time
    └── TranscriberUnusable it cannot be started, or keeps dying
"""

from __future__ import annotations


class ModelError(Exception):
    """Root of everything this package raises."""


class CardError(ModelError, ValueError):
    """A model card is malformed; the message names file and key."""


class UnknownModel(ModelError, LookupError):  # noqa: N818 - reads as what happened, like its siblings
    """No card carries the name that was asked for."""


class ModelFileMissing(ModelError, FileNotFoundError):  # noqa: N818 - named in the package's contract
    """The file of a known model is in none of the places searched."""


class ModelHashMismatch(ModelError, ValueError):  # noqa: N818 - named in the package's contract
    """A model file differs from the one its card describes."""


class BundleError(ModelError, ValueError):
    """A bundle is unreadable, unsafe, or holds no known model."""


class ConversionError(ModelError, RuntimeError):
    """A conversion failed or its result disagrees with the original network."""


class ProviderError(ModelError, RuntimeError):
    """ONNX Runtime cannot run a network on the provider asked for."""


class CalibrationError(ModelError, ValueError):
    """A calibration is malformed or belongs to another network."""


class InputError(ModelError, ValueError):
    """An input has the wrong type, shape or content."""


class OutputError(ModelError, RuntimeError):
    """A network's output has another shape than its card says, or is not finite."""


class LibraryMissing(ModelError, ImportError):  # noqa: N818 - reads as what happened, like its siblings
    """A library that an adapter needs is not installed; the message says how to install it."""


class TranscriberError(ModelError, RuntimeError):
    """The transcriber could not do its work."""


class TranscriberTimeout(TranscriberError, TimeoutError):  # noqa: N818 - as above
    """The transcriber gave no answer within its limit."""


class TranscriberUnusable(TranscriberError):  # noqa: N818 - as above
    """The transcriber cannot be started, or keeps dying: no piece will be read until somebody acts."""
