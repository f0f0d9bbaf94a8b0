"""The one place that makes an ONNX Runtime session."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

# Since 1.29 the library looks up its makers' host and reports its use there, unless this stands in the
# environment before it is loaded. Its own call to stop that comes too late for the first look-up.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from models.errors import ModelFileMissing, ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

CPU: Final = "CPUExecutionProvider"
MAX_THREADS: Final = 2
_ERRORS_ONLY: Final = 3


@dataclass(frozen=True, slots=True)
class ModelSession:
    """A network ready to run, safe to share between threads.

    Attributes:
        provider: The execution provider that really runs the network.
        threads: Threads used inside one operator.
        input_names: Names of the inputs, in the network's order.
        output_names: Names of the outputs, in the network's order.
        input_shapes: Shape of each input; a free dimension is its name, or None.
    """

    provider: str
    threads: int
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    input_shapes: tuple[tuple[int | str | None, ...], ...]
    _session: Any  # ONNX Runtime ships no type information

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Run the network once and return its outputs in order."""
        outputs: list[NDArray[np.float32]] = self._session.run(None, dict(inputs))
        return outputs


def available_providers() -> tuple[str, ...]:
    """Return the execution providers that the installed library has."""
    return tuple(onnxruntime.get_available_providers())


def open_session(model: Path | bytes, *, threads: int = 1, providers: Sequence[str] = (CPU,)) -> ModelSession:
    """Open a network on explicit providers with a small, quiet thread pool.

    Plain ONNX Runtime falls back silently when a provider cannot be had and lets idle
    threads spin; neither happens here.

    Args:
        model: Path of an ONNX file, or a serialised network.
        threads: Threads inside one operator, 1 or 2.
        providers: The execution providers to use, best first. Each must be used.

    Raises:
        ModelFileMissing: The path does not exist.
        ProviderError: A provider is not available, or the network cannot be loaded on it.
        ValueError: `threads` is out of range.
    """
    if not 1 <= threads <= MAX_THREADS:
        msg = f"threads must be 1 to {MAX_THREADS}, not {threads}: several models share the processor"
        raise ValueError(msg)
    if isinstance(model, Path) and not model.is_file():
        raise ModelFileMissing(
            f"There is no model file at {model}. Run 'hailong models verify' to see what is missing."
        )
    available = available_providers()
    absent = [name for name in providers if name not in available]
    if absent or not providers:
        raise ProviderError(
            f"ONNX Runtime here has no {', '.join(absent) or 'provider list'}; "
            f"it has {', '.join(available)}. Install "
            "the build of onnxruntime that carries it, or ask for another provider."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    source = str(model) if isinstance(model, Path) else model
    label = str(model) if isinstance(model, Path) else "the network in memory"
    try:
        session = onnxruntime.InferenceSession(source, sess_options=options, providers=list(providers))
    except Exception as error:  # ONNX Runtime's exceptions share no base but Exception
        raise ProviderError(
            f"ONNX Runtime cannot load {label}: {error}. "
            "Run 'hailong models verify' and import the file again."
        ) from error
    active = session.get_providers()
    if active[0] != providers[0]:
        raise ProviderError(
            f"{label} was asked to run on {providers[0]} but ONNX Runtime chose {active[0]}. "
            "Check the installation of that provider; there is no silent fall-back."
        )
    return ModelSession(
        provider=active[0],
        threads=threads,
        input_names=tuple(entry.name for entry in session.get_inputs()),
        output_names=tuple(entry.name for entry in session.get_outputs()),
        input_shapes=tuple(tuple(entry.shape) for entry in session.get_inputs()),
        _session=session,
    )
