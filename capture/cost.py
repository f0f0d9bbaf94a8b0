"""CPU time by network: every call is counted by the clock of its own thread."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.judgement import Judgement, SpokenSound
    from inference.perception import Perception
    from inference.quotes import QuoteSealing
    from inference.session_judge import JudgeSupply, SessionJudge

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
        self.processes_s = 0.0
        """CPU time of the sessions' own processes, their start included; complete when they have ended."""

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
        """Return the networks with their calls metered; words are read in a process of each session."""
        metered: dict[str, Any] = {
            "detector": _Metered(loaded.detector, self, {"detect": DETECTION}),
            "expression": _Metered(loaded.expression, self, {"predict": EXPRESSION}),
            "voice_activity": _MeteredVoiceActivity(loaded.voice_activity, self),
            "judges": _MeteredJudges(loaded.judges, self),
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


class _MeteredJudges:
    """Makes judges that tell the processor time of their own process."""

    def __init__(self, judges: JudgeSupply, meter: CpuMeter) -> None:
        self._judges = judges
        self._meter = meter

    def take(self, sealing: QuoteSealing | None = None) -> _MeteredJudge:
        return _MeteredJudge(self._judges.take(sealing), self._meter)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above
        return getattr(self._judges, name)


class _MeteredJudge:
    """The judge of a session, whose process says what each call took."""

    def __init__(self, judge: SessionJudge, meter: CpuMeter) -> None:
        self._judge = judge
        self._meter = meter

    def warm_up(self) -> None:
        self._judge.warm_up()

    def judge(self, sound: SpokenSound) -> Judgement:
        judgement = self._judge.judge(sound)
        for stage, spent_s in (
            (TRANSCRIPTION, judgement.transcription_cpu_s),
            (SENTIMENT, judgement.text_cpu_s),
        ):
            self._meter.seconds[stage] += spent_s
            self._meter.calls[stage] += 1
        return judgement

    def end(self) -> None:
        used = self._judge.process.use()
        self._judge.end()
        self._meter.processes_s += 0.0 if used is None else used.cpu_s
