"""What one reading of a face costs, part by part, measured in one run."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final

from models.expression import ExpressionModel, load_expression_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from models.expression_reading import ExpressionNetwork
    from models.registry import Registry

_FACES: Final = 40
BARE: Final = "first_network_once"


def cost_of(
    network: ExpressionNetwork, registry: Registry, faces: Sequence[NDArray[np.uint8]]
) -> dict[str, dict[str, float]]:
    """Return milliseconds of CPU a face, one face a call as in a session, and ratios to the bare network.

    The clock is that of the calling thread, in which networks of one thread run: other work on the
    machine does not count. Each part is measured in turn on every face; medians are given, and only
    their ratios should be compared between machines.

    Args:
        network: What the product uses.
        registry: Where the bare first network is looked up.
        faces: BGR crops; at most 40 are used.

    Returns:
        `cpu_ms_per_face` and `ratio`, by part.
    """
    bare = load_expression_model(registry, calibrated=False, mirrored=False)
    parts: dict[str, Callable[[NDArray[np.uint8]], object]] = {BARE: _reading(bare)}
    if isinstance(network, ExpressionModel):
        parts["first_network_mirrored"] = _reading(load_expression_model(registry, calibrated=False))
        if network.second is not None:
            parts["both_networks_once"] = _reading(
                load_expression_model(registry, calibrated=False, mirrored=False, second=True)
            )
            parts["both_networks_mirrored"] = _reading(
                load_expression_model(registry, calibrated=False, second=True)
            )
    logs = network.log_probabilities(faces[:1])
    parts["head"] = lambda _face: network.classes(logs)
    parts["whole"] = lambda face: network.predict([face])
    taken: dict[str, list[float]] = {name: [] for name in parts}
    for face in faces[:_FACES]:
        for name, read in parts.items():
            started = time.thread_time()
            read(face)
            taken[name].append(time.thread_time() - started)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    return {
        "cpu_ms_per_face": {name: round(1000 * median, 3) for name, median in medians.items()},
        "ratio": {name: round(median / medians[BARE], 3) for name, median in medians.items()},
    }


def _reading(network: ExpressionNetwork) -> Callable[[NDArray[np.uint8]], object]:
    return lambda face: network.log_probabilities([face])
