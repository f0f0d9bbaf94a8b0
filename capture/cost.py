"""CPU time by network: every call is counted by the clock of its own thread."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.perception import Perception

DETECTION = "face detection"
EXPRESSION = "expression"
VOICE_ACTIVITY = "voice activity"
SENTIMENT = "text sentiment"
TRANSCRIPTION = "transcription"

_Network = TypeVar("_Network")


class CpuMeter:
    """CPU seconds spent inside the networks, by network.

    Calls are counted by the CPU clock of their own thread, so that threads that run at
    the same time do not count each other.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    def metered(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call with its CPU time added to a stage."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passes anything through
            began = time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds[stage] += time.thread_time() - began
                self.calls[stage] += 1

        return wrapper

    def network(self, network: _Network, stage: str, method: str) -> _Network:
        """Return a network of which one method is metered; everything else is its own."""
        metered: Any = _Metered(network, self, {method: stage})
        found: _Network = metered
        return found

    def perception(self, loaded: Perception) -> Perception:
        """Return the networks with their calls metered; the transcriber has a process of its own."""
        metered: dict[str, Any] = {
            "detector": _Metered(loaded.detector, self, {"detect": DETECTION}),
            "expression": _Metered(loaded.expression, self, {"predict": EXPRESSION}),
            "voice_activity": _MeteredVoiceActivity(loaded.voice_activity, self),
            "sentiment": _Metered(loaded.sentiment, self, {"read": SENTIMENT}),
        }
        return replace(loaded, **metered)


class _Metered:
    """A network of which some calls are metered; everything else is its own."""

    def __init__(self, network: Any, meter: CpuMeter, calls: dict[str, str]) -> None:  # noqa: ANN401 - stands for any network
        self._network = network
        for name, stage in calls.items():
            setattr(self, name, meter.metered(stage, getattr(network, name)))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - stands for any network
        return getattr(self._network, name)


class _MeteredVoiceActivity:
    """Voice activity makes a stream a channel; each stream is metered."""

    def __init__(self, network: Any, meter: CpuMeter) -> None:  # noqa: ANN401 - as above
        self._network = network
        self._meter = meter

    def stream(self) -> Any:  # noqa: ANN401 - as above
        return _Metered(self._network.stream(), self._meter, {"probability": VOICE_ACTIVITY})

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above
        return getattr(self._network, name)


def transcriber_cpu_s(loaded: Perception) -> float:
    """Return CPU seconds of the transcriber's process so far; 0 before it runs."""
    process_id: int | None = getattr(loaded.transcriber, "process_id", None)
    if process_id is None:
        return 0.0
    fields = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
