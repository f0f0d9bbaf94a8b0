"""The networks that an edge's configuration names: the same at the counter, in a replay, in a benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.perception import Perception

if TYPE_CHECKING:
    from capture.config import EdgeConfig
    from models.registry import Registry


def load_networks(registry: Registry, settings: EdgeConfig | None = None) -> Perception:
    """Load what a configuration names under [faces] and [voice].

    Args:
        registry: Where files are looked up.
        settings: The configuration; None takes what hailong takes by itself, one thread each.

    Raises:
        ModelError: A name is unknown, a file is missing, or it is not the one its card names.
    """
    if settings is None:
        return Perception.load(registry)
    return Perception.load(
        registry,
        threads=settings.threads,
        expression=settings.faces.expression,
        detector=settings.faces.detector,
        transcriber=settings.voice.transcriber,
    )
